"""Which queue a number belongs to, and how its calls are answered: remembered while the database is away."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from infra.model import DEFAULT_TENANT
from infra.settings import TwilioMode
from infra.store.database import StoreAway
from infra.store.queues import DEFAULT_QUEUE, Queue, QueueStore, default_queue, normal_number
from infra.telemetry import logger
from infra.tokens import client_identity

log = logger(__name__)

MAX_TARGETS: Final = 10
"""Twilio rings at most ten at once."""

_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class Route:
    """How the calls on a number are answered."""

    queue: Queue = DEFAULT_QUEUE
    mode: TwilioMode = "connect"
    targets: tuple[str, ...] = ()
    """For 'listen', whom Twilio rings: '+15550100', 'client:NAME', 'sip:URI'; never empty."""


class Numbers:
    """Finds the route of a number within `timeout_s`, in seconds, whatever state the database is in."""

    def __init__(
        self,
        queues: QueueStore | None = None,
        *,
        mode: TwilioMode = "connect",
        dial: str | None = None,
        tenant_id: UUID = DEFAULT_TENANT,
        timeout_s: float = 1.5,
    ) -> None:
        """`mode`, `dial`: what holds for the default queue as long as it says nothing itself.

        Raises:
            ValueError: `dial` names more than ten targets.
        """
        if len(split_targets(dial)) > MAX_TARGETS:
            raise ValueError(f"TWILIO_DIAL names more than {MAX_TARGETS} targets")
        self._queues = queues
        self._mode: TwilioMode = mode
        self._dial = dial
        self._tenant_id = tenant_id
        self._timeout_s = timeout_s
        self._known: OrderedDict[str, Route] = OrderedDict()

    async def route(self, number: str | None) -> Route:
        """Return how a call on this number is answered."""
        plain = normal_number(number or "")[:64]
        try:
            async with asyncio.timeout(self._timeout_s):
                route = await self._look_up(number)
        except StoreAway as error:
            log.warning("queues not reached", error=type(error).__name__)
            return self._known.get(plain) or self._route(default_queue(self._tenant_id), ())
        self._known[plain] = route
        self._known.move_to_end(plain)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return route

    async def overflow(self, route: Route) -> Route | None:
        """Return where the calls of a queue overflow to, None if nowhere."""
        if self._queues is None or route.queue.overflow_to is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                queue = await self._queues.get(self._tenant_id, route.queue.overflow_to)
                return self._route(queue, await self._clients(queue)) if queue else None
        except StoreAway as error:
            log.warning("queues not reached", error=type(error).__name__)
            return None

    async def _look_up(self, number: str | None) -> Route:
        if self._queues is None:
            return self._route(default_queue(self._tenant_id), ())
        queue = await self._queues.for_number(self._tenant_id, number)
        return self._route(queue, await self._clients(queue))

    async def _clients(self, queue: Queue) -> tuple[str, ...]:
        if self._queues is None or self._told(queue):
            return ()
        agents = await self._queues.agents(queue, limit=MAX_TARGETS)
        return tuple(f"client:{client_identity(agent)}" for agent in agents)

    def _told(self, queue: Queue) -> tuple[str, ...]:
        return split_targets(queue.dial or (self._dial if queue.is_default else None))

    def _route(self, queue: Queue, clients: tuple[str, ...]) -> Route:
        targets = (self._told(queue) or clients)[:MAX_TARGETS]
        mode = queue.mode or self._mode
        if mode == "listen" and not targets:
            log.warning("nobody to ring: the call is answered here", queue_id=str(queue.id))
            mode = "connect"
        return Route(queue, mode, targets)


def split_targets(dial: str | None) -> tuple[str, ...]:
    """Return the targets of a comma separated list."""
    return tuple(target.strip() for target in (dial or "").split(",") if target.strip())
