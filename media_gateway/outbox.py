"""What the gateway has to tell Redis and PostgreSQL, in order, while either may be away.

A call never waits for them: whoever has something to tell puts it here and goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Counter

from infra.telemetry import logger

log = logger(__name__)

_DROPPED: Final = Counter("hearline_outbox_dropped_total", "Messages given up, by outbox and why", ["outbox", "why"])

Message = Callable[[], Awaitable[object]]


class Outbox:
    """A bounded queue of messages with one sender that tries each until it is through.

    `away` are the errors that mean 'try again later'; any other error is logged and that message given up, so that
    one bad message does not hold up the rest. Full means the newest message is dropped and counted; `has_room` turns
    False long before, and new calls are refused then.
    """

    def __init__(self, name: str, away: tuple[type[BaseException], ...], *, capacity: int = 20_000) -> None:
        self.name = name
        self._away = away
        self._capacity = capacity
        self._messages: deque[tuple[str, Message]] = deque()
        self._wake = asyncio.Event()
        self._accepted = 0
        self._passed = 0
        self._stuck = False
        self._moved = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Return whether new calls may be answered."""
        return len(self._messages) < self._capacity // 2

    def put(self, what: str, message: Message) -> None:
        """Queue a message; `what` names its kind in the log. Never blocks."""
        if len(self._messages) >= self._capacity:
            _DROPPED.labels(self.name, "full").inc()
            log.error("outbox full", outbox=self.name, what=what)
            return
        self._messages.append((what, message))
        self._accepted += 1
        self._wake.set()

    @property
    def newest(self) -> int:
        """Return the number of the newest message, for `passed`."""
        return self._accepted

    async def passed(self, number: int, timeout_s: float) -> None:
        """Wait until that message is through; not while its receiver is away, and never longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._passed < number and not self._stuck:
                    await self._moved.wait()
        except TimeoutError:
            log.debug("not waited for any longer", outbox=self.name)

    async def run(self) -> None:
        """Send for ever, oldest first."""
        pause_s = 0.1
        while True:
            if not self._messages:
                self._wake.clear()
                await self._wake.wait()
            what, message = self._messages[0]
            try:
                await message()
            except self._away as error:
                self._move(stuck=True)
                log.warning(
                    "outbox waits", outbox=self.name, what=what, error=type(error).__name__, behind=len(self._messages)
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 1.0)
                continue
            except Exception:
                _DROPPED.labels(self.name, "failed").inc()
                log.exception("outbox gives up a message", outbox=self.name, what=what)
            self._messages.popleft()
            self._passed += 1
            self._move(stuck=False)
            pause_s = 0.1

    def _move(self, *, stuck: bool) -> None:
        self._stuck = stuck
        self._moved.set()
        self._moved = asyncio.Event()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until everything is sent; False when that takes longer than `timeout_s`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._messages:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True
