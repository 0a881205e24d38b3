"""What the switchboard asks PostgreSQL and Redis, which may be away: then what holds by default, and soon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar, get_args
from uuid import UUID

import asyncpg

from infra.bus.presence import Presence
from infra.bus.streams import BusError
from infra.model import Call, PhoneStatus, utc_now
from infra.store.callbacks import Callback, CallbackKind, CallbackStore
from infra.store.calls import CallStore
from infra.store.database import StoreAway
from infra.store.queues import Queue, QueueStore, default_queue, reachable_number
from infra.telemetry import logger
from media_gateway.outbox import Outbox

log = logger(__name__)

_ANSWER_WITHIN_S: Final = 0.5
_T = TypeVar("_T")


class StoredDirectory:
    """`media_gateway.switchboard.board.Directory` over the database and the bus."""

    def __init__(
        self,
        *,
        queues: QueueStore,
        callbacks: CallbackStore,
        calls: CallStore,
        presence: Presence,
        to_store: Outbox,
        to_bus: Outbox,
    ) -> None:
        self._queues = queues
        self._callbacks = callbacks
        self._calls = calls
        self._presence = presence
        self._to_store = to_store
        self._to_bus = to_bus
        self._known: dict[tuple[UUID, str | None], Queue] = {}
        """The last answer for each number, for as long as PostgreSQL is away."""

    async def queue_for(self, tenant_id: UUID, number: str | None) -> Queue:
        """Return the queue of a number."""
        found = await _soon(self._queues.for_number(tenant_id, number or ""))
        if found is None:
            return self._known.get((tenant_id, number), default_queue(tenant_id))
        if len(self._known) < 10_000:
            self._known[tenant_id, number] = found
        return found

    async def queue(self, tenant_id: UUID, queue_id: UUID) -> Queue | None:
        """Return a queue by its id."""
        return await _soon(self._queues.get(tenant_id, queue_id))

    async def last_agent(self, call_id: UUID) -> UUID | None:
        """Return who talked to the caller of a call that comes back."""
        return await _soon(self._calls.agent(call_id))

    async def status(self, user_id: UUID) -> PhoneStatus | None:
        """Return a phone's status as it was remembered."""
        found = await _soon(self._presence.phone(user_id))
        return next((status for status in get_args(PhoneStatus) if status == found), None)

    def remember(self, user_id: UUID, status: PhoneStatus) -> None:
        """Keep a phone's status beyond this process."""
        self._to_bus.put("phone status", lambda: self._presence.set_phone(user_id, status))

    def note_callback(self, call: Call, queue: Queue, kind: CallbackKind) -> None:
        """Store that a caller waits to hear from us."""
        callback = Callback(call.id, kind, utc_now(), reachable_number(call.from_number), queue.id, call.tenant_id)
        self._to_store.put("callback", lambda: self._callbacks.add(callback))


async def _soon(answer: Awaitable[_T]) -> _T | None:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            return await answer
    except (*StoreAway, *BusError, asyncpg.PostgresError) as error:
        log.warning("answered from the defaults", error=type(error).__name__)
        return None
