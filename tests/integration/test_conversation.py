"""A caller behind Twilio and an agent in a browser, through a whole installation: heard, written down, kept."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from infra.model import DEFAULT_TENANT
from infra.store.users import UserStore
from media_gateway.caller import new_call_sid
from tests.bench.score import score
from tests.conftest import until
from tests.hearing import words_in
from tests.lossy import LossyPath
from tests.peers import (
    LINE_HZ,
    RTP_HZ,
    AgentBrowser,
    Samples,
    calling,
    phone_page,
    saying,
    twiml,
)
from tests.recordings import read
from tests.whole import ROOT, TWILIO_TOKEN, Whole, whole

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
AGENT_SAYS = (0.0, 7.0)
AGENTS_WORDS = (
    "Thank you for calling Platinum Motors, the northwest home for high-end autos. "
    "I'm Michelle, how can I help you today?"
)
CUSTOMER_SAYS = (7.5, 20.0)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with whole(tmp_path_factory.mktemp("conversation") / "data") as running:
        yield running


def spoken(role: str, rate_hz: int) -> Samples:
    """Return what a party of the sample call says, customer left."""
    samples, _ = read(SAMPLE, rate_hz)
    start_s, end_s = AGENT_SAYS if role == "agent" else CUSTOMER_SAYS
    return samples[int(start_s * rate_hz) : int(end_s * rate_hz), 1 if role == "agent" else 0]


async def test_both_hear_each_other_and_each_word_has_its_speaker(server: Whole) -> None:
    agent_says, customer_says = spoken("agent", RTP_HZ), spoken("customer", LINE_HZ)
    sid = new_call_sid()
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with calling(server.http, server.url, TWILIO_TOKEN, sid, saying(customer_says, LINE_HZ, after_s=9)) as it:
            await until(lambda: page.call)
            agent = AgentBrowser(saying(agent_says, RTP_HZ, after_s=0.5))
            try:
                await agent.connect(server.http, server.url, page.call["call_id"])
                await until(lambda: page.call.get("media") == "connected")
                assert page.call["network"] is not None
                await asyncio.sleep(23)
                await it.hang_up()
                await until(lambda: not page.call)
            finally:
                await agent.close()
    snapshot = await server.settled(sid)
    words = {
        role: " ".join(s["text"] for s in snapshot["segments"] if s["role"] == role) for role in ("agent", "customer")
    }
    assert "Platinum Motors" in words["agent"]
    assert "calling" in words["customer"]
    assert it.heard.clears == 1
    since_answered = it.heard.in_time[it.heard.cleared_at :]
    assert "platinum motors" in words_in(since_answered[: 9 * LINE_HZ], LINE_HZ)
    assert "calling" in words_in(agent.heard.in_time[8 * RTP_HZ :], RTP_HZ)
    assert [leg["role"] for leg in snapshot["legs"]] == ["customer", "agent"]
    assert snapshot["call"]["queue"] == "Default"


async def test_the_recording_holds_both_sides_on_the_calls_clock(server: Whole, tmp_path: Path) -> None:
    sid = new_call_sid()
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with calling(
            server.http, server.url, TWILIO_TOKEN, sid, saying(spoken("customer", LINE_HZ), LINE_HZ)
        ) as caller:
            await until(lambda: page.call)
            agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ))
            try:
                await agent.connect(server.http, server.url)
                await asyncio.sleep(6)
                await page.do(do="recording", call_id=page.call["call_id"], on=False)
                await until(lambda: page.call.get("recording") == "paused")
                await asyncio.sleep(2)
                await page.do(do="recording", call_id=page.call["call_id"], on=True)
                await asyncio.sleep(3)
                await caller.hang_up()
                await until(lambda: not page.call)
            finally:
                await agent.close()

    async def saved() -> Any:
        snapshot = await server.get(f"/api/v1/calls/{sid}")
        return snapshot if snapshot["recording"]["state"] == "saved" else None

    snapshot = await until(saved)
    async with server.http.get(f"/api/v1/calls/{sid}/recording") as reply:
        assert reply.status == 200
        (tmp_path / "call.ogg").write_bytes(await reply.read())
    samples, rate_hz = read(tmp_path / "call.ogg", 16_000)
    left, right = samples[:, 0], samples[:, 1]
    assert abs(len(left) / rate_hz - snapshot["call"]["duration_ms"] / 1000) < 0.1
    assert "calling" in words_in(left[: 7 * rate_hz], rate_hz)
    assert "platinum" in words_in(right[: 7 * rate_hz], rate_hz)
    (pause,) = snapshot["recording"]["pauses"]
    assert 1_700 < pause["end_ms"] - pause["start_ms"] < 3_000
    inside = slice((pause["start_ms"] + 100) * 16, (pause["end_ms"] - 100) * 16)
    assert np.abs(samples[inside]).max() < 40


@pytest.mark.parametrize(("loss", "jitter_ms"), [(0.01, 0), (0.05, 0), (0.01, 40)])
async def test_words_survive_a_bad_network(server: Whole, loss: float, jitter_ms: float) -> None:
    agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ, after_s=1))
    async with LossyPath(loss=loss, jitter_ms=jitter_ms, reorder=0.02) as path:
        try:
            await agent.connect(server.http, server.url, path=path)
            await asyncio.sleep(10)
            async with server.http.delete(f"/webrtc/{agent.leg_id}") as reply:
                assert reply.status == 204
        finally:
            await agent.close()
    (call_id,) = [
        row["id"] for row in await server.pool.fetch("SELECT call_id AS id FROM legs WHERE id = $1", agent.leg_id)
    ]
    snapshot = await server.settled_id(str(call_id))
    text = " ".join(segment["text"] for segment in snapshot["segments"])
    apart = score(AGENTS_WORDS, text)
    assert apart.errors <= 0.3 * apart.words, text
    assert {gap["cause"] for gap in snapshot["gaps"]} <= {"connection-lost"}


async def test_when_the_gateway_dies_the_caller_comes_back_to_the_same_agent_in_the_same_call(server: Whole) -> None:
    sid = new_call_sid()
    voice = saying(spoken("customer", LINE_HZ), LINE_HZ)
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with calling(server.http, server.url, TWILIO_TOKEN, sid, voice):
            await until(lambda: page.call)
            first = page.call["call_id"]
            agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ))
            await agent.connect(server.http, server.url)
            await until(lambda: page.call.get("media") == "connected")
            await asyncio.sleep(4)
            await server.kill("serve")
            await agent.close()
    await server.start("serve")
    await server.ready()
    async with (
        calling(server.http, server.url, TWILIO_TOKEN, sid, voice, attempt=2) as caller,
        phone_page(server.http, server.url, answers=False) as page,
    ):
        await until(lambda: page.call)
        assert page.phone["status"] == "online", "as before the crash"
        assert page.call["call_id"] == first
        agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ))
        try:
            await agent.connect(server.http, server.url)
            await until(lambda: page.call.get("stage") == "talking")
            await asyncio.sleep(4)
            await caller.hang_up()
            await until(lambda: not page.call)
        finally:
            await agent.close()
    snapshot = await server.settled(sid)
    assert snapshot["call"]["id"] == first
    holes = [gap for gap in snapshot["gaps"] if gap["cause"] == "gateway-lost" and gap["end_ms"] > gap["start_ms"]]
    assert len({gap["track_id"] for gap in holes}) == 2, "what was missed is marked, for both"
    assert all(leg["left_at"] for leg in snapshot["legs"])
    assert {s["role"] for s in snapshot["segments"]} == {"customer", "agent"}


async def test_sigterm_lets_calls_finish_and_puts_new_ones_off(server: Whole) -> None:
    sid = new_call_sid()
    async with calling(server.http, server.url, TWILIO_TOKEN, sid, saying(spoken("customer", LINE_HZ), LINE_HZ)) as it:
        await until(lambda: it.heard.packets)
        server.processes["serve"].terminate()

        async def draining() -> bool:
            async with server.http.get("/readyz") as reply:
                return reply.status == 503 and (await reply.json())["draining"]

        await until(draining, within_s=1)
        answer = await twiml(server.http, server.url, TWILIO_TOKEN, new_call_sid())
        assert answer.find("Redirect") is not None
        assert answer.find(".//Stream") is None
        heard = len(it.heard.packets)
        await until(lambda: len(it.heard.packets) > heard + 25)
        assert server.processes["serve"].returncode is None
        await it.hang_up()
        async with asyncio.timeout(20):
            await server.processes["serve"].wait()
    await server.start("serve")
    await server.ready()
    assert (await server.settled(sid))["call"]["end_reason"] == "completed"


async def test_a_second_sigterm_ends_the_calls(server: Whole) -> None:
    sid = new_call_sid()
    async with calling(server.http, server.url, TWILIO_TOKEN, sid, saying(spoken("customer", LINE_HZ), LINE_HZ)) as it:
        await until(lambda: it.heard.packets)
        server.processes["serve"].terminate()
        await asyncio.sleep(1)
        server.processes["serve"].terminate()
        async with asyncio.timeout(20):
            await server.processes["serve"].wait()
    await server.start("serve")
    await server.ready()
    assert (await server.settled(sid))["call"]["end_reason"] == "server-shutdown"


async def test_nobody_else_gets_at_a_leg(server: Whole) -> None:
    users = UserStore(server.pool)
    stranger = await users.issue(await users.add(DEFAULT_TENANT, "stranger", "agent"), "token")
    agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ))
    try:
        await agent.connect(server.http, server.url)
        headers = {"Authorization": f"Bearer {stranger}"}
        async with server.http.delete(f"/webrtc/{agent.leg_id}", headers=headers) as reply:
            assert reply.status == 403
        async with server.http.delete(f"/webrtc/{agent.leg_id}") as reply:
            assert reply.status == 204
    finally:
        await agent.close()
