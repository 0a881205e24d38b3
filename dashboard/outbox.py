"""What the dashboard itself has for Redis, events and work: what is stored must be told, if need be later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from uuid import UUID

from infra.bus.codec import CallWork
from infra.bus.streams import BusError, EventStreams
from infra.bus.work import WorkQueue
from infra.model import Event
from infra.telemetry import logger

WAITING_MOST: Final = 1000
RETRY_S: Final = 1.0

_log = logger(__name__)


class Outbox:
    """Tells at once, or keeps it until Redis is back. Events carry a key, and calls their id: a repeat does no harm."""

    def __init__(self, streams: EventStreams, insight_work: WorkQueue) -> None:
        self._streams = streams
        self._insight_work = insight_work
        self._waiting: deque[Callable[[], Awaitable[object]]] = deque(maxlen=WAITING_MOST)

    async def publish(self, tenant_id: UUID, event: Event) -> None:
        """Tell of something that is stored."""
        await self._tell(partial(self._streams.publish, tenant_id, event), event.call_id)

    async def announce(self, work: CallWork) -> None:
        """Put a call up for analysis."""
        await self._tell(partial(self._insight_work.announce, work), work.call.id)

    async def _tell(self, tell: Callable[[], Awaitable[object]], call_id: UUID) -> None:
        try:
            await tell()
        except BusError as error:
            _log.warning("news of a call waits for redis", call_id=str(call_id), error=type(error).__name__)
            self._waiting.append(tell)

    async def run(self) -> None:
        """Try again, for ever, what could not be told. Beyond `WAITING_MOST` the oldest is given up."""
        while True:
            await asyncio.sleep(RETRY_S)
            while self._waiting:
                tell = self._waiting[0]
                try:
                    await tell()
                except BusError:
                    break  # still away
                if self._waiting and self._waiting[0] is tell:
                    self._waiting.popleft()
