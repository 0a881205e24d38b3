"""`hearline call`: a file played as Twilio would play it, against the real doors."""

from __future__ import annotations

import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.tokens import SpentHere, StreamTokens
from media_gateway.audio import AudioFormat, decode
from media_gateway.caller import CallerError, place_call, read_parties, read_twiml
from media_gateway.transports import twilio
from media_gateway.transports.twilio import TwilioMedia
from tests.fakes.gateway import CountingMeter, FakeRegistry
from webhooks import twiml
from webhooks.numbers import Numbers
from webhooks.signature import SignedForms
from webhooks.twilio_status import CallStatus, TwilioStatus
from webhooks.twilio_voice import TwilioVoice

TOKEN = "12345678901234567890123456789012"
BASE = "https://pbx.example"


class Office:
    """Webhooks and media socket, as the server has them."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.meter = CountingMeter()
        self.statuses: list[str] = []
        tokens = StreamTokens("a secret of the server", SpentHere())
        forms = SignedForms(TOKEN, BASE)
        self.media = TwilioMedia(
            self.registry, tokens, auth_token=TOKEN, public_base_url=BASE, meter=self.meter, grace_s=0.1
        )
        app = web.Application()
        app.router.add_get(twilio.PATH, self.media.handle)
        voice = TwilioVoice(forms, twiml.Answers(tokens, BASE), Numbers())
        app.router.add_post(twiml.VOICE_PATH, voice.handle)
        app.router.add_post(twiml.STATUS_PATH, TwilioStatus(forms, self.hear).handle)
        self.server = TestServer(app)

    async def hear(self, status: CallStatus) -> None:
        self.statuses.append(status.state)

    @property
    def url(self) -> str:
        return f"ws://{self.server.host}:{self.server.port}"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    async with office.server:
        yield office


def recording(path: Path, channels: int = 2, seconds: float = 3.0, rate_hz: int = 44_100) -> Path:
    """Write a file with 440 Hz on the left and 1000 Hz on the right."""
    moments = np.arange(int(seconds * rate_hz)) / rate_hz
    tones = [np.rint(9000 * np.sin(2 * np.pi * hertz * moments)) for hertz in (440, 1000)[:channels]]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.stack(tones, 1).astype("<i2").tobytes())
    return path


def pitch(pcm: bytes) -> float:
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2")))
    return float(np.argmax(spectrum) * 16_000 / (len(pcm) // 2))


async def test_a_file_is_heard_as_a_call(office: Office, tmp_path: Path) -> None:
    sid = await place_call(
        recording(tmp_path / "call.wav"), office.url, TOKEN, public_base_url=BASE, speed=20, from_number="+15550123"
    )

    call = office.registry.only
    assert call.call.external_id == sid
    assert (call.call.from_number, call.call.to_number) == ("+15550123", "+15550199")
    assert office.statuses == ["ringing", "in-progress", "completed"]
    assert call.ended == "completed"
    assert {role: round(pitch(sink.pcm)) for role, sink in call.sinks.items()} == {"customer": 440, "agent": 1000}
    assert {len(sink.pcm) // 32 for sink in call.sinks.values()} == {3000}
    assert office.meter.outcomes == {"placed": 300}
    assert not office.meter.refusals


async def test_the_left_channel_may_be_the_agents(office: Office, tmp_path: Path) -> None:
    file = recording(tmp_path / "call.wav", seconds=1)
    await place_call(file, office.url, TOKEN, public_base_url=BASE, speed=20, left_role="agent")
    sinks = office.registry.only.sinks
    assert {role: round(pitch(sink.pcm)) for role, sink in sinks.items()} == {"customer": 1000, "agent": 440}


async def test_mono_is_the_customer_alone(office: Office, tmp_path: Path) -> None:
    await place_call(recording(tmp_path / "c.wav", 1, 1.01), office.url, TOKEN, public_base_url=BASE, speed=20)
    assert list(office.registry.only.sinks) == ["customer"]
    assert office.registry.only.sinks["customer"].chunks[-1].end_ms == 1020  # whole frames


async def test_real_time_is_kept(office: Office, tmp_path: Path) -> None:
    began_s = time.monotonic()
    await place_call(recording(tmp_path / "c.wav", 1, 1.0), office.url, TOKEN, public_base_url=BASE)
    assert 0.95 < time.monotonic() - began_s < 2.5


@pytest.mark.parametrize(("token", "base"), [("wrong", BASE), (TOKEN, "https://other.example")])
async def test_a_refusal_is_told_in_one_line(office: Office, tmp_path: Path, token: str, base: str) -> None:
    with pytest.raises(CallerError, match=r"403: X-Twilio-Signature does not match") as caught:
        await place_call(recording(tmp_path / "c.wav", 1, 0.1), office.url, token, public_base_url=base)
    assert "\n" not in str(caught.value)


async def test_a_refused_socket_is_told(office: Office, tmp_path: Path) -> None:
    office.registry.refuses = "the server is draining"
    with pytest.raises(CallerError, match="1008 the server is draining"):
        await place_call(recording(tmp_path / "c.wav", 1, 1.0), office.url, TOKEN, public_base_url=BASE)


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"nobody answers at http://127\.0\.0\.1:1"):
        await place_call(recording(tmp_path / "c.wav", 1, 0.1), "ws://127.0.0.1:1", TOKEN)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "ws://"])
async def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(CallerError, match="no address"):
        await place_call(recording(tmp_path / "c.wav", 1, 0.1), url, TOKEN)


@pytest.mark.parametrize("speed", [0.0, -1.0, 51.0, float("nan")])
async def test_a_speed_that_makes_no_sense(tmp_path: Path, speed: float) -> None:
    with pytest.raises(CallerError, match="speed"):
        await place_call(tmp_path / "c.wav", "ws://127.0.0.1:1", TOKEN, speed=speed)


def test_files_that_cannot_be_played(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    empty = recording(tmp_path / "empty.wav", 1, 0.0)
    for path in (tmp_path / "missing.wav", text, tmp_path, empty):
        with pytest.raises(CallerError, match=path.name) as caught:
            read_parties(path)
        assert "\n" not in str(caught.value)


def test_two_channels_become_one_track_where_both_are_to_be_heard_on_it(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    left, right = b"\x00\x10", b"\x00\x20"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((left + right) * 8000)
    assert [party.track for party in read_parties(path)] == ["inbound", "outbound"]
    (both,) = read_parties(path, mixed=True)
    assert both.track == "inbound"
    assert decode(both.frames[25], AudioFormat("mulaw", 8000))[0] == pytest.approx(0x1800, rel=0.05)


def test_a_long_silence_is_sent_too(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000 * 3))
    (party,) = read_parties(path)
    assert party.frames == [b"\xff" * 160] * 150


@pytest.mark.parametrize(
    ("twiml", "message"),
    [
        ("hello", "not TwiML"),
        ("<Response/>", "nothing"),
        ("<Response><Say>Closed</Say><Hangup/></Response>", "Say, Hangup"),
        ("<Response><Connect/></Response>", "Connect"),
    ],
)
def test_an_answer_without_a_stream(twiml: str, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        read_twiml(twiml)


def test_an_answer_with_a_stream_beside_the_call() -> None:
    order = read_twiml(
        '<Response><Start><Stream url="wss://x/y" track="both_tracks"><Parameter name="token" value="t"/></Stream>'
        "</Start><Dial>1</Dial></Response>"
    )
    assert (order.url, order.tracks, order.parameters) == ("wss://x/y", ("inbound", "outbound"), {"token": "t"})
