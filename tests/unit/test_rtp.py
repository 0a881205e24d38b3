"""RTP and RTCP headers, reception statistics and pressed keys."""

from __future__ import annotations

import pytest
from aiortc import rtp as theirs
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols import rtp
from media_gateway.protocols.rtp import KeyReader, Reception, ReportBlock, Sending, parse_rtcp, parse_rtp


def test_a_packet_is_what_was_packed() -> None:
    data = rtp.rtp_packet(111, 65_535, 2**32 - 1, 7, b"opus", marker=True)
    assert parse_rtp(data) == (111, 65_535, 2**32 - 1, 7, b"opus")
    packet = theirs.RtpPacket.parse(data)
    assert (packet.marker, packet.payload_type, packet.payload) == (1, 111, b"opus")


def test_sources_extensions_and_padding_are_left_out() -> None:
    extensions = theirs.HeaderExtensionsMap()
    uri = "urn:ietf:params:rtp-hdrext:sdes:mid"
    extensions.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(4, uri)]))
    packet = theirs.RtpPacket(payload_type=111, sequence_number=9, timestamp=960, ssrc=7, payload=b"opus")
    packet.csrc = [1, 2, 3]
    packet.extensions.mid = "audio"
    packet.padding_size = 5
    assert parse_rtp(packet.serialize(extensions)) == (111, 9, 960, 7, b"opus")


BROKEN = {
    "empty": b"",
    "short": b"\x80",
    "version": b"\x40" + bytes(11),
    "sources": b"\x8f" + bytes(11),
    "extension": b"\x90" + bytes(11),
    "padding": b"\xa0" + bytes(11),
    "long extension": b"\x90" + bytes(13) + b"\xff\xff",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_packets_are_none(data: bytes) -> None:
    assert parse_rtp(data) is None


@given(st.binary(max_size=80))
def test_nothing_that_comes_raises(data: bytes) -> None:
    parse_rtp(data)
    parse_rtcp(data)
    parse_rtcp(b"\x81\xc8\0\x0c" + data)
    KeyReader().feed(0, data)


def test_a_report_is_read_by_others_as_we_mean_it() -> None:
    sending = Sending(7, packets=50, payload_bytes=4000, timestamp=48_000)
    heard = ReportBlock(9, 0.25, -3, 65_600, 12, 0x1234_5678, 65_536)
    sr, sdes = theirs.RtcpPacket.parse(rtp.report(sending, "somebody", 1_700_000_000.5, heard))
    assert isinstance(sr, theirs.RtcpSrPacket)
    assert (sr.ssrc, sr.sender_info.packet_count, sr.sender_info.octet_count) == (7, 50, 4000)
    assert sr.sender_info.rtp_timestamp == 48_000
    assert sr.sender_info.ntp_timestamp == (1_700_000_000 + 2_208_988_800) * 2**32 + 2**31
    (block,) = sr.reports
    assert (block.ssrc, block.fraction_lost, block.packets_lost, block.jitter) == (9, 64, -3, 12)
    assert (block.highest_sequence, block.lsr, block.dlsr) == (65_600, 0x1234_5678, 65_536)
    assert isinstance(sdes, theirs.RtcpSdesPacket)
    assert sdes.chunks[0].items == [(1, b"somebody")]


@pytest.mark.parametrize("cname", ["", "a", "ab", "abc", "abcd", "abcde"])
def test_a_report_is_a_whole_number_of_words(cname: str) -> None:
    data = rtp.report(Sending(7), cname, 0.0, None)
    assert len(data) % 4 == 0
    assert len(theirs.RtcpPacket.parse(data)) == 2


def test_reports_of_others_are_read() -> None:
    info = theirs.RtcpReceiverInfo(7, 64, -3, 65_600, 12, 0x1234_5678, 65_536)
    sender = theirs.RtcpSenderInfo(2**63 + 5, 1, 2, 3)
    data = b"".join(map(bytes, [theirs.RtcpSrPacket(9, sender, [info]), theirs.RtcpByePacket([9, 10])]))
    reports = parse_rtcp(data)
    assert (reports.sender_ssrc, reports.sender_ntp, reports.byes) == (9, 2**63 + 5, (9, 10))
    assert reports.blocks == (ReportBlock(7, 0.25, -3, 65_600, 12, 0x1234_5678, 65_536),)
    assert parse_rtcp(bytes(theirs.RtcpRrPacket(9, [info]))).blocks == reports.blocks
    assert parse_rtcp(rtp.bye(Sending(5))).byes == (5,)


def heard(sequences: list[int]) -> Reception:
    reception = Reception(7, 48_000)
    for sequence in sequences:
        reception.add(sequence & 0xFFFF, sequence * 960 & 0xFFFFFFFF, sequence * 0.02)
    return reception


def test_losses_are_counted_over_the_wrap_and_out_of_order() -> None:
    sequences = [*range(65_500, 65_560), 65_562, 65_561, *range(65_564, 65_600)]  # 65_560 and 65_563 are missing
    reception = heard(sequences)
    block, expected, came = reception.block(0, 0.0)
    assert (expected, came, block.packets_lost) == (100, 98, 2)
    assert block.fraction_lost == pytest.approx(0.02)
    assert block.highest_sequence == 65_599
    assert reception.jitter < 50
    reception.add(65_600 & 0xFFFF, 0, 0.0)
    assert reception.block(0, 0.0)[1:] == (1, 1)


def test_a_jump_in_the_numbers_is_a_new_stream_not_a_loss() -> None:
    reception = heard([*range(1000), *range(30_000, 30_100), 5, 6])
    block, _, came = reception.block(0, 0.0)
    assert (came, block.packets_lost) == (1102, 0)


def test_jitter_is_the_spread_of_spacing() -> None:
    reception = Reception(7, 48_000)
    for sequence in range(400):
        reception.add(sequence, sequence * 960, sequence * 0.02 + (0.01 if sequence % 2 else 0.0))
    assert reception.jitter_ms == pytest.approx(10, abs=0.5)
    reception.add(400, (400 * 960 + 2**31) & 0xFFFFFFFF, 8.0)  # the sender started its clock anew
    assert reception.jitter_ms == pytest.approx(10, abs=1)


def test_a_key_is_told_once() -> None:
    reader = KeyReader()
    press = [(960, bytes([11, volume, 0, length])) for volume, length in [(10, 20), (10, 40), (0x8A, 60), (0x8A, 60)]]
    assert [reader.feed(*packet) for packet in press] == ["#", None, None, None]
    assert reader.feed(9600, bytes([11, 10, 0, 20])) == "#"
    assert reader.feed(19_200, bytes([16, 10, 0, 20])) is None  # a hook flash
    assert reader.feed(19_200, b"\1") is None


def test_late_packets_of_a_key_are_not_another_one() -> None:
    reader, one, two = rtp.KeyReader(), rtp.key_payload("1", 160, end=False), rtp.key_payload("2", 160, end=True)
    told = [reader.feed(timestamp, payload) for timestamp, payload in [(0, one), (800, two), (0, one), (1600, one)]]
    assert told == ["1", "2", None, "1"]


def test_keys_are_written_as_they_are_read() -> None:
    for number, key in enumerate("0123456789*#ABCD"):
        payload = rtp.key_payload(key, 70_000, end=True)
        assert payload == bytes([number, 0x8A, 0xFF, 0xFF])
        assert rtp.KeyReader().feed(1, payload) == key
    for wrong in ("", "12", "x", "E"):
        with pytest.raises(ValueError, match="not a key"):
            rtp.key_payload(wrong, 0, end=False)


def test_who_has_sent_nothing_reports_as_a_receiver() -> None:
    heard = rtp.ReportBlock(7, 0.5, 3, 100, 5, 0, 0)
    quiet = rtp.report(rtp.Sending(9), "me", 0.0, heard)
    assert quiet[1] == 201
    assert rtp.parse_rtcp(quiet) == rtp.Reports(None, 0, (heard,), ())
    assert rtp.report(rtp.Sending(9, 1, 160), "me", 0.0, heard)[1] == 200
