"""Queues: which number leads where, and how its callers are treated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args
from uuid import UUID

import asyncpg

from infra.model import DEFAULT_TENANT, stable_id
from infra.settings import TwilioMode

OnTimeout = Literal["voicemail", "callback", "hangup"]
ON_TIMEOUT: Final[tuple[str, ...]] = get_args(OnTimeout)

_COLUMNS: Final = """
    id, tenant_id, name, is_default, mode, dial, greeting, music, consent, recorded, ring_s, max_wait_s, max_waiting,
    on_timeout, overflow_to, overflow_after_s, agents,
    ARRAY(SELECT n.number FROM queue_numbers n WHERE n.queue_id = q.id ORDER BY n.number) AS numbers
"""
QUEUE_FOR_NUMBER: Final = f"""
SELECT {_COLUMNS} FROM queues q
WHERE tenant_id = $1
    AND (is_default OR id = (SELECT n.queue_id FROM queue_numbers n WHERE n.tenant_id = $1 AND n.number = $2))
ORDER BY is_default LIMIT 1
"""  # noqa: S608  (only our own column list is put in)
ALL_QUEUES: Final = f"""
SELECT {_COLUMNS} FROM queues q WHERE tenant_id = $1 ORDER BY is_default DESC, name, id
"""  # noqa: S608  (the same)
GET_QUEUE: Final = f"SELECT {_COLUMNS} FROM queues q WHERE tenant_id = $1 AND id = $2"  # noqa: S608  (the same)
PUT_QUEUE: Final = """
INSERT INTO queues (id, tenant_id, name, is_default, mode, dial, greeting, music, consent, recorded, ring_s, max_wait_s,
    max_waiting, on_timeout, overflow_to, overflow_after_s, agents)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, mode = excluded.mode, dial = excluded.dial,
    greeting = excluded.greeting, music = excluded.music, consent = excluded.consent, recorded = excluded.recorded,
    ring_s = excluded.ring_s, max_wait_s = excluded.max_wait_s, max_waiting = excluded.max_waiting,
    on_timeout = excluded.on_timeout, overflow_to = excluded.overflow_to,
    overflow_after_s = excluded.overflow_after_s, agents = excluded.agents, updated_at = now()
WHERE queues.tenant_id = excluded.tenant_id RETURNING id
"""
DROP_NUMBERS: Final = """
DELETE FROM queue_numbers WHERE tenant_id = $1 AND queue_id = $2 AND number <> ALL ($3::text[])
"""
CLAIM_NUMBERS: Final = """
INSERT INTO queue_numbers (tenant_id, number, queue_id) SELECT $1, n, $2 FROM unnest($3::text[]) n ORDER BY n
ON CONFLICT (tenant_id, number) DO UPDATE SET queue_id = excluded.queue_id
    WHERE queue_numbers.queue_id = excluded.queue_id
RETURNING number
"""
DELETE_QUEUE: Final = """
WITH gone AS (DELETE FROM queues WHERE tenant_id = $1 AND id = $2 AND NOT is_default RETURNING id),
    freed AS (UPDATE queues SET overflow_to = NULL, updated_at = now() FROM gone WHERE queues.overflow_to = gone.id),
    untaught AS (DELETE FROM vocabulary USING gone WHERE vocabulary.queue_id = gone.id)
SELECT id FROM gone
"""
QUEUE_AGENTS: Final = """
SELECT id FROM users WHERE tenant_id = $1 AND ($2::uuid[] = '{}' OR id = ANY ($2))
ORDER BY (role = 'agent') DESC, name, id LIMIT $3
"""
KNOWN_AGENTS: Final = "SELECT id FROM users WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"


@dataclass(frozen=True, slots=True)
class Queue:
    """What happens to a call on one of `numbers`."""

    id: UUID
    name: str
    tenant_id: UUID = DEFAULT_TENANT
    is_default: bool = False
    """Takes every number that no other queue of the tenant names."""
    numbers: tuple[str, ...] = ()
    """E.164, as `normal_number` writes them."""
    mode: TwilioMode | None = None
    """None: as TWILIO_MODE says."""
    dial: str | None = None
    """For 'listen', whom Twilio rings: up to ten targets, comma separated. None: the agents' own `client:`."""
    greeting: str | None = None
    """None: the recorded one; '': none; else words that Twilio speaks before the stream."""
    music: bool = True
    consent: bool = False
    """Whether callers are told that the call is recorded."""
    recorded: bool = True
    ring_s: int = 20
    """How long one agent is rung before the next."""
    max_wait_s: int = 300
    """After so long in the queue, `on_timeout` happens."""
    max_waiting: int = 50
    """One caller more overflows, or gets `on_timeout`, at once."""
    on_timeout: OnTimeout = "voicemail"
    overflow_to: UUID | None = None
    overflow_after_s: int = 60
    """After so long in the queue, the agents of `overflow_to` are rung too."""
    agents: tuple[UUID, ...] = ()
    """Users who are rung; empty: every user."""


def default_queue(tenant_id: UUID) -> Queue:
    """Return the queue that takes a tenant's calls while nothing else is known."""
    return Queue(stable_id("default queue", tenant_id), "Default", tenant_id, is_default=True)


DEFAULT_QUEUE: Final = default_queue(DEFAULT_TENANT)
"""The default tenant's, as it is shipped: what holds while PostgreSQL is away."""


class NumbersTaken(ValueError):
    """Numbers that other queues have."""

    def __init__(self, numbers: Sequence[str]) -> None:
        super().__init__(f"another queue has {', '.join(numbers)}")
        self.numbers = tuple(numbers)


class NameTaken(ValueError):
    """Another queue has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another queue is called {name}")


_PUNCTUATION: Final = re.compile(r"[\s().\u2010-\u2015-]+")
_BARE: Final = re.compile(r"[1-9][0-9]{7,14}")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_WITHHELD: Final = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""How Twilio writes a number that it was not told: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE as keys."""

_WITHHELD_WORDS: Final = frozenset({"anonymous", "restricted", "blocked", "unknown", "unavailable"})


def normal_number(number: str) -> str:
    """Return a number as it is compared: without blanks, dashes, dots and brackets, and with the + of E.164.

    What is no telephone number (client:ann, sip:desk@pbx.example) loses its blanks and such only.
    """
    plain = _PUNCTUATION.sub("", number) if "@" not in number and ":" not in number else number.strip()
    return f"+{plain}" if _BARE.fullmatch(plain) else plain


def is_e164(number: str) -> bool:
    """Return whether this is a telephone number as `normal_number` writes it."""
    return _E164.fullmatch(number) is not None


def shown_number(caller: str | None) -> str | None:
    """Return a caller's number as Twilio tells it, None when it was withheld."""
    withheld = caller is None or not caller.strip() or caller.strip().lower() in _WITHHELD_WORDS
    return None if withheld or normal_number(caller or "") in _WITHHELD else caller


def reachable_number(caller: str | None) -> str | None:
    """Return the number at which a caller can be called back, None when it was withheld."""
    number = normal_number(caller or "")
    return number if is_e164(number) and number not in _WITHHELD else None


class QueueStore:
    """Reads and writes of queues. A tenant always has its default queue, stored or not."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def for_number(self, tenant_id: UUID, number: str | None) -> Queue:
        """Return the queue of a number that was called, written in any way; the default one if no other has it."""
        row = await self._pool.fetchrow(QUEUE_FOR_NUMBER, tenant_id, _cut(normal_number(number or "")))
        return _queue(row) if row else default_queue(tenant_id)

    async def all(self, tenant_id: UUID) -> list[Queue]:
        """Return a tenant's queues: the default one first, then by name."""
        queues = [_queue(row) for row in await self._pool.fetch(ALL_QUEUES, tenant_id)]
        return queues if queues and queues[0].is_default else [default_queue(tenant_id), *queues]

    async def get(self, tenant_id: UUID, queue_id: UUID) -> Queue | None:
        """Return a queue, None when this tenant has no such queue."""
        if row := await self._pool.fetchrow(GET_QUEUE, tenant_id, queue_id):
            return _queue(row)
        shipped = default_queue(tenant_id)
        return shipped if queue_id == shipped.id else None

    async def put(self, queue: Queue) -> None:
        """Store a queue, or store it anew.

        Raises:
            NumbersTaken: another queue has one of its numbers.
            NameTaken: another queue has its name.
            LookupError: its id is another tenant's.
        """
        numbers = sorted({normal_number(number) for number in queue.numbers})
        async with self._pool.acquire() as connection, connection.transaction():
            try:
                stored = await connection.fetchval(PUT_QUEUE, *_row(queue))
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(queue.name) from error
            if stored is None:
                raise LookupError(f"queue {queue.id} is another tenant's")
            await connection.execute(DROP_NUMBERS, queue.tenant_id, queue.id, numbers)
            mine = {row["number"] for row in await connection.fetch(CLAIM_NUMBERS, queue.tenant_id, queue.id, numbers)}
            if taken := [number for number in numbers if number not in mine]:
                raise NumbersTaken(taken)

    async def delete(self, tenant_id: UUID, queue_id: UUID) -> bool:
        """Remove a queue; its numbers fall to the default one. False when there is none, or it is the default one."""
        return await self._pool.fetchval(DELETE_QUEUE, tenant_id, queue_id) is not None

    async def agents(self, queue: Queue, *, limit: int = 1000) -> list[UUID]:
        """Return the users whom a queue may ring: those with role agent first, then by name."""
        rows = await self._pool.fetch(QUEUE_AGENTS, queue.tenant_id, list(queue.agents), limit)
        return [row["id"] for row in rows]

    async def unknown_agents(self, tenant_id: UUID, agents: Sequence[UUID]) -> list[UUID]:
        """Return which of these are no users of the tenant."""
        known = {row["id"] for row in await self._pool.fetch(KNOWN_AGENTS, tenant_id, list(agents))}
        return [agent for agent in agents if agent not in known]


def _cut(number: str) -> str:
    return number.replace("\0", "")[:200]


def _row(queue: Queue) -> tuple[object, ...]:
    return (
        queue.id,
        queue.tenant_id,
        queue.name,
        queue.is_default,
        queue.mode,
        queue.dial,
        queue.greeting,
        queue.music,
        queue.consent,
        queue.recorded,
        queue.ring_s,
        queue.max_wait_s,
        queue.max_waiting,
        queue.on_timeout,
        queue.overflow_to,
        queue.overflow_after_s,
        list(queue.agents),
    )


def _queue(row: asyncpg.Record) -> Queue:
    facts = dict(row)
    return Queue(numbers=tuple(facts.pop("numbers")), agents=tuple(facts.pop("agents")), **facts)
