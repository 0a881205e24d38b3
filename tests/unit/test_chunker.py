"""Chunks of 200 ms, and the whole way in from frames to chunks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.model import CHUNK_BYTES, AudioChunk, Hole
from media_gateway.audio import AudioFormat, Samples, encode
from media_gateway.chunker import Chunker
from media_gateway.intake import Intake
from tests.fakes.gateway import ListSink

MULAW_8K = AudioFormat("mulaw", 8000)


def ones(count: int) -> Samples:
    return np.ones(count, np.int16)


def check(chunks: list[AudioChunk], start_ms: int) -> None:
    """Check what every track promises."""
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(len(chunk.pcm) == CHUNK_BYTES for chunk in chunks[:-1])
    assert len(chunks[-1].pcm) <= CHUNK_BYTES
    assert chunks[0].start_ms >= start_ms
    holes = [hole for chunk in chunks for hole in chunk.holes]
    assert holes == sorted(holes, key=lambda hole: hole.start_ms)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(holes))
    end_ms = start_ms
    for chunk in chunks:
        assert (chunk.start_ms - start_ms) % 200 == 0
        assert chunk.start_ms >= end_ms
        if chunk.start_ms > end_ms:  # what was left out has a name
            assert any(hole.start_ms <= end_ms and hole.end_ms >= chunk.start_ms for hole in chunk.holes)
        assert all(hole.end_ms <= chunk.end_ms for hole in chunk.holes)
        end_ms = chunk.end_ms


def test_chunks_are_exactly_200_ms() -> None:
    sink = ListSink()
    chunker = Chunker(70, sink.put)
    for _ in range(25):
        chunker.push(ones(333), 1)
    chunker.close(2)

    check(sink.chunks, 70)
    assert [chunk.start_ms for chunk in sink.chunks] == [70, 270, 470]
    assert len(sink.pcm) == 2 * 25 * 333
    assert sink.chunks[-1].received_at_ms == 2


def test_a_track_without_audio_has_its_closing_chunk() -> None:
    sink = ListSink()
    chunker = Chunker(5, sink.put)
    chunker.close(9)
    chunker.close(10)
    assert sink.chunks == [AudioChunk(0, 5, b"", 9, last=True)]


def test_a_hole_inside_a_chunk_is_silence_with_a_name() -> None:
    sink = ListSink()
    chunker = Chunker(0, sink.put)
    chunker.push(ones(800), 1)
    chunker.skip(320, "missing", 1)
    chunker.push(ones(2080), 1)

    (chunk,) = sink.chunks
    assert chunk.holes == (Hole(50, 70, "missing"),)
    assert chunk.pcm[1600:2240] == bytes(640)


def test_whole_chunks_of_nothing_are_left_out() -> None:
    sink = ListSink()
    chunker = Chunker(0, sink.put)
    chunker.push(ones(800), 1)
    chunker.skip(16 * 3_600_000, "connection-lost", 1)
    chunker.push(ones(3200), 1)
    chunker.close(1)

    check(sink.chunks, 0)
    assert [chunk.start_ms for chunk in sink.chunks] == [0, 3_600_000, 3_600_200]
    assert sink.chunks[1].holes == (Hole(50, 3_600_050, "connection-lost"),)
    assert sink.chunks[1].pcm[:1600] == bytes(1600)
    assert sink.chunks[0].holes == ()  # one hole, named once: where it ends


def test_stretches_of_one_cause_that_touch_are_one_hole() -> None:
    sink = ListSink()
    chunker = Chunker(0, sink.put)
    for length, cause in ((160, "missing"), (160, "missing"), (160, "connection-lost")):
        chunker.skip(length, cause, 1)
    chunker.close(1)
    assert sink.chunks[-1].holes == (Hole(0, 20, "missing"), Hole(20, 30, "connection-lost"))


@given(
    st.integers(0, 10**7),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3000).map(lambda n: 16 * n)), max_size=40),
)
def test_time_is_conserved(start_ms: int, steps: list[tuple[bool, int]]) -> None:
    sink = ListSink()
    chunker = Chunker(start_ms, sink.put)
    for is_audio, count in steps:
        if is_audio:
            chunker.push(ones(count), 1)
        else:
            chunker.skip(count, "missing", 1)
    chunker.close(1)

    check(sink.chunks, start_ms)
    total_ms = sum(count for _, count in steps) // 16
    assert sink.chunks[-1].end_ms - start_ms == total_ms
    audio = sum(count for is_audio, count in steps if is_audio)
    assert np.frombuffer(sink.pcm, "<i2").sum() == audio
    hole_ms = sum(hole.end_ms - hole.start_ms for chunk in sink.chunks for hole in chunk.holes)
    assert hole_ms == total_ms - audio // 16


def speech(milliseconds: int) -> bytes:
    moments = np.arange(milliseconds * 8) / 8000
    return encode(np.rint(9000 * np.sin(2 * np.pi * 440 * moments)).astype(np.int16))


def feed(intake: Intake, payload: bytes, first_ms: int = 155, now_ms: float = 0.0) -> None:
    for index in range(len(payload) // 160):
        intake.put(first_ms + 20 * index, payload[160 * index : 160 * (index + 1)], now_ms + 20 * index)


def test_frames_become_chunks_of_the_same_sound() -> None:
    sink = ListSink()
    intake = Intake(sink, wall_clock_ms=lambda: 77)
    intake.begin(MULAW_8K, at_ms=30)
    feed(intake, speech(1010))
    intake.close()

    check(sink.chunks, 30)
    out = np.frombuffer(sink.pcm, "<i2").astype(float)
    assert len(out) == 1000 * 16
    wanted = 9000 * np.sin(2 * np.pi * 440 * np.arange(len(out)) / 16_000)
    middle = slice(800, -800)
    assert 10 * np.log10(wanted[middle].var() / (out - wanted)[middle].var()) > 35  # mu-law's own noise


def test_a_chunk_leaves_as_soon_as_its_samples_are_there() -> None:
    sink = ListSink()
    intake = Intake(sink)
    intake.begin(MULAW_8K, at_ms=0)
    feed(intake, speech(220))
    assert len(sink.chunks) == 1  # 200 ms, and one frame for the resampler
    feed(intake, speech(200), first_ms=375, now_ms=220)
    assert len(sink.chunks) == 2


def test_a_gap_on_the_wire_is_a_hole_of_its_length() -> None:
    sink = ListSink()
    intake = Intake(sink)
    intake.begin(MULAW_8K, at_ms=0)
    feed(intake, speech(500))
    feed(intake, speech(500), first_ms=155 + 3500, now_ms=3500)
    intake.close()

    check(sink.chunks, 0)
    assert [hole for chunk in sink.chunks for hole in chunk.holes] == [Hole(500, 3500, "missing")]
    assert sink.chunks[-1].end_ms == 4000


def test_another_source_goes_on_after_a_hole() -> None:
    sink = ListSink()
    intake = Intake(sink)
    intake.begin(MULAW_8K, at_ms=0)
    feed(intake, speech(500))
    intake.begin(AudioFormat("l16le", 48_000, 2), at_ms=1700)
    intake.put(9, bytes(4 * 48 * 300), 1700)
    intake.close()

    check(sink.chunks, 0)
    assert [hole for chunk in sink.chunks for hole in chunk.holes] == [Hole(500, 1700, "connection-lost")]
    assert sink.chunks[-1].end_ms == 2000


@pytest.mark.parametrize("wire_format", [MULAW_8K, AudioFormat("alaw", 8000), AudioFormat("l16be", 44_100, 2)])
def test_the_closing_chunk_comes_once(wire_format: AudioFormat) -> None:
    sink = ListSink()
    intake = Intake(sink)
    intake.begin(wire_format, at_ms=0)
    intake.append(bytes(wire_format.rate_hz // 10 * wire_format.sample_bytes))
    intake.skip(50, "missing")
    intake.append(bytes(wire_format.rate_hz // 10 * wire_format.sample_bytes))
    intake.close()
    intake.close()

    check(sink.chunks, 0)
    assert sink.chunks[-1].end_ms == 250


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 1, 1, 1, 1, 0]), st.sampled_from([1, 1, 1, 2]), st.floats(0, 2.9)),
        min_size=1,
        max_size=120,
    )
)
def test_from_wire_to_chunks_nothing_is_lost_or_moved(fates: list[tuple[int, int, float]]) -> None:
    """Drop, repeat and displace frames: the track is as long as the call, its holes are the frames that are gone."""
    order = [0, *(i for _, i in sorted((i + fates[i][2], i) for i in range(1, len(fates))))]
    sink = ListSink()
    intake = Intake(sink)
    intake.begin(MULAW_8K, at_ms=0)
    sent = sorted(i for i in order if fates[i][0] or i == 0)
    for i in order:
        for _ in range(fates[i][1] if i in sent else 0):
            intake.put(155 + 20 * i, bytes([i % 100 + 1]) * 160, 20.0 * i)
    intake.close()

    check(sink.chunks, 0)
    assert sink.chunks[-1].end_ms == 20 * (sent[-1] + 1)
    gone = {i for i in range(sent[-1]) if i not in sent}
    marked = {ms // 20 for chunk in sink.chunks for hole in chunk.holes for ms in range(hole.start_ms, hole.end_ms, 20)}
    assert marked == gone
