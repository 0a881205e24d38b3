"""The gateway's recordings: opened with the calls, finished behind them, told as events.

A call never waits for its recording: what comes is queued for one writing thread, and what a full queue cannot take is
left out and noted. Another thread finishes recordings one by one, and those that a killed gateway left behind, once
their calls have ended; a call that comes back before goes on in its recording.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import asyncpg
from prometheus_client import Counter

from infra.model import Call
from infra.settings import RecordingFormat
from infra.shelf import Shelf
from infra.store.recordings import Recorded, RecordingStore, recording_id
from infra.telemetry import logger
from media_gateway.outbox import Outbox
from media_gateway.recording.finish import Finished
from media_gateway.recording.finisher import Ended, Finisher
from media_gateway.recording.live import CallRecording
from media_gateway.recording.writer import SPOOL_BYTES, Writer

__all__ = ["CallRecording", "Recorder"]

log = logger(__name__)

RecordingEvent = Literal["recording.saved", "recording.failed", "recording.paused", "recording.resumed"]

_STOP_WITHIN_S: Final = 5.0

_DONE: Final = Counter("hearline_recordings_total", "Recordings that came to an end, by outcome", ["outcome"])


class Tell(Protocol):
    """How an event of a call is told (media_gateway.registry.Registry.publish)."""

    def __call__(self, call: Call, kind: RecordingEvent, data: dict[str, Any], key: str, /) -> None: ...


class Recorder:
    """All recordings of one gateway. Everything is for the event loop."""

    def __init__(
        self,
        data_dir: Path,
        *,
        store: RecordingStore,
        to_store: Outbox,
        tell: Tell,
        codec: RecordingFormat = "opus",
        enabled: bool = True,
        keep_days: int = 0,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        """`to_store`: the outbox that stores the calls too, so that they are there first; `enabled`: False records
        nothing new; `keep_days`: how long recordings are kept, 0: for ever.
        """
        self._shelf = Shelf(data_dir)
        self._store = store
        self._to_store = to_store
        self._tell = tell
        self._codec = codec
        self._enabled = enabled
        self._keep_days = keep_days
        self._writer = Writer(spool_bytes=spool_bytes)
        self._finisher = Finisher(self._shelf, store, codec, self)
        self._live: dict[UUID, CallRecording] = {}
        self._copied: set[UUID] = set()
        """Calls whose recordings are written from a file that is brought in."""

    def open(self, call: Call) -> CallRecording | None:
        """Begin a call's recording, or return the live one; None while recording is off. Never blocks."""
        if not self._enabled:
            return None
        if (live := self._live.get(call.id)) is not None:
            return live
        of = self._recorded(call)
        self._to_store.put("open recording", lambda: self._store.open(of))
        recording = self._live[call.id] = CallRecording(call, of, self._shelf, self._writer, self)
        return recording

    def open_copy(self, call: Call) -> Shelf | None:
        """Begin the recording of a call that is brought in as a file; whoever does that writes its take.

        None while recording is off.
        """
        if not self._enabled:
            return None
        of = self._recorded(call)
        self._copied.add(call.id)
        self._to_store.put("open recording", lambda: self._store.open(of))
        return self._shelf

    def copied(self, call: Call, duration_ms: int, damage: tuple[int, str] | None) -> None:
        """The take of a call that is brought in is written and the call has ended: have it finished.

        `damage`: from where on nothing could be written, in ms, and why.
        """
        self._copied.discard(call.id)
        if damage is not None:
            self.failed(call, damage[1])
        self._finisher.put(Ended(call, duration_ms, damage))

    def leave_copy(self, call_id: UUID) -> None:
        """Stop writing for now; a second time does nothing."""
        self._copied.discard(call_id)

    async def run(self) -> None:
        """Write and finish, for ever."""
        self._writer.start()
        try:
            await self._finisher.run(self._keep_days)
        finally:
            if not await asyncio.to_thread(self._writer.stop, _STOP_WITHIN_S):
                log.error("the disk did not take all of the recordings")

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every recording of an ended call is done with; False when that takes longer than `timeout_s`.

        What is not done then is finished by the next gateway on this data directory.
        """
        deadline = time.monotonic() + timeout_s
        while not self._finisher.is_idle:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    # What live recordings tell (live.Listener).

    def paused(self, recording: CallRecording, at_ms: int) -> None:
        """Store and tell that nothing is kept from here on."""
        of = recording.of
        self._to_store.put("pause recording", lambda: self._store.add_pause(of, at_ms, None))
        self._say(recording.call, "recording.paused", {"at_ms": at_ms}, at_ms)

    def resumed(self, recording: CallRecording, at_ms: int) -> None:
        """Store and tell that what follows is kept."""
        of = recording.of
        self._to_store.put("resume recording", lambda: self._store.end_pause(of, at_ms))
        self._say(recording.call, "recording.resumed", {"at_ms": at_ms}, at_ms)

    def left_out(self, recording: CallRecording, start_ms: int, end_ms: int) -> None:
        """Store that the disk was too slow for a stretch."""
        of = recording.of
        log.warning("disk too slow for a recording", call_id=str(of.call_id), missing_ms=end_ms - start_ms)
        self._to_store.put("note hole", lambda: self._store.add_pause(of, start_ms, end_ms, "slow-disk"))

    def broken(self, recording: CallRecording, at_ms: int, reason: str) -> None:
        """Store and tell that nothing more can be written. What there is will be saved when the call ends."""
        log.error("recording broken", call_id=str(recording.call.id), reason=reason, at_ms=at_ms)
        self.failed(recording.call, reason)

    def ending(self, recording: CallRecording) -> None:
        """The call is over; soon all of it is written."""
        if self._live.get(recording.call.id) is recording:
            del self._live[recording.call.id]
        self._finisher.expect(recording.call.id)

    def written(self, recording: CallRecording, duration_ms: int) -> None:
        """Have it finished."""
        self._finisher.put(Ended(recording.call, duration_ms, recording.damage))

    # What the finisher tells (recording_finisher.Outcome).

    def is_live(self, call_id: UUID) -> bool:
        """Return whether the call is being recorded here."""
        return call_id in self._live or call_id in self._copied

    def saved(self, ended: Ended, found: Finished) -> None:
        """Store and tell that a recording is finished."""
        of = Recorded(found.tenant_id, found.call_id, found.name, found.codec)
        reason = ended.damage[1] if ended.damage else None

        async def save() -> None:
            try:
                await self._store.save(of, size_bytes=found.size_bytes, duration_ms=found.duration_ms, reason=reason)
                if ended.damage is not None and ended.damage[0] < found.duration_ms:
                    await self._store.add_pause(of, ended.damage[0], found.duration_ms, ended.damage[1])
            except asyncpg.ForeignKeyViolationError:  # the call itself could not be stored
                log.error("recording of an unknown call", call_id=str(of.call_id))
            self._finisher.stored(found)

        self._to_store.put("save recording", save)
        _DONE.labels("saved").inc()
        data = {"duration_ms": found.duration_ms, "format": found.codec, "bytes": found.size_bytes}
        self._say(
            ended.call, "recording.saved", data | ({"reason": reason} if reason else {}), found.takes[-1].path.name
        )

    def failed(self, call: Call, reason: str) -> None:
        """Store and tell that there is no recording, or not all of it."""
        of = self._recorded(call)
        self._to_store.put("fail recording", lambda: self._store.fail(of, reason))
        _DONE.labels("failed").inc()
        self._say(call, "recording.failed", {"reason": reason}, reason)

    def _say(self, call: Call, kind: RecordingEvent, data: dict[str, Any], key: object) -> None:
        self._tell(call, kind, {"recording_id": recording_id(call.id), **data}, f"{kind}:{key}")

    def _recorded(self, call: Call) -> Recorded:
        name = self._shelf.name(call.id, call.started_at, self._codec)
        return Recorded(call.tenant_id, call.id, name, self._codec)
