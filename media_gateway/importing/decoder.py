"""The process that reads a recording: `python -m media_gateway.importing.decoder FILE MOST_SECONDS`.

A file may come from anywhere. Whatever it does to the decoder it does to this process, which knows no secret, opens
no other file and no address, writes nothing but its standard output, and gives way to everybody else.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import av
import msgspec
import numpy as np
import numpy.typing as npt

from infra.model import SAMPLE_RATE_HZ
from media_gateway.audio import Resampler, Samples, resampler
from media_gateway.importing import wire

FORMATS: Final = (
    "wav,w64,aiff,au,caf,flac,mp3,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,amr,amrnb,amrwb,asf,avi,wv,ac3,eac3,"
    "mpeg,mpegts,tta,ape"
)
"""Containers that hold what they say; none that names other files or addresses, none without a header of its own."""
JUMP_S: Final = 0.2
"""Where the file's own clock is further ahead than this, audio is missing."""
_JUMP_MOST_S: Final = 3600.0
"""A longer jump is a broken clock, not a pause."""
_SHORT_S: Final = 1.0
"""A file that ends so much earlier than it says has broken off."""
_LOOK_S: Final = 60
"""So much is heard before it is said whether two channels carry the same."""
_ALIKE: Final = 0.02
"""The channels' difference is at most this share of what is on them."""
_RATES_HZ: Final = range(4_000, 192_001)
_CHUNKS: Final = 64
"""So many of a WAV file's chunks are looked at for its audio."""
_UNKNOWN_BYTES: Final = 0x7FFF_0000
"""Writers that cannot go back to the header put such lengths into it."""
_NICER: Final = 10
_MEMORY_BYTES: Final = 4 * 1024**3
_BLOCK: Final = SAMPLE_RATE_HZ // 2
_WHEN: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\s?(Z|[+-]\d{2}:?\d{2})?")
_WHEN_TAGS: Final = ("creation_time", "date", "date_recorded", "origination_date")

Parties = list[Samples]
"""As many samples of each party."""


class RefusedError(Exception):
    """Nothing comes of this file."""


class Recording:
    """An open file: its head, then its samples, then how it ended."""

    def __init__(self, path: str, most_s: float) -> None:
        """Raises RefusedError."""
        self._most_s = most_s
        self._damaged = 0
        self._decoded_s = 0.0
        self._missing_s = 0.0
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        try:
            self._container = av.open(path, metadata_errors="ignore", options=options)
        except (av.FFmpegError, OSError, ValueError):
            raise RefusedError("is no recording that can be read") from None
        if not self._container.streams.audio:
            raise RefusedError("has no audio in it")
        self._stream = self._container.streams.audio[0]
        told = self._container.duration
        self._told_s = told / av.time_base if told and told > 0 else None
        self._lacks_its_end = _lacks_its_end(path)
        if self._told_s is not None and self._told_s > most_s:
            raise self._too_long()
        self._blocks = self._decoded()
        self._ahead: list[Parties | int] = []
        self.head = self._look()

    def pieces(self) -> Iterator[Parties | int]:
        """Yield the samples of the parties in blocks, and where audio is missing the number of samples."""
        yield from self._ahead
        self._ahead.clear()
        yield from self._blocks

    def end(self) -> wire.End:
        """Return how it ended, once all pieces were taken."""
        short = self._told_s is not None and self._decoded_s < self._told_s * 0.99 - _SHORT_S
        return wire.End(self._damaged, short or self._lacks_its_end, round(self._missing_s * 1000))

    def _look(self) -> wire.Head:
        """Read until it is known how many parties there are, and whether they differ."""
        heard = channels = 0
        for piece in self._blocks:
            self._ahead.append(piece)
            if not isinstance(piece, int):
                channels = len(piece)
                heard += len(piece[0])
                if channels == 1 or heard >= _LOOK_S * SAMPLE_RATE_HZ:
                    break
        if not heard:
            raise RefusedError("has no audio in it that can be read" if self._damaged else "has no audio in it")
        duration_ms = None if self._told_s is None else round(self._told_s * 1000)
        two = [piece for piece in self._ahead if not isinstance(piece, int)] if channels == 2 else []
        return wire.Head(1 if channels == 1 else 2, bool(two) and _are_alike(two), duration_ms, self._made_at())

    def _decoded(self) -> Iterator[Parties | int]:
        lane: _Lane | None = None
        begin_s: float | None = None
        for frame in self._frames():
            if lane is None or not lane.takes(frame):
                if lane is not None:
                    yield from lane.flush()
                lane = _Lane(frame, lane)
            time_s: float | None = frame.time
            if time_s is not None:
                if begin_s is None:
                    begin_s = time_s - self._decoded_s
                jump_s = time_s - begin_s - self._decoded_s
                if JUMP_S < jump_s < _JUMP_MOST_S:
                    yield from lane.flush()
                    self._decoded_s += jump_s
                    self._missing_s += jump_s
                    yield round(jump_s * SAMPLE_RATE_HZ)
                elif abs(jump_s) >= _JUMP_MOST_S:
                    begin_s += jump_s
            self._decoded_s += frame.samples / frame.sample_rate
            if self._decoded_s > self._most_s:
                raise self._too_long()
            yield from lane.put(frame)
        if lane is not None:
            yield from lane.flush()

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Yield what can be decoded; what cannot is counted and left out."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                self._damaged += 1
                return
            if packet is None:
                return
            try:
                yield from (frame for frame in packet.decode() if frame.samples)
            except (av.FFmpegError, ValueError):
                self._damaged += 1

    def _made_at(self) -> datetime | None:
        told = {**self._container.metadata, **self._stream.metadata}
        lower = {name.lower(): value for name, value in told.items()}
        for name in _WHEN_TAGS:
            value = lower.get(name, "").strip()
            if _WHEN.fullmatch(value):
                try:
                    moment = datetime.fromisoformat(value)
                except ValueError:
                    continue
                moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
                if moment.year >= 1980:  # an unset clock
                    return moment
        return None

    def _too_long(self) -> RefusedError:
        hours = self._most_s / 3600
        most = f"{self._most_s:g} s" if hours < 1 else "1 hour" if hours == 1 else f"{hours:g} hours"
        return RefusedError(f"is longer than {most}")


class _Lane:
    """From frames of one kind to samples at 16 kHz, in blocks of half a second."""

    def __init__(self, frame: av.AudioFrame, before: _Lane | None) -> None:
        channels, rate_hz = frame.layout.nb_channels, frame.sample_rate
        if channels > 2:
            raise RefusedError(f"has {channels} channels; a call has one or two parties")
        if rate_hz not in _RATES_HZ:
            raise RefusedError(f"has a sample rate of {rate_hz} Hz")
        self.channels: int = before.channels if before is not None else channels
        self._kind = _kind(frame)
        layout = "mono" if self.channels == 1 else "stereo"
        self._to_s16: Callable[[av.AudioFrame | None], list[av.AudioFrame]] = av.AudioResampler(
            format="s16p", layout=layout, rate=rate_hz
        ).resample
        self._filters: list[Resampler] = [resampler(rate_hz) for _ in range(self.channels)]
        self._rest: Parties = [np.zeros(0, np.int16) for _ in range(self.channels)]

    def takes(self, frame: av.AudioFrame) -> bool:
        return self._kind == _kind(frame)

    def put(self, frame: av.AudioFrame) -> Iterator[Parties]:
        for plain in self._to_s16(frame):
            parts = plain.to_ndarray()
            fresh = [
                part.process(np.ascontiguousarray(s, np.int16)) for part, s in zip(self._filters, parts, strict=True)
            ]
            self._rest = [np.concatenate(pair) for pair in zip(self._rest, fresh, strict=True)]
        if len(self._rest[0]) >= _BLOCK:
            yield self._rest
            self._rest = [np.zeros(0, np.int16) for _ in range(self.channels)]

    def flush(self) -> Iterator[Parties]:
        """Yield what is held back; it goes on with another stretch."""
        whole = [np.concatenate([rest, part.flush()]) for rest, part in zip(self._rest, self._filters, strict=True)]
        self._rest = [np.zeros(0, np.int16) for _ in range(self.channels)]
        if len(whole[0]):
            yield whole


def _lacks_its_end(path: str) -> bool:
    """Return whether a WAV file holds less than its header says; FFmpeg goes by what is there.

    A length of 0, or about as much as the field holds, is that of a writer who did not know.
    """
    with Path(path).open("rb") as file:
        if (head := file.read(12))[:4] != b"RIFF" or head[8:] != b"WAVE":
            return False
        bytes_a_second = 0
        for _ in range(_CHUNKS):
            name, size = (head := file.read(8))[:4], int.from_bytes(head[4:], "little")
            body = file.tell()
            if name == b"data":
                lacking = body + size - os.fstat(file.fileno()).st_size
                return size < _UNKNOWN_BYTES and lacking > _SHORT_S * bytes_a_second > 0
            if len(head) < 8:
                return False
            if name == b"fmt " and size >= 12:
                bytes_a_second = int.from_bytes(file.read(12)[8:], "little")
            file.seek(body + size + size % 2)
    return False


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _are_alike(blocks: list[Parties]) -> bool:
    left, right = (np.concatenate([block[n] for block in blocks]).astype(np.float64) for n in (0, 1))
    return _power(left - right) <= _ALIKE**2 * max(_power(left), _power(right))


def _power(samples: npt.NDArray[np.float64]) -> float:
    return float(np.mean(samples**2))


def write(path: str, most_s: float, put: Callable[[bytes], object]) -> None:
    """Decode a file into frames of media_gateway.importing.wire."""
    try:
        recording = Recording(path, most_s)
        put(wire.frame(wire.HEAD, msgspec.json.encode(recording.head)))
        for piece in recording.pieces():
            if isinstance(piece, int):
                put(wire.frame(wire.MISSING, msgspec.json.encode(wire.Missing(piece))))
            else:
                content = b"".join(part.astype("<i2", copy=False).tobytes() for part in piece)
                put(wire.frame(wire.AUDIO, content))
        put(wire.frame(wire.END, msgspec.json.encode(recording.end())))
    except RefusedError as refused:
        put(wire.frame(wire.REFUSAL, msgspec.json.encode(wire.Refusal(str(refused)))))


def main() -> None:
    """Decode the file that the command line names."""
    path, most_s = sys.argv[1], float(sys.argv[2])
    os.nice(_NICER)
    for limit, most in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    av.logging.set_level(None)
    with os.fdopen(1, "wb", closefd=False) as out:
        try:
            write(path, most_s, out.write)
            out.flush()
        except BrokenPipeError:
            os._exit(1)  # nobody listens any more


if __name__ == "__main__":
    main()
