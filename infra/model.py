"""The vocabulary of Hearline: one word for one thing, in code, SQL, JSON and on the screen.

Standard library only. Times on the wire are RFC 3339 UTC; `_ms` integers count milliseconds on the call's
clock, where 0 is the moment the first leg was answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

SAMPLE_RATE_HZ: Final = 16_000
CHUNK_MS: Final = 200
SAMPLES_PER_MS: Final = SAMPLE_RATE_HZ // 1000
CHUNK_BYTES: Final = CHUNK_MS * SAMPLES_PER_MS * 2

DEFAULT_TENANT: Final = UUID("00000000-0000-0000-0000-000000000001")

_NAMESPACE: Final = uuid5(NAMESPACE_URL, "hearline")

Role = Literal["customer", "agent", "supervisor", "unknown"]
Side = Literal["left", "right"]
CallStatus = Literal["live", "ended"]
UserRole = Literal["agent", "supervisor", "admin", "sender"]
"""What somebody may do. A sender is no person: its token opens media streams and nothing else."""
PersonRole = Literal["agent", "supervisor", "admin"]

EventType = Literal[
    "call.started",
    "call.ended",
    "call.settled",
    "call.stage",
    "leg.joined",
    "leg.left",
    "track.opened",
    "track.closed",
    "segment.partial",
    "segment.final",
    "insight",
    "alert",
    "gap",
    "lag",
    "speakers",
    "language",
    "recording.started",
    "recording.saved",
    "recording.failed",
    "recording.paused",
    "recording.resumed",
    "supervision",
]
Stage = Literal["queued", "ringing", "talking", "held", "consulting", "voicemail", "callback", "returning"]
"""Where a bridged call stands; calls that we only listen to have none."""
SupervisionMode = Literal["listen", "whisper", "barge"]
PhoneStatus = Literal["offline", "online", "break"]


def side_of(role: Role) -> Side:
    """Return the side of a call's recording on which a party of this role is put when its track opens."""
    return "left" if role == "customer" else "right"


def utc_now() -> datetime:
    """Return the present moment, timezone-aware."""
    return datetime.now(UTC)


def stable_id(*parts: object) -> UUID:
    """Return the same UUID for the same parts, on every machine: what makes a repeated write harmless."""
    return uuid5(_NAMESPACE, "\x1f".join(map(str, parts)))


@dataclass(frozen=True, slots=True)
class Call:
    """A conversation, from the first to the last leg."""

    id: UUID
    door: str
    """The transport it came in by: twilio, browser, sip, ..."""
    external_id: str
    """The peer's own name for it: CallSid, SIP Call-ID, the capture page's call_id."""
    started_at: datetime
    from_number: str | None = None
    to_number: str | None = None
    title: str | None = None
    owner_id: UUID | None = None
    """The user who may go on with it, where a user opened it."""
    tenant_id: UUID = DEFAULT_TENANT
    recorded: bool = True
    """Whether it may be recorded, as far as its number is concerned."""
    live: bool = True
    """Whether it happens now. A recording that is brought in does not: nobody waits for its words."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One party's connection to the call."""

    id: UUID
    call_id: UUID
    role: Role
    name: str | None = None
    """What to call the party on the screen: an agent's id, a SIPREC participant's name."""


@dataclass(frozen=True, slots=True)
class Track:
    """One direction of audio from a leg."""

    id: UUID
    leg_id: UUID
    call_id: UUID
    label: str
    """The wire's own name for it: inbound, outbound, microphone, ..."""
    mixed: bool = False
    """Several people may be heard on it; on any other track there is one, and the door knows who."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch of a track that has no audio, and why."""

    start_ms: int
    end_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """At most 200 ms of a track: 16 kHz signed 16-bit little-endian mono.

    `seq` counts 0, 1, 2 ... without a hole: a missing number is a chunk lost on the way. Missing time shows
    in `start_ms`, which then jumps, and in `holes`, which names every stretch before or inside this chunk
    that was filled with silence or left out. Only the last chunk of a track may be shorter than 200 ms.
    """

    seq: int
    start_ms: int
    pcm: bytes
    received_at_ms: int
    """Wall clock (Unix milliseconds) at which the last sample reached the gateway."""
    holes: tuple[Hole, ...] = ()
    last: bool = False
    """True on the track's closing chunk (whose pcm may be empty)."""

    @property
    def end_ms(self) -> int:
        return self.start_ms + len(self.pcm) // (2 * SAMPLES_PER_MS)


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; `p` is its probability, 0..1."""

    w: str
    start_ms: int
    end_ms: int
    p: float
    speaker: str | None = None
    """Who says it, where the segment holds more than one speaker's words."""


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """Words of one track with their times; partial until it is final."""

    id: UUID
    call_id: UUID
    leg_id: UUID
    track_id: UUID
    role: Role
    speaker: str
    """SPEAKER_00, SPEAKER_01, ... in the order of the call's tracks; on a mixed track of its voices."""
    seq: int
    start_ms: int
    end_ms: int
    text: str
    """What is shown: numbers, amounts and addresses as people write them."""
    original_text: str
    """What the recogniser wrote, before clean-up."""
    language: str
    confidence: float
    is_final: bool
    words: tuple[Word, ...] = ()
    """Those of `text`; one that is written for several spoken ones lasts from the first to the last of them."""
    latency_ms: int | None = None
    """From the last spoken word, as it reached the gateway, to the event."""
    speakers_revision: int = 0
    """The track's revision in which speaker, role or the words' speakers last changed; 0: as the door said."""


def segment_id(track_id: UUID, seq: int) -> UUID:
    """Return the id of a track's segment number `seq`: the same for its partials and its final."""
    return stable_id("segment", track_id, seq)


@dataclass(frozen=True, slots=True)
class Insight:
    """A typed finding on a call, with the segments it rests on."""

    id: UUID
    call_id: UUID
    kind: str
    body: dict[str, Any]
    evidence: tuple[UUID, ...]
    source: str
    """'builtin' or 'llm:<model>'."""
    revision: int = 1
    updated_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True, slots=True)
class Event:
    """What is appended to a call's stream and shown on the screens. `id` is the cursor; empty before it is stored."""

    type: EventType
    call_id: UUID
    data: dict[str, Any]
    at: datetime = field(default_factory=utc_now)
    id: str = ""
    key: str = ""
    """Names the fact that the event tells: two events of one call with the same key are one event."""
