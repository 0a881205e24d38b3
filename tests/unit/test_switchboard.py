"""Callers, agents and supervisors at a switchboard, heard by their tones: who hears whom, whose phone rings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from infra.store.queues import default_queue
from media_gateway.ports import CallRefused
from media_gateway.switchboard import board, phones
from media_gateway.switchboard import conversation as conversations
from media_gateway.switchboard.phones import CommandRefused
from tests.fakes.gateway import until
from tests.fakes.house import House


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    for call in list(house.registry.calls.values()):
        call.hang_up("the test is over")
    for phone in house.board.phones.values():
        if phone.gone is not None:
            phone.gone.cancel()


async def test_a_caller_hears_a_greeting_then_music_and_an_agent_rings_meanwhile(house: House) -> None:
    _, line = await house.caller()
    ann = await house.desk("ann")
    house.beat(25)
    assert len(line.sent) >= 20
    assert ann.view["offer"] is not None
    assert [stage for stage, _ in line.handle.stages] == ["queued", "ringing"]


async def test_both_hear_each_other_once_the_agent_has_answered(house: House) -> None:
    ann = await house.desk("ann")
    _, line = await house.caller()
    await ann.answer()
    assert line.clears == 1, "what was sent ahead is not to be heard any more"
    house.beat()
    assert line.hears() == {"ann"}
    assert ann.hears() == {"caller"}
    assert line.handle.stages[-1] == ("talking", "ann")


async def test_each_party_is_kept_on_a_track_of_its_own(house: House) -> None:
    ann = await house.desk("ann")
    _, line = await house.caller()
    await ann.answer()
    house.beat(60)
    assert ("join", "agent") in line.handle.log
    assert line.handle.sinks["agent"].pcm.strip(b"\0")


async def test_hold_is_music_for_the_caller_and_no_part_of_the_record(house: House) -> None:
    ann = await house.desk("ann")
    conversation, line = await house.caller()
    await ann.answer()
    house.beat()
    assert ann.phone.party is not None
    conversation.hold(ann.phone.party, on=True)
    before = len(line.handle.sinks["agent"].pcm)
    house.beat()
    assert line.hears() == set()
    assert any(line.sent[-1]), "music"
    assert "caller" not in ann.hears()
    house.beat()
    assert not line.handle.sinks["agent"].pcm[before + 6400 :].strip(b"\0"), "at most silence, to end the sentence"
    conversation.hold(ann.phone.party, on=False)
    house.beat()
    assert line.hears() == {"ann"}
    causes = {hole.cause for chunk in line.handle.sinks["agent"].chunks for hole in chunk.holes}
    assert causes == {"hold"}


async def test_a_muted_agent_is_not_heard(house: House) -> None:
    ann = await house.desk("ann")
    conversation, line = await house.caller()
    await ann.answer()
    assert ann.phone.party is not None
    conversation.mute(ann.phone.party, on=True)
    house.beat()
    assert line.hears() == set()
    assert ann.hears() == {"caller"}


async def test_a_supervisor_listens_muted_whispers_to_the_agent_or_is_heard_by_both(house: House) -> None:
    ann = await house.desk("ann")
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, line = await house.caller()
    await ann.answer()
    house.board.supervise(sue.phone, sue, conversation.call.id, "listen")
    await sue.connect()
    house.beat()
    assert (line.hears(), ann.hears(), sue.hears()) == ({"ann"}, {"caller"}, {"ann", "caller"})
    assert "supervisor" not in line.handle.sinks, "who only listens says nothing"

    house.board.supervise(sue.phone, sue, conversation.call.id, "whisper")
    house.beat()
    assert (line.hears(), ann.hears(), sue.hears()) == ({"ann"}, {"caller", "sue"}, {"ann", "caller"})
    assert line.handle.unrecorded == ["whisper"]

    house.board.supervise(sue.phone, sue, conversation.call.id, "barge")
    house.beat()
    assert (line.hears(), ann.hears(), sue.hears()) == ({"ann", "sue"}, {"caller", "sue"}, {"ann", "caller"})

    assert sue.phone.party is not None
    conversation.take_over(sue.phone.party)
    house.beat()
    assert (line.hears(), sue.hears()) == ({"sue"}, {"caller"})
    assert ann.phone.party is None
    assert line.handle.supervision == [("sue", "listen"), ("sue", "whisper"), ("sue", "barge"), ("sue", "take-over")]


async def test_a_supervisor_is_heard_on_hold_by_nobody_but_the_agent(house: House) -> None:
    ann = await house.desk("ann")
    sue = await house.desk("sue", "supervisor", online=False)
    conversation, line = await house.caller()
    await ann.answer()
    house.board.supervise(sue.phone, sue, conversation.call.id, "whisper")
    await sue.connect()
    assert ann.phone.party is not None
    conversation.hold(ann.phone.party, on=True)
    house.beat()
    assert line.hears() == set()
    assert ann.hears() == {"sue"}


async def test_agents_do_not_listen_in(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    conversation, _ = await house.caller()
    await ann.answer()
    with pytest.raises(CommandRefused, match="supervisors"):
        house.board.supervise(bob.phone, bob, conversation.call.id, "listen")


async def test_the_longest_idle_agent_rings_first(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    await house.caller("CA1")
    assert (ann.phone.offer is not None, bob.phone.offer is not None) == (True, False)
    await ann.answer()
    assert ann.phone.party is not None
    ann.phone.party.conversation.hang_up(ann.phone.party)
    await house.caller("CA2")
    assert (ann.phone.offer is not None, bob.phone.offer is not None) == (False, True)


async def test_who_rejects_is_passed_over_and_who_does_not_answer_gets_a_break(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.directory.queues = [replace(house.directory.queues[0], ring_s=0.05)]
    ann, bob = await house.desk("ann"), await house.desk("bob")
    conversation, line = await house.caller()
    ann.phone.refuse("rejected")
    assert bob.phone.offer is not None
    assert ann.phone.status == "online"
    await until(lambda: bob.phone.offer is None)
    assert bob.phone.status == "break"
    assert bob.told
    assert line.handle.stages[-1][0] == "queued"
    monkeypatch.setattr(board, "AGAIN_S", 0.0)
    house.board.wait(conversation)
    assert ann.phone.offer is not None, "and rings again when nobody else is there"


async def test_a_blind_transfer_rings_the_colleague_and_comes_back_if_it_is_not_taken(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob", online=False)
    conversation, line = await house.caller()
    await ann.answer()
    with pytest.raises(CommandRefused, match="cannot be reached"):
        house.board.transfer(ann.phone, bob.phone.id, attended=False)
    house.board.set_status(bob.phone, "online")
    house.board.transfer(ann.phone, bob.phone.id, attended=False)
    assert ann.phone.party is None
    bob.phone.refuse("rejected")
    assert ann.told
    assert ann.phone.offer is not None, "the caller goes back to whom they talked to"
    await ann.answer()
    house.board.transfer(ann.phone, bob.phone.id, attended=False)
    await bob.answer()
    house.beat()
    assert line.hears() == {"bob"}
    assert conversation.agent is bob.phone.party


async def test_an_attended_transfer_is_spoken_about_while_the_caller_is_held(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    conversation, line = await house.caller()
    desks = {True: ann, False: bob}
    first, second = desks[ann.phone.offer is not None], desks[ann.phone.offer is None]
    await first.answer()
    house.board.transfer(first.phone, second.phone.id, attended=True)
    assert first.call["transfer"] is not None
    await second.answer()
    house.beat()
    assert line.hears() == set()
    assert first.hears() == {second.phone.name}
    assert second.hears() == {first.phone.name}
    assert line.handle.stages[-1][0] == "consulting"
    assert first.phone.party is not None
    conversation.complete_transfer(first.phone.party)
    house.beat()
    assert line.hears() == {second.phone.name}
    assert first.phone.party is None


async def test_an_attended_transfer_can_be_cancelled(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob")
    conversation, line = await house.caller()
    await ann.answer()
    house.board.transfer(ann.phone, bob.phone.id, attended=True)
    assert ann.phone.party is not None
    conversation.cancel_transfer(ann.phone.party)
    assert bob.phone.offer is None
    house.board.transfer(ann.phone, bob.phone.id, attended=True)
    await bob.answer()
    conversation.cancel_transfer(ann.phone.party)
    house.beat()
    assert line.hears() == {"ann"}
    assert bob.phone.party is None


async def test_a_page_that_is_reloaded_finds_its_call_again_and_the_caller_is_held_meanwhile(house: House) -> None:
    ann = await house.desk("ann")
    _, line = await house.caller()
    await ann.answer()
    house.beat()
    house.board.disconnect(ann.phone, ann)
    house.beat()
    assert line.handle.stages[-1][0] == "held"
    assert any(line.sent[-1]), "music"
    house.board.connect(ann.phone, ann)
    assert (ann.call["media"], ann.call["here"]) == ("lost", True)
    await ann.connect()
    house.beat()
    assert line.hears() == {"ann"}
    assert line.handle.stages[-1][0] == "talking"


async def test_an_agent_who_does_not_come_back_loses_the_caller_to_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "REJOIN_WITHIN_S", 0.05)
    ann = await house.desk("ann")
    await house.caller()
    await ann.answer()
    ann.lose()
    await until(lambda: ann.phone.party is None)
    assert ann.phone.status == "break"
    bob = await house.desk("bob")
    assert bob.phone.offer is not None


async def test_a_caller_who_comes_back_is_with_the_same_agent_at_once(house: House) -> None:
    ann = await house.desk("ann")
    conversation, line = await house.caller()
    await ann.answer()
    conversation.caller.lost(line)
    assert ann.call["caller"] == "reconnecting"
    assert line.handle.stages[-1][0] == "returning"
    again, new = await house.caller(returning=True)
    assert again is conversation
    house.beat()
    assert new.hears() == {"ann"}


async def test_after_a_gateway_died_the_caller_gets_the_agent_of_before_without_ringing(house: House) -> None:
    ann, bob = await house.desk("ann", online=False), await house.desk("bob")
    call = (await house.caller("CA9"))[0].call
    house.registry.calls[call.id].hang_up("gateway lost")
    del house.registry.calls[call.id]
    house.directory.agents[call.id] = ann.phone.id
    _, line = await house.caller("CA9", returning=True)
    assert bob.phone.offer is None
    house.board.set_status(ann.phone, "online")
    assert ann.call["media"] == "wanted"
    await ann.connect()
    house.beat()
    assert line.hears() == {"ann"}


async def test_who_waits_too_long_may_leave_a_message(house: House) -> None:
    house.directory.queues = [replace(default_queue(house.directory.queues[0].tenant_id), max_wait_s=0.05)]
    conversation, line = await house.caller()
    await until(lambda: conversation.caller.wants == "voicemail")
    assert house.directory.callbacks == ["voicemail"]
    assert line.handle.stages[-1][0] == "voicemail"
    conversation.caller.key("#")
    house.beat(400)
    assert line.handle.ended == "voicemail"


async def test_a_caller_may_ask_to_be_called_back(house: House) -> None:
    conversation, line = await house.caller()
    conversation.caller.key("1")
    assert house.directory.callbacks == ["callback"]
    house.beat(600)
    assert line.handle.ended == "callback"


async def test_a_queue_without_either_says_so_and_ends(house: House) -> None:
    house.directory.queues = [replace(house.directory.queues[0], max_wait_s=0.05, on_timeout="hangup")]
    conversation, line = await house.caller()
    conversation.caller.key("1")
    assert house.directory.callbacks == []
    await until(lambda: not house.board._waiting)
    house.beat(600)
    assert line.handle.ended == "nobody answered"


async def test_consent_is_asked_for_before_anybody_rings(house: House) -> None:
    house.directory.queues = [replace(house.directory.queues[0], consent=True)]
    ann = await house.desk("ann")
    _, line = await house.caller()
    assert ann.phone.offer is None
    house.beat(500)
    assert "played:consent" in line.marks
    assert ann.phone.offer is not None
    assert line.handle.acts == ["call.consent_played"]


async def test_keys_go_both_ways(house: House) -> None:
    ann = await house.desk("ann")
    conversation, line = await house.caller()
    await ann.answer()
    conversation.caller.key("4")
    conversation.caller.key("2")
    assert ann.call["keyed"] == "42"
    assert ann.phone.party is not None
    sent = len(line.sent)
    conversation.send_digits(ann.phone.party, "5")
    house.beat(10)
    assert len(line.sent) > sent


async def test_the_agent_hangs_up(house: House) -> None:
    ann = await house.desk("ann")
    conversation, line = await house.caller()
    await ann.answer()
    assert ann.phone.party is not None
    conversation.hang_up(ann.phone.party)
    assert line.handle.ended == "agent hung up"
    assert ann.phone.party is None
    assert ann.phone.is_free
    assert house.clock.members == []
    assert line.handle.log[-1] == ("hang-up", "agent hung up"), "parties leave before the call ends"


async def test_the_caller_hangs_up_while_it_rings(house: House) -> None:
    ann = await house.desk("ann")
    _, line = await house.caller()
    line.handle.hang_up("completed")
    assert ann.phone.offer is None
    with pytest.raises(CommandRefused, match="no longer"):
        house.board.answer(ann.phone, ann)


async def test_only_a_call_that_waits_for_somebody_takes_their_audio(house: House) -> None:
    ann, bob = await house.desk("ann"), await house.desk("bob", online=False)
    conversation, _ = await house.caller()
    await ann.answer()
    with pytest.raises(CallRefused):
        await house.board.line(bob.phone.user, conversation.call.id)


async def test_without_a_call_the_audio_becomes_one_of_its_own(house: House) -> None:
    ann = await house.desk("ann")
    await ann.connect()
    house.beat(60)
    call = house.registry.only
    assert call.call.door == "webrtc"
    assert call.sinks["agent"].pcm.strip(b"\0")
    assert ann.phone.party is None, "a call of one's own does not make the phone busy"


async def test_overflow_rings_the_agents_of_another_queue(house: House) -> None:
    ann = await house.desk("ann")
    bob = await house.desk("bob")
    first = replace(house.directory.queues[0], agents=(ann.phone.id,), overflow_after_s=0.05)
    second = replace(first, id=ann.phone.id, agents=(bob.phone.id,), is_default=False)
    house.directory.queues = [replace(first, overflow_to=second.id), second]
    house.board.set_status(ann.phone, "break")
    await house.caller()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(house.board.run())
        await until(lambda: bob.phone.offer is not None)
        running.cancel()


async def test_a_phone_without_a_page_goes_offline(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "GONE_S", 0.05)
    assert phones.GONE_S > 1
    ann = await house.desk("ann")
    house.board.disconnect(ann.phone, ann)
    assert not ann.phone.is_free
    await until(lambda: ann.phone.status == "offline")
