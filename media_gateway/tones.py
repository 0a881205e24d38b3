"""The keys of a telephone as tones on the line (DTMF, ITU-T Q.23)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from media_gateway.audio import Samples

KEYS: Final = "123A456B789C*0#D"
"""Row by row: rows are the low tones, columns the high ones."""
TONE_MS: Final = 100
PAUSE_MS: Final = 80

_LOW_HZ: Final = (697, 770, 852, 941)
_HIGH_HZ: Final = (1209, 1336, 1477, 1633)

# 0 dBm0 is a sine of 22,656: mu-law's full scale, 32,636, is +3.17 dBm0 (ITU-T G.711).
_LOW_PEAK: Final = 22_656 * 10 ** (-11 / 20)
"""-11 dBm0, and the high tone 2 dB above it, as ETSI ES 201 235-2 has it."""
_HIGH_PEAK: Final = 22_656 * 10 ** (-9 / 20)
_RISE: Final = 3 * SAMPLES_PER_MS


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
