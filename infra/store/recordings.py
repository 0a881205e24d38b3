"""Recordings of calls, and the stretches that they leave out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from infra.model import stable_id

ASKED: Final = "asked"
"""Why there is a pause that somebody wanted; any other reason is something that went wrong."""

OPEN_RECORDING: Final = """
INSERT INTO recordings (id, tenant_id, call_id, path, codec, status) VALUES ($1, $2, $3, $4, $5, 'writing')
ON CONFLICT (id) DO UPDATE SET status = 'writing', reason = NULL, updated_at = now()
"""
SAVE_RECORDING: Final = """
INSERT INTO recordings (id, tenant_id, call_id, path, codec, status, bytes, duration_ms, reason)
VALUES ($1, $2, $3, $4, $5, 'saved', $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET status = 'saved', path = excluded.path, codec = excluded.codec,
    bytes = excluded.bytes, duration_ms = excluded.duration_ms, reason = excluded.reason, updated_at = now()
"""
FAIL_RECORDING: Final = """
INSERT INTO recordings (id, tenant_id, call_id, path, codec, status, reason)
VALUES ($1, $2, $3, $4, $5, 'failed', $6)
ON CONFLICT (id) DO UPDATE SET status = 'failed', reason = excluded.reason, updated_at = now()
"""
ADD_PAUSE: Final = """
INSERT INTO recording_pauses (recording_id, tenant_id, start_ms, end_ms, reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (recording_id, start_ms, reason) DO UPDATE SET end_ms = coalesce(excluded.end_ms, recording_pauses.end_ms)
"""
END_PAUSES: Final = """
UPDATE recording_pauses SET end_ms = greatest(start_ms, $2) WHERE recording_id = $1 AND end_ms IS NULL
"""
RECORDING_OF_CALL: Final = """
SELECT r.id, r.path, r.codec, r.status, r.bytes, r.duration_ms, r.reason, c.status AS call_status,
    coalesce(
        (SELECT jsonb_agg(jsonb_build_object('start_ms', p.start_ms, 'end_ms', p.end_ms, 'reason', p.reason)
            ORDER BY p.start_ms, p.reason) FROM recording_pauses p WHERE p.recording_id = r.id),
        '[]') AS pauses
FROM recordings r JOIN calls c ON c.id = r.call_id WHERE r.tenant_id = $1 AND r.call_id = $2
"""
ENDED_CALLS: Final = "SELECT id, duration_ms FROM calls WHERE id = ANY($1::uuid[]) AND status = 'ended'"
FORGET_RECORDINGS: Final = "DELETE FROM recordings WHERE call_id = ANY($1::uuid[]) AND status <> 'writing'"
FORGET_FAILED: Final = """
DELETE FROM recordings WHERE status = 'failed' AND created_at < now() - make_interval(days => $1)
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Whose recording it is and where it lies, or will lie."""

    tenant_id: UUID
    call_id: UUID
    path: str
    """infra.shelf.Shelf.name"""
    codec: str

    @property
    def id(self) -> UUID:
        """The recording's id: a call has one, however often it comes back."""
        return recording_id(self.call_id)


def recording_id(call_id: UUID) -> UUID:
    """Return the id of a call's recording."""
    return stable_id("recording", call_id)


class RecordingStore:
    """Reads and writes of recordings; every write may be repeated."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def open(self, of: Recorded) -> None:
        """Store that a recording is being written, perhaps again."""
        await self._pool.execute(OPEN_RECORDING, of.id, of.tenant_id, of.call_id, of.path, of.codec)

    async def save(self, of: Recorded, *, size_bytes: int, duration_ms: int, reason: str | None = None) -> None:
        """Store that a recording is finished; `reason`: why a part of it is missing. Pauses that last end with it."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                SAVE_RECORDING, of.id, of.tenant_id, of.call_id, of.path, of.codec, size_bytes, duration_ms, reason
            )
            await connection.execute(END_PAUSES, of.id, duration_ms)

    async def fail(self, of: Recorded, reason: str) -> None:
        """Store that there is no recording, or not all of it."""
        await self._pool.execute(FAIL_RECORDING, of.id, of.tenant_id, of.call_id, of.path, of.codec, reason)

    async def add_pause(self, of: Recorded, start_ms: int, end_ms: int | None, reason: str = ASKED) -> None:
        """Store a stretch that the recording leaves out; None: it lasts."""
        await self._pool.execute(ADD_PAUSE, of.id, of.tenant_id, start_ms, end_ms, reason)

    async def end_pause(self, of: Recorded, at_ms: int) -> None:
        """Store that the recording goes on."""
        await self._pool.execute(END_PAUSES, of.id, at_ms)

    async def of_call(self, tenant_id: UUID, call_id: UUID) -> asyncpg.Record | None:
        """Return (id, path, codec, status, bytes, duration_ms, reason, call_status, pauses), None without one."""
        return await self._pool.fetchrow(RECORDING_OF_CALL, tenant_id, call_id)

    async def ended(self, call_ids: Iterable[UUID]) -> dict[UUID, int]:
        """Return which of these calls have ended, with their lengths in ms."""
        rows = await self._pool.fetch(ENDED_CALLS, list(call_ids))
        return {row["id"]: row["duration_ms"] or 0 for row in rows}

    async def forget(self, call_ids: Iterable[UUID]) -> None:
        """Remove the recordings of these calls: their files are gone."""
        await self._pool.execute(FORGET_RECORDINGS, list(call_ids))

    async def forget_failed(self, days: int) -> None:
        """Remove what is known of recordings that failed more than so many days ago."""
        await self._pool.execute(FORGET_FAILED, days)
