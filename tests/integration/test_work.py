"""Work has one owner at a time: taken, kept, handed over, finished or given up."""

import asyncio
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.bus import codec, keys
from infra.bus.codec import TrackWork
from infra.bus.work import GROUP, Lease, WorkQueue
from tests.conftest import until
from tests.parts import call_work, track_work

LONG_MS = 600_000
SHORT_MS = 40


def queue(redis: Redis, owner: str, *, lease_ms: int = LONG_MS) -> WorkQueue:
    return WorkQueue(redis, "asr", owner, lease_ms=lease_ms)


async def take(from_queue: WorkQueue) -> Lease:
    """Take work as soon as there is some."""
    return await until(lambda: from_queue.take(block_ms=20))


async def announced(redis: Redis, count: int) -> list[TrackWork]:
    items = [track_work() for _ in range(count)]
    for item in items:
        await queue(redis, "gateway").announce(item)
    return items


def track_id(lease: Lease) -> object:
    return codec.track_work_from_bytes(lease.item).track.id


async def fall_silent(redis: Redis, lease: Lease, owner: str, *, for_ms: int = LONG_MS) -> None:
    """Make Redis believe that the owner has not been heard of for so long."""
    await redis.xclaim(keys.work("asr"), GROUP, owner, 0, [lease.entry], idle=for_ms, justid=True)


async def test_work_is_announced_once_until_it_is_done(redis: Redis) -> None:
    one, item = queue(redis, "one"), track_work()
    await asyncio.gather(*(queue(redis, f"gateway {number}").announce(item) for number in range(5)))
    lease = await take(one)
    assert codec.track_work_from_bytes(lease.item) == item
    assert lease.deliveries == 1
    await one.announce(item)
    assert await one.waiting() == 1
    assert await one.take(block_ms=1) is None
    await one.done(lease, item.track.id)
    assert await one.waiting() == 0
    await one.announce(item)
    assert (await take(one)).item == lease.item


async def test_work_that_was_announced_before_anybody_listened_is_found(redis: Redis) -> None:
    items = await announced(redis, 3)
    one = queue(redis, "one")
    assert [track_id(await take(one)) for _ in items] == [item.track.id for item in items]


async def test_calls_and_tracks_do_not_mix(redis: Redis) -> None:
    work = call_work()
    insights = WorkQueue(redis, "insights", "one", lease_ms=LONG_MS)
    await insights.announce(work)
    await announced(redis, 1)
    assert codec.call_work_from_bytes((await take(insights)).item) == work
    assert await insights.take(block_ms=1) is None


async def test_two_owners_never_get_one_piece(redis: Redis) -> None:
    items = await announced(redis, 60)
    owners = [queue(redis, f"owner {number}") for number in range(6)]

    async def all_there_is(owner: WorkQueue) -> list[object]:
        found = []
        while lease := await owner.take(block_ms=100):
            found.append(track_id(lease))
            assert lease.deliveries == 1
        return found

    await owners[0].take(block_ms=1)  # makes the group, if nothing was taken
    shares = await asyncio.gather(*(all_there_is(owner) for owner in owners))
    taken = [one for share in shares for one in share]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= {item.track.id for item in items}
    assert len(taken) >= 59


async def test_what_a_silent_owner_held_goes_to_a_peer_with_its_count(redis: Redis) -> None:
    await announced(redis, 1)
    owners = [queue(redis, f"owner {number}", lease_ms=SHORT_MS) for number in range(4)]
    leases = [await take(owner) for owner in owners]
    assert [lease.deliveries for lease in leases] == [1, 2, 3, 4]
    assert len({lease.entry for lease in leases}) == len({lease.item for lease in leases}) == 1


async def test_an_owner_that_renews_keeps_its_work(redis: Redis) -> None:
    await announced(redis, 1)
    one, other = queue(redis, "one"), queue(redis, "other")
    lease = await take(one)
    for _ in range(3):
        await fall_silent(redis, lease, "one", for_ms=LONG_MS - 60_000)
        assert await one.renew(lease)
        (pending,) = await redis.xpending_range(keys.work("asr"), GROUP, "-", "+", 1)
        assert (pending["consumer"], pending["times_delivered"]) == (b"one", 1)
        assert pending["time_since_delivered"] < 60_000
        assert await other.take(block_ms=1) is None


async def test_who_wakes_up_late_does_not_steal_the_work_back(redis: Redis) -> None:
    await announced(redis, 1)
    late, peer = queue(redis, "late"), queue(redis, "peer")
    lease = await take(late)
    await fall_silent(redis, lease, "late")
    taken = await take(peer)
    assert (taken.entry, taken.deliveries) == (lease.entry, 2)
    for _ in range(3):
        assert not await late.renew(lease)
        assert not await late.renew(lease, progressed=True)
        await late.release(lease)
        assert await peer.renew(taken)
    assert await late.take(block_ms=1) is None


async def test_released_work_goes_to_a_peer_at_once_and_is_no_failure(redis: Redis) -> None:
    (item,) = await announced(redis, 1)
    one, other = queue(redis, "one"), queue(redis, "other")
    lease = await take(one)
    await one.release(lease)
    handed_over = await other.take(block_ms=1)
    assert handed_over is not None
    assert (track_id(handed_over), handed_over.deliveries) == (item.track.id, 1)
    assert not await one.renew(lease)


async def test_progress_forgives_earlier_failures(redis: Redis) -> None:
    await announced(redis, 1)
    for expected in (1, 2, 3):
        owner = queue(redis, f"owner {expected}")
        lease = await take(owner)
        assert lease.deliveries == expected
        await fall_silent(redis, lease, owner.owner)
    owner = queue(redis, "last")
    lease = await take(owner)
    assert await owner.renew(lease)
    assert await owner.renew(lease, progressed=True)
    await fall_silent(redis, lease, "last")
    assert (await take(queue(redis, "next"))).deliveries == 2


async def test_buried_work_is_kept_with_its_reason_and_handed_out_no_more(redis: Redis) -> None:
    (item,) = await announced(redis, 1)
    one = queue(redis, "one")
    lease = await take(one)
    await one.bury(lease, item.track.id, "failed 4 times")
    assert (await one.waiting(), await one.buried()) == (0, 1)
    ((_, fields),) = await redis.xrange(keys.dead("asr"))
    assert fields == {b"item": lease.item, b"reason": b"failed 4 times"}
    await fall_silent(redis, lease, "one")
    assert await one.take(block_ms=1) is None


async def test_the_group_comes_back_after_redis_has_forgotten_everything(redis: Redis) -> None:
    await announced(redis, 1)
    one = queue(redis, "one")
    lease = await take(one)
    await redis.flushdb()
    with pytest.raises(RedisError):
        await one.renew(lease)
    assert await one.take(block_ms=1) is None
    await announced(redis, 1)
    again = await take(one)
    assert again.item != lease.item
    assert await one.renew(again)
    assert not await one.renew(lease)


async def test_what_was_left_behind_is_found_behind_any_number_of_busy_owners(redis: Redis) -> None:
    await announced(redis, 40)
    busy = queue(redis, "busy")
    leases = [await take(busy) for _ in range(40)]
    await fall_silent(redis, leases[-1], "busy")
    found = await queue(redis, "peer").take(block_ms=1)
    assert found is not None
    assert (found.entry, found.deliveries) == (leases[-1].entry, 2)


async def test_peers_that_look_at_once_do_not_both_get_what_was_left_behind(redis: Redis) -> None:
    await announced(redis, 12)
    gone = queue(redis, "gone")
    left = [await take(gone) for _ in range(12)]
    for lease in left:
        await fall_silent(redis, lease, "gone")
    peers = [queue(redis, f"peer {number}") for number in range(8)]
    found = []
    for _ in range(12):
        found += [lease for lease in await asyncio.gather(*(peer.take(block_ms=1) for peer in peers)) if lease]
    assert sorted(lease.entry for lease in found) == sorted(lease.entry for lease in left)
    assert {lease.deliveries for lease in found} == {2}


async def test_an_entry_that_is_not_ours_can_be_taken_and_buried(redis: Redis) -> None:
    await redis.xadd(keys.work("asr"), {"surprise": "!"})
    (item,) = await announced(redis, 1)
    one = queue(redis, "one")
    odd = await take(one)
    with pytest.raises(codec.CodecError):
        codec.track_work_from_bytes(odd.item)
    await fall_silent(redis, odd, "one")
    again = await take(queue(redis, "two"))
    assert (again.entry, again.deliveries) == (odd.entry, 2)
    await one.bury(again, uuid4(), "unreadable")
    assert track_id(await take(one)) == item.track.id
    assert await one.waiting() == 1
