"""A track's way in: frames -> timeline -> decode -> 16 kHz -> chunks -> sink."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from media_gateway.audio import AudioFormat, decode, mix, resampler
from media_gateway.chunker import Chunker
from media_gateway.ports import TrackSink
from media_gateway.timeline import Timeline


def unix_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Intake:
    """One track's audio from its first frame to its closing chunk, over as many sources as it takes.

    A source is what one socket sends in one format. When a socket is lost and another takes its place, `begin` is
    called again and the time between becomes a hole. Samples are decoded and resampled once a chunk, not once a frame.
    """

    def __init__(self, sink: TrackSink, *, wall_clock_ms: Callable[[], int] = unix_ms) -> None:
        self._sink = sink
        self._wall_clock_ms = wall_clock_ms
        self._chunker: Chunker | None = None
        self._source: _Source | None = None
        self._counts: Counter[str] = Counter()
        """Frames of past sources by outcome."""

    @property
    def position_ms(self) -> int | None:
        """The end of the audio so far on the call's clock; None before the first source."""
        if self._chunker is None:
            return None
        return self._chunker.position_ms + (self._source.held_ms if self._source else 0)

    def begin(self, audio_format: AudioFormat, at_ms: int | None = None, cause: str = "connection-lost") -> None:
        """Start a source whose first frame lies at `at_ms` on the call's clock; None: where the last one ended.

        If the track has audio already, what lies between is a hole of this cause; never less than nothing.
        """
        self.pause()
        if self._chunker is None:
            self._chunker = Chunker(at_ms or 0, self._sink.put)
        elif at_ms is not None:
            self._skip((at_ms - self._chunker.position_ms) * SAMPLES_PER_MS, cause)
        self._source = _Source(audio_format, self._chunker, self._wall_clock_ms)

    def put(self, timestamp_ms: int, payload: bytes, now_ms: float) -> None:
        """Place a frame by its timestamp on the source's own clock. `now_ms`: any monotonic clock."""
        source = self._source
        if source is not None:
            source.put(timestamp_ms, payload, now_ms)

    def append(self, payload: bytes) -> None:
        """Add audio that follows on: for wire formats without timestamps."""
        if self._source is not None:
            self._source.append(payload)

    def skip(self, length_ms: int, cause: str) -> None:
        """Leave out a stretch that the wire says is missing."""
        if self._source is not None:
            self._source.drain(end=True)
            self._skip(length_ms * SAMPLES_PER_MS, cause)

    def counts(self) -> Counter[str]:
        """Return how many frames were placed, duplicate, late and stray so far, over all sources."""
        return self._counts + self._source.counts() if self._source else self._counts.copy()

    def pause(self) -> None:
        """The source is gone: hand on all that it sent."""
        if self._source is not None:
            self._source.finish()
            self._counts += self._source.counts()
            self._source = None

    def close(self) -> None:
        """The track is over: send its closing chunk. Closing again does nothing."""
        self.pause()
        if self._chunker is None:
            self._chunker = Chunker(0, self._sink.put)
        self._chunker.close(self._wall_clock_ms())

    def _skip(self, samples: int, cause: str) -> None:
        if self._chunker is not None:
            self._chunker.skip(samples, cause, self._wall_clock_ms())


class _Source:
    """From one socket's frames to the track's chunker."""

    def __init__(self, audio_format: AudioFormat, chunker: Chunker, wall_clock_ms: Callable[[], int]) -> None:
        self._timeline = Timeline(audio_format.rate_hz, audio_format.sample_bytes)
        self._format = audio_format
        self._chunker = chunker
        self._wall_clock_ms = wall_clock_ms
        self._resampler = resampler(audio_format.rate_hz)
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._need_bytes = 0
        self._renew_need()

    @property
    def held_ms(self) -> int:
        return self._block_bytes // self._format.sample_bytes * 1000 // self._format.rate_hz

    def counts(self) -> Counter[str]:
        timeline = self._timeline
        return Counter(placed=timeline.placed, duplicate=timeline.duplicate, late=timeline.late, stray=timeline.stray)

    def put(self, timestamp_ms: int, payload: bytes, now_ms: float) -> None:
        for piece in self._timeline.put(timestamp_ms, payload, now_ms):
            if isinstance(piece, bytes):
                self._block.append(piece)
                self._block_bytes += len(piece)
            else:
                self._skip(piece.samples, piece.cause)
        if self._block_bytes >= self._need_bytes:
            self.drain()

    def append(self, payload: bytes) -> None:
        self._block.append(payload)
        self._block_bytes += len(payload)
        if self._block_bytes >= self._need_bytes:
            self.drain()

    def finish(self) -> None:
        for piece in self._timeline.flush():
            if isinstance(piece, bytes):
                self._block.append(piece)
                self._block_bytes += len(piece)
            else:
                self._skip(piece.samples, piece.cause)
        self.drain(end=True)

    def _skip(self, samples: int, cause: str) -> None:
        self.drain(end=True)
        self._chunker.skip(samples * SAMPLE_RATE_HZ // self._format.rate_hz, cause, self._wall_clock_ms())

    def drain(self, *, end: bool = False) -> None:
        """Decode and resample what has gathered; at a stretch's `end` also what the resampler holds back."""
        received_at_ms = self._wall_clock_ms()
        if self._block:
            payload = b"".join(self._block)
            whole = len(payload) - len(payload) % self._format.sample_bytes
            samples = mix(decode(payload[:whole], self._format), self._format.channels)
            self._chunker.push(self._resampler.process(samples), received_at_ms)
            self._block = [payload[whole:]] if whole < len(payload) else []
            self._block_bytes = len(payload) - whole
        if end:
            self._chunker.push(self._resampler.flush(), received_at_ms)
            self._block.clear()
            self._block_bytes = 0
        self._renew_need()

    def _renew_need(self) -> None:
        samples = -(-self._chunker.room_samples * self._format.rate_hz // SAMPLE_RATE_HZ)
        self._need_bytes = samples * self._format.sample_bytes
