"""The gateway's part of the server: its doors, the calls on the line, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import asyncpg
from aiohttp import web
from redis.asyncio import Redis

from infra.bus.presence import Presence
from infra.bus.streams import AudioStreams, BusError, EventStreams
from infra.bus.work import WorkQueue
from infra.kept import stream_secret
from infra.settings import Settings
from infra.store.calls import CallStore
from infra.telemetry import logger
from infra.tokens import SpentHere, StreamTokens
from media_gateway.meter import PrometheusMeter
from media_gateway.registry import Registry
from media_gateway.tap import Tap
from media_gateway.transports import capture, twilio

log = logger(__name__)

FLUSH_WITHIN_S: Final = 5.0


class Gateway:
    """Everything that answers calls; `drain` before the server stops."""

    def __init__(self, registry: Registry, tokens: StreamTokens, doors: Doors) -> None:
        self.registry = registry
        self.tokens = tokens
        self._doors = doors

    async def drain(self) -> None:
        """Take no more calls, end those on the line, and tell it all before returning."""
        self.registry.draining = True
        for door in self._doors:
            await door.close("server-shutdown")
        self.registry.end_all("server-shutdown")
        if not await self.registry.drained(FLUSH_WITHIN_S):
            log.error("stopped before everything was told")


Doors = tuple[twilio.TwilioMedia, capture.Capture]


def add_gateway(
    app: web.Application, *, settings: Settings, pool: asyncpg.Pool, redis: Redis, base_url: str
) -> Gateway:
    """Add the gateway's routes to the server; its background work runs for as long as the server does."""
    presence = Presence(redis)
    registry = Registry(
        tap=Tap(AudioStreams(redis)),
        events=EventStreams(redis),
        asr_work=WorkQueue(redis, "asr", "gateway"),
        insight_work=WorkQueue(redis, "insights", "gateway"),
        presence=presence,
        store=CallStore(pool),
    )
    tokens = StreamTokens(stream_secret(settings), SpentTokens(presence))
    meter = PrometheusMeter()
    doors = (
        twilio.TwilioMedia(registry, tokens, auth_token=settings.twilio_token, public_base_url=base_url, meter=meter),
        capture.Capture(registry, meter=meter),
    )
    app.router.add_get(twilio.PATH, doors[0].handle)
    app.router.add_get(capture.PATH, doors[1].handle)

    async def background(_: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(registry.run())
            yield
            running.cancel()

    app.cleanup_ctx.append(background)
    return Gateway(registry, tokens, doors)


class SpentTokens:
    """Which stream tokens were used: known to all gateways through Redis, to this one alone while Redis is away."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._here = SpentHere()

    async def spend(self, token_id: str, ttl_s: int) -> bool:
        """Mark a token as used; False if it was used already."""
        fresh_here = await self._here.spend(token_id, ttl_s)
        try:
            return await self._presence.spend(token_id, ttl_s) and fresh_here
        except BusError as error:
            log.warning("token checked in this process only", error=type(error).__name__)
            return fresh_here
