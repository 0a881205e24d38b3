"""`hearline import`: recordings sent to a running server, piece by piece, and watched until they are calls."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import msgspec

from infra.connections import open_database, reachable
from infra.console import UnusableError, say
from infra.model import DEFAULT_TENANT
from infra.settings import Settings
from infra.store.database import StoreAway
from infra.store.users import NameTakenError, UserStore

PIECE_BYTES: Final = 512 * 1024
LOOK_S: Final = 0.5
AWAY_S: Final = 60.0
"""A server that does not answer for so long is given up; the same command goes on later."""
MADE_FOR: Final = "hearline import"
"""Whose tokens those are that the command makes for itself."""
TOKEN_LIFE: Final = timedelta(days=1)
SUFFIXES: Final = frozenset(
    ".wav .w64 .aif .aiff .au .caf .flac .mp3 .ogg .oga .opus .m4a .m4b .mp4 .mov .3gp .3g2 .mkv .mka .webm .aac .amr"
    " .wma .asf .avi .wv .mpg .mpeg .ts".split()
)
"""What is taken from a directory; a file that is named itself is taken whatever it is called."""


class FailedError(Exception):
    """This file cannot be imported. `str(error)` goes after its name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What all files of one command share."""

    left: str = "customer"
    parties: str = "auto"
    from_number: str | None = None
    to_number: str | None = None
    started_at: datetime | None = None
    title: str | None = None
    again: bool = False

    def fields(self) -> dict[str, Any]:
        """Return them as the API takes them."""
        return {
            "left": self.left,
            "parties": self.parties,
            "from_number": self.from_number,
            "to_number": self.to_number,
            "started_at": self.started_at,
            "title": self.title,
            "again": self.again,
        }


@dataclass(slots=True)
class Outcome:
    """What became of one file."""

    file: Path
    status: str = "failed"
    import_id: str | None = None
    call_id: str | None = None
    is_new: bool = False
    problem: str | None = None
    received_bytes: int = field(default=0, repr=False)

    @property
    def is_good(self) -> bool:
        return self.status not in {"failed", "cancelled"}

    def as_json(self) -> dict[str, Any]:
        """Return it as one line of `--json` shows it."""
        return {
            "file": str(self.file),
            "status": self.status,
            "import_id": self.import_id,
            "call_id": self.call_id,
            "is_new": self.is_new,
            "problem": self.problem,
        }


def chosen(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are meant: of a directory the recordings in it, by name. Raises UnusableError."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if _is_meant(each, path) and each.is_file())
            if not found:
                raise UnusableError(f"{path}: no recordings in it")
            files += found
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _is_meant(file: Path, directory: Path) -> bool:
    """Return whether a file in a directory is a recording; what is hidden is somebody's own, such as ours."""
    hidden = any(part.startswith(".") for part in file.relative_to(directory).parts)
    return file.suffix.lower() in SUFFIXES and not hidden


async def token_for(settings: Settings, url: str) -> str:
    """Return the token for this command: the automation's, else one of the installation on this machine.

    Raises UnusableError; also where such a token would go to another machine.
    """
    if settings.hearline_api_token is not None:
        return settings.hearline_api_token.get_secret_value()
    if urlsplit(url).hostname not in {"localhost", "127.0.0.1", "::1", settings.hearline_host}:
        raise UnusableError(f"{url} needs --token or HEARLINE_API_TOKEN")
    try:
        async with open_database(reachable(settings)) as pool:
            users = UserStore(pool)
            return await users.issue(await users.add(DEFAULT_TENANT, MADE_FOR, "supervisor"), "token", life=TOKEN_LIFE)
    except NameTakenError as error:
        raise UnusableError(f"{error}: give --token or HEARLINE_API_TOKEN") from None
    except (*StoreAway, asyncpg.PostgresError, UnusableError):
        raise UnusableError("no token: give --token or HEARLINE_API_TOKEN, or run this where the server runs") from None


async def bring_in(
    files: list[Path],
    url: str,
    token: str,
    wanted: Wanted,
    *,
    wait: bool,
    show: Callable[[Outcome], None],
    tell: Callable[[str], None] = say,
) -> list[Outcome]:
    """Import files one after the other, each while those before it are transcribed; return what became of them.

    `show` gets each outcome once it stands, `tell` a line for people. Raises UnusableError when the server refuses all.
    """
    outcomes = [Outcome(file) for file in files]
    async with aiohttp.ClientSession(
        url, headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(total=60, sock_connect=10)
    ) as session:
        server = _Server(session, url)
        await server.greet()
        line = _Line(tell)
        async with asyncio.TaskGroup() as tasks:
            for outcome in outcomes:
                try:
                    await _send(server, outcome, wanted, line)
                except FailedError as error:
                    outcome.status, outcome.problem = "failed", str(error)
                if outcome.is_good and wait and outcome.status != "done":
                    tasks.create_task(_follow(server, outcome, line, show))
                else:
                    _conclude(outcome, line, show)
    return outcomes


class _Server:
    """The API, asked again while it is away."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def greet(self) -> None:
        """Raises UnusableError when nobody answers, or may not be asked."""
        try:
            async with self._session.get("/api/v1/imports?limit=1") as reply:
                if reply.status in {401, 403}:
                    raise UnusableError(f"{self._url} refuses: {await _detail(reply)}")
                if reply.status == 404:
                    raise UnusableError(f"{self._url} is no Hearline that imports recordings")
        except (aiohttp.ClientError, TimeoutError):
            raise UnusableError(f"nobody answers at {self._url}; is it running?") from None
        except ValueError:
            raise UnusableError(f"{self._url} is no address such as http://127.0.0.1:8080") from None

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer; asks again for a minute while the server is away. Raises FailedError."""
        until_s, pause_s = time.monotonic() + AWAY_S, 0.2
        while True:
            try:
                async with self._session.request(method, path, **body) as reply:
                    if reply.status not in {408, 500, 502, 503, 504}:
                        return reply.status, msgspec.json.decode(await reply.read(), type=dict[str, Any])
                    why = await _detail(reply)
            except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
                why = f"{self._url} does not answer"
            if time.monotonic() > until_s:
                raise FailedError(f"{why}; the same command goes on later")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 3.0)


async def _send(server: _Server, outcome: Outcome, wanted: Wanted, line: _Line) -> None:
    """Send what the server has not got yet. Raises FailedError."""
    file = outcome.file
    try:
        size_bytes, modified_s = file.stat().st_size, file.stat().st_mtime
        if not size_bytes:
            raise FailedError("is empty")
        with file.open("rb") as content:
            digest = (await asyncio.to_thread(hashlib.file_digest, content, "sha256")).hexdigest()
            fields = {
                **wanted.fields(),
                "name": file.name,
                "size_bytes": size_bytes,
                "sha256": digest,
                "modified_at": datetime.fromtimestamp(modified_s, UTC),
            }
            headers = {"Content-Type": "application/json"}
            body = msgspec.json.encode(fields)
            status, known = await server.ask("POST", "/api/v1/imports", data=body, headers=headers)
            while status in {200, 201}:
                _take(outcome, known)
                outcome.is_new |= bool(known.get("is_new"))
                if known["status"] != "uploading":
                    return
                line.sending(outcome, size_bytes)
                content.seek(outcome.received_bytes)
                piece = await asyncio.to_thread(content.read, min(PIECE_BYTES, size_bytes - outcome.received_bytes))
                if not piece:
                    raise FailedError("has become shorter while it was sent")
                status, known = await _put(server, outcome, piece)
            raise FailedError(str(known.get("detail") or f"was answered {status}"))
    except IsADirectoryError:
        raise FailedError("is a directory") from None
    except OSError as error:
        raise FailedError(error.strerror or "cannot be read") from None


async def _put(server: _Server, outcome: Outcome, piece: bytes) -> tuple[int, dict[str, Any]]:
    path = f"/api/v1/imports/{outcome.import_id}"
    offset = outcome.received_bytes
    headers = {"Content-Type": "application/octet-stream"}
    status, known = await server.ask("PUT", f"{path}/content?offset={offset}", data=piece, headers=headers)
    if status == 409:  # the answer to an earlier try was lost, or somebody else sends the same file
        return await server.ask("GET", path)
    return status, known


async def _follow(server: _Server, outcome: Outcome, line: _Line, show: Callable[[Outcome], None]) -> None:
    """Wait until the file is a call, or will not be one."""
    while outcome.status in {"waiting", "running"}:
        await asyncio.sleep(LOOK_S)
        try:
            status, known = await server.ask("GET", f"/api/v1/imports/{outcome.import_id}")
        except FailedError as error:
            outcome.status, outcome.problem = "failed", str(error)
            break
        if status != 200:
            outcome.status, outcome.problem = "failed", str(known.get("detail"))
            break
        _take(outcome, known)
        line.transcribing(outcome, known)
    _conclude(outcome, line, show)


def _take(outcome: Outcome, known: dict[str, Any]) -> None:
    outcome.import_id, outcome.call_id, outcome.status = known["id"], known["call_id"], known["status"]
    outcome.problem, outcome.received_bytes = known["problem"], known["received_bytes"]


def _conclude(outcome: Outcome, line: _Line, show: Callable[[Outcome], None]) -> None:
    if not outcome.is_good:
        line.done(f"{outcome.file}: {outcome.problem or 'the import was cancelled'}")
    elif outcome.status == "done" and not outcome.is_new:
        line.done(f"{outcome.file}: is a call already: {outcome.call_id} (--again imports it once more)")
    elif outcome.status == "done":
        warning = f" ({outcome.problem})" if outcome.problem else ""
        line.done(f"{outcome.file}: imported as call {outcome.call_id}{warning}")
    else:
        line.done(f"{outcome.file}: sent; its import goes on at the server ({outcome.import_id})")
    show(outcome)


class _Line:
    """Progress for people: one line that changes on a terminal, now and then a line elsewhere."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._is_terminal = sys.stderr.isatty()
        self._said: dict[Path, int] = {}
        self._shown = False

    def sending(self, outcome: Outcome, size_bytes: int) -> None:
        self._say(outcome.file, "sending", outcome.received_bytes, size_bytes)

    def transcribing(self, outcome: Outcome, known: dict[str, Any]) -> None:
        if outcome.status == "running" and known["duration_ms"]:
            self._say(outcome.file, "transcribing", known["transcribed_ms"], known["duration_ms"])

    def done(self, text: str) -> None:
        self._clear()
        self._tell(text)

    def _say(self, file: Path, what: str, done: int, of: int) -> None:
        percent = min(100, 100 * done // max(1, of))
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{file.name}: {what} {percent} %")
            sys.stderr.flush()
            self._shown = True
            return
        step = (what == "transcribing") * 100 + percent // 25 * 25
        if self._said.get(file, -1) < step:
            self._said[file] = step
            self._tell(f"{file.name}: {what} {percent} %")

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            self._shown = False


async def _detail(reply: aiohttp.ClientResponse) -> str:
    try:
        return str(msgspec.json.decode(await reply.read(), type=dict[str, Any])["detail"])
    except (msgspec.MsgspecError, KeyError):
        return f"answered {reply.status}"


async def carry_out_import(
    settings: Settings,
    paths: list[Path],
    wanted: Wanted,
    *,
    url: str | None,
    token: str | None,
    wait: bool,
    as_json: bool,
    echo: Callable[[str], None],
) -> bool:
    """Do what the command says; return whether all files were imported. Raises UnusableError."""
    files = chosen(paths)
    address = (url or f"http://{settings.hearline_host}:{settings.hearline_port}").rstrip("/")

    def show(outcome: Outcome) -> None:
        if as_json:
            echo(msgspec.json.encode(outcome.as_json()).decode())
        elif outcome.is_good and outcome.call_id:
            echo(outcome.call_id)

    outcomes = await bring_in(files, address, token or await token_for(settings, address), wanted, wait=wait, show=show)
    return all(outcome.is_good for outcome in outcomes)


def moment(text: str) -> datetime:
    """Return when a call began, as somebody wrote it: RFC 3339, of this machine's zone without one.

    Raises UnusableError.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise UnusableError(f"--started-at {text}: is no moment such as 2026-01-31T09:00:00Z") from None
