"""SIPREC through the SIP door: recording clients that are not ours (sipp), and one that sends every stream's audio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from media_gateway.audio import Samples, resampler
from media_gateway.transports.rtp import StreamLimits
from media_gateway.transports.sip.recording import Recordings
from tests.conftest import until
from tests.fakes.gateway import FakeCall
from tests.sip_house import SipHouse, sip_house
from tests.sipp import heard_level
from tests.siprec import RecordingClient, Someone, body_of, here, metadata, vendor_body
from tests.speech import speech

pytestmark = pytest.mark.timeout(120)

ROBERT = Someone("r", "sip:+15550100@sbc.example.com", "Robert", ("1",))
CLARA = Someone("c", "sip:2002@pbx.example.com", "Clara", ("2",))
STREAMS = {"acme": 2, "broadworks": 1, "cisco": 2, "connectel": 2}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[SipHouse]:
    async with sip_house(tmp_path / "house") as opened:
        door = opened.door
        door.recorder = Recordings(
            door.endpoint, opened.registry, door._media, door.ports, public_host=door.public_host, meter=opened.meter
        )
        yield opened


def said(party: int, seconds: float = 4.0) -> Samples:
    """Return what a party of the sample call says, 8 kHz."""
    narrow = resampler(16_000, 8_000)
    part = speech(party)
    return np.concatenate([narrow.process(part), narrow.flush()])[: int(8000 * seconds)]


def heard(call: FakeCall, role: str) -> Samples:
    return np.frombuffer(call.sinks[role].pcm, np.int16)


def is_in(part: Samples, whole: Samples) -> float:
    """Return how well a sound is found in another: the best correlation at any place, at most 1."""
    wide = resampler(8_000, 16_000)
    wanted = np.concatenate([wide.process(part), wide.flush()]).astype(float)
    if len(whole) < len(wanted):
        return 0.0
    size = len(whole) + len(wanted)
    products = np.fft.irfft(np.fft.rfft(whole, size) * np.fft.rfft(wanted[::-1], size), size)
    products = products[len(wanted) - 1 : len(whole)]
    sums = np.concatenate(([0.0], np.cumsum(np.square(whole.astype(float)))))
    energy = sums[len(wanted) :] - sums[: -len(wanted)]
    return float((products / np.sqrt((energy + 1) * np.square(wanted).sum())).max())


@pytest.mark.sipp
@pytest.mark.parametrize("vendor", STREAMS)
async def test_vendors_invites_by_sipp_are_recorded(house: SipHouse, data_dir: Path, vendor: str) -> None:
    content_type, body = vendor_body(vendor)
    text = here(body, [1, 3][: STREAMS[vendor]]).decode().replace("\r\n", "\n").strip()
    text = text.replace("m=audio 1 RTP/AVP", "m=audio [media_port] RTP/AVP").replace(
        "m=audio 3 ", "m=audio [media_port+2] "
    )
    expected = "a=recvonly.*a=recvonly" if STREAMS[vendor] == 2 else "a=recvonly"

    ran = await house.sipp("siprec", content_type=content_type, body=text, expected=expected, ms=4000)

    ran.check()
    (call,) = house.calls
    assert (call.call.door, call.ended) == ("siprec", "completed")
    await until(house.is_idle)


@pytest.mark.sipp
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_updates_by_sipp_change_names_people_and_streams(house: SipHouse, data_dir: Path, transport: str) -> None:
    (await house.sipp("siprec_updates", transport=transport)).check()

    (call,) = house.calls
    assert [what for what in call.log if what[0] in {"join", "open", "rename", "leave"}] == [
        ("join", "customer"),
        ("open", "1"),
        ("join", "agent"),
        ("open", "2"),
        ("rename", "Clara Moss"),
        ("leave", "agent"),
        ("join", "agent"),
        ("open", "2"),
        ("leave", "agent"),
        ("leave", "customer"),
    ]
    assert call.ended == "completed"
    assert heard_level(heard(call, "customer")) > 200
    await until(house.is_idle)


@pytest.mark.sipp
@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/mixed;boundary=other", "--parts\nContent-Type: application/sdp\n\nv=0\n--parts--", 400),
        ("multipart/mixed;boundary=parts", "--parts\nContent-Type: application/sdp\n\nv=9\n--parts--", 400),
        ("application/rs-metadata+xml", "<recording/>", 488),
    ],
)
async def test_what_cannot_be_recorded_is_refused(house: SipHouse, content_type: str, body: str, status: int) -> None:
    (await house.sipp("siprec_refused", content_type=content_type, body=body, status=status)).check()

    assert house.calls == []
    await until(house.is_idle)


@pytest.mark.sipp
async def test_fifty_recordings_at_ten_a_second(house: SipHouse, data_dir: Path) -> None:
    content_type, body = vendor_body("cisco")
    text = here(body, [1, 3]).decode().replace("\r\n", "\n").strip().replace("m=audio 1 ", "m=audio [media_port] ")

    ran = await house.sipp(
        "siprec", content_type=content_type, body=text, expected="a=recvonly", ms=3000, calls=50, rate=10, trace=False
    )

    ran.check()
    assert ran.calls["SuccessfulCall"] == 50
    assert [call.ended for call in house.calls] == ["completed"] * 50
    await until(house.is_idle)


@pytest.mark.parametrize("vendor", STREAMS)
async def test_each_of_a_vendors_streams_is_heard_on_its_own_track(
    house: SipHouse, data_dir: Path, vendor: str
) -> None:
    content_type, body = vendor_body(vendor)
    count = STREAMS[vendor]
    parts = [said(0), said(1)][:count]
    async with RecordingClient.to(house.port, streams=count) as client:
        answer = await client.request("INVITE", content_type, here(body, client.ports))
        assert answer.status == 200
        assert ";+sip.srs" in (answer.headers.get("contact") or "")
        await client.say(*parts)
        assert (await client.request("BYE")).status == 200
    (call,) = house.calls
    roles = ["customer", "agent"] if count == 2 else ["unknown"]
    for role, part in zip(roles, parts, strict=True):
        assert is_in(part[8_000:24_000], heard(call, role)) > 0.7, role
    if count == 2:
        assert is_in(parts[0][8_000:24_000], heard(call, "agent")) < 0.3
    await until(house.is_idle)


async def test_two_recordings_at_once_do_not_mix(house: SipHouse) -> None:
    async def record(number: int) -> None:
        async with RecordingClient.to(house.port, call_id=f"rs-{number}") as client:
            answer = await client.request("INVITE", *body_of(client.offers.sdp(), metadata([ROBERT, CLARA])))
            assert answer.status == 200
            await client.say(said(number), None)
            await client.request("BYE")

    async with asyncio.TaskGroup() as tasks:
        for number in (0, 1):
            tasks.create_task(record(number))
    first, second = sorted(house.calls, key=lambda call: -is_in(said(0)[8_000:24_000], heard(call, "customer")))
    assert first is not second
    assert is_in(said(0)[8_000:24_000], heard(first, "customer")) > 0.7
    assert is_in(said(1)[8_000:24_000], heard(second, "customer")) > 0.7
    await until(house.is_idle)


async def test_media_that_become_active_are_heard_from_then_on(house: SipHouse) -> None:
    async with RecordingClient.to(house.port) as client:
        client.offers.directions = ["inactive", "inactive"]
        await client.request("INVITE", *body_of(client.offers.sdp(), metadata([ROBERT, CLARA])))
        assert house.calls[0].tracks == []
        client.offers.directions = ["sendonly", "inactive"]
        assert (await client.request("INVITE", "application/sdp", client.offers.sdp())).status == 200
        await client.say(said(0), None)
        client.offers.directions = ["inactive", "sendonly"]
        assert (await client.request("UPDATE", "application/sdp", client.offers.sdp())).status == 200
        await client.say(None, said(1))
        await client.request("BYE")
    (call,) = house.calls
    assert [track.label for track in call.tracks] == ["1", "2"]
    assert is_in(said(0)[8_000:24_000], heard(call, "customer")) > 0.7
    assert is_in(said(1)[8_000:24_000], heard(call, "agent")) > 0.7
    await until(house.is_idle)


async def test_a_client_with_broken_metadata_is_asked_for_a_snapshot(house: SipHouse) -> None:
    async with RecordingClient.to(house.port) as client:
        await client.request("INVITE", *body_of(client.offers.sdp(), b"<recording><participant"))
        await until(lambda: client.requests)
        (asked,) = client.requests
        assert (asked.method, asked.media_type) == ("UPDATE", "application/rs-metadata-request")
        assert asked.headers.get("content-disposition") == "recording-session"
        assert b"requestsnapshot" in asked.body
        assert ";+sip.srs" in (asked.headers.get("contact") or "")
        await client.request("UPDATE", *body_of(None, metadata([ROBERT, CLARA])))
        await client.request("BYE")
    assert [what for what, _ in house.calls[0].log].count("join") == 4, "each party once nameless, once by name"
    await until(house.is_idle)


async def test_a_server_that_stops_says_goodbye_to_its_clients(house: SipHouse) -> None:
    async with RecordingClient.to(house.port) as client:
        await client.request("INVITE", *body_of(client.offers.sdp(), metadata([ROBERT, CLARA])))
        await house.door.close("server-shutdown")
        await until(lambda: [request.method for request in client.requests] == ["BYE"])
    assert house.calls[0].ended == "server-shutdown"


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_silent_client_is_asked_whether_it_is_there(tmp_path: Path, is_there: bool) -> None:
    async with sip_house(tmp_path / "house") as house:
        door = house.door
        patient = StreamLimits(lost_after_s=0.3, report_s=0.1)
        door.recorder = Recordings(door.endpoint, house.registry, door._media, door.ports, stream_limits=patient)
        async with RecordingClient.to(house.port) as client:
            client.knows_the_call = is_there
            await client.request("INVITE", *body_of(client.offers.sdp(), metadata([ROBERT, CLARA])))
            await until(lambda: [request.method for request in client.requests][:2] == ["INVITE", "ACK"])
            if not is_there:
                await until(lambda: house.calls[0].ended)
                assert house.calls[0].ended == "connection-lost"
                return
            await client.say(said(0, 1.0), said(1, 1.0))
            assert house.calls[0].ended is None
            assert (await client.request("BYE")).status == 200
        assert len(heard(house.calls[0], "customer")) > 8_000


async def test_a_stranger_records_nothing(tmp_path: Path) -> None:
    async with sip_house(tmp_path / "house", trunks=()) as house:
        door = house.door
        door.recorder = Recordings(door.endpoint, house.registry, door._media, door.ports)
        async with RecordingClient.to(house.port) as client:
            answer = await client.request("INVITE", *body_of(client.offers.sdp(), metadata([ROBERT, CLARA])))
        assert answer.status == 403
        assert house.calls == []
