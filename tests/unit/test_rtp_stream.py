"""A stream without sockets: whatever is thrown at it, it goes on, and sends only where it may."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from media_gateway.audio import PayloadError
from media_gateway.listening import Listeners
from media_gateway.protocols import rtp
from media_gateway.protocols.sdes import SdesPair, new_line
from media_gateway.protocols.sdp import Address, Codec
from media_gateway.protocols.sdp_plan import StreamPlan
from media_gateway.transports.rtp import RtpStream
from media_gateway.transports.rtp_ports import OnDatagram, RtpSocket
from media_gateway.voices import decoder_for
from tests.rtp_phone import Sink
from tests.unit.test_listening import CODECS

PHONE: Address = ("192.0.2.9", 6_000)
KEYS = [new_line(1, "AES_CM_128_HMAC_SHA1_80").key for _ in range(2)]
PLAN = StreamPlan(
    0, None, "sendrecv", CODECS["PCMU"], 20, 10_000, PHONE, ("192.0.2.9", 6_001), False, None, dtmf_payload_type=101
)


class Wire:
    """A pair of sockets that only notes what is sent."""

    port = 10_000

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.reports: list[tuple[bytes, Address]] = []
        self.closed = 0
        self.on_rtp: OnDatagram
        self.on_rtcp: OnDatagram

    def listen(self, on_rtp: OnDatagram, on_rtcp: OnDatagram) -> None:
        self.on_rtp, self.on_rtcp = on_rtp, on_rtcp

    def send_rtp(self, data: bytes, address: Address) -> bool:
        self.sent.append((data, address))
        return True

    def send_rtcp(self, data: bytes, address: Address) -> bool:
        self.reports.append((data, address))
        return True

    def close(self) -> None:
        self.closed += 1


def packet(payload_type: int, sequence: int, payload: bytes) -> bytes:
    return rtp.rtp_packet(payload_type, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, 7, payload, marker=False)


DATAGRAMS = st.one_of(
    st.binary(max_size=60),
    st.builds(packet, st.sampled_from([0, 8, 13, 101, 127]), st.integers(0, 70_000), st.binary(max_size=200)),
    st.just(rtp.report(rtp.Sending(7, 1, 160), "x", 0.0, rtp.ReportBlock(9, 0.1, 1, 2, 3, 4, 5))),
    st.just(rtp.bye(rtp.Sending(7))),
)
ADDRESSES = st.sampled_from([PHONE, ("192.0.2.9", 6_001), ("203.0.113.1", 5), ("198.51.100.1", 6_000)])
PLANS = st.sampled_from(
    [
        PLAN,
        replace(PLAN, direction="inactive"),
        replace(PLAN, direction="recvonly", remote=None, remote_rtcp=None),
        replace(PLAN, codec=CODECS["G722"], ptime_ms=30),
        replace(PLAN, codec=CODECS["opus"], rtcp_mux=True),
        replace(PLAN, crypto=SdesPair(1, "AES_CM_128_HMAC_SHA1_80", *KEYS)),
        replace(PLAN, dtmf_payload_type=None, remote=("192.0.2.20", 6_000)),
    ]
)
EVENTS = st.one_of(
    st.tuples(DATAGRAMS, ADDRESSES, st.booleans()),
    PLANS,
    st.binary(max_size=400),
    st.sampled_from("05#Dx"),
)


@settings(max_examples=200)
@given(PLANS, st.lists(EVENTS, max_size=40))
def test_whatever_comes_a_stream_goes_on(plan: StreamPlan, events: list[object]) -> None:
    async def run() -> None:
        wire, sink, listeners = Wire(), Sink(), Listeners()
        listener = listeners.open(sink, plan.codec, lambda: 0)
        heard: list[bytes] = []
        keys: list[str] = []
        stream = RtpStream(
            cast("RtpSocket", wire),
            plan,
            on_packet=lambda timestamp, payload, now_s: heard.append(payload),
            listener=listener,
            on_key=keys.append,
            signalled_from="198.51.100.1",
        )
        for number, event in enumerate(events):
            now_s = listener._zero_s + number * 0.02
            if isinstance(event, tuple):
                data, address, is_report = event
                before = len(heard)
                (wire.on_rtcp if is_report else wire.on_rtp)(data, address, now_s)
                assert len(heard) == before or stream.plan.receives
                assert len(heard) == before or address[0] != "203.0.113.1"
            elif isinstance(event, StreamPlan):
                stream.update(event, "198.51.100.1")
            elif isinstance(event, bytes):
                before = len(wire.sent)
                stream.send(event)
                assert len(wire.sent) == before or stream.plan.sends
            else:
                assert not stream.send_key(str(event)) or stream.plan.dtmf_payload_type is not None
            listeners.beat(now_s, now_s, lambda errand: errand())
        assert {address for _, address in wire.sent} <= {PHONE, ("198.51.100.1", 6_000), ("192.0.2.20", 6_000)}
        assert set(keys) <= set("0123456789*#ABCD")
        stream.quality()
        stream._report()
        stream.close()
        stream.close()
        listener.close()
        assert wire.closed == 1
        assert sink.chunks[-1].last

    asyncio.run(run())


@given(st.sampled_from(sorted(CODECS)), st.lists(st.binary(max_size=100), max_size=10))
def test_decoders_take_whatever_comes_as_it_is_long(name: str, payloads: list[bytes]) -> None:
    codec: Codec = CODECS[name]
    decoder = decoder_for(codec)
    for payload in payloads:
        try:
            samples = decoder.decode(payload)
        except PayloadError:
            continue
        assert len(samples) == decoder.length(payload)
