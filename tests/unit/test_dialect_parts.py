"""What the dialects share: names of codecs, time of frames, channels; and what they are decoded with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.audio import AudioFormatError
from media_gateway.codecs import OpusEncoder
from media_gateway.follow_clock import FollowClock
from media_gateway.protocols.dialects.dialect import (
    ChunkClock,
    Codec,
    an_id,
    channels,
    codec_named,
    duration_ms,
    key_pressed,
    text_parameters,
)
from media_gateway.protocols.errors import ProtocolError
from media_gateway.wire_audio import line_voice, live_decoder, live_encoder, read_format, voice_packets


@pytest.mark.parametrize(
    ("name", "rate_hz", "codec"),
    [
        ("PCMU", None, Codec("mulaw", 8_000)),
        ("audio/x-mulaw", 8_000, Codec("mulaw", 8_000)),
        ("audio/x-alaw;rate=8000", None, Codec("alaw", 8_000)),
        ("audio/l16;rate=16000", 8_000, Codec("l16le", 16_000)),
        ("audio/x-L16 ; rate = 24000", None, Codec("l16le", 24_000)),
        ("audio/l16;channels=1;rate=8000", None, Codec("l16le", 8_000)),
        ("L16", 0, Codec("l16le", 8_000)),
        ("G722", 8_000, Codec("g722", 16_000)),
        ("OPUS", 8_000, Codec("opus", 48_000)),
    ],
)
def test_codecs_go_by_many_names(name: str, rate_hz: int | None, codec: Codec) -> None:
    assert codec_named(name, rate_hz) == codec


@pytest.mark.parametrize(
    ("name", "rate_hz"), [("AMR-WB", 16_000), ("", 8_000), ("L16", 1), ("audio/l16;rate=9999999", 1)]
)
def test_what_nobody_can_decode_is_refused(name: str, rate_hz: int) -> None:
    with pytest.raises(ProtocolError, match=r"encoding|rate"):
        codec_named(name, rate_hz)


@pytest.mark.parametrize("sample_bytes", [1, 2])
def test_stereo_is_taken_apart(sample_bytes: int) -> None:
    left, right = b"ab"[:sample_bytes], b"xy"[:sample_bytes]
    assert channels((left + right) * 3 + left, sample_bytes) == (left * 3, right * 3)
    assert channels(b"", sample_bytes) == (b"", b"")


def test_a_payload_says_how_long_it_is() -> None:
    assert duration_ms(bytes(160), Codec("mulaw", 8_000)) == 20
    assert duration_ms(bytes(960), Codec("l16le", 24_000)) == 20
    assert duration_ms(bytes(640), Codec("mulaw", 16_000, channels=2)) == 20
    assert duration_ms(bytes(160), Codec("g722", 16_000)) == 20
    opus = Codec("opus", 48_000)
    assert duration_ms(OpusEncoder().encode(np.zeros(320, np.int16)), opus) == 20
    assert duration_ms(b"", opus) == 0
    assert duration_ms(bytes([0xFC]), opus) == 20
    assert duration_ms(bytes([0xE0]), opus) == 2.5
    assert duration_ms(bytes([0x08]), opus) == 20
    assert duration_ms(bytes([0x03, 63]), opus) == 120


def test_numbered_frames_follow_on_whatever_their_stamps_say() -> None:
    clock = ChunkClock()
    stamps = [(1, 5), (2, 33), (3, 41), (5, 99), (4, 70), (6, 101), (7, 2_121), (8, 2_150)]
    assert [clock.place(chunk, stamp, 20) for chunk, stamp in stamps] == [5, 25, 45, 85, 65, 105, 2_121, 2_141]


def test_frames_without_numbers_lie_where_their_stamps_say() -> None:
    clock = ChunkClock()
    assert [clock.place(0, stamp, 20) for stamp in (5, 33, 41)] == [5, 33, 41]


def test_frames_of_unequal_length_follow_on_too() -> None:
    clock = ChunkClock()
    assert [clock.place(n, at, length) for n, at, length in [(1, 0, 30), (2, 31, 10), (3, 39, 20)]] == [0, 30, 40]


@given(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 2**53), st.floats(0, 1000)), max_size=20))
def test_no_number_breaks_the_clock(frames: list[tuple[int, int, float]]) -> None:
    clock = ChunkClock()
    assert all(clock.place(*frame) >= 0 for frame in frames)


def test_audio_without_stamps_follows_on() -> None:
    clock = FollowClock()
    assert [clock.place(20, now) for now in (1_000, 1_019, 1_045, 1_060)] == [0, 20, 40, 60]


def test_what_a_network_held_up_is_not_taken_for_silence() -> None:
    clock = FollowClock()
    places = [clock.place(20, 20 * n) for n in range(50)]
    places += [clock.place(20, 3_000) for _ in range(100)]  # two seconds in which nothing came, then all at once
    places += [clock.place(20, 3_000 + 20 * n) for n in range(50)]
    assert places == list(range(0, 4_000, 20))


def test_what_a_sender_left_out_is_left_out_here() -> None:
    clock = FollowClock()
    for n in range(50):
        clock.place(20, 20 * n)
    places = [clock.place(20, 3_000 + 20 * n) for n in range(100)]
    assert places[0] == 1_000
    assert places[-1] == 3_000 + 20 * 99


def test_a_hold_is_left_out_at_once() -> None:
    clock = FollowClock()
    for n in range(10):
        clock.place(20, 20 * n)
    clock.hold()
    assert clock.place(20, 10_000) == 10_000
    assert clock.place(20, 10_020) == 10_020
    clock.skip(500)
    assert clock.place(20, 10_540) == 10_540


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 5_000), st.booleans()), max_size=60))
def test_time_never_goes_back(steps: list[tuple[float, float, bool]]) -> None:
    clock, now_ms, last = FollowClock(), 0.0, 0
    for length_ms, passed_ms, held in steps:
        now_ms += passed_ms
        if held:
            clock.hold()
        at_ms = clock.place(length_ms, now_ms)
        assert at_ms >= last
        last = at_ms


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 32_000, 48_000, 64_000])
@pytest.mark.parametrize("encoding", ["mulaw", "alaw", "l16le", "l16be"])
def test_a_tone_comes_through_every_codec(encoding: str, rate_hz: int) -> None:
    codec = Codec(encoding, rate_hz)  # type: ignore[arg-type]
    tone = (8_000 * np.sin(np.arange(16_000) * 2 * np.pi * 1_000 / 16_000)).astype(np.int16)
    encode, decode = live_encoder(codec), live_decoder(codec)
    payloads = [encode(part) for part in np.split(tone, 50)]
    assert {len(payload) for payload in payloads} == {rate_hz // 50 * codec.sample_bytes}
    back = np.concatenate([decode(payload) for payload in payloads])
    assert len(back) == len(tone)
    part = back[8_000:]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    assert np.argmax(spectrum) == 500
    assert 7_500 < np.abs(part).max() < 8_500


def test_a_rate_of_no_conversation_is_for_listening_only() -> None:
    odd = Codec("l16le", 22_050)
    read_format(odd)
    with pytest.raises(AudioFormatError):
        line_voice(odd, Codec("mulaw", 8_000))
    with pytest.raises(AudioFormatError):
        line_voice(Codec("mulaw", 8_000), odd)
    with pytest.raises(AudioFormatError):
        line_voice(Codec("mulaw", 8_000, channels=2), Codec("mulaw", 8_000))


def test_a_voice_takes_pieces_of_20_ms() -> None:
    assert list(voice_packets(bytes(1_000), 40, Codec("l16le", 8_000))) == [
        (320, bytes(320)),
        (480, bytes(320)),
        (640, bytes(320)),
        (800, bytes(40)),
    ]
    assert list(voice_packets(b"packet", 40, Codec("opus", 48_000))) == [(1_920, b"packet")]


def test_keys_are_those_of_a_telephone() -> None:
    assert [key_pressed(digit) for digit in ("5", " # ", "d")] == [key_pressed("5"), key_pressed("#"), key_pressed("D")]
    assert not any(key_pressed(digit) for digit in ("", "55", "E", "ß", "٣"))


def test_parameters_are_plain_values() -> None:
    fields = {"a": 1, "b": True, "c": None, "d": {"e": 1}, "f": "x", **{f"p{n}": "" for n in range(100)}}
    found = text_parameters(fields)
    assert found["a"] == "1"
    assert found["b"] == "true"
    assert found["f"] == "x"
    assert "c" not in found
    assert "d" not in found
    assert len(found) <= 64
    with pytest.raises(ProtocolError):
        an_id("x" * 201)
