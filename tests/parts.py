"""Calls, tracks, chunks and segments to test with."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from infra.bus.codec import CallWork, TrackWork
from infra.model import (
    CHUNK_MS,
    SAMPLES_PER_MS,
    AudioChunk,
    Call,
    Hole,
    Leg,
    Role,
    Track,
    TranscriptSegment,
    Word,
    segment_id,
)

BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GATEWAY = "gateway-1"


def new_call(**changes: Any) -> Call:
    """A call like no other."""
    call_id = uuid4()
    return replace(Call(call_id, "twilio", f"CA{call_id.hex}", BEGAN, "+15550100", "+15550199"), **changes)


def call_work(call: Call | None = None) -> CallWork:
    """A call as it is announced."""
    return CallWork(call or new_call(), GATEWAY)


def track_work(call: Call | None = None, *, role: Role = "customer", speaker: str = "SPEAKER_00") -> TrackWork:
    """A track as it is announced."""
    call = call or new_call()
    leg = Leg(uuid4(), call.id, role)
    return TrackWork(call, leg, Track(uuid4(), leg.id, call.id, "inbound"), speaker, GATEWAY)


def chunk(seq: int, *, ms: int = CHUNK_MS, holes: tuple[Hole, ...] = (), last: bool = False) -> AudioChunk:
    """The chunk of that number on a track without jumps; its samples tell its number."""
    pcm = (seq % 256).to_bytes(1, "little") * (ms * SAMPLES_PER_MS * 2)
    return AudioChunk(seq, seq * CHUNK_MS, pcm, 1_700_000_000_000 + seq * CHUNK_MS, holes, last)


def final(work: TrackWork, seq: int, *, text: str = "Good morning.", start_ms: int | None = None) -> TranscriptSegment:
    """A final segment of a track, a second long."""
    start_ms = seq * 2000 if start_ms is None else start_ms
    return TranscriptSegment(
        id=segment_id(work.track.id, seq),
        call_id=work.call.id,
        leg_id=work.leg.id,
        track_id=work.track.id,
        role=work.leg.role,
        speaker=work.speaker,
        seq=seq,
        start_ms=start_ms,
        end_ms=start_ms + 1000,
        text=text,
        original_text=text.lower(),
        language="en",
        confidence=0.9,
        is_final=True,
        words=(Word("Good", start_ms, start_ms + 400, 0.95), Word("morning.", start_ms + 450, start_ms + 1000, 0.85)),
        latency_ms=321,
    )
