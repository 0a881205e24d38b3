"""When two things happen at once at a switchboard: nobody is stuck, and no phone rings for a call that is over."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from http import HTTPStatus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY

from infra.tokens import twilio_call_id
from media_gateway.audio import FRAME_SAMPLES
from media_gateway.switchboard import board, caller
from media_gateway.switchboard import conversation as conversations
from media_gateway.transports.phone import PATH, PhoneDoor
from tests.fakes.gateway import until
from tests.fakes.house import FakePeer, House, Person


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    for call in list(house.registry.calls.values()):
        call.hang_up("the test is over")
    for phone in house.board.phones.values():
        if phone.gone is not None:
            phone.gone.cancel()


# -- a transfer that rings


async def test_a_blind_transfer_rings_no_longer_when_the_caller_hangs_up(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    _, line = await house.caller()
    await ann.answer()
    house.board.transfer(ann.phone, bob.phone.id, attended=False)
    line.handle.hang_up("completed")
    assert bob.phone.offer is None
    assert bob.phone.is_free


async def test_a_blind_transfer_rings_no_longer_when_a_supervisor_takes_over(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, line = await house.caller()
    await ann.answer()
    house.board.supervise(sue.phone, sue, conversation.call.id, "listen")
    await sue.connect()
    house.board.transfer(ann.phone, bob.phone.id, attended=False)
    assert sue.phone.party is not None
    conversation.take_over(sue.phone.party)
    assert bob.phone.offer is None
    house.beat()
    assert line.hears() == {"sue"}


async def test_a_blind_transfer_rings_no_longer_when_the_caller_wants_a_call_back(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    conversation, _ = await house.caller()
    await ann.answer()
    house.board.transfer(ann.phone, bob.phone.id, attended=False)
    conversation.caller.key("1")
    assert bob.phone.offer is None
    assert house.directory.callbacks == ["callback"]


# -- supervisors


async def test_a_supervisor_who_leaves_does_not_bring_the_caller_back_into_the_queue(house: House) -> None:
    ann = await house.desk("ann", online=False)
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, _ = await house.caller()
    house.board.supervise(sue.phone, sue, conversation.call.id, "listen")
    conversation.caller.key("2")
    assert sue.phone.party is not None
    conversation.hang_up(sue.phone.party)
    house.board.set_status(ann.phone, "online")
    assert ann.phone.offer is None, "the caller leaves a message"


async def test_a_supervisor_who_leaves_does_not_stop_the_ringing(house: House) -> None:
    ann = await house.desk("ann")
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, _ = await house.caller()
    offer = ann.phone.offer
    assert offer is not None
    house.board.supervise(sue.phone, sue, conversation.call.id, "listen")
    assert sue.phone.party is not None
    conversation.hang_up(sue.phone.party)
    assert ann.phone.offer is offer


async def test_a_supervisor_whose_phone_rings_listens_in_and_rings_no_more(house: House) -> None:
    ann = await house.desk("ann")
    conversation, _ = await house.caller("CA1")
    await ann.answer()
    sue = await house.desk("sue", "supervisor")
    await house.caller("CA2")
    await house.caller("CA3")
    house.board.supervise(sue.phone, sue, conversation.call.id, "listen")
    assert sue.phone.offer is None


async def test_who_takes_over_a_caller_that_leaves_a_message_keeps_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "MESSAGE_S", 0.05)
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, line = await house.caller()
    conversation.caller.key("2")
    house.board.supervise(sue.phone, sue, conversation.call.id, "listen")
    await sue.connect()
    assert sue.phone.party is not None
    conversation.take_over(sue.phone.party)
    await asyncio.sleep(0.1)
    house.beat(600)
    assert line.handle.ended is None
    assert line.handle.stages[-1] == ("talking", "sue")


async def test_what_is_whispered_while_the_caller_is_on_hold_is_not_kept(house: House) -> None:
    ann = await house.desk("ann")
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, line = await house.caller()
    await ann.answer()
    assert ann.phone.party is not None
    conversation.hold(ann.phone.party, on=True)
    house.board.supervise(sue.phone, sue, conversation.call.id, "whisper")
    await sue.connect()
    house.beat(60)
    assert ann.hears() == {"sue"}
    assert "supervisor" not in line.handle.sinks


# -- those who have left


async def test_a_connection_that_comes_too_late_does_not_touch_the_next_call(house: House) -> None:
    ann = await house.desk("ann")
    _, first = await house.caller("CA1")
    house.board.answer(ann.phone, ann)
    line = await house.board.line(ann.phone.user, None)
    first.handle.hang_up("completed")
    peer = FakePeer("ann")
    line.connect(peer)
    assert peer.closed
    _, second = await house.caller("CA2")
    await ann.answer()
    line.on_state("lost")
    house.beat()
    assert second.hears() == {"ann"}


async def test_the_call_ends_with_the_agent_even_if_another_stream_still_holds_on_to_it(house: House) -> None:
    ann = await house.desk("ann")
    conversation, line = await house.caller()
    await ann.answer()
    line.keeps_call = True
    assert ann.phone.party is not None
    conversation.hang_up(ann.phone.party)
    assert line.handle.ended == "agent hung up"
    assert ann.phone.is_free


async def test_nothing_begins_in_a_call_that_has_ended(house: House) -> None:
    house.directory.queues = [replace(house.directory.queues[0], consent=True, max_waiting=0)]
    house.registry.recording = "on"
    conversation, line = await house.caller()
    playing = conversation.caller.playing(waits=True)
    assert playing is not None
    line.handle.hang_up("completed")
    while playing.frame(lambda errand: errand()) is not None:
        pass
    conversation.caller.key("1")
    assert house.directory.callbacks == []


async def test_a_call_of_ones_own_ends_with_its_connection_as_nobody_can_join_it_again(house: House) -> None:
    ann = await house.desk("ann")
    await ann.connect()
    ann.lose()
    assert house.registry.only.ended == "connection-lost"


async def test_a_phone_without_a_page_is_forgotten_after_its_call(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "GONE_S", 0.02)
    monkeypatch.setattr(conversations, "REJOIN_WITHIN_S", 0.1)
    ann = await house.desk("ann")
    await house.caller()
    await ann.answer()
    house.board.disconnect(ann.phone, ann)
    await until(lambda: ann.phone.party is None)
    assert ann.phone.status == "offline", "nobody is there to be on a break"
    await until(lambda: ann.phone.id not in house.board.phones)


async def test_a_page_that_never_opens_leaves_no_phone_behind(house: House) -> None:
    ann = Person("ann")
    door = PhoneDoor(house.board, tuple)

    async def handle(request: web.Request) -> web.StreamResponse:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", web.NotAppKeyWarning)
            request["user"] = ann
        return await door.handle(request)

    app = web.Application()
    app.router.add_get(PATH, handle)
    async with TestClient(TestServer(app)) as client:
        async with client.get(PATH, headers={"Upgrade": "websocket", "Connection": "upgrade"}) as reply:
            assert reply.status == HTTPStatus.BAD_REQUEST
        assert not house.board.phones
        async with client.ws_connect(PATH) as page:
            shown = await page.receive_json()
            while shown["type"] != "phone":
                shown = await page.receive_json()
            assert shown["phone"]["name"] == "ann"
            assert house.board.phones[ann.id].screens


# -- queues


async def test_where_nobody_may_wait_a_free_agent_is_rung_all_the_same(house: House) -> None:
    house.directory.queues = [replace(house.directory.queues[0], max_waiting=0)]
    ann = await house.desk("ann")
    await house.caller("CA1")
    assert ann.phone.offer is not None
    second, _ = await house.caller("CA2")
    assert second.caller.wants == "voicemail"


async def test_callers_whom_a_phone_rings_for_do_not_fill_the_queue(house: House) -> None:
    house.directory.queues = [replace(house.directory.queues[0], max_waiting=1)]
    await house.desk("ann")
    await house.caller("CA1")
    second, _ = await house.caller("CA2")
    third, _ = await house.caller("CA3")
    assert (second.caller.wants, third.caller.wants) == (None, "voicemail")


async def test_who_comes_back_and_has_waited_long_rings_like_anybody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "PREFERRED_S", 0.0)
    ann = await house.desk("ann", online=False)
    house.directory.agents[twilio_call_id("CA1")] = ann.phone.id
    await house.caller("CA1", returning=True)
    house.board.set_status(ann.phone, "online")
    assert ann.phone.party is None
    assert ann.phone.offer is not None


async def test_two_who_come_back_to_the_same_agent_do_not_both_get_them(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    for sid in ("CA1", "CA2"):
        house.directory.agents[twilio_call_id(sid)] = ann.phone.id
        await house.caller(sid, returning=True)
    assert ann.phone.party is not None
    assert bob.phone.offer is not None
    assert bob.phone.offer.conversation is not ann.phone.party.conversation


async def test_who_comes_back_before_talking_to_anybody_is_told_of_the_recording(house: House) -> None:
    house.directory.queues = [replace(house.directory.queues[0], consent=True)]
    house.registry.recording = "on"
    ann = await house.desk("ann")
    _, line = await house.caller(returning=True)
    assert ann.phone.offer is None
    house.beat(500)
    assert "played:consent" in line.marks
    assert ann.phone.offer is not None


async def test_a_ring_that_is_withdrawn_is_counted(house: House) -> None:
    count = partial(REGISTRY.get_sample_value, "hearline_rings_total", {"outcome": "withdrawn"})
    before = count() or 0
    await house.desk("ann")
    _, line = await house.caller()
    line.handle.hang_up("completed")
    assert count() == before + 1


async def test_a_fault_in_one_round_of_matching_does_not_end_the_board(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MATCH_S", 0.001)
    rounds: list[None] = []

    def match() -> None:
        rounds.append(None)
        raise RuntimeError("a fault")

    monkeypatch.setattr(house.board, "_match", match)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(house.board.run())
        await until(lambda: len(rounds) > 1)
        running.cancel()


# -- what is kept


async def test_a_loop_that_lags_does_not_shift_the_record(house: House) -> None:
    ann = await house.desk("ann")
    _, line = await house.caller()
    await ann.answer()
    house.beat(5)
    house.beat(5, lag_s=0.4)
    house.beat(5)
    assert ann.phone.party is not None
    ann.phone.party.be_silent()
    chunks = line.handle.sinks["agent"].chunks
    assert [hole for chunk in chunks for hole in chunk.holes] == []
    assert sum(len(chunk.pcm) for chunk in chunks) // 2 == 15 * FRAME_SAMPLES
