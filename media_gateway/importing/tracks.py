"""From the samples of a file to its tracks' chunks, and from there to Redis, no faster than they are recognised."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import numpy as np

from infra.bus.streams import AudioStreams
from infra.model import AudioChunk
from infra.store.imports import Parties
from infra.store.transcripts import Progress
from media_gateway.audio import Samples
from media_gateway.chunker import Chunker

AHEAD: Final = 300
"""Chunks of a track that may wait in Redis: a minute, 2 MB. A worker needs far less of them to go on."""
BATCH: Final = 50
"""Chunks of a track that are sent at once."""
LOOK_S: Final = 0.05
LOOK_ENDED_S: Final = 0.2
LOOK_CLOSED_S: Final = 1.0
"""How often is looked whether a track was closed, or somebody wants the import stopped."""
_CAUSE: Final = "not-in-file"


class Cutter:
    """Cuts the parties' samples into chunks; the same file always gives the same ones."""

    def __init__(self, parties: Parties, tracks: int) -> None:
        self._parties = parties
        self._cut: list[deque[AudioChunk]] = [deque() for _ in range(tracks)]
        self._chunkers = [Chunker(0, chunks.append) for chunks in self._cut]

    @property
    def position_ms(self) -> int:
        """Return how much was cut."""
        return self._chunkers[0].position_ms

    def put(self, piece: list[Samples] | int) -> None:
        """Take the next samples of each channel, or a number of missing ones."""
        now_ms = int(time.time() * 1000)
        if isinstance(piece, int):
            for chunker in self._chunkers:
                chunker.skip(piece, _CAUSE, now_ms)
            return
        for chunker, samples in zip(self._chunkers, self._of_tracks(piece), strict=True):
            chunker.push(samples, now_ms)

    def close(self) -> None:
        """The file is over: cut what is left into the closing chunks."""
        now_ms = int(time.time() * 1000)
        for chunker in self._chunkers:
            chunker.close(now_ms)

    def take(self) -> list[list[AudioChunk]]:
        """Return what was cut of each track since the last time."""
        taken = [list(chunks) for chunks in self._cut]
        for chunks in self._cut:
            chunks.clear()
        return taken

    def _of_tracks(self, channels: list[Samples]) -> list[Samples]:
        if self._parties == "two" or len(channels) == 1:
            return channels
        both = (channels[0].astype(np.int32) + channels[1]) // 2
        return [both.astype(np.int16)]


class AudioLost(Exception):
    """Redis has forgotten what it was sent: begin anew, at what is stored."""


class Feed:
    """The way of one import's chunks into Redis: never more than `AHEAD` of a track at once, none left out.

    Raises what Redis raises while it is away, and AudioLost: whoever feeds begins anew then.
    """

    def __init__(
        self, audio: AudioStreams, track_ids: Sequence[UUID], progress: Callable[[], Awaitable[list[Progress]]]
    ) -> None:
        """`progress`: how far each track is recognised; it raises whatever is to end the feeding."""
        self._audio = audio
        self.progress = progress
        self._lanes = [_Lane(track_id) for track_id in track_ids]
        self._looked_s = 0.0

    async def begin(self) -> None:
        """Go on behind what is recognised, or waits to be."""
        for lane, known in zip(self._lanes, await self.progress(), strict=True):
            lane.closed = known.closed
            lane.there_seq = await self._audio.last_seq(lane.track_id)
            lane.sent_seq = max(known.resume_chunk - 1, lane.there_seq)
            lane.sent_ms = max(known.resume_ms, await self._audio.newest_end_ms(lane.track_id) or 0)

    async def put(self, chunks: list[list[AudioChunk]]) -> None:
        """Send the next chunks of each track, as soon as there is room."""
        for lane, fresh in zip(self._lanes, chunks, strict=True):
            if not lane.closed:
                lane.waiting.extend(chunk for chunk in fresh if chunk.seq > lane.sent_seq)
        if time.monotonic() - self._looked_s >= LOOK_CLOSED_S:
            await self._look()
        while any(len(lane.waiting) >= BATCH for lane in self._lanes):
            await self._send()

    async def finish(self) -> None:
        """Send what is left, and wait until all of it is recognised."""
        while any(lane.waiting for lane in self._lanes):
            await self._send()
        while self._open():
            await asyncio.sleep(LOOK_ENDED_S)
            await self._look()
            await self._check()

    async def break_off(self) -> int:
        """Let go of what was not sent, and end the tracks where they are; return how long the longest is, in ms."""
        now_ms = int(time.time() * 1000)
        batch = []
        for lane in self._lanes:
            lane.waiting.clear()
            if not lane.closed and not lane.ended:
                last = AudioChunk(lane.sent_seq + 1, lane.sent_ms, b"", now_ms, last=True)
                batch.append((lane.track_id, last))
        if batch:
            await self._audio.append(batch)
        return max(lane.sent_ms for lane in self._lanes)

    async def _send(self) -> None:
        await self._room()
        for lane in self._lanes:
            if not lane.waiting:
                continue
            if await self._audio.append_behind(lane.track_id, lane.there_seq, lane.take()):
                lane.sent()
            else:
                await self._forgotten(lane)

    async def _room(self) -> None:
        """Wait until each track has room for a batch."""
        while True:
            lengths = [await self._audio.length(lane.track_id) for lane in self._open()]
            if max(lengths, default=0) <= AHEAD - BATCH:
                return
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - self._looked_s >= LOOK_CLOSED_S:
                await self._look()

    async def _look(self) -> None:
        """A track may have been closed although not all of it was sent: nobody could recognise it."""
        for lane, known in zip(self._lanes, await self.progress(), strict=True):
            lane.closed = known.closed
            if known.closed:
                lane.waiting.clear()
        self._looked_s = time.monotonic()

    async def _check(self) -> None:
        """Raise AudioLost where Redis does not know any more what it was sent."""
        for lane in self._open():
            if await self._audio.last_seq(lane.track_id) < lane.there_seq:
                await self._forgotten(lane)

    async def _forgotten(self, lane: _Lane) -> None:
        """Raise AudioLost, unless the track was closed, which removes its audio."""
        await self._look()
        if not lane.closed:
            raise AudioLost

    def _open(self) -> list[_Lane]:
        return [lane for lane in self._lanes if not lane.closed]


@dataclass(slots=True, eq=False)
class _Lane:
    """One track's way."""

    track_id: UUID
    sent_seq: int = -1
    """The newest chunk that need not be sent any more."""
    there_seq: int = -1
    """The newest chunk that Redis has had."""
    sent_ms: int = 0
    """Where what was sent ends."""
    closed: bool = False
    """All of it is recognised, or nobody will."""
    ended: bool = False
    """Its closing chunk was sent."""
    waiting: deque[AudioChunk] = field(default_factory=deque)
    taken: list[AudioChunk] = field(default_factory=list)

    def take(self) -> list[AudioChunk]:
        """Return the next batch; it stays until it is `sent`."""
        self.taken = [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
        return self.taken

    def sent(self) -> None:
        """The batch is in Redis."""
        self.sent_seq, self.sent_ms, self.ended = self.taken[-1].seq, self.taken[-1].end_ms, self.taken[-1].last
        self.there_seq = self.sent_seq
        self.taken = []
