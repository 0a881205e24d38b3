"""A voice as a line of samples: what was heard, then what waits to be. Where it may be cut and lengthened unheard.

A voice is nearly the same one pitch period on, so a whole period can be left out or said twice; in silence any length
can. Every seam is cross-faded (pitch-synchronous overlap-add).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from infra.model import SAMPLES_PER_MS
from media_gateway.audio import Samples

PAST: Final = 50 * SAMPLES_PER_MS
"""How much of what was heard is kept."""
SHORTEST_PERIOD: Final = 5 * SAMPLES_PER_MS // 2
"""Of a voice of 400 Hz."""
LONGEST_PERIOD: Final = 15 * SAMPLES_PER_MS
"""Of a voice of 66 Hz."""

_MATCHED: Final = 10 * SAMPLES_PER_MS
_SEAM: Final = 5 * SAMPLES_PER_MS
_CAPACITY: Final = 16_384
_RISING: Final = np.linspace(0, 1, LONGEST_PERIOD + 2, dtype=np.float32)[1:-1]


def likeness(part: Samples, region: Samples) -> npt.NDArray[np.float32]:
    """Return how alike `part` and each stretch of `region` of its length are: -1 to 1, 0 where one is silent."""
    needle, hay = part.astype(np.float32), region.astype(np.float32)
    energy = np.concatenate(([0], np.cumsum(hay * hay, dtype=np.float64)))
    energies = energy[len(needle) :] - energy[: -len(needle)]
    scale = np.sqrt(np.maximum(energies * float(needle @ needle), 1))
    alike: npt.NDArray[np.float32] = (np.correlate(hay, needle, "valid") / scale).astype(np.float32)
    return alike


def crossfade(before: Samples, after: Samples) -> Samples:
    """Return a stretch that begins as `before` and ends as `after`, both of its length."""
    rising = ramp(len(after))
    mixed: Samples = np.rint(before + (after.astype(np.float32) - before) * rising).astype(np.int16)
    return mixed


def ramp(length: int) -> npt.NDArray[np.float32]:
    """Return `length` steps that rise from above 0 to below 1."""
    if length == LONGEST_PERIOD:
        return _RISING
    return np.arange(1, length + 1, dtype=np.float32) / np.float32(length + 1)


class Line:
    """The last 50 ms that were heard and whatever waits, in one array that never grows."""

    __slots__ = ("_buffer", "_read", "_write")

    def __init__(self) -> None:
        self._buffer = np.zeros(_CAPACITY, np.int16)
        self._read = self._write = PAST

    @property
    def pending(self) -> int:
        """Samples that wait to be heard."""
        return self._write - self._read

    @property
    def room(self) -> int:
        """Samples that can be appended."""
        return _CAPACITY - PAST - self.pending

    def append(self, samples: Samples) -> None:
        """Put samples at the end; those that there is no room for are left off."""
        samples = samples[: self.room]
        if self._write + len(samples) > _CAPACITY:
            shift = self._read - PAST
            self._buffer[: self._write - shift] = self._buffer[shift : self._write].copy()
            self._read -= shift
            self._write -= shift
        self._buffer[self._write : self._write + len(samples)] = samples
        self._write += len(samples)

    def take(self, length: int) -> Samples:
        """Return the next samples as heard from now on; no more than wait."""
        start = self._read
        self._read = min(start + length, self._write)
        return self._buffer[start : self._read].copy()

    def tail(self) -> Samples:
        """Return a view of the last 50 ms of all: what is concealed goes on from here."""
        return self._buffer[self._write - PAST : self._write]

    def next(self, length: int) -> Samples:
        """Return a view of the next samples to be heard; no more than wait."""
        return self._buffer[self._read : min(self._read + length, self._write)]

    def past(self, length: int) -> Samples:
        """Return a view of the last samples heard, PAST at most."""
        return self._buffer[self._read - length : self._read]

    def leave_out(self, length: int) -> None:
        """Take out the next `length` samples; at least a seam of 5 ms must follow them."""
        seam = min(_SEAM, self.pending - length)
        start = self._read
        self._buffer[start + length : start + length + seam] = crossfade(
            self._buffer[start : start + seam], self._buffer[start + length : start + length + seam]
        )
        self._buffer[start + length - PAST : start + length] = self._buffer[start - PAST : start].copy()
        self._read += length

    def say_again(self, length: int) -> None:
        """Let the last `length` samples heard, PAST at most, be heard once more before what waits."""
        again = self.past(length).copy()
        seam = min(_SEAM, length, self.pending)
        again[:seam] = crossfade(self.next(seam), again[:seam])
        waiting = self.next(self.pending).copy()
        self._write = self._read
        self.append(again)
        self.append(waiting)

    def period_ahead(self, longest: int) -> tuple[int, float]:
        """Return the length that can best be left out, and how alike what precedes and follows the seam is."""
        longest = min(longest, LONGEST_PERIOD, self.pending - _MATCHED)
        if longest < SHORTEST_PERIOD:
            return 0, 0.0
        alike = likeness(self.next(_MATCHED), self.next(longest + _MATCHED)[SHORTEST_PERIOD:])
        best = int(alike.argmax())
        return best + SHORTEST_PERIOD, float(alike[best])

    def period_behind(self) -> tuple[int, float]:
        """Return the length that can best be said again, and how alike what precedes and follows the seam is."""
        if self.pending < _MATCHED:
            return 0, 0.0
        start = self._read - LONGEST_PERIOD
        region = self._buffer[start : self._read - SHORTEST_PERIOD + _MATCHED]
        alike = likeness(self.next(_MATCHED), region)
        best = int(alike.argmax())
        return LONGEST_PERIOD - best, float(alike[best])
