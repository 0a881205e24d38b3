"""Migrations on a real PostgreSQL: applied once, by one process at a time, and never changed afterwards."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from infra.embedded import Services
from infra.model import DEFAULT_TENANT
from infra.store import database
from infra.store.database import MigrationError, migrate, open_pool, shipped_migrations


@pytest.fixture
async def empty_pool(services: Services) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a database without a single table."""
    name = f"empty_{uuid4().hex}"
    connection = await asyncpg.connect(services.database_url)
    await connection.execute(f"CREATE DATABASE {name}")
    pool = await open_pool(services.database_url.replace("/postgres?", f"/{name}?", 1))
    yield pool
    pool.terminate()
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


def names() -> list[str]:
    return [name for name, _ in shipped_migrations()]


async def tables(pool: asyncpg.Pool) -> set[str]:
    rows = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def test_everything_is_applied_once_and_written_down(empty_pool: asyncpg.Pool) -> None:
    assert await migrate(empty_pool) == names()
    assert await migrate(empty_pool) == []
    rows = await empty_pool.fetch("SELECT name, digest FROM schema_migrations ORDER BY name")
    assert [(row["name"], row["digest"]) for row in rows] == [
        (name, hashlib.sha256(sql.encode()).hexdigest()) for name, sql in shipped_migrations()
    ]
    assert await empty_pool.fetchval("SELECT id FROM tenants") == DEFAULT_TENANT


async def test_processes_that_start_at_once_take_turns(empty_pool: asyncpg.Pool) -> None:
    assert sorted(await asyncio.gather(*(migrate(empty_pool) for _ in range(4)))) == [[], [], [], names()]


async def test_an_applied_file_that_was_changed_is_refused(
    empty_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty_pool)
    changed = [(name, sql + "\n-- an afterthought") for name, sql in shipped_migrations()]
    monkeypatch.setattr(database, "shipped_migrations", lambda: changed)
    with pytest.raises(MigrationError, match=names()[0]):
        await migrate(empty_pool)
    monkeypatch.undo()
    assert await migrate(empty_pool) == []


async def test_a_migration_that_fails_leaves_nothing_of_itself_and_can_be_tried_again(
    empty_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = shipped_migrations()
    broken = [*shipped, ("9999_more.sql", "CREATE TABLE more (id int); CREATE TABLE more (id int);")]
    monkeypatch.setattr(database, "shipped_migrations", lambda: broken)
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty_pool)
    assert "more" not in await tables(empty_pool)
    mended = [*shipped, ("9999_more.sql", "CREATE TABLE more (id int);")]
    monkeypatch.setattr(database, "shipped_migrations", lambda: mended)
    assert await migrate(empty_pool) == ["9999_more.sql"]
    assert "more" in await tables(empty_pool)


def test_their_names_give_their_order() -> None:
    assert names() == sorted(names())
    numbers = [name.partition("_")[0] for name in names()]
    assert all(number.isdigit() and len(number) == 4 for number in numbers)
    assert len(set(numbers)) == len(numbers)


PROMISED_COLUMNS = {
    "meeting_transcripts": """
        id call_id title original_text cleaned_text speaker chunk_index start_time end_time duration_seconds llm_summary
        is_final created_at updated_at tenant_id track_id leg_id role seq start_ms end_ms language confidence words
    """,
    "calls": "id tenant_id external_id door from_number to_number started_at ended_at status",
    "legs": "id call_id role",
    "tracks": "id call_id leg_id",
    "insights": "id call_id kind body evidence revision",
    "gaps": "id call_id track_id start_ms end_ms cause",
    "recordings": "id call_id",
    "users": "id tenant_id name role",
    "audit_log": "id tenant_id user_id",
    "vocabulary": "id tenant_id queue_id phrase created_at",
    "queues": "id tenant_id name mode dial greeting on_timeout overflow_to agents",
    "queue_numbers": "tenant_id number queue_id",
    "callbacks": "id tenant_id call_id queue_id number kind status requested_at done_by done_at",
    "twilio_recordings": "recording_sid tenant_id call_id call_sid status url duration_s",
}


async def test_the_public_names_are_there(pool: asyncpg.Pool) -> None:
    rows = await pool.fetch("SELECT table_name, column_name FROM information_schema.columns")
    found = {(row["table_name"], row["column_name"]) for row in rows}
    promised = {(table, column) for table, columns in PROMISED_COLUMNS.items() for column in columns.split()}
    assert promised <= found


async def test_every_table_knows_its_tenant(pool: asyncpg.Pool) -> None:
    rows = await pool.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_name = 'tenant_id' AND data_type = 'uuid' AND is_nullable = 'NO'"
    )
    assert {row["table_name"] for row in rows} == await tables(pool) - {"schema_migrations", "tenants"}
