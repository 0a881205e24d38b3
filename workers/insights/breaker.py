"""A circuit breaker: a service that keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import Callable


class CircuitBreaker:
    """Counts failures in a row; from `failures` on it rests `rest_s` seconds, twice as long each further time.

    Not for several threads: the event loop is the lock.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        rest_s: float = 30.0,
        max_rest_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._rest_s = rest_s
        self._max_rest_s = max_rest_s
        self._clock = clock
        self._failed = 0
        self._rests = 0
        self._open_until: float | None = None
        self._trying = False

    def wait_s(self) -> float:
        """Return how many seconds from now a request may be tried; 0 if it may be tried now."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def admit(self) -> bool:
        """Tell whether to go ahead now. While the rest is over but not yet proven, one at a time may."""
        if self._open_until is None:
            return True
        if self._trying or self.wait_s() > 0:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """Say that a request went well."""
        self._failed = self._rests = 0
        self._open_until = None
        self._trying = False

    def failed(self, rest_s: float | None = None) -> None:
        """Say that a request failed; `rest_s` opens the circuit at once, for at least so long."""
        self._failed += 1
        self._trying = False
        if rest_s is None and self._failed < self._limit and self._open_until is None:
            return
        pause_s = min(self._max_rest_s, self._rest_s * 2**self._rests)
        self._rests += 1
        self._open_until = self._clock() + max(pause_s, rest_s or 0.0)

    def abandoned(self) -> None:
        """Say that a request ended without showing anything, as when it was cancelled."""
        self._trying = False
