"""Groups of voices: how many, which, and under which number from one grouping to the next."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.asr.speakers import Heard, voices
from workers.asr.speakers.clustering import group, keep_numbers
from workers.asr.speakers.voices import STEP_MS, TrackVoices, VoiceDiarizer, cut
from workers.asr.speakers.words import reach, speakers_of

Floats = NDArray[np.float32]
SIZE = 256


def voice(number: int) -> Floats:
    """A direction that is one person's."""
    return np.random.default_rng(1000 + number).normal(size=SIZE).astype(np.float32)


def windows_of(number: int, count: int, seed: int = 0, spread: float = 0.6) -> Floats:
    """What an encoder makes of so many windows of a person's speech."""
    noise = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)
    points = voice(number) + spread * noise
    unit: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def ones(count: int) -> Floats:
    return np.full(count, 0.4, np.float32)


@pytest.mark.parametrize("shares", [(40, 40), (70, 10), (3, 60), (400, 500)])
def test_two_voices_are_two_groups(shares: tuple[int, int]) -> None:
    points = np.concatenate([windows_of(0, shares[0], 1), windows_of(1, shares[1], 2)])
    groups = group(points, ones(sum(shares)), 2)
    first, second = groups[: shares[0]], groups[shares[0] :]
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]


def test_one_voice_is_one_group_however_many_are_looked_for() -> None:
    for most in (2, 4):
        assert set(group(windows_of(0, 90), ones(90), most)) == {0}


def test_as_many_groups_as_voices_up_to_the_most() -> None:
    points = np.concatenate([windows_of(number, 30, number) for number in range(3)])
    assert len(set(group(points, ones(90), 4))) == 3
    assert len(set(group(points, ones(90), 2))) == 2


def test_the_same_points_give_the_same_groups() -> None:
    points = np.concatenate([windows_of(0, 20, 1), windows_of(1, 20, 2)])
    assert group(points, ones(40), 2).tolist() == group(points, ones(40), 2).tolist()


def test_nothing_and_next_to_nothing_is_one_group() -> None:
    assert group(np.zeros((0, SIZE), np.float32), ones(0), 2).tolist() == []
    assert group(windows_of(0, 2), ones(2), 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("groups", "earlier", "expected"),
    [
        ([0, 0, 1, 1], [-1, -1, -1, -1], [0, 0, 1, 1]),
        ([1, 1, 0, 0], [0, 0, 1, -1], [0, 0, 1, 1]),
        ([0, 0, 0, 1], [0, 1, 0, -1], [0, 0, 0, 1]),
        ([0, 0, 0, 1], [1, 1, 0, -1], [1, 1, 1, 0]),
        ([0, 0], [1, 1], [1, 1]),
        ([0, 1, 2], [0, -1, 1], [0, 2, 1]),
    ],
)
def test_a_person_keeps_the_number(groups: list[int], earlier: list[int], expected: list[int]) -> None:
    kept = keep_numbers(np.array(groups), np.array(earlier), np.ones(len(groups), np.float32))
    assert kept.tolist() == expected


def test_windows_cover_a_stretch_from_end_to_end() -> None:
    assert cut(100, 900) == [(100, 900)]
    windows = cut(0, 5000)
    assert (windows[0][0], windows[-1][1]) == (0, 5000)
    assert {end - start for start, end in windows} == {1600}
    assert max(after[0] - before[0] for before, after in pairwise(windows)) <= STEP_MS


def test_a_word_goes_to_who_fits_best_where_it_is_said() -> None:
    words = [(0, 400), (400, 800), (1500, 1900), (1950, 2400)]
    windows = [(0, 800), (1400, 2400)]
    told = reach(words, windows)
    assert told.sum(axis=1) == pytest.approx([1.0] * 4)
    likeness = told @ np.array([[0.9, 0.5], [0.5, 0.9]], np.float32)
    assert speakers_of(words, likeness) == (0, 0, 1, 1)


def test_a_change_for_a_single_doubtful_word_is_not_worth_its_price() -> None:
    words = [(0, 300), (310, 400), (410, 800)]
    likeness = np.array([[0.9, 0.5], [0.6, 0.65], [0.9, 0.5]], np.float32)
    assert speakers_of(words, likeness) == (0, 0, 0)


class Stage:
    """A call of two voices: the level of the samples says whose turn it is, and the encoder hears just that."""

    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, windows: list[Floats]) -> Floats:
        self.embedded += len(windows)
        people = [round(float(window.mean()) * 10) for window in windows]
        return np.concatenate(
            [windows_of(person, 1, self.embedded * 1000 + place) for place, person in enumerate(people)]
        )


def says(person: int, start_ms: int, length_ms: int = 4000) -> Heard:
    samples = np.full(length_ms * 16, person / 10, np.float32)
    words = tuple((at, at + 400) for at in range(start_ms, start_ms + length_ms, 500))
    return Heard(uuid4(), start_ms, start_ms + length_ms, start_ms, samples, words)


def test_numbers_stand_for_the_same_person_through_a_call() -> None:
    track = VoiceDiarizer(Stage().embed).follow()
    who: dict[UUID, int] = {}
    labels: dict[UUID, tuple[int, ...]] = {}
    for turn, person in enumerate([1, 1, 2, 1, 2, 2, 1, 2] * 3):
        heard = says(person, turn * 5000)
        who[heard.segment_id] = person
        labels.update(track.hear(heard))
        if turn >= 3:  # both have been heard for a while
            assert {labels[key] for key, one in who.items() if one == 1} == {(0,) * 8}
            assert {labels[key] for key, one in who.items() if one == 2} == {(1,) * 8}


def test_who_speaks_first_is_the_first_speaker_even_alone() -> None:
    track = VoiceDiarizer(Stage().embed).follow()
    for turn in range(12):
        labels = track.hear(says(1, turn * 5000))
    assert set(labels.values()) == {(0,) * 8}


def test_another_worker_goes_on_with_the_same_numbers() -> None:
    stage = Stage()
    track = VoiceDiarizer(stage.embed).follow()
    for turn, person in enumerate([1, 2, 1, 2, 1, 2]):
        track.hear(says(person, turn * 5000))
    successor = VoiceDiarizer(stage.embed).follow(track.keep())
    second = says(2, 40_000)
    assert successor.hear(second)[second.segment_id] == (1,) * 8
    first = says(1, 45_000)
    assert successor.hear(first)[first.segment_id] == (0,) * 8


def test_what_is_kept_of_voices_cannot_run_anything() -> None:
    with pytest.raises(ValueError, match=r"."):
        VoiceDiarizer(Stage().embed).follow(b"cos\nsystem\n(S'true'\ntR.")


def test_a_call_of_hours_takes_no_more_memory_than_one_of_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "MOST_WINDOWS", 60)
    track = TrackVoices(Stage().embed)
    labels: dict[UUID, tuple[int, ...]] = {}
    who = {}
    for turn in range(40):
        heard = says(1 + turn % 2, turn * 5000)
        who[heard.segment_id] = turn % 2
        labels.update(track.hear(heard))
        assert sum(len(segment.weights) for segment in track._segments) <= 60
    assert all(labels[key] == (number,) * 8 for key, number in who.items())
    assert len(track.keep()) < 10_000


def test_a_segment_too_short_to_hear_a_voice_in_has_no_speaker() -> None:
    track = VoiceDiarizer(Stage().embed).follow()
    assert track.hear(Heard(uuid4(), 0, 40, 0, np.zeros(640, np.float32), ())) == {}
