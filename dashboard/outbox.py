"""Events of the dashboard itself on their way to Redis: what is stored must be told, if need be later."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from uuid import UUID

from infra.bus.streams import BusError, EventStreams
from infra.model import Event
from infra.telemetry import logger

WAITING_MOST: Final = 1000
RETRY_S: Final = 1.0

_log = logger(__name__)


class Outbox:
    """Publishes at once, or keeps the event until Redis is back. Events carry a key, so a repeat does no harm."""

    def __init__(self, streams: EventStreams) -> None:
        self._streams = streams
        self._waiting: deque[tuple[UUID, Event]] = deque(maxlen=WAITING_MOST)

    async def publish(self, tenant_id: UUID, event: Event) -> None:
        """Tell of something that is stored."""
        try:
            await self._streams.publish(tenant_id, event)
        except BusError as error:
            _log.warning("event waits for redis", call_id=str(event.call_id), error=type(error).__name__)
            self._waiting.append((tenant_id, event))

    async def run(self) -> None:
        """Try again, for ever, what could not be told. Beyond `WAITING_MOST` the oldest is given up."""
        while True:
            await asyncio.sleep(RETRY_S)
            while self._waiting:
                tenant_id, event = self._waiting[0]
                try:
                    await self._streams.publish(tenant_id, event)
                except BusError:
                    break  # still away
                if self._waiting and self._waiting[0][1] is event:
                    self._waiting.popleft()
