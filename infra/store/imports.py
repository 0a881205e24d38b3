"""Recordings that are brought in: what was sent, how far it has come, and which call it became."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast
from uuid import UUID, uuid4

import asyncpg

ImportStatus = Literal["uploading", "waiting", "running", "done", "failed", "cancelled"]
Parties = Literal["auto", "two", "mixed", "one"]
"""Who is heard: one party a channel, all on one track, or a single party; auto goes by the channels."""
LeftRole = Literal["customer", "agent"]

OPEN: Final[tuple[ImportStatus, ...]] = ("uploading", "waiting", "running")
OPEN_MOST: Final = 1000
"""Imports of one tenant that are not finished."""

_COLUMNS: Final = """
    i.id, i.tenant_id, i.place, i.name, i.size_bytes, i.sha256, i.number, i.parties, i.left_role, i.title,
    i.from_number, i.to_number, i.started_at, i.modified_at, i.status, i.received_bytes, i.cancel_asked,
    i.call_id, i.duration_ms, i.problem, i.created_at, i.updated_at, i.ended_at
"""
_VIEW: Final = f"""
SELECT {_COLUMNS}, u.name AS created_by,
    CASE WHEN i.status = 'done' THEN i.duration_ms ELSE coalesce(
        (SELECT min(CASE WHEN t.closed_at IS NULL THEN t.resume_ms ELSE i.duration_ms END)
            FROM tracks t WHERE t.call_id = i.call_id), 0) END AS transcribed_ms
FROM imports i LEFT JOIN users u ON u.id = i.user_id
"""  # noqa: S608  (only our own column list is put in)
NEWEST_OF_FILE: Final = f"{_VIEW} WHERE i.tenant_id = $1 AND i.sha256 = $2 ORDER BY i.number DESC LIMIT 1"
GET_IMPORT: Final = f"{_VIEW} WHERE i.tenant_id = $1 AND i.id = $2"
LIST_IMPORTS: Final = f"""
{_VIEW} WHERE i.tenant_id = $1 AND ($2::timestamptz IS NULL OR (i.created_at, i.id) < ($2, $3::uuid))
ORDER BY i.created_at DESC, i.id DESC LIMIT $4
"""
COUNT_OPEN: Final = """
SELECT count(*) FROM imports WHERE tenant_id = $1 AND status IN ('uploading', 'waiting', 'running')
"""
ADD_IMPORT: Final = """
INSERT INTO imports (id, tenant_id, user_id, place, name, size_bytes, sha256, number, parties, left_role, title,
    from_number, to_number, started_at, modified_at)
VALUES ($1, $2, (SELECT id FROM users WHERE id = $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
RECEIVED: Final = """
UPDATE imports SET received_bytes = $3, updated_at = now(),
    status = CASE WHEN $3 >= size_bytes THEN 'waiting' ELSE status END
WHERE id = $1 AND received_bytes = $2 AND status = 'uploading' RETURNING status
"""
ASK_TO_CANCEL: Final = """
UPDATE imports SET cancel_asked = true, updated_at = now(),
    status = CASE WHEN status = 'running' THEN status ELSE 'cancelled' END,
    ended_at = CASE WHEN status = 'running' THEN ended_at ELSE now() END
WHERE tenant_id = $1 AND id = $2 AND status IN ('uploading', 'waiting', 'running') RETURNING status
"""
OPEN_IMPORTS: Final = f"""
SELECT {_COLUMNS} FROM imports i WHERE status IN ('waiting', 'running') AND place = $1
ORDER BY (status = 'running') DESC, created_at, id LIMIT $2
"""  # noqa: S608  (the same)
UNFINISHED_AMONG: Final = """
SELECT id FROM imports WHERE id = ANY ($1::uuid[]) AND status IN ('uploading', 'waiting', 'running')
"""
BEGIN_IMPORT: Final = """
UPDATE imports SET status = 'running', updated_at = now()
WHERE id = $1 AND status IN ('waiting', 'running') RETURNING cancel_asked
"""
NOTE_OPENED: Final = """
UPDATE imports SET call_id = $2, started_at = coalesce(started_at, $3), duration_ms = $4, parties = $5,
    updated_at = now()
WHERE id = $1
"""
NOTE_LENGTH: Final = "UPDATE imports SET duration_ms = $2, problem = $3, updated_at = now() WHERE id = $1"
IS_CANCELLED: Final = "SELECT cancel_asked FROM imports WHERE id = $1"
END_IMPORT: Final = """
UPDATE imports SET status = $2, problem = coalesce($3, problem), ended_at = now(), updated_at = now()
WHERE id = $1 AND status IN ('waiting', 'running')
"""
GIVE_UP_UPLOADS: Final = """
UPDATE imports SET status = 'failed', problem = 'the upload was never completed', ended_at = now(), updated_at = now()
WHERE status = 'uploading' AND updated_at < now() - make_interval(hours => $1)
"""
LEAVE_CALL: Final = """
UPDATE legs SET joined_at = calls.started_at, left_at = $2, left_reason = $3 FROM calls
WHERE calls.id = $1 AND legs.call_id = $1 AND legs.left_at IS NULL
"""


class TooManyImports(ValueError):
    """A tenant has as many unfinished imports as it may have."""

    def __init__(self) -> None:
        super().__init__(f"{OPEN_MOST} imports are not finished yet; wait for some of them, or cancel them")


@dataclass(frozen=True, slots=True)
class NewImport:
    """A file that somebody wants to bring in."""

    name: str
    size_bytes: int
    sha256: str
    """64 hexadecimal digits, small letters."""
    parties: Parties = "auto"
    left_role: LeftRole = "customer"
    """Whose the left channel is, or the only one."""
    title: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    started_at: datetime | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """An import as its runner sees it."""

    id: UUID
    tenant_id: UUID
    name: str
    size_bytes: int
    sha256: str
    number: int
    parties: Parties
    left_role: LeftRole
    title: str | None
    from_number: str | None
    to_number: str | None
    started_at: datetime | None
    modified_at: datetime | None
    created_at: datetime
    status: ImportStatus

    @property
    def external_id(self) -> str:
        """The name of the call that it becomes: the same for the same file, unless that was brought in again."""
        return f"file:{self.sha256}" if self.number == 1 else f"file:{self.sha256}:{self.number}"


class ImportStore:
    """Reads and writes of imports."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(
        self, tenant_id: UUID, user_id: UUID | None, place: str, new: NewImport, *, again: bool
    ) -> tuple[asyncpg.Record, bool]:
        """Return the import of this file, and whether it is new. The row is as `get` returns it.

        `place`: infra.inbox.Inbox.place.

        One that is under way is returned as it is, so that it goes on; one that is done too, unless `again`; one that
        failed or was cancelled makes room for a new one. Raises TooManyImports.
        """
        while True:
            known = await self._pool.fetchrow(NEWEST_OF_FILE, tenant_id, new.sha256)
            if known is not None and (known["status"] in OPEN or (known["status"] == "done" and not again)):
                return known, False
            if await self._pool.fetchval(COUNT_OPEN, tenant_id) >= OPEN_MOST:
                raise TooManyImports
            import_id, number = uuid4(), known["number"] + 1 if known is not None else 1
            try:
                await self._pool.execute(
                    ADD_IMPORT,
                    import_id,
                    tenant_id,
                    user_id,
                    place,
                    new.name,
                    new.size_bytes,
                    new.sha256,
                    number,
                    new.parties,
                    new.left_role,
                    new.title,
                    new.from_number,
                    new.to_number,
                    new.started_at,
                    new.modified_at,
                )
            except asyncpg.UniqueViolationError:
                continue  # somebody else brings in the same file at this moment
            row = await self.get(tenant_id, import_id)
            assert row is not None
            return row, True

    async def get(self, tenant_id: UUID, import_id: UUID) -> asyncpg.Record | None:
        """Return an import with `created_by` and `transcribed_ms`, None when this tenant has none of that id."""
        return await self._pool.fetchrow(GET_IMPORT, tenant_id, import_id)

    async def page(self, tenant_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int) -> list[asyncpg.Record]:
        """Return a page of imports, the newest first."""
        created_at, import_id = after or (None, None)
        return await self._pool.fetch(LIST_IMPORTS, tenant_id, created_at, import_id, limit)

    async def received(self, import_id: UUID, before_bytes: int, after_bytes: int) -> ImportStatus | None:
        """Store that the file has grown; None when it was not that long, or is not awaited any more."""
        return cast("ImportStatus | None", await self._pool.fetchval(RECEIVED, import_id, before_bytes, after_bytes))

    async def ask_to_cancel(self, tenant_id: UUID, import_id: UUID) -> ImportStatus | None:
        """Have an import stopped; return how it stands then, None when it was finished already."""
        return cast("ImportStatus | None", await self._pool.fetchval(ASK_TO_CANCEL, tenant_id, import_id))

    # For the runner.

    async def waiting(self, place: str, limit: int = 200) -> list[Job]:
        """Return what is to be run in this place: first what was under way, then the oldest."""
        return [_job(row) for row in await self._pool.fetch(OPEN_IMPORTS, place, limit)]

    async def unfinished(self, import_ids: list[UUID]) -> set[UUID]:
        """Return those whose files are still needed."""
        return {row["id"] for row in await self._pool.fetch(UNFINISHED_AMONG, import_ids)}

    async def begin(self, import_id: UUID) -> bool | None:
        """Store that it runs; return whether it is to be cancelled, None when it is over."""
        return cast("bool | None", await self._pool.fetchval(BEGIN_IMPORT, import_id))

    async def opened(
        self, import_id: UUID, call_id: UUID, *, started_at: datetime, duration_ms: int | None, parties: Parties
    ) -> None:
        """Store which call it becomes and what the file says; what somebody told before stands."""
        await self._pool.execute(NOTE_OPENED, import_id, call_id, started_at, duration_ms, parties)

    async def read_through(self, import_id: UUID, duration_ms: int, problem: str | None) -> None:
        """Store how long it is, and what of it could not be read."""
        await self._pool.execute(NOTE_LENGTH, import_id, duration_ms, problem)

    async def cancel_asked(self, import_id: UUID) -> bool:
        """Return whether somebody wants it stopped."""
        return bool(await self._pool.fetchval(IS_CANCELLED, import_id))

    async def end(
        self, import_id: UUID, status: Literal["done", "failed", "cancelled"], problem: str | None = None
    ) -> None:
        """Store how it ended."""
        await self._pool.execute(END_IMPORT, import_id, status, problem)

    async def give_up_uploads(self, after_hours: int) -> None:
        """Let go of uploads of which nothing has come for so long."""
        await self._pool.execute(GIVE_UP_UPLOADS, after_hours)

    async def leave(self, call_id: UUID, at: datetime, reason: str) -> None:
        """Store that all parties of an imported call have left."""
        await self._pool.execute(LEAVE_CALL, call_id, at, reason)


def _job(row: asyncpg.Record) -> Job:
    return Job(**{name: row[name] for name in Job.__slots__})
