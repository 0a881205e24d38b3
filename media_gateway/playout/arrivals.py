"""How late packets come, and so how long a line has to wait for them. All lengths are samples of 16 kHz."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from infra.model import SAMPLES_PER_MS
from media_gateway.audio import FRAME_SAMPLES

WINDOW: Final = 3_000 * SAMPLES_PER_MS
"""How long a late packet is remembered."""

_BUCKET: Final = 500 * SAMPLES_PER_MS
_FINEST: Final = 5 * SAMPLES_PER_MS // 2


class Arrivals:
    """The transits of the last seconds: when a packet came less when it was sent, the zeros of both clocks unknown."""

    __slots__ = ("_buckets", "earliest", "latest", "next_latest")

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque(maxlen=WINDOW // _BUCKET + 1)
        self.earliest = math.inf
        """The shortest transit; infinite as long as there is none."""
        self.latest = -math.inf
        """The longest."""
        self.next_latest = -math.inf
        """The longest but one, of a single one this: a packet that was held up by itself proves nothing."""

    @property
    def spread(self) -> float:
        """The longest transit less the shortest."""
        return max(self.latest - self.earliest, 0.0)

    def forget(self) -> None:
        """Begin anew: what was is no measure for what comes."""
        self._buckets.clear()
        self._sum_up()

    def note(self, transit: float, now: float) -> None:
        """Take a packet's transit."""
        buckets = self._buckets
        if not buckets or not 0 <= now - buckets[-1].begun < _BUCKET:
            while buckets and not 0 <= now - buckets[0].begun < WINDOW + _BUCKET:
                buckets.popleft()
            buckets.append(_Bucket(now, transit))
            self._sum_up()
            return
        buckets[-1].note(transit)
        self.earliest = min(self.earliest, transit)
        if transit > self.latest:
            self.latest, self.next_latest = transit, self.latest
        elif transit > self.next_latest:
            self.next_latest = transit

    def _sum_up(self) -> None:
        self.earliest = min((bucket.earliest for bucket in self._buckets), default=math.inf)
        late = sorted(transit for bucket in self._buckets for transit in (bucket.latest, bucket.next_latest))
        late = [transit for transit in late if transit > -math.inf]
        self.latest = late[-1] if late else -math.inf
        self.next_latest = late[-2] if len(late) > 1 else self.latest


class _Bucket:
    __slots__ = ("begun", "earliest", "latest", "next_latest")

    def __init__(self, begun: float, transit: float) -> None:
        self.begun = begun
        self.earliest = self.latest = transit
        self.next_latest = -math.inf

    def note(self, transit: float) -> None:
        self.earliest = min(self.earliest, transit)
        if transit > self.latest:
            self.latest, self.next_latest = transit, self.latest
        elif transit > self.next_latest:
            self.next_latest = transit


class Beats:
    """When frames are taken: every 20 ms, but the thread that does so is at times late."""

    __slots__ = ("_taken", "_zeros")

    def __init__(self) -> None:
        self._taken = 0
        self._zeros: deque[float] = deque(maxlen=25)

    def beat(self, now: float) -> float:
        """Count a frame; return when it was due."""
        self._zeros.append(now - self._taken)
        due = min(self._zeros) + self._taken
        self._taken += FRAME_SAMPLES
        return due


def spare_audio(early: float, boundary: int, packet: int) -> int:
    """Return how much can be left out so that every packet is still there when it is needed; what lacks if negative.

    A packet is needed whole when the frame with its first sample is taken, so that leaving something out matters only
    where it moves a packet's first sample into an earlier frame.

    Args:
        early: how long before a frame is taken all the packets sent up to its first sample have come.
        boundary: how far after a frame's first sample some packet begins.
        packet: its length.
    """
    step = math.gcd(packet, FRAME_SAMPLES)
    if step < _FINEST:
        return math.floor(early) - FRAME_SAMPLES
    return min(
        begins + FRAME_SAMPLES * math.floor((early - begins) / FRAME_SAMPLES)
        for begins in range(boundary % step, FRAME_SAMPLES, step)
    )
