"""SIP callers and an agent in a browser, through a whole installation: heard both ways, written down, kept."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pytest_asyncio

from tests.conftest import free_port, until
from tests.hearing import words_in
from tests.peers import RTP_HZ, AgentBrowser, Samples, phone_page, saying
from tests.recordings import read
from tests.sip_peers import baresip, kamailio, write_wav
from tests.sipp import sipp, write_capture
from tests.whole import ROOT, Whole, whole

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
AGENT_SAYS_S = (0.0, 7.0)
CUSTOMER_SAYS_S = (7.5, 20.0)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.sipp,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    directory = tmp_path_factory.mktemp("sip")
    settings = {"sip_port": str(free_port()), "sip_trunks": "127.0.0.0/8", "rtp_ports": "26000-26999"}
    async with whole(directory / "data", **settings) as running:
        yield running


def sip_port(server: Whole) -> int:
    return int(server.environment["SIP_PORT"])


def spoken(role: str, rate_hz: int) -> Samples:
    """Return what a party of the sample call says, customer left."""
    samples, _ = read(SAMPLE, rate_hz)
    start_s, end_s = AGENT_SAYS_S if role == "agent" else CUSTOMER_SAYS_S
    return samples[int(start_s * rate_hz) : int(end_s * rate_hz), 1 if role == "agent" else 0]


def words(snapshot: dict[str, Any], role: str) -> str:
    return " ".join(segment["text"] for segment in snapshot["segments"] if segment["role"] == role).lower()


def understood(text: str) -> bool:
    """Return whether it is what the agent said, as far as one can tell on a busy machine."""
    return sum(word in text.lower() for word in ("platinum", "motors", "northwest", "high-end", "michelle")) >= 2


async def sid_of(server: Whole, door: str = "sip") -> str:
    """Return the Call-ID of the newest call."""
    found = await server.pool.fetchval(
        "SELECT external_id FROM calls WHERE door = $1 ORDER BY started_at DESC LIMIT 1", door
    )
    assert isinstance(found, str)
    return found


async def test_the_words_of_a_g711_call_are_in_the_transcript(server: Whole, tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "customer.pcap", spoken("customer", 8000))
    (await sipp("call", sip_port(server), tmp_path, pcap=capture, ms=13_000)).check()
    snapshot = await server.settled(await sid_of(server))
    assert "calling" in words(snapshot, "customer")
    call = snapshot["call"]
    assert (call["door"], call["from_number"], call["to_number"]) == ("sip", "+15550100", "+15550199")
    assert call["end_reason"] == "completed"
    assert call["queue"] == "Default"

    async def saved() -> bool:
        found = await server.get(f"/api/v1/calls/{call['id']}")
        return bool(found["recording"]["state"] == "saved")

    await until(saved, within_s=60)
    async with server.http.get(f"/api/v1/calls/{call['id']}/recording") as reply:
        assert reply.status == 200
        (tmp_path / "call.ogg").write_bytes(await reply.read())
    samples, rate_hz = read(tmp_path / "call.ogg", 16_000)
    assert "calling" in words_in(samples[:, 0], rate_hz), "and it is recorded"


@pytest.mark.parametrize(
    ("codec", "rate_hz", "way", "options"),
    [
        ("g711", 8000, "udp", ""),
        ("g722", 16_000, "tcp", ""),
        ("opus", 48_000, "udp", ""),
        ("g711", 8000, "tcp", ";mediaenc=srtp-mand"),
    ],
)
async def test_a_softphone_and_an_agent_hear_each_other(
    server: Whole, tmp_path: Path, codec: Literal["g711", "g722", "opus"], rate_hz: int, way: str, options: str
) -> None:
    silence = spoken("agent", rate_hz) * 0
    sound = np.concatenate([silence, spoken("customer", rate_hz)])
    says = write_wav(tmp_path / "says.wav", sound, rate_hz, channels=2 if codec == "opus" else 1)
    address = f"sip:+15550199@127.0.0.1:{sip_port(server)};transport={way}"
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with baresip(tmp_path / "baresip", says, address, codec=codec, options=options) as phone:
            await until(lambda: page.call)
            agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ, after_s=0.5))
            try:
                await agent.connect(server.http, server.url, page.call["call_id"])
                await until(lambda: page.call.get("media") == "connected")
                await asyncio.sleep(22)
                await phone.hang_up()
                await until(lambda: not page.call)
            finally:
                await agent.close()
    heard, heard_hz = phone.heard()
    assert understood(words_in(heard[: 12 * heard_hz], heard_hz)), "the agent is audible at the telephone"
    assert "calling" in words_in(agent.heard.in_time[5 * RTP_HZ :], RTP_HZ), "the caller is audible in the browser"
    snapshot = await server.settled(await sid_of(server))
    assert understood(words(snapshot, "agent"))
    assert "calling" in words(snapshot, "customer")
    assert [leg["role"] for leg in snapshot["legs"]] == ["customer", "agent"]
    assert snapshot["call"]["end_reason"] == "completed"


async def test_an_agent_who_hangs_up_ends_the_call(server: Whole, tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "customer.pcap", spoken("customer", 8000))
    async with phone_page(server.http, server.url) as page:
        await page.do(do="status", status="online")
        async with asyncio.TaskGroup() as tasks:
            caller = tasks.create_task(sipp("waits", sip_port(server), tmp_path, pcap=capture, ms=40_000))
            await until(lambda: page.call)
            agent = AgentBrowser(saying(spoken("agent", RTP_HZ), RTP_HZ))
            await agent.connect(server.http, server.url)
            await until(lambda: page.call.get("media") == "connected")
            async with server.http.delete(f"/webrtc/{agent.leg_id}") as reply:
                assert reply.status == 204
            await agent.close()
    caller.result().check()
    assert (await server.settled(await sid_of(server)))["call"]["end_reason"] == "agent hung up"


async def test_a_taken_port_ends_the_server_with_one_clear_line(server: Whole) -> None:
    environment = {**server.environment, "HEARLINE_PORT": str(free_port())}
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.main", "serve", "--parent", str(os.getpid())),
        env=environment,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, said = await second.communicate()
    assert second.returncode
    assert f"SIP at 127.0.0.1:{sip_port(server)} (Address already in use): set SIP_HOST or SIP_PORT" in said.decode()
    assert "Traceback" not in said.decode()


async def test_calls_come_over_a_registration(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "customer.pcap", spoken("customer", 8000))
    port = free_port()
    async with kamailio(tmp_path / "kamailio", users={"hearline": "a-password"}) as proxy:
        settings = {
            "sip_host": "127.0.0.1",
            "sip_port": str(port),
            "sip_register": f"sip:hearline@127.0.0.1:{proxy.port};transport=tcp",
            "sip_register_password": "a-password",
            "rtp_ports": "27000-27999",
        }
        async with whole(tmp_path / "data", **settings) as server:
            await until(lambda: proxy.said("registered hearline"), within_s=30)
            (await sipp("call", proxy.port, tmp_path, to="hearline", pcap=capture, ms=13_000)).check()
            snapshot = await server.settled(await sid_of(server))
            assert "calling" in words(snapshot, "customer")
            assert snapshot["call"]["to_number"] == "hearline"
            (await sipp("stranger", port, tmp_path)).check()
