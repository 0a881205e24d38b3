"""Times told of bare words, put onto the words of a text; and languages told by name."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.asr.engines.languages import WHISPER_LANGUAGES, code_of
from workers.asr.engines.word_times import Timed, timed_words

WORDS = st.lists(st.sampled_from(["hello", "Hello,", "there", "25", "twenty", "–", "é!"]), max_size=8)


def spans(words: list[Timed]) -> list[tuple[str, int, int]]:
    return [(word.text, word.start_ms, word.end_ms) for word in words]


def test_words_are_written_as_in_the_text() -> None:
    times = [Timed("hello", 100, 300), Timed("there", 320, 600)]
    assert spans(timed_words("Hello, there!", times, 1000)) == [("Hello,", 100, 300), ("there!", 320, 600)]


def test_a_word_without_a_time_gets_what_lies_between_its_neighbours() -> None:
    times = [Timed("pay", 0, 200), Timed("twenty", 250, 400), Timed("five", 400, 600), Timed("now", 700, 900)]
    assert spans(timed_words("Pay 25 now.", times, 1000)) == [("Pay", 0, 200), ("25", 200, 700), ("now.", 700, 900)]


def test_times_of_something_else_are_not_taken() -> None:
    assert timed_words("one two three", [Timed("quite", 0, 1), Timed("different", 1, 2)], 1000) == []
    assert timed_words("one", [], 1000) == timed_words("", [Timed("one", 0, 1)], 1000) == []


@given(WORDS, WORDS, st.lists(st.tuples(st.integers(-500, 5000), st.integers(-500, 5000)), min_size=8, max_size=8))
def test_times_lie_in_the_audio_and_in_order(text: list[str], told: list[str], times: list[tuple[int, int]]) -> None:
    said = [Timed(word, start, end) for word, (start, end) in zip(told, times, strict=False)]
    found = timed_words(" ".join(text), said, 3000)
    assert [word.text for word in found] in ([], text)
    assert all(0 <= word.start_ms <= word.end_ms <= 3000 for word in found)
    assert all(before.start_ms <= after.start_ms for before, after in pairwise(found))


def test_languages_are_known_by_code_and_by_name() -> None:
    assert len(WHISPER_LANGUAGES) == 100
    assert [
        code_of(told) for told in ("german", "German", "de", "de-AT", "pt_BR", "haitian creole", "klingon", "")
    ] == [
        *("de",) * 4,
        "pt",
        "ht",
        None,
        None,
    ]
