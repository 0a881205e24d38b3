"""Senders of calls' audio, through a whole installation: their tokens, what they are heard to say, who answers them."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from media_gateway.protocols.dialects.registry import DIALECTS
from tests.conftest import until
from tests.dialect_peers import (
    L16_16,
    L16_24,
    MULAW,
    Message,
    Peer,
    PlivoPeer,
    Samples,
    SignalWirePeer,
    TelnyxPeer,
    VonagePeer,
    send,
)
from tests.hearing import words_in
from tests.peers import RTP_HZ, AgentBrowser, phone_page, saying
from tests.recordings import read
from tests.whole import ROOT, Whole, whole

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
AGENT_SAYS = (0.0, 7.0)
CUSTOMER_SAYS = (7.5, 20.0)
HZ = 16_000
FRAME = HZ // 50

LISTENED = [TelnyxPeer(MULAW), PlivoPeer(L16_16), SignalWirePeer(L16_24), VonagePeer(L16_16)]
ANSWERED = [TelnyxPeer(L16_16), PlivoPeer(MULAW), SignalWirePeer(MULAW), VonagePeer(L16_16)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with whole(tmp_path_factory.mktemp("senders") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(server: Whole) -> str:
    return (await hearline(server, "token", "create", "--role", "sender", "--name", "the carrier"))[1]


async def hearline(server: Whole, *arguments: str) -> tuple[int | None, str]:
    """Run the command line; return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.main",
        *arguments,
        env=server.environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode().strip()


@asynccontextmanager
async def stream(
    server: Whole, peer: Peer, token: str, query: str = ""
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as http:
        url = f"{server.media_url}/media/{peer.dialect}{query}"
        async with http.ws_connect(url, headers=peer.headers(token), max_msg_size=0) as socket:
            for message in peer.start():
                await send(socket, message)
            yield socket


def spoken(role: str, rate_hz: int = HZ) -> Samples:
    """Return what a party of the sample call says, customer left."""
    samples, _ = read(SAMPLE, rate_hz)
    start_s, end_s = AGENT_SAYS if role == "agent" else CUSTOMER_SAYS
    return samples[int(start_s * rate_hz) : int(end_s * rate_hz), 1 if role == "agent" else 0]


async def speak(
    socket: aiohttp.ClientWebSocketResponse, peer: Peer, voices: dict[str, Samples], speed: float = 1.0
) -> None:
    """Send tracks frame by frame, all at once."""
    due_s = time.monotonic()
    frames = max(len(samples) for samples in voices.values()) // FRAME
    for index in range(frames):
        for track, samples in voices.items():
            part = samples[index * FRAME : (index + 1) * FRAME]
            await send(socket, peer.frame(np.pad(part, (0, FRAME - len(part))), track))
        due_s += 0.02 / speed
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))


async def hang_up(socket: aiohttp.ClientWebSocketResponse, peer: Peer) -> None:
    last: list[Message] = peer.stop()
    for message in last:
        await send(socket, message)
    if not last:
        await socket.close()


def by_role(snapshot: dict[str, Any]) -> dict[str, str]:
    """Return what each party said, in small letters: under load a lighter model writes."""
    roles = ("agent", "customer")
    return {role: " ".join(s["text"] for s in snapshot["segments"] if s["role"] == role).lower() for role in roles}


@pytest.mark.parametrize("peer", LISTENED, ids=[peer.dialect for peer in LISTENED])
async def test_what_a_sender_lets_us_hear_is_written_down(server: Whole, token: str, peer: Peer) -> None:
    """Both tracks where it has two; eight times faster than it was said."""
    two = peer.dialect != "vonage"
    agent, customer = spoken("agent"), spoken("customer")
    customer = np.concatenate([np.zeros(len(agent), np.int16), customer])
    voices = {"inbound": customer, "outbound": agent} if two else {"inbound": spoken("customer")}
    peer.tracks = tuple(voices)
    async with stream(server, peer, token) as socket:
        await speak(socket, peer, voices, speed=8.0)
        await hang_up(socket, peer)
    snapshot = await server.settled(peer.call_id)
    words = by_role(snapshot)
    assert snapshot["call"]["door"] == peer.dialect
    assert "calling" in words["customer"]
    if two:
        assert "platinum motors" in words["agent"]
    assert not snapshot["gaps"]


@pytest.mark.parametrize("peer", ANSWERED, ids=[peer.dialect for peer in ANSWERED])
async def test_a_caller_behind_a_sender_talks_to_an_agent(server: Whole, token: str, peer: Peer) -> None:
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with (
            stream(server, peer, token, "?answer=true&to=%2B15550199") as socket,
            asyncio.TaskGroup() as tasks,
        ):
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
    words = by_role(snapshot)
    assert "platinum motors" in words["agent"]
    assert "calling" in words["customer"]
    assert peer.cleared == 1
    assert "platinum motors" in words_in(peer.heard_samples, HZ)
    assert "calling" in words_in(agent.heard.in_time[7 * RTP_HZ :], RTP_HZ)
    assert [leg["role"] for leg in snapshot["legs"]] == ["customer", "agent"]
    assert snapshot["call"]["queue"] == "Default"


async def listen(socket: aiohttp.ClientWebSocketResponse, peer: Peer) -> None:
    async for message in socket:
        for answer in peer.take(message.data):
            await send(socket, answer)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nobody_sends_without_a_senders_token(server: Whole, token: str, dialect: str) -> None:
    for query in ("?token=wrong", f"?token={token}x"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await server.http.ws_connect(f"/media/{dialect}{query}", headers={"Authorization": ""})
        assert caught.value.status == 401
    async with server.http.get(f"/media/{dialect}", headers={"Origin": "https://evil.example"}) as reply:
        assert reply.status == 403


async def test_a_senders_token_opens_nothing_else(server: Whole, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    for path in ("/api/v1/calls", "/api/v1/me", "/api/v1/live", "/api/v1/agents", "/api/docs"):
        async with server.http.get(path, headers=bearer) as reply:
            assert reply.status == 403, path
    for path in ("/ws/call", "/ws/events?call=*", "/ws/phone"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await server.http.ws_connect(path, headers=bearer)
        assert caught.value.status == 403, path
    async with server.http.post("/webrtc/offer", headers=bearer, json={}) as reply:
        assert reply.status == 403
    assert "the carrier" not in {agent["name"] for agent in (await server.get("/api/v1/agents"))["items"]}


async def test_a_name_is_a_persons_or_a_senders(server: Whole, token: str) -> None:
    """Else a token that stands in an address somewhere would become an administrator's."""
    code, said = await hearline(server, "token", "create", "--role", "admin", "--name", "the carrier")
    assert code != 0
    assert "sender" in said
    code, _ = await hearline(server, "token", "create", "--role", "agent", "--name", "a person")
    assert code == 0
    code, said = await hearline(server, "token", "create", "--role", "sender", "--name", "a person")
    assert code != 0
    assert "person" in said
    code, _ = await hearline(server, "login-link", "--role", "sender", "--name", "x")
    assert code != 0


async def test_a_revoked_token_ends_its_streams_and_lets_none_in(server: Whole) -> None:
    _, token = await hearline(server, "token", "create", "--role", "sender", "--name", "short-lived")
    peer = VonagePeer(L16_16)
    async with stream(server, peer, token) as socket:
        await speak(socket, peer, {"inbound": np.zeros(HZ // 10, np.int16)})
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(socket, peer))
            assert (await hearline(server, "token", "revoke", "--name", "short-lived")) == (0, "1 token revoked")
        assert socket.close_code == 1008
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with stream(server, VonagePeer(L16_16), token):
            pass
    assert caught.value.status == 401
    assert (await hearline(server, "token", "revoke", "--name", "short-lived"))[0] != 0
