"""A track's samples cut into chunks of exactly 200 ms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from infra.model import CHUNK_BYTES, CHUNK_MS, SAMPLES_PER_MS, AudioChunk, Hole
from media_gateway.audio import Samples

CHUNK_SAMPLES: Final = CHUNK_MS * SAMPLES_PER_MS


class Chunker:
    """Samples and gaps in, `AudioChunk`s out through `emit`.

    Chunks lie on a grid of 200 ms from `start_ms`. A gap inside a chunk is filled with zeros; a chunk that would be
    nothing but gap is left out, so that an hour's gap costs no more than a second's. Each hole is named once, whole,
    by the chunk in which it ends (by the closing chunk if the track ends with it).
    """

    __slots__ = ("_cause", "_closed", "_emit", "_gap", "_holes", "_pcm", "_seq", "_start", "_start_ms")

    def __init__(self, start_ms: int, emit: Callable[[AudioChunk], None]) -> None:
        """`start_ms`: where the first sample lies on the call's clock."""
        self._emit = emit
        self._start_ms = start_ms
        self._start = 0
        """Where the chunk in the making begins, in samples since `start_ms`."""
        self._seq = 0
        self._pcm = bytearray()
        self._holes: list[Hole] = []
        """Holes that the next chunk to be sent will name."""
        self._gap = 0
        """Length of the hole that the track ends with now, in samples; it may still grow."""
        self._cause = ""
        self._closed = False

    @property
    def room_samples(self) -> int:
        """How many samples complete the chunk in the making."""
        return CHUNK_SAMPLES - (len(self._pcm) // 2 + self._gap) % CHUNK_SAMPLES

    @property
    def position_ms(self) -> int:
        """The end of what was pushed and skipped, on the call's clock."""
        return self._at_ms(self._start + len(self._pcm) // 2 + self._gap)

    def push(self, samples: Samples, received_at_ms: int) -> None:
        """Add samples; `received_at_ms` is the wall clock (Unix milliseconds) at which the last of them came."""
        if not len(samples):
            return
        self._end_gap(received_at_ms)
        pcm = self._pcm
        pcm += samples.astype("<i2", copy=False).tobytes()
        while len(pcm) >= CHUNK_BYTES:
            self._send(bytes(pcm[:CHUNK_BYTES]), received_at_ms)
            del pcm[:CHUNK_BYTES]

    def skip(self, samples: int, cause: str, received_at_ms: int) -> None:
        """Leave out a stretch. Stretches of one cause that touch are one hole."""
        if samples <= 0:
            return
        if self._gap and self._cause != cause:
            self._end_gap(received_at_ms)
        self._gap += samples
        self._cause = cause

    def close(self, received_at_ms: int) -> None:
        """Send the closing chunk with what is left, perhaps nothing. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        self._end_gap(received_at_ms)
        self._send(bytes(self._pcm), received_at_ms, last=True)
        self._pcm.clear()

    def _end_gap(self, received_at_ms: int) -> None:
        """The hole is complete: fill the chunk it began in, leave whole ones out, begin the one it ends in."""
        if not self._gap:
            return
        begin = self._start + len(self._pcm) // 2
        end = begin + self._gap
        zeros = 0
        if self._pcm:
            zeros = min(self._gap, CHUNK_SAMPLES - len(self._pcm) // 2)
            self._pcm += bytes(2 * zeros)
        hole = Hole(self._at_ms(begin), self._at_ms(end), self._cause)
        rest = self._gap - zeros
        self._gap = 0
        if not rest:
            self._holes.append(hole)
        if len(self._pcm) == CHUNK_BYTES:
            self._send(bytes(self._pcm), received_at_ms)
            self._pcm.clear()
        if rest:
            self._holes.append(hole)
        self._start += rest // CHUNK_SAMPLES * CHUNK_SAMPLES
        self._pcm += bytes(2 * (rest % CHUNK_SAMPLES))

    def _send(self, pcm: bytes, received_at_ms: int, *, last: bool = False) -> None:
        chunk = AudioChunk(
            seq=self._seq,
            start_ms=self._at_ms(self._start),
            pcm=pcm,
            received_at_ms=received_at_ms,
            holes=tuple(self._holes),
            last=last,
        )
        self._seq += 1
        self._start += len(pcm) // 2
        self._holes.clear()
        self._emit(chunk)

    def _at_ms(self, position: int) -> int:
        return self._start_ms + (position + SAMPLES_PER_MS // 2) // SAMPLES_PER_MS
