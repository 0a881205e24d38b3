"""The shapes of the API's answers: encoded as they are, and described in /api/openapi.json."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from infra.model import CallStatus, Insight, Role, Side, Stage, TranscriptSegment, UserRole
from infra.settings import RecordingFormat, TwilioMode
from infra.store.callbacks import CallbackKind, CallbackStatus
from infra.store.imports import ImportStatus, LeftRole, Parties
from infra.store.insights import insight_to_json
from infra.store.queues import OnTimeout
from infra.store.recordings import ASKED
from infra.store.speakers import Source
from infra.store.transcripts import segment_to_json

Item = TypeVar("Item")
RecordingPhase = Literal["off", "on", "paused", "writing", "saved", "failed"]


class View(msgspec.Struct, frozen=True):
    """The base of all answers."""


class Page(View, Generic[Item], frozen=True):
    """Part of a list; `next` is the `after` of the following page, null on the last one."""

    items: list[Item]
    next: str | None = None


class CallPage(View, frozen=True):
    """Part of the list of calls; `cursor` is where the feed of all calls goes on from this state."""

    items: list[CallSummary]
    next: str | None
    cursor: str


class Me(View, frozen=True):
    """Who asks."""

    id: UUID
    name: str
    role: UserRole
    tenant_id: UUID


class Intent(View, frozen=True):
    """What the customer called for."""

    label: str | None
    confidence: float | None


class Sentiment(View, frozen=True):
    """How it felt: a label and a score from -1 to 1, overall and for each party."""

    label: str | None
    score: float | None
    per_role: dict[str, Any] | None


class LastLine(View, frozen=True):
    """What was said last in a call."""

    segment_id: UUID
    role: Role
    text: str
    start_ms: int
    is_final: bool


class CallSummary(View, frozen=True):
    """A call as the lists show it; `last_line`: of a live one."""

    id: UUID
    external_id: str
    door: str
    title: str | None
    status: CallStatus
    end_reason: str | None
    from_number: str | None
    to_number: str | None
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    settled_at: datetime | None
    stage: Stage | None
    queue: str | None
    agent: str | None
    summary: str | None
    intent: Intent | None
    sentiment: Sentiment | None
    complaint: dict[str, Any] | None
    segment_count: int
    open_action_items: int
    last_line: LastLine | None = None


class LegView(View, frozen=True):
    """One party's connection to the call."""

    id: UUID
    role: Role
    name: str | None
    joined_at: datetime
    left_at: datetime | None
    left_reason: str | None


class TrackView(View, frozen=True):
    """One direction of a leg's audio; `side`: where it is on the recording, which stays whatever its role becomes."""

    id: UUID
    leg_id: UUID
    role: Role
    side: Side
    label: str
    speaker: str
    language: str | None
    mixed: bool
    speakers_revision: int
    closed: bool
    close_reason: str | None


class SpeakerView(View, frozen=True):
    """One voice of a track that several people share; `source` is `person` where somebody has said who it is."""

    track_id: UUID
    speaker: str
    role: Role
    source: Source


class WordView(View, frozen=True, omit_defaults=True):
    """One word with its times on the call's clock and its probability; and who says it, in a segment of several."""

    w: str
    start_ms: int
    end_ms: int
    p: float
    speaker: str | None = None


class SegmentView(View, frozen=True):
    """Words of one track."""

    segment_id: UUID
    track_id: UUID
    leg_id: UUID
    role: Role
    speaker: str
    seq: int
    start_ms: int
    end_ms: int
    text: str
    original_text: str
    language: str
    confidence: float
    words: list[WordView]
    latency_ms: int | None
    is_final: bool
    speakers_revision: int = 0


class GapView(View, frozen=True):
    """A stretch of a track without audio, and why."""

    track_id: UUID
    start_ms: int
    end_ms: int
    cause: str


class InsightView(View, frozen=True):
    """A typed finding on a call, with the segments that it rests on. `body` depends on `kind`."""

    insight_id: UUID
    kind: str
    body: dict[str, Any]
    evidence: list[UUID]
    source: str
    revision: int
    updated_at: datetime


class PauseView(View, frozen=True):
    """A stretch that a recording leaves out: because somebody asked for it, or something went wrong.

    Null as its end: it lasts.
    """

    start_ms: int
    end_ms: int | None
    reason: str


class RecordingView(View, frozen=True):
    """A call's recording. on and paused: the call lives; writing: it will soon be saved, or failed."""

    state: RecordingPhase
    recording_id: UUID | None = None
    duration_ms: int | None = None
    format: RecordingFormat | None = None
    bytes: int | None = None
    pauses: list[PauseView] = []
    reason: str | None = None


class RecordingChange(View, frozen=True):
    """How a live call's recording goes on."""

    state: Literal["on", "paused"]


class Peaks(View, frozen=True):
    """What a recording looks like: the loudest of every step of time, from 0 to 1.

    Left and right are the sides of the tracks: left is who was taken for the customer.
    """

    duration_ms: int
    step_ms: int
    left: list[float]
    right: list[float]


class Snapshot(View, frozen=True):
    """A call with all that is known of it; events after `cursor` bring it up to date."""

    call: CallSummary
    legs: list[LegView]
    tracks: list[TrackView]
    segments: list[SegmentView]
    gaps: list[GapView]
    insights: list[InsightView]
    recording: RecordingView
    cursor: str
    speakers: list[SpeakerView] = []


class Agent(View, frozen=True):
    """Somebody who may come in."""

    id: UUID
    name: str
    role: UserRole
    created_at: datetime


class BoardCounts(View, frozen=True):
    """The figures of the wallboard."""

    live: int
    live_complaints: int
    live_negative: int
    open_action_items: int
    ended_today: int


class Board(View, frozen=True):
    """The wallboard: live calls and a few figures; the feed of all calls goes on from `cursor`."""

    items: list[CallSummary]
    counts: BoardCounts
    cursor: str


class IntentCount(View, frozen=True):
    """How often people called for one thing."""

    label: str
    calls: int


class Day(View, frozen=True):
    """One day's (UTC) calls."""

    day: str
    calls: int
    complaints: int
    mean_sentiment: float | None


class Analytics(View, frozen=True):
    """Calls that began in a span of time."""

    calls: int
    live: int
    ended: int
    mean_duration_ms: int | None
    complaints: int
    complaint_rate: float | None
    intents: list[IntentCount]
    sentiments: dict[str, int]
    days: list[Day]


class LanguageModel(View, frozen=True):
    """The language model behind the insights."""

    provider: str
    model: str | None
    state: str


class OverloadView(View, frozen=True):
    """What the recognisers leave out because words come late; step 0: nothing. docs/overload.md."""

    step: int
    lag_ms: int


class System(View, frozen=True):
    """What runs: every living worker's own words, the version, which parts are away, and what overload leaves out.

    `language` is what the recognisers are set to: a code, or `auto`.
    """

    asr: list[dict[str, Any]]
    insights: list[dict[str, Any]]
    llm: LanguageModel
    language: str
    version: str
    degraded: list[str]
    overload: OverloadView


class QueueView(View, frozen=True):
    """A queue: how calls to some numbers are met."""

    id: UUID
    name: str
    is_default: bool
    numbers: list[str]
    mode: TwilioMode | None
    dial: str | None
    greeting: str | None
    music: bool
    consent: bool
    recorded: bool
    ring_s: int
    max_wait_s: int
    max_waiting: int
    on_timeout: OnTimeout
    overflow_to: UUID | None
    overflow_after_s: int
    agents: list[UUID]


class PhraseView(View, frozen=True):
    """A phrase that recognisers listen for; `queue_id` null: in every call."""

    id: UUID
    phrase: str
    queue_id: UUID | None
    created_at: datetime


class CallbackView(View, frozen=True):
    """A caller who waits to hear from us."""

    id: UUID
    call_id: UUID
    queue_id: UUID | None
    queue: str | None
    number: str | None
    kind: CallbackKind
    status: CallbackStatus
    requested_at: datetime
    done_by: UUID | None
    done_by_name: str | None
    done_at: datetime | None


class ImportView(View, frozen=True):
    """A recording that is brought in.

    uploading: bytes from `received_bytes` on are awaited; waiting: for its turn; running: `transcribed_ms` of
    `duration_ms` are done; failed and cancelled: `problem` says why, where there is something to say. `problem` is the
    end of a sentence that begins with the file's name; on one that is done it says what could not be read. `call_id`:
    the call that it becomes; `is_new`: False when the same file was brought in before.
    """

    id: UUID
    name: str
    size_bytes: int
    sha256: str
    status: ImportStatus
    received_bytes: int
    parties: Parties
    left: LeftRole
    title: str | None
    from_number: str | None
    to_number: str | None
    started_at: datetime | None
    call_id: UUID | None
    duration_ms: int | None
    transcribed_ms: int
    problem: str | None
    created_by: str | None
    created_at: datetime
    ended_at: datetime | None
    is_new: bool = False


class ImportPage(View, frozen=True):
    """Part of the list of imports; `max_bytes` is the size of the largest file that may be brought in."""

    items: list[ImportView]
    next: str | None
    max_bytes: int


class VoiceToken(View, frozen=True):
    """A token for Twilio's Voice SDK; `identity` is the name that `<Client>` rings."""

    token: str
    identity: str
    expires_at: datetime


class ProblemView(View, frozen=True):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    parameter: str | None = None
    error_id: str | None = None


def call_summary(row: asyncpg.Record) -> CallSummary:
    """Return a stored call's summary as the API shows it. A model wrote the insights: what is odd becomes null."""
    facts = dict(row)
    intent, sentiment, line = facts.pop("intent"), facts.pop("sentiment"), facts.pop("last_line")
    return CallSummary(
        last_line=line and LastLine(**line),
        intent=intent and Intent(label=_text(intent.get("label")), confidence=_number(intent.get("confidence"))),
        sentiment=sentiment
        and Sentiment(
            label=_text(sentiment.get("label")),
            score=_number(sentiment.get("score")),
            per_role=sentiment["per_role"] if isinstance(sentiment.get("per_role"), dict) else None,
        ),
        **facts,
    )


def import_view(row: asyncpg.Record, *, is_new: bool = False) -> ImportView:
    """Return a stored import as the API shows it."""
    facts = {name: row[name] for name in ImportView.__struct_fields__ if name not in {"left", "is_new"}}
    return ImportView(**facts, left=row["left_role"], is_new=is_new)


def segment_view(segment: TranscriptSegment) -> SegmentView:
    """Return a segment as the API shows it."""
    return msgspec.convert(segment_to_json(segment), SegmentView)


def insight_view(insight: Insight) -> InsightView:
    """Return an insight as the API shows it."""
    return InsightView(**insight_to_json(insight))


def recording_view(row: asyncpg.Record | None) -> RecordingView:
    """Return how a call's recording stands, from its row."""
    if row is None:
        return RecordingView("off")
    state: RecordingPhase = row["status"]
    if state == "writing" and row["call_status"] == "live":
        lasts = any(pause["end_ms"] is None and pause["reason"] == ASKED for pause in row["pauses"])
        state = "paused" if lasts else "on"
    return RecordingView(
        state=state,
        recording_id=row["id"],
        duration_ms=row["duration_ms"],
        format=row["codec"],
        bytes=row["bytes"],
        pauses=[PauseView(**pause) for pause in row["pauses"]],
        reason=row["reason"],
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
