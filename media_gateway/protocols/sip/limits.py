"""How much of each thing there may be, and how often strangers are answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final

_SOURCES: Final = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What an endpoint holds at most. When it is full, new calls get 503; nothing that runs is given up."""

    dialogs: int = 4096
    """Calls at one time, those being set up included."""
    transactions: int = 32_768
    """Requests in either direction that still have a timer."""
    ring_s: float = 180.0
    """How long a call may wait for an answer; then it gets 480."""
    stranger_rate_per_s: float = 5.0
    """Answers to one address that may not call."""
    stranger_burst: float = 20.0
    strangers_per_s: float = 100.0
    """Answers to all of them together."""
    greet_strangers: bool = False
    """Whether an OPTIONS from anybody gets a 200 that says nothing but 'alive'; otherwise 403."""
    min_session_s: int = 90
    """The shortest session interval that is taken (Min-SE; RFC 4028, section 5: never below 90)."""
    session_s: int = 1800
    """The session interval that we ask for where the caller asks for none; 0 for none."""
    nonce_s: float = 300.0
    """How long a digest nonce is good for."""
    nonces: int = 4096
    """Nonces in use whose counts are remembered against replays."""


class Doorman:
    """Says whether a stranger is answered now: a bucket for each source and one for all, in fixed memory.

    Sources that share a bucket by chance share its rate; where the salt puts them is nobody else's to know.
    """

    __slots__ = ("_all", "_buckets", "_limits", "_salt")

    def __init__(self, limits: Limits, rng: Random) -> None:
        self._limits = limits
        self._salt = rng.getrandbits(64)
        self._buckets: list[tuple[float, float]] = [(limits.stranger_burst, -math.inf)] * _SOURCES
        self._all = (limits.strangers_per_s, -math.inf)

    def admits(self, host: str, now_s: float) -> bool:
        """Take one answer to `host` out of its bucket; False: stay silent."""
        limits = self._limits
        at = hash((self._salt, host)) % _SOURCES
        own = _filled(self._buckets[at], limits.stranger_rate_per_s, limits.stranger_burst, now_s)
        if own < 1:
            return False
        total = _filled(self._all, limits.strangers_per_s, limits.strangers_per_s, now_s)
        if total < 1:
            return False
        self._buckets[at] = (own - 1, now_s)
        self._all = (total - 1, now_s)
        return True


def _filled(bucket: tuple[float, float], rate_per_s: float, most: float, now_s: float) -> float:
    level, since_s = bucket
    return min(level + max(now_s - since_s, 0.0) * rate_per_s, most)
