"""The spool between the sockets and Redis: in order, bounded, and honest about what it had to drop."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAwayError

from infra.bus.streams import AudioStreams, open_redis
from infra.embedded import EmbeddedRedis
from infra.model import CHUNK_MS, AudioChunk, Hole
from media_gateway import tap as module
from media_gateway.tap import Tap
from tests.conftest import until
from tests.parts import chunk

CHUNK_COST = 6400 + 400


class FakeStreams:
    """What Redis does with appended chunks: each once, in order; `mishaps` come first, one for each call."""

    def __init__(self, mishaps: Iterable[float] = ()) -> None:
        self.stored: dict[UUID, list[AudioChunk]] = defaultdict(list)
        self.calls = 0
        self._mishaps = list(mishaps)

    async def append(self, batch: list[tuple[UUID, AudioChunk]]) -> None:
        """A mishap is the share of the batch that is stored before the connection is lost."""
        self.calls += 1
        await asyncio.sleep(0)
        mishap = self._mishaps.pop(0) if self._mishaps else None
        for track_id, sent in batch if mishap is None else batch[: round(mishap * len(batch))]:
            stored = self.stored[track_id]
            if not stored or sent.seq > stored[-1].seq:
                stored.append(sent)
        if mishap is not None:
            raise RedisAwayError("connection lost")


@asynccontextmanager
async def running(tap: Tap) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(tap.run())
        yield
        writer.cancel()


@pytest.fixture(autouse=True, scope="module")
def _no_pauses() -> Iterable[None]:
    """Nobody waits: neither the writer between two attempts, nor the tests."""
    sleep = asyncio.sleep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.asyncio, "sleep", lambda seconds: sleep(min(seconds, 0.001)))
        yield


async def stored(streams: AudioStreams, track_id: UUID) -> list[AudioChunk]:
    return list((await streams.read(track_id, after_seq=-1, block_ms=1, count=10_000)).chunks)


def unexplained(sent: list[AudioChunk], arrived: list[AudioChunk]) -> list[tuple[int, int]]:
    """The chunks (start_ms, end_ms) that neither arrived nor lie in a hole that an arrived chunk names."""
    seqs = {got.seq for got in arrived}
    holes = [hole for got in arrived for hole in got.holes]
    return [
        (lost.start_ms, lost.end_ms)
        for lost in sent
        if lost.seq not in seqs
        and lost.pcm
        and not any(hole.start_ms <= lost.start_ms and lost.end_ms <= hole.end_ms for hole in holes)
    ]


def unnamed(sent: list[AudioChunk], arrived: list[AudioChunk]) -> list[Hole]:
    """The holes that were sent and that nothing which arrived speaks of."""
    named = [hole for got in arrived for hole in got.holes]
    return [
        hole
        for piece in sent
        for hole in piece.holes
        if hole not in named and not any(a.start_ms <= hole.start_ms and hole.end_ms <= a.end_ms for a in named)
    ]


async def test_tracks_arrive_whole_and_in_order(redis: Redis) -> None:
    streams = AudioStreams(redis)
    tap, tracks = Tap(streams), [uuid4() for _ in range(3)]
    sinks = [tap.sink(track_id) for track_id in tracks]
    sent = [chunk(seq, last=seq == 99) for seq in range(100)]
    async with running(tap):
        for piece in sent:
            for sink in sinks:
                sink.put(piece)
        assert await tap.drained(20)
    for track_id in tracks:
        assert await stored(streams, track_id) == sent


async def test_everything_arrives_once_after_redis_was_away(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    await server.start()
    client = open_redis(server.url, timeout_s=0.3)
    streams = AudioStreams(client)
    tap, track_id = Tap(streams), uuid4()
    sent = [chunk(seq, last=seq == 299) for seq in range(300)]
    try:
        async with running(tap):
            for piece in sent[:50]:
                tap.put(track_id, piece)
            assert await tap.drained(20)
            await server.stop()
            for piece in sent[50:]:
                tap.put(track_id, piece)
            assert not await tap.drained(0.05)
            await server.start()
            assert await tap.drained(20)
        assert await stored(streams, track_id) == sent
    finally:
        await client.aclose()
        await server.stop()


async def test_a_full_spool_drops_the_oldest_and_names_the_hole() -> None:
    streams, track_id = FakeStreams(), uuid4()
    tap = Tap(streams, max_bytes=5 * CHUNK_COST)
    for seq in range(12):
        tap.put(track_id, chunk(seq))
    async with running(tap):
        assert await tap.drained(20)
        tap.put(track_id, chunk(12))
        assert await tap.drained(20)
    arrived = streams.stored[track_id]
    assert [got.seq for got in arrived] == [7, 8, 9, 10, 11, 12]
    assert [got.holes for got in arrived] == [(Hole(0, 7 * CHUNK_MS, "spool-full"),), (), (), (), (), ()]


async def test_each_track_is_told_its_own_holes() -> None:
    streams, noisy, late = FakeStreams(), uuid4(), uuid4()
    tap = Tap(streams, max_bytes=4 * CHUNK_COST)
    for seq in range(4):
        tap.put(noisy, chunk(seq))
    for seq in range(3):
        tap.put(late, chunk(seq))
    async with running(tap):
        assert await tap.drained(20)
    assert [(got.seq, got.holes) for got in streams.stored[noisy]] == [(3, (Hole(0, 600, "spool-full"),))]
    assert [(got.seq, got.holes) for got in streams.stored[late]] == [(0, ()), (1, ()), (2, ())]


async def test_a_closing_chunk_stays_and_names_what_went_before_it() -> None:
    streams, ended, live = FakeStreams(), uuid4(), uuid4()
    tap = Tap(streams, max_bytes=3 * CHUNK_COST)
    tap.put(ended, chunk(0))
    tap.put(ended, chunk(1, ms=100, last=True))
    for seq in range(20):
        tap.put(live, chunk(seq))
    async with running(tap):
        assert await tap.drained(20)
    assert [(got.seq, got.last, got.holes) for got in streams.stored[ended]] == [
        (1, True, (Hole(0, 200, "spool-full"),))
    ]
    assert unexplained([chunk(seq) for seq in range(20)], streams.stored[live]) == []


async def test_a_dropped_chunk_leaves_the_holes_it_named_to_the_next() -> None:
    streams, track_id = FakeStreams(), uuid4()
    tap = Tap(streams, max_bytes=2 * CHUNK_COST)
    tap.put(track_id, chunk(5, holes=(Hole(0, 1000, "missing"),)))
    for seq in range(6, 9):
        tap.put(track_id, chunk(seq))
    async with running(tap):
        assert await tap.drained(20)
    first = streams.stored[track_id][0]
    assert first.seq == 7
    assert set(first.holes) == {Hole(0, 1000, "missing"), Hole(1000, 1400, "spool-full")}


async def test_what_was_dropped_is_still_known_after_a_failed_attempt() -> None:
    streams, track_id = FakeStreams([0.0]), uuid4()
    tap = Tap(streams, max_bytes=3 * CHUNK_COST)
    for seq in range(6):
        tap.put(track_id, chunk(seq))
    async with running(tap):
        await until(lambda: streams.calls)
        for seq in range(6, 12):
            tap.put(track_id, chunk(seq))
        assert await tap.drained(20)
    assert unexplained([chunk(seq) for seq in range(12)], streams.stored[track_id]) == []


MISHAPS = st.lists(st.floats(0, 1), max_size=12)
STEPS = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(MISHAPS, STEPS, st.integers(1, 6))
@settings(max_examples=150, deadline=None)
async def test_every_chunk_arrives_once_and_in_order_or_lies_in_a_named_hole(
    mishaps: list[float], steps: list[tuple[int, bool, bool]], room: int
) -> None:
    streams, tracks = FakeStreams(mishaps), [uuid4() for _ in range(3)]
    tap = Tap(streams, max_bytes=room * CHUNK_COST)
    sent: dict[UUID, list[AudioChunk]] = {track_id: [] for track_id in tracks}
    async with running(tap):
        for index, holed, breathe in steps:
            mine = sent[tracks[index]]
            seq = len(mine)
            start_ms = seq * CHUNK_MS
            holes = (Hole(start_ms - 100, start_ms, "missing"), Hole(start_ms, start_ms + 50, "missing"))
            mine.append(chunk(seq, holes=holes if holed else ()))
            tap.put(tracks[index], mine[-1])
            if breathe:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        for track_id, mine in sent.items():
            mine.append(chunk(len(mine), ms=0, last=True))
            tap.put(track_id, mine[-1])
        assert await tap.drained(20)
    assert tap._bytes == 0
    for track_id, mine in sent.items():
        arrived = streams.stored[track_id]
        assert all(earlier.seq < later.seq for earlier, later in pairwise(arrived))
        assert all(hole.start_ms < min(hole.end_ms, got.end_ms + got.last) for got in arrived for hole in got.holes)
        assert [got.pcm for got in arrived] == [mine[got.seq].pcm for got in arrived]
        assert arrived[-1].last
        assert unexplained(mine, arrived) == []
        assert unnamed(mine, arrived) == []
