"""Queues and callbacks on a real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from infra.model import DEFAULT_TENANT
from infra.store.callbacks import Callback, CallbackStore
from infra.store.database import shipped_migrations
from infra.store.queues import (
    DEFAULT_QUEUE,
    NameTaken,
    NumbersTaken,
    Queue,
    QueueStore,
    default_queue,
    normal_number,
)
from infra.store.users import API_TOKEN_USER_ID, UserStore

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


async def new_tenant(pool: asyncpg.Pool) -> UUID:
    tenant_id = uuid4()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'another')", tenant_id)
    return tenant_id


def queue(name: str = "Sales", *numbers: str, **facts: object) -> Queue:
    return replace(Queue(uuid4(), name, numbers=numbers), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("+15550199", "+15550199"),
        (" +1 (555) 01-99 ", "+15550199"),
        ("+1.555.0199", "+15550199"),
        ("+1\u2011555\u20130199", "+15550199"),
        ("15550199", "+15550199"),  # trunks leave the + out
        (" 15550199", "+15550199"),  # and a form's unescaped + arrives as a blank
        ("", ""),
        ("anonymous", "anonymous"),
        ("+266696687", "+266696687"),
        ("110", "110"),
        ("client:ann-lee", "client:ann-lee"),
        ("sip:desk-1@pbx.example", "sip:desk-1@pbx.example"),
    ],
)
def test_a_number_is_compared_in_one_form(written: str, plain: str) -> None:
    assert normal_number(written) == plain
    assert normal_number(plain) == plain


def test_the_shipped_default_queue_is_the_built_in_one() -> None:
    (sql,) = [sql for name, sql in shipped_migrations() if name == "0003_queues.sql"]
    assert f"'{DEFAULT_QUEUE.id}', '{DEFAULT_TENANT}', '{DEFAULT_QUEUE.name}', true" in sql


class TestQueues:
    async def test_what_is_put_in_comes_out(self, pool: asyncpg.Pool) -> None:
        queues = QueueStore(pool)
        other = queue("Overflow")
        whole = Queue(
            uuid4(),
            "Sales",
            numbers=("+15550188", "+15550199"),
            mode="listen",
            dial="client:ann,+15550111",
            greeting="",
            music=False,
            consent=True,
            recorded=False,
            ring_s=5,
            max_wait_s=6,
            max_waiting=7,
            on_timeout="callback",
            overflow_to=other.id,
            overflow_after_s=8,
            agents=(uuid4(), uuid4()),
        )
        for stored in (other, whole, whole):
            await queues.put(stored)
        assert await queues.get(DEFAULT_TENANT, whole.id) == whole
        assert await queues.all(DEFAULT_TENANT) == [DEFAULT_QUEUE, other, whole]
        await queues.put(replace(other, id=whole.id, name="Changed"))
        assert await queues.get(DEFAULT_TENANT, whole.id) == replace(other, id=whole.id, name="Changed")

    async def test_what_the_database_makes_of_a_bare_row_is_the_built_in_queue(self, pool: asyncpg.Pool) -> None:
        await pool.execute(
            "INSERT INTO queues (id, tenant_id, name, is_default) VALUES ($1, $2, $3, true)",
            DEFAULT_QUEUE.id,
            DEFAULT_TENANT,
            DEFAULT_QUEUE.name,
        )
        queues = QueueStore(pool)
        assert await queues.all(DEFAULT_TENANT) == [DEFAULT_QUEUE]
        assert await queues.get(DEFAULT_TENANT, DEFAULT_QUEUE.id) == DEFAULT_QUEUE
        assert await queues.for_number(DEFAULT_TENANT, "+15550199") == DEFAULT_QUEUE

    async def test_a_number_leads_to_its_queue_however_it_is_written(self, pool: asyncpg.Pool) -> None:
        queues, sales = QueueStore(pool), queue("Sales", "+15550199")
        await queues.put(sales)
        for number in ("+15550199", "+1 (555) 01-99", "15550199"):
            assert await queues.for_number(DEFAULT_TENANT, number) == sales
        for number in ("+15550198", "", None, "anonymous", "client:ann", "x" * 5000, "a\0b"):
            assert await queues.for_number(DEFAULT_TENANT, number) == DEFAULT_QUEUE
        changed = replace(DEFAULT_QUEUE, name="Desk", ring_s=3)
        await queues.put(changed)
        assert await queues.for_number(DEFAULT_TENANT, "+15550198") == changed
        assert await queues.for_number(DEFAULT_TENANT, "+15550199") == sales

    async def test_a_number_belongs_to_one_queue(self, pool: asyncpg.Pool) -> None:
        queues = QueueStore(pool)
        sales, service = queue("Sales", "+15550199", "+15550188"), queue("Service", "+15550177", "+1 555 01-99")
        await queues.put(sales)
        with pytest.raises(NumbersTaken) as refused:
            await queues.put(service)
        assert refused.value.numbers == ("+15550199",)
        assert await queues.get(DEFAULT_TENANT, service.id) is None  # nothing of it stays
        assert await queues.for_number(DEFAULT_TENANT, "+15550177") == DEFAULT_QUEUE
        await queues.put(replace(sales, numbers=("+15550188",)))
        await queues.put(service)
        assert (await queues.for_number(DEFAULT_TENANT, "+15550199")).id == service.id

    async def test_of_those_who_claim_a_number_at_once_one_gets_it(self, pool: asyncpg.Pool) -> None:
        queues = QueueStore(pool)
        numbers = ("+15550199", "+15550188", "+15550177")
        results = await asyncio.gather(
            *(queues.put(queue(f"Q{n}", *(numbers if n % 2 else numbers[::-1]))) for n in range(8)),
            return_exceptions=True,
        )
        assert [result for result in results if not isinstance(result, NumbersTaken)] == [None]

    async def test_a_name_belongs_to_one_queue(self, pool: asyncpg.Pool) -> None:
        queues = QueueStore(pool)
        await queues.put(queue("Sales"))
        with pytest.raises(NameTaken):
            await queues.put(queue("Sales"))

    async def test_a_queue_that_goes_frees_its_numbers_and_nobody_overflows_to_it(self, pool: asyncpg.Pool) -> None:
        queues, sales = QueueStore(pool), queue("Sales", "+15550199")
        desk = queue("Desk", overflow_to=sales.id)
        await queues.put(sales)
        await queues.put(desk)
        assert not await queues.delete(await new_tenant(pool), sales.id)
        assert await queues.delete(DEFAULT_TENANT, sales.id)
        assert not await queues.delete(DEFAULT_TENANT, sales.id)
        assert await queues.all(DEFAULT_TENANT) == [DEFAULT_QUEUE, replace(desk, overflow_to=None)]
        assert await queues.for_number(DEFAULT_TENANT, "+15550199") == DEFAULT_QUEUE

    async def test_the_default_queue_stays(self, pool: asyncpg.Pool) -> None:
        queues = QueueStore(pool)
        await queues.put(DEFAULT_QUEUE)
        assert not await queues.delete(DEFAULT_TENANT, DEFAULT_QUEUE.id)
        with pytest.raises(asyncpg.UniqueViolationError):
            await pool.execute(
                "INSERT INTO queues (id, tenant_id, name, is_default) VALUES ($1, $2, 'two', true)",
                uuid4(),
                DEFAULT_TENANT,
            )

    async def test_tenants_do_not_see_each_other(self, pool: asyncpg.Pool) -> None:
        queues, tenant = QueueStore(pool), await new_tenant(pool)
        ours, theirs = queue("Sales", "+15550199"), queue("Sales", "+15550199", tenant_id=tenant)
        await queues.put(ours)
        await queues.put(theirs)  # the same name, the same number: another world
        assert (await queues.for_number(tenant, "+15550199")).id == theirs.id
        assert await queues.all(tenant) == [default_queue(tenant), theirs]
        assert await queues.get(tenant, ours.id) is None
        with pytest.raises(LookupError):
            await queues.put(replace(ours, tenant_id=tenant, name="Stolen", numbers=("+15550188",)))
        assert await queues.get(DEFAULT_TENANT, ours.id) == ours

    async def test_who_may_be_rung(self, pool: asyncpg.Pool) -> None:
        queues, users = QueueStore(pool), UserStore(pool)
        boss = await users.add(DEFAULT_TENANT, "Amy", "supervisor")
        kim = await users.add(DEFAULT_TENANT, "Kim", "agent")
        lee = await users.add(DEFAULT_TENANT, "Lee", "agent")
        stranger = await users.add(await new_tenant(pool), "Eve", "agent")
        assert await queues.agents(DEFAULT_QUEUE) == [kim.id, lee.id, boss.id]
        assert await queues.agents(DEFAULT_QUEUE, limit=2) == [kim.id, lee.id]
        assert await queues.agents(queue(agents=(boss.id, lee.id, stranger.id, uuid4()))) == [lee.id, boss.id]
        unknown = uuid4()
        assert await queues.unknown_agents(DEFAULT_TENANT, [kim.id, unknown, stranger.id]) == [unknown, stranger.id]
        assert await queues.unknown_agents(DEFAULT_TENANT, []) == []


class TestCallbacks:
    async def test_a_callback_is_there_once_however_often_it_is_told(self, pool: asyncpg.Pool) -> None:
        callbacks, wish = CallbackStore(pool), Callback(uuid4(), "callback", AT, "+15550100", DEFAULT_QUEUE.id)
        for again in (replace(wish, call_id=uuid4(), queue_id=None) for _ in range(20)):
            assert sum(await asyncio.gather(*(callbacks.add(again) for _ in range(6)))) == 1
        await pool.execute("DELETE FROM callbacks")
        assert await callbacks.add(wish)
        assert await callbacks.add(replace(wish, kind="voicemail", number=None))
        assert not await callbacks.add(replace(wish, number="+15550999"))
        rows = await callbacks.page(DEFAULT_TENANT)
        assert {(row["kind"], row["number"]) for row in rows} == {("callback", "+15550100"), ("voicemail", None)}

    async def test_the_list_is_paged_newest_first(self, pool: asyncpg.Pool) -> None:
        callbacks, queues = CallbackStore(pool), QueueStore(pool)
        await queues.put(sales := queue("Sales"))
        for minute in (0, 1, 1, 2):
            await callbacks.add(Callback(uuid4(), "callback", AT + timedelta(minutes=minute), queue_id=sales.id))
        everything = await callbacks.page(DEFAULT_TENANT)
        assert [row["requested_at"].minute for row in everything] == [2, 1, 1, 0]
        assert {row["queue"] for row in everything} == {"Sales"}
        paged, after = [], None
        while page := await callbacks.page(DEFAULT_TENANT, after=after, limit=2):
            paged += page
            after = (page[-1]["requested_at"], page[-1]["id"])
        assert paged == everything
        assert await callbacks.page(await new_tenant(pool)) == []

    async def test_what_became_of_it_and_who_says_so(self, pool: asyncpg.Pool) -> None:
        callbacks, kim = CallbackStore(pool), await UserStore(pool).add(DEFAULT_TENANT, "Kim", "agent")
        wish = Callback(uuid4(), "callback", AT)
        await callbacks.add(wish)
        done = await callbacks.change(DEFAULT_TENANT, wish.id, "done", kim.id)
        assert done is not None
        assert (done["status"], done["done_by"], done["done_by_name"]) == ("done", kim.id, "Kim")
        assert done["done_at"] is not None
        assert await callbacks.page(DEFAULT_TENANT, status="open") == []
        assert [row["id"] for row in await callbacks.page(DEFAULT_TENANT, status="done")] == [wish.id]
        again = await callbacks.change(DEFAULT_TENANT, wish.id, "open", kim.id)
        assert again is not None
        assert (again["status"], again["done_by"], again["done_at"]) == ("open", None, None)
        by_program = await callbacks.change(DEFAULT_TENANT, wish.id, "dismissed", API_TOKEN_USER_ID)
        assert by_program is not None
        assert (by_program["status"], by_program["done_by"]) == ("dismissed", None)
        assert await callbacks.change(DEFAULT_TENANT, uuid4(), "done", kim.id) is None
        assert await callbacks.change(await new_tenant(pool), wish.id, "done", kim.id) is None
