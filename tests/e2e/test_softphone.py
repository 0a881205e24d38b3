"""An agent and a supervisor in two real browsers, and a caller behind a simulator of Twilio that is not ours."""

import asyncio
import base64
import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from streamdouble.protocol import StreamIdentity
from streamdouble.session import Session, SessionConfig, SessionResult

from infra.model import UserRole
from media_gateway.audio import MULAW, encode
from tests.browsing import chromium, come_in
from tests.conftest import require_tool, until
from tests.hearing import words_in
from tests.peers import Samples, stream_token, twiml
from tests.recordings import cut, read
from tests.whole import ROOT, TWILIO_TOKEN, Whole, whole

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
CUSTOMER, AGENT = 0, 1
CALL_S = 400
"""How long the caller would stay; the agent hangs up before."""
KEEP_PEERS = """
window.peers = [];
const Plain = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Plain { constructor(...given) { super(...given); window.peers.push(this); } };
"""
RECORD = """
async (seconds) => {
    const peer = window.peers.filter((each) => each.connectionState === "connected").at(-1);
    const recorder = new MediaRecorder(new MediaStream([peer.getReceivers()[0].track]));
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    const stopped = new Promise((done) => { recorder.onstop = done; });
    recorder.start();
    await new Promise((done) => setTimeout(done, seconds * 1000));
    recorder.stop();
    await stopped;
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
}
"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    require_tool("chromium")
    async with whole(tmp_path_factory.mktemp("softphone") / "data") as running:
        yield running


@contextlib.asynccontextmanager
async def person(installation: Whole, name: str, role: UserRole, says: Path) -> AsyncIterator[Page]:
    """Somebody at a browser of their own, whose microphone hears `says` over and over."""
    async with chromium(f"--use-file-for-fake-audio-capture={says}") as browser:
        yield await come_in(browser, installation, role, name=name, script=KEEP_PEERS)


def frames(samples: Samples, *, silence_s: float, total_s: float) -> list[bytes]:
    """Return what a telephone sends: this over and over, each time after some silence."""
    once = np.concatenate([np.zeros(int(silence_s * 8000), np.int16), samples])
    coded = encode(np.resize(once, int(total_s * 8000)))
    return [coded[at : at + 160] for at in range(0, len(coded), 160)]


@contextlib.asynccontextmanager
async def calling(installation: Whole, says: list[bytes]) -> AsyncIterator["asyncio.Task[SessionResult]"]:
    """Call in through the simulator; the task returns what the caller heard once everything is said."""
    identity = StreamIdentity()
    answer = await twiml(installation.http, installation.url, TWILIO_TOKEN, identity.call_sid)
    config = SessionConfig(custom_parameters={"token": stream_token(answer)}, max_drain_s=0.5, quiet_period_s=0.1)
    session = Session(f"{installation.media_url}/twilio/media", says, config=config, identity=identity)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(session.run())
        task.set_name(identity.call_sid)
        yield task


async def hears(page: Page, *words: str) -> bool:
    """Return whether one of these words comes out of a browser's loudspeaker before long."""
    for _ in range(6):
        if set(words) & set(plain(await _heard_by(page, 12))):
            return True
    return False


async def _heard_by(page: Page, seconds: float) -> str:
    body = base64.b64decode(await page.evaluate(RECORD, seconds))
    with av.open(io.BytesIO(body)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        blocks = [block.to_ndarray()[0] for frame in container.decode(audio=0) for block in resampler.resample(frame)]
    return await asyncio.to_thread(words_in, np.concatenate(blocks), 16_000)  # the caller goes on speaking meanwhile


def plain(text: str) -> list[str]:
    """Return the words without their punctuation."""
    return text.translate(str.maketrans("", "", ".,?!")).split()


async def test_a_conversation_with_a_supervisor_beside_it(installation: Whole, tmp_path: Path) -> None:
    greeting = cut(SAMPLE, tmp_path / "agent.wav", 0, 7, channel=AGENT)
    advice = cut(SAMPLE, tmp_path / "supervisor.wav", 40, 55, channel=AGENT)
    customer = read(SAMPLE, 8000)[0][8 * 8000 : 24 * 8000, CUSTOMER]
    async with (
        person(installation, "Ann", "agent", greeting) as ann,
        person(installation, "Sue", "supervisor", advice) as sue,
    ):
        await ann.get_by_test_id("phone-online").click()
        async with calling(installation, frames(customer, silence_s=4, total_s=CALL_S)) as caller:
            await expect(ann.get_by_test_id("phone-offer")).to_be_visible()
            await ann.get_by_test_id("phone-answer").click()
            await expect(ann.get_by_test_id("phone-media")).to_have_attribute("data-state", "connected")
            finals = ann.locator('[data-testid="segment"][data-final="true"]')
            await expect(finals.filter(has_text="Platinum").first).to_have_attribute("data-role", "agent")

            assert await hears(ann, "weeks", "car", "dealership"), "what the caller says is heard by the agent"
            await expect(finals.filter(has_text="weeks").first).to_have_attribute("data-role", "customer")

            snapshot = await installation.get(f"/api/v1/calls/{caller.get_name()}")
            await sue.goto(f"{installation.url}/calls/{snapshot['call']['id']}")
            await sue.get_by_test_id("supervise-listen").click()
            await expect(sue.get_by_test_id("supervise-mode")).to_have_attribute("data-mode", "listen")
            await expect(sue.get_by_test_id("phone-media")).to_have_attribute("data-state", "connected")
            await sue.get_by_test_id("supervise-whisper").click()
            await expect(sue.get_by_test_id("supervise-mode")).to_have_attribute("data-mode", "whisper")
            assert await hears(ann, "inconvenience", "system"), "a whisper is heard by the agent"

            await sue.get_by_test_id("supervise-leave").click()
            await ann.get_by_test_id("phone-hold").click()
            await expect(ann.get_by_test_id("call-stage").first).to_contain_text("hold")
            await asyncio.sleep(6)
            await ann.get_by_test_id("phone-hangup").click()
            result = await caller
    assert not result.violations
    line = MULAW.take(np.frombuffer(result.audio_received, np.uint8))
    at_caller = words_in(line[6 * 8000 :], 8000)
    assert "platinum" in at_caller, "what the agent says reaches the caller"
    assert not {"inconvenience", "system"} & set(plain(at_caller)), "a whisper does not"
    assert result.clears_received >= 1
    on_hold = line[-4 * 8000 :]
    assert "platinum" not in words_in(on_hold, 8000)
    assert np.abs(on_hold).max() > 100, "music"
    settled = await installation.settled(caller.get_name())
    roles = {segment["role"] for segment in settled["segments"]}
    assert roles == {"agent", "customer", "supervisor"}
    acts = await installation.pool.fetch("SELECT detail FROM audit_log WHERE act = 'call.supervise' ORDER BY id")
    assert [row["detail"]["mode"] for row in acts] == ["listen", "whisper", "leave"]


async def test_a_reload_in_mid_call_keeps_the_call(installation: Whole, tmp_path: Path) -> None:
    greeting = cut(SAMPLE, tmp_path / "agent.wav", 0, 7, channel=AGENT)
    silence = frames(np.zeros(160, np.int16), silence_s=1, total_s=CALL_S)
    async with person(installation, "Bob", "agent", greeting) as bob:
        await bob.get_by_test_id("phone-online").click()
        async with calling(installation, silence) as caller:
            await bob.get_by_test_id("phone-answer").click()
            await expect(bob.get_by_test_id("phone-media")).to_have_attribute("data-state", "connected")
            await bob.reload()
            await expect(bob.get_by_test_id("phone-media")).to_have_attribute("data-state", "connected")
            finals = bob.locator('[data-testid="segment"][data-final="true"]')
            await until(finals.count, within_s=30)
            await bob.get_by_test_id("phone-hangup").click()
            await expect(bob.get_by_test_id("phone-call")).to_have_count(0)
            result = await caller
    assert not result.violations
    settled = await installation.settled(caller.get_name())
    assert settled["call"]["end_reason"] == "agent hung up"
    assert [leg["role"] for leg in settled["legs"]] == ["customer", "agent"], "one leg, however often it connects"
