"""A real browser: what its microphone hears arrives here as Opus, and what we send comes out of its loudspeaker."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page

from tests.browsing import chromium
from tests.conftest import until
from tests.lossy import LossyPath
from tests.rtc_client import opus_tone
from tests.rtc_office import Line, Office

MICROPHONE_HZ, LOUDSPEAKER_HZ = 440, 1000
PAGE = """<!doctype html><meta charset=utf-8><title>phone</title><script>
async function call({microphone = true, trickle = true} = {}) {
  const pc = window.pc = new RTCPeerConnection();
  if (microphone) {
    const stream = await navigator.mediaDevices.getUserMedia(
      {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}});
    stream.getTracks().forEach(track => pc.addTrack(track, stream));
  } else {
    pc.addTransceiver('audio', {direction: 'recvonly'});
  }
  pc.ontrack = event => {
    const audio = new Audio();  // without it Chromium decodes nothing
    audio.muted = true; audio.srcObject = event.streams[0]; audio.play();
    const context = window.context = new AudioContext();
    window.analyser = new AnalyserNode(context, {fftSize: 4096, smoothingTimeConstant: 0});
    context.createMediaStreamSource(event.streams[0]).connect(window.analyser);
    window.stream = event.streams[0];
  };
  const late = []; let leg = null;
  const tell = candidate => fetch('/webrtc/' + leg, {method: 'PATCH', headers: {'content-type': 'application/json'},
    body: JSON.stringify(candidate ?? {candidate: null})});
  pc.onicecandidate = event => { if (trickle) leg ? tell(event.candidate) : late.push(event.candidate); };
  await pc.setLocalDescription();
  const reply = await fetch('/webrtc/offer', {method: 'POST', headers: {'content-type': 'application/json'},
    body: JSON.stringify({sdp: pc.localDescription.sdp, type: 'offer'})});
  const answer = await reply.json();
  await pc.setRemoteDescription({type: 'answer', sdp: answer.sdp});
  leg = answer.leg_id; late.forEach(tell);
  const began = performance.now();
  while (pc.connectionState !== 'connected') {
    if (performance.now() - began > 15000) throw new Error(pc.connectionState);
    await new Promise(done => setTimeout(done, 10));
  }
  return {offer: pc.localDescription.sdp, answer: answer.sdp};
}
function hears() {
  const bins = new Float32Array(analyser.frequencyBinCount), wave = new Float32Array(analyser.fftSize);
  analyser.getFloatFrequencyData(bins); analyser.getFloatTimeDomainData(wave);
  const level = Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
  return {hz: bins.indexOf(Math.max(...bins)) * context.sampleRate / analyser.fftSize, level};
}
async function stats() {
  const found = {};
  for (const entry of (await pc.getStats()).values())
    if (['inbound-rtp', 'outbound-rtp', 'remote-inbound-rtp', 'codec', 'transport'].includes(entry.type))
      found[entry.type] = entry;
  return found;
}
</script>"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    # The guard in front of the handlers names the user by a plain string, as handlers everywhere expect it.
    pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning"),
]


@pytest_asyncio.fixture
async def office() -> AsyncIterator[Office]:
    async def blank(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    office = Office()
    assert office.http.app is not None
    office.http.app.router.add_get("/", blank)
    async with office.http, asyncio.TaskGroup() as tasks:
        tasks.create_task(office.webrtc.run())
        await asyncio.sleep(0)
        yield office
        await office.webrtc.close()


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    microphone = tmp_path / "microphone.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        at = np.arange(48_000 * 5)
        file.writeframes((8000 * np.sin(2 * np.pi * MICROPHONE_HZ * at / 48_000)).astype("<i2").tobytes())
    async with chromium(f"--use-file-for-fake-audio-capture={microphone}") as started:
        yield started


@pytest_asyncio.fixture
async def page(browser: Browser, office: Office) -> AsyncIterator[Page]:
    opened = await browser.new_page()
    await opened.goto(str(office.http.make_url("/")))
    yield opened
    await opened.close()


def decoded(line: Line) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What the line heard, 48 kHz mono."""
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout, decoder.format = 48_000, "mono", "s16"
    pieces = []
    for _, payload, _ in line.packets:
        for frame in decoder.decode(av.Packet(payload)):
            samples = frame.to_ndarray().reshape(-1).astype(np.float32)
            pieces.append(samples[:: frame.layout.nb_channels])
    return np.concatenate(pieces)


def strongest_hz(samples: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 48_000 / len(samples)


async def speak(line: Line, seconds: float) -> None:
    """Play a tone into the browser, in time."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for number, payload in enumerate(opus_tone(seconds, LOUDSPEAKER_HZ)):
        await asyncio.sleep(max(began_s + number * 0.02 - loop.time(), 0))
        assert line.peer is not None
        line.peer.send(payload)


async def hears(page: Page) -> float:
    """The frequency that the page hears best, once it is loud."""

    async def loud() -> float | None:
        heard = await page.evaluate("hears()")
        return heard["hz"] if heard["level"] > 0.05 else None

    return await until(loud, within_s=8) or 0.0


async def test_a_page_talks_and_listens(office: Office, page: Page) -> None:
    said = await page.evaluate("call()")
    (line,) = office.lines
    assert "a=setup:actpass" in said["offer"]
    assert "a=setup:active" in said["answer"]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak(line, 6))
        hz = await hears(page)
        await asyncio.sleep(3)
    assert hz == pytest.approx(LOUDSPEAKER_HZ, abs=30)
    assert line.states == ["connecting", "connected"]
    heard = decoded(line)
    assert len(heard) > 48_000
    middle = heard[len(heard) // 2 :][:24_000]
    assert strongest_hz(middle) == pytest.approx(MICROPHONE_HZ, abs=5)
    assert np.sqrt(np.mean(middle**2)) > 1000
    steps = {later[0] - earlier[0] & 0xFFFFFFFF for earlier, later in pairwise(line.packets)}
    assert steps == {960}  # 20 ms, as asked for

    stats = await page.evaluate("stats()")
    assert stats["codec"]["mimeType"] == "audio/opus"
    assert stats["inbound-rtp"]["packetsLost"] == 0
    assert stats["remote-inbound-rtp"]["packetsLost"] == 0
    assert stats["remote-inbound-rtp"]["roundTripTimeMeasurements"] > 0  # our reports are understood
    assert line.peer is not None
    quality = line.peer.quality()
    assert quality.rtt_ms is not None
    assert quality.loss_fraction == 0


async def test_a_page_that_only_listens_hides_its_address(office: Office, page: Page) -> None:
    said = await page.evaluate("call({microphone: false, trickle: false})")
    (line,) = office.lines
    assert "a=sendonly" in said["answer"]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak(line, 4))
        assert await hears(page) == pytest.approx(LOUDSPEAKER_HZ, abs=30)
    assert not line.packets


async def test_a_reload_is_noticed_at_once(office: Office, page: Page) -> None:
    await page.evaluate("call()")
    (line,) = office.lines
    await until(lambda: line.packets)
    await page.reload()
    await until(lambda: line.states[-1] in {"closed", "lost"}, within_s=5)
    await page.evaluate("call()")
    await until(lambda: office.lines[1].packets)


async def test_a_tab_that_dies_is_noticed(office: Office, browser: Browser, page: Page) -> None:
    await page.evaluate("call()")
    (line,) = office.lines
    await until(lambda: line.packets)
    await browser.close()
    await until(lambda: line.states[-1] in {"closed", "lost"}, within_s=10)


async def test_a_call_over_a_bad_network(office: Office, page: Page) -> None:
    async with LossyPath(loss=0.05, delay_ms=20, jitter_ms=40) as path:
        await page.route("**/webrtc/**", path.route)
        await page.evaluate("call()")
        (line,) = office.lines
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(line, 5))
            assert await hears(page) == pytest.approx(LOUDSPEAKER_HZ, abs=30)
        assert line.states == ["connecting", "connected"]
        assert path.counts["to_server"].lost > 0
        assert path.counts["to_server"].passed >= len(line.packets)  # none found a way around it
        assert len(line.packets) > 100
        await page.evaluate("pc.close()")


async def test_a_call_outlives_a_change_of_address(office: Office, page: Page) -> None:
    async with LossyPath() as path:
        await page.route("**/webrtc/**", path.route)
        await page.evaluate("call()")
        (line,) = office.lines
        await until(lambda: line.packets)
        path.rebind()
        heard = len(line.packets)
        await until(lambda: len(line.packets) > heard + 100)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(line, 4))
            assert await hears(page) == pytest.approx(LOUDSPEAKER_HZ, abs=30)
        assert line.states == ["connecting", "connected"]
        await page.evaluate("pc.close()")
