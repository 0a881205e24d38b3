"""The words that a tenant teaches its recognisers: products, people, places."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

MOST_PHRASES: Final = 1000
"""A tenant's, all its queues together."""
MOST_CHARS: Final = 100
MOST_NAMES: Final = 500
"""Agents whose names take part by themselves."""

LOCK_TENANT: Final = "SELECT id FROM tenants WHERE id = $1 FOR UPDATE"
COUNT_PHRASES: Final = "SELECT count(*) FROM vocabulary WHERE tenant_id = $1"
ADD_PHRASES: Final = """
INSERT INTO vocabulary (id, tenant_id, queue_id, phrase)
SELECT gen_random_uuid(), $1, $2, phrase FROM (SELECT DISTINCT ON (lower(p)) p AS phrase FROM unnest($3::text[]) p) new
ON CONFLICT (tenant_id, coalesce(queue_id, '00000000-0000-0000-0000-000000000000'), lower(phrase))
    DO UPDATE SET phrase = excluded.phrase
RETURNING id, phrase, queue_id, created_at
"""
LIST_PHRASES: Final = """
SELECT id, phrase, queue_id, created_at FROM vocabulary
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR queue_id = $2) ORDER BY lower(phrase), queue_id NULLS FIRST LIMIT $3
"""
DELETE_PHRASE: Final = "DELETE FROM vocabulary WHERE tenant_id = $1 AND id = $2 RETURNING phrase"
PHRASES_OF_TENANTS: Final = """
SELECT tenant_id, queue_id, phrase FROM vocabulary WHERE tenant_id = ANY ($1::uuid[])
ORDER BY tenant_id, lower(phrase), phrase
"""
NAMES_OF_TENANTS: Final = """
SELECT t.id AS tenant_id, n.name FROM unnest($1::uuid[]) t (id), LATERAL (
    (SELECT name FROM users WHERE tenant_id = t.id AND role = 'agent' ORDER BY created_at DESC, id LIMIT $2)
    UNION (SELECT name FROM queues WHERE tenant_id = t.id AND NOT is_default ORDER BY name LIMIT $2)
) n ORDER BY t.id, lower(n.name), n.name
"""
QUEUES_OF_CALLS: Final = "SELECT id, queue_id FROM calls WHERE id = ANY ($1::uuid[]) AND queue_id IS NOT NULL"


class VocabularyFull(ValueError):
    """A tenant has as many phrases as it may have."""

    def __init__(self) -> None:
        super().__init__(f"there would be more than {MOST_PHRASES} phrases; remove some first")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase to listen for; `queue_id` None: in every call of the tenant, else in that queue's."""

    tenant_id: UUID
    queue_id: UUID | None
    phrase: str
    is_name: bool = False
    """An agent's or a queue's."""


def normal_phrase(text: str) -> str:
    """Return a phrase with single spaces, each letter and its marks as one character.

    Raises ValueError, whose message says what is wrong with it.
    """
    phrase = " ".join(unicodedata.normalize("NFC", text).split())  # as recognisers write; some keyboards do not
    if not any(letter.isalnum() for letter in phrase):
        raise ValueError("has neither letters nor digits")
    if not phrase.isprintable():
        raise ValueError("holds characters that cannot be printed")
    if len(phrase) > MOST_CHARS:
        raise ValueError(f"is longer than {MOST_CHARS} characters")
    return phrase


class VocabularyStore:
    """Reads and writes of phrases."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, tenant_id: UUID, phrases: Sequence[str], queue_id: UUID | None) -> list[asyncpg.Record]:
        """Store phrases, as `normal_phrase` returns them; return (id, phrase, queue_id, created_at) of each.

        One that is there already, in whatever case, is written anew as it is now. All are stored or none. Raises
        VocabularyFull.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK_TENANT, tenant_id)  # two writers at once must not both find room
            rows = await connection.fetch(ADD_PHRASES, tenant_id, queue_id, list(phrases))
            if await connection.fetchval(COUNT_PHRASES, tenant_id) > MOST_PHRASES:
                raise VocabularyFull
        return sorted(rows, key=lambda row: str(row["phrase"]).lower())

    async def all(self, tenant_id: UUID, queue_id: UUID | None = None) -> list[asyncpg.Record]:
        """Return (id, phrase, queue_id, created_at) of a tenant's phrases, or of those of one queue, by phrase."""
        return await self._pool.fetch(LIST_PHRASES, tenant_id, queue_id, MOST_PHRASES)

    async def delete(self, tenant_id: UUID, phrase_id: UUID) -> str | None:
        """Remove a phrase and return it, None when this tenant has none with that id."""
        phrase = await self._pool.fetchval(DELETE_PHRASE, tenant_id, phrase_id)
        return None if phrase is None else str(phrase)

    async def of_tenants(self, tenants: Sequence[UUID]) -> list[Phrase]:
        """Return all phrases of some tenants, and the names of their agents and queues as phrases of all calls."""
        async with self._pool.acquire() as connection:
            phrases = await connection.fetch(PHRASES_OF_TENANTS, list(tenants))
            names = await connection.fetch(NAMES_OF_TENANTS, list(tenants), MOST_NAMES)
        told = [Phrase(**row) for row in phrases]
        return told + [Phrase(row["tenant_id"], None, row["name"], is_name=True) for row in names]

    async def queues_of(self, calls: Sequence[UUID]) -> dict[UUID, UUID]:
        """Return the queue of each of these calls that is known to have one."""
        return {row["id"]: row["queue_id"] for row in await self._pool.fetch(QUEUES_OF_CALLS, list(calls))}
