"""The outbox: in order, again and again while the other side is away, and never held up by one bad message."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from media_gateway import outbox as module
from media_gateway.outbox import Outbox
from tests.conftest import until


class AwayError(Exception):
    """The other side does not answer."""


class Peer:
    """Takes messages; away for the first `away` deliveries."""

    def __init__(self, away: int = 0) -> None:
        self.got: list[int] = []
        self.tries = 0
        self.away = away

    def message(self, number: int) -> Callable[[], Awaitable[None]]:
        async def deliver() -> None:
            self.tries += 1
            if self.tries <= self.away:
                raise AwayError
            await asyncio.sleep(0)
            self.got.append(number)

        return deliver


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        sender = tasks.create_task(outbox.run())
        yield
        sender.cancel()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: neither the sender between two attempts, nor the tests."""
    sleep = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", lambda seconds: sleep(min(seconds, 0.001)))


def dropped(outbox: Outbox, why: str) -> float:
    return REGISTRY.get_sample_value("hearline_outbox_dropped_total", {"outbox": outbox.name, "why": why}) or 0.0


async def test_messages_go_out_in_order_whenever_they_come() -> None:
    outbox, peer = Outbox("order", (AwayError,)), Peer()
    for number in range(50):
        outbox.put("number", peer.message(number))
    async with running(outbox):
        await until(lambda: len(peer.got) > 10)
        for number in range(50, 100):
            outbox.put("number", peer.message(number))
        assert await outbox.drained(20)
        outbox.put("number", peer.message(100))
        assert await outbox.drained(20)
    assert peer.got == list(range(101))


async def test_nothing_is_skipped_or_repeated_while_the_other_side_is_away() -> None:
    outbox, peer = Outbox("away", (AwayError,)), Peer(away=12)
    for number in range(5):
        outbox.put("number", peer.message(number))
    async with running(outbox):
        assert await outbox.drained(20)
    assert peer.got == list(range(5))
    assert peer.tries == 5 + 12


async def test_a_message_that_can_never_go_out_does_not_hold_up_the_rest() -> None:
    outbox, peer = Outbox("poison", (AwayError,)), Peer()

    async def poisoned() -> None:
        raise ValueError("malformed for ever")

    for number in range(4):
        outbox.put("number", peer.message(number))
        outbox.put("poison", poisoned)
    async with running(outbox):
        assert await outbox.drained(20)
    assert peer.got == list(range(4))
    assert dropped(outbox, "failed") == 4


async def test_a_full_outbox_drops_the_newest_and_says_long_before_that_it_fills() -> None:
    outbox, peer = Outbox("full", (AwayError,), capacity=10), Peer()
    room = []
    for number in range(13):
        room.append(outbox.has_room)
        outbox.put("number", peer.message(number))
    assert room == [True] * 5 + [False] * 8
    assert dropped(outbox, "full") == 3
    async with running(outbox):
        assert await outbox.drained(20)
    assert peer.got == list(range(10))
    assert outbox.has_room


async def test_a_message_under_way_when_the_sender_stops_is_sent_by_the_next() -> None:
    outbox, peer = Outbox("stopped", (AwayError,)), Peer()
    started, release = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        started.set()
        await release.wait()
        peer.got.append(0)

    outbox.put("slow", slow)
    outbox.put("number", peer.message(1))
    async with running(outbox):
        await started.wait()
    release.set()
    async with running(outbox):
        assert await outbox.drained(20)
    assert peer.got == [0, 1]


async def test_waiting_for_an_outbox_whose_peer_stays_away_ends() -> None:
    outbox = Outbox("stays", (AwayError,))
    outbox.put("number", Peer(away=10**9).message(1))
    async with running(outbox):
        assert not await outbox.drained(0.05)
    assert await Outbox("empty", (AwayError,)).drained(0)
