"""Calls, their legs and tracks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from infra.model import Call, Leg, Stage, Track, side_of

UPSERT_CALL: Final = """
INSERT INTO calls (id, tenant_id, external_id, door, title, from_number, to_number, gateway_id, started_at,
    owner_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING
"""
REOPEN_CALL: Final = """
UPDATE calls SET status = 'live', gateway_id = $2, end_reason = NULL, ended_at = NULL, duration_ms = NULL,
    settled_at = NULL, updated_at = now()
WHERE id = $1 AND (status <> 'live' OR gateway_id <> $2) RETURNING id
"""
UPSERT_LEG: Final = """
INSERT INTO legs (id, tenant_id, call_id, role, name, user_id)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING
"""
RENAME_LEG: Final = "UPDATE legs SET name = $2 WHERE id = $1"
SET_STAGE: Final = """
UPDATE calls SET stage = $2, queue_id = $3, agent_id = coalesce($4, agent_id), updated_at = now() WHERE id = $1
"""
AGENT_OF_CALL: Final = "SELECT agent_id FROM calls WHERE id = $1"
NOTE_ACT: Final = """
INSERT INTO audit_log (tenant_id, user_id, act, object_id, detail)
VALUES ($1, (SELECT id FROM users WHERE id = $2), $3, $4, $5)
"""
UPSERT_TRACK: Final = """
INSERT INTO tracks (id, tenant_id, call_id, leg_id, role, label, speaker, mixed, side)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING
"""
CLOSE_LEG: Final = "UPDATE legs SET left_at = $2, left_reason = $3 WHERE id = $1 AND left_at IS NULL"
CLOSE_TRACK: Final = "UPDATE tracks SET closed_at = now(), close_reason = $2 WHERE id = $1 AND closed_at IS NULL"
LANGUAGE_OF_TRACK: Final = "SELECT language FROM tracks WHERE id = $1"
SET_LANGUAGE: Final = "UPDATE tracks SET language = $2 WHERE id = $1"
END_CALL: Final = """
UPDATE calls SET status = 'ended', end_reason = $2, ended_at = $3, duration_ms = $4, updated_at = now()
WHERE id = $1 AND status = 'live' AND ($5::text IS NULL OR gateway_id = $5) RETURNING id
"""
SETTLE_CALL: Final = "UPDATE calls SET settled_at = now(), updated_at = now() WHERE id = $1"
LIVE_CALLS: Final = """
SELECT id, tenant_id, gateway_id, started_at FROM calls c WHERE status = 'live' AND NOT EXISTS (
    SELECT 1 FROM imports i WHERE i.call_id = c.id AND i.status IN ('waiting', 'running'))
"""
CALL_LAST_MS: Final = """
SELECT greatest(
    coalesce((SELECT max(end_ms) FROM meeting_transcripts WHERE call_id = $1), 0),
    coalesce((SELECT max(end_ms) FROM gaps WHERE call_id = $1), 0),
    coalesce((SELECT max(resume_ms) FROM tracks WHERE call_id = $1), 0))
"""
TRACKS_KNOWN_TO: Final = "SELECT id, resume_ms FROM tracks WHERE call_id = $1"
LEAVE_WITH_GATEWAY: Final = """
UPDATE legs SET left_at = now(), left_reason = 'gateway lost' WHERE call_id = $1 AND left_at IS NULL
"""
ORIGIN: Final = """
SELECT tenant_id, door, external_id, owner_id, started_at FROM calls WHERE id = $1
"""
CALL_STATE: Final = "SELECT status, end_reason, settled_at FROM calls WHERE id = $1"

_SUMMARY_COLUMNS: Final = """
    c.id, c.external_id, c.door, c.title, c.status, c.end_reason, c.from_number, c.to_number,
    c.started_at, c.ended_at, c.duration_ms, c.settled_at,
    CASE WHEN c.status = 'live' THEN c.stage END AS stage, queue.name AS queue, agent.name AS agent,
    summary.body ->> 'text' AS summary,
    intent.body AS intent,
    sentiment.body AS sentiment,
    complaint.body AS complaint,
    (SELECT count(*) FROM meeting_transcripts t WHERE t.call_id = c.id) AS segment_count,
    (SELECT count(*) FROM insights i WHERE i.call_id = c.id AND i.kind = 'action_item'
        AND i.body ->> 'status' = 'open') AS open_action_items,
    CASE WHEN c.status = 'live' THEN (
        SELECT jsonb_build_object('segment_id', t.id, 'role', t.role, 'text', t.cleaned_text, 'start_ms', t.start_ms,
            'is_final', true)
        FROM meeting_transcripts t WHERE t.call_id = c.id ORDER BY t.start_ms DESC, t.id DESC LIMIT 1
    ) END AS last_line
FROM calls c
LEFT JOIN queues queue ON queue.id = c.queue_id
LEFT JOIN users agent ON agent.id = c.agent_id
LEFT JOIN insights summary ON summary.call_id = c.id AND summary.kind = 'summary' AND summary.key = 'summary'
LEFT JOIN insights intent ON intent.call_id = c.id AND intent.kind = 'intent' AND intent.key = 'intent'
LEFT JOIN insights sentiment
    ON sentiment.call_id = c.id AND sentiment.kind = 'sentiment' AND sentiment.key = 'sentiment'
LEFT JOIN insights complaint
    ON complaint.call_id = c.id AND complaint.kind = 'complaint' AND complaint.key = 'complaint'
"""
LIST_CALLS: Final = f"""
SELECT {_SUMMARY_COLUMNS}
WHERE c.tenant_id = $1
  AND ($2::text IS NULL OR c.status = $2)
  AND ($3::text IS NULL OR c.external_id = $3)
  AND ($4::timestamptz IS NULL OR c.started_at >= $4)
  AND ($5::timestamptz IS NULL OR c.started_at < $5)
  AND ($6::text IS NULL OR c.from_number ILIKE $6 OR c.to_number ILIKE $6 OR c.title ILIKE $6
       OR c.external_id ILIKE $6 OR summary.body ->> 'text' ILIKE $6
       OR EXISTS (SELECT 1 FROM meeting_transcripts t WHERE t.call_id = c.id AND t.cleaned_text ILIKE $6))
  AND ($7::boolean IS NULL OR (c.status = 'live', c.started_at, c.id) < ($7, $8::timestamptz, $9::uuid))
ORDER BY (c.status = 'live') DESC, c.started_at DESC, c.id DESC
LIMIT $10
"""  # noqa: S608  (only our own column list is put in)
GET_CALL: Final = f"SELECT {_SUMMARY_COLUMNS} WHERE c.tenant_id = $1 AND c.id = $2"
FIND_CALL: Final = """
SELECT id FROM calls WHERE tenant_id = $1 AND external_id = $2 ORDER BY started_at DESC LIMIT 1
"""
TENANT_OF_CALL: Final = "SELECT tenant_id FROM calls WHERE id = $1"
LEGS_OF_CALL: Final = """
SELECT id, role, name, joined_at, left_at, left_reason FROM legs WHERE call_id = $1 ORDER BY joined_at, id
"""
TRACKS_OF_CALL: Final = """
SELECT id, leg_id, role, side, label, speaker, language, mixed, speakers_revision, closed_at IS NOT NULL AS closed,
    close_reason
FROM tracks WHERE call_id = $1 ORDER BY speaker, opened_at
"""


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; None does not filter."""

    status: str | None = None
    external_id: str | None = None
    started_from: datetime | None = None
    started_to: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list of calls goes on: behind this call."""

    live: bool
    started_at: datetime
    id: UUID


class CallStore:
    """Reads and writes of calls; every write may be repeated."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def open(self, call: Call, gateway_id: str) -> None:
        """Store a call as live; one that had ended is live again. Who was in it when its gateway died has left."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(UPSERT_CALL, *_call_row(call, gateway_id))
            if await connection.fetchval(REOPEN_CALL, call.id, gateway_id) is not None:
                await connection.execute(LEAVE_WITH_GATEWAY, call.id)

    async def add(self, call: Call, gateway_id: str) -> None:
        """Store a call if it is not there yet."""
        await self._pool.execute(UPSERT_CALL, *_call_row(call, gateway_id))

    async def add_leg(self, call: Call, leg: Leg, gateway_id: str, user_id: UUID | None = None) -> None:
        """Store a leg, and its call if that is not there yet; `user_id`: whose it is, if it is one of ours."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(UPSERT_CALL, *_call_row(call, gateway_id))
            await connection.execute(UPSERT_LEG, leg.id, call.tenant_id, call.id, leg.role, leg.name, user_id)

    async def rename_leg(self, leg_id: UUID, name: str | None) -> None:
        """Store what a party is called."""
        await self._pool.execute(RENAME_LEG, leg_id, name)

    async def add_track(self, call: Call, leg: Leg, track: Track, speaker: str, gateway_id: str) -> None:
        """Store a track, and its leg and call if they are not there yet."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(UPSERT_CALL, *_call_row(call, gateway_id))
            await connection.execute(UPSERT_LEG, leg.id, call.tenant_id, call.id, leg.role, leg.name, None)
            about = track.label, speaker, track.mixed, side_of(leg.role)
            await connection.execute(UPSERT_TRACK, track.id, call.tenant_id, call.id, leg.id, leg.role, *about)

    async def close_leg(self, leg_id: UUID, at: datetime, reason: str) -> None:
        """Store that a party left."""
        await self._pool.execute(CLOSE_LEG, leg_id, at, reason)

    async def close_track(self, track_id: UUID, reason: str) -> None:
        """Store that a track's last segment is in."""
        await self._pool.execute(CLOSE_TRACK, track_id, reason)

    async def end(
        self, call_id: UUID, reason: str, at: datetime, duration_ms: int, *, gateway_id: str | None = None
    ) -> bool:
        """Store that a call ended; False when it had ended before, or has moved on from the gateway that is named."""
        ended = await self._pool.fetchval(END_CALL, call_id, reason, at, duration_ms, gateway_id) is not None
        if ended and gateway_id is not None:
            await self._pool.execute(LEAVE_WITH_GATEWAY, call_id)
        return ended

    async def set_stage(self, call_id: UUID, stage: Stage, *, queue_id: UUID | None, agent_id: UUID | None) -> None:
        """Store where a bridged call stands; `agent_id`: who talks to the caller, None: as before."""
        await self._pool.execute(SET_STAGE, call_id, stage, queue_id, agent_id)

    async def agent(self, call_id: UUID) -> UUID | None:
        """Return who talks to the caller, or did last."""
        found = await self._pool.fetchval(AGENT_OF_CALL, call_id)
        return found if isinstance(found, UUID) else None

    async def note_act(self, call: Call, user_id: UUID | None, act: str, detail: dict[str, Any]) -> None:
        """Write down what somebody did in a call, or what was done to its caller."""
        await self._pool.execute(NOTE_ACT, call.tenant_id, user_id, act, str(call.id), detail)

    async def language(self, track_id: UUID) -> str | None:
        """Return what a track was found to speak, None where that is not known yet."""
        found = await self._pool.fetchval(LANGUAGE_OF_TRACK, track_id)
        return found if isinstance(found, str) else None

    async def set_language(self, track_id: UUID, language: str) -> None:
        """Store what a track speaks."""
        await self._pool.execute(SET_LANGUAGE, track_id, language)

    async def settle(self, call_id: UUID) -> None:
        """Store that a call's insights are final."""
        await self._pool.execute(SETTLE_CALL, call_id)

    async def live(self) -> list[asyncpg.Record]:
        """Return (id, tenant_id, gateway_id, started_at) of every call on the line; imports wait for their gateway."""
        return await self._pool.fetch(LIVE_CALLS)

    async def last_ms(self, call_id: UUID) -> int:
        """Return the latest moment on the call's clock that anything is known of."""
        return int(await self._pool.fetchval(CALL_LAST_MS, call_id))

    async def heard_until(self, call_id: UUID) -> dict[UUID, int]:
        """Return, for each track, up to where its words are stored, in milliseconds of the call."""
        return {row["id"]: row["resume_ms"] for row in await self._pool.fetch(TRACKS_KNOWN_TO, call_id)}

    async def origin(self, call_id: UUID) -> asyncpg.Record | None:
        """Return (tenant_id, door, external_id, owner_id, started_at), None for an unknown call."""
        return await self._pool.fetchrow(ORIGIN, call_id)

    async def state(self, call_id: UUID) -> asyncpg.Record | None:
        """Return (status, end_reason, settled_at), None for an unknown call."""
        return await self._pool.fetchrow(CALL_STATE, call_id)

    async def page(
        self, tenant_id: UUID, chosen: CallFilter, *, after: Position | None, limit: int
    ) -> list[asyncpg.Record]:
        """Return a page of call summaries, live ones first, then the newest."""
        like = f"%{_escape_like(chosen.text)}%" if chosen.text else None
        return await self._pool.fetch(
            LIST_CALLS,
            tenant_id,
            chosen.status,
            chosen.external_id,
            chosen.started_from,
            chosen.started_to,
            like,
            after.live if after else None,
            after.started_at if after else None,
            after.id if after else None,
            limit,
        )

    async def get(self, tenant_id: UUID, call_id: UUID) -> asyncpg.Record | None:
        """Return a call's summary, None when this tenant has no such call."""
        return await self._pool.fetchrow(GET_CALL, tenant_id, call_id)

    async def find(self, tenant_id: UUID, external_id: str) -> UUID | None:
        """Return the newest call with that external id."""
        found = await self._pool.fetchval(FIND_CALL, tenant_id, external_id)
        return found if isinstance(found, UUID) else None

    async def tenant(self, call_id: UUID) -> UUID | None:
        """Return whose call this is, None for an unknown one."""
        found = await self._pool.fetchval(TENANT_OF_CALL, call_id)
        return found if isinstance(found, UUID) else None

    async def legs(self, call_id: UUID) -> list[asyncpg.Record]:
        """Return the legs of a call in the order of joining."""
        return await self._pool.fetch(LEGS_OF_CALL, call_id)

    async def tracks(self, call_id: UUID) -> list[asyncpg.Record]:
        """Return the tracks of a call in the order of their speakers."""
        return await self._pool.fetch(TRACKS_OF_CALL, call_id)


def _call_row(call: Call, gateway_id: str) -> tuple[Any, ...]:
    return (
        call.id,
        call.tenant_id,
        call.external_id,
        call.door,
        call.title,
        call.from_number,
        call.to_number,
        gateway_id,
        call.started_at,
        call.owner_id,
    )


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
