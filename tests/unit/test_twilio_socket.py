"""The media socket over a real server on loopback: who gets in, what is heard, how calls end."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from twilio.request_validator import RequestValidator

from infra.model import Hole
from infra.tokens import SpentHere, StreamGrant, StreamTokens, twilio_call_id
from media_gateway.transports.media_socket import SocketLimits
from media_gateway.transports.twilio import PATH, TwilioMedia
from tests.fakes.gateway import CountingMeter, FakeCall, FakeRegistry, until
from tests.unit.test_twilio_protocol import MALFORMED, lines

TOKEN = "12345678901234567890123456789012"
BASE = "https://pbx.example"
SID = "MZ" + "0" * 32
SILENCE = b64encode(b"\xff" * 160).decode()
QUICK = SocketLimits(start_deadline_s=0.3, idle_limit_s=0.6)

Socket = aiohttp.ClientWebSocketResponse


class Exchange:
    """A server with the media door, and clients that speak Twilio's protocol."""

    def __init__(
        self,
        auth_token: str | None = TOKEN,
        limits: SocketLimits = QUICK,
        grace_s: float = 0.5,
        base: str = BASE,
    ) -> None:
        self.registry = FakeRegistry()
        self.meter = CountingMeter()
        self.tokens = StreamTokens("a secret of the server", SpentHere())
        self.media = TwilioMedia(
            self.registry,
            self.tokens,
            auth_token=auth_token,
            public_base_url=base,
            limits=limits,
            grace_s=grace_s,
            meter=self.meter,
        )
        app = web.Application()
        app.router.add_get(PATH, self.media.handle)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    @property
    def call(self) -> FakeCall:
        return self.registry.only

    def signed(self, url: str = "wss://pbx.example/twilio/media", token: str = TOKEN) -> dict[str, str]:
        return {"x-twilio-signature": RequestValidator(token).compute_signature(url, {})}

    @asynccontextmanager
    async def socket(self, signed: bool = True) -> AsyncIterator[Socket]:
        async with self.client.ws_connect(PATH, headers=self.signed() if signed else {}, max_msg_size=0) as socket:
            yield socket


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange()
    async with exchange.client:
        yield exchange


def start(call_sid: str = "CA1", tracks: tuple[str, ...] = ("inbound",), sid: str = SID, **more: Any) -> str:
    body = {"callSid": call_sid, "accountSid": "AC1", "streamSid": sid, "tracks": tracks, **more}
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": sid, "start": body})


def media(index: int, track: str = "inbound", sid: str = SID, payload: str = SILENCE) -> str:
    body = {"track": track, "chunk": str(index + 1), "timestamp": str(155 + 20 * index), "payload": payload}
    return json.dumps({"event": "media", "sequenceNumber": str(index + 2), "streamSid": sid, "media": body})


def stop(sid: str = SID) -> str:
    return json.dumps({"event": "stop", "streamSid": sid, "stop": {"callSid": "CA1"}})


async def closed(socket: Socket) -> tuple[int | None, str | None]:
    """Read to the end; return the close code and its reason."""
    async with asyncio.timeout(5):
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra
            if message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}:
                return socket.close_code, None


async def talk(socket: Socket, frames: range, *tracks: str, sid: str = SID) -> None:
    for index in frames:
        for track in tracks or ("inbound",):
            await socket.send_str(media(index, track, sid))


async def test_a_recorded_stream_is_heard(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        for line in lines("inbound.jsonl"):
            await socket.send_str(line.decode())
        assert await closed(socket) == (1000, "")

    call = exchange.call
    assert call.call.external_id == "CA00000000000000000000000000000c01"
    assert call.call.id == twilio_call_id(call.call.external_id)
    assert call.log == [("join", "customer"), ("open", "inbound"), ("leave", "customer"), ("hang-up", "completed")]
    chunks = call.sinks["customer"].chunks
    assert chunks[-1].last
    assert chunks[-1].end_ms - chunks[0].start_ms == 1200
    assert chunks[0].start_ms < 155
    assert exchange.meter.outcomes == {"placed": 60}
    assert len(exchange.media.door.calls) == 0


async def test_both_tracks_are_two_parties(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        for line in lines("both_tracks.jsonl"):
            await socket.send_str(line.decode())
        await closed(socket)

    log = exchange.call.log
    assert log[:4] == [("join", "customer"), ("open", "inbound"), ("join", "agent"), ("open", "outbound")]
    assert ("dtmf", {"digit": "1"}) in log
    assert ("mark", {"name": "greeting"}) in log
    assert {role: sink.chunks[-1].end_ms for role, sink in exchange.call.sinks.items()} == {
        "customer": 200,
        "agent": 200,
    }


@pytest.mark.parametrize("announced", [("inbound",), ("inbound", "outbound")])
async def test_a_mixed_track_is_one_line_and_no_other_track_lands_on_it(
    exchange: Exchange, announced: tuple[str, ...]
) -> None:
    """With two tracks each party is heard alone; one that was not announced is not the mixed one."""
    async with exchange.socket() as socket:
        await socket.send_str(start(tracks=announced, customParameters={"mixed": "true"}))
        await talk(socket, range(20), "inbound", "outbound")
        await socket.send_str(stop())
        await closed(socket)

    mixed = len(announced) == 1
    assert [(track.label, track.mixed) for track in exchange.call.tracks] == [("inbound", mixed), ("outbound", False)]
    assert set(exchange.call.sinks) == {"unknown" if mixed else "customer", "agent"}
    assert {sink.chunks[-1].end_ms - sink.chunks[0].start_ms for sink in exchange.call.sinks.values()} == {400}
    assert exchange.meter.outcomes == {"placed": 40}


@pytest.mark.parametrize(
    "url",
    [
        "wss://pbx.example/twilio/media",
        "wss://pbx.example/twilio/media/",
    ],
)
async def test_a_handshake_signed_for_our_address_gets_in(exchange: Exchange, url: str) -> None:
    async with exchange.client.ws_connect(PATH, headers=exchange.signed(url)) as socket:
        await socket.send_str(start())
        await until(lambda: exchange.registry.calls)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://pbx.example/twilio/media", TOKEN),
        ("http://pbx.example/twilio/media", TOKEN),
        ("ws://pbx.example/twilio/media", TOKEN),
        ("wss://evil.example/twilio/media", TOKEN),
        ("wss://127.0.0.1/twilio/media", TOKEN),
        ("wss://pbx.example/twilio/voice", TOKEN),
        ("wss://pbx.example/twilio/media?x=1", TOKEN),
        ("wss://pbx.example/twilio/media", "another token"),
        ("wss://pbx.example/twilio/media", ""),
    ],
)
async def test_a_handshake_signed_for_another_address_is_refused(exchange: Exchange, url: str, token: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await exchange.client.ws_connect(PATH, headers=exchange.signed(url, token))
    assert caught.value.status == 403
    assert exchange.meter.refusals == {"bad-signature": 1}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/twilio/media"),
        ("http://127.0.0.1:8080/", "wss://127.0.0.1:8080/twilio/media"),
        ("https://pbx.example:8443/tenant", "wss://pbx.example:8443/tenant/twilio/media"),
    ],
)
async def test_the_public_address_may_have_a_port_and_a_path(base: str, url: str) -> None:
    exchange = Exchange(base=base)
    async with exchange.client, exchange.client.ws_connect(PATH, headers=exchange.signed(url)) as socket:
        await socket.send_str(start())
        await until(lambda: exchange.registry.calls)


@pytest.mark.parametrize("auth_token", [None, ""])
async def test_without_an_auth_token_the_door_is_shut(auth_token: str | None) -> None:
    exchange = Exchange(auth_token)
    async with exchange.client:
        response = await exchange.client.get(PATH, headers=exchange.signed(token=""))
        assert response.status == 503
        assert "TWILIO_AUTH_TOKEN" in (await response.json(content_type=None))["detail"]


async def test_a_browser_that_looks_in_is_told_what_this_is(exchange: Exchange) -> None:
    assert (await exchange.client.get(PATH)).status == 426


async def test_a_token_tells_who_calls(exchange: Exchange) -> None:
    grant = StreamGrant(twilio_call_id("CA1"), "CA1", "+15550100", "+15550199")
    token = exchange.tokens.seal(grant)
    async with exchange.socket(signed=False) as socket:
        await socket.send_str(start(customParameters={"token": token}))
        await talk(socket, range(3))
        await until(lambda: exchange.registry.calls)
    assert (exchange.call.call.from_number, exchange.call.call.to_number) == ("+15550100", "+15550199")

    async with exchange.socket(signed=False) as socket:
        await socket.send_str(start(customParameters={"token": token}))
        assert await closed(socket) == (1008, "the stream token was used before")


@pytest.mark.parametrize("parameters", [None, {}, {"token": "x"}, {"token": ""}])
async def test_neither_signature_nor_token_is_refused(exchange: Exchange, parameters: dict[str, str] | None) -> None:
    async with exchange.socket(signed=False) as socket:
        await socket.send_str(start(customParameters=parameters))
        assert await closed(socket) == (1008, "not a stream token")
    assert exchange.meter.refusals == {"bad-token": 1}
    assert not exchange.registry.calls


async def test_a_signed_stream_with_a_used_token_is_let_in_but_not_recorded(exchange: Exchange) -> None:
    token = exchange.tokens.seal(StreamGrant(twilio_call_id("CA1"), "CA1", "+15550100"))
    await exchange.tokens.redeem(token)
    async with exchange.socket() as socket:
        await socket.send_str(start("CA1", customParameters={"token": token}))
        await talk(socket, range(3))
        await until(lambda: exchange.registry.calls)
        assert (exchange.call.call.from_number, exchange.call.call.recorded) == (None, False)


@pytest.mark.parametrize("parameters", [None, {}])
async def test_a_signed_stream_without_a_token_is_recorded_as_the_installation_says(
    exchange: Exchange, parameters: dict[str, str] | None
) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start("CA1", customParameters=parameters))
        await until(lambda: exchange.registry.calls)
        assert exchange.call.call.recorded


async def test_a_stream_that_says_so_has_all_parties_on_one_track(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start("CA1", customParameters={"mixed": "true"}))
        await until(lambda: exchange.registry.calls and exchange.call.tracks)
        assert [track.mixed for track in exchange.call.tracks] == [True]
        assert ("join", "unknown") in exchange.call.log  # nobody's in particular
    async with exchange.socket() as socket:
        await socket.send_str(start("CA2", sid="MZ2", customParameters={"mixed": "no"}))
        await until(lambda: len(exchange.registry.calls) == 2)
        other = next(call for call in exchange.registry.calls.values() if call.call.external_id == "CA2")
        await until(lambda: other.tracks)
        assert [track.mixed for track in other.tracks] == [False]


async def test_a_token_of_another_call_is_refused_even_when_signed(exchange: Exchange) -> None:
    token = exchange.tokens.seal(StreamGrant(twilio_call_id("CA2"), "CA2"))
    async with exchange.socket() as socket:
        await socket.send_str(start("CA1", customParameters={"token": token}))
        assert await closed(socket) == (1008, "the token is for another call")


@pytest.mark.parametrize("case", MALFORMED, ids=[case["name"] for case in MALFORMED])
async def test_what_breaks_the_protocol_closes_the_socket(exchange: Exchange, case: dict[str, Any]) -> None:
    async with exchange.socket() as socket:
        for message in [*case["before"], case["message"]]:
            await socket.send_str(message)
        code, reason = await closed(socket)
    if case["name"] != "media after stop":  # there the stream has ended already
        assert code == case["code"]
        assert reason
        assert exchange.meter.refusals == {case["reason"]: 1}


async def test_bytes_are_refused(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_bytes(b"\x00" * 160)
        assert await closed(socket) == (1003, "text messages only")


async def test_an_unknown_encoding_is_refused(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start(mediaFormat={"encoding": "audio/opus", "sampleRate": 48000, "channels": 1}))
        assert await closed(socket) == (1003, "an unknown audio encoding")


async def test_a_message_without_end_is_refused(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str("x" * 70_000)
        code, _ = await closed(socket)
    assert code == 1009
    assert exchange.meter.refusals == {"message-too-big": 1}


async def test_a_stream_that_does_not_start_is_not_waited_for(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        assert await closed(socket) == (1008, "no start in time")


async def test_other_calls_go_on_beside_a_broken_one(exchange: Exchange) -> None:
    async with exchange.socket() as good, exchange.socket() as bad:
        await good.send_str(start("CA1"))
        await talk(good, range(10))
        await bad.send_str(start("CA2", sid="MZ2"))
        await bad.send_str("}")
        assert (await closed(bad))[0] == 1007
        await talk(good, range(10, 30))
        await good.send_str(stop())
        assert (await closed(good))[0] == 1000
    call = exchange.registry.calls[twilio_call_id("CA1")]
    assert call.sinks["customer"].chunks[-1].end_ms == 600
    assert call.ended == "completed"


async def test_l16_at_16_khz_and_both_channels(exchange: Exchange) -> None:
    payload = b64encode(b"\x10\x00\x30\x00" * 320).decode()
    async with exchange.socket() as socket:
        await socket.send_str(start(mediaFormat={"encoding": "audio/l16", "sampleRate": 16000, "channels": 2}))
        for index in range(10):
            await socket.send_str(media(index, payload=payload))
        await socket.send_str(stop())
        await closed(socket)
    assert exchange.call.sinks["customer"].pcm == b"\x20\x00" * 3200


async def test_a_lost_socket_leaves_the_call_joinable(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(25))
        await until(lambda: exchange.registry.calls and len(exchange.call.sinks["customer"].chunks) >= 2)
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.abort()
    await asyncio.sleep(0.2)
    assert exchange.call.ended is None

    async with exchange.socket() as socket:
        await socket.send_str(start(sid="MZ2"))
        await talk(socket, range(25), sid="MZ2")
        await socket.send_str(stop("MZ2"))
        await closed(socket)

    log = exchange.call.log
    assert log == [("join", "customer"), ("open", "inbound"), ("leave", "customer"), ("hang-up", "completed")]
    chunks = exchange.call.sinks["customer"].chunks
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    (hole,) = (hole for chunk in chunks for hole in chunk.holes)
    assert hole.cause == "connection-lost"
    assert 150 <= hole.end_ms - hole.start_ms <= 1500
    assert chunks[-1].end_ms == 1000 + hole.end_ms - hole.start_ms


async def test_a_call_whose_socket_does_not_come_back_ends(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(5))
        await until(lambda: exchange.registry.calls)
        await socket.close(code=1011)
    await until(lambda: exchange.call.ended)
    assert exchange.call.log[-2:] == [("leave", "customer"), ("hang-up", "connection-lost")]
    assert exchange.call.sinks["customer"].chunks[-1].last
    assert len(exchange.media.door.calls) == 0


async def test_a_clean_close_is_as_good_as_a_stop(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(5))
        await socket.close()
    await until(lambda: exchange.call.ended)
    assert exchange.call.ended == "closed"


async def test_a_silent_stream_is_dead(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(3))
        assert await closed(socket) == (1008, "no audio for too long")
    await until(lambda: exchange.call.ended)
    assert exchange.call.ended == "connection-lost"


async def test_two_streams_of_one_call_are_one_conversation(exchange: Exchange) -> None:
    """A Start stream with both tracks and a Connect stream with the customer: nobody is heard twice."""
    async with exchange.socket() as listening, exchange.socket() as connected:
        await listening.send_str(start(tracks=("inbound", "outbound")))
        await talk(listening, range(10), "inbound", "outbound")
        await until(lambda: exchange.registry.calls)
        await connected.send_str(start(sid="MZ2"))
        for index in range(10, 40):
            await talk(listening, range(index, index + 1), "inbound", "outbound")
            await talk(connected, range(index, index + 1), sid="MZ2")
        await listening.send_str(stop())
        await closed(listening)
        await until(lambda: ("leave", "agent") in exchange.call.log)
        assert "hang-up" not in dict(exchange.call.log)  # the other stream still brings the customer
        await talk(connected, range(40, 60), sid="MZ2")
        await connected.send_str(stop("MZ2"))
        await closed(connected)

    assert exchange.call.ended == "completed"
    assert [entry for entry in exchange.call.log if entry[0] == "join"] == [("join", "customer"), ("join", "agent")]
    assert exchange.meter.outcomes["spare"] == 30
    customer = exchange.call.sinks["customer"].chunks
    audio_ms = sum(len(chunk.pcm) for chunk in customer) // 32
    hole_ms = sum(hole.end_ms - hole.start_ms for chunk in customer for hole in chunk.holes)
    assert 1200 <= audio_ms <= 1200 + hole_ms + 20


async def test_the_registry_may_refuse(exchange: Exchange) -> None:
    exchange.registry.refuses = "the server is draining"
    async with exchange.socket() as socket:
        await socket.send_str(start())
        assert await closed(socket) == (1008, "the server is draining")


async def test_a_flood_is_cut_off() -> None:
    exchange = Exchange(limits=SocketLimits(max_speed=2.0, burst_s=1.0, idle_limit_s=1.0))
    async with exchange.client, exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(500))
        assert await closed(socket) == (1008, "too fast")


async def test_a_server_that_stops_sends_its_callers_away(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(5))
        await until(lambda: exchange.registry.calls)
        closing = asyncio.gather(exchange.media.close(), closed(socket))
        _, (code, reason) = await closing
    assert (code, reason) == (1001, "server shutdown")
    assert exchange.call.ended == "server-shutdown"
    assert exchange.call.sinks["customer"].chunks[-1].last


async def test_a_gap_on_the_wire_reaches_the_chunks(exchange: Exchange) -> None:
    async with exchange.socket() as socket:
        await socket.send_str(start())
        await talk(socket, range(20))
        await talk(socket, range(45, 60))
        await socket.send_str(stop())
        await closed(socket)
    chunks = exchange.call.sinks["customer"].chunks
    (hole,) = (hole for chunk in chunks for hole in chunk.holes)
    first_ms = chunks[0].start_ms
    assert hole == Hole(first_ms + 400, first_ms + 900, "missing")
