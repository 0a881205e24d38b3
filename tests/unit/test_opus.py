"""Opus and mu-law, packet by packet: what a peer sends becomes 16 kHz frames, and frames become what it hears."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_gateway.audio import FRAME_SAMPLES, PayloadError, Samples
from media_gateway.codecs import MulawDecoder, MulawEncoder, OpusDecoder, OpusEncoder
from tests.speech import snr_db, speech


def frames(samples: Samples) -> list[Samples]:
    return [samples[start : start + FRAME_SAMPLES] for start in range(0, len(samples) - 319, FRAME_SAMPLES)]


def delay(sent: Samples, heard: Samples, longest: int = 400) -> int:
    """Return by how many samples `heard` is behind."""
    first, second = sent.astype(float), heard.astype(float)
    length = min(len(first), len(second)) - longest
    return int(np.argmax([first[:length] @ second[shift : shift + length] for shift in range(longest)]))


def browser_packets(samples: Samples, *, rate_hz: int, layout: str, frame_ms: str) -> list[bytes]:
    """Encode as a browser might."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = rate_hz, layout, "s16"
    codec.time_base = Fraction(1, rate_hz)
    codec.options = {"frame_duration": frame_ms}
    codec.open()
    channels = 2 if layout == "stereo" else 1
    packets: list[bytes] = []
    for start in range(0, len(samples) - codec.frame_size + 1, codec.frame_size):
        block = np.repeat(samples[start : start + codec.frame_size], channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def test_speech_survives_opus_both_ways() -> None:
    sent = speech()[: 20 * 16_000]
    encoder, decoder = OpusEncoder(), OpusDecoder()
    packets = [encoder.encode(frame) for frame in frames(sent)]
    heard = np.concatenate([decoder.decode(packet) for packet in packets])
    assert len(heard) == len(sent)
    behind = delay(sent, heard)
    assert behind <= 160  # the codec looks 6.5 ms ahead
    assert snr_db(sent[:-behind], heard[behind:]) > 10
    assert 20_000 < sum(map(len, packets)) * 8 / 20 < 36_000


def test_opus_packets_are_20_ms_mono_for_speech() -> None:
    encoder = OpusEncoder()
    headers = {encoder.encode(frame)[0] for frame in frames(speech()[:32_000])}
    # RFC 6716, section 3.1: configuration 9 is wideband SILK, 20 ms; then mono; one frame a packet.
    assert headers == {9 << 3}


@pytest.mark.parametrize("frame_ms", ["2.5", "5", "10", "20", "40", "60"])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_browsers_may_send_stereo_and_packets_of_any_length(frame_ms: str, layout: str) -> None:
    moments = np.arange(48_000) / 48_000
    tone = np.rint(8000 * np.sin(2 * np.pi * 500 * moments)).astype(np.int16)
    decoder = OpusDecoder()
    parts = [
        decoder.decode(packet) for packet in browser_packets(tone, rate_hz=48_000, layout=layout, frame_ms=frame_ms)
    ]
    assert {len(part) for part in parts} == {int(float(frame_ms) * 16)}
    heard = np.concatenate(parts)[4000:12_000].astype(float)
    assert np.sqrt(2 * np.mean(heard**2)) == pytest.approx(8000, rel=0.05)


def test_a_packet_of_120_ms() -> None:
    (packet, *_) = browser_packets(np.zeros(48_000, np.int16), rate_hz=48_000, layout="mono", frame_ms="20")
    header, body = packet[0], packet[1:]
    six = bytes([header | 3, 6]) + 6 * body  # RFC 6716, section 3.2.5: code 3, constant bit rate, six frames
    assert len(OpusDecoder().decode(six)) == 1920


def test_no_empty_packet() -> None:
    decoder = OpusDecoder()
    with pytest.raises(PayloadError):
        decoder.decode(b"")
    assert len(decoder.decode(OpusEncoder().encode(np.zeros(320, np.int16)))) == 320


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=5))
def test_garbage_is_refused_or_heard_and_the_decoder_goes_on(payloads: list[bytes]) -> None:
    decoder = OpusDecoder()
    for payload in payloads:
        try:
            heard = decoder.decode(payload)
        except PayloadError:
            continue
        assert heard.dtype == np.int16
        assert 40 <= len(heard) <= 1920
    encoder = OpusEncoder()
    for frame in frames(speech()[16_000:20_000]):
        assert len(decoder.decode(encoder.encode(frame))) == 320


def test_garbage_leaves_no_trace_after_a_moment() -> None:
    encoder, clean, other = OpusEncoder(), OpusDecoder(), OpusDecoder()
    packets = [encoder.encode(frame) for frame in frames(speech()[: 3 * 16_000])]
    wanted, got = [], []
    for number, packet in enumerate(packets):
        wanted.append(clean.decode(packet))
        if number == 50:
            for garbage in (b"\xff" * 40, b"\x00", b"\x4b\xff\xff", bytes(range(200))):
                try:
                    other.decode(garbage)
                except PayloadError:
                    pass
        got.append(other.decode(packet))
    assert snr_db(np.concatenate(wanted[80:]), np.concatenate(got[80:])) > 25


def test_a_frame_has_20_ms() -> None:
    with pytest.raises(ValueError, match="320"):
        OpusEncoder().encode(np.zeros(160, np.int16))


def test_mulaw_both_ways_keeps_the_telephone_band() -> None:
    moments = np.arange(32_000) / 16_000
    sent = np.rint(8000 * np.sin(2 * np.pi * 1000.3 * moments)).astype(np.int16)
    encoder, decoder = MulawEncoder(), MulawDecoder()
    payloads = [encoder.encode(frame) for frame in frames(sent)]
    assert {len(payload) for payload in payloads} == {160}
    parts = [decoder.decode(payload) for payload in payloads]
    assert {len(part) for part in parts} == {320}
    heard = np.concatenate(parts)
    behind = 96  # 3 ms each way
    assert snr_db(sent[1000:-1000], heard[1000 + behind : len(heard) - 1000 + behind]) > 35


def test_mulaw_payloads_of_any_length_make_the_same_sound() -> None:
    encoder = MulawEncoder()
    line = b"".join(encoder.encode(frame) for frame in frames(speech()[:32_000]))
    whole = MulawDecoder().decode(line)
    decoder = MulawDecoder()
    bounds = [0, 1, 2, 30, 31, 200, 999, 1000, 5000, len(line)]
    parts = [decoder.decode(line[start:end]) for start, end in pairwise(bounds)]
    assert [len(part) for part in parts] == [2 * (end - start) for start, end in pairwise(bounds)]
    assert np.abs(np.concatenate(parts).astype(int) - whole).max() <= 1
