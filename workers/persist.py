"""Writes that have to get through: tried again until PostgreSQL or Redis is back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

import stamina

from infra.bus.streams import BusError, EventStreams
from infra.model import Event
from infra.store.database import StoreAway

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0
_T = TypeVar("_T")


async def until_stored(store: Callable[[], Awaitable[_T]]) -> _T:
    """Return what `store` returns, as soon as PostgreSQL takes it."""
    return await _until(store, StoreAway)


async def until_told(events: EventStreams, tenant_id: UUID, event: Event) -> None:
    """Publish an event that has a key, as soon as Redis takes it."""
    await _until(lambda: events.publish(tenant_id, event), BusError)


async def _until(act: Callable[[], Awaitable[_T]], away: tuple[type[Exception], ...]) -> _T:
    attempts = stamina.retry_context(
        on=away, attempts=None, timeout=None, wait_initial=_FIRST_PAUSE_S, wait_max=_LONGEST_PAUSE_S
    )
    async for attempt in attempts:
        with attempt:
            return await act()
    raise AssertionError("an endless retry ended")
