"""AudioSocket over real connections on loopback: who gets in, and a caller's line both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from uuid import UUID, uuid4

import numpy as np
import pytest

from infra.model import DEFAULT_TENANT
from media_gateway.call_grants import CallGrant, CallGrants
from media_gateway.protocols.audiosocket import audio_packet, hang_up_packet, key_packet, uuid_packet
from media_gateway.transports import audiosocket_line
from media_gateway.transports.audiosocket import Address, AudioSocketDoor
from media_gateway.transports.media_socket import SocketLimits
from tests.fakes.gateway import CountingMeter, FakeCall, until
from tests.fakes.house import House

LOOPBACK = [ip_network("127.0.0.0/8")]
FRAME = b"\x01\x00" * 160


class Kept:
    """Grants in memory."""

    def __init__(self) -> None:
        self.grants: dict[str, bytes] = {}

    async def keep_grant(self, name: str, grant: bytes, life_s: int) -> None:
        self.grants[name] = grant

    async def take_grant(self, name: str) -> bytes | None:
        return self.grants.pop(name, None)


class Asterisk:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.call_id = uuid4()
        self.reader = reader
        self.writer = writer

    def begin(self, call_id: UUID | None = None) -> None:
        self.call_id = call_id or self.call_id
        self.writer.write(uuid_packet(self.call_id))

    def say(self, frames: int, rate_hz: int = 8000) -> None:
        for _ in range(frames):
            self.writer.write(audio_packet(b"\x01\x00" * (rate_hz // 50), rate_hz))

    async def packet(self) -> tuple[int, bytes]:
        """Return the next packet's kind and payload."""
        async with asyncio.timeout(5):
            header = await self.reader.readexactly(3)
            return header[0], await self.reader.readexactly(int.from_bytes(header[1:], "big"))

    async def rest(self) -> bytes:
        """Return all that is still to come."""
        async with asyncio.timeout(5):
            return await self.reader.read()


class Pbx:
    """The door, and an Asterisk that may connect to it."""

    def __init__(self) -> None:
        self.house = House()
        self.meter = CountingMeter()
        self.grants = CallGrants(Kept())
        self.door: AudioSocketDoor

    @asynccontextmanager
    async def open(
        self, *, trusted: bool = True, limits: SocketLimits | None = None, alone: bool = False
    ) -> AsyncIterator[Pbx]:
        """`alone`: nobody is there to answer."""
        self.door = AudioSocketDoor(
            self.house.registry,
            self.grants,
            address=Address("127.0.0.1", 0),
            trunks=LOOPBACK if trusted else (),
            grace_s=0.2,
            limits=limits or SocketLimits(start_deadline_s=0.5, idle_limit_s=2.0),
            meter=self.meter,
            board=None if alone else self.house.board,
        )
        await self.door.open()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.door.run())
            await until(lambda: self.door.is_open)
            yield self
            await self.door.close("the test is over")
            running.cancel()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Asterisk]:
        assert self.door.address is not None
        reader, writer = await asyncio.open_connection(self.door.address.host, self.door.address.port)
        try:
            yield Asterisk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def call(self) -> FakeCall:
        return self.house.registry.only


@pytest.fixture
async def pbx() -> AsyncIterator[Pbx]:
    async with Pbx().open() as pbx:
        yield pbx


async def test_a_call_from_its_uuid_to_its_end(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(25)
        asterisk.writer.write(key_packet("5"))
        asterisk.say(25)
        asterisk.writer.write(hang_up_packet())
        await until(lambda: pbx.house.registry.calls and pbx.call.ended)
    assert pbx.call.call.external_id == str(asterisk.call_id)
    assert (pbx.call.call.door, pbx.call.call.tenant_id) == ("audiosocket", DEFAULT_TENANT)
    assert pbx.call.ended == "completed"
    assert [entry for entry in pbx.call.log if entry[0] != "mark"] == [
        ("join", "customer"),
        ("open", "channel"),
        ("dtmf", {"digit": "5"}),
        ("leave", "customer"),
        ("hang-up", "completed"),
    ]
    assert len(pbx.call.sinks["customer"].pcm) == 2 * 16_000, "a second"


async def test_the_caller_is_greeted_and_hears_who_answers(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        await until(lambda: pbx.house.board.conversations)
        pbx.house.beat(10)
        kind, frame = await asterisk.packet()
        assert (kind, len(frame)) == (0x10, 320)
        ann = await pbx.house.desk("ann")
        await ann.answer()
        pbx.house.beat(30)
        loudest = 0
        for _ in range(30):
            _, frame = await asterisk.packet()
            loudest = max(loudest, int(np.abs(np.frombuffer(frame, "<i2")).max()))
        assert loudest > 2000


async def test_wideband_is_answered_in_wideband(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(10, 16_000)
        await until(lambda: pbx.house.board.conversations)
        pbx.house.beat(1)
        kind, frame = await asterisk.packet()
        assert (kind, len(frame)) == (0x12, 640)


async def test_a_silent_caller_is_answered_all_the_same(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        await until(lambda: pbx.house.board.conversations)
        pbx.house.beat(1)
        assert (await asterisk.packet())[0] == 0x10


async def test_without_anybody_to_answer_calls_are_listened_to() -> None:
    async with Pbx().open(alone=True) as pbx, pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(20)
        await until(lambda: pbx.house.registry.calls and pbx.call.sinks)
        asterisk.writer.write_eof()
        await until(lambda: pbx.call.ended)
        assert pbx.call.ended == "closed"
        assert len(pbx.call.sinks["customer"].pcm) == 2 * 16 * 400


async def test_a_stranger_without_a_grant_is_sent_away() -> None:
    async with Pbx().open(trusted=False) as pbx:
        async with pbx.connected() as asterisk:
            asterisk.begin()
            asterisk.say(5)
            assert await asterisk.rest() == hang_up_packet()
        assert not pbx.house.registry.calls
        assert pbx.meter.refusals == {"bad-token": 1}


async def test_a_grant_is_good_for_one_call_and_says_whose() -> None:
    async with Pbx().open(trusted=False) as pbx:
        call_id = await pbx.grants.give(CallGrant(DEFAULT_TENANT, "+15550100", "+15550199"))
        async with pbx.connected() as asterisk:
            asterisk.begin(call_id)
            asterisk.say(5)
            await until(lambda: pbx.house.registry.calls)
            assert (pbx.call.call.from_number, pbx.call.call.to_number) == ("+15550100", "+15550199")
            async with pbx.connected() as copy:
                copy.begin(call_id)
                assert await copy.rest() == hang_up_packet()
        assert pbx.meter.refusals == {"bad-token": 1}


async def test_a_trunk_may_announce_its_calls_too(pbx: Pbx) -> None:
    call_id = await pbx.grants.give(CallGrant(DEFAULT_TENANT, None, "+15550199"))
    async with pbx.connected() as asterisk:
        asterisk.begin(call_id)
        asterisk.say(5)
        await until(lambda: pbx.house.registry.calls)
        assert pbx.call.call.to_number == "+15550199"


async def test_two_callers_cannot_be_one_call(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk, pbx.connected() as other:
        asterisk.begin()
        asterisk.say(5)
        await until(lambda: pbx.house.registry.calls)
        other.begin(asterisk.call_id)
        other.say(5)
        assert await other.rest() == hang_up_packet()
        assert pbx.call.ended is None
    assert pbx.meter.refusals == {"call-twice": 1}


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\x01\x40" + bytes(320), b"\x01\x00\x01x"])
async def test_what_is_no_audiosocket_is_sent_away(pbx: Pbx, first: bytes) -> None:
    async with pbx.connected() as asterisk:
        asterisk.writer.write(first)
        assert await asterisk.rest() == hang_up_packet()
    assert pbx.meter.refusals == {"bad-start": 1}
    assert not pbx.house.registry.calls


async def test_who_says_nothing_is_sent_away(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        assert await asterisk.rest() == hang_up_packet()
    assert pbx.meter.refusals == {"no-start": 1}


async def test_strangers_at_once_are_few() -> None:
    async with Pbx().open(trusted=False, limits=SocketLimits(start_deadline_s=5.0)) as pbx:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(64):
                await stack.enter_async_context(pbx.connected())
            await until(lambda: len(pbx.door.lines) == 64)
            async with pbx.connected() as asterisk:
                assert await asterisk.rest() == b""
        assert pbx.meter.refusals["too-many"] == 1


@pytest.mark.parametrize(("first_hz", "then_hz"), [(8_000, 16_000), (44_100, 44_100), (192_000, 192_000)])
async def test_rates_that_no_conversation_can_have(pbx: Pbx, first_hz: int, then_hz: int) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(2, first_hz)
        asterisk.say(2, then_hz)
        assert (await asterisk.rest()).endswith(hang_up_packet())
    assert pbx.meter.refusals == {"unsupported-audio": 1}


async def test_a_call_that_fell_silent_is_ended() -> None:
    limits = SocketLimits(start_deadline_s=0.5, idle_limit_s=0.4)
    async with Pbx().open(limits=limits) as pbx, pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(5)
        assert (await asterisk.rest()).endswith(hang_up_packet())
        assert pbx.meter.refusals == {"idle": 1}
        await until(lambda: pbx.call.ended)


async def test_a_flood_is_cut_off() -> None:
    limits = SocketLimits(idle_limit_s=0.4, max_speed=2.0, burst_s=1.0)
    async with Pbx().open(limits=limits) as pbx, pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1000)
        assert (await asterisk.rest()).endswith(hang_up_packet())
        assert pbx.meter.refusals == {"too-fast": 1}


async def test_who_does_not_read_loses_the_oldest_and_harms_nobody(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        await until(lambda: pbx.house.board.conversations)
        (line,) = pbx.door.lines
        for _ in range(120):
            line.play(FRAME)
        asterisk.writer.write(hang_up_packet())
        await until(lambda: pbx.call.ended)
    assert pbx.meter.outcomes["unsent"] >= 70


async def test_who_neither_reads_nor_hangs_up_is_cut_off(pbx: Pbx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiosocket_line, "_FAREWELL_S", 0.05)
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        await until(lambda: pbx.house.board.conversations)
        (line,) = pbx.door.lines
        monkeypatch.setattr(line._writer, "drain", asyncio.Event().wait)  # as when all buffers are full
        line.play(FRAME)
        line.hang_up("completed")
        await until(lambda: not pbx.door.lines)


async def test_we_hang_up_once_everything_is_sent(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        await until(lambda: pbx.house.board.conversations)
        (line,) = pbx.door.lines
        for _ in range(5):
            line.play(FRAME)
        line.hang_up("callback")
        assert await asterisk.rest() == audio_packet(FRAME, 8000) * 5 + hang_up_packet()
        assert pbx.call.ended == "callback"


async def test_what_was_not_sent_can_be_taken_back_and_marks_come_by_time(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        await until(lambda: pbx.house.board.conversations)
        (line,) = pbx.door.lines
        line.play(FRAME)
        line.clear()
        line.mark("played:consent")
        await until(lambda: "call.consent_played" in pbx.call.acts)
        line.hang_up("done")
        assert await asterisk.rest() == hang_up_packet()


async def test_when_the_server_stops_everyone_is_told(pbx: Pbx) -> None:
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        await until(lambda: pbx.house.registry.calls)
        await pbx.door.close()
        assert (await asterisk.rest()).endswith(hang_up_packet())
        assert pbx.call.ended == "server-shutdown"


async def test_a_call_that_is_refused_is_hung_up(pbx: Pbx) -> None:
    pbx.house.registry.refuses = "the server is about to stop"
    async with pbx.connected() as asterisk:
        asterisk.begin()
        asterisk.say(1)
        assert await asterisk.rest() == hang_up_packet()
    assert pbx.meter.refusals == {"call-refused": 1}


@pytest.mark.parametrize(
    ("host", "is_trunk"),
    [("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("::1", False), ("fe80::1%eth0", False)],
)
async def test_trunks(pbx: Pbx, host: str, *, is_trunk: bool) -> None:
    assert pbx.door.is_trunk(host) is is_trunk
    assert not pbx.door.is_trunk("")


async def test_a_door_without_an_address_stays_shut() -> None:
    pbx = Pbx()
    door = AudioSocketDoor(pbx.house.registry, pbx.grants, address=None)
    await door.open()
    await door.run()
