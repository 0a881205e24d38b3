"""Frames placed by their timestamps: what a network and a sender's clock can do to them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media_gateway.timeline import Gap, Piece, Timeline

FRAME_MS = 20
FRAME = 160


def payload(number: int) -> bytes:
    return struct.pack(">I", number) * (FRAME // 4)


def number_of(piece: bytes) -> int:
    return int(struct.unpack(">I", piece[:4])[0])


def run(timeline: Timeline, frames: Sequence[tuple[int, int]], now_ms: float = 0.0) -> list[Piece]:
    """Put (timestamp, number) pairs, 20 ms apart, and flush."""
    pieces: list[Piece] = []
    for timestamp_ms, number in frames:
        pieces += timeline.put(timestamp_ms, payload(number), now_ms)
        now_ms += FRAME_MS
    return [*pieces, *timeline.flush()]


def heard(pieces: Sequence[Piece]) -> list[int]:
    return [number_of(piece) for piece in pieces if isinstance(piece, bytes)]


def gaps(pieces: Sequence[Piece]) -> list[Gap]:
    return [piece for piece in pieces if isinstance(piece, Gap)]


def samples(pieces: Sequence[Piece]) -> int:
    return sum(piece.samples if isinstance(piece, Gap) else len(piece) for piece in pieces)


def steady(count: int, first_ms: int = 155, first: int = 0) -> list[tuple[int, int]]:
    return [(first_ms + FRAME_MS * index, first + index) for index in range(count)]


def test_time_need_not_begin_at_zero() -> None:
    pieces = run(Timeline(8000), steady(10, first_ms=3_600_000))
    assert heard(pieces) == list(range(10))
    assert not gaps(pieces)


def test_a_frame_in_order_is_handed_on_at_once() -> None:
    timeline = Timeline(8000)
    assert timeline.put(155, payload(0), 0) == [payload(0)]
    assert timeline.put(175, payload(1), 20) == (payload(1),)


def test_a_missing_frame_is_a_gap_of_its_length() -> None:
    frames = steady(20)
    del frames[7:9]
    pieces = run(Timeline(8000), frames)
    assert gaps(pieces) == [Gap(2 * FRAME, "missing")]
    assert pieces.index(gaps(pieces)[0]) == 7
    assert samples(pieces) == 20 * FRAME


def test_a_frame_that_comes_twice_is_heard_once() -> None:
    timeline = Timeline(8000)
    frames = steady(10)
    pieces = run(timeline, [*frames[:6], frames[5], frames[2], *frames[6:]])
    assert heard(pieces) == list(range(10))
    assert (timeline.duplicate, timeline.placed) == (2, 10)


def test_neighbours_that_changed_places_change_back() -> None:
    timeline = Timeline(8000)
    frames = steady(10)
    frames[3], frames[5] = frames[5], frames[3]
    pieces = run(timeline, frames)
    assert heard(pieces) == list(range(10))
    assert not gaps(pieces)
    assert timeline.late == 0


def test_a_frame_that_comes_too_late_is_dropped_and_counted() -> None:
    timeline = Timeline(8000)
    frames = steady(20)
    frames.insert(15, frames.pop(3))
    pieces = run(timeline, frames)
    assert heard(pieces) == [number for number in range(20) if number != 3]
    assert gaps(pieces) == [Gap(FRAME, "missing")]
    assert timeline.late == 1


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=100))
def test_jitter_below_half_a_frame_leaves_no_trace(jitters: list[int]) -> None:
    pieces = run(Timeline(8000), [(1000 + 20 * index + jitter, index) for index, jitter in enumerate(jitters)])
    assert heard(pieces) == list(range(len(jitters)))
    assert not gaps(pieces)


def test_a_sender_whose_clock_is_fast_is_followed() -> None:
    frames = [(index * 21, index) for index in range(1000)]  # 5 % fast: 1 s in 20
    pieces = run(Timeline(8000), frames)
    assert heard(pieces) == list(range(1000))
    assert abs(samples(pieces) / 8 - 999 * 21) <= 40


def test_a_clock_that_begins_anew_goes_on_after_a_hole() -> None:
    timeline = Timeline(8000)
    frames = [*steady(100), *steady(100, first_ms=0, first=100)]
    pieces: list[Piece] = []
    for index, (timestamp_ms, number) in enumerate(frames):
        now_ms = 20 * index + (500 if index >= 100 else 0)
        pieces += timeline.put(timestamp_ms, payload(number), now_ms)
    pieces += timeline.flush()
    assert heard(pieces) == list(range(200))
    assert gaps(pieces) == [Gap(500 * 8, "clock-restart")]


def test_a_leap_of_an_hour_is_a_clock_that_was_set() -> None:
    pieces = run(Timeline(8000), [*steady(50), *steady(50, first_ms=3_600_000, first=50)])
    assert heard(pieces) == list(range(100))
    assert gaps(pieces) == [Gap(FRAME, "clock-restart")]


def test_an_hour_that_did_pass_is_an_hour() -> None:
    timeline = Timeline(8000)
    pieces = [*timeline.put(0, payload(0), 0), *timeline.put(3_600_020, payload(1), 3_600_020), *timeline.flush()]
    assert gaps(pieces) == [Gap(3_600_000 * 8, "missing")]


def test_one_wild_timestamp_is_dropped() -> None:
    timeline = Timeline(8000)
    frames = steady(50)
    frames.insert(25, (2**50, 999))
    pieces = run(timeline, frames)
    assert heard(pieces) == list(range(50))
    assert timeline.stray == 1


def test_frames_that_overlap_are_trimmed() -> None:
    timeline = Timeline(8000)
    pieces = [*timeline.put(0, bytes(1600), 0), *timeline.put(150, b"\x01" * 1600, 150), *timeline.flush()]
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == bytes(1600) + b"\x01" * 1200


@pytest.mark.parametrize("length", [0, 1, 3])
def test_what_is_no_whole_sample_is_left_off(length: int) -> None:
    timeline = Timeline(16_000, 4)
    assert list(timeline.put(0, bytes(length), 0)) == []
    assert timeline.put(0, bytes(8 + length), 0) == [bytes(8)]
    assert b"".join(map(bytes, timeline.put(1, bytes(64 + length), 1))) == bytes(64)  # type: ignore[arg-type]


def _displaced(order: Sequence[int], keys: Sequence[float]) -> list[int]:
    return [item for _, item in sorted(zip((i + key for i, key in enumerate(keys)), order, strict=True))]


@given(
    st.integers(0, 10**9),
    st.lists(
        st.tuples(st.sampled_from([1, 1, 1, 1, 0]), st.floats(0, 2.9), st.sampled_from([1, 1, 1, 2])),
        min_size=1,
        max_size=150,
    ),
)
@example(0, [(1, 2.5, 1), (1, 2.0, 1), (1, 0.0, 1)])
@example(0, [(1, 0.0, 1), (0, 0.0, 1), (0, 0.0, 1), (0, 0.0, 1), (1, 2.5, 1), (1, 0.0, 1), (1, 0.0, 1)])
def test_loss_order_and_repetition(first_ms: int, fates: list[tuple[int, float, int]]) -> None:
    """Whatever is lost, displaced by up to two places or repeated: order and time are kept, gaps are what is lost."""
    arriving = _displaced(range(len(fates)), [displacement for _, displacement, _ in fates])
    frames = [
        (first_ms + FRAME_MS * number, number)
        for number in arriving
        for _ in range(fates[number][2])
        if fates[number][0] or number == arriving[0]
    ]
    lost = sum(1 for is_sent, _, _ in fates if not is_sent)
    timeline = Timeline(8000, reorder_ms=100 + FRAME_MS * lost)  # what is lost beside it takes of a late frame's time
    pieces = run(timeline, frames)

    origin = frames[0][1]
    sent = sorted({number for _, number in frames if number >= origin})
    assert heard(pieces) == sent
    assert samples(pieces) == (sent[-1] - origin + 1) * FRAME
    place = origin
    for piece in pieces:
        if isinstance(piece, Gap):
            assert not set(range(place, place + piece.samples // FRAME)) & set(sent)
            place += piece.samples // FRAME
        else:
            assert number_of(piece) == place
            place += 1
    assert timeline.placed + timeline.duplicate + timeline.late == len(frames)


@given(
    st.lists(st.tuples(st.integers(0, 2**53), st.integers(6, 60)), min_size=1, max_size=5),
)
def test_a_clock_restarted_at_will(stretches: list[tuple[int, int]]) -> None:
    """Each stretch begins its clock anew: nothing out of order, next to nothing lost, little invented."""
    frames: list[tuple[int, int]] = []
    for first_ms, count in stretches:
        frames += steady(count, first_ms=first_ms, first=len(frames))
    timeline = Timeline(8000)
    pieces = run(timeline, frames)

    assert heard(pieces) == sorted(heard(pieces))
    assert len(heard(pieces)) >= len(frames) - 4 * len(stretches)
    assert timeline.placed + timeline.duplicate + timeline.late + timeline.stray == len(frames)
    assert all(gap.samples <= 30_000 * 8 for gap in gaps(pieces))


@given(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 400), st.floats(0, 1e9)), max_size=80))
def test_anything_at_all(frames: list[tuple[int, int, float]]) -> None:
    """Hostile timestamps, lengths and pauses: no crash, no work beyond the frames."""
    timeline = Timeline(8000)
    pieces: list[Piece] = []
    for timestamp_ms, length, now_ms in frames:
        pieces += timeline.put(timestamp_ms, bytes(length), now_ms)
    pieces += timeline.flush()
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) <= sum(length for _, length, _ in frames)
    assert len(pieces) <= 3 * len(frames)
    counted = timeline.placed + timeline.duplicate + timeline.late + timeline.stray
    assert counted == sum(length > 0 for _, length, _ in frames)
    assert all(piece.samples > 0 for piece in pieces if isinstance(piece, Gap))
