"""How late packets come, and what that says about the delay."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from media_gateway.playout.arrivals import WINDOW, Arrivals, Beats, spare_audio

MS = 16


def test_nothing_is_known_at_first() -> None:
    arrivals = Arrivals()
    assert arrivals.earliest == math.inf
    assert arrivals.latest == -math.inf
    assert arrivals.spread == 0


def test_the_latest_is_remembered_for_three_seconds_or_a_little_more() -> None:
    arrivals = Arrivals()
    seen = []
    for number in range(400):
        transit = {10: 90 * MS, 11: 70 * MS, 12: -30 * MS}.get(number, 20 * MS)
        arrivals.note(transit, number * 20 * MS)
        seen.append((arrivals.earliest, arrivals.next_latest, arrivals.latest))
    assert seen[9] == (20 * MS, 20 * MS, 20 * MS)
    assert seen[12] == (-30 * MS, 70 * MS, 90 * MS)
    assert seen[10 + WINDOW // (20 * MS)] == (-30 * MS, 70 * MS, 90 * MS)
    assert seen[11 + (WINDOW + 500 * MS) // (20 * MS)] == (20 * MS, 20 * MS, 20 * MS)
    assert arrivals.spread == 0


def test_a_single_packet_is_latest_and_earliest() -> None:
    arrivals = Arrivals()
    arrivals.note(5.0, 0.0)
    assert (arrivals.earliest, arrivals.next_latest, arrivals.latest) == (5, 5, 5)
    arrivals.forget()
    assert arrivals.latest == -math.inf


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), max_size=50))
def test_any_clock_will_do(notes: list[tuple[float, float]]) -> None:
    arrivals = Arrivals()
    for transit, now in notes:
        arrivals.note(transit, now)
        assert arrivals.earliest <= transit <= arrivals.latest
        assert arrivals.next_latest <= arrivals.latest


def test_beats_that_are_late_do_not_move_the_clock() -> None:
    beats = Beats()
    due = [beats.beat(number * 320 + late) for number, late in enumerate([0, 100, 30, 250, 0, 90] * 10)]
    assert due == [number * 320 for number in range(60)]


def test_beats_that_were_left_out_do() -> None:
    beats = Beats()
    due = [beats.beat(number * 320 + (3200 if number >= 30 else 0)) for number in range(60)]
    assert due[29] == 29 * 320
    assert due[59] == 59 * 320 + 3200


def test_whole_frames_can_be_left_out_when_packets_fit_into_frames() -> None:
    assert spare_audio(19 * MS, 0, 320) == 0
    assert spare_audio(20 * MS, 0, 320) == 320
    assert spare_audio(59 * MS, 0, 640) == 640
    assert spare_audio(-1, 0, 320) == -320


def test_what_lies_before_a_packet_can_be_left_out_too() -> None:
    assert spare_audio(19 * MS, 96, 320) == 96
    assert spare_audio(2 * MS, 96, 320) == 96 - 320


@given(st.floats(-5000, 5000), st.integers(0, 2000), st.integers(1, 2000))
def test_every_packet_is_there_when_it_is_needed(early: float, boundary: int, packet: int) -> None:
    """Whatever is left out, packets that come exactly `early` before their frame are never late."""
    spare = spare_audio(early, boundary, packet)
    for number in range(20):
        begins = boundary % packet + number * packet
        # The packet comes this long before frame 0 is taken if it is sent on the beat.
        came = -early + begins
        needed = (begins - spare) // 320 * 320
        assert came <= needed + 1e-6
