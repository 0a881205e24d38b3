"""A take: what one gateway writes of a call's recording while the call lives.

It is a directory `writing/<call id>-<24 hex digits, in the order of their making>` with

    lock                      locked (flock) as long as its gateway lives and writes
    about                     whose it is
    journal                   one line of JSON an entry
    left-0.pcm, right-1.pcm   a sparse file a track: sample n of the call's clock lies at byte 2n

Nothing is held back in this process, so a killed one loses nothing that was written. A call that comes back after
its gateway was killed has a take more; whoever finishes the recording puts them together.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec

from infra.model import SAMPLES_PER_MS, Call, Side
from infra.shelf import DIR_MODE, FILE_MODE, Shelf
from media_gateway.recording.pauses import Pauses, told

LONGEST_MS: Final = 24 * 3600 * 1000
"""Nothing is recorded beyond this moment of a call."""
BYTES_PER_MS: Final = 2 * SAMPLES_PER_MS
_MADE_WITHIN_S: Final = 60.0
_FLAGS: Final = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKE: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9a-f]{24})")
_TRACK: Final = re.compile(r"(left|right)-\d{1,6}\.pcm")


class TakenError(Exception):
    """A gateway that lives holds a take of this call: it will finish the recording."""


class About(msgspec.Struct, frozen=True):
    """Whose take it is. No numbers, no names."""

    call_id: UUID
    tenant_id: UUID
    started_at: datetime


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the journal: an act at a moment, or the call's end."""

    what: Literal["paused", "resumed", "ended"]
    at_ms: int


_about: Final = msgspec.json.Decoder(About)
_entry: Final = msgspec.json.Decoder(Entry)


class Take:
    """A take that is being written. Every method may raise OSError; on one thread."""

    def __init__(self, shelf: Shelf, call: Call) -> None:
        """Make the directory. A pause that an earlier take was left with goes on."""
        self.name = f"{call.id}-{time.time_ns():016x}{secrets.token_hex(4)}"
        self.path = shelf.writing / self.name
        self.pauses = Pauses()
        self._fds: dict[str, int] = {}
        looked_at = (_read_take(path) for path in takes(shelf).get(call.id, ()))
        earlier = [take for take in looked_at if take is not None]
        for folder in (shelf.root, shelf.writing, self.path):
            folder.mkdir(mode=DIR_MODE, parents=True, exist_ok=folder != self.path)
        try:
            fcntl.flock(self._open("lock.new"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            about = msgspec.json.encode(About(call.id, call.tenant_id, call.started_at))
            _write(self._open("about"), about, 0)
            self._open("journal", os.O_APPEND)
            since_ms = pauses_of(earlier, call.started_at).since_ms
            if since_ms is not None:
                self.pause(since_ms)
            (self.path / "lock.new").rename(self.path / "lock")  # from here on it is a take, and locked
        except BaseException:
            self.close()
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def open_track(self, name: str) -> None:
        """Begin a track's file, of the name that `track_name` gives."""
        self._open(name)

    def write(self, track: str, start_ms: int, pcm: bytes) -> None:
        """Put samples where they belong, except where a pause is."""
        end_ms = min(start_ms - (-len(pcm) // BYTES_PER_MS), LONGEST_MS)
        fd = self._fds[track]
        if os.fstat(fd).st_nlink == 0:
            raise OSError(errno.ENOENT, "the file was removed")
        for begin_ms, until_ms in self.pauses.kept(max(start_ms, 0), end_ms):
            piece = memoryview(pcm)[(begin_ms - start_ms) * BYTES_PER_MS : (until_ms - start_ms) * BYTES_PER_MS]
            _write(fd, piece, begin_ms * BYTES_PER_MS)

    def close_track(self, track: str) -> None:
        """A track has ended."""
        if (fd := self._fds.pop(track, None)) is not None:
            os.close(fd)

    def pause(self, at_ms: int) -> None:
        """Keep nothing from here on."""
        if self.pauses.pause(at_ms):
            self._note("paused", at_ms)

    def resume(self, at_ms: int) -> None:
        """Keep what follows."""
        if self.pauses.resume(at_ms):
            self._note("resumed", at_ms)

    def end(self, at_ms: int) -> None:
        """The call is over."""
        self._note("ended", at_ms)

    def close(self) -> None:
        """Let the take go: from here on anybody may finish it. Never raises."""
        for fd in self._fds.values():
            with contextlib.suppress(OSError):
                os.close(fd)
        self._fds.clear()

    def _open(self, name: str, flags: int = 0) -> int:
        if name not in self._fds:
            self._fds[name] = os.open(self.path / name, os.O_WRONLY | _FLAGS | flags, FILE_MODE)
        return self._fds[name]

    def _note(self, what: Literal["paused", "resumed", "ended"], at_ms: int) -> None:
        os.write(self._fds["journal"], msgspec.json.encode(Entry(what, at_ms)) + b"\n")


class Hold:
    """The lock of a take, until it is let go."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def release(self) -> None:
        """Let go; a second time does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class FoundTake:
    """A take that somebody left, or that was merely looked at."""

    path: Path
    hold: Hold | None
    """For the one who finishes it."""
    about: About
    acts: tuple[Entry, ...]

    def zero_ms(self, zero: datetime) -> int:
        """Return where its clock begins on a clock that begins at `zero`."""
        return round((self.about.started_at - zero).total_seconds() * 1000)

    def tracks(self) -> list[tuple[Side, Path]]:
        """Return its tracks' files."""
        files = ((path, _TRACK.fullmatch(path.name)) for path in sorted(self.path.iterdir()))
        return [("left" if found[1] == "left" else "right", path) for path, found in files if found]

    def release(self) -> None:
        """Leave it to others."""
        if self.hold is not None:
            self.hold.release()

    def remove(self) -> None:
        """Remove it, the lock last, so that nobody takes up what is half gone."""
        for path in self.path.iterdir():
            if path.name != "lock":
                path.unlink()
        (self.path / "lock").unlink()
        self.path.rmdir()


def track_name(side: Side, number: int) -> str:
    """Return the name of a track's file within its take."""
    return f"{side}-{number}.pcm"


def takes(shelf: Shelf) -> dict[UUID, list[Path]]:
    """Return the takes that lie there, by their calls, in the order of their making."""
    found: dict[UUID, list[Path]] = {}
    try:
        paths = sorted(shelf.writing.iterdir())
    except FileNotFoundError:
        return {}
    for path in paths:
        if (take := _TAKE.fullmatch(path.name)) and path.is_dir() and not path.is_symlink():
            found.setdefault(UUID(take[1]), []).append(path)
    return found


def claim(shelf: Shelf, call_id: UUID) -> list[FoundTake]:
    """Lock all takes of a call. Raises TakenError when a living gateway holds one; OSError."""
    claimed: list[FoundTake] = []
    try:
        for path in takes(shelf).get(call_id, ()):
            if (hold := _lock(path)) is None:
                continue
            if (take := _read_take(path, hold)) is not None:
                claimed.append(take)
            else:  # its gateway was killed before anything was in it
                hold.release()
                shutil.rmtree(path, ignore_errors=True)
    except BaseException:
        for take in claimed:
            take.release()
        raise
    return claimed


def clear(shelf: Shelf, call_id: UUID) -> None:
    """Remove all takes of a call that is about to be written anew. Raises TakenError; OSError."""
    for take in claim(shelf, call_id):
        try:
            take.remove()
        finally:
            take.release()


def pauses_of(found: Iterable[FoundTake], zero: datetime) -> Pauses:
    """Return what these takes leave out, on the clock that begins at `zero`."""
    acts = [(act.at_ms + take.zero_ms(zero), act.what == "paused") for take in found for act in take.acts]
    return told(acts)


def look(shelf: Shelf, call_ids: Iterable[UUID]) -> list[About]:
    """Return whose takes these are; broken ones tell nothing."""
    found, seen = takes(shelf), []
    for call_id in call_ids:
        first = next(filter(None, map(_read_take, found.get(call_id, ()))), None)
        if first is not None:
            seen.append(first.about)
    return seen


def tidy(shelf: Shelf) -> None:
    """Remove what a gateway was killed while making, or removing."""
    for path in (path for paths in takes(shelf).values() for path in paths):
        with contextlib.suppress(OSError):
            if not (path / "lock").exists() and time.time() - path.stat().st_mtime > _MADE_WITHIN_S:
                shutil.rmtree(path)


def _lock(path: Path) -> Hold | None:
    """Lock a take; None when there is nothing to lock yet, or any more. Raises TakenError."""
    try:
        fd = os.open(path / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    hold = Hold(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hold.release()
        raise TakenError from None
    if os.fstat(fd).st_nlink == 0:  # finished and removed meanwhile
        hold.release()
        return None
    return hold


def _read_take(path: Path, hold: Hold | None = None) -> FoundTake | None:
    try:
        about = _about.decode((path / "about").read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return FoundTake(path, hold, about, tuple(_read_journal(path / "journal")))


def _read_journal(path: Path) -> list[Entry]:
    entries = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(msgspec.MsgspecError):  # a line that a kill cut short
                entries.append(_entry.decode(line))
    return entries


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
