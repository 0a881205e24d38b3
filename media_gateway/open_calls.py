"""The calls that one door's sockets carry, and for a while those whose sockets were lost.

A call outlives its sockets: a lost one may come back, and one call may have two (Twilio's Start and Connect).
A `Stream` is one socket's share in a call; a `Line` is one party's audio, whichever stream brings it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from infra.model import Call, Role
from media_gateway.audio import AudioFormat
from media_gateway.intake import Intake
from media_gateway.ports import CallHandle, CallRefused, CallRegistry, Meter

_STALE_MS: Final = 1_000
"""A stream that has brought nothing for so long loses its line to another stream that has audio for it."""


@dataclass(slots=True, eq=False)
class Stream:
    """One socket's share in a call."""

    audio_format: AudioFormat
    roles: set[Role] = field(default_factory=set)
    """The parties whose audio it brings."""
    audio_bytes: int = 0
    """All that it has sent, used or not."""
    last_ms: float = 0.0
    """When it last brought audio, on the loop's clock."""
    spare: int = 0
    """Frames left aside, since another stream brings the same party."""
    offset_ms: int | None = None
    """The call's clock minus the stream's own; known from its first frame on."""

    def change_format(self, audio_format: AudioFormat) -> None:
        """Go on in another format."""
        audio_s = self.audio_s
        self.audio_format = audio_format
        rate = audio_format.sample_bytes * audio_format.rate_hz
        self.audio_bytes = int(audio_s * rate * max(len(self.roles), 1))

    @property
    def audio_s(self) -> float:
        """Seconds of audio that it has sent, on average over its parties."""
        rate = self.audio_format.sample_bytes * self.audio_format.rate_hz
        return self.audio_bytes / rate / max(len(self.roles), 1)


class Line:
    """One party's leg and track, and the stream that feeds it now."""

    def __init__(self, handle: CallHandle, role: Role, name: str | None, label: str, *, mixed: bool) -> None:
        self._handle = handle
        self.leg = handle.join(role, name)
        self.track, sink = handle.open_track(self.leg, label, mixed=mixed)
        self.role = role
        self.intake = Intake(sink)
        self._stream: Stream | None = None
        self._last_ms = 0.0
        self._reported: Counter[str] = Counter()
        self._closed = False

    def is_fed_by(self, stream: Stream) -> bool:
        """Return whether this stream brings the line's audio."""
        return self._stream is stream

    def claim(self, stream: Stream, timestamp_ms: int, frame_ms: int, now_ms: float) -> bool:
        """Make this stream the line's source from the frame at hand on; False if another one is at work.

        The stream's first frame ties its clock to the call's: it has just been spoken. Time without a stream
        becomes a hole.
        """
        if self._closed or (self._stream is not None and now_ms - self._last_ms < _STALE_MS):
            return False
        if stream.offset_ms is None:
            stream.offset_ms = self._handle.clock_ms() - frame_ms - timestamp_ms
        start_ms = max(timestamp_ms + stream.offset_ms, 0)
        position_ms = self.intake.position_ms
        if position_ms is not None:
            # What was sent faster than real time lies ahead of the call's clock: there, count the time away itself.
            start_ms = max(start_ms, position_ms + int(now_ms - self._last_ms) - frame_ms)
        self.intake.begin(stream.audio_format, start_ms)
        self._stream = stream
        return True

    def put(self, timestamp_ms: int, payload: bytes, now_ms: float) -> None:
        """Place a frame of the stream that feeds this line."""
        self._last_ms = now_ms
        self.intake.put(timestamp_ms, payload, now_ms)

    def append(self, payload: bytes, missing_ms: int, now_ms: float) -> None:
        """Add audio that follows on, after a stretch that is missing."""
        self._last_ms = now_ms
        if missing_ms:
            self.intake.skip(missing_ms, "missing")
        self.intake.append(payload)

    def release(self) -> None:
        """The stream is gone; the line waits for another."""
        self._stream = None
        self.intake.pause()

    def close(self, reason: str) -> None:
        """The party is gone."""
        self._closed = True
        self._stream = None
        self.intake.close()
        self._handle.leave(self.leg, reason)

    def new_counts(self) -> Counter[str]:
        """Return frames by outcome since the last time that this was asked."""
        now = self.intake.counts()
        new = now - self._reported
        self._reported = now
        return new


class OpenCall:
    """A live call, its lines and the streams that are attached to it."""

    def __init__(self, handle: CallHandle) -> None:
        self.handle = handle
        self.lines: dict[Role, Line] = {}
        self.streams: set[Stream] = set()
        self.grace: asyncio.TimerHandle | None = None

    def line(self, role: Role, label: str, name: str | None = None, *, mixed: bool = False) -> Line:
        """Return the party's line; the party joins if it is new. `mixed`: it may be several people on one line."""
        line = self.lines.get(role)
        if line is None:
            line = self.lines[role] = Line(self.handle, role, name, label, mixed=mixed)
        return line

    def orphans(self) -> list[Line]:
        """Return the lines that no attached stream can feed."""
        fed = {role for stream in self.streams for role in stream.roles}
        return [line for line in self.lines.values() if line.role not in fed]

    def close_lines(self, lines: Iterable[Line], reason: str) -> None:
        """Take these parties out of the call."""
        for line in list(lines):
            del self.lines[line.role]
            line.close(reason)


class OpenCalls:
    """Attach streams to calls, and let calls go when their streams have."""

    def __init__(self, registry: CallRegistry, door: str, *, grace_s: float, meter: Meter) -> None:
        """`grace_s`: how long a call whose last socket was lost, not closed, stays joinable, in seconds."""
        self._registry = registry
        self._door = door
        self._grace_s = grace_s
        self._meter = meter
        self._calls: dict[UUID, OpenCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    async def attach(self, call: Call, stream: Stream) -> OpenCall:
        """Answer the call, or join the live one, and attach the stream to it.

        Raises:
            CallRefused: the registry refuses, or the call is live but came by another door or is another user's.
        """
        open_call = self._calls.get(call.id)
        if open_call is None:
            handle = await self._registry.answer(call)
            if handle.call.door != call.door or handle.call.external_id != call.external_id:
                raise CallRefused("this call came by another door")
            open_call = self._calls.get(call.id)  # another stream may have been faster
            if open_call is None:
                open_call = self._calls[call.id] = OpenCall(handle)
                handle.on_end(partial(self._dropped, open_call))
        if open_call.handle.call.owner_id != call.owner_id:
            raise CallRefused("this call is another user's")
        if open_call.grace is not None:
            open_call.grace.cancel()
            open_call.grace = None
        open_call.streams.add(stream)
        return open_call

    def detach(self, open_call: OpenCall, stream: Stream, reason: str, *, lost: bool) -> None:
        """Take a stream off its call.

        A stream that ended in good order takes its parties along, and with the last one the call ends. One that
        was `lost` leaves them in place for the grace period.
        """
        open_call.streams.discard(stream)
        for line in open_call.lines.values():
            if line.is_fed_by(stream):
                line.release()
        self.report(open_call, stream)
        if lost:
            if open_call.grace is not None:
                open_call.grace.cancel()
            loop = asyncio.get_running_loop()
            open_call.grace = loop.call_later(self._grace_s, self._grace_over, open_call)
        elif open_call.grace is None:
            self._settle(open_call, reason)
        elif not open_call.streams:  # the rest of a call that was half lost
            open_call.grace.cancel()
            self._settle(open_call, reason)

    def report(self, open_call: OpenCall, stream: Stream) -> None:
        """Count the frames that came since the last report."""
        counts: Counter[str] = Counter(spare=stream.spare)
        stream.spare = 0
        for line in open_call.lines.values():
            counts += line.new_counts()
        for outcome, count in counts.items():
            self._meter.frames(self._door, outcome, count)

    def over(self, call_id: UUID, reason: str) -> None:
        """The peer says that the call is over: do not wait for a lost stream of it to come back."""
        open_call = self._calls.get(call_id)
        if open_call is not None and not open_call.streams:
            self._settle(open_call, reason)

    def close(self, reason: str) -> None:
        """End every call that is left, with or without a stream."""
        for open_call in list(self._calls.values()):
            open_call.streams.clear()
            self._settle(open_call, reason)

    def _grace_over(self, open_call: OpenCall) -> None:
        open_call.grace = None
        self._settle(open_call, "connection-lost")

    def _dropped(self, open_call: OpenCall, reason: str) -> None:
        """The call ends, whoever ends it: take out everyone who came by this door."""
        if open_call.grace is not None:
            open_call.grace.cancel()
            open_call.grace = None
        self._calls.pop(open_call.handle.call.id, None)
        open_call.close_lines(list(open_call.lines.values()), reason)

    def _settle(self, open_call: OpenCall, reason: str) -> None:
        if open_call.grace is not None:
            open_call.grace.cancel()
            open_call.grace = None
        open_call.close_lines(open_call.orphans(), reason)
        if not open_call.streams and self._calls.pop(open_call.handle.call.id, None) is not None:
            open_call.handle.hang_up(reason)
