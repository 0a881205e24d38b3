"""Samples: G.711 and L16 decoded and encoded, and any audio brought to another rate; a party's packets are `codecs`'.

Inside Hearline audio is 16 kHz signed 16-bit mono; here it is a NumPy array of int16, one element a sample.
Everything here keeps up with a live call: no call blocks, none allocates more than its input is long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS

FRAME_MS: Final = 20
"""How long a frame is, the unit in which parties of a conversation are heard, mixed and sent."""
FRAME_SAMPLES: Final = FRAME_MS * SAMPLES_PER_MS

Samples = npt.NDArray[np.int16]
Encoding = Literal["mulaw", "alaw", "l16le", "l16be"]

_MIN_RATE_HZ: Final = 4_000
_MAX_RATE_HZ: Final = 192_000
_MAX_CHANNELS: Final = 2
_NAMES: Final[dict[str, Encoding | None]] = {
    "audio/x-mulaw": "mulaw",
    "audio/mulaw": "mulaw",
    "audio/pcmu": "mulaw",
    "audio/basic": "mulaw",
    "audio/x-alaw": "alaw",
    "audio/alaw": "alaw",
    "audio/pcma": "alaw",
    "audio/x-l16": None,  # the byte order is the dialect's
    "audio/l16": None,
    "audio/x-raw": None,
}


class AudioFormatError(ValueError):
    """An encoding, rate or channel count that cannot be decoded here."""


class PayloadError(ValueError):
    """A packet that its codec cannot read. The codec itself is as good as before."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How bytes on a wire become samples."""

    encoding: Encoding
    rate_hz: int
    channels: int = 1
    """Interleaved."""

    def __post_init__(self) -> None:
        if not _MIN_RATE_HZ <= self.rate_hz <= _MAX_RATE_HZ:
            raise AudioFormatError(f"sample rate outside {_MIN_RATE_HZ}..{_MAX_RATE_HZ} Hz")
        if not 1 <= self.channels <= _MAX_CHANNELS:
            raise AudioFormatError("neither mono nor stereo")

    @classmethod
    def from_media_type(
        cls, name: str, rate_hz: int, channels: int = 1, byte_order: Literal["little", "big"] = "little"
    ) -> AudioFormat:
        """Return the format behind a media type such as 'audio/x-mulaw' or 'audio/l16;rate=16000'.

        RTP's L16 is big-endian (RFC 3551, section 4.5.11); the WebSocket dialects send it little-endian.

        Raises:
            AudioFormatError: an unknown type, or an impossible rate or channel count.
        """
        kind, _, rest = name.partition(";")
        kind = kind.strip().lower()
        if kind not in _NAMES:
            raise AudioFormatError("an unknown audio encoding")
        key, _, value = rest.partition("=")
        if key.strip().lower() == "rate" and value.strip().isascii() and value.strip().isdigit():
            rate_hz = int(value.strip()[:7])
        return cls(_NAMES[kind] or ("l16le" if byte_order == "little" else "l16be"), rate_hz, channels)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels if self.encoding in {"mulaw", "alaw"} else 2 * self.channels


def _mulaw_table() -> Samples:
    """Expand every mu-law code (ITU-T G.711, table 2a): sign, 3 bits of segment, 4 of step, all inverted."""
    code = ~np.arange(256, dtype=np.uint8)
    segment = (code >> 4 & 7).astype(np.int32)
    level = ((code & 15).astype(np.int32) * 8 + 132 << segment) - 132
    return np.where(code & 0x80, -level, level).astype(np.int16)


def _alaw_table() -> Samples:
    """Expand every A-law code (ITU-T G.711, table 1a): even bits inverted, the lowest two segments alike."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment = (code >> 4 & 7).astype(np.int32)
    step = (code & 15).astype(np.int32) * 16 + 8
    level = np.where(segment == 0, step, step + 256 << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, level, -level).astype(np.int16)


MULAW: Final = _mulaw_table()
"""Sample of each mu-law code."""
ALAW: Final = _alaw_table()
"""Sample of each A-law code."""


def decode(payload: bytes, audio_format: AudioFormat) -> Samples:
    """Return the payload's samples, interleaved if there are several channels. A broken last sample is left off."""
    match audio_format.encoding:
        case "mulaw":
            return MULAW.take(np.frombuffer(payload, np.uint8))
        case "alaw":
            return ALAW.take(np.frombuffer(payload, np.uint8))
        case "l16le":
            return np.frombuffer(payload, "<i2", len(payload) // 2).astype(np.int16, copy=False)
        case "l16be":
            return np.frombuffer(payload, ">i2", len(payload) // 2).astype(np.int16)


def mix(interleaved: Samples, channels: int) -> Samples:
    """Return the mean of the channels."""
    if channels == 1:
        return interleaved
    whole = len(interleaved) // channels * channels
    mean: Samples = interleaved[:whole].reshape(-1, channels).mean(axis=1, dtype=np.float32).astype(np.int16)
    return mean


def split(interleaved: Samples, channels: int) -> list[Samples]:
    """Return each channel by itself: of stereo, left then right."""
    whole = len(interleaved) // channels * channels
    return [np.ascontiguousarray(interleaved[channel:whole:channels]) for channel in range(channels)]


@lru_cache(maxsize=2)
def _nearest(law: Literal["mulaw", "alaw"]) -> npt.NDArray[np.uint8]:
    """Return the nearest code of each 16-bit sample, indexed by the sample's bits as unsigned."""
    table = MULAW if law == "mulaw" else ALAW
    # From the top: of mu-law's two zeros the positive one (0xFF) is silence, and wins.
    codes = np.argsort(table, kind="stable")[::-1]
    if law == "mulaw":
        codes = codes[codes != 0x7F]
    levels = table[codes][::-1].astype(np.int32)
    codes = codes[::-1]
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    borders = (levels[:-1] + levels[1:]) / 2
    return codes[np.searchsorted(borders, samples, side="left")].astype(np.uint8)


def encode(samples: Samples, law: Literal["mulaw", "alaw"] = "mulaw") -> bytes:
    """Return the samples in G.711, one byte each: what a caller on the telephone network hears."""
    return _nearest(law).take(samples.view(np.uint16)).tobytes()


class Resampler(Protocol):
    """Brings a stream of samples to another rate. The first sample out stands for the same moment as the first in."""

    def process(self, samples: Samples) -> Samples:
        """Take the next samples; return those that are ready."""

    def flush(self) -> Samples:
        """Return what is held back, and be as new. Together: ceil(samples in x rate out / rate in) samples out."""


def resampler(rate_in_hz: int, rate_out_hz: int = SAMPLE_RATE_HZ) -> Resampler:
    """Return a stateful resampler: SNR over 80 dB in the passband, aliases and images below -80 dB.

    Rates in a small ratio (all of telephony's) take a short filter that holds back 24 samples of the slower rate:
    3 ms at 8 kHz. soxr, which holds back up to 130 ms there because it works in blocks, does the others.
    """
    if rate_in_hz == rate_out_hz:
        return _Same()
    common = math.gcd(rate_in_hz, rate_out_hz)
    up, down = rate_out_hz // common, rate_in_hz // common
    if max(up, down) <= _Fir.MAX_RATIO:
        return _Fir(up, down)
    return _Soxr(rate_in_hz, rate_out_hz)


def live_resampler(rate_in_hz: int, rate_out_hz: int) -> Resampler:
    """Return a resampler for one live party: every 20 ms in are 20 ms out, at most 3 ms late.

    Raises:
        AudioFormatError: the rates are in no small ratio.
    """
    if rate_in_hz == rate_out_hz:
        return _Same()
    if max(rate_in_hz, rate_out_hz) // math.gcd(rate_in_hz, rate_out_hz) > _Fir.MAX_RATIO:
        raise AudioFormatError("a sample rate that no conversation can have")
    return _even(rate_in_hz, rate_out_hz)


class _Same:
    def process(self, samples: Samples) -> Samples:
        return samples

    def flush(self) -> Samples:
        return np.empty(0, np.int16)


class _Soxr:
    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        self._ratio = rate_out_hz / rate_in_hz
        self._stream = soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="int16", quality="HQ")
        self._in = 0
        self._out = 0

    def process(self, samples: Samples) -> Samples:
        ready: Samples = self._stream.resample_chunk(samples)
        self._in += len(samples)
        self._out += len(ready)
        return ready

    def flush(self) -> Samples:
        rest: Samples = self._stream.resample_chunk(np.empty(0, np.int16), last=True)
        owed = max(math.ceil(self._in * self._ratio) - self._out, 0)
        self._stream.clear()
        self._in = self._out = 0
        return np.pad(rest[:owed], (0, owed - min(len(rest), owed)))


class _Fir:
    """A rational resampler, `up` samples out for `down` in: a Kaiser-windowed sinc, cut at the slower rate's Nyquist.

    A block of input times one matrix is a block of output, so that a whole 200 ms is a single small product.
    """

    MAX_RATIO: Final = 6
    _CROSSINGS: Final = 24
    """Zero crossings of the sinc on each side: transition band of +-0.11 of the slower rate's Nyquist."""
    _BETA: Final = 8.5
    """Kaiser's beta for 85 dB."""
    _BLOCK: Final = 32
    """Samples of the longer side in a block; keeps the product below the size at which BLAS wakes up its threads."""

    def __init__(self, up: int, down: int) -> None:
        self._up, self._down = up, down
        self.reach = math.ceil(self._CROSSINGS * max(up, down) / up)
        """Input samples on each side of the moment that an output sample rests on."""
        self._groups = max(self._BLOCK // max(up, down), 1)
        self._matrix = _fir_matrix(
            up, down, groups=self._groups, reach=self.reach, crossings=self._CROSSINGS, beta=self._BETA
        )
        self._in = self._out = 0
        self._past = np.zeros(self.reach, np.float32)

    def process(self, samples: Samples) -> Samples:
        line = np.concatenate((self._past, samples), dtype=np.float32)
        groups = (len(line) - 2 * self.reach) // self._down
        self._in += len(samples)
        if groups <= 0:
            self._past = line
            return np.empty(0, np.int16)
        self._past = line[groups * self._down :].copy()
        blocks = -(-groups // self._groups)
        step = self._groups * self._down
        missing = blocks * step + 2 * self.reach - len(line)
        if missing > 0:
            line = np.pad(line, (0, missing))
        # Overlapping windows over the line's memory; NumPy checks the bounds.
        windows = np.ndarray((blocks, len(self._matrix)), np.float32, line, strides=(4 * step, 4))
        product = (np.ascontiguousarray(windows) @ self._matrix).ravel()[: groups * self._up]
        np.rint(product, out=product)
        np.maximum(product, -32768, out=product)
        np.minimum(product, 32767, out=product)
        self._out += len(product)
        return product.astype(np.int16)

    def flush(self) -> Samples:
        owed = -(-self._in * self._up // self._down) - self._out
        tail = self.process(np.zeros(self.reach + self._down, np.int16))[:owed]
        self._in = self._out = 0
        self._past = np.zeros(self.reach, np.float32)
        return tail


@lru_cache(maxsize=32)
def _fir_matrix(up: int, down: int, *, groups: int, reach: int, crossings: int, beta: float) -> npt.NDArray[np.float32]:
    """Return M with `window @ M` = `groups` x `up` samples out, where the window has `reach` samples on each side."""
    slow = max(up, down)
    moment_in = (np.arange(groups * down + 2 * reach) - reach) * up  # in units of the common fast rate
    moment_out = np.arange(groups * up) * down
    distance = moment_out[None, :] - moment_in[:, None]
    span = crossings * slow
    window = np.i0(beta * np.sqrt(np.clip(1 - (distance / span) ** 2, 0, None))) / np.i0(beta)
    weights = np.where(np.abs(distance) <= span, np.sinc(distance / slow) * window, 0) * (up / slow)
    return weights.astype(np.float32)


def _even(rate_in_hz: int, rate_out_hz: int) -> _Fir:
    """Return a resampler that gives a block's length times the ratio for each block, 24 samples of the slower late."""
    common = math.gcd(rate_in_hz, rate_out_hz)
    stream = _Fir(rate_out_hz // common, rate_in_hz // common)
    stream.process(np.zeros(stream.reach, np.int16))
    return stream
