"""Who is alive: gateways and workers keep a key from expiring, and say there what they run."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from infra.bus import keys

PRESENCE_S: Final = 10
RENEW_S: Final = 3.0


class Presence:
    """Signs of life in Redis, each gone `PRESENCE_S` after its owner fell silent."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def gateway(self, gateway_id: str) -> None:
        """Say that this gateway lives."""
        await self._redis.set(keys.gateway(gateway_id), b"1", ex=PRESENCE_S)

    async def gateway_lives(self, gateway_id: str) -> bool:
        """Return whether that gateway was heard of in the last seconds."""
        return bool(await self._redis.exists(keys.gateway(gateway_id)))

    async def worker(self, kind: keys.Work, worker_id: str, about: dict[str, Any]) -> None:
        """Say that this worker lives, and what it runs (engine, model, tracks ...)."""
        await self._redis.set(keys.worker(kind, worker_id), msgspec.json.encode(about), ex=PRESENCE_S)

    async def workers(self, kind: keys.Work) -> list[dict[str, Any]]:
        """Return what each living worker of that kind says of itself."""
        found = []
        async for key in self._redis.scan_iter(match=keys.worker(kind, "*"), count=100):
            raw = await self._redis.get(key)
            if raw is not None:
                found.append(msgspec.json.decode(raw))
        return found

    async def spend(self, nonce: str, life_s: int) -> bool:
        """Mark a one-time token as used; False when it was used before."""
        return bool(await self._redis.set(keys.spent(nonce), b"1", nx=True, ex=life_s))
