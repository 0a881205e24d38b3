"""A worker's outer loop on a real Redis: what it takes it finishes, hands over, or gives up with a reason."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAwayError

from infra.bus import codec, keys
from infra.bus.codec import TrackWork
from infra.bus.work import Lease, WorkQueue
from infra.store.transcripts import NotOwnerError
from tests.conftest import until
from tests.parts import track_work
from workers.owner import MAX_DELIVERIES, Holding, Owner

LONG_MS = 600_000


def track_id(lease: Lease) -> UUID:
    return codec.track_work_from_bytes(lease.item).track.id


class Worker:
    """An owner whose work is told by the test, and what became of it."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        work: Callable[[Holding], Awaitable[None]],
        *,
        lease_ms: int = LONG_MS,
        capacity: int = 8,
        bury: Callable[[Holding], Awaitable[None]] | None = None,
    ) -> None:
        self.queue = WorkQueue(redis, "asr", name, lease_ms=lease_ms)
        self.started: Counter[UUID] = Counter()
        self.finished: list[UUID] = []
        self.buried: list[tuple[UUID, str]] = []
        self._work = work
        self._bury_too = bury
        self.owner = Owner(self.queue, capacity=capacity, item_id=track_id, work=self._do, bury=self._bury)

    async def _do(self, holding: Holding) -> None:
        self.started[track_id(holding.lease)] += 1
        await self._work(holding)
        self.finished.append(track_id(holding.lease))

    async def _bury(self, holding: Holding, reason: str) -> None:
        self.buried.append((track_id(holding.lease), reason))
        if self._bury_too:
            await self._bury_too(holding)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.owner.run())
            try:
                yield
            finally:
                running.cancel()

    async def idle(self) -> bool:
        return self.owner.held_count == 0 and await self.queue.waiting() == 0


async def at_once(_: Holding) -> None:
    """Work that is done as soon as it is begun."""


async def for_ever(_: Holding) -> None:
    """Work that ends only with its owner."""
    await asyncio.Event().wait()


async def announced(redis: Redis, count: int = 1) -> list[TrackWork]:
    items = [track_work() for _ in range(count)]
    for item in items:
        await WorkQueue(redis, "asr", "gateway").announce(item)
    return items


async def test_everything_is_done_once_by_one_of_them(redis: Redis) -> None:
    items = await announced(redis, 30)
    workers = [Worker(redis, f"worker {number}", at_once) for number in range(3)]
    async with workers[0].running(), workers[1].running(), workers[2].running():
        await until(workers[0].idle)
        items += await announced(redis, 5)
        await until(workers[0].idle)
        await until(lambda: not any(worker.owner.held_count for worker in workers))
    finished = [track for worker in workers for track in worker.finished]
    assert sorted(finished) == sorted(item.track.id for item in items)


async def test_no_more_than_its_capacity_is_in_hand(redis: Redis) -> None:
    most, gate = 0, asyncio.Event()

    async def count(_: Holding) -> None:
        nonlocal most
        most = max(most, worker.owner.held_count)
        await gate.wait()

    worker = Worker(redis, "worker", count, capacity=3)
    await announced(redis, 10)
    async with worker.running():
        await until(lambda: len(worker.started) == 3)
        assert worker.owner.held_count == 3
        gate.set()
        await until(worker.idle)
    assert most == 3
    assert len(worker.finished) == 10


async def test_who_stops_hands_its_work_over_at_once(redis: Redis) -> None:
    items = await announced(redis, 5)
    leaving, staying = Worker(redis, "leaving", for_ever), Worker(redis, "staying", at_once)
    async with leaving.running():
        await until(lambda: len(leaving.started) == 5)
    async with staying.running():
        await until(staying.idle)
    assert sorted(staying.finished) == sorted(item.track.id for item in items)
    assert (leaving.finished, leaving.buried, staying.buried) == ([], [], [])


async def test_work_that_keeps_failing_is_given_up_and_the_rest_goes_on(redis: Redis) -> None:
    bad, good = await announced(redis, 2)

    async def fail_one(holding: Holding) -> None:
        if track_id(holding.lease) == bad.track.id:
            raise ValueError("cannot be done")

    worker = Worker(redis, "worker", fail_one, lease_ms=60)
    async with worker.running():
        await until(worker.idle)
        await until(worker.queue.buried)
    assert worker.started == {bad.track.id: MAX_DELIVERIES, good.track.id: 1}
    assert worker.buried == [(bad.track.id, "failed 4 times")]
    assert worker.finished == [good.track.id]
    ((_, fields),) = await redis.xrange(keys.dead("asr"))
    assert codec.track_work_from_bytes(fields[b"item"]) == bad
    assert fields[b"reason"] == b"failed 4 times"


async def test_work_that_can_not_even_be_given_up_in_order_is_given_up(redis: Redis) -> None:
    await announced(redis, 1)

    async def fail(_: Holding) -> None:
        raise ValueError("cannot be done")

    worker = Worker(redis, "worker", fail, lease_ms=60, bury=fail)
    async with worker.running():
        await until(worker.idle)
    assert await worker.queue.buried() == 1


async def test_failures_between_which_something_was_stored_are_forgiven(redis: Redis) -> None:
    await announced(redis, 1)
    runs = 0

    async def get_somewhere_and_fall(holding: Holding) -> None:
        nonlocal runs
        runs += 1
        if runs == 2 * MAX_DELIVERIES:
            return
        holding.progressed = True
        await until(lambda: not holding.progressed)
        raise ValueError("fell")

    worker = Worker(redis, "worker", get_somewhere_and_fall, lease_ms=90)
    async with worker.running():
        await until(worker.idle)
    assert runs == 2 * MAX_DELIVERIES
    assert (len(worker.finished), worker.buried) == (1, [])


@pytest.mark.parametrize("deep", [False, True], ids=["raised", "raised in a task of its own"])
async def test_whoever_is_not_the_owner_any_more_stops_quietly(
    redis: Redis, deep: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    await announced(redis, 1)
    tries = 0

    async def overtaken() -> None:
        raise NotOwnerError("somebody else was further")

    async def lose_then_win(_: Holding) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            return
        if deep:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(overtaken())
        else:
            await overtaken()

    worker = Worker(redis, "worker", lose_then_win, lease_ms=60)
    async with worker.running():
        await until(worker.idle)
    assert tries == 2
    assert worker.buried == []
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err


async def test_a_lease_that_was_taken_over_ends_the_work(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    await announced(redis, 1)
    cut_short = asyncio.Event()

    async def until_cut(_: Holding) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut_short.set()

    sleeper, peer = Worker(redis, "sleeper", until_cut, lease_ms=90), Worker(redis, "peer", at_once, lease_ms=90)
    awake, renew = asyncio.Event(), sleeper.queue.renew

    async def late(lease: Lease, *, progressed: bool = False) -> bool:
        await awake.wait()
        return await renew(lease, progressed=progressed)

    monkeypatch.setattr(sleeper.queue, "renew", late)
    async with sleeper.running():
        await until(lambda: sleeper.started)
        monkeypatch.setattr(sleeper.queue, "take", lambda *, block_ms: asyncio.sleep(0.01))
        async with peer.running():
            await until(lambda: peer.finished)
        awake.set()
        await cut_short.wait()
        await until(lambda: sleeper.owner.held_count == 0)
    assert (sleeper.finished, sleeper.buried) == ([], [])
    assert await peer.queue.waiting() == 0


async def test_its_own_lease_that_comes_back_after_an_outage_is_not_run_twice(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = await announced(redis, 1)
    gate, returned = asyncio.Event(), asyncio.Event()

    async def work(_: Holding) -> None:
        await gate.wait()

    worker = Worker(redis, "worker", work, lease_ms=90)
    renew, take = worker.queue.renew, worker.queue.take

    async def away(lease: Lease, *, progressed: bool = False) -> bool:
        raise RedisAwayError("away")

    async def noticed(*, block_ms: int) -> Lease | None:
        lease = await take(block_ms=block_ms)
        if lease is not None and worker.started:
            returned.set()
        return lease

    monkeypatch.setattr(worker.queue, "renew", away)
    monkeypatch.setattr(worker.queue, "take", noticed)
    async with worker.running():
        await returned.wait()
        monkeypatch.setattr(worker.queue, "renew", renew)
        gate.set()
        await until(worker.idle)
    assert worker.started == {item.track.id: 1}
    assert worker.finished == [item.track.id]


async def test_an_announcement_that_nobody_can_read_is_put_aside(redis: Redis) -> None:
    await redis.xadd(keys.work("asr"), {"item": b"not json"})
    await redis.xadd(keys.work("asr"), {"surprise": "!"})
    (item,) = await announced(redis, 1)
    worker = Worker(redis, "worker", at_once)
    async with worker.running():
        await until(worker.idle)
    assert worker.finished == [item.track.id]
    assert worker.buried == []
    reasons = [fields[b"reason"] for _, fields in await redis.xrange(keys.dead("asr"))]
    assert len(reasons) == 2
    assert all(b"malformed work item" in reason for reason in reasons)


async def test_a_worker_outlives_a_redis_that_is_away(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(redis, "worker", at_once)
    take, done, refused = worker.queue.take, worker.queue.done, Counter[str]()

    async def flaky_take(*, block_ms: int) -> Lease | None:
        refused["take"] += 1
        if refused["take"] == 1:
            raise RedisAwayError("away")
        return await take(block_ms=block_ms)

    async def flaky_done(lease: Lease, item_id: UUID) -> None:
        refused["done"] += 1
        if refused["done"] == 1:
            raise RedisAwayError("away")
        await done(lease, item_id)

    monkeypatch.setattr(worker.queue, "take", flaky_take)
    monkeypatch.setattr(worker.queue, "done", flaky_done)
    (item,) = await announced(redis, 1)
    async with worker.running():
        await until(worker.idle)
    assert worker.started == {item.track.id: 1}


async def test_a_finished_track_may_be_announced_anew(redis: Redis) -> None:
    (item,) = await announced(redis, 1)
    worker = Worker(redis, "worker", at_once)
    async with worker.running():
        await until(worker.idle)
        await WorkQueue(redis, "asr", "gateway").announce(item)
        await until(lambda: len(worker.finished) == 2)
    assert worker.finished == [item.track.id] * 2
    assert uuid4() not in worker.started
