"""The ruler of `bench asr`: utterances whose ends are known against texts whose arrival is."""

from __future__ import annotations

import pytest

from tests.bench.dialogues import Utterance
from tests.bench.lateness import Piece, Transcript, lateness, matches

FIRST = Utterance(0, 1.0, 3.0, "my name is jack and i am calling about a car")
SECOND = Utterance(0, 8.0, 10.0, "the service light came on already")


def heard(*finals: tuple[float, str], shown: tuple[tuple[float, str], ...] = ()) -> Transcript:
    return Transcript([Piece(*each) for each in finals], [Piece(*each) for each in shown])


def test_words_are_matched_in_order() -> None:
    assert matches("a b c d".split(), "a x c d e".split()) == [0, 1, 2, 3]
    assert matches("a b c".split(), "b".split()) == [None, 0, None]
    assert matches([], ["a"]) == []
    assert matches(["a"], []) == [None]


def test_a_final_is_as_late_as_it_comes_after_the_utterance() -> None:
    found = lateness([FIRST, SECOND], heard((3.8, FIRST.text), (11.5, SECOND.text)))
    assert found.final_s == pytest.approx((0.8, 1.5))
    assert (found.missed, found.utterances, found.score.errors) == (0, 2, 0)


def test_the_final_that_holds_the_last_word_counts() -> None:
    found = lateness([FIRST], heard((2.0, "my name is jack"), (5.0, "and i am calling about a car")))
    assert found.final_s == pytest.approx((2.0,))


def test_a_last_word_that_was_misheard_counts_too() -> None:
    found = lateness([SECOND], heard((11.0, "the service light came on all ready")))
    assert found.final_s == pytest.approx((1.0,))
    assert found.score.errors == 2


def test_an_utterance_whose_end_never_became_final_was_missed() -> None:
    found = lateness([FIRST, SECOND], heard((4.0, FIRST.text)), rest=SECOND.text)
    assert (found.missed, found.final_s) == (1, pytest.approx((1.0,)))
    assert found.score.errors == 0, "what stands on the screen at the end counts as words"


def test_a_partial_counts_from_the_moment_its_last_word_is_shown() -> None:
    shown = ((2.5, "my name is jack and i"), (3.3, FIRST.text), (4.0, FIRST.text))
    found = lateness([FIRST], heard((4.0, FIRST.text), shown=shown))
    assert found.partial_s == pytest.approx((0.3,))
    assert lateness([FIRST], heard((4.0, FIRST.text))).partial_s == pytest.approx((1.0,)), "the final shows it"


def test_the_same_word_said_before_is_not_the_last_one() -> None:
    """'a car' of the first utterance is long on the screen when the second ends with it."""
    again = Utterance(0, 8.0, 9.0, "yes that was the car")
    shown = ((3.2, FIRST.text), (8.8, f"{FIRST.text} yes that was"), (9.4, f"{FIRST.text} yes that was the car"))
    found = lateness([FIRST, again], heard((3.5, FIRST.text), (9.9, again.text), shown=shown))
    assert found.partial_s == pytest.approx((0.2, 0.4))
    assert found.final_s == pytest.approx((0.5, 0.9))


def test_an_end_that_is_a_guess_counts_for_words_alone() -> None:
    vague = Utterance(0, 1.0, 20.0, "sure a tesla")
    found = lateness([vague], heard((5.0, "sure a tesla")))
    assert (found.final_s, found.missed, found.score.words) == ((), 0, 3)
