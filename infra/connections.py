"""The two services that every process stands on, as the settings name them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from redis.asyncio import Redis

from infra.bus import streams
from infra.console import UnusableError
from infra.embedded import EmbeddedPostgres
from infra.settings import Settings
from infra.store.database import StoreAway, open_pool


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """Connect to PostgreSQL. Raises UnusableError."""
    if settings.database_url is None:
        raise UnusableError("DATABASE_URL is not set (`hearline all` brings its own PostgreSQL)")
    try:
        pool = await open_pool(settings.database_url)
    except (*StoreAway, asyncpg.PostgresError, ValueError) as error:
        raise UnusableError(f"PostgreSQL refuses: {str(error).strip() or type(error).__name__}") from error
    try:
        yield pool
    finally:
        pool.terminate()


@contextlib.asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """Connect to Redis. Raises UnusableError."""
    if settings.redis_url is None:
        raise UnusableError("REDIS_URL is not set (`hearline all` brings its own)")
    try:
        opened = streams.open_redis(settings.redis_url)
        await opened.ping()
    except (*streams.BusError, ValueError) as error:
        raise UnusableError(f"Redis refuses: {str(error).strip() or type(error).__name__}") from error
    try:
        yield opened
    finally:
        await opened.aclose()


def reachable(settings: Settings) -> Settings:
    """Return settings with the address of the embedded PostgreSQL where no other is named: it may be running."""
    if settings.database_url is not None:
        return settings
    embedded = EmbeddedPostgres(settings.hearline_data_dir / "state" / "postgres")
    return settings.model_copy(update={"database_url": embedded.url})
