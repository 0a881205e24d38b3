"""RTP through real sockets on loopback: what a phone says reaches the track, and nobody else says anything."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pylibsrtp
import pytest

from infra.model import Hole
from media_gateway import listening
from media_gateway.audio import FRAME_SAMPLES, MULAW, Samples, encode
from media_gateway.listening import Listener, Listeners
from media_gateway.media_clock import MediaClock
from media_gateway.playout.buffer import Frame
from media_gateway.protocols import rtp
from media_gateway.protocols.sdes import KEY_BYTES, CryptoLine, Suite, crypto_value, new_line
from media_gateway.protocols.sdp import Codec, parse_sdp
from media_gateway.protocols.sdp_plan import LocalMedia, StreamPlan, plan_answer
from media_gateway.transports.rtp import RtpStream, StreamLimits
from media_gateway.transports.rtp_ports import NoPortsLeft, RtpPorts
from media_gateway.voices import encoder_for, voice_for
from tests.conftest import until
from tests.hearing import words_in
from tests.rtp_phone import RtpPhone, Sink, captured_udp
from tests.speech import speech
from tests.unit.test_listening import CODECS, LATE, Ear, level_db, likeness, payloads, voice

PROFILES: dict[Suite, int] = {
    "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
STRANGERS_VOICE = encode((np.sin(np.arange(160) * 2 * np.pi * 1000 / 8000) * 20_000).astype(np.int16))


class Office:
    """The server's side: ports, the media thread, and one stream with its track."""

    def __init__(self, ports: RtpPorts, listeners: Listeners) -> None:
        self.ports, self.listeners = ports, listeners
        self.sink = Sink()
        self.keys: list[str] = []
        self.lost: list[str] = []
        self.heard: list[tuple[int, bytes]] = []
        self.offered = ""
        self.stream: RtpStream
        self.listener: Listener
        self.phone: RtpPhone

    def call(
        self,
        codec: Codec = CODECS["PCMU"],
        *attributes: str,
        profile: str = "RTP/AVP",
        limits: StreamLimits | None = None,
        announced: str | None = None,
        signalled_from: str | None = "127.0.0.1",
    ) -> RtpPhone:
        """Set a call up: a phone's offer, answered; return the phone."""
        socket = self.ports.allocate()
        self.phone = RtpPhone(("127.0.0.1", socket.port), payload_type=codec.payload_type)
        channels = "/2" if codec.name == "opus" else ""
        self.offered = "\r\n".join(
            [
                "v=0",
                "o=- 1 1 IN IP4 127.0.0.1",
                "s=-",
                f"c=IN IP4 {announced or '127.0.0.1'}",
                "t=0 0",
                f"m=audio {self.phone.address[1]} {profile} {codec.payload_type} 101",
                f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_hz}{channels}",
                f"a=rtpmap:101 telephone-event/{codec.clock_hz}",
                *attributes,
                "",
            ]
        )
        plan = self.plan(socket.port)
        self.listener = self.listeners.open(self.sink, codec, lambda: 0)
        self.stream = RtpStream(
            socket,
            plan,
            on_packet=lambda timestamp, payload, _: self.heard.append((timestamp, payload)),
            listener=self.listener,
            on_key=self.keys.append,
            on_lost=self.lost.append,
            signalled_from=signalled_from,
            limits=limits or StreamLimits(),
        )
        return self.phone

    def plan(self, port: int, **changes: str) -> StreamPlan:
        text = self.offered
        for old, new in changes.items():
            text = text.replace(old, new)
        return plan_answer(parse_sdp(text.encode()), LocalMedia("127.0.0.1", {0: port})).streams[0]

    def end(self) -> Samples:
        """Hang up; return the track."""
        self.stream.close()
        self.listener.close()
        return np.frombuffer(self.sink.pcm, np.int16)

    @property
    def holes(self) -> list[Hole]:
        return [hole for chunk in self.sink.chunks for hole in chunk.holes]


@pytest.fixture
async def office(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(listening, "STALLED_S", 10.0)  # a busy machine is no dead line
    clock, listeners = MediaClock(), Listeners()
    clock.add(listeners)
    clock.start()
    ports = RtpPorts("127.0.0.1", range(23_000, 23_200))
    made = Office(ports, listeners)
    yield made
    with contextlib.suppress(AttributeError):
        made.phone.close()
        made.end()
    ports.close()
    await clock.stop()


@pytest.mark.parametrize("name", CODECS)
async def test_what_a_phone_says_is_on_the_track(office: Office, name: str) -> None:
    codec, said = CODECS[name], voice(3_000)
    phone = office.call(codec)
    await phone.say(payloads(said, codec), ticks=codec.clock_hz // 50)
    track = office.end()
    assert len(track) == len(said)
    late = LATE[name]
    assert likeness(track[late:], said[:-late]) > (0.7 if name == "opus" else 0.99)
    assert office.holes == []
    assert len(office.heard) == 150


@pytest.mark.parametrize(("loss", "jitter_s"), [(0.0, 0.04), (0.01, 0.04), (0.05, 0.04)])
async def test_bad_networks_glue_nothing_together(office: Office, loss: float, jitter_s: float) -> None:
    said = voice(6_000)
    phone = office.call()
    lost = await phone.say(payloads(said), loss=loss, jitter_s=jitter_s)
    track = office.end()
    assert len(lost) == pytest.approx(300 * loss, abs=10)
    assert abs(len(track) - len(said)) <= 320 * 3  # a lost end is not missed
    touched = {number + near for number in lost for near in (-1, 0, 1)}
    alike = {
        number: likeness(track[at + 96 : at + 416], said[at : at + 320])
        for number, at in enumerate(range(0, min(len(track), len(said)) - 416, 320))
    }
    assert min(alike[number] for number in alike if number not in touched) > 0.9  # each at its very place
    assert np.mean(list(alike.values())) > 0.95
    assert abs(level_db(track, said)) < 0.6
    assert all(hole.cause == "missing" for hole in office.holes)


@pytest.mark.models
@pytest.mark.parametrize("loss", [0.01, 0.05])
async def test_words_survive_a_bad_network(office: Office, loss: float) -> None:
    said = speech(0)[162_000:300_000]
    line = payloads(said)
    whole = Ear()
    for number, payload in enumerate(line):
        whole.receive(number, number * 160, payload)
        whole.wait()
    whole.close()
    phone = office.call()
    await phone.say(line, loss=loss, jitter_s=0.04, seed=3)
    track = office.end()
    sent, heard = (words_in(samples, 16_000).split() for samples in (whole.heard(), track))
    assert len(sent) > 10
    kept = sum(word in heard for word in sent) / len(sent)
    assert kept >= 0.85, (sent, heard)
    assert len(heard) <= len(sent) * 1.2


# -- strangers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
async def test_strangers_say_nothing(office: Office, host: str) -> None:
    phone = office.call()
    stranger = RtpPhone(phone.to, host=host, ssrc=0xBAD)
    try:
        early = asyncio.get_running_loop().create_future()
        await stranger.say([STRANGERS_VOICE] * 50)
        assert office.heard == []
        said = voice(1_000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(phone.say(payloads(said)))
            tasks.create_task(stranger.say([STRANGERS_VOICE] * 50))
        early.cancel()
        stranger.ssrc, stranger.sequence = phone.ssrc, phone.sequence  # one who guesses the numbers
        await stranger.say([STRANGERS_VOICE] * 20)
    finally:
        stranger.close()
    track = office.end()
    assert all(payload != STRANGERS_VOICE for _, payload in office.heard)
    assert len(office.heard) == 50
    assert likeness(track[96 : len(said)], said[:-96]) > 0.99
    assert not track[len(said) :].any()
    assert office.stream.strays == 120


@pytest.mark.parametrize("suite", PROFILES)
async def test_encrypted_calls(office: Office, suite: Suite) -> None:
    theirs = new_line(1, suite)
    phone = office.call(CODECS["PCMU"], f"a=crypto:{crypto_value(theirs)}", profile="RTP/SAVP")
    pair = office.stream.plan.crypto
    assert pair is not None
    phone.encrypt(PROFILES[suite], theirs.key, pair.ours)
    said = voice(1_000)
    stranger = RtpPhone(phone.to, ssrc=phone.ssrc)  # in clear, then with a key of its own
    other = new_line(1, suite)
    recorded = phone.packet(b"\xff" * 160)
    try:
        await stranger.say([STRANGERS_VOICE] * 5)
        stranger.encrypt(PROFILES[suite], other.key, other.key)
        await stranger.say([STRANGERS_VOICE] * 5)
        phone.rtp.sendto(recorded, phone.to)
        await phone.say(payloads(said))
        for _ in range(3):
            stranger.rtp.sendto(recorded, phone.to)  # a copy of what was said
        for payload in payloads(said[:3_200]):
            office.stream.send(payload)
        await until(lambda: len(phone.packets) == 10)
    finally:
        stranger.close()
    assert [packet.payload for packet in phone.packets] == payloads(said[:3_200])
    await until(lambda: office.stream.strays == 13)
    assert office.stream.remote == phone.address
    assert len(office.heard) == 51
    assert likeness(office.end()[320 + 96 :], said[:-96]) > 0.99


async def test_a_phone_behind_a_nat(office: Office) -> None:
    phone = office.call(announced="10.0.0.9")
    said = payloads(voice(400))
    await phone.say(said)
    assert len(office.heard) == 20
    office.stream.send(said[0])
    await until(lambda: len(phone.packets) == 1)


# -- re-INVITEs


async def test_hold_another_address_and_another_codec(office: Office) -> None:
    said = payloads(voice(300))
    phone = office.call()
    port = office.stream.plan.port
    await phone.say(said)
    assert len(office.heard) == 15

    office.stream.update(office.plan(port, **{"a=rtpmap:101": "a=inactive\r\na=rtpmap:101"}))
    await phone.say(said)
    office.stream.send(said[0])
    assert len(office.heard) == 15

    office.stream.update(office.plan(port))
    await phone.say(said)
    office.stream.send(said[0])
    await until(lambda: len(phone.packets) == 1)
    assert len(office.heard) == 30

    other = RtpPhone(phone.to, ssrc=0xBEEF)
    try:
        moved = office.plan(port, **{f"m=audio {phone.address[1]}": f"m=audio {other.address[1]}"})
        office.stream.update(moved)
        await phone.say(said[:5])
        await other.say(said)
        office.stream.send(said[0])
        await until(lambda: len(other.packets) == 1)
        assert len(office.heard) == 45

        office.stream.update(replace(moved, codec=CODECS["G722"]))
        other.payload_type = 9
        wide = voice(1_000, 2)
        await other.say(payloads(wide, CODECS["G722"]))
    finally:
        other.close()
    track = office.end()
    assert likeness(track[-len(wide) + 22 :], wide[:-22]) > 0.98
    assert "hold" in {hole.cause for hole in office.holes}


# -- sending


@pytest.mark.parametrize(
    ("ptime_ms", "sizes"), [(10, [80] * 24), (20, [160] * 12), (30, [240] * 8), (40, [320] * 6), (60, [480] * 4)]
)
async def test_packets_are_as_long_as_they_are_wanted(office: Office, ptime_ms: int, sizes: list[int]) -> None:
    phone = office.call(CODECS["PCMU"], f"a=ptime:{ptime_ms}")
    said = payloads(voice(240))
    for payload in said:
        office.stream.send(payload)
    await until(lambda: len(phone.packets) == len(sizes))
    assert [len(packet.payload) for packet in phone.packets] == sizes
    assert b"".join(packet.payload for packet in phone.packets) == b"".join(said)
    steps = np.diff([packet.timestamp for packet in phone.packets]) % 2**32
    assert set(steps) == {sizes[0]}
    assert set(np.diff([packet.sequence for packet in phone.packets]) % 2**16) == {1}


async def test_keys_are_pressed_as_events(office: Office) -> None:
    phone = office.call()
    assert office.stream.send_key("5")
    assert office.stream.send_key("#")
    assert not office.stream.send_key("x")
    said = payloads(voice(1_000))
    for payload in said[:40]:
        office.stream.send(payload)
    await until(lambda: len(phone.packets) >= 30)
    await asyncio.sleep(0.05)
    reader, pressed = rtp.KeyReader(), []
    events = [packet for packet in phone.packets if packet.payload_type == 101]
    for packet in events:
        pressed += [key] if (key := reader.feed(packet.timestamp, packet.payload)) else []
    assert pressed == ["5", "#"]
    assert [packet.payload[1] >> 7 for packet in events] == ([0] * 8 + [1] * 3) * 2
    assert [int.from_bytes(packet.payload[2:], "big") for packet in events[:11]] == [
        160, 320, 480, 640, 800, 960, 1_120, 1_280, 1_280, 1_280, 1_280,
    ]  # fmt: skip
    audio = [packet for packet in phone.packets if packet.payload_type == 0]
    assert audio[0].timestamp - events[0].timestamp & 0xFFFFFFFF == 32 * 160  # the clock went on under them
    assert len(audio) == 40 - 32


async def test_a_voice_both_ways(office: Office) -> None:
    for name in ("PCMA", "G722", "opus"):
        codec, said = CODECS[name], voice(1_000)
        phone = office.call(codec)
        there = voice_for(office.stream.plan)
        there.send = office.stream.send
        errands: list[object] = []
        for at in range(0, len(said), FRAME_SAMPLES):
            there.play(said[at : at + FRAME_SAMPLES], lambda errand: errand())
        await until(lambda: len(phone.packets) == 50)  # noqa: B023
        back, heard = voice_for(office.stream.plan), []
        for number, packet in enumerate(phone.packets):
            back.receive(packet.timestamp, packet.payload, number * 0.02)
            heard.append(_samples(back.hear(number * 0.02 + 0.001)))
        track = np.concatenate(heard)
        late = max(range(2_000), key=lambda start: likeness(track[start : start + 8_000], said[:8_000]))
        assert likeness(track[late : late + 8_000], said[:8_000]) > (0.7 if name == "opus" else 0.97), name
        assert errands == []
        phone.close()
        office.stream.close()


def _samples(frame: Frame) -> Samples:
    return frame.samples


# -- keys, captures


@pytest.mark.parametrize(("name", "key"), [("1", "1"), ("2", "2"), ("3", "3"), ("star", "*")])
async def test_keys_as_sipp_presses_them(office: Office, data_dir: Path, name: str, key: str) -> None:
    phone = office.call()
    for _, data in captured_udp(data_dir / "wire" / f"sipp_dtmf_2833_{name}.pcap"):
        phone.rtp.sendto(data, phone.to)
    await until(lambda: office.keys)
    await asyncio.sleep(0.05)
    assert office.keys == [key]


async def test_a_captured_voice(office: Office, data_dir: Path) -> None:
    """30 ms packets of A-law, as sipp plays them."""
    phone = office.call(CODECS["PCMA"])
    packets = [data for _, data in captured_udp(data_dir / "wire" / "sipp_g711a.pcap")]
    for data in packets[:100]:
        phone.rtp.sendto(data, phone.to)
        await asyncio.sleep(0.03)
    await asyncio.sleep(0.05)
    track = office.end()
    assert len(track) == 100 * 480
    assert 100 < np.std(track.astype(float)) < 8_000
    assert office.holes == []


async def test_recorded_opus_and_pcmu(office: Office, data_dir: Path) -> None:
    with av.open(str(data_dir / "wire" / "rtpengine_opus.1.8k.11k.speech.ogg")) as container:
        opus = [(bytes(packet), packet.duration) for packet in container.demux(audio=0) if packet.size]
    phone = office.call(CODECS["opus"])
    for payload, ticks in opus[:100]:
        phone.send(payload, ticks or 960)
        await asyncio.sleep((ticks or 960) / 48_000)
    await asyncio.sleep(0.05)
    track = office.end()
    assert len(track) == sum(ticks or 960 for _, ticks in opus[:100]) // 3
    assert np.std(track.astype(float)) > 50
    phone.close()

    raw = (data_dir / "wire" / "rtpengine_pcmu.1.8k.raw").read_bytes()[: 160 * 50]
    office.sink = Sink()
    phone = office.call()
    await phone.say([raw[at : at + 160] for at in range(0, len(raw), 160)])
    track = office.end()
    assert len(track) == 2 * len(raw)
    assert level_db(track, MULAW.take(np.frombuffer(raw, np.uint8))) == pytest.approx(0, abs=0.5)


# -- reports, silence, ports


@pytest.mark.parametrize("muxed", [False, True])
async def test_reports(office: Office, muxed: bool) -> None:
    phone = office.call(CODECS["PCMU"], *(["a=rtcp-mux"] if muxed else []), limits=StreamLimits(report_s=0.1))
    said = payloads(voice(600))
    theirs = rtp.Sending(phone.ssrc, 10, 1_600, 0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(phone.say([said[number] for number in range(30) if number % 5]))
        for payload in said[:10]:
            office.stream.send(payload)
    phone.sequence += 6  # these were lost
    phone.send(said[0])
    report = rtp.report(theirs, "phone", time.time(), None)
    (phone.rtp if muxed else phone.rtcp).sendto(report, phone.to if muxed else (phone.to[0], phone.to[1] + 1))
    await until(lambda: any(rtp.parse_rtcp(data).blocks for data in phone.reports))
    await until(lambda: office.stream.quality().loss_fraction > 0.1)
    block = next(block for data in reversed(phone.reports) for block in rtp.parse_rtcp(data).blocks)
    assert block.ssrc == phone.ssrc
    assert block.packets_lost == 6
    sender = rtp.parse_rtcp(phone.reports[-1])
    assert sender.sender_ssrc == phone.packets[0].ssrc
    answer = rtp.ReportBlock(phone.packets[0].ssrc, 0.25, 3, 10, 0, rtp.middle_ntp(sender.sender_ntp), 0)
    report = rtp.report(theirs, "phone", time.time(), answer)
    (phone.rtp if muxed else phone.rtcp).sendto(report, phone.to if muxed else (phone.to[0], phone.to[1] + 1))
    await until(lambda: office.stream.quality().rtt_ms is not None)
    quality = office.stream.quality()
    assert quality.sent_loss_fraction == 0.25
    assert 0 <= (quality.rtt_ms or 0) < 5_000
    office.stream.close()
    await until(lambda: rtp.parse_rtcp(phone.reports[-1]).byes)
    assert rtp.parse_rtcp(phone.reports[-1]).byes == (phone.packets[0].ssrc,)


async def test_a_listener_reports_as_a_receiver(office: Office) -> None:
    phone = office.call(CODECS["PCMU"], "a=sendonly", limits=StreamLimits(report_s=0.05))
    office.stream.send(b"\xff" * 160)
    await phone.say(payloads(voice(200)))
    await until(lambda: any(rtp.parse_rtcp(data).blocks for data in phone.reports))
    assert phone.packets == []
    assert {data[1] for data in phone.reports} == {201}


async def test_silence_is_told_once_each_time(office: Office) -> None:
    phone = office.call(limits=StreamLimits(report_s=0.05, lost_after_s=0.2))
    await until(lambda: office.lost == ["silent"])
    await asyncio.sleep(0.2)
    assert office.lost == ["silent"]
    await phone.say(payloads(voice(200)))
    await until(lambda: office.lost == ["silent", "silent"])


async def test_ports_run_out_and_come_back() -> None:
    ports = RtpPorts("127.0.0.1", range(23_301, 23_308))
    assert ports.size == 3
    opened = [ports.allocate() for _ in range(3)]
    assert sorted(each.port for each in opened) == [23_302, 23_304, 23_306]
    with pytest.raises(NoPortsLeft, match="3 of 3 in 23301-23307 are in use by calls"):
        ports.allocate()
    opened[1].close()
    opened[1].close()
    assert ports.in_use == 2
    assert ports.allocate().port == opened[1].port
    ports.close()
    assert ports.in_use == 0


async def test_ports_of_other_programs_are_passed_over() -> None:
    ports, others = (RtpPorts("127.0.0.1", range(23_310, 23_314)) for _ in range(2))
    taken = others.allocate().port
    assert ports.allocate().port != taken
    with pytest.raises(NoPortsLeft, match="1 of 2"):
        ports.allocate()
    ports.close()
    others.close()


def test_suites_are_all_known() -> None:
    assert set(PROFILES) == set(KEY_BYTES)
    assert CryptoLine(1, "AEAD_AES_128_GCM", b"x").key not in repr(CryptoLine(1, "AEAD_AES_128_GCM", b"x")).encode()
    assert encoder_for(Codec("opus", 96, 48_000, 2, "maxaveragebitrate=12000")).encode(voice(20))
