"""Is everything there, and in time? Asked once a second for the screens, and afresh for /readyz."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import asyncpg
from redis.asyncio import Redis

from infra.bus.keys import Work
from infra.bus.presence import Presence
from infra.bus.streams import BusError
from infra.store.database import StoreAway
from infra.telemetry import logger

Part = Literal["postgres", "redis", "asr", "insights"]

CHECK_TIMEOUT_S: Final = 1.0
WATCH_S: Final = 1.0

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a part is there, and a few words on it."""

    ok: bool
    detail: str


@dataclass(slots=True)
class Drain:
    """Set `draining` when the server takes no new calls any more: /readyz says so from then on."""

    draining: bool = False


class Health:
    """Knows which parts are away."""

    def __init__(self, pool: asyncpg.Pool, redis: Redis, drain: Drain) -> None:
        self.drain = drain
        self.degraded: tuple[str, ...] = ()
        """The parts that are away, `sip` while a gateway is not registered where it should be, and `overload-N` while
        the recognisers leave something out (docs/overload.md).
        """
        self.on_change: Callable[[], None] = lambda: None
        self._pool = pool
        self._redis: Any = redis
        self._presence = Presence(redis)

    async def check(self) -> dict[Part, Check]:
        """Ask every part, at once, each for at most `CHECK_TIMEOUT_S`."""
        postgres, redis, asr, insights = await asyncio.gather(
            self._postgres(), self._bus(), self._workers("asr"), self._workers("insights")
        )
        return {"postgres": postgres, "redis": redis, "asr": asr, "insights": insights}

    async def watch(self) -> None:
        """Keep `degraded` true for ever, and call `on_change` when it changes."""
        told: tuple[Part, ...] = ()
        while True:
            checks = await self.check()
            # While Redis is away nobody knows about the workers: name the cause alone.
            unknown = set() if checks["redis"].ok else {"asr", "insights"}
            away = tuple(part for part, check in checks.items() if not check.ok and part not in unknown)
            if away != told:
                _log.warning("parts away", parts=away) if away else _log.info("all parts are there")
                told = away
            degraded = away if not await self._sip_problems() else (*away, "sip")
            degraded = degraded if (step := await self._overload_step()) == 0 else (*degraded, f"overload-{step}")
            if degraded != self.degraded:
                self.degraded = degraded
                self.on_change()
            await asyncio.sleep(WATCH_S)

    async def workers(self, kind: Work) -> list[dict[str, Any]]:
        """Return what the living workers say of themselves; nothing while Redis is away."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await self._presence.workers(kind)
        except BusError:
            return []

    async def _overload_step(self) -> int:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await self._presence.overload_step()
        except BusError:
            return 0

    async def _sip_problems(self) -> list[str]:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await self._presence.sip_problems()
        except BusError:
            return []

    async def _postgres(self) -> Check:
        return await _bounded(self._pool.fetchval("SELECT 1", timeout=CHECK_TIMEOUT_S), StoreAway)

    async def _bus(self) -> Check:
        return await _bounded(self._redis.ping(), BusError)

    async def _workers(self, kind: Work) -> Check:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                count = len(await self._presence.workers(kind))
        except BusError:
            return Check(False, "unknown while redis is away")
        return Check(count > 0, f"{count} at work" if count else "no worker is at work")


async def _bounded(question: Awaitable[Any], errors: tuple[type[BaseException], ...]) -> Check:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await question
    except errors as error:
        return Check(False, f"does not answer ({type(error).__name__})")
    return Check(True, "answers")
