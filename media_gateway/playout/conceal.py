"""What is heard in place of audio that did not come: the voice goes on at its pitch for a moment, and fades.

In the manner of ITU-T G.711, Appendix I: the last pitch period is repeated, after 10 ms the last two, then the last
three, so that it does not buzz; what comes afterwards is faded in over the concealment.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from infra.model import SAMPLES_PER_MS
from media_gateway.audio import Samples
from media_gateway.playout.line import LONGEST_PERIOD, PAST, SHORTEST_PERIOD, crossfade, likeness, ramp

HELD: Final = 10 * SAMPLES_PER_MS
"""How long the voice goes on as loud as it was."""
FADED: Final = 100 * SAMPLES_PER_MS
"""After this it is silent."""

_MATCHED: Final = 20 * SAMPLES_PER_MS
_ALIKE_FOR: Final = 10 * SAMPLES_PER_MS
"""How long the same is heard before it is made of more periods."""
_SHORTEST_SEAM: Final = 4 * SAMPLES_PER_MS
_LONGEST_SEAM: Final = 10 * SAMPLES_PER_MS
_LENGTH: Final = FADED + _LONGEST_SEAM
_VOICED: Final = 0.3
"""Likeness of a period to the next from which on a sound has a pitch."""
_SETTLED: Final = 4
"""Time constant of the way from the last sample to the repeated period."""
_MOMENTS: Final = np.arange(1, SHORTEST_PERIOD + 1, dtype=np.float32)
_SETTLING: Final = np.exp(-_MOMENTS / _SETTLED)
_GAIN: Final = np.clip(1 - (np.arange(_LENGTH) - HELD) / (FADED - HELD), 0, 1).astype(np.float32)


class Concealer:
    """Goes on for a voice: `begin`, `more` as often as it takes, `join`."""

    __slots__ = ("_at", "_made", "active")

    def __init__(self) -> None:
        self.active = False
        """Between `begin` and `join`."""
        self._at = 0
        self._made: Samples = np.zeros(_LENGTH, np.int16)

    @property
    def faded(self) -> bool:
        """Whether nothing is left but silence."""
        return self._at >= FADED

    def begin(self, past: Samples) -> None:
        """Go on from the last 50 ms that there are."""
        self.active = True
        self._at = 0
        self._made = continuation(past)

    def more(self, length: int) -> Samples:
        """Return the next samples."""
        made = self._made[self._at : self._at + length]
        self._at += length
        if len(made) == length:
            return made
        return np.concatenate((made, np.zeros(length - len(made), np.int16)))

    def join(self, fresh: Samples) -> Samples:
        """Return what comes now with its head faded in over the concealment, the longer the longer this took."""
        self.active = False
        seam = min(_SHORTEST_SEAM + self._at * 2 // 5, _LONGEST_SEAM, len(fresh))
        return np.concatenate((crossfade(self.more(seam), fresh[:seam]), fresh[seam:]))


def continuation(past: Samples) -> Samples:
    """Return 110 ms that go on from the last 50 ms of a voice, with their fading."""
    if len(past) < PAST or not past[-_MATCHED:].any():
        return np.zeros(_LENGTH, np.int16)
    voice = past[-PAST:].astype(np.float32)
    period = _period(past)
    laps: list[npt.NDArray[np.float32]] = []
    length, periods = 0, 1
    while length < _LENGTH:
        lap = voice[-periods * period :].copy()
        seam = period // 4
        before = voice[-periods * period - seam : -periods * period]  # what this lap would follow on from
        if laps:
            end = laps[-1][-seam:]
            end += (before - end) * ramp(seam)
        else:  # what was heard cannot be changed: go on from there, and over into the lap
            lap[:SHORTEST_PERIOD] += _settling(voice[-2:] - before[-2:])
        laps.append(lap)
        length += len(lap)
        if length >= periods * _ALIKE_FOR:
            periods = min(periods + 1, 3)
    made: Samples = np.rint(np.clip(np.concatenate(laps)[:_LENGTH] * _GAIN, -32768, 32767)).astype(np.int16)
    return made


def _settling(step: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the way back to nothing for what is `step` away in its last two samples, without a bend at its start."""
    way: npt.NDArray[np.float32] = (step[1] + (step[1] - step[0] + step[1] / _SETTLED) * _MOMENTS) * _SETTLING
    return way


def _period(past: Samples) -> int:
    """Return the pitch period at the end; of a sound without pitch the longest, which buzzes least."""
    alike = likeness(past[-_MATCHED:], past[-_MATCHED - LONGEST_PERIOD : -SHORTEST_PERIOD])
    best = int(alike.argmax())
    return LONGEST_PERIOD - best if alike[best] >= _VOICED else LONGEST_PERIOD
