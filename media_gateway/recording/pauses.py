"""Stretches of a call that its recording leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator


class Pauses:
    """What somebody asked to leave out, in ms on the call's clock. A pause within a pause is that pause."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[tuple[int, float]] = []
        """Beginning and end, in order, apart from each other; the last may have no end."""

    @property
    def since_ms(self) -> int | None:
        """Where the pause that lasts began."""
        return self._spans[-1][0] if self._spans and math.isinf(self._spans[-1][1]) else None

    def pause(self, at_ms: int) -> bool:
        """Keep nothing from here on; False when that is so already."""
        if self.since_ms is not None:
            return False
        if self._spans and at_ms <= self._spans[-1][1]:
            at_ms = self._spans.pop()[0]
        self._spans.append((at_ms, math.inf))
        return True

    def resume(self, at_ms: int) -> bool:
        """Keep what follows; False when that is so already."""
        if self.since_ms is None:
            return False
        start_ms, _ = self._spans.pop()
        if at_ms > start_ms:
            self._spans.append((start_ms, at_ms))
        return True

    def kept(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """Return what is left of a stretch."""
        for begin, end in self._spans:
            if end <= start_ms:
                continue
            if begin >= end_ms:
                break
            if begin > start_ms:
                yield start_ms, begin
            if end >= end_ms:
                return
            start_ms = int(end)
        if start_ms < end_ms:
            yield start_ms, end_ms


def told(acts: Iterable[tuple[int, bool]]) -> Pauses:
    """Return the pauses that come of these acts, (moment, whether it pauses), each gateway's in their order."""
    pauses = Pauses()
    for at_ms, is_pause in sorted(acts, key=lambda act: act[0]):
        if is_pause:
            pauses.pause(at_ms)
        else:
            pauses.resume(at_ms)
    return pauses
