"""The gateway's list of calls on real PostgreSQL and Redis: told in order, and ended by nobody without reason."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAwayError

from infra.bus import codec, keys
from infra.bus.presence import Presence
from infra.bus.streams import START, AudioStreams, BusError, EventStreams, open_redis
from infra.bus.work import WorkQueue
from infra.embedded import EmbeddedRedis
from infra.model import DEFAULT_TENANT, Call, Event, utc_now
from infra.store.calls import CallStore
from media_gateway import registry as module
from media_gateway.ports import CallRefused
from media_gateway.registry import Registry
from media_gateway.tap import Tap
from tests.conftest import until
from tests.parts import chunk, new_call, track_work

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life every 30 ms; gateways are given up after 150."""
    monkeypatch.setattr(module, "RENEW_S", 0.03)
    monkeypatch.setattr(module, "_GIVEN_UP_S", 0.15)


def new_registry(redis: Redis, pool: asyncpg.Pool) -> Registry:
    return Registry(
        tap=Tap(AudioStreams(redis)),
        events=EventStreams(redis),
        asr_work=WorkQueue(redis, "asr", "gateway"),
        insight_work=WorkQueue(redis, "insights", "gateway"),
        presence=Presence(redis),
        store=CallStore(pool),
    )


@asynccontextmanager
async def running(registry: Registry) -> AsyncIterator[Registry]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(registry.run())
        try:
            yield registry
        finally:
            task.cancel()


@pytest.fixture
async def gateway(redis: Redis, pool: asyncpg.Pool) -> AsyncIterator[Registry]:
    async with running(new_registry(redis, pool)) as registry:
        yield registry


async def told(redis: Redis, stream: str) -> list[Event]:
    return await EventStreams(redis).read(stream, after=START, block_ms=0, count=10_000)


async def fetch(pool: asyncpg.Pool, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY id")]


async def status(pool: asyncpg.Pool, call_id: UUID) -> str | None:
    return await pool.fetchval("SELECT status FROM calls WHERE id = $1", call_id)


async def announced(redis: Redis, kind: keys.Work) -> list[bytes]:
    return [fields[b"item"] for _, fields in await redis.xrange(keys.work(kind))]


async def test_a_call_is_told_from_its_first_leg_to_its_end(
    gateway: Registry, redis: Redis, pool: asyncpg.Pool
) -> None:
    call = new_call(started_at=utc_now(), title="Broken kettle")
    live = await gateway.answer(call)
    assert gateway.live_count == 1
    customer, agent = live.join("customer", None), live.join("agent", "Kim")
    track, sink = live.open_track(customer, "inbound")
    other, _ = live.open_track(agent, "outbound")
    for seq in range(5):
        sink.put(chunk(seq, last=seq == 4))
    live.leave(customer, "hung up")
    live.leave(agent, "hung up")
    live.hang_up("completed")
    live.hang_up("again")
    assert gateway.live_count == 0
    assert await gateway.drained(20)

    (row,) = await fetch(pool, "calls")
    assert (row["id"], row["status"], row["end_reason"], row["title"]) == (call.id, "ended", "completed", call.title)
    assert (row["gateway_id"], row["started_at"]) == (gateway.gateway_id, call.started_at)
    assert row["duration_ms"] >= 0
    legs = {leg["id"]: (leg["role"], leg["name"], leg["left_reason"]) for leg in await fetch(pool, "legs")}
    assert legs == {customer.id: ("customer", None, "hung up"), agent.id: ("agent", "Kim", "hung up")}
    tracks = {
        row["id"]: (row["leg_id"], row["role"], row["label"], row["speaker"]) for row in await fetch(pool, "tracks")
    }
    assert tracks == {
        track.id: (customer.id, "customer", "inbound", "SPEAKER_00"),
        other.id: (agent.id, "agent", "outbound", "SPEAKER_01"),
    }

    events = await told(redis, keys.events(call.id))
    assert [event.type for event in events] == [
        "call.started",
        "leg.joined",
        "leg.joined",
        "track.opened",
        "track.opened",
        "leg.left",
        "leg.left",
        "call.ended",
    ]
    assert [event.id for event in events] == sorted(
        (event.id for event in events), key=lambda cursor: cursor.split("-")
    )
    assert events[0].data["external_id"] == call.external_id
    assert events[-1].data["reason"] == "completed"
    assert [event.type for event in await told(redis, keys.feed(DEFAULT_TENANT))] == [event.type for event in events]

    works = [codec.track_work_from_bytes(item) for item in await announced(redis, "asr")]
    assert [(work.track, work.leg, work.speaker) for work in works] == [
        (track, customer, "SPEAKER_00"),
        (other, agent, "SPEAKER_01"),
    ]
    (call_work,) = [codec.call_work_from_bytes(item) for item in await announced(redis, "insights")]
    assert (call_work.call, call_work.gateway_id) == (call, gateway.gateway_id)
    page = await AudioStreams(redis).read(track.id, after_seq=-1, block_ms=1)
    assert [got.seq for got in page.chunks] == list(range(5))


async def test_two_answers_share_one_call(gateway: Registry, redis: Redis, pool: asyncpg.Pool) -> None:
    call = new_call(started_at=utc_now())
    answers = await asyncio.gather(*(gateway.answer(call) for _ in range(5)))
    assert len({id(live) for live in answers}) == 1
    assert await gateway.answer(call) is answers[0]
    assert gateway.live_count == 1
    assert await gateway.drained(20)
    assert len(await fetch(pool, "calls")) == 1
    assert [event.type for event in await told(redis, keys.events(call.id))] == ["call.started"]


async def test_a_gateway_that_is_about_to_stop_keeps_its_calls_and_takes_no_more(gateway: Registry) -> None:
    call = new_call(started_at=utc_now())
    live = await gateway.answer(call)
    gateway.draining = True
    with pytest.raises(CallRefused, match="about to stop"):
        await gateway.answer(new_call())
    assert await gateway.answer(call) is live
    gateway.end_all("server-shutdown")
    assert gateway.live_count == 0


async def test_calls_are_refused_when_too_much_is_untold(redis: Redis, pool: asyncpg.Pool) -> None:
    registry = new_registry(redis, pool)
    while registry.to_store.has_room:
        registry.to_store.put("filler", lambda: asyncio.sleep(0))
    with pytest.raises(CallRefused, match="away for too long"):
        await registry.answer(new_call())


async def test_the_clock_of_a_call_that_comes_back_goes_on(redis: Redis, pool: asyncpg.Pool) -> None:
    began = utc_now() - timedelta(minutes=5)
    call = new_call(started_at=began)
    async with running(new_registry(redis, pool)) as first:
        (await first.answer(call)).hang_up("connection-lost")
        assert await first.drained(20)
    async with running(new_registry(redis, pool)) as second:
        live = await second.answer(replace(call, started_at=utc_now()))
        assert live.call.started_at == began
        assert 300_000 <= live.clock_ms() < 400_000
        leg = live.join("customer", None)
        live.open_track(leg, "inbound")
        assert await second.drained(20)
        assert await status(pool, call.id) == "live"
    assert [event.type for event in await told(redis, keys.events(call.id))] == [
        "call.started",
        "call.ended",
        "call.started",
        "leg.joined",
        "track.opened",
    ]


@pytest.mark.parametrize(
    "change", [{"door": "browser"}, {"external_id": "CAother"}, {"owner_id": UUID(int=1)}], ids=str
)
async def test_nobody_goes_on_with_a_strangers_call(
    gateway: Registry, pool: asyncpg.Pool, change: dict[str, Any]
) -> None:
    call = new_call()
    await CallStore(pool).open(call, "gateway-1")
    with pytest.raises(CallRefused):
        await gateway.answer(replace(call, **change))
    assert gateway.live_count == 0


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_call_is_answered_while_postgresql_is_away_and_stored_when_it_is_back(
    gateway: Registry, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    back = asyncio.Event()

    def away(method: Any) -> Any:
        async def call(*arguments: Any) -> Any:
            if not back.is_set():
                if how == "hangs":
                    await back.wait()
                raise ConnectionRefusedError
            return await method(*arguments)

        return call

    for name in ("origin", "open", "add_leg", "add_track", "close_leg", "end"):
        monkeypatch.setattr(gateway.store, name, away(getattr(gateway.store, name)))
    call = new_call(started_at=utc_now())
    live = await gateway.answer(call)
    leg = live.join("customer", None)
    live.open_track(leg, "inbound")
    live.leave(leg, "hung up")
    live.hang_up("completed")
    assert not await gateway.drained(0.05)
    back.set()
    assert await gateway.drained(20)
    assert await status(pool, call.id) == "ended"
    assert [len(await fetch(pool, table)) for table in ("legs", "tracks")] == [1, 1]


async def test_what_happens_while_redis_is_away_is_told_in_order_when_it_is_back(
    pool: asyncpg.Pool, tmp_path: Path
) -> None:
    server = EmbeddedRedis(tmp_path)
    await server.start()
    client = open_redis(server.url, timeout_s=0.3)
    try:
        async with running(new_registry(client, pool)) as gateway:
            call = new_call(started_at=utc_now())
            live = await gateway.answer(call)
            leg = live.join("customer", None)
            assert await gateway.drained(20)
            await server.stop()
            track, sink = live.open_track(leg, "inbound")
            for seq in range(10):
                sink.put(chunk(seq))
            live.leave(leg, "hung up")
            live.hang_up("completed")
            assert not await gateway.drained(0.05)
            await server.start()
            assert await gateway.drained(20)
            types = [event.type for event in await told(client, keys.events(call.id))]
            assert types == ["call.started", "leg.joined", "track.opened", "leg.left", "call.ended"]
            page = await AudioStreams(client).read(track.id, after_seq=-1, block_ms=1)
            assert [got.seq for got in page.chunks] == list(range(10))
            assert len(await announced(client, "asr")) == 1
    finally:
        await client.aclose()
        await server.stop()


async def test_a_redis_that_comes_back_empty_hears_again_who_is_on_the_line(
    pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedRedis(tmp_path)
    await server.start()
    client = open_redis(server.url, timeout_s=0.3)
    try:
        async with running(new_registry(client, pool)) as gateway:
            live = await gateway.answer(new_call(started_at=utc_now()))
            tracks = [live.open_track(live.join(role, None), role)[0] for role in ("customer", "agent")]
            assert await gateway.drained(20)
            shown, missed = gateway._presence.gateway, asyncio.Event()

            async def show(gateway_id: str) -> None:
                try:
                    await shown(gateway_id)
                except BusError:
                    missed.set()
                    raise

            monkeypatch.setattr(gateway._presence, "gateway", show)
            await server.kill()
            shutil.rmtree(server.data_dir)
            await missed.wait()
            await server.start()

            async def all_known() -> bool:
                items = [codec.track_work_from_bytes(item).track for item in await announced(client, "asr")]
                return sorted(track.id for track in items) == sorted(track.id for track in tracks)

            await until(all_known)
            assert len(await announced(client, "insights")) == 1
            assert await status(pool, live.call.id) == "live"
    finally:
        await client.aclose()
        await server.stop()


class TestOrphans:
    """Calls whose gateway is gone."""

    async def orphan(self, pool: asyncpg.Pool, gateway_id: str = "gone") -> Call:
        """A call that a dead gateway left on the line."""
        call = new_call(started_at=utc_now())
        await CallStore(pool).open(call, gateway_id)
        return call

    async def test_they_are_ended_once_however_many_gateways_look(self, redis: Redis, pool: asyncpg.Pool) -> None:
        lost = [await self.orphan(pool) for _ in range(3)]
        others = [new_registry(redis, pool) for _ in range(3)]
        async with running(others[0]), running(others[1]), running(others[2]):
            live = await others[0].answer(new_call(started_at=utc_now()))
            for call in lost:
                await until(lambda call=call: told(redis, keys.events(call.id)))
            for registry in others:
                assert await registry.drained(20)
            for call in lost:
                (event,) = await told(redis, keys.events(call.id))
                assert (event.type, event.data["reason"]) == ("call.ended", "gateway lost")
                assert await status(pool, call.id) == "ended"
            assert await status(pool, live.call.id) == "live"

    async def test_a_living_gateway_keeps_its_calls(self, redis: Redis, pool: asyncpg.Pool) -> None:
        lost = await self.orphan(pool)
        async with running(new_registry(redis, pool)) as one, running(new_registry(redis, pool)) as other:
            calls = [(await registry.answer(new_call(started_at=utc_now()))).call for registry in (one, other)]
            await until(lambda: told(redis, keys.events(lost.id)))
            assert [await status(pool, call.id) for call in calls] == ["live", "live"]

    async def test_after_an_outage_of_redis_everybody_has_time_to_show_that_they_live(
        self, gateway: Registry, redis: Redis, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call, lost = await self.orphan(pool, "slow to return"), await self.orphan(pool, "gone for good")
        presence, silent = Presence(redis), asyncio.Event()
        await presence.gateway("slow to return")
        await redis.flushdb()  # every sign of life has run out; the peer's next one is on its way
        lives = gateway._presence.gateway_lives

        async def looked(gateway_id: str) -> bool:
            found = await lives(gateway_id)
            if gateway_id == "slow to return" and not found:
                silent.set()
            return found

        monkeypatch.setattr(gateway._presence, "gateway_lives", looked)
        await silent.wait()
        await presence.gateway("slow to return")
        await until(lambda: told(redis, keys.events(lost.id)))
        assert await status(pool, call.id) == "live"

    async def test_an_end_is_told_even_if_redis_fails_at_that_moment(
        self, redis: Redis, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost, registry, failures = await self.orphan(pool), new_registry(redis, pool), 0
        publish = registry._events.publish

        async def flaky(tenant_id: UUID, event: Event) -> str:
            nonlocal failures
            failures += 1
            if failures == 1:
                raise RedisAwayError("away")
            return await publish(tenant_id, event)

        monkeypatch.setattr(registry._events, "publish", flaky)
        async with running(registry):
            (event,) = await until(lambda: told(redis, keys.events(lost.id)))
        assert event.data["reason"] == "gateway lost"

    async def test_a_call_that_came_back_here_is_not_one(
        self, gateway: Registry, redis: Redis, pool: asyncpg.Pool
    ) -> None:
        call, lost = await self.orphan(pool), await self.orphan(pool)
        live = await gateway.answer(call)
        await until(lambda: told(redis, keys.events(lost.id)))
        assert await gateway.drained(20)
        assert await status(pool, call.id) == "live"
        assert gateway.live_count == 1
        live.hang_up("completed")
        assert await gateway.drained(20)
        reasons = [event.data.get("reason") for event in await told(redis, keys.events(call.id))]
        assert reasons == [None, "completed"]

    async def test_its_length_is_that_of_what_was_heard(self, redis: Redis, pool: asyncpg.Pool) -> None:
        work = track_work()
        await CallStore(pool).add_track(work.call, work.leg, work.track, work.speaker, work.gateway_id)
        await pool.execute("UPDATE tracks SET resume_ms = 4321")
        async with running(new_registry(redis, pool)):
            (event,) = await until(lambda: told(redis, keys.events(work.call.id)))
        assert event.data["duration_ms"] == 4321
