"""The connection pool and the migrations."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import Any, Final

import asyncpg

_MIGRATION_S: Final = 3600.0
_MIGRATION_LOCK: Final = 0x4845_4152  # "HEAR"

StoreAway: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
)
"""What any statement may raise while PostgreSQL is away or restarting: try again later."""


class MigrationError(RuntimeError):
    """The database holds a migration that differs from the one shipped."""


async def open_pool(database_url: str, *, max_size: int = 8) -> asyncpg.Pool:
    """Open a pool whose connections read and write jsonb as Python objects.

    Raises OSError or asyncpg.PostgresError when the database refuses within 5 s.
    """
    pool = await asyncpg.create_pool(
        database_url,
        min_size=0,  # a floor would be restored, and complained about, all the while the database is away
        max_size=max_size,
        timeout=5,
        command_timeout=10,
        init=_prepare_connection,
    )
    try:
        await pool.fetchval("SELECT 1")
    except BaseException:
        pool.terminate()
        raise
    return pool


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_dump, decoder=json.loads, format="text")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Apply the migrations that the database lacks, each in its own transaction; return their names.

    Two processes may call it at once: an advisory lock lets one through. Raises MigrationError when an
    applied file was changed afterwards.
    """
    applied_now = []
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK, timeout=_MIGRATION_S)
        try:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations"
                " (name text PRIMARY KEY, digest text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
            )
            rows = await connection.fetch("SELECT name, digest FROM schema_migrations")
            known = {row["name"]: row["digest"] for row in rows}
            for name, sql in shipped_migrations():
                digest = hashlib.sha256(sql.encode()).hexdigest()
                if name in known:
                    if known[name] != digest:
                        raise MigrationError(f"migration {name} was changed after it had been applied")
                    continue
                async with connection.transaction():
                    await connection.execute(sql, timeout=_MIGRATION_S)
                    await connection.execute(
                        "INSERT INTO schema_migrations (name, digest) VALUES ($1, $2)", name, digest
                    )
                applied_now.append(name)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _MIGRATION_LOCK)
    return applied_now


async def missing_migrations(connection: asyncpg.Connection) -> int:
    """Return how many of the shipped migrations the database lacks."""
    known = await connection.fetchval("SELECT to_regclass('schema_migrations')")
    applied = await connection.fetchval("SELECT count(*) FROM schema_migrations") if known else 0
    return len(shipped_migrations()) - int(applied)


def shipped_migrations() -> list[tuple[str, str]]:
    """Return (name, SQL) of every migration, in order."""
    folder = files("infra.store") / "migrations"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda p: p.name)
    return [(path.name, path.read_text(encoding="utf-8")) for path in paths]
