"""A line of samples: leaving out and saying again without a seam that can be heard, in memory that never grows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.audio import Samples
from media_gateway.playout.line import LONGEST_PERIOD, PAST, SHORTEST_PERIOD, Line, likeness
from tests.speech import loud_frames, sharpness, speech


def buzz(period: int, length: int) -> Samples:
    """Return a sound of exactly this period."""
    wave = np.random.default_rng(period).normal(0, 4000, period)
    smooth = np.convolve(np.tile(wave, 3), np.hanning(9) / 4, "same")[period : 2 * period]
    samples: Samples = np.rint(np.resize(smooth, length)).astype(np.int16)
    return samples


def line_with(past: Samples, pending: Samples) -> Line:
    line = Line()
    line.append(past)
    line.take(len(past))
    line.append(pending)
    return line


def test_samples_come_out_as_they_went_in() -> None:
    line = Line()
    said = speech()[:160_000]
    heard = []
    for start in range(0, len(said), 320):
        line.append(said[start : start + 320])
        heard.append(line.take(320))
        assert line.pending == 0
    assert (np.concatenate(heard) == said).all()
    assert (line.tail() == said[-PAST:]).all()
    assert (line.past(100) == said[-100:]).all()


def test_what_does_not_fit_is_left_off() -> None:
    line = Line()
    room = line.room
    line.append(np.ones(room + 1000, np.int16))
    assert line.pending == room
    assert line.room == 0
    assert len(line.take(room + 5)) == room


@pytest.mark.parametrize("period", [SHORTEST_PERIOD + 5, 80, 133, 200, LONGEST_PERIOD])
def test_a_period_left_out_or_said_again_is_not_heard(period: int) -> None:
    sound = buzz(period, 4000)
    line = line_with(sound[:1000], sound[1000:2000])
    length, alike = line.period_ahead(LONGEST_PERIOD)
    assert length % period == 0
    assert alike > 0.99
    line.leave_out(length)
    assert np.abs(line.next(600).astype(int) - sound[1000 + length : 1600 + length]).max() <= 1
    assert (line.past(100) == sound[900:1000]).all()

    line = line_with(sound[:1000], sound[1000:2000])
    length, alike = line.period_behind()
    assert length % period == 0
    assert alike > 0.99
    line.say_again(length)
    assert line.pending == 1000 + length
    assert np.abs(line.next(600).astype(int) - sound[1000:1600]).max() <= 1


def test_no_period_is_longer_than_allowed() -> None:
    line = line_with(buzz(100, 1000), buzz(100, 640))
    assert line.period_ahead(SHORTEST_PERIOD - 1) == (0, 0.0)
    assert SHORTEST_PERIOD <= line.period_ahead(60)[0] <= 60
    assert line_with(buzz(100, 1000), buzz(100, 159)).period_behind() == (0, 0.0)


def test_speech_has_no_clicks_where_periods_are_left_out_or_said_again() -> None:
    said = speech()
    for number in loud_frames(said)[::25]:
        start = number * 320
        original = sharpness(said[start - PAST : start + 1000])
        for change in ("leave out", "say again"):
            line = line_with(said[start - PAST : start], said[start : start + 640])
            if change == "leave out":
                line.leave_out(line.period_ahead(320)[0])
            else:
                line.say_again(line.period_behind()[0])
            heard = np.concatenate((line.past(400), line.next(line.pending)))
            assert sharpness(heard) < 1.5 * original


@given(st.lists(st.tuples(st.sampled_from(["append", "take", "out", "again"]), st.integers(0, 9000)), max_size=40))
def test_any_sequence_keeps_count(steps: list[tuple[str, int]]) -> None:
    line = Line()
    pending = 0
    for step, number in steps:
        if step == "append":
            pending += min(number, line.room)
            line.append(np.full(number, number % 100, np.int16))
        elif step == "take":
            taken = len(line.take(number))
            assert taken == min(number, pending)
            pending -= taken
        elif step == "out" and number <= pending:
            line.leave_out(number)
            pending -= number
        elif step == "again" and number <= min(PAST, line.room):
            line.say_again(number)
            pending += number
        assert line.pending == pending
        assert len(line.tail()) == PAST


@given(st.lists(st.integers(-32768, 32767), min_size=20, max_size=20), st.integers(1, 20))
def test_likeness_is_a_cosine(samples: list[int], length: int) -> None:
    region = np.array(samples, np.int16)
    alike = likeness(region[:length], region)
    assert len(alike) == 21 - length
    assert np.isfinite(alike).all()
    assert np.abs(alike).max() <= 1.001
    if np.any(region[:length]):
        assert alike[0] == pytest.approx(1, abs=1e-3)
