"""When the words come late: what is left out, in which order, and when it comes back. docs/overload.md tells people."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from prometheus_client import Gauge

from infra.telemetry import logger

log = logger(__name__)

_LAG: Final = Gauge(
    "hearline_audio_lag_seconds",
    "Age of the oldest audio that could have its final and has none",
    multiprocess_mode="livemax",
)
_STEP: Final = Gauge("hearline_overload_step", "What is left out: docs/overload.md", multiprocess_mode="livemax")

LOOK_S: Final = 0.5
UP_S: Final = (2.0, 5.0, 15.0, 60.0)
"""The lag in seconds above which each step begins."""
CONFIRM_S: Final = 2.0
"""The steps after the first begin when the lag has been so long so high, ..."""
CATCHING_UP: Final = 0.5
"""... unless it falls by more than this in a second: what was away and is back costs nobody a worse model."""
CALM: Final = 0.6
"""A step ends when the lag has been below this share of its beginning ..."""
HOLD_S: Final = 5.0
"""... for so long, the one before it another such time later, and so on."""
RELAPSE_S: Final = 60.0
"""A step that is needed again so soon after it ended is held for twice as long as before ..."""
HOLD_MOST_S: Final = 80.0
"""... but no longer than this: no see-saw between two models."""


class Step(IntEnum):
    """Each step does what those before it do, too."""

    IN_TIME = 0
    NO_PARTIALS = 1
    LIGHTER_MODEL = 2
    NO_EXTRAS = 3
    """Insights and diarization pause, on all machines."""
    RECORD_ONLY = 4
    """No audio is read ahead: it stays in Redis until the backlog is recognised."""


class Ladder:
    """Which step a lag asks for. No clock of its own, no I/O."""

    def __init__(self, up_s: Sequence[float] = UP_S) -> None:
        self._up_s = up_s
        self.step = Step.IN_TIME
        self._calm_since_s: float | None = None
        self._hold_s = dict.fromkeys(Step, HOLD_S)
        self._left_s: dict[Step, float] = {}
        self._recent: deque[tuple[float, float]] = deque()
        """(time, lag) of the last `CONFIRM_S`, the first one at or before its beginning."""

    def observe(self, lag_s: float, now_s: float) -> Step:
        """Take a measurement made at `now_s`; return the step from now on. Up at once, down one at a time."""
        wanted = self._wanted(lag_s, now_s)
        if wanted > self.step:
            for step in range(self.step + 1, wanted + 1):
                self._enter(Step(step), now_s)
            self.step, self._calm_since_s = wanted, None
        elif self.step == Step.IN_TIME or lag_s >= CALM * self._up_s[self.step - 1]:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= self._hold_s[self.step]:
            self._left_s[self.step] = now_s
            self.step, self._calm_since_s = Step(self.step - 1), now_s
        return self.step

    def _wanted(self, lag_s: float, now_s: float) -> Step:
        recent = self._recent
        recent.append((now_s, lag_s))
        while len(recent) > 1 and recent[1][0] <= now_s - CONFIRM_S:
            recent.popleft()
        since_s, lag_then_s = recent[0]
        passed_s = now_s - since_s
        first = Step(lag_s > self._up_s[0])
        if passed_s < CONFIRM_S or lag_s < lag_then_s - CATCHING_UP * passed_s:
            return first
        least_s = min(lag for _, lag in recent)
        return max(first, Step(sum(least_s > up_s for up_s in self._up_s)))

    def _enter(self, step: Step, now_s: float) -> None:
        relapsed = step in self._left_s and now_s - self._left_s[step] < RELAPSE_S
        self._hold_s[step] = min(2 * self._hold_s[step], HOLD_MOST_S) if relapsed else HOLD_S


class Overload:
    """How far a worker is behind, over all its tracks, and what it leaves out for that."""

    def __init__(self, ladder: Ladder | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self.lag_s = 0.0
        self.changed = asyncio.Event()
        """Set at each change of step, for whoever waits to tell it."""
        self._ladder = ladder or Ladder()
        self._clock = clock
        self._sources: list[Callable[[], int]] = []

    @property
    def step(self) -> Step:
        """Return what is left out now."""
        return self._ladder.step

    @property
    def watched(self) -> int:
        """Return how many tracks of live calls are counted."""
        return len(self._sources)

    @contextmanager
    def watching(self, lag_ms: Callable[[], int]) -> Iterator[None]:
        """Count what `lag_ms` returns, in milliseconds, for as long as the context lasts."""
        self._sources.append(lag_ms)
        try:
            yield
        finally:
            self._sources.remove(lag_ms)

    def look(self) -> Step:
        """Measure, and change step where that is due."""
        before = self.step
        self.lag_s = max((lag_ms() for lag_ms in self._sources), default=0) / 1000
        after = self._ladder.observe(self.lag_s, self._clock())
        _LAG.set(self.lag_s)
        _STEP.set(after)
        if after != before:
            tell = log.warning if after > before else log.info
            tell("overload step", step=int(after), means=after.name.lower(), lag_s=round(self.lag_s, 1))
            self.changed.set()
        return after

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)
