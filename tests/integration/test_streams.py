"""The streams in a real Redis: every write may be repeated, and no reader is stopped by what it cannot read."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.bus import codec, keys
from infra.bus.presence import Presence
from infra.bus.streams import START, AudioStreams, EventStreams, open_redis, valid_cursor
from infra.embedded import EmbeddedRedis
from infra.model import DEFAULT_TENANT, Event, Hole, utc_now
from tests.parts import chunk


@pytest.fixture
def audio(redis: Redis) -> AudioStreams:
    return AudioStreams(redis)


@pytest.fixture
def events(redis: Redis) -> EventStreams:
    return EventStreams(redis)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the test's own, to be stopped and frozen."""
    own = EmbeddedRedis(tmp_path, fast=True)
    await own.start()
    yield own
    await own.stop()


@contextmanager
def frozen(server: EmbeddedRedis) -> Iterator[None]:
    """A server that takes connections and never answers."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def lag(number: int, call_id: UUID, key: str = "") -> Event:
    return Event("lag", call_id, {"lag_ms": number}, key=key)


async def everything(audio: AudioStreams, track_id: UUID, after_seq: int = -1) -> list[int]:
    page = await audio.read(track_id, after_seq=after_seq, block_ms=1, count=10_000)
    return [got.seq for got in page.chunks]


class TestAudio:
    async def test_a_chunk_is_read_as_it_was_appended(self, audio: AudioStreams) -> None:
        track_id = uuid4()
        sent = [chunk(0), chunk(1, holes=(Hole(200, 250, "missing"),)), chunk(2, ms=0, last=True)]
        await audio.append((track_id, piece) for piece in sent)
        page = await audio.read(track_id, after_seq=-1, block_ms=1)
        assert list(page.chunks) == sent
        assert page.last_seq == 2
        assert await audio.last_seq(track_id) == 2

    async def test_what_goes_on_behind_a_chunk_is_appended_whole_or_not_at_all(
        self, redis: Redis, audio: AudioStreams
    ) -> None:
        track_id = uuid4()
        sent = [chunk(0), chunk(1, holes=(Hole(200, 250, "missing"),)), chunk(2), chunk(3, ms=0, last=True)]
        assert await audio.append_behind(track_id, -1, sent[:2])
        assert await audio.append_behind(track_id, 1, sent[1:]), "repeated in part"
        assert list((await audio.read(track_id, after_seq=-1, block_ms=1)).chunks) == sent
        await audio.trim(track_id, 4)
        assert await audio.append_behind(track_id, 3, [chunk(4)]), "recognised and trimmed is not forgotten"
        assert not await audio.append_behind(track_id, 5, [chunk(6)])
        assert await everything(audio, track_id) == [4]
        await redis.flushdb()
        assert not await audio.append_behind(track_id, 4, [chunk(5)])
        assert not await redis.exists(keys.audio(track_id))

    async def test_appending_again_changes_nothing(self, audio: AudioStreams) -> None:
        one, other = uuid4(), uuid4()
        batch = [(track_id, chunk(seq)) for seq in range(5) for track_id in (one, other)]
        for _ in range(3):
            await audio.append(batch)
        assert await everything(audio, one) == await everything(audio, other) == [0, 1, 2, 3, 4]

    async def test_half_a_batch_is_made_whole_by_repeating_it(self, audio: AudioStreams) -> None:
        one, other = uuid4(), uuid4()
        batch = [(track_id, chunk(seq)) for seq in range(6) for track_id in (one, other)]
        for stored in (3, 7, 12):
            await audio.append(batch[:stored])
            await audio.append(batch)
        assert await everything(audio, one) == await everything(audio, other) == list(range(6))

    async def test_writers_that_repeat_each_other_append_once(self, audio: AudioStreams) -> None:
        track_id = uuid4()
        batch = [(track_id, chunk(seq)) for seq in range(40)]
        await asyncio.gather(*(audio.append(batch) for _ in range(5)))
        assert await everything(audio, track_id) == list(range(40))

    async def test_one_bad_track_is_reported_after_the_others_were_stored(
        self, redis: Redis, audio: AudioStreams
    ) -> None:
        good, bad = uuid4(), uuid4()
        await redis.set(keys.audio(bad), "not a stream")
        with pytest.raises(RedisError):
            await audio.append([(bad, chunk(0)), (good, chunk(0))])
        assert await everything(audio, good) == [0]

    async def test_an_entry_that_cannot_be_read_is_left_out(self, redis: Redis, audio: AudioStreams) -> None:
        track_id = uuid4()
        await audio.append([(track_id, chunk(0))])
        await redis.xadd(keys.audio(track_id), {"v": 99, "seq": 1}, id="2-0")
        await audio.append([(track_id, chunk(2))])
        await redis.xadd(keys.audio(track_id), {"nothing": "of ours"}, id="4-0")
        page = await audio.read(track_id, after_seq=-1, block_ms=1)
        assert ([got.seq for got in page.chunks], page.last_seq) == ([0, 2], 3)
        assert (await audio.read(track_id, after_seq=2, block_ms=1)).last_seq == 3

    async def test_reading_goes_on_where_it_was_and_waits_for_what_comes(self, audio: AudioStreams) -> None:
        track_id = uuid4()
        await audio.append((track_id, chunk(seq)) for seq in range(10))
        page = await audio.read(track_id, after_seq=-1, block_ms=1, count=4)
        assert ([got.seq for got in page.chunks], page.last_seq) == ([0, 1, 2, 3], 3)
        assert await everything(audio, track_id, page.last_seq) == [4, 5, 6, 7, 8, 9]
        assert (await audio.read(track_id, after_seq=9, block_ms=1)).last_seq == 9
        waiting, _ = await asyncio.gather(
            audio.read(track_id, after_seq=9, block_ms=900), audio.append([(track_id, chunk(10))])
        )
        assert [got.seq for got in waiting.chunks] == [10]

    async def test_what_is_stored_elsewhere_is_trimmed_and_a_finished_track_forgotten(
        self, redis: Redis, audio: AudioStreams
    ) -> None:
        track_id = uuid4()
        await audio.append((track_id, chunk(seq)) for seq in range(200))
        await audio.trim(track_id, 150)
        assert await everything(audio, track_id) == list(range(150, 200))
        await audio.trim(track_id, 10)
        assert await everything(audio, track_id) == list(range(150, 200))
        await audio.append([(track_id, chunk(149))])
        assert await everything(audio, track_id) == list(range(150, 200))
        await audio.forget(track_id)
        assert not await redis.exists(keys.audio(track_id))
        assert await audio.last_seq(track_id) == -1
        await audio.forget(track_id)
        await audio.trim(track_id, 500)


class TestEvents:
    async def test_an_event_with_a_key_is_told_once_in_both_streams(self, redis: Redis, events: EventStreams) -> None:
        call_id = uuid4()
        cursors = [await events.publish(DEFAULT_TENANT, lag(number, call_id, "the one")) for number in range(3)]
        assert len(set(cursors)) == 1
        for stream in (keys.events(call_id), keys.feed(DEFAULT_TENANT)):
            assert [event.data for event in await events.read(stream, after=START, block_ms=0)] == [{"lag_ms": 0}]
        assert (await events.read(keys.events(call_id), after=START, block_ms=0))[0].id == cursors[0]

    async def test_publishers_at_once_tell_it_once(self, redis: Redis, events: EventStreams) -> None:
        call_id = uuid4()
        cursors = await asyncio.gather(
            *(events.publish(DEFAULT_TENANT, lag(0, call_id, f"key {number % 4}")) for number in range(40))
        )
        assert len(set(cursors)) == 4
        assert await redis.xlen(keys.events(call_id)) == await redis.xlen(keys.feed(DEFAULT_TENANT)) == 4

    async def test_a_publisher_that_died_between_the_streams_is_made_good_by_a_repeat(
        self, redis: Redis, events: EventStreams
    ) -> None:
        call_id = uuid4()
        cursor = await events.publish(DEFAULT_TENANT, lag(0, call_id, "half told"))
        await redis.delete(keys.feed(DEFAULT_TENANT), keys.feed_told(DEFAULT_TENANT, call_id, "half told"))
        assert await events.publish(DEFAULT_TENANT, lag(0, call_id, "half told")) == cursor
        assert await redis.xlen(keys.events(call_id)) == await redis.xlen(keys.feed(DEFAULT_TENANT)) == 1

    async def test_the_same_key_in_another_call_is_another_event(self, redis: Redis, events: EventStreams) -> None:
        calls = [uuid4(), uuid4()]
        for call_id in calls:
            await events.publish(DEFAULT_TENANT, lag(0, call_id, "started"))
        assert [await redis.xlen(keys.events(call_id)) for call_id in calls] == [1, 1]
        assert await redis.xlen(keys.feed(DEFAULT_TENANT)) == 2

    async def test_an_event_without_a_key_is_told_each_time(self, redis: Redis, events: EventStreams) -> None:
        call_id = uuid4()
        for _ in range(3):
            await events.publish(DEFAULT_TENANT, lag(0, call_id))
        assert await redis.xlen(keys.events(call_id)) == await redis.xlen(keys.feed(DEFAULT_TENANT)) == 3

    async def test_markers_and_finished_calls_go_by_themselves(self, redis: Redis, events: EventStreams) -> None:
        call_id = uuid4()
        await events.publish(DEFAULT_TENANT, lag(0, call_id, "key"))
        assert await redis.ttl(keys.events(call_id)) == -1
        await events.expire(call_id)
        for key in (
            keys.events(call_id),
            keys.event_told(call_id, "key"),
            keys.feed_told(DEFAULT_TENANT, call_id, "key"),
        ):
            assert 0 < await redis.ttl(key) <= 24 * 3600

    async def test_pages_follow_on_without_loss_or_repeat(self, events: EventStreams) -> None:
        call_id, got, after = uuid4(), [], START
        stream = keys.events(call_id)
        for number in range(25):
            await events.publish(DEFAULT_TENANT, lag(number, call_id))
        while page := (await events.page(stream, after=after, count=7)).events:
            got += [event.data["lag_ms"] for event in page]
            after = page[-1].id
        assert got == list(range(25))
        assert await events.newest(stream) == after
        assert await events.newest(keys.events(uuid4())) == START

    async def test_a_page_says_when_the_stream_no_longer_reaches_back(self, redis: Redis, events: EventStreams) -> None:
        call_id = uuid4()
        stream = keys.events(call_id)
        assert (await events.page(stream, after=START)).complete
        cursors = [await events.publish(DEFAULT_TENANT, lag(number, call_id)) for number in range(5)]
        for cursor in (START, *cursors):
            assert (await events.page(stream, after=cursor)).complete
        await redis.xtrim(stream, minid=cursors[3], approximate=False)
        assert [(await events.page(stream, after=cursor)).complete for cursor in cursors] == [False] * 3 + [True] * 2
        assert [event.id for event in (await events.page(stream, after=cursors[0])).events] == cursors[3:]
        await redis.delete(stream)
        assert not (await events.page(stream, after=cursors[4])).complete

    async def test_the_feed_forgets_what_is_older_than_an_hour(self, redis: Redis, events: EventStreams) -> None:
        feed, before_ms = keys.feed(DEFAULT_TENANT), int((utc_now() - timedelta(hours=2)).timestamp() * 1000)
        old = {"e": codec.event_to_bytes(lag(0, uuid4()))}
        for number in range(300):
            await redis.xadd(feed, old, id=f"{before_ms}-{number + 1}")
        recent = lag(1, uuid4())
        await events.publish(DEFAULT_TENANT, recent)
        page = await events.page(feed, after=f"{before_ms}-1")
        assert not page.complete
        assert page.events[-1].call_id == recent.call_id
        assert len(page.events) < 300

    async def test_waiting_for_an_event_ends_with_it_or_with_the_time(self, events: EventStreams) -> None:
        call_id = uuid4()
        stream = keys.events(call_id)
        assert await events.read(stream, after=START, block_ms=10) == []
        got, _ = await asyncio.gather(
            events.read(stream, after=START, block_ms=900), events.publish(DEFAULT_TENANT, lag(7, call_id))
        )
        assert [event.data for event in got] == [{"lag_ms": 7}]

    async def test_an_event_that_cannot_be_read_is_left_out(self, redis: Redis, events: EventStreams) -> None:
        call_id = uuid4()
        stream = keys.events(call_id)
        poison = [
            {"e": b'{"type": "call.teleported", "call_id": "' + str(call_id).encode() + b'"}'},
            {"e": b"\xff"},
            {"x": b"no event at all"},
        ]
        for fields in poison:
            await redis.xadd(stream, fields)
        await events.publish(DEFAULT_TENANT, lag(1, call_id))
        for fields in poison:
            await redis.xadd(stream, fields)
        await events.publish(DEFAULT_TENANT, lag(2, call_id))
        for fields in poison:
            await redis.xadd(stream, fields)
        for count in (1, 2, 3, 500):
            read, page, after_read, after_page = [], [], START, START
            while found := await events.read(stream, after=after_read, block_ms=0, count=count):
                read += [event.data["lag_ms"] for event in found]
                after_read = found[-1].id
            while found := (await events.page(stream, after=after_page, count=count)).events:
                page += [event.data["lag_ms"] for event in found]
                after_page = found[-1].id
            assert read == page == [1, 2]


CURSOR_LIKE = st.text("0123456789-٣²+ \n_", max_size=42) | st.from_regex(r"[0-9]{1,20}-[0-9]{1,20}", fullmatch=True)


@given(CURSOR_LIKE | st.text(max_size=20))
@example("9999999999999999999-9999999999999999999")
@example("0-0")
@example("00-01")
@example("-")
@example("")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_passes_for_a_cursor_is_one_to_redis(redis: Redis, text: str) -> None:
    events, call_id = EventStreams(redis), UUID(int=1)
    if not await redis.exists(keys.events(call_id)):
        await events.publish(DEFAULT_TENANT, lag(1, call_id))
    if not valid_cursor(text):
        return
    await events.page(keys.events(call_id), after=text)
    await events.read(keys.events(call_id), after=text, block_ms=0)


@given(st.integers(0, 10**19 - 1), st.integers(0, 10**19 - 1))
def test_every_id_that_redis_gives_passes(ms: int, n: int) -> None:
    assert valid_cursor(f"{ms}-{n}")
    assert not valid_cursor(f"{ms}")
    assert not valid_cursor(f"{ms}-{n}-0")
    assert not valid_cursor(f"-{ms}-{n}")


class TestClient:
    async def test_a_frozen_redis_is_given_up_in_time_and_written_to_once(self, server: EmbeddedRedis) -> None:
        client = open_redis(server.url, timeout_s=0.3)
        streams, call_id = EventStreams(client), uuid4()
        await client.set("number", 41)
        with frozen(server):
            async with asyncio.timeout(10):
                for _ in range(3):
                    with pytest.raises(RedisError):
                        await client.incr("number")
                with pytest.raises(RedisError):
                    await streams.publish(DEFAULT_TENANT, lag(1, call_id))
                fresh = open_redis(server.url, timeout_s=0.3)
                with pytest.raises(RedisError):
                    await fresh.ping()
                await fresh.aclose()
        # Nobody tried again by himself, and a late answer is not taken for that of the next command.
        assert int(await client.get("number")) <= 44
        assert await client.echo("in step") == b"in step"
        assert await client.xlen(keys.events(call_id)) <= 1
        await client.aclose()

    async def test_a_redis_that_is_not_there_is_said_so_and_found_when_it_comes(self, server: EmbeddedRedis) -> None:
        client = open_redis(server.url, timeout_s=0.5)
        await client.ping()
        await server.kill()
        with pytest.raises((RedisError, OSError)):
            await client.ping()
        await server.start()
        assert await client.ping()
        await client.aclose()

    async def test_whoever_is_cancelled_stops(self, redis: Redis) -> None:
        async def ask_for_ever() -> None:
            while True:
                await redis.get("number")

        deaf = 0
        async with asyncio.TaskGroup() as tasks:
            for turns in range(300):
                task = tasks.create_task(ask_for_ever())
                for _ in range(turns % 50):
                    await asyncio.sleep(0)
                task.cancel()
                while not (await asyncio.wait([task], timeout=5))[0]:
                    deaf += 1
                    task.cancel()
        assert deaf == 0
        assert await redis.get("number") is None

    async def test_when_all_connections_are_taken_the_next_gives_up_in_time(self, server: EmbeddedRedis) -> None:
        client = open_redis(server.url, timeout_s=0.2, max_connections=2)
        pool = client.connection_pool
        taken = [await pool.get_connection() for _ in range(2)]
        with pytest.raises(RedisError):
            async with asyncio.timeout(10):
                await client.ping()
        for connection in taken:
            await pool.release(connection)
        assert await client.ping()
        await client.aclose()


class TestPresence:
    async def test_who_was_heard_of_lives(self, redis: Redis) -> None:
        presence = Presence(redis)
        assert not await presence.gateway_lives("one")
        await presence.gateway("one")
        assert await presence.gateway_lives("one")
        assert not await presence.gateway_lives("other")
        assert 0 < await redis.ttl(keys.gateway("one")) <= 10

    async def test_workers_say_what_they_run(self, redis: Redis) -> None:
        presence = Presence(redis)
        for number in range(3):
            await presence.worker("asr", f"asr-{number}", {"tracks": number})
        await presence.worker("insights", "insights-0", {"calls": 9})
        await presence.worker("asr", "asr-0", {"tracks": 7})
        assert sorted(about["tracks"] for about in await presence.workers("asr")) == [1, 2, 7]
        assert await presence.workers("insights") == [{"calls": 9}]

    async def test_a_token_is_spent_once_however_many_try(self, redis: Redis) -> None:
        presence = Presence(redis)
        assert sorted(await asyncio.gather(*(presence.spend("nonce", 60) for _ in range(10)))) == [False] * 9 + [True]
        assert await presence.spend("another", 60)
        assert 0 < await redis.ttl(keys.spent("nonce")) <= 60


def test_keys_that_one_script_touches_share_a_slot() -> None:
    call_id, tenant_id = uuid4(), uuid4()

    def slot(key: str) -> str:
        return key.partition("{")[2].partition("}")[0] or key

    assert slot(keys.events(call_id)) == slot(keys.event_told(call_id, "key"))
    assert slot(keys.feed(tenant_id)) == slot(keys.feed_told(tenant_id, call_id, "key"))
    assert slot(keys.work("asr")) == slot(keys.work_known("asr", call_id))
    assert slot(keys.work("insights")) == slot(keys.work_known("insights", call_id))
