"""PBXs and contact-centre platforms, through a whole installation: words out, the agent's voice back."""

import asyncio
import contextlib
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from media_gateway.protocols.audiosocket import audio_packet, hang_up_packet, key_packet, uuid_packet
from tests.conftest import free_port, until
from tests.dialect_peers import (
    L16_8,
    L16_16,
    MULAW,
    AsteriskJsonPeer,
    AudiohookPeer,
    FreeswitchPeer,
    JambonzPeer,
    Peer,
    Samples,
    send,
)
from tests.hearing import words_in
from tests.integration.test_senders import hang_up, hearline, listen, speak, spoken
from tests.peers import RTP_HZ, AgentBrowser, phone_page, saying
from tests.whole import Whole, whole

HZ = 16_000
FRAME = HZ // 50
LINE_HZ = 8_000
SECRET = b64encode(b"a secret shared with Genesys Cloud").decode()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    port = free_port()
    async with whole(
        tmp_path_factory.mktemp("pbx") / "data",
        audiosocket_host="127.0.0.1",
        audiosocket_port=str(port),
        audiohook_client_secret=SECRET,
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(server: Whole) -> str:
    return (await hearline(server, "token", "create", "--role", "sender", "--name", "the exchange"))[1]


class AudioSocketPeer:
    """Asterisk's AudioSocket() application: 8 kHz, a packet every 20 ms each way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard = bytearray()
        self.arrived_s: list[float] = []
        self.hung_up = False

    async def speak(self, voice: Samples) -> None:
        """Say this, in time."""
        due_s = time.monotonic()
        for start in range(0, len(voice), LINE_HZ // 50):
            part = voice[start : start + LINE_HZ // 50]
            self.writer.write(audio_packet(part.astype("<i2").tobytes(), LINE_HZ))
            due_s += 0.02
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def listen(self) -> None:
        """Take what comes, until it ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, high, low = await self.reader.readexactly(3)
                payload = await self.reader.readexactly(high << 8 | low)
                if kind == 0x00:
                    self.hung_up = True
                    return
                assert (kind, len(payload)) == (0x10, 320)
                self.heard += payload
                self.arrived_s.append(time.monotonic())

    def samples(self) -> Samples:
        """Return what was heard."""
        return np.frombuffer(bytes(self.heard), "<i2")


@asynccontextmanager
async def audiosocket(server: Whole, call_id: UUID) -> AsyncIterator[AudioSocketPeer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.environment["AUDIOSOCKET_PORT"]))
    try:
        writer.write(uuid_packet(call_id))
        yield AudioSocketPeer(reader, writer)
    finally:
        writer.close()


async def announced(server: Whole, token: str, **numbers: str) -> UUID:
    bearer = {"Authorization": f"Bearer {token}"}
    async with server.http.post("/media/audiosocket", headers=bearer, data=numbers) as reply:
        assert reply.status == 201
        return UUID(await reply.text())


def words(snapshot: dict[str, Any], role: str) -> str:
    return " ".join(segment["text"] for segment in snapshot["segments"] if segment["role"] == role)


@asynccontextmanager
async def stream(
    server: Whole, peer: Peer, headers: dict[str, str], query: str = ""
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as http:
        url = f"{server.media_url}/media/{peer.dialect}{query}"
        async with http.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            for message in peer.start():
                await send(socket, message)
            yield socket


async def test_an_audiosocket_caller_talks_to_an_agent(server: Whole, token: str) -> None:
    call_id = await announced(server, token, **{"from": "+15550100", "to": "+15550199"})
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with audiosocket(server, call_id) as asterisk, asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(asterisk.listen())
            customer = spoken("customer", LINE_HZ)
            voice = np.concatenate([np.zeros(8 * LINE_HZ, np.int16), customer, np.zeros(LINE_HZ, np.int16)])
            speaking = tasks.create_task(asterisk.speak(voice))
            await until(lambda: page.call)
            agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ, after_s=0.5))
            try:
                await agent.connect(server.http, server.url, page.call["call_id"])
                await speaking
                asterisk.writer.write(key_packet("5"))
                await until(lambda: page.call.get("keyed") == "5")
                asterisk.writer.write(hang_up_packet())
                await until(lambda: not page.call)
            finally:
                await agent.close()
            listening.cancel()
    snapshot = await server.settled(str(call_id))
    assert snapshot["call"]["door"] == "audiosocket"
    assert snapshot["call"]["from_number"] == "+15550100"
    assert "Platinum Motors" in words(snapshot, "agent")
    assert "calling" in words(snapshot, "customer")
    assert [leg["role"] for leg in snapshot["legs"]] == ["customer", "agent"]
    assert "platinum motors" in words_in(asterisk.samples(), LINE_HZ)
    assert "dealership" in words_in(agent.heard.in_time, RTP_HZ)
    seconds = asterisk.arrived_s[-1] - asterisk.arrived_s[0]
    assert abs(len(asterisk.arrived_s) * 0.02 - seconds) < 1.0, "a packet every 20 ms: Asterisk plays them as they come"


async def test_nobody_comes_in_by_audiosocket_unannounced(server: Whole, token: str) -> None:
    for call_id in (uuid4(), UUID(int=0)):
        async with audiosocket(server, call_id) as asterisk:
            await asterisk.listen()
            assert asterisk.hung_up
            assert not asterisk.heard
    call_id = await announced(server, token)
    async with audiosocket(server, call_id) as first:
        await first.speak(np.zeros(LINE_HZ // 5, np.int16))
        async with audiosocket(server, call_id) as second:
            await second.listen()
            assert second.hung_up
            assert not second.heard
    for wrong in ("wrong", ""):
        async with server.http.post("/media/audiosocket", headers={"Authorization": f"Bearer {wrong}"}) as reply:
            assert reply.status == 401


@pytest.mark.parametrize("peer", [AsteriskJsonPeer(MULAW), JambonzPeer(L16_16)], ids=["asterisk", "jambonz"])
async def test_a_pbx_caller_is_put_through_without_being_asked_for(server: Whole, token: str, peer: Peer) -> None:
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with stream(server, peer, peer.headers(token)) as socket, asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen(socket, peer))
            voice = np.concatenate([np.zeros(8 * HZ, np.int16), spoken("customer")])
            speaking = tasks.create_task(speak(socket, peer, {"inbound": voice}))
            await until(lambda: page.call)
            agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ, after_s=0.5))
            try:
                await agent.connect(server.http, server.url, page.call["call_id"])
                await speaking
                await hang_up(socket, peer)
                await until(lambda: not page.call)
            finally:
                await agent.close()
            listening.cancel()
    snapshot = await server.settled(peer.call_id)
    assert "Platinum Motors" in words(snapshot, "agent")
    assert "calling" in words(snapshot, "customer")
    assert peer.cleared == 1
    assert "platinum motors" in words_in(peer.heard_samples, HZ)
    assert "dealership" in words_in(agent.heard.in_time, RTP_HZ)


async def test_freeswitch_lets_us_listen(server: Whole, token: str) -> None:
    """By token in the address, without any metadata; four times faster than it was said."""
    peer = FreeswitchPeer(L16_8)
    async with aiohttp.ClientSession() as http:
        query = f"?token={token}&call={peer.call_id}&from=1000&to=2000"
        async with http.ws_connect(f"{server.media_url}/media/freeswitch{query}") as socket:
            await speak(socket, peer, {"mono": spoken("customer")}, speed=4.0)
            await socket.close()
    snapshot = await server.settled(peer.call_id)
    assert "calling" in words(snapshot, "customer")
    assert (snapshot["call"]["from_number"], snapshot["call"]["to_number"]) == ("1000", "2000")


async def test_both_parties_of_a_genesys_conversation_are_written_down(server: Whole, token: str) -> None:
    """A signed handshake, a session of two channels; four times faster than it was said."""
    peer = AudiohookPeer(MULAW)
    agent, customer = spoken("agent"), spoken("customer")
    external = np.concatenate([np.zeros(len(agent), np.int16), customer])
    internal = np.pad(agent, (0, len(customer)))
    authority = urlsplit(server.url).netloc
    headers = peer.signed_headers(token, SECRET, authority=authority)
    async with stream(server, peer, headers) as socket:
        peer.take((await socket.receive(timeout=5)).data)
        assert peer.told[0]["type"] == "opened"
        due_s = time.monotonic()
        step = FRAME * 5
        for start in range(0, len(external) - step, step):
            await send(socket, peer.both(external[start : start + step], internal[start : start + step]))
            due_s += 0.1 / 4
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await send(socket, peer.stop()[0])
        peer.take((await socket.receive(timeout=5)).data)
        assert peer.told[-1]["type"] == "closed"
    snapshot = await server.settled(peer.call_id)
    assert snapshot["call"]["door"] == "audiohook"
    assert "Platinum Motors" in words(snapshot, "agent")
    assert "calling" in words(snapshot, "customer")
    assert not snapshot["gaps"]


async def test_genesys_has_to_sign(server: Whole, token: str) -> None:
    peer = AudiohookPeer(MULAW)
    other = b64encode(b"another secret than theirs").decode()
    authority = urlsplit(server.url).netloc
    for headers in (peer.headers(token), peer.signed_headers(token, other, authority=authority)):
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect(f"{server.media_url}/media/audiohook", headers=headers)
            assert caught.value.status == 401
