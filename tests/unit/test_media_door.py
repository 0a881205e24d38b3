"""The senders' sockets over a real server on loopback: who gets in, what is heard, who is answered."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from infra.model import DEFAULT_TENANT, UserRole, stable_id
from infra.store.users import CredentialKind, User, digest
from infra.tokens import SpentHere, StreamGrant, StreamTokens
from media_gateway import senders as senders_module
from media_gateway.protocols.dialects.dialect import Codec
from media_gateway.protocols.dialects.registry import DIALECTS
from media_gateway.senders import Senders
from media_gateway.transports import media_door
from media_gateway.transports.media_door import PATH, SenderDoor
from media_gateway.transports.media_socket import SocketLimits
from tests.dialect_peers import (
    L16_16,
    MULAW,
    SPOKEN,
    Peer,
    PlivoPeer,
    SignalWirePeer,
    TelnyxPeer,
    VonagePeer,
    send,
)
from tests.fakes.gateway import CountingMeter, FakeCall, FakeRegistry, until
from tests.fakes.house import CALLER_HZ, House, Tone, _tones

TOKEN = "a-senders-token"
QUICK = SocketLimits(start_deadline_s=0.4, idle_limit_s=0.8)
SPEAKERS = pytest.mark.parametrize(
    ("peer_type", "codec"),
    SPOKEN,
    ids=[f"{peer.dialect}-{codec.encoding}-{codec.rate_hz}" for peer, codec in SPOKEN],
)
Socket = aiohttp.ClientWebSocketResponse


class FakeUsers:
    """Knows one sender, and others by request."""

    def __init__(self) -> None:
        self.by_token: dict[str, User] = {}
        self.away = False
        self.asked = 0
        self.add(TOKEN, "sender")

    def add(self, token: str, role: UserRole, tenant_id: UUID = DEFAULT_TENANT) -> User:
        user = self.by_token[token] = User(uuid4(), tenant_id, f"user {token}", role)
        return user

    async def find(self, secret: str, kind: CredentialKind) -> User | None:
        assert kind == "token"
        self.asked += 1
        if self.away:
            raise OSError
        return self.by_token.get(secret)

    async def still_valid(self, digests: set[bytes]) -> set[bytes]:
        if self.away:
            raise OSError
        return digests & {digest(token) for token in self.by_token}


class Exchange:
    """A server with the senders' door."""

    def __init__(self, house: House | None = None, **more: Any) -> None:
        self.registry = house.registry if house else FakeRegistry()
        self.meter = CountingMeter()
        self.users = FakeUsers()
        self.senders = Senders(self.users, api_token="the-api-token")
        self.tokens = StreamTokens("a secret of the server", SpentHere())
        self.door = SenderDoor(
            self.registry,
            self.senders,
            tokens=self.tokens,
            public_base_url="https://pbx.example",
            grace_s=0.3,
            limits=QUICK,
            meter=self.meter,
            board=house.board if house else None,
            **more,
        )
        app = web.Application()
        app.router.add_get(PATH, self.door.handle)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    @property
    def call(self) -> FakeCall:
        return self.registry.only

    @asynccontextmanager
    async def stream(self, peer: Peer, query: str = "") -> AsyncIterator[Socket]:
        """Open a peer's socket and start its stream."""
        path = f"/media/{peer.dialect}{query}"
        async with self.client.ws_connect(path, headers=peer.headers(TOKEN), max_msg_size=0) as socket:
            for message in peer.start():
                await send(socket, message)
            yield socket

    async def refused(self, dialect: str, status: int, headers: dict[str, str] | None = None, query: str = "") -> Any:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.client.ws_connect(f"/media/{dialect}{query}", headers=headers or {})
        assert caught.value.status == status
        return caught.value.headers


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange()
    async with exchange.client:
        yield exchange


def basic(password: str, user: str = "hearline") -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


async def closed(socket: Socket) -> tuple[int | None, str | None]:
    """Read to the end; return the close code and its reason."""
    async with asyncio.timeout(5):
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra
            if message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}:
                return socket.close_code, None


async def talk(socket: Socket, peer: Peer, frames: int, *tracks: str) -> None:
    tones = {track: Tone(CALLER_HZ) for track in tracks or peer.tracks}
    for _ in range(frames):
        for track, tone in tones.items():
            await send(socket, peer.frame(tone.frame(), track))


async def hang_up(socket: Socket, peer: Peer) -> None:
    for message in peer.stop():
        await send(socket, message)
    if peer.stop():
        await closed(socket)
    else:
        await socket.close()


def roles(call: FakeCall) -> dict[str, str]:
    """Return the parties in order with their tracks' names."""
    joined = [str(who) for what, who in call.log if what == "join"]
    return dict(zip(joined, [track.label for track in call.tracks], strict=True))


# who gets in


@pytest.mark.parametrize("dialect", [name for name, one in DIALECTS.items() if not one.token_in_start])
async def test_without_a_token_the_handshake_is_refused(exchange: Exchange, dialect: str) -> None:
    headers = await exchange.refused(dialect, 401)
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert headers["Content-Type"].startswith("application/problem+json")
    assert exchange.meter.refusals == {"no-token": 1}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        basic("wrong"),
        {"Authorization": "Basic !!"},
        {"Authorization": "Bearer " + "x" * 600},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Sec-WebSocket-Protocol": "bearer.wrong"},
    ],
)
async def test_a_wrong_token_is_refused_before_the_upgrade(
    exchange: Exchange, dialect: str, headers: dict[str, str]
) -> None:
    if headers["Authorization" if "Authorization" in headers else "Sec-WebSocket-Protocol"] == "Basic !!":
        return  # no token at all
    await exchange.refused(dialect, 401, headers)
    assert not exchange.registry.calls


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_wrong_token_in_the_address_is_refused(exchange: Exchange, dialect: str) -> None:
    await exchange.refused(dialect, 401, query="?token=wrong")
    await exchange.refused(dialect, 401, query="?token=%00%FF")
    assert exchange.meter.refusals == {"bad-token": 2}


@pytest.mark.parametrize("role", ["agent", "supervisor"])
async def test_a_persons_token_is_no_senders(exchange: Exchange, role: UserRole) -> None:
    exchange.users.add("a-persons-token", role)
    await exchange.refused("vonage", 403, {"Authorization": "Bearer a-persons-token"})
    assert exchange.meter.refusals == {"bad-role": 1}


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, f"?token={TOKEN}"),
        ({"Authorization": f"Bearer {TOKEN}"}, ""),
        ({"Authorization": f"bearer  {TOKEN}"}, ""),
        (basic(TOKEN), ""),
        (basic(TOKEN, ""), ""),
        ({"Authorization": "Bearer the-api-token"}, ""),
        ({"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.of.vonage"}, f"?token={TOKEN}"),
        ({"Origin": "https://pbx.example"}, f"?token={TOKEN}"),
        ({"Origin": "http://127.0.0.1:1"}, f"?token={TOKEN}"),
    ],
)
async def test_a_token_comes_in_many_ways(exchange: Exchange, headers: dict[str, str], query: str) -> None:
    peer = VonagePeer(L16_16)
    async with exchange.client.ws_connect(f"/media/vonage{query}", headers=headers) as socket:
        await send(socket, peer.start()[0])
        await until(lambda: exchange.registry.calls)


async def test_a_subprotocol_may_carry_the_token(exchange: Exchange) -> None:
    peer = VonagePeer(L16_16)
    async with exchange.client.ws_connect("/media/vonage", protocols=[f"bearer.{TOKEN}"]) as socket:
        assert socket.protocol == f"bearer.{TOKEN}"
        await send(socket, peer.start()[0])
        await until(lambda: exchange.registry.calls)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://[", "file://"])
async def test_another_sites_page_is_refused(exchange: Exchange, origin: str) -> None:
    await exchange.refused("vonage", 403, {"Origin": origin, "Authorization": f"Bearer {TOKEN}"})
    assert exchange.meter.refusals == {"foreign-origin": 1}
    assert exchange.users.asked == 0


async def test_who_looks_in_is_told_what_this_is(exchange: Exchange) -> None:
    reply = await exchange.client.get("/media/nobody", headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.status == 404
    assert "telnyx" in (await reply.json(content_type=None))["detail"]
    assert (await exchange.client.get("/media/vonage")).status == 401
    assert (await exchange.client.get("/media/vonage", headers=basic(TOKEN))).status == 426


async def test_while_the_database_is_away_who_was_known_stays_known(exchange: Exchange) -> None:
    peer = VonagePeer(L16_16)
    async with exchange.stream(peer):
        await until(lambda: exchange.registry.calls)
    exchange.users.away = True
    async with exchange.stream(VonagePeer(L16_16)):
        await until(lambda: len(exchange.registry.calls) == 2)
    await exchange.refused("vonage", 503, {"Authorization": "Bearer a-stranger"})
    assert exchange.meter.refusals == {"store-away": 1}


@pytest.mark.parametrize("peer_type", [SignalWirePeer, PlivoPeer])
async def test_a_token_may_come_in_the_first_message(exchange: Exchange, peer_type: type[Peer]) -> None:
    peer = peer_type(MULAW, parameters={"token": TOKEN})
    async with exchange.client.ws_connect(f"/media/{peer.dialect}") as socket:
        for message in peer.start():
            await send(socket, message)
        await until(lambda: exchange.registry.calls)
        assert exchange.door._unproven == 0
    assert exchange.call.call.owner_id == exchange.users.by_token[TOKEN].id


@pytest.mark.parametrize("peer_type", [SignalWirePeer, PlivoPeer])
@pytest.mark.parametrize("token", [None, "", "wrong", "a-persons-token"])
async def test_a_first_message_without_a_good_token_is_refused(
    exchange: Exchange, peer_type: type[Peer], token: str | None
) -> None:
    exchange.users.add("a-persons-token", "agent")
    peer = peer_type(MULAW, parameters={} if token is None else {"token": token})
    async with exchange.client.ws_connect(f"/media/{peer.dialect}") as socket:
        for message in peer.start():
            await send(socket, message)
        assert (await closed(socket))[0] == 1008
    assert not exchange.registry.calls
    await until(lambda: exchange.door._unproven == 0)


async def test_strangers_who_say_nothing_are_few_and_not_waited_for(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_door, "_MAX_UNPROVEN", 2)
    async with exchange.client.ws_connect("/media/plivo") as one, exchange.client.ws_connect("/media/plivo") as two:
        await exchange.refused("plivo", 503)
        assert await closed(one) == (1008, "no start in time")
        assert await closed(two) == (1008, "no start in time")
    await until(lambda: exchange.door._unproven == 0)
    async with exchange.client.ws_connect("/media/plivo"):
        pass


async def test_a_one_time_token_brings_its_call(exchange: Exchange) -> None:
    peer = VonagePeer(L16_16, call_id="call-7")
    grant = StreamGrant(uuid4(), "call-7", "+15550111", "+15550122", recorded=False)
    token = exchange.tokens.seal(grant)
    async with exchange.client.ws_connect(f"/media/vonage?token={token}") as socket:
        await send(socket, json.dumps({"event": "websocket:connected", "content-type": "audio/l16;rate=16000"}))
        await until(lambda: exchange.registry.calls)
    call = exchange.call.call
    assert (call.id, call.external_id, call.from_number, call.to_number) == (
        grant.call_id,
        "call-7",
        "+15550111",
        "+15550122",
    )
    assert not call.recorded
    await exchange.refused("vonage", 401, query=f"?token={token}")
    async with exchange.client.ws_connect(f"/media/vonage?token={exchange.tokens.seal(grant)}") as socket:
        await send(socket, VonagePeer(L16_16, call_id="another").start()[0])
        assert await closed(socket) == (1008, "the token is for another call")
    del peer


async def test_a_revoked_token_ends_its_streams(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders_module, "_WATCH_S", 0.02)
    exchange.users.add("another", "sender")
    peer, other = VonagePeer(L16_16), VonagePeer(L16_16)
    async with (
        asyncio.TaskGroup() as tasks,
        exchange.stream(peer) as socket,
        exchange.client.ws_connect("/media/vonage?token=another") as stays,
    ):
        await send(stays, other.start()[0])
        watching = tasks.create_task(exchange.senders.run())
        await talk(socket, peer, 2)
        await until(lambda: len(exchange.registry.calls) == 2)
        exchange.users.away = True
        await asyncio.sleep(0.1)
        exchange.users.away = False
        await talk(stays, other, 2)
        del exchange.users.by_token[TOKEN]
        assert await closed(socket) == (1008, "the token was revoked")
        await talk(stays, other, 2)
        assert not stays.closed
        watching.cancel()
    assert exchange.meter.refusals == {"token-revoked": 1}


async def test_tokens_are_never_logged(exchange: Exchange, capsys: pytest.CaptureFixture[str]) -> None:
    await exchange.refused("vonage", 401, query="?token=wrong-secret")
    await exchange.refused("vonage", 401, {"Authorization": "Bearer wrong-secret"})
    async with exchange.client.ws_connect(f"/media/vonage?token={TOKEN}") as socket:
        await send(socket, "{")
        await closed(socket)
    written = capsys.readouterr()
    assert "media socket refused" in written.out + written.err
    assert "wrong-secret" not in written.out + written.err
    assert TOKEN not in written.out + written.err


# what is heard


@SPEAKERS
async def test_a_stream_is_heard(exchange: Exchange, peer_type: type[Peer], codec: Codec) -> None:
    peer = peer_type(codec)
    async with exchange.stream(peer) as socket:
        await talk(socket, peer, 60)
        await send(socket, peer.key("5"))
        await hang_up(socket, peer)
    await until(lambda: exchange.call.ended)

    call = exchange.call
    assert call.call.door == peer.dialect
    assert call.call.external_id == peer.call_id
    assert call.call.id == stable_id(peer.dialect, DEFAULT_TENANT, peer.call_id)
    assert call.call.owner_id == exchange.users.by_token[TOKEN].id
    assert ("dtmf", {"digit": "5"}) in call.log
    (role,) = roles(call)
    assert role == "customer"
    chunks = call.sinks["customer"].chunks
    assert chunks[-1].last
    assert 1195 <= chunks[-1].end_ms - chunks[0].start_ms <= 1200, "Opus begins with a little less"
    assert not [hole for chunk in chunks for hole in chunk.holes]
    samples = np.frombuffer(call.sinks["customer"].pcm, np.int16)
    assert _tones(samples[1600:-1600], 16000) == {"caller"}
    assert +exchange.meter.outcomes == {"placed": 60}
    assert len(exchange.door.doors[peer.dialect].calls) == 0


@pytest.mark.parametrize("peer_type", [TelnyxPeer, PlivoPeer, SignalWirePeer])
async def test_two_tracks_are_customer_and_agent(exchange: Exchange, peer_type: type[Peer]) -> None:
    peer = peer_type(MULAW, tracks=("inbound", "outbound"))
    async with exchange.stream(peer) as socket:
        await talk(socket, peer, 20)
        await hang_up(socket, peer)
    await until(lambda: exchange.call.ended)
    assert roles(exchange.call) == {"customer": "inbound", "agent": "outbound"}
    assert {sink.chunks[-1].end_ms - sink.chunks[0].start_ms for sink in exchange.call.sinks.values()} == {400}


async def test_frames_in_disorder_are_put_in_order(exchange: Exchange) -> None:
    peer = TelnyxPeer(L16_16)
    ramp = np.arange(320 * 30, dtype=np.int16)
    frames = [peer.frame(part) for part in np.split(ramp, 30)]
    for at in (3, 9, 10, 20):
        frames[at], frames[at + 1] = frames[at + 1], frames[at]
    async with exchange.stream(peer) as socket:
        for frame in frames:
            await send(socket, frame)
        await hang_up(socket, peer)
    assert exchange.call.sinks["customer"].pcm == ramp.tobytes()


async def test_numbers_come_from_the_sender_or_the_address(exchange: Exchange) -> None:
    async with exchange.stream(TelnyxPeer(MULAW)):
        await until(lambda: len(exchange.registry.calls) == 1)
    async with exchange.stream(PlivoPeer(MULAW), "?from=%2B15550133&to=%2B15550144"):
        await until(lambda: len(exchange.registry.calls) == 2)
    async with exchange.stream(VonagePeer(L16_16), "?to=%2B15550155%00%07"):
        await until(lambda: len(exchange.registry.calls) == 3)
    numbers = [(call.call.from_number, call.call.to_number) for call in exchange.registry.calls.values()]
    assert numbers == [("+15550100", "+15550199"), ("+15550133", "+15550144"), ("15550100", "+15550155")]


@pytest.mark.parametrize(
    ("query", "role", "mixed"),
    [
        ("", "customer", False),
        ("?role=agent", "agent", False),
        ("?role=unknown", "unknown", False),
        ("?mixed=true", "unknown", True),
        ("?mixed=1&role=agent", "unknown", True),
        ("?mixed=false", "customer", False),
    ],
)
@pytest.mark.parametrize("peer_type", [TelnyxPeer, VonagePeer])
async def test_the_address_says_whose_the_only_track_is(
    exchange: Exchange, peer_type: type[Peer], query: str, role: str, mixed: bool
) -> None:
    peer = peer_type(L16_16)
    async with exchange.stream(peer, query) as socket:
        await talk(socket, peer, 3)
        await until(lambda: exchange.registry.calls and exchange.call.tracks)
    assert [(what, who) for what, who in exchange.call.log if what == "join"] == [("join", role)]
    assert [track.mixed for track in exchange.call.tracks] == [mixed]


@pytest.mark.parametrize("query", ["?role=boss", "?call=" + "x" * 201, "?call=%07"])
async def test_parameters_that_make_no_sense_are_refused(exchange: Exchange, query: str) -> None:
    async with exchange.stream(VonagePeer(L16_16), query) as socket:
        assert (await closed(socket))[0] in {1007, 1008}
    assert not exchange.registry.calls


async def test_a_stream_that_names_no_call_is_one(exchange: Exchange) -> None:
    for _ in range(2):
        peer = VonagePeer(L16_16, call_id="")
        async with exchange.stream(peer):
            pass
    await until(lambda: len(exchange.registry.calls) == 2)
    assert all(len(call.call.external_id) == 32 for call in exchange.registry.calls.values())


async def test_a_lost_socket_leaves_the_call_joinable(exchange: Exchange) -> None:
    peer = TelnyxPeer(MULAW)
    async with exchange.stream(peer) as socket:
        await talk(socket, peer, 25)
        await until(lambda: exchange.registry.calls and exchange.call.sinks)
        assert socket._response.connection is not None
        assert socket._response.connection.transport is not None
        socket._response.connection.transport.abort()
    again = TelnyxPeer(MULAW, call_id=peer.call_id)
    async with exchange.stream(again) as socket:
        await talk(socket, again, 25)
        await hang_up(socket, again)
    await until(lambda: exchange.call.ended == "completed")
    assert [what for what, _ in exchange.call.log].count("join") == 1


async def test_another_senders_call_is_not_joined(exchange: Exchange) -> None:
    exchange.users.add("another", "sender")
    peer = VonagePeer(L16_16)
    async with exchange.stream(peer):
        await until(lambda: exchange.registry.calls)
        async with exchange.client.ws_connect("/media/vonage?token=another") as socket:
            await send(socket, VonagePeer(L16_16, call_id=peer.call_id).start()[0])
            assert await closed(socket) == (1008, "this call is another user's")


# who is answered


@SPEAKERS
async def test_a_caller_is_put_through_to_an_agent(peer_type: type[Peer], codec: Codec) -> None:
    house = House()
    exchange = Exchange(house)
    ann = await house.desk("ann")
    peer = peer_type(codec)
    tone = Tone(CALLER_HZ)
    async with (
        exchange.client,
        exchange.stream(peer, "?answer=true&to=%2B15550199") as socket,
        asyncio.timeout(20),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(_read(socket, peer))
        await until(lambda: ann.view["offer"] is not None)
        await ann.answer()
        for _ in range(150):
            await send(socket, peer.frame(tone.frame()))
            await asyncio.sleep(0.002)
            house.beat(1)
        await until(lambda: len(peer.heard) > 100)
        assert ann.hears() == {"caller"}
        assert _tones(peer.heard_samples[-3200:], 16_000) == {"ann"}
        assert peer.cleared == 1
        (conversation,) = house.board.conversations.values()
        await send(socket, peer.key("7"))
        await until(lambda: conversation.caller.keyed == "7")
        assert ann.phone.party is not None
        conversation.hang_up(ann.phone.party)
    assert exchange.registry.only.ended is not None


async def _read(socket: Socket, peer: Peer) -> None:
    async for message in socket:
        for answer in peer.take(message.data):
            await send(socket, answer)


@pytest.mark.parametrize("query", ["?answer=true&mixed=true", "?answer=1&role=agent"])
async def test_what_cannot_be_answered_is_refused_not_just_listened_to(query: str) -> None:
    exchange = Exchange(House())
    async with exchange.client, exchange.stream(VonagePeer(L16_16), query) as socket:
        assert (await closed(socket))[0] == 1008
    assert exchange.meter.refusals == {"not-answerable": 1}


async def test_our_own_voice_coming_back_is_left_aside() -> None:
    """Telnyx sends both tracks also where we are who talks on one."""
    house = House()
    exchange = Exchange(house)
    peer = TelnyxPeer(MULAW, tracks=("outbound", "inbound"))
    async with exchange.client, exchange.stream(peer, "?answer=true") as socket:
        await until(lambda: house.board.conversations)
        await talk(socket, peer, 20)
        await until(lambda: exchange.call.sinks)
        await hang_up(socket, peer)
    assert [who for what, who in exchange.call.log if what == "join"] == ["customer"]


async def test_a_queue_that_is_not_recorded_is_not() -> None:
    house = House()
    exchange = Exchange(house, queue_for=house.directory.queue_for)
    async with exchange.client:
        async with exchange.stream(TelnyxPeer(MULAW)):
            await until(lambda: len(exchange.registry.calls) == 1)
        assert [call.call.recorded for call in exchange.registry.calls.values()] == [True]
