"""SIP calls by sipp through the door: every exchange of RFC 3261 and 3264 that a PBX or a trunk has with us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from infra.model import Call
from media_gateway.audio import resampler
from media_gateway.protocols.rtp import KeyReader, parse_rtp
from media_gateway.protocols.sip.message import Request, Response, parse_message
from media_gateway.transports.rtp import StreamLimits
from media_gateway.transports.sip import call as sip_call
from media_gateway.transports.sip.options import SipUnusable
from tests.certificates import write_certificate
from tests.conftest import TEST_DATA, until
from tests.fakes.gateway import FakeCall
from tests.fakes.house import FakePeer, Person
from tests.sip_house import SipHouse, sip_house
from tests.sip_peers import baresip, kamailio, write_wav
from tests.sipp import heard_level, sipp, tls_relay, write_capture
from tests.speech import speech
from tests.unit.sip_ladder import answer_to

pytestmark = [pytest.mark.sipp, pytest.mark.timeout(120)]

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 31998 RTP/AVP 8\r\n"
DTMF_1 = "sipp_dtmf_2833_1.pcap"


class Wire(asyncio.DatagramProtocol):
    """A peer that sends what it is told, as often as it is told."""

    def __init__(self) -> None:
        self.got: list[Response] = []
        self.asked: list[Request] = []
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Wire]:
        transport, wire = await asyncio.get_running_loop().create_datagram_endpoint(
            cls, remote_addr=("127.0.0.1", port)
        )
        wire._transport = transport
        yield wire
        transport.close()

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = parse_message(data)
        if isinstance(message, Response):
            self.got.append(message)
        else:
            self.asked.append(message)

    def answers(self, method: str, status: int) -> list[Response]:
        return [found for found in self.got if (found.method, found.status) == (method, status)]

    def send(
        self,
        method: str,
        cseq: int,
        branch: str,
        *,
        to: Response | None = None,
        body: str = "",
        content_type: str = "application/sdp",
    ) -> None:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        tag = f";tag={to.to.tag}" if to is not None else ""
        lines = [
            f"{method} sip:+15550199@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}",
            "From: <sip:+15550100@127.0.0.1>;tag=caller",
            f"To: <sip:+15550199@127.0.0.1>{tag}",
            "Call-ID: repeats-itself",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:+15550100@{host}:{port}>",
            *([f"Content-Type: {content_type}"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self._transport.sendto("\r\n".join(lines).encode())

    def reply(self, request: Request, status: int) -> None:
        assert self._transport is not None
        self._transport.sendto(answer_to(request, status))


class Page:
    """An agent's page that only has to be there."""

    def show(self) -> None:
        """Do nothing."""

    def tell(self, detail: str) -> None:
        """Do nothing."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[SipHouse]:
    async with sip_house(tmp_path / "house") as opened:
        yield opened


def customer(call: FakeCall) -> np.ndarray:
    """Return what the recogniser hears of the caller, 16 kHz."""
    return np.frombuffer(call.sinks["customer"].pcm, np.int16)


def holes(call: FakeCall) -> list[str]:
    """Return the causes of the holes in the caller's track."""
    return [hole.cause for chunk in call.sinks["customer"].chunks for hole in chunk.holes]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_is_heard_and_hung_up(house: SipHouse, transport: str, data_dir: Path) -> None:
    with capture_logs() as logged:
        (await house.sipp("call", transport=transport, ms=4000)).check()
    (call,) = house.calls
    assert [(line["call_id"], line["address"]) for line in logged if line["event"] == "sip call begins"] == [
        (str(call.call.id), "127.0.0.1")
    ]
    assert (call.call.door, call.call.from_number, call.call.to_number) == ("sip", "+15550100", "+15550199")
    assert call.ended == "completed"
    assert heard_level(customer(call)) > 200, "the speech of the capture"
    assert call.sinks["customer"].chunks[-1].last
    assert [what for what, _ in call.log] == ["join", "open", "leave", "hang-up"]
    await until(house.is_idle)


async def test_a_call_over_tls(tmp_path: Path, data_dir: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with sip_house(tmp_path / "house", tls=context) as house:
        async with tls_relay(house.door.endpoint.listeners.ports["tls"], certificate) as port:
            (await sipp("call", port, tmp_path, transport="tcp", ms=3000)).check()
        (call,) = house.calls
        assert call.ended == "completed"
        assert heard_level(customer(call)) > 200


async def test_a_softphone_calls_over_tls_with_encrypted_audio(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    narrow = resampler(16_000, 8_000)
    says = write_wav(tmp_path / "says.wav", narrow.process(speech(1)[: 16_000 * 10]), 8000)
    async with sip_house(tmp_path / "house", tls=context, srtp="required") as house:
        address = f"sip:+15550199@127.0.0.1:{house.door.endpoint.listeners.ports['tls']};transport=tls"
        async with baresip(tmp_path / "baresip", says, address, options=";mediaenc=srtp-mand") as phone:
            await until(lambda: house.calls and len(customer(house.calls[0])) > 16_000 * 4)
        (call,) = house.calls
        await until(lambda: call.ended == "completed")
        assert heard_level(customer(call)) > 200
        assert heard_level(phone.heard()[0]) > 200, "the greeting"


async def test_what_is_said_arrives_sample_by_sample(house: SipHouse, tmp_path: Path) -> None:
    said = speech(0)[: 16_000 * 6]
    narrow = resampler(16_000, 8_000)
    capture = write_capture(tmp_path / "said.pcap", np.concatenate([narrow.process(said), narrow.flush()]))
    (await house.sipp("call", pcap=capture, ms=6500)).check()
    heard = customer(house.calls[0]).astype(float)
    correlation = np.correlate(heard, said[16_000 * 2 : 16_000 * 4].astype(float), "valid")
    assert correlation.max() / (np.square(said[16_000 * 2 : 16_000 * 4].astype(float)).sum()) > 0.8
    assert not holes(house.calls[0])


async def test_a_call_is_held_and_taken_back(house: SipHouse, data_dir: Path) -> None:
    (await house.sipp("hold")).check()
    (call,) = house.calls
    assert call.ended == "completed"
    assert "hold" in holes(call)
    assert heard_level(customer(call)[-16_000 * 3 :]) > 100, "heard again after the hold"
    await until(house.is_idle)


async def test_a_call_may_be_given_up_before_it_is_answered(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house") as house:
        answer, gone = house.registry.answer, asyncio.Event()

        async def slowly(call: Call) -> FakeCall:
            await gone.wait()
            return await answer(call)

        house.registry.answer = slowly  # type: ignore[method-assign]
        (await house.sipp("cancel")).check()
        gone.set()
        await until(lambda: [call.ended for call in house.calls] == ["cancelled"])
        assert house.is_idle()
        assert not house.board.conversations


async def test_the_offer_may_be_ours(house: SipHouse, data_dir: Path) -> None:
    (await house.sipp("late_offer", ms=3000)).check()
    (call,) = house.calls
    assert call.ended == "completed"
    assert heard_level(customer(call)) > 200


async def test_what_is_repeated_is_done_once(house: SipHouse) -> None:
    async with Wire.to(house.port) as wire:
        for _ in range(3):
            wire.send("INVITE", 1, "first", body=OFFER)
        await until(lambda: wire.answers("INVITE", 200))
        wire.send("INVITE", 1, "first", body=OFFER)
        await until(lambda: len(wire.answers("INVITE", 200)) >= 2)
        wire.send("ACK", 1, "second", to=wire.answers("INVITE", 200)[0])
        await until(lambda: house.board.conversations)
        assert len(house.calls) == 1
        assert len({answer.to.tag for answer in wire.answers("INVITE", 200)}) == 1
        for number in (1, 2, 3):
            wire.send("BYE", 2, "third", to=wire.answers("INVITE", 200)[0])
            await until(lambda number=number: len(wire.answers("BYE", 200)) == number)  # type: ignore[misc]
    assert [call.ended for call in house.calls] == ["completed"]


async def test_an_offer_may_come_among_other_documents(house: SipHouse) -> None:
    parts = [f"Content-Type: application/sdp\r\n\r\n{OFFER}", "Content-Type: application/pidf+xml\r\n\r\n<presence/>"]
    body = "".join(f"--here\r\n{part}\r\n" for part in reversed(parts)) + "--here--\r\n"
    async with Wire.to(house.port) as wire:
        wire.send("INVITE", 1, "first", body=body, content_type="multipart/mixed;boundary=here")
        await until(lambda: wire.answers("INVITE", 200))
        wire.send("ACK", 1, "second", to=wire.answers("INVITE", 200)[0])
        wire.send("BYE", 2, "third", to=wire.answers("INVITE", 200)[0])
        await until(lambda: wire.answers("BYE", 200))
    assert b"m=audio" in wire.answers("INVITE", 200)[0].body


async def test_documents_without_an_offer_are_refused(house: SipHouse) -> None:
    async with Wire.to(house.port) as wire:
        body = "--here\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--here--\r\n"
        wire.send("INVITE", 1, "first", body=body, content_type="multipart/mixed;boundary=here")
        await until(lambda: wire.answers("INVITE", 488))
        wire.send("INVITE", 2, "second", body="nothing", content_type="multipart/mixed")
        await until(lambda: wire.answers("INVITE", 400))
    assert not house.calls


async def test_session_timers_are_agreed(house: SipHouse) -> None:
    (await house.sipp("timer")).check()
    (await house.sipp("timer_small")).check()
    assert len(house.calls) == 1


async def test_keys_come_in_both_ways(house: SipHouse, data_dir: Path) -> None:
    (await house.sipp("dtmf", key=TEST_DATA / "wire" / DTMF_1)).check()
    (call,) = house.calls
    keys = [body for what, body in call.log if what == "dtmf"]
    assert keys == [{"digit": "1"}], "and those of the second way are taken for echoes"


async def test_an_agents_keys_go_out_as_events(house: SipHouse) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.setblocking(False)
        lines = [
            OFFER.replace("31998 RTP/AVP 8", f"{ear.getsockname()[1]} RTP/AVP 8 97"),
            "a=rtpmap:97 telephone-event/8000",
        ]
        async with Wire.to(house.port) as wire:
            wire.send("INVITE", 1, "first", body="".join(lines) + "\r\n")
            await until(lambda: wire.answers("INVITE", 200))
            wire.send("ACK", 1, "second", to=wire.answers("INVITE", 200)[0])
            await until(lambda: house.board.conversations)
            (conversation,) = house.board.conversations.values()
            conversation.caller.press("1#")
            told = KeyReader()
            pressed: list[str] = []
            while len(pressed) < 2:
                packet = parse_rtp(await asyncio.get_running_loop().sock_recv(ear, 2048))
                assert packet is not None
                if packet.payload_type == 97 and (key := told.feed(packet.timestamp, packet.payload)) is not None:
                    pressed.append(key)
            wire.send("BYE", 2, "third", to=wire.answers("INVITE", 200)[0])
    assert pressed == ["1", "#"]


async def test_options_are_answered(house: SipHouse) -> None:
    (await house.sipp("options")).check()
    (await house.sipp("options", transport="tcp")).check()


async def test_an_offer_that_cannot_be_agreed_on_is_refused(house: SipHouse) -> None:
    video = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 4000 RTP/AVP 96"
    (await house.sipp("refused_sdp", sdp=video, status=488)).check()
    foreign = video.replace("m=video 4000 RTP/AVP 96", "m=audio 4000 RTP/AVP 3")
    (await house.sipp("refused_sdp", sdp=foreign, status=488)).check()
    (await house.sipp("refused_sdp", sdp="m=nonsense", status=400)).check()
    assert not house.calls
    assert house.meter.refusals == {"no-audio": 2, "bad-offer": 1}
    await until(house.is_idle)


async def test_in_clear_is_refused_where_encryption_is_required(tmp_path: Path) -> None:
    clear = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8"
    async with sip_house(tmp_path / "house", srtp="required") as house:
        (await house.sipp("refused_sdp", sdp=clear, status=488)).check()
        assert not house.calls


async def test_strangers_may_not_call_and_are_counted(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house", trunks=("192.0.2.0/24",)) as house:
        with capture_logs() as logged:
            (await house.sipp("stranger")).check()
        assert [line["address"] for line in logged if line["event"] == "sip stranger refused"] == ["127.0.0.1"]
        assert not house.calls
        assert house.meter.refusals == {"stranger": 1}


async def test_users_call_with_their_password(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house", trunks=(), users={"pbx": "right"}) as house:
        (await house.sipp("digest", user=("pbx", "right"))).check()
        (await house.sipp("digest", user=("pbx", "right"), transport="tcp")).check()
        assert len(house.calls) == 2
        with capture_logs() as logged:
            (await house.sipp("digest_wrong", user=("pbx", "wrong"), status=401)).check()
            (await house.sipp("digest_wrong", user=("nobody", "right"), status=401)).check()
        assert logged == [
            {"event": "sip password refused", "log_level": "warning", "address": "127.0.0.1", "user": "pbx"}
        ], "once for an address, and not the password"
        assert len(house.calls) == 2
        assert house.meter.refusals == {"wrong-password": 2}


async def test_a_trunk_of_kamailios_logs_in(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house", trunks=(), users={"trunk": "right"}) as house:
        there = f"sip:127.0.0.1:{house.port}"
        async with kamailio(tmp_path / "kamailio", trunk=there, login=("trunk", "right")) as proxy:
            (await sipp("short", proxy.port, tmp_path)).check()
        (call,) = house.calls
        assert (call.call.to_number, call.ended) == ("+15550199", "completed")


async def test_it_may_listen_on_every_address(tmp_path: Path, data_dir: Path) -> None:
    async with sip_house(tmp_path / "house", host="0.0.0.0") as house:
        (await house.sipp("call", ms=2500)).check()
        (call,) = house.calls
        assert heard_level(customer(call)) > 200, "the session description named an address that audio finds"


async def test_behind_nat_the_address_that_is_told_is_the_public_one(tmp_path: Path) -> None:
    async with (
        sip_house(tmp_path / "house", public_host="localhost", host="0.0.0.0") as house,
        Wire.to(house.port) as wire,
    ):
        wire.send("INVITE", 1, "first", body=OFFER)
        await until(lambda: wire.answers("INVITE", 200))
        answer = wire.answers("INVITE", 200)[0]
        assert b"c=IN IP4 127.0.0.1\r\n" in answer.body
        assert answer.addresses("contact")[0].uri.host == "127.0.0.1"
        wire.send("ACK", 1, "second", to=answer)


async def test_a_port_in_use_is_told_in_words(house: SipHouse, tmp_path: Path) -> None:
    second = SipHouse(tmp_path / "second", port=house.port)
    with pytest.raises(SipUnusable, match=f"127.0.0.1:{house.port} .*set SIP_HOST or SIP_PORT"):
        await second.door.open()


async def test_without_a_port_for_its_audio_a_call_is_put_off(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house", rtp_ports=range(25_000, 25_002)) as house:
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(house.sipp("short"))
            await until(lambda: house.calls)
            (await house.sipp("unavailable")).check()
        one.result().check()
        assert house.meter.refusals == {"no-rtp-port": 1}
        await until(house.is_idle)
        (await house.sipp("short")).check()


async def test_a_call_that_the_registry_refuses_is_put_off(house: SipHouse) -> None:
    house.registry.refuses = "the server is about to stop"
    (await house.sipp("unavailable")).check()
    await until(house.is_idle)


async def test_a_door_that_closes_says_goodbye_to_all(house: SipHouse, data_dir: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        one = tasks.create_task(house.sipp("waits", ms=20_000))
        await until(lambda: house.calls and house.calls[0].sinks["customer"].chunks)
        await house.door.close("server-shutdown")
    one.result().check()
    assert [call.ended for call in house.calls] == ["server-shutdown"]
    (await house.sipp("unavailable")).check()


async def test_a_call_that_the_switchboard_ends_gets_a_bye(house: SipHouse, data_dir: Path) -> None:
    house.directory.queues[0] = replace(house.directory.queues[0], max_waiting=0, on_timeout="hangup")
    (await house.sipp("waits", ms=30_000)).check()
    assert [call.ended for call in house.calls] == ["nobody answered"]


async def test_a_caller_who_has_fallen_silent_is_hung_up_on(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house", stream_limits=StreamLimits(lost_after_s=1.5)) as house:
        (await house.sipp("waits", ms=20_000)).check()
        assert [call.ended for call in house.calls] == ["no audio"]
        await until(house.is_idle)


async def test_a_held_caller_may_be_silent(tmp_path: Path, data_dir: Path) -> None:
    async with sip_house(tmp_path / "house", stream_limits=StreamLimits(lost_after_s=1.5)) as house:
        (await house.sipp("hold")).check()
        (call,) = house.calls
        assert call.ended == "completed"


@pytest.mark.parametrize("direction", ["inactive", "sendonly", "recvonly"])
async def test_a_caller_who_vanishes_while_silent_by_agreement_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    monkeypatch.setattr(sip_call, "_PROBE_S", 0.3)
    limits = StreamLimits(lost_after_s=0.3, report_s=0.1)
    async with sip_house(tmp_path / "house", stream_limits=limits) as house, Wire.to(house.port) as wire:
        wire.send("INVITE", 1, "first", body=f"{OFFER}a={direction}\r\n")
        await until(lambda: wire.answers("INVITE", 200))
        wire.send("ACK", 1, "second", to=wire.answers("INVITE", 200)[0])
        await until(lambda: wire.asked)
        (call,) = house.calls
        assert wire.asked[0].method == "OPTIONS"
        wire.reply(wire.asked[0], 200)
        await until(lambda: wire.asked[-1].cseq > wire.asked[0].cseq)
        assert call.ended is None, "whoever answers is there"
        wire.reply(wire.asked[-1], 481)
        await until(lambda: call.ended)
        assert call.ended == "connection-lost"
        await until(house.is_idle)


async def test_an_agent_sees_that_the_caller_has_put_us_on_hold(house: SipHouse, data_dir: Path) -> None:
    house.board.connect(phone := await house.board.phone_of(Person("ann")), screen := Page())
    house.board.set_status(phone, "online")
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(house.sipp("hold"))
        await until(lambda: phone.offer)
        house.board.answer(phone, screen)
        line = await house.board.line(phone.user, None)
        line.connect(FakePeer("ann"))
        line.on_state("connected")
    calling.result().check()
    stages = [stage for stage, _ in house.calls[0].stages]
    assert stages[stages.index("talking") :] == ["talking", "held", "talking"]


@pytest.mark.slow
async def test_two_hundred_calls_at_ten_a_second(house: SipHouse) -> None:
    ran = await house.sipp("short", calls=200, rate=10, trace=False, within_s=90)
    ran.check()
    assert ran.calls["SuccessfulCall"] == 200
    assert ran.calls["FailedCall"] == 0
    assert len(house.calls) == 200
    assert {call.ended for call in house.calls} == {"completed"}
    await until(house.is_idle)


@pytest.mark.slow
async def test_a_call_is_set_up_and_heard_beside_a_flood_of_options(house: SipHouse, data_dir: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        flood = tasks.create_task(house.sipp("options", calls=5000, rate=500, trace=False))
        await asyncio.sleep(2)
        (await house.sipp("call", ms=4000)).check()
    flood.result().check()
    (call,) = house.calls
    assert call.ended == "completed"
    assert heard_level(customer(call)) > 200
    assert not holes(call)
