"""The keys of a telephone as tones on the line (DTMF, ITU-T Q.23): sending them, and hearing them (ITU-T Q.24)."""

from __future__ import annotations

import cmath
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from media_gateway.audio import FRAME_SAMPLES, Samples

KEYS: Final = "123A456B789C*0#D"
"""Row by row: rows are the low tones, columns the high ones."""
TONE_MS: Final = 100
PAUSE_MS: Final = 80

_LOW_HZ: Final = (697, 770, 852, 941)
_HIGH_HZ: Final = (1209, 1336, 1477, 1633)

# Sending. 0 dBm0 is a sine of 22,656: mu-law's full scale, 32,636, is +3.17 dBm0 (ITU-T G.711).
_LOW_PEAK: Final = 22_656 * 10 ** (-11 / 20)
"""-11 dBm0, and the high tone 2 dB above it, as ETSI ES 201 235-2 has it."""
_HIGH_PEAK: Final = 22_656 * 10 ** (-9 / 20)
_RISE: Final = 3 * SAMPLES_PER_MS

# Hearing. Windows of 20 ms every 10 ms.
_WINDOW: Final = FRAME_SAMPLES
_HOP: Final = FRAME_SAMPLES // 2
_QUIETEST: Final = 22_656 * 10 ** (-32 / 20)
"""Peak of a tone that counts: -32 dBm0 (Q.24 names administrations' -24 to -30)."""
_PURE: Final = 0.7
"""Part of a window's energy that the two tones have at least, though they begin or end in it."""
_PUREST: Final = 0.92
"""The same of the best of a key's windows: speech spreads its energy over more than two tones."""
_HIGH_ABOVE_LOW: Final = 10 ** (6 / 10)
_LOW_ABOVE_HIGH: Final = 10 ** (-10 / 10)
"""Twist, as a ratio of powers; Q.24 names 4 and 8 dB, the filter of a line may add some."""
_OFF: Final = 0.022
"""By how much of its frequency a tone may be off: 1.5 % and 2 Hz have to be taken, 3.5 % must not."""
_STEADY: Final = 10 ** (3 / 20)
"""By how much a tone may change from window to window."""
_WINDOWS_ON: Final = 3
"""So many that agree begin a key: 40 ms."""
_WINDOWS_OFF: Final = 4
"""So many without it end it: a pause of 40 ms does, a break of 10 ms does not."""


def dtmf(keys: str) -> Samples:
    """Return what the line is to carry for keys of 0-9, *, #, A-D: whole frames, 100 ms of tones and 80 of pause each.

    Raises:
        ValueError: another key.
    """
    return np.concatenate([np.empty(0, np.int16), *(_key(key) for key in keys.upper())])


@lru_cache(maxsize=len(KEYS))
def _key(key: str) -> Samples:
    place = KEYS.index(key)
    moments = np.arange(TONE_MS * SAMPLES_PER_MS) / SAMPLE_RATE_HZ * 2 * np.pi
    tones = _LOW_PEAK * np.sin(_LOW_HZ[place // 4] * moments) + _HIGH_PEAK * np.sin(_HIGH_HZ[place % 4] * moments)
    rise = np.sin(np.linspace(0, np.pi / 2, _RISE)) ** 2
    tones[:_RISE] *= rise
    tones[-_RISE:] *= rise[::-1]
    return np.pad(np.rint(tones).astype(np.int16), (0, PAUSE_MS * SAMPLES_PER_MS))


def _probes() -> npt.NDArray[np.float32]:
    """Return two columns for each of the eight tones: a window times them is the tone's peak, as a complex number."""
    moments = np.arange(_WINDOW)[:, None] / SAMPLE_RATE_HZ
    waves = np.exp(-2j * np.pi * moments * np.array(_LOW_HZ + _HIGH_HZ)) * (2 / _WINDOW)
    return np.ascontiguousarray(waves.astype(np.complex64)).view(np.float32)


@dataclass(frozen=True, slots=True)
class _Heard:
    """The strongest low and the strongest high tone of a window."""

    low: int
    high: int
    tones: npt.NDArray[np.complex64]
    power: float
    """Mean square of the whole window."""


class KeyListener:
    """Hears the keys that are pressed on one line, told by the tones alone.

    Eight Goertzel filters' sums over overlapping windows of 20 ms. A key counts once both tones have stood, pure,
    steady and at the right frequency, for 40 ms; the frequency is what the phase says from window to window.
    """

    _PROBES: Final = _probes()

    def __init__(self) -> None:
        self._past: npt.NDArray[np.float32] = np.zeros(_HOP, np.float32)
        self._before: _Heard | None = None
        self._candidate = -1
        self._agreed = 0
        """Windows in a row that hold the candidate."""
        self._purest = 0.0
        self._missing = 0
        self._pressed = -1

    def put(self, frame: Samples) -> str:
        """Take the next FRAME_SAMPLES; return the keys that have now been heard, mostly none.

        Raises:
            ValueError: a frame of another length.
        """
        if len(frame) != FRAME_SAMPLES:
            raise ValueError(f"a frame has {FRAME_SAMPLES} samples")
        line = np.concatenate((self._past, frame), dtype=np.float32)
        self._past = line[-_HOP:]
        return self._hear(line[:_WINDOW]) + self._hear(line[_HOP : _HOP + _WINDOW])

    def _hear(self, window: npt.NDArray[np.float32]) -> str:
        before, now = self._before, self._tones(window)
        self._before = now
        purity = _purity(before, now) if before is not None and now is not None else 0.0
        key = now.low * 4 + now.high if now is not None and purity >= _PURE else -1
        if key == self._pressed:
            self._missing = 0
        else:
            self._missing += 1
            if self._missing >= _WINDOWS_OFF:
                self._pressed = -1
        if key < 0 or key == self._pressed:
            self._candidate = -1
            return ""
        if key != self._candidate:
            self._candidate, self._agreed, self._purest = key, 1, 0.0
        self._agreed += 1
        self._purest = max(self._purest, purity)
        if self._agreed < _WINDOWS_ON or self._purest < _PUREST:
            return ""
        self._pressed, self._missing = key, 0
        return KEYS[key]

    def _tones(self, window: npt.NDArray[np.float32]) -> _Heard | None:
        power = float(window @ window) / _WINDOW
        if power < _QUIETEST**2:  # of two tones, each with half of its peak squared
            return None
        tones = (window @ self._PROBES).view(np.complex64)
        peaks = np.abs(tones)
        low, high = int(peaks[:4].argmax()), int(peaks[4:].argmax())
        return _Heard(low, high, tones[[low, 4 + high]], power)


def _purity(before: _Heard, now: _Heard) -> float:
    """Return the part of a window's energy in the two tones of a key; 0 if they are not those of the window before."""
    if (before.low, before.high) != (now.low, now.high):
        return 0.0
    peaks_sq: list[float] = []
    for hertz, tone_before, tone in zip(
        (_LOW_HZ[now.low], _HIGH_HZ[now.high]), before.tones.tolist(), now.tones.tolist(), strict=True
    ):
        change = abs(tone) / max(abs(tone_before), 1e-9)
        if not 1 / _STEADY <= change <= _STEADY:
            return 0.0
        turned = tone * tone_before.conjugate() * cmath.exp(-2j * cmath.pi * hertz * _HOP / SAMPLE_RATE_HZ)
        off_hz = cmath.phase(turned) * SAMPLE_RATE_HZ / (2 * cmath.pi * _HOP)
        if abs(off_hz) > _OFF * hertz:
            return 0.0
        seen = float(np.sinc(off_hz * _WINDOW / SAMPLE_RATE_HZ))  # of a tone beside its filter
        peaks_sq.append(abs(tone / seen) ** 2)
    low_sq, high_sq = peaks_sq
    if min(low_sq, high_sq) < _QUIETEST**2 or not _LOW_ABOVE_HIGH <= high_sq / low_sq <= _HIGH_ABOVE_LOW:
        return 0.0
    return (low_sq + high_sq) / 2 / now.power
