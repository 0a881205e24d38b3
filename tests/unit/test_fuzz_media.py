"""Bounded runs of atheris on what reads session descriptions, RTP and RTCP."""

from __future__ import annotations

import time

from media_gateway.protocols import rtp
from media_gateway.protocols.sdes import new_line
from media_gateway.protocols.sdp import SdpError, parse_sdp
from media_gateway.protocols.sdp_plan import LocalMedia, plan_answer, plan_from_answer, plan_offer
from tests.fuzzing import fuzz

OURS = LocalMedia("192.0.2.1", {index: 10_000 + 2 * index for index in range(32)})
OFFER = plan_offer(OURS)
SECURED = plan_offer(LocalMedia("192.0.2.1", {0: 10_000}, srtp="required"))


def fuzz_sdp(data: bytes) -> None:
    """A description is refused, or answered line by line; never in clear where it was to be secured."""
    try:
        described = parse_sdp(data)
    except SdpError:
        return
    for offer in (OFFER, SECURED):
        try:
            plan_from_answer(offer, described)
        except SdpError:
            continue
    try:
        answer = plan_answer(described, OURS)
    except SdpError:
        return
    again = parse_sdp(answer.sdp)
    assert len(again.sections) == len(described.sections)
    for mine, theirs in zip(again.sections, described.sections, strict=True):
        assert "SAVP" not in theirs.profile or not mine.port or mine.crypto


def fuzz_rtp(data: bytes) -> None:
    """A packet is read or is none; reports are what is left."""
    packet = rtp.parse_rtp(data)
    if packet is not None:
        assert len(packet.payload) <= len(data) - rtp.HEADER_BYTES
        rtp.KeyReader().feed(packet.timestamp, packet.payload)
    reports = rtp.parse_rtcp(data)
    assert len(reports.blocks) <= len(data) // 24
    rtp.is_rtcp(data)


def test_descriptions() -> None:
    line = new_line(1, "AES_CM_128_HMAC_SHA1_80")
    fuzz(f"{__name__}:fuzz_sdp", [OFFER.sdp, SECURED.sdp, b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\nm=video 0 RTP/AVP 9\r\n"])
    assert repr(line.key) not in repr(line)


def test_packets_and_reports() -> None:
    sending = rtp.Sending(7, 5, 800, 160)
    block = rtp.ReportBlock(7, 0.5, 3, 100, 5, 0, 0)
    report = rtp.report(sending, "cname", time.time(), block) + rtp.bye(sending)
    extended = b"\xb1\x00\x00\x01" + bytes(8) + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4) + b"payload\x03"
    packet = rtp.rtp_packet(0, 1, 160, 7, b"\xff" * 20, marker=True)
    fuzz(f"{__name__}:fuzz_rtp", [report, extended, packet])
