"""Pauses: what they leave of any stretch, however they were asked for."""

import math

from hypothesis import given
from hypothesis import strategies as st

from media_gateway.recording.pauses import Pauses, told

ACTS = st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12)


def after(*acts: tuple[str, int]) -> Pauses:
    pauses = Pauses()
    for act, at_ms in acts:
        assert getattr(pauses, act)(at_ms)
    return pauses


def test_a_stretch_is_cut_by_what_lies_in_it() -> None:
    pauses = after(("pause", 10), ("resume", 20), ("pause", 40))
    assert pauses.since_ms == 40
    assert list(pauses.kept(0, 100)) == [(0, 10), (20, 40)]
    assert list(pauses.kept(10, 20)) == []
    assert list(pauses.kept(12, 25)) == [(20, 25)]
    assert list(pauses.kept(20, 40)) == [(20, 40)]
    assert list(pauses.kept(50, 90)) == []
    assert list(Pauses().kept(3, 7)) == [(3, 7)]
    assert list(Pauses().kept(3, 3)) == []


def test_twice_is_once() -> None:
    pauses = after(("pause", 10))
    assert not pauses.pause(15)
    assert pauses.resume(20)
    assert not pauses.resume(25)
    assert list(pauses.kept(0, 30)) == [(0, 10), (20, 30)]


def test_a_pause_that_begins_within_the_last_one_goes_on_with_it() -> None:
    assert list(after(("pause", 10), ("resume", 20), ("pause", 15)).kept(0, 30)) == [(0, 10)]


def test_several_gateways_make_one_story() -> None:
    killed, next_one = [(10, True)], [(10, True), (30, False), (50, True)]
    pauses = told([*killed, *next_one])
    assert (list(pauses.kept(0, 60)), pauses.since_ms) == ([(0, 10), (30, 50)], 50)


@given(ACTS)
def test_each_millisecond_is_kept_or_not(acts: list[tuple[int, bool]]) -> None:
    silent_from, silent = math.inf, set[int]()
    for at_ms, is_pause in sorted(acts, key=lambda act: act[0]):
        if is_pause:
            silent_from = min(silent_from, at_ms)
        else:
            silent |= {ms for ms in range(80) if silent_from <= ms < at_ms}
            silent_from = math.inf
    silent |= {ms for ms in range(80) if silent_from <= ms}
    pauses = told(acts)
    for start_ms, end_ms in ((0, 80), (7, 33), (30, 31)):
        kept = [ms for begin, end in pauses.kept(start_ms, end_ms) for ms in range(begin, end)]
        assert kept == [ms for ms in range(start_ms, end_ms) if ms not in silent]
