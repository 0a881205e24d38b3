"""What stands in a partial stays until the final."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.asr.partials import Growing

WORDS = st.lists(st.sampled_from(["a", "b", "c", "Hello.", "hello"]), max_size=12).map(" ".join)


def shown(*texts: str) -> list[tuple[str, str]]:
    """Return (what stands, the rest) after each text."""
    growing, seen = Growing(), []
    for text in texts:
        growing.hear(text)
        seen.append((growing.text[: growing.stable], growing.text[growing.stable :].strip()))
    return seen


def test_words_stand_once_two_decodes_agree_on_them() -> None:
    assert shown("I would", "I would like to", "I would like two cups") == [
        ("", "I would"),
        ("I would", "like to"),
        ("I would like", "two cups"),
    ]


def test_a_mark_after_the_last_word_does_not_stand_before_it_is_confirmed() -> None:
    assert shown("Hello.", "Hello, my name", "Hello, my name is")[1:] == [
        ("", "Hello, my name"),
        ("Hello, my name", "is"),
    ]


def test_what_stands_stays_though_a_later_decode_denies_it() -> None:
    before = ["the cat sat", "the cat sat on"]
    assert shown(*before, "the bat sat on a mat")[-1] == ("the cat sat on", "a mat")
    assert shown(*before, "cat sat on a mat")[-1] == ("the cat sat on", "a mat")
    assert shown(*before, "and the cat sat on a mat")[-1] == ("the cat sat on", "a mat")


def test_a_decode_that_heard_less_takes_nothing_away() -> None:
    assert shown("one two three", "one two three four", "one two")[-1] == ("one two three", "")


def test_the_same_again_is_no_news_once_it_all_stands() -> None:
    growing = Growing()
    assert [growing.hear("good morning") for _ in range(3)] == [True, True, False]


@given(st.lists(WORDS, max_size=8))
def test_what_stands_is_never_taken_back(texts: list[str]) -> None:
    standing = [stands for stands, _ in shown(*texts)]
    for earlier, later in pairwise(standing):
        assert later.startswith(earlier)
