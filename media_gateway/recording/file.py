"""A finished recording: tracks mixed in blocks, encoded as Ogg Opus or FLAC, with what it looks like.

Left is the customer, right is everybody else, as their roles were when their tracks opened; sample n of the file is
sample n of the call's clock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final, Self

import av
import msgspec
import numpy as np
import numpy.typing as npt

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS, Side
from infra.settings import RecordingFormat
from media_gateway.recording.pauses import Pauses
from media_gateway.recording.take import BYTES_PER_MS

Stereo = npt.NDArray[np.int16]
"""Shape (samples, 2): left and right."""

BLOCK_MS: Final = 1920
_BLOCK: Final = BLOCK_MS * SAMPLES_PER_MS
_STEPS_MS: Final = (20, 40, 80, 160, 320, 640, 1920)
"""A block holds a whole number of any of them."""
_STEPS_MOST: Final = 4000
_OPUS_BITS_PER_S: Final = 48_000
_CODECS: Final[Mapping[RecordingFormat, tuple[str, str, dict[str, str]]]] = {
    # 'audio': both parties at once are no single voice. The downmix to mono stays whole without phase inversion.
    "opus": ("ogg", "libopus", {"application": "audio", "frame_duration": "60", "apply_phase_inv": "0"}),
    "flac": ("flac", "flac", {"compression_level": "5"}),
}
_STEREO: Final = "stereo"


class Peaks(msgspec.Struct, frozen=True):
    """The loudest sample of every `step_ms`, from 0 to 1."""

    duration_ms: int
    step_ms: int
    left: list[float]
    right: list[float]


class TrackSource:
    """A track's file, as it is mixed."""

    def __init__(self, path: Path, side: Side, zero_ms: int) -> None:
        """`zero_ms`: where the track's clock begins on the recording's."""
        self._file = path.open("rb")
        self._channel = 0 if side == "left" else 1
        self._zero = zero_ms * SAMPLES_PER_MS
        self.samples = os.fstat(self._file.fileno()).st_size // 2 + self._zero
        """Where it ends on the recording's clock."""

    def add_to(self, block: npt.NDArray[np.int32], at: int) -> None:
        """Add what the track has of a block that begins at sample `at`."""
        begin, end = max(at, self._zero), min(at + len(block), self.samples)
        if begin >= end:
            return
        raw = os.pread(self._file.fileno(), 2 * (end - begin), 2 * (begin - self._zero))
        found = np.frombuffer(raw, "<i2", len(raw) // 2)
        block[begin - at : begin - at + len(found), self._channel] += found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FileSource:
    """An earlier finished part of the recording, as it is mixed again; read from its beginning."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path))
        self._frames = self._decoded()
        self._rest: Stereo = np.zeros((0, 2), np.int16)

    def add_to(self, block: npt.NDArray[np.int32], _: int) -> None:
        """Add what the file has of the next block."""
        filled = 0
        while filled < len(block):
            if not len(self._rest):
                more = next(self._frames, None)
                if more is None:
                    return
                self._rest = more
            piece = self._rest[: len(block) - filled]
            block[filled : filled + len(piece)] += piece
            self._rest = self._rest[len(piece) :]
            filled += len(piece)

    def _decoded(self) -> Iterator[Stereo]:
        resample = av.AudioResampler(format="s16", layout=_STEREO, rate=SAMPLE_RATE_HZ).resample
        for frame in self._container.decode(self._container.streams.audio[0]):
            yield from map(_samples, resample(frame))
        yield from map(_samples, resample(None))

    def close(self) -> None:
        """Close the file."""
        self._container.close()


Source = TrackSource | FileSource


def mixed(sources: Sequence[Source], pauses: Pauses, duration_ms: int) -> Iterator[Stereo]:
    """Return the recording block by block: loud together is as loud as it gets, and pauses are silent."""
    total = duration_ms * SAMPLES_PER_MS
    for at in range(0, total, _BLOCK):
        length = min(_BLOCK, total - at)
        block = np.zeros((length, 2), np.int32)
        for source in sources:
            source.add_to(block, at)
        np.clip(block, -32768, 32767, out=block)
        heard = np.zeros((length, 2), np.int16)
        begin_ms = at // SAMPLES_PER_MS
        for start_ms, end_ms in pauses.kept(begin_ms, begin_ms + length // SAMPLES_PER_MS):
            kept = slice((start_ms - begin_ms) * SAMPLES_PER_MS, (end_ms - begin_ms) * SAMPLES_PER_MS)
            heard[kept] = block[kept]
        yield heard


class Encoder:
    """Writes blocks into a file. Raises OSError and av.FFmpegError."""

    def __init__(self, file: BinaryIO, codec: RecordingFormat, tags: Mapping[str, str]) -> None:
        container, name, options = _CODECS[codec]
        self._container = av.open(file, "w", format=container)
        stream = self._container.add_stream(name, rate=SAMPLE_RATE_HZ, layout=_STEREO, options=options)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        if codec == "opus":
            self._stream.bit_rate = _OPUS_BITS_PER_S
        # Ogg keeps them with the stream, FLAC with the file.
        self._stream.metadata.update(tags)
        self._container.metadata.update(tags)
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What could be written was; the error that ended it is on its way already.
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()

    def put(self, block: Stereo) -> None:
        """Add the next block."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="s16", layout=_STEREO)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, self._at, Fraction(1, SAMPLE_RATE_HZ)
        self._at += len(block)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what is held back, and the end."""
        self._container.mux(self._stream.encode(None))
        self._container.close()


class PeakMeter:
    """Blocks -> peaks."""

    def __init__(self, duration_ms: int) -> None:
        fitting = (step for step in _STEPS_MS if duration_ms <= step * _STEPS_MOST)
        self._duration_ms = duration_ms
        self._step_ms = next(fitting, _STEPS_MS[-1])
        self._found: list[npt.NDArray[np.int16]] = []

    def put(self, block: Stereo) -> None:
        """Add the next block; only the last one may be short."""
        step = self._step_ms * SAMPLES_PER_MS
        loud = np.abs(np.maximum(block, -32767))
        missing = -len(block) % step
        self._found.append(np.pad(loud, ((0, missing), (0, 0))).reshape(-1, step, 2).max(axis=1))

    def peaks(self) -> Peaks:
        """Return what was found."""
        whole = np.concatenate(self._found) / 32767 if self._found else np.zeros((0, 2))
        left, right = (np.round(whole[:, channel], 3).tolist() for channel in (0, 1))
        return Peaks(self._duration_ms, self._step_ms, left, right)


def _samples(frame: av.AudioFrame) -> Stereo:
    return frame.to_ndarray().astype(np.int16, copy=False).reshape(-1, 2)


def read_tags(path: Path) -> dict[str, str]:
    """Return what a finished recording says of itself, names in capitals. Raises OSError and av.FFmpegError."""
    with av.open(str(path)) as container:
        both = {**container.metadata, **container.streams.audio[0].metadata}
    return {name.upper(): value for name, value in both.items()}


def length_ms(path: Path) -> int:
    """Return how much a track's file holds."""
    return -(-path.stat().st_size // BYTES_PER_MS)
