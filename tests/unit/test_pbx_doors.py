"""What PBXs and contact-centre platforms do on /media that others do not, over a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from infra.model import DEFAULT_TENANT
from media_gateway.call_grants import CallGrants
from media_gateway.transports import call_grants
from media_gateway.transports.audiohook_signature import SignedHandshake
from tests.dialect_peers import (
    L16_16,
    MULAW,
    AsteriskJsonPeer,
    AsteriskPeer,
    AudiohookPeer,
    FreeswitchPeer,
    JambonzPeer,
    send,
)
from tests.fakes.gateway import until
from tests.fakes.house import CALLER_HZ, TONES_HZ, House, Tone, _tones
from tests.unit.test_audiosocket_door import Kept
from tests.unit.test_media_door import TOKEN, Exchange, Socket, closed, roles, talk

ANOTHER = "00000000-0000-0000-0000-000000000001"
SECRET = b64encode(b"a secret shared with Genesys Cloud").decode()


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange()
    async with exchange.client:
        yield exchange


async def read(socket: Socket, peer: Any) -> Any:
    """Take one message of the server's, and answer it as the peer does; return it."""
    message = await socket.receive(timeout=5)
    for answer in peer.take(message.data):
        await send(socket, answer)
    return message.data if isinstance(message.data, bytes) or message.data[:1] != "{" else json.loads(message.data)


def agreed(socket: Socket) -> str:
    """Return the subprotocol that the handshake agreed on."""
    return socket._response.headers["Sec-WebSocket-Protocol"]


# Genesys AudioHook


async def test_both_channels_of_a_session_are_heard(exchange: Exchange) -> None:
    peer = AudiohookPeer(MULAW)
    external, internal = Tone(CALLER_HZ), Tone(TONES_HZ["ann"])
    async with exchange.stream(peer) as socket:
        opened = await read(socket, peer)
        assert (opened["type"], opened["clientseq"]) == ("opened", 1)
        assert opened["parameters"]["media"][0]["channels"] == ["external", "internal"]
        for _ in range(50):
            await send(socket, peer.both(external.frame(), internal.frame()))
        await send(socket, peer.say("ping"))
        assert (await read(socket, peer))["type"] == "pong"
        await send(socket, peer.stop()[0])
        assert (await read(socket, peer))["type"] == "closed"
        await socket.close()
    call = exchange.call
    await until(lambda: call.ended == "completed")
    assert (call.call.door, call.call.external_id) == ("audiohook", peer.call_id)
    assert (call.call.from_number, call.call.to_number) == ("+15550100", "+15550199")
    assert roles(call) == {"customer": "external", "agent": "internal"}
    for role, who in (("customer", "caller"), ("agent", "ann")):
        samples = np.frombuffer(call.sinks[role].pcm, np.int16)
        assert len(samples) == 16_000
        assert _tones(samples[1600:-1600], 16_000) == {who}


async def test_a_pause_is_a_hole_as_long_as_it_was(exchange: Exchange) -> None:
    peer = AudiohookPeer(MULAW)
    silence = np.zeros(320, np.int16)
    async with exchange.stream(peer) as socket:
        await read(socket, peer)
        for _ in range(50):
            await send(socket, peer.both(silence, silence))
        await send(socket, peer.say("paused"))
        peer._samples += 8000 * 20
        await send(socket, peer.say("resumed", start="PT1S", discarded="PT20S"))
        for _ in range(50):
            await send(socket, peer.both(silence, silence))
        await send(socket, peer.stop()[0])
        await read(socket, peer)
    await until(lambda: exchange.call.ended)
    chunks = exchange.call.sinks["agent"].chunks
    holes = [hole for chunk in chunks for hole in chunk.holes]
    assert [hole.end_ms - hole.start_ms for hole in holes] == [20_000]
    assert chunks[-1].end_ms - chunks[0].start_ms == 22_000


async def test_a_probe_is_no_call(exchange: Exchange) -> None:
    peer = AudiohookPeer(MULAW, call_id="00000000-0000-0000-0000-000000000000")
    async with exchange.stream(peer) as socket:
        assert (await read(socket, peer))["type"] == "opened"
        await send(socket, peer.stop()[0])
        assert (await read(socket, peer))["type"] == "closed"
        await socket.close()
    assert not exchange.registry.calls
    assert not exchange.meter.refusals


async def test_we_end_a_session_by_asking_for_it(exchange: Exchange) -> None:
    peer = AudiohookPeer(MULAW)
    async with exchange.stream(peer) as socket:
        await read(socket, peer)
        (line,) = exchange.door.doors["audiohook"].sockets
        line.hang_up("the test is over")
        disconnect = await read(socket, peer)
        assert (disconnect["type"], disconnect["parameters"]) == ("disconnect", {"reason": "completed"})
        assert (await read(socket, peer))["type"] == "closed"
        await socket.close()
    assert exchange.call.ended == "the test is over"


async def test_what_is_wrong_is_said_in_its_own_terms(exchange: Exchange) -> None:
    peer = AudiohookPeer(MULAW)
    async with exchange.stream(peer) as socket:
        await read(socket, peer)
        await send(socket, b"x")
        message = json.loads((await socket.receive(timeout=5)).data)
        assert message["type"] == "disconnect"
        assert message["parameters"] == {"reason": "error", "info": "half a stereo sample"}
        assert (await closed(socket))[0] == 1007


async def test_another_organization_is_unauthorized(exchange: Exchange) -> None:
    peer = AudiohookPeer(MULAW)
    headers = {**peer.headers(TOKEN), "Audiohook-Organization-Id": ANOTHER}
    async with exchange.client.ws_connect("/media/audiohook", headers=headers) as socket:
        await send(socket, peer.start()[0])
        message = json.loads((await socket.receive(timeout=5)).data)
        assert message["parameters"]["reason"] == "unauthorized"
    assert not exchange.registry.calls


@asynccontextmanager
async def guarded(base_url: str = "https://pbx.example") -> AsyncIterator[Exchange]:
    exchange = Exchange(checks={"audiohook": SignedHandshake(SECRET, base_url)})
    async with exchange.client:
        yield exchange


async def test_a_signed_handshake_comes_in_and_its_copy_does_not() -> None:
    async with guarded() as exchange:
        peer = AudiohookPeer(MULAW)
        headers = peer.signed_headers(TOKEN, SECRET)
        async with exchange.client.ws_connect("/media/audiohook", headers=headers) as socket:
            await send(socket, peer.start()[0])
            assert (await read(socket, peer))["type"] == "opened"
        await exchange.refused("audiohook", 401, headers)
        assert exchange.meter.refusals == {"bad-signature": 1}


async def test_behind_a_path_the_public_address_is_what_was_signed() -> None:
    async with guarded("https://PBX.example:443/hearline/") as exchange:
        peer = AudiohookPeer(MULAW)
        headers = peer.signed_headers(TOKEN, SECRET, target="/hearline/media/audiohook?to=1")
        async with exchange.client.ws_connect("/media/audiohook?to=1", headers=headers) as socket:
            await send(socket, peer.start()[0])
            assert (await read(socket, peer))["type"] == "opened"


@pytest.mark.parametrize(
    "headers",
    [
        AudiohookPeer(MULAW).headers(TOKEN),
        AudiohookPeer(MULAW).signed_headers(TOKEN, b64encode(b"another secret than theirs").decode()),
        AudiohookPeer(MULAW).signed_headers(TOKEN, SECRET, target="/media/audiohook?call=1"),
        {
            **AudiohookPeer(MULAW).signed_headers(TOKEN, SECRET),
            "Audiohook-Session-Id": "00000000-0000-0000-0000-000000000001",
        },
    ],
)
async def test_an_unsigned_or_wrongly_signed_handshake_is_refused(headers: dict[str, str]) -> None:
    async with guarded() as exchange:
        await exchange.refused("audiohook", 401, headers)
        await exchange.refused("audiohook", 401, {**headers, "X-API-KEY": "wrong"})
        assert exchange.meter.refusals == {"bad-signature": 1, "bad-token": 1}


async def test_others_need_no_signature() -> None:
    async with guarded() as exchange, exchange.stream(JambonzPeer(L16_16)):
        await until(lambda: exchange.registry.calls)


# jambonz and FreeSWITCH


@pytest.mark.parametrize("mix", ["stereo", "mixed"])
async def test_two_parties_are_listened_to_not_answered(mix: str) -> None:
    house = House()
    exchange = Exchange(house)
    peer = JambonzPeer(L16_16)
    async with exchange.client, exchange.client.ws_connect("/media/jambonz", headers=peer.headers(TOKEN)) as socket:
        await send(socket, json.dumps({**json.loads(peer.start()[0]), "mixType": mix}))
        await send(socket, bytes(1280))
        await until(lambda: exchange.registry.calls and exchange.call.tracks)
        assert agreed(socket) == "audio.jambonz.org"
        await socket.close()
    assert not house.board.conversations
    wanted = {"customer": "left", "agent": "right"} if mix == "stereo" else {"unknown": "mixed"}
    assert roles(exchange.call) == wanted


async def test_a_jambonz_caller_rings_without_being_asked_for() -> None:
    house = House()
    exchange = Exchange(house)
    async with exchange.client, exchange.stream(JambonzPeer(L16_16)):
        await until(lambda: house.board.conversations)


async def test_freeswitch_is_answered_only_where_it_plays() -> None:
    house = House()
    exchange = Exchange(house)
    peer = FreeswitchPeer(L16_16)
    async with exchange.client:
        async with exchange.client.ws_connect(f"/media/freeswitch?token={TOKEN}&call=one&rate=16k") as socket:
            await send(socket, bytes(640))
            await until(lambda: exchange.registry.calls)
            assert not house.board.conversations
        async with exchange.stream(peer):
            await until(lambda: house.board.conversations)
    assert [call.call.external_id for call in exchange.registry.calls.values()] == ["one", peer.call_id]


# Asterisk


@pytest.mark.parametrize("peer_type", [AsteriskPeer, AsteriskJsonPeer])
async def test_a_channel_is_answered_and_in_the_end_hung_up(peer_type: type[AsteriskPeer]) -> None:
    house = House()
    exchange = Exchange(house)
    peer = peer_type(MULAW)
    async with exchange.client, exchange.stream(peer) as socket:
        assert agreed(socket) == "media"
        first = await read(socket, peer)
        assert first == ({"command": "ANSWER"} if peer.as_json else "ANSWER")
        (conversation,) = house.board.conversations.values()
        conversation.end("the test is over")
        last = None
        while (message := await socket.receive(timeout=5)).type.name == "TEXT":
            last = message.data
        assert last == ('{"command":"HANGUP"}' if peer.as_json else "HANGUP")
    await until(lambda: exchange.call.ended == "the test is over")


async def test_while_its_queue_is_full_it_is_sent_nothing() -> None:
    house = House()
    exchange = Exchange(house)
    peer = AsteriskPeer(MULAW)
    async with exchange.client, exchange.stream(peer) as socket:
        await until(lambda: house.board.conversations)
        (line,) = exchange.door.doors["asterisk"].sockets
        await send(socket, "MEDIA_XOFF")
        await send(socket, peer.key("1"))
        await until(lambda: any(what == "dtmf" for what, _ in exchange.call.log))
        for _ in range(5):
            line.play(b"\x01" * 160)  # type: ignore[attr-defined]
        await send(socket, "MEDIA_XON")
        await send(socket, peer.key("2"))
        await until(lambda: ("dtmf", {"digit": "2"}) in exchange.call.log)
        line.play(b"\x02" * 160)  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            while not isinstance(heard := await read(socket, peer), bytes):
                pass
        assert heard == b"\x02" * 160
        line.hang_up("the test is over")
    assert exchange.meter.outcomes["unsent"] == 5


async def test_a_channel_is_listened_to_where_nobody_answers(exchange: Exchange) -> None:
    peer = AsteriskPeer(MULAW)
    async with exchange.stream(peer, "?from=%2B15550100&to=%2B15550199") as socket:
        await talk(socket, peer, 10)
        await until(lambda: exchange.registry.calls and exchange.call.sinks)
        await socket.close()
    await until(lambda: exchange.call.ended == "closed")
    assert (exchange.call.call.from_number, exchange.call.call.to_number) == ("+15550100", "+15550199")


# AudioSocket: a call is announced


@asynccontextmanager
async def announcing() -> AsyncIterator[tuple[TestClient[web.Request, web.Application], CallGrants, Exchange]]:
    exchange, grants = Exchange(), CallGrants(Kept())
    exchange.client.app.router.add_post(call_grants.PATH, call_grants.GrantDoor(exchange.senders, grants).handle)
    async with exchange.client:
        yield exchange.client, grants, exchange


async def test_who_announces_a_call_is_told_its_uuid() -> None:
    async with announcing() as (client, grants, _):
        for how in (
            {"params": {"from": "+15550100", "to": "+15550199"}},
            {"data": {"from": "+15550100", "to": "+15550199"}},
        ):
            reply = await client.post(call_grants.PATH, headers={"Authorization": f"Bearer {TOKEN}"}, **how)  # type: ignore[arg-type]
            assert (reply.status, reply.content_type) == (201, "text/plain")
            call_id = UUID(await reply.text())
            grant = await grants.take(call_id)
            assert grant is not None
            assert (grant.tenant_id, grant.from_number, grant.to_number) == (DEFAULT_TENANT, "+15550100", "+15550199")
            assert await grants.take(call_id) is None


async def test_strangers_announce_nothing() -> None:
    async with announcing() as (client, _, exchange):
        assert (await client.post(call_grants.PATH)).status == 401
        assert (await client.post(call_grants.PATH + "?token=wrong")).status == 401
        exchange.users.add("a-persons-token", "agent")
        assert (await client.post(call_grants.PATH + "?token=a-persons-token")).status == 403
        exchange.users.away = True
        assert (await client.post(call_grants.PATH + "?token=unknown")).status == 503
        assert (await client.get(call_grants.PATH)).status == 404
