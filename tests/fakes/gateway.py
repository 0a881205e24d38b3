"""Doubles at the gateway's border: a registry, a call and sinks that only remember."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID, uuid4

from infra.model import AudioChunk, Call, Leg, Role, Stage, Track
from media_gateway.ports import CallRefused


@dataclass
class ListSink:
    """Remembers chunks."""

    chunks: list[AudioChunk] = field(default_factory=list)

    def put(self, chunk: AudioChunk) -> None:
        self.chunks.append(chunk)

    @property
    def pcm(self) -> bytes:
        return b"".join(chunk.pcm for chunk in self.chunks)


class FakeCall:
    """Remembers what a transport told it, in order."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.log: list[tuple[str, object]] = []
        self.sinks: dict[str, ListSink] = {}
        self.tracks: list[Track] = []
        self.began_s = time.monotonic()
        self.ended: str | None = None
        self.recording_state: Literal["off", "on", "paused"] = "off"
        self.stages: list[tuple[Stage, str | None]] = []
        self.supervision: list[tuple[str, str | None]] = []
        self.acts: list[str] = []
        self.unrecorded: list[str] = []
        self._listeners: list[Callable[[str], None]] = []

    def clock_ms(self) -> int:
        return int((time.monotonic() - self.began_s) * 1000)

    def join(self, role: Role, name: str | None, user_id: UUID | None = None) -> Leg:
        self.log.append(("join", role))
        return Leg(uuid4(), self.call.id, role, name)

    def rename(self, leg: Leg, name: str | None) -> Leg:
        self.log.append(("rename", name))
        return replace(leg, name=name)

    def open_track(self, leg: Leg, label: str, *, recorded: bool = True, mixed: bool = False) -> tuple[Track, ListSink]:
        self.log.append(("open", label))
        if not recorded:
            self.unrecorded.append(label)
        track = Track(uuid4(), leg.id, self.call.id, label, mixed)
        self.tracks.append(track)
        return track, self.sinks.setdefault(leg.role, ListSink())

    def leave(self, leg: Leg, reason: str) -> None:
        self.log.append(("leave", leg.role))

    def on_end(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def hang_up(self, reason: str) -> None:
        if self.ended is not None:
            return
        self.ended = reason
        while self._listeners:
            self._listeners.pop()(reason)
        self.log.append(("hang-up", reason))

    def set_stage(self, stage: Stage, *, queue_id: UUID | None, queue: str, agent: tuple[UUID, str] | None) -> None:
        self.stages.append((stage, agent[1] if agent else None))

    def supervised(self, leg: Leg, user_id: UUID, name: str, mode: str | None) -> None:
        self.supervision.append((name, mode))

    def note_act(self, user_id: UUID | None, act: str, detail: dict[str, object]) -> None:
        self.acts.append(act)

    def record(self, user_id: UUID, *, on: bool) -> bool:
        if self.recording_state == "off":
            return False
        self.recording_state = "on" if on else "paused"
        return True

    def note(self, what: str, data: dict[str, object]) -> None:
        self.log.append((what, data))


class FakeRegistry:
    """Answers every call, or none."""

    def __init__(self) -> None:
        self.calls: dict[UUID, FakeCall] = {}
        self.refuses: str | None = None
        self.recording: Literal["off", "on"] = "off"

    async def answer(self, call: Call) -> FakeCall:
        if self.refuses:
            raise CallRefused(self.refuses)
        answered = self.calls.setdefault(call.id, FakeCall(call))
        answered.recording_state = self.recording
        return answered

    @property
    def only(self) -> FakeCall:
        (call,) = self.calls.values()
        return call


class CountingMeter:
    """Counts as the metrics do."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()

    def refused(self, door: str, reason: str) -> None:
        self.refusals[reason] += 1

    def frames(self, door: str, outcome: str, count: int) -> None:
        self.outcomes[outcome] += count


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for something that another task brings about."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (there is no event to wait for: the condition is any state at all)
            await asyncio.sleep(0.005)
