"""Track -> Redis: a bounded spool that the socket readers fill and one writer empties."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from typing import Final
from uuid import UUID

from prometheus_client import Counter, Gauge

from infra.bus.streams import AudioStreams, BusError
from infra.model import AudioChunk, Hole
from infra.telemetry import logger

log = logger(__name__)

_SPOOLED: Final = Gauge("hearline_spool_bytes", "Audio that waits for Redis", multiprocess_mode="livesum")
_DROPPED: Final = Counter(
    "hearline_spool_dropped_chunks_total", "Chunks dropped, and marked, because the spool was full"
)
_BATCH: Final = 128
_CAUSE: Final = "spool-full"
_ENTRY_BYTES: Final = 400
"""What a chunk costs beside its samples."""


class Tap:
    """Holds audio while Redis is away: 128 MiB are half an hour of a two-party call, or 20 s of a hundred.

    When the spool is full the oldest chunk goes; the track's next chunk names the hole. Closing chunks stay.
    """

    def __init__(self, streams: AudioStreams, *, max_bytes: int = 128 * 1024 * 1024) -> None:
        self.streams = streams
        self._max_bytes = max_bytes
        self._bytes = 0
        self._spool: deque[tuple[UUID, AudioChunk]] = deque()
        self._dropped: dict[UUID, list[Hole]] = {}
        """What each track's next chunk has to tell of those that were dropped before it."""
        self._writing = False
        self._wake = asyncio.Event()

    def sink(self, track_id: UUID) -> TapSink:
        """Return where a track's chunks go."""
        return TapSink(self, track_id)

    def put(self, track_id: UUID, chunk: AudioChunk) -> None:
        """Spool a chunk. Never blocks."""
        self._spool.append((track_id, chunk))
        self._bytes += _cost(chunk)
        while self._bytes > self._max_bytes and self._drop_oldest():
            pass
        self._wake.set()

    def _drop_oldest(self) -> bool:
        for _ in range(len(self._spool)):
            track_id, chunk = self._spool.popleft()
            if not chunk.last:
                self._bytes -= _cost(chunk)
                self._remember(track_id, chunk)
                _DROPPED.inc()
                return True
            self._spool.append((track_id, chunk))
        return False

    def _remember(self, track_id: UUID, dropped: AudioChunk) -> None:
        holes = self._dropped.setdefault(track_id, [])
        holes += [hole for hole in dropped.holes if hole.start_ms < dropped.start_ms]  # those inside it go with it
        if holes and holes[-1].cause == _CAUSE and holes[-1].end_ms == dropped.start_ms:
            holes[-1] = dataclasses.replace(holes[-1], end_ms=dropped.end_ms)
        else:
            holes.append(Hole(dropped.start_ms, dropped.end_ms, _CAUSE))

    def _with_holes(self, track_id: UUID, chunk: AudioChunk) -> AudioChunk:
        """Return the chunk with what was dropped before it. What was dropped behind it, while it was under way in
        vain, is left to its successor.
        """
        dropped = self._dropped.pop(track_id, None)
        if dropped is None:
            return chunk
        before = [hole for hole in dropped if chunk.last or hole.start_ms <= chunk.start_ms]
        if len(before) < len(dropped):
            self._dropped[track_id] = [hole for hole in dropped if hole not in before]
        before.sort(key=lambda hole: hole.start_ms)
        return dataclasses.replace(chunk, holes=(*before, *chunk.holes))

    async def run(self) -> None:
        """Write for ever, everything that is there in one round trip."""
        pause_s = 0.05
        while True:
            if not self._spool:
                self._wake.clear()
                await self._wake.wait()
            self._writing = True
            batch = self._next_batch()
            try:
                await self.streams.append(batch)
            except BusError as error:
                self._put_back(batch)
                log.warning("audio waits for redis", error=type(error).__name__, spooled_bytes=self._bytes)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 1.0)
                continue
            finally:
                self._writing = False
                _SPOOLED.set(self._bytes)
            pause_s = 0.05

    def _next_batch(self) -> list[tuple[UUID, AudioChunk]]:
        batch: list[tuple[UUID, AudioChunk]] = []
        while self._spool and len(batch) < _BATCH:
            track_id, chunk = self._spool.popleft()
            self._bytes -= _cost(chunk)
            batch.append((track_id, self._with_holes(track_id, chunk)))
        return batch

    def _put_back(self, batch: list[tuple[UUID, AudioChunk]]) -> None:
        self._spool.extendleft(reversed(batch))
        self._bytes += sum(_cost(chunk) for _, chunk in batch)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until everything is written; False when that takes longer than `timeout_s`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._spool or self._writing:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class TapSink:
    """One track's way into the tap."""

    tap: Tap
    track_id: UUID

    def put(self, chunk: AudioChunk) -> None:
        """Take the track's next chunk."""
        self.tap.put(self.track_id, chunk)


def _cost(chunk: AudioChunk) -> int:
    return len(chunk.pcm) + _ENTRY_BYTES
