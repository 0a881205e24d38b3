"""Time for audio that comes without timestamps: each stretch follows on from the one before."""

from __future__ import annotations

import math
from typing import Final

_WINDOW_MS: Final = 500.0
"""For how long audio has to come late before it counts as late: what a network held up comes all at once."""
_LATE_MS: Final = 400.0


class FollowClock:
    """One track's time.

    A sender that stops sending for a while, or loses audio, falls behind for good: then the time is left out.
    """

    def __init__(self) -> None:
        self._began_ms: float | None = None
        self._end_ms = 0.0
        """Where the audio so far ends on the stream's clock."""
        self._since_ms = 0.0
        """When the time began in which `_least_late_ms` was found."""
        self._least_late_ms = math.inf
        self._held = False

    def place(self, length_ms: float, now_ms: float) -> int:
        """Return where a stretch that came just now begins, in milliseconds. `now_ms`: any monotonic clock."""
        if self._began_ms is None:
            self._began_ms = now_ms - length_ms
            self._since_ms = now_ms
        late_ms = now_ms - self._began_ms - self._end_ms - length_ms
        if self._held:
            self._jump(max(late_ms, 0.0), now_ms)
        else:
            self._least_late_ms = min(self._least_late_ms, late_ms)
            if now_ms - self._since_ms >= _WINDOW_MS:
                self._jump(self._least_late_ms if self._least_late_ms > _LATE_MS else 0.0, now_ms)
        begins_ms = self._end_ms
        self._end_ms += length_ms
        return int(begins_ms)

    def skip(self, duration_ms: float) -> None:
        """Leave out a stretch that the sender says is missing."""
        self._end_ms += duration_ms

    def hold(self) -> None:
        """The sender stops sending; what comes next is spoken when it comes."""
        self._held = True

    def _jump(self, by_ms: float, now_ms: float) -> None:
        self._end_ms += by_ms
        self._held = False
        self._since_ms = now_ms
        self._least_late_ms = math.inf
