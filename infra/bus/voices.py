"""What the voices of live tracks sound like: gone with the track, never in the database."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from redis.asyncio import Redis

from infra.bus import keys

KEPT_S: Final = 3600
"""How long they outlast the last word of a track whose worker died."""


class Voices:
    """Kept by the worker that owns a track, for the one that may have to go on with it."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def load(self, track_id: UUID) -> bytes:
        """Return what an earlier worker kept; empty where there is nothing."""
        kept = await self._redis.get(keys.voices(track_id))
        return bytes(kept) if kept else b""

    async def keep(self, track_id: UUID, kept: bytes) -> None:
        """Replace what is kept."""
        await self._redis.set(keys.voices(track_id), kept, ex=KEPT_S)

    async def forget(self, track_id: UUID) -> None:
        """The track has ended."""
        await self._redis.delete(keys.voices(track_id))
