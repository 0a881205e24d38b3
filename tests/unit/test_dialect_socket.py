"""What a dialect may ask of its socket, by one that does nothing else: each message names an event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import numpy as np
import pytest

from media_gateway.protocols.dialects.dialect import (
    Codec,
    Dialect,
    Event,
    Flow,
    Handshake,
    Held,
    Key,
    Media,
    Message,
    Missing,
    Opened,
    Played,
    Resumed,
    Send,
    Start,
    Stop,
    Track,
)
from media_gateway.protocols.dialects.registry import DIALECTS
from media_gateway.protocols.errors import CloseCode, ProtocolError
from tests.fakes.gateway import until
from tests.fakes.house import House
from tests.unit.test_media_door import TOKEN, Exchange, Socket, closed

FRAME = np.full(160, 1000, "<i2").tobytes()
EVENTS: dict[str, Any] = {
    "missing": Missing,
    "key": Key,
    "played": Played,
    "held": Held,
    "resumed": Resumed,
    "flow": Flow,
    "send": Send,
    "stop": Stop,
}


class Toy(Dialect):
    """8 kHz, 16 bit, without timestamps."""

    name = "toy"
    farewell_s = 0.5

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake

    def feed_text(self, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        for name, fields in json.loads(data):
            if name == "start":
                codec = Codec("l16le", 8_000)
                tracks = tuple(Track(track, "customer") for track in fields.get("tracks", ["a"]))
                events.append(Start("", codec, tracks, plays=codec, answer=fields.get("answer", False)))
            elif name == "opened":
                events.append(Opened(Track(fields["name"], fields["role"])))
            elif name == "wrong":
                raise ProtocolError(CloseCode.POLICY, "wrong", "all wrong")
            else:
                events.append(EVENTS[name](**fields))
        return events

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        return (Media("a", data),)

    def started(self) -> Sequence[Message]:
        return ("welcome",)

    def media(self, payload: bytes) -> Sequence[Message]:
        return (payload,)

    def hang_up(self) -> Sequence[Message]:
        return ("goodbye",)

    def refused(self, error: ProtocolError) -> Sequence[Message]:
        return (f"refused: {error.reason}",)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, "toy", Toy)  # type: ignore[arg-type]


async def say(socket: Socket, *events: Any) -> None:
    """Send one message of these events: a name alone, or with fields."""
    await socket.send_json([event if isinstance(event, tuple | list) else (event, {}) for event in events])


def connect(exchange: Exchange) -> Any:
    return exchange.client.ws_connect(f"/media/toy?token={TOKEN}")


async def test_what_was_left_out_is_a_hole() -> None:
    exchange = Exchange()
    async with exchange.client, connect(exchange) as socket:
        await say(socket, "start")
        assert await socket.receive_str() == "welcome"
        for _ in range(10):
            await socket.send_bytes(FRAME * 2)
        await say(socket, ("missing", {"duration_ms": 300}))
        for _ in range(10):
            await socket.send_bytes(FRAME * 2)
        await say(socket, "stop")
        await closed(socket)
    chunks = exchange.call.sinks["customer"].chunks
    assert [hole.end_ms - hole.start_ms for chunk in chunks for hole in chunk.holes] == [300]
    assert chunks[-1].end_ms - chunks[0].start_ms == 1_100
    assert len(exchange.call.call.external_id) == 32


class Clock:
    """The loop's: it stands still but where it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._now_s = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self._now_s)

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, and let everybody see it."""
        self._now_s += seconds
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_stream_on_hold_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The idle limit is 0.8 s here; a sign of life is enough while it is held, and not any more afterwards."""
    clock, exchange = Clock(monkeypatch), Exchange()
    async with exchange.client, connect(exchange) as socket:
        await say(socket, "start")
        assert await socket.receive_str() == "welcome"
        await socket.send_bytes(FRAME * 10)
        for what, times in (("held", 6), ("resumed", 1)):
            await say(socket, what, ("send", {"message": what}))
            assert await socket.receive_str() == what
            for _ in range(times):
                await clock.pass_by(0.5)
                await say(socket, ("send", {"message": "here"}))
                assert await socket.receive_str() == "here"
        assert exchange.call.ended is None
        await socket.send_bytes(FRAME * 10)
        await say(socket, ("send", {"message": "heard"}))
        assert await socket.receive_str() == "heard"
        await clock.pass_by(0.5)
        await say(socket, ("send", {"message": "here"}))
        assert await socket.receive_str() == "here"
        await clock.pass_by(0.5)
        assert (await closed(socket))[0] == 1008
    holes = [hole for chunk in exchange.call.sinks["customer"].chunks for hole in chunk.holes]
    assert sum(hole.end_ms - hole.start_ms for hole in holes) > 1_200
    assert exchange.meter.refusals == {"idle": 1}


async def test_an_answer_goes_out_at_any_time_also_before_the_start_and_after_the_end() -> None:
    exchange = Exchange()
    async with exchange.client, connect(exchange) as socket:
        await say(socket, ("send", {"message": "first"}))
        assert await socket.receive_str() == "first"
        await say(socket, "start", ("send", {"message": "with it"}))
        assert [await socket.receive_str() for _ in range(2)] == ["welcome", "with it"]
        await say(socket, "stop", ("send", {"message": "last"}))
        await say(socket, ("send", {"message": "after all"}), ("key", {"digit": "1"}))
        assert [await socket.receive_str() for _ in range(2)] == ["last", "after all"]
    await until(lambda: exchange.call.ended == "completed")
    assert ("dtmf", {"digit": "1"}) not in exchange.call.log


async def test_a_stream_that_only_tried_the_connection_is_no_call() -> None:
    exchange = Exchange()
    async with exchange.client, connect(exchange) as socket:
        await say(socket, ("send", {"message": "here"}), "stop")
        assert await socket.receive_str() == "here"
        assert await closed(socket) == (1000, "")
    assert not exchange.registry.calls
    assert not exchange.meter.refusals


async def test_who_breaks_the_rules_is_told_in_its_own_words() -> None:
    exchange = Exchange()
    async with exchange.client, connect(exchange) as socket:
        await say(socket, "start")
        await say(socket, "wrong")
        assert await socket.receive_str() == "welcome"
        assert await socket.receive_str() == "refused: wrong"
        assert await closed(socket) == (1008, "all wrong")


async def test_nothing_is_sent_while_the_sender_has_no_room() -> None:
    house = House()
    exchange = Exchange(house)
    async with exchange.client, connect(exchange) as socket:
        await say(socket, ("start", {"answer": True}))
        assert await socket.receive_str() == "welcome"
        await until(lambda: house.board.conversations)
        house.beat(5)
        assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY
        await say(socket, ("flow", {"may_send": False}), ("send", {"message": "full"}))
        while (await socket.receive()).type is not aiohttp.WSMsgType.TEXT:
            pass
        house.beat(20)
        await say(socket, ("flow", {"may_send": True}), ("send", {"message": "room"}))
        assert (await socket.receive()).data == "room", "what was to be sent meanwhile is gone"
        house.beat(1)
        assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY


async def test_where_the_sender_knows_no_marks_the_time_tells() -> None:
    """A prompt that has been played is followed by what was to follow."""
    house = House()
    house.directory.queues = [replace(house.directory.queues[0], consent=True)]
    exchange = Exchange(house)
    async with exchange.client, connect(exchange) as socket:
        await say(socket, ("start", {"answer": True}))
        await until(lambda: house.board.conversations)
        for _ in range(1_000):
            house.beat(1)
            await socket.send_bytes(FRAME)
            if "call.consent_played" in exchange.call.acts:
                break
            await asyncio.sleep(0.002)
        await until(lambda: "call.consent_played" in exchange.call.acts)


async def test_when_the_call_ends_the_sender_is_told_and_may_close_itself() -> None:
    house = House()
    exchange = Exchange(house)
    async with exchange.client, connect(exchange) as socket:
        await say(socket, ("start", {"answer": True}))
        await until(lambda: house.board.conversations)
        (conversation,) = house.board.conversations.values()
        conversation.end("over")
        while (message := await socket.receive()).type is not aiohttp.WSMsgType.TEXT or message.data != "goodbye":
            pass
        await say(socket, ("send", {"message": "bye"}))
        assert await socket.receive_str() == "bye"
        await socket.close()
    assert exchange.registry.only.ended is not None


async def test_a_caller_whose_socket_broke_comes_back_to_the_same_conversation() -> None:
    house = House()
    exchange = Exchange(house)
    address = f"/media/toy?token={TOKEN}&call=7"
    async with exchange.client:
        async with exchange.client.ws_connect(address) as socket:
            await say(socket, ("start", {"answer": True}))
            await until(lambda: house.board.conversations)
            (conversation,) = house.board.conversations.values()
            assert socket._response.connection is not None
            assert socket._response.connection.transport is not None
            socket._response.connection.transport.abort()
        await until(lambda: conversation.caller.seat is None)
        async with exchange.client.ws_connect(address) as socket:
            await say(socket, ("start", {"answer": True}))
            await until(lambda: conversation.caller.seat is not None)
            assert list(house.board.conversations.values()) == [conversation]
