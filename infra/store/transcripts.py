"""Final segments, gaps, and how far each track has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from infra.model import Call, Hole, Role, TranscriptSegment, Word, stable_id

# The compare-and-set and the segment are one statement: both are stored, or neither.
COMMIT_FINAL: Final = """
WITH moved AS (
    UPDATE tracks SET next_seq = $3 + 1, resume_chunk = $4, resume_ms = $5
    WHERE id = $2 AND next_seq = $20 AND $20 <= $3 RETURNING id, tenant_id, call_id, leg_id, role, mixed
)
INSERT INTO meeting_transcripts (id, tenant_id, call_id, leg_id, track_id, seq, chunk_index, title, original_text,
    cleaned_text, speaker, role, start_time, end_time, start_ms, end_ms, duration_seconds, language, confidence,
    words, latency_ms)
SELECT $1, tenant_id, call_id, leg_id, id, $3, $3, $6, $7, $8, $9, CASE WHEN mixed THEN $10 ELSE role END,
    $11, $12, $13, $14, $15, $16, $17, $18, $19
FROM moved
RETURNING role
"""
ADVANCE: Final = """
UPDATE tracks SET resume_chunk = $3, resume_ms = $4
WHERE id = $1 AND next_seq = $2 AND resume_chunk <= $3 RETURNING id
"""
PROGRESS: Final = "SELECT next_seq, resume_chunk, resume_ms, closed_at, close_reason FROM tracks WHERE id = $1"
ADD_GAP: Final = """
INSERT INTO gaps (id, tenant_id, call_id, track_id, start_ms, end_ms, cause)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING RETURNING id
"""
GAPS_OF_CALL: Final = "SELECT track_id, start_ms, end_ms, cause FROM gaps WHERE call_id = $1 ORDER BY start_ms, id"
_SEGMENT_COLUMNS: Final = """
    id, call_id, leg_id, track_id, role, speaker, seq, start_ms, end_ms, cleaned_text, original_text, language,
    confidence, words, latency_ms, speakers_revision
"""
FINALS_OF_CALL: Final = f"""
SELECT {_SEGMENT_COLUMNS} FROM meeting_transcripts WHERE call_id = $1 AND is_final ORDER BY start_ms, id
"""  # noqa: S608  (only our own column list is put in)
FINALS_OF_TRACK: Final = f"""
SELECT {_SEGMENT_COLUMNS} FROM meeting_transcripts WHERE track_id = $1 AND is_final AND seq >= $2 ORDER BY seq
"""  # noqa: S608  (the same)
PAGE_OF_CALL: Final = f"""
SELECT {_SEGMENT_COLUMNS} FROM meeting_transcripts
WHERE call_id = $1 AND is_final AND ($2::bigint IS NULL OR (start_ms, id) > ($2, $3::uuid))
ORDER BY start_ms, id LIMIT $4
"""  # noqa: S608  (the same)
NOTE_SUMMARY: Final = """
UPDATE meeting_transcripts SET llm_summary = $2, updated_at = now()
WHERE call_id = $1 AND ($3 OR llm_summary IS NULL)
"""


class NotOwnerError(RuntimeError):
    """Another worker has stored this track's next segment: stop working on it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a new owner of a track goes on."""

    next_seq: int = 0
    resume_chunk: int = 0
    resume_ms: int = 0
    closed: bool = False
    close_reason: str | None = None


class TranscriptStore:
    """Reads and writes of what was said."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def progress(self, track_id: UUID) -> Progress:
        """Return how far a track has come."""
        row = await self._pool.fetchrow(PROGRESS, track_id)
        if row is None:
            return Progress()
        closed = row["closed_at"] is not None
        return Progress(row["next_seq"], row["resume_chunk"], row["resume_ms"], closed, row["close_reason"])

    async def commit(
        self, call: Call, segment: TranscriptSegment, *, next_seq: int, resume_chunk: int, resume_ms: int
    ) -> Role:
        """Store a final segment and the track's progress together; returns its role, which a person may have said.

        `next_seq` is what the caller believes that `progress` would say: at most segment.seq, and less when segments
        between turned out to hold no words. Raises NotOwnerError when somebody else has come further.
        """
        role: Role | None = await self._pool.fetchval(
            COMMIT_FINAL,
            segment.id,
            segment.track_id,
            segment.seq,
            resume_chunk,
            resume_ms,
            call.title,
            segment.original_text,
            segment.text,
            segment.speaker,
            segment.role,
            call.started_at + timedelta(milliseconds=segment.start_ms),
            call.started_at + timedelta(milliseconds=segment.end_ms),
            segment.start_ms,
            segment.end_ms,
            (segment.end_ms - segment.start_ms) / 1000,
            segment.language,
            segment.confidence,
            [word_to_json(word) for word in segment.words],
            segment.latency_ms,
            next_seq,
        )
        if role is None:
            raise NotOwnerError(f"track {segment.track_id} has come further than segment {segment.seq}")
        return role

    async def advance(self, track_id: UUID, *, next_seq: int, resume_chunk: int, resume_ms: int) -> None:
        """Store that the audio before `resume_chunk` holds no words any more. Raises NotOwnerError as commit does."""
        if await self._pool.fetchval(ADVANCE, track_id, next_seq, resume_chunk, resume_ms) is None:
            raise NotOwnerError(f"track {track_id} has come further")

    async def add_gap(self, call: Call, track_id: UUID, hole: Hole) -> bool:
        """Store a gap; False when it was there before."""
        gap_id = stable_id("gap", track_id, hole.start_ms, hole.cause)
        stored = await self._pool.fetchval(
            ADD_GAP, gap_id, call.tenant_id, call.id, track_id, hole.start_ms, hole.end_ms, hole.cause
        )
        return stored is not None

    async def gaps(self, call_id: UUID) -> list[asyncpg.Record]:
        """Return the gaps of a call by time."""
        return await self._pool.fetch(GAPS_OF_CALL, call_id)

    async def of_call(self, call_id: UUID) -> list[TranscriptSegment]:
        """Return the final segments of a call by time."""
        return [_segment(row) for row in await self._pool.fetch(FINALS_OF_CALL, call_id)]

    async def of_track(self, track_id: UUID, *, from_seq: int = 0) -> list[TranscriptSegment]:
        """Return the final segments of a track from a number on."""
        return [_segment(row) for row in await self._pool.fetch(FINALS_OF_TRACK, track_id, from_seq)]

    async def page(self, call_id: UUID, *, after: tuple[int, UUID] | None, limit: int) -> list[TranscriptSegment]:
        """Return a page of final segments, behind (start_ms, id) when given."""
        start_ms, segment = after or (None, None)
        return [_segment(row) for row in await self._pool.fetch(PAGE_OF_CALL, call_id, start_ms, segment, limit)]

    async def note_summary(self, call_id: UUID, summary: dict[str, Any], *, everywhere: bool) -> None:
        """Write the insights known so far beside the segments that have none yet, or beside all of them."""
        await self._pool.execute(NOTE_SUMMARY, call_id, summary, everywhere)


def word_to_json(word: Word) -> dict[str, Any]:
    """Return a word as it is stored and sent."""
    told: dict[str, Any] = {"w": word.w, "start_ms": word.start_ms, "end_ms": word.end_ms, "p": round(word.p, 3)}
    return told if word.speaker is None else {**told, "speaker": word.speaker}


def segment_to_json(segment: TranscriptSegment) -> dict[str, Any]:
    """Return a segment as events and the API show it (CONTRACT: Events)."""
    return {
        "segment_id": segment.id,
        "track_id": segment.track_id,
        "leg_id": segment.leg_id,
        "role": segment.role,
        "speaker": segment.speaker,
        "seq": segment.seq,
        "start_ms": segment.start_ms,
        "end_ms": segment.end_ms,
        "text": segment.text,
        "original_text": segment.original_text,
        "language": segment.language,
        "confidence": round(segment.confidence, 3),
        "words": [word_to_json(word) for word in segment.words],
        "latency_ms": segment.latency_ms,
        "is_final": segment.is_final,
        "speakers_revision": segment.speakers_revision,
    }


def _segment(row: asyncpg.Record) -> TranscriptSegment:
    return TranscriptSegment(
        id=row["id"],
        call_id=row["call_id"],
        leg_id=row["leg_id"],
        track_id=row["track_id"],
        role=row["role"],
        speaker=row["speaker"],
        seq=row["seq"],
        start_ms=row["start_ms"],
        end_ms=row["end_ms"],
        text=row["cleaned_text"],
        original_text=row["original_text"],
        language=row["language"],
        confidence=row["confidence"],
        is_final=True,
        words=tuple(Word(w["w"], w["start_ms"], w["end_ms"], w["p"], w.get("speaker")) for w in row["words"]),
        latency_ms=row["latency_ms"],
        speakers_revision=row["speakers_revision"],
    )
