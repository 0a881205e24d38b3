"""What Twilio told us: its recordings, and which of its notices were heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import asyncpg

from infra.model import DEFAULT_TENANT

TwilioRecordingStatus = Literal["in-progress", "completed", "absent", "failed"]
Claim = Literal["ours", "theirs", "done"]

# A late 'in-progress' takes nothing back, and a repeated notice changes nothing.
PUT_RECORDING: Final = """
INSERT INTO twilio_recordings (recording_sid, tenant_id, call_id, call_sid, status, url, duration_s, channels, source,
    error_code)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (recording_sid) DO UPDATE SET status = excluded.status,
    url = coalesce(excluded.url, twilio_recordings.url),
    duration_s = coalesce(excluded.duration_s, twilio_recordings.duration_s),
    channels = coalesce(excluded.channels, twilio_recordings.channels),
    source = coalesce(excluded.source, twilio_recordings.source),
    error_code = coalesce(excluded.error_code, twilio_recordings.error_code), updated_at = now()
WHERE twilio_recordings.status = 'in-progress' AND excluded.status <> 'in-progress'
    AND twilio_recordings.tenant_id = excluded.tenant_id
RETURNING recording_sid
"""
RECORDINGS_OF_CALL: Final = """
SELECT recording_sid, call_id, call_sid, status, url, duration_s, channels, source, error_code, tenant_id
FROM twilio_recordings WHERE call_id = $1 ORDER BY created_at, recording_sid
"""
CLAIM_NOTICE: Final = """
INSERT INTO twilio_notices (tenant_id, call_sid, notice) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, call_sid, notice) DO UPDATE SET claimed_at = now()
    WHERE twilio_notices.done_at IS NULL AND twilio_notices.claimed_at < now() - make_interval(secs => $4)
RETURNING call_sid
"""
NOTICE_IS_DONE: Final = """
SELECT done_at IS NOT NULL FROM twilio_notices WHERE tenant_id = $1 AND call_sid = $2 AND notice = $3
"""
FINISH_NOTICE: Final = """
UPDATE twilio_notices SET done_at = now() WHERE tenant_id = $1 AND call_sid = $2 AND notice = $3
"""
RELEASE_NOTICE: Final = """
DELETE FROM twilio_notices WHERE tenant_id = $1 AND call_sid = $2 AND notice = $3 AND done_at IS NULL
"""
FORGET_NOTICES: Final = "DELETE FROM twilio_notices WHERE claimed_at < now() - interval '7 days'"


@dataclass(frozen=True, slots=True)
class TwilioRecording:
    """A recording that Twilio made and keeps."""

    recording_sid: str
    call_id: UUID
    call_sid: str
    status: TwilioRecordingStatus
    url: str | None = None
    duration_s: int | None = None
    channels: int | None = None
    source: str | None = None
    """What it was made by: RecordVerb, DialVerb, StartCallRecordingAPI, ..."""
    error_code: str | None = None
    tenant_id: UUID = DEFAULT_TENANT


class TwilioStore:
    """Reads and writes of what Twilio told us; every write may be repeated."""

    def __init__(self, pool: asyncpg.Pool, *, claim_s: float = 10.0) -> None:
        """`claim_s`: after so long a claim that came to nothing may be taken over, in seconds."""
        self._pool = pool
        self._claim_s = claim_s

    async def put_recording(self, recording: TwilioRecording) -> bool:
        """Store a recording or how it ended; False when that is no news."""
        stored = await self._pool.fetchval(
            PUT_RECORDING,
            recording.recording_sid,
            recording.tenant_id,
            recording.call_id,
            recording.call_sid,
            recording.status,
            recording.url,
            recording.duration_s,
            recording.channels,
            recording.source,
            recording.error_code,
        )
        return stored is not None

    async def recordings(self, call_id: UUID) -> list[TwilioRecording]:
        """Return Twilio's recordings of a call, the first one first."""
        return [TwilioRecording(**row) for row in await self._pool.fetch(RECORDINGS_OF_CALL, call_id)]

    async def claim(self, tenant_id: UUID, call_sid: str, notice: str) -> Claim:
        """Claim a notice, so that one server alone carries it out: finish or release it soon.

        'done': it was carried out before. 'theirs': somebody is about it.
        """
        key = (tenant_id, call_sid, notice)
        if await self._pool.fetchval(CLAIM_NOTICE, *key, self._claim_s) is not None:
            return "ours"
        return "done" if await self._pool.fetchval(NOTICE_IS_DONE, *key) else "theirs"

    async def finish(self, tenant_id: UUID, call_sid: str, notice: str) -> None:
        """Store that a notice was carried out."""
        await self._pool.execute(FINISH_NOTICE, tenant_id, call_sid, notice)

    async def release(self, tenant_id: UUID, call_sid: str, notice: str) -> None:
        """Give a claim back."""
        await self._pool.execute(RELEASE_NOTICE, tenant_id, call_sid, notice)

    async def forget_old(self) -> None:
        """Remove notices of more than a week ago: Twilio repeats none so late."""
        await self._pool.execute(FORGET_NOTICES)
