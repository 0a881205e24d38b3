"""Who is alive: gateways and workers keep a key from expiring, and say there what they run."""

from __future__ import annotations

import time
from typing import Any, Final
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from infra.bus import keys

PRESENCE_S: Final = 10
RENEW_S: Final = 3.0
PHONE_KEPT_S: Final = 12 * 3600


class Presence:
    """Signs of life in Redis, each gone `PRESENCE_S` after its owner fell silent."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def gateway(self, gateway_id: str) -> None:
        """Say that this gateway lives, and how far its clock is ahead of Redis' own."""
        await self._redis.set(keys.gateway(gateway_id), str(await self._ahead_ms()), ex=PRESENCE_S)

    async def gateway_lives(self, gateway_id: str) -> bool:
        """Return whether that gateway was heard of in the last seconds."""
        return bool(await self._redis.exists(keys.gateway(gateway_id)))

    async def ahead_of_gateway_ms(self, gateway_id: str) -> int | None:
        """Return how far this machine's clock is ahead of a gateway's, in milliseconds; None when it is silent."""
        told = await self._redis.get(keys.gateway(gateway_id))
        return None if told is None else await self._ahead_ms() - int(told)

    async def sip_problem(self, gateway_id: str, problem: str | None) -> None:
        """Say that this gateway is not registered where it should be, and why; None: it is."""
        if problem is None:
            await self._redis.hdel(keys.sip_problems(), gateway_id)
        else:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hset(keys.sip_problems(), gateway_id, problem)
            pipeline.expire(keys.sip_problems(), PRESENCE_S)
            await pipeline.execute()

    async def sip_problems(self) -> list[str]:
        """Return what is wrong with the gateways' registrations."""
        told = await self._redis.hgetall(keys.sip_problems())
        return sorted({problem.decode() for problem in told.values()})

    async def _ahead_ms(self) -> int:
        before_s = time.time()
        seconds, micros = await self._redis.time()
        return int((before_s + time.time()) / 2 * 1000) - (int(seconds) * 1000 + int(micros) // 1000)

    async def worker(self, kind: keys.Work, worker_id: str, about: dict[str, Any]) -> None:
        """Say that this worker lives, and what it runs (engine, model, tracks ...)."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(keys.worker(kind, worker_id), msgspec.json.encode(about), ex=PRESENCE_S)
        pipeline.sadd(keys.workers(kind), worker_id)
        await pipeline.execute()

    async def workers(self, kind: keys.Work) -> list[dict[str, Any]]:
        """Return what each living worker of that kind says of itself."""
        names = sorted(name.decode() for name in await self._redis.smembers(keys.workers(kind)))
        if not names:
            return []
        told = dict(zip(names, await self._redis.mget([keys.worker(kind, name) for name in names]), strict=True))
        if silent := [name for name, raw in told.items() if raw is None]:
            await self._redis.srem(keys.workers(kind), *silent)
        return [msgspec.json.decode(raw) for raw in told.values() if raw is not None]

    async def overload_step(self) -> int:
        """Return how much the recognisers leave out: the highest step that a living one tells of."""
        return max((int(about.get("overload_step", 0)) for about in await self.workers("asr")), default=0)

    async def phone(self, user_id: UUID) -> str | None:
        """Return whether a user takes calls, as it was said last."""
        said = await self._redis.get(keys.phone(user_id))
        return said.decode() if said is not None else None

    async def set_phone(self, user_id: UUID, status: str) -> None:
        """Say whether a user takes calls; remembered for a working day."""
        await self._redis.set(keys.phone(user_id), status, ex=PHONE_KEPT_S)

    async def spend(self, nonce: str, life_s: int) -> bool:
        """Mark a one-time token as used; False when it was used before."""
        return bool(await self._redis.set(keys.spent(nonce), b"1", nx=True, ex=life_s))

    async def keep_grant(self, name: str, grant: bytes, life_s: int) -> None:
        """Remember what a one-time name is good for."""
        await self._redis.set(keys.grant(name), grant, ex=life_s)

    async def take_grant(self, name: str) -> bytes | None:
        """Return what a one-time name is good for, once; None when it is unknown, used or out of date."""
        kept: bytes | None = await self._redis.getdel(keys.grant(name))
        return kept
