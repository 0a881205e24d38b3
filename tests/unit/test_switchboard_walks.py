"""Many things happen at a switchboard in any order: after each of them everything still fits together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from infra.tokens import twilio_call_id
from media_gateway.ports import CallRefused
from media_gateway.switchboard import board, caller
from media_gateway.switchboard import conversation as conversations
from media_gateway.switchboard.conversation import Conversation
from media_gateway.switchboard.phones import CommandRefused, Phone
from tests.fakes.house import Desk, FakeLine, House

STEPS = 200
Step = Callable[[], Awaitable[None] | None]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "MATCH_S", 0.005)
    for name in ("REMIND_S", "AGAIN_S", "PREFERRED_S", "GONE_S"):
        monkeypatch.setattr(board, name, 0.02)
    monkeypatch.setattr(caller, "MESSAGE_S", 0.05)
    monkeypatch.setattr(conversations, "CONNECT_WITHIN_S", 0.03)
    monkeypatch.setattr(conversations, "REJOIN_WITHIN_S", 0.03)


class Walk:
    """A house with an agent at two pages, another agent and a supervisor, and what may happen there."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.house = House()
        queue = self.house.directory.queues[0]
        self.house.directory.queues = [
            replace(
                queue,
                ring_s=0.02,  # type: ignore[arg-type]
                max_wait_s=0.15,  # type: ignore[arg-type]
                consent=self.chance.random() < 0.3,
                max_waiting=self.chance.choice((0, 1, 50)),
                on_timeout=self.chance.choice(("voicemail", "callback", "hangup")),
            )
        ]
        self.house.registry.recording = self.chance.choice(("on", "off"))
        self.lines: dict[str, FakeLine] = {}
        self.taken: list[str] = []
        """What happened, for whoever looks for a fault."""

    async def begin(self) -> None:
        house = self.house
        ann = await house.desk("ann")
        await house.desk("bob")
        await house.desk("sue", "supervisor", online=False)
        second_page = Desk(house, ann.phone)
        house.board.connect(ann.phone, second_page)
        house.desks.append(second_page)

    async def step(self) -> None:
        steps = self._of_pages() if self.chance.random() < 0.6 else self._of_callers()
        name = self.chance.choice(list(steps))
        self.taken.append(name)
        try:
            done = steps[name]()
            if done is not None:
                await done
        except (CommandRefused, CallRefused):
            self.taken[-1] += " refused"
        self.lines = {sid: line for sid, line in self.lines.items() if line.handle.ended is None}

    def _of_callers(self) -> dict[str, Step]:
        house, chance = self.house, self.chance
        steps: dict[str, Step] = {
            "time passes": lambda: asyncio.sleep(0.02 * chance.random()),
            "all speak": lambda: house.beat(3),
        }
        if len(self.lines) < 4:
            steps["call"] = lambda: self._call(returning=False)
            steps["call of old"] = lambda: self._call(returning=True)
        if self.lines:
            sid, line = chance.choice(list(self.lines.items()))
            conversation = house.board.conversations[line.handle.call.id]
            steps |= {
                "caller hangs up": lambda: line.handle.hang_up("completed"),
                "caller's line breaks": lambda: conversation.caller.lost(line),
                "caller comes back": lambda: self._come(sid, returning=True),
                **{f"key {key}": lambda key=key: conversation.caller.key(key) for key in "12#"},  # type: ignore[misc]
            }
        return steps

    def _of_pages(self) -> dict[str, Step]:
        switch, chance = self.house.board, self.chance
        desk, other = chance.choice(self.house.desks), chance.choice(self.house.desks)
        phone, flag = desk.phone, chance.random() < 0.5
        if desk not in phone.screens:
            return {"page opens": lambda: self._open(desk)}
        steps: dict[str, Step] = {
            "page closes": lambda: switch.disconnect(phone, desk),
            "break": lambda: switch.set_status(phone, chance.choice(("offline", "break"))),
            "online": lambda: switch.set_status(phone, "online"),
        }
        if phone.offer is not None:
            steps |= {
                "answer": lambda: switch.answer(phone, desk),
                "answer at once": desk.answer,
                "reject": lambda: phone.refuse("rejected"),
            }
        if self.lines:
            call_id = chance.choice(list(self.lines.values())).handle.call.id
            mode = chance.choice(("listen", "whisper", "barge"))
            steps["supervise"] = lambda: switch.supervise(phone, desk, call_id, mode)
        if (party := phone.party) is not None:
            talk = party.conversation
            steps |= {
                "connect": desk.connect,
                "here": lambda: switch.carry(phone, desk),
                "transfer": lambda: switch.transfer(phone, other.phone.id, attended=flag),
                "hold": lambda: talk.hold(party, on=flag),
                "complete": lambda: talk.complete_transfer(party),
                "cancel": lambda: talk.cancel_transfer(party),
                "take over": lambda: talk.take_over(party),
                "hang up": lambda: talk.hang_up(party),
            }
        if desk.peer is not None:
            steps["audio breaks"] = desk.lose
        return steps

    async def _call(self, *, returning: bool) -> None:
        sid = f"CA{len(self.taken)}"
        self.house.directory.agents[twilio_call_id(sid)] = self.chance.choice(self.house.desks).phone.id
        await self._come(sid, returning=returning)

    async def _come(self, sid: str, *, returning: bool) -> None:
        _, self.lines[sid] = await self.house.caller(sid, returning=returning)

    async def _open(self, desk: Desk) -> None:
        desk.phone = await self.house.board.phone_of(desk.phone.user)
        self.house.board.connect(desk.phone, desk)

    def check(self) -> None:
        switch = self.house.board
        for desk in self.house.desks:
            check_phone(desk.phone)
            if desk.phone.screens or desk.phone.party:
                assert switch.phones[desk.phone.id] is desk.phone, "it is known"
        assert {line.handle.call.id for line in self.lines.values()} == set(switch.conversations)
        for conversation in switch.conversations.values():
            self.check_call(conversation)

    def check_call(self, conversation: Conversation) -> None:
        switch = self.house.board
        places = [place for place in switch._waiting if place.conversation is conversation]
        ringing = [
            phone
            for phone in switch.phones.values()
            if phone.offer is not None and phone.offer.conversation is conversation
        ]
        transfer, wants = conversation.transfer, conversation.caller.wants
        assert len(ringing) <= 1
        assert all(party.phone.party is party for party in conversation.parties)
        if conversation.agent is None:
            assert transfer.target is None
            assert len(places) <= 1
            assert places or ringing or wants or conversation.caller.playing(waits=False), "the caller is not stuck"
            assert [place.ringing for place in places if place.ringing] == [
                phone for phone in ringing if phone.offer is not None and phone.offer.kind == "queue"
            ]
        else:
            assert (places, wants) == ([], None)
            assert ringing == ([transfer.target] if transfer.target and not transfer.consultant else [])


def check_phone(phone: Phone) -> None:
    assert phone.offer is None or phone.party is None
    assert phone.offer is None or (phone.screens and not phone.offer.conversation.is_over)
    if phone.party is not None:
        assert phone.party in phone.party.conversation.parties
        assert not phone.party.conversation.is_over
        assert not phone.screens or phone.carrier in phone.screens
        assert phone.party.media in {"connecting", "connected"} or phone.party.grace is not None


@pytest.fixture
async def faults() -> AsyncIterator[list[object]]:
    """What went wrong in callbacks."""
    found: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: found.append(about))
    yield found
    assert not found


@pytest.mark.parametrize("seed", range(15))
async def test_nobody_is_ever_stuck(seed: int, faults: list[object]) -> None:
    walk = Walk(seed)
    await walk.begin()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(walk.house.board.run())
        for _ in range(STEPS):
            await walk.step()
            walk.check()
            assert not faults, walk.taken[-10:]
        for call in list(walk.house.registry.calls.values()):
            call.hang_up("the test is over")
        walk.lines.clear()
        walk.check()
        running.cancel()
    assert walk.house.clock.members == []
    for phone in walk.house.board.phones.values():
        if phone.gone is not None:
            phone.gone.cancel()
    left = [timer for timer in vars(asyncio.get_running_loop()).get("_scheduled", ()) if not timer.cancelled()]
    assert not [timer for timer in left if "switchboard" in repr(timer)]
