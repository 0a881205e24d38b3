"""Alarms: each is due at one time or never."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

_SWEEP: Final = 256
"""So many entries that count no more are borne before they are swept out."""


class Alarm:
    """Calls `on_due` once when its time has come, from `Timers.fire`."""

    __slots__ = ("_on_due", "_timers", "due_s")

    def __init__(self, timers: Timers, on_due: Callable[[float], None]) -> None:
        self.due_s: float | None = None
        self._timers = timers
        self._on_due = on_due

    def set(self, due_s: float | None) -> None:
        """Be due at this time and no other; None: never."""
        if due_s != self.due_s:
            was_set, self.due_s = self.due_s is not None, due_s
            self._timers.note(self, was_set=was_set)

    def ring(self, now_s: float) -> None:
        """Do what is due."""
        self.due_s = None
        self._on_due(now_s)


class Timers:
    """Everything that is due, soonest first."""

    __slots__ = ("_count", "_heap", "_stale")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0
        self._stale = 0
        """About how many entries of the heap count no more."""

    def alarm(self, on_due: Callable[[float], None]) -> Alarm:
        """Return an alarm that is not set yet."""
        return Alarm(self, on_due)

    def note(self, alarm: Alarm, *, was_set: bool = False) -> None:
        """Take up when `alarm` is due now; what was noted of it before counts no more."""
        self._stale += was_set
        if self._stale > _SWEEP and self._stale > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2].due_s == entry[0]]
            heapq.heapify(self._heap)
            self._stale = 0
        if alarm.due_s is not None:
            self._count += 1
            heapq.heappush(self._heap, (alarm.due_s, self._count, alarm))

    def fire(self, now_s: float) -> None:
        """Ring every alarm that is due, each once; where one raises, those behind it are still due."""
        due: list[Alarm] = []
        while self._heap and self._heap[0][0] <= now_s:
            at_s, _, alarm = heapq.heappop(self._heap)
            if alarm.due_s == at_s:
                due.append(alarm)
        due.reverse()
        try:
            while due:
                alarm = due.pop()
                if alarm.due_s is not None and alarm.due_s <= now_s:  # not if one before it has put it off
                    alarm.ring(now_s)
        finally:
            for alarm in reversed(due):
                self.note(alarm)

    @property
    def next_due_s(self) -> float | None:
        """When the soonest is due."""
        while self._heap and self._heap[0][2].due_s != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
