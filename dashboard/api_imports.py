"""/api/v1/imports: recordings that are brought in, sent piece by piece and watched until they are calls."""

from __future__ import annotations

import asyncio
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import web

from dashboard import params
from dashboard.api import answer
from dashboard.problem import Problem, bad_parameter
from dashboard.views import ImportPage, import_view
from infra.inbox import Inbox
from infra.settings import Settings
from infra.store.imports import ImportStore, LeftRole, NewImport, Parties, TooManyImports
from infra.store.users import User, UserStore

IMPORTS_PAGE: Final = 50
IMPORTS_MOST: Final = 200
PIECE_TYPE: Final = "application/octet-stream"
_NAME_CHARS: Final = 255

Text = Annotated[str, msgspec.Meta(max_length=200)]


class ImportFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is to be sent, and what is known of the call on it.

    `parties`: two (one a channel), mixed (several people on one channel), one, or auto: two on stereo, else mixed.
    `left`: whose the left channel is, or the only one. `started_at`: without it, what the file says, else
    `modified_at`, when it was last written. `again`: bring it in once more, although it is a call already.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    parties: Parties = "auto"
    left: LeftRole = "customer"
    title: Text | None = None
    from_number: Text | None = None
    to_number: Text | None = None
    started_at: datetime | None = None
    modified_at: datetime | None = None
    again: bool = False


class ImportPlace(msgspec.Struct, frozen=True):
    """Where a page of imports ends."""

    created_at: datetime
    import_id: UUID


class ImportApi:
    """The operations on imports."""

    def __init__(self, pool: asyncpg.Pool, users: UserStore, settings: Settings) -> None:
        self._imports = ImportStore(pool)
        self._users = users
        self._inbox = Inbox(settings.hearline_data_dir)
        self._max_bytes = settings.hearline_import_mb * 1_000_000

    async def list_imports(self, request: web.Request) -> web.Response:
        """GET /api/v1/imports: the newest first."""
        most = params.limit(request, default=IMPORTS_PAGE, most=IMPORTS_MOST)
        after = params.position(request, ImportPlace)
        behind = (after.created_at, after.import_id) if after else None
        rows = await self._imports.page(request["user"].tenant_id, after=behind, limit=most + 1)
        follows = None
        if len(rows) > most:
            last = rows[most - 1]
            follows = params.place(ImportPlace(last["created_at"], last["id"]))
        return answer(ImportPage([import_view(row) for row in rows[:most]], follows, self._max_bytes))

    async def get_import(self, request: web.Request) -> web.Response:
        """GET /api/v1/imports/{import_id}."""
        return answer(import_view(await self._require(request)))

    async def add_import(self, request: web.Request) -> web.Response:
        """POST /api/v1/imports: announce a file, or find it again; 201 when it is new."""
        user: User = request["user"]
        fields = await params.body(request, ImportFields)
        if fields.size_bytes > self._max_bytes:
            raise Problem(
                413, f"the file is larger than {self._max_bytes // 1_000_000} MB, the most that may be imported"
            )
        new = NewImport(
            name=_file_name(fields.name),
            size_bytes=fields.size_bytes,
            sha256=fields.sha256,
            parties=fields.parties,
            left_role=fields.left,
            title=_printable("title", fields.title),
            from_number=_printable("from_number", fields.from_number),
            to_number=_printable("to_number", fields.to_number),
            started_at=_moment("started_at", fields.started_at),
            modified_at=_moment("modified_at", fields.modified_at),
        )
        if not await asyncio.to_thread(self._inbox.has_room, fields.size_bytes):
            raise Problem(507, "the server's disk has no room for this file")
        place = await asyncio.to_thread(lambda: self._inbox.place)
        try:
            row, is_new = await self._imports.add(user.tenant_id, user.id, place, new, again=fields.again)
        except TooManyImports as error:
            raise Problem(409, str(error)) from None
        if is_new:
            await self._users.audit(user, "import.add", str(row["id"]), {"bytes": fields.size_bytes})
        response = answer(import_view(row, is_new=is_new))
        response.set_status(201 if is_new else 200)
        return response

    async def put_import_content(self, request: web.Request) -> web.Response:
        """PUT /api/v1/imports/{import_id}/content?offset=: the bytes of the file from there on."""
        if request.content_type != PIECE_TYPE:
            raise Problem(415, f"send the bytes as {PIECE_TYPE}")
        offset = _offset(request)
        data = await request.read()
        row = await self._require(request)  # as it stands now: the bytes may have been long on their way
        if row["status"] != "uploading":
            raise Problem(409, "no bytes of this file are awaited", status_now=row["status"])
        if row["place"] != await asyncio.to_thread(lambda: self._inbox.place):
            raise Problem(409, "this file was begun at another server; send it there")
        if offset != row["received_bytes"]:
            raise _elsewhere(row["received_bytes"])
        if not data or offset + len(data) > row["size_bytes"]:
            raise bad_parameter("offset", "the bytes do not fit into the file as it was announced")
        end = offset + len(data)
        try:
            await asyncio.to_thread(self._inbox.write, row["id"], offset, data, last=end == row["size_bytes"])
        except OSError:
            raise Problem(507, "the server's disk refuses the file") from None
        if await self._imports.received(row["id"], offset, end) is None:
            raise _elsewhere((await self._require(request))["received_bytes"])
        return answer(import_view(await self._require(request)))

    async def cancel_import(self, request: web.Request) -> web.Response:
        """POST /api/v1/imports/{import_id}/cancel: what is transcribed by then stays."""
        user: User = request["user"]
        import_id = (await self._require(request))["id"]
        if await self._imports.ask_to_cancel(user.tenant_id, import_id) is not None:
            await self._users.audit(user, "import.cancel", str(import_id))
        return answer(import_view(await self._require(request)))

    async def _require(self, request: web.Request) -> asyncpg.Record:
        row = await self._imports.get(request["user"].tenant_id, params.path_uuid(request, "import_id"))
        if row is None:
            raise Problem(404, "there is no such import")
        return row


def _elsewhere(received_bytes: int) -> Problem:
    return Problem(409, f"the file goes on at byte {received_bytes}", received_bytes=received_bytes)


def _offset(request: web.Request) -> int:
    told = request.query.get("offset", "")
    if not (told.isascii() and told.isdigit() and len(told) <= 15):
        raise bad_parameter("offset", "is not a number of bytes")
    return int(told)


def _file_name(told: str) -> str:
    """Return the last part of what the file is called, without what cannot be printed."""
    name = unicodedata.normalize("NFC", told).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter for letter in name if letter.isprintable()).strip()
    if not name:
        raise bad_parameter("name", "is no name of a file")
    return name[-_NAME_CHARS:]


def _printable(name: str, value: str | None) -> str | None:
    text = (value or "").strip()
    if not text.isprintable():
        raise bad_parameter(name, "holds characters that cannot be printed")
    return text or None


def _moment(name: str, value: datetime | None) -> datetime | None:
    if value is None:
        return None
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if not params.FIRST <= moment <= params.LAST:
        raise bad_parameter(name, "is not within the years 1970 to 2200")
    return moment
