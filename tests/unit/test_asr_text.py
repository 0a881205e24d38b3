"""Inventions are refused, speech is not."""

from __future__ import annotations

import pytest

from workers.asr.engines.moonshine import read_tokens
from workers.asr.text import compression_ratio, latin, loop_length, phrase_repeats, plausible, tidy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Yes.", 0.4),
        ("No no no no.", 1.0),
        ("You?", 0.5),
        ("Thank you.", 0.8),
        ("Nine, zero, seven, eight, six, six, six, six, one, seven.", 6.0),
        ("so I said well if that is the case then we may as well go home now", 3.0),
    ],
)
def test_what_people_say_is_kept(text: str, seconds: float) -> None:
    assert plausible(text, seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 3.0),
        (" ... ", 3.0),
        ("♪♪♪", 3.0),
        ("You", 8.0),
        ("Thank you for watching!", 2.0),
        ("thanks for watching", 2.0),
        ("one two three four five six seven eight nine ten eleven twelve thirteen", 0.5),
        ("I am going to the shop. " * 12, 60.0),
    ],
)
def test_what_nobody_said_is_refused(text: str, seconds: float) -> None:
    assert not plausible(text, seconds)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", 1),
        ("Hello.", 1),
        ("No, no, no, no, no.", 1),
        ("Thank you, thank you.", 2),
        ("All right, all right, all right.", 3),
        ("thank you. Thank you, thank you, thank you.", 4),
        ("Thank you, thank you. Bye.", 2),
        ("That's how that's how that's how that's", 3),
        ("Hello, yes. We hope you are new. We hope you are new. We hope you are new.", 3),
        ("zero seven zero seven zero seven zero seven", 1),
        ("A B A B A B A B", 1),
        ("so what we do is we do that and then we call you back and then we send it", 1),
    ],
)
def test_a_phrase_said_again_and_again_is_counted(text: str, times: int) -> None:
    assert phrase_repeats(text) == times


def test_a_repeated_phrase_has_to_be_sure_of_itself() -> None:
    assert plausible("All right, all right, all right.", 2.0, 0.9)
    assert not plausible("Thank you, thank you, thank you.", 1.6, 0.52), "laughter"
    assert not plausible("thank you. Thank you, thank you, thank you.", 1.0, 0.82), "laughter"
    assert plausible("Thank you, thank you.", 1.0, 0.42)


def test_one_word_over_and_over_has_to_be_sure_of_itself() -> None:
    assert not plausible("Ta ta ta ta ta ta ta", 1.3, 0.49), "laughter"
    assert plausible("Hello hello hello hello hello hello?", 3.0, 0.6)
    assert plausible("No, no, no, no.", 1.0, 0.45)
    assert plausible("nine nine nine nine nine nine", 3.0, 0.45)


def test_a_number_may_repeat_itself() -> None:
    assert plausible("zero seven zero seven zero seven zero seven", 4.0, 0.5)


@pytest.mark.parametrize("text", ["Yes.", "No.", "Hello?", "Mm-hmm.", "Sure.", "Five.", "And I."])
def test_a_short_answer_may_be_unsure_but_not_a_guess(text: str) -> None:
    assert plausible(text, 0.8, 0.42)
    assert not plausible(text, 0.8, 0.35)


@pytest.mark.parametrize("text", ["Mm.", "Uh?", "Mm, mm, mm.", "Hmm...", "N-n-l-l-l-l-l-l-l-l"])
def test_what_is_no_word_is_refused(text: str) -> None:
    assert not plausible(text, 2.0, 0.9)


@pytest.mark.parametrize("text", ["Mm-hmm.", "Uh-huh.", "Mm hmm.", "Um, yes.", "Oh.", "L-L-B, double L."])
def test_an_answer_is_a_word(text: str) -> None:
    assert plausible(text, 2.0, 0.9)


def test_nobody_sings_to_an_agent() -> None:
    assert not plausible("I'm ready for you \u266a \u266a I'm ready for you \u266a", 11.0, 0.6)


def test_a_cycle_counts_once_it_has_come_round_often_enough() -> None:
    assert loop_length([1, 2, 3, 4, 5]) == 0
    assert loop_length([9, 1, 2, 1, 2, 1, 2]) == 0
    assert loop_length([9, 1, 2, 1, 2, 1, 2, 1, 2]) == 2
    assert loop_length([7] * 11) == 0, "people say 'no' many times"
    assert loop_length([7] * 12) == 1
    assert loop_length([]) == 0


def test_repetition_compresses() -> None:
    assert compression_ratio("") == 0
    assert compression_ratio("good morning " * 30) > 5
    assert compression_ratio("I would like to know when my parcel is going to arrive, please.") < 1.2


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        ("Ah, Jack,, what was it", "Ah, Jack, what was it"),
        ("at eight a. M. M..", "at eight a. M. M."),
        ("Well ... I think", "Well... I think"),
        ("so I thought ,yes", "so I thought,yes"),
        ("Is it?", "Is it?"),
        ("Wait...", "Wait..."),
    ],
)
def test_punctuation_is_mended(raw: str, mended: str) -> None:
    assert tidy(raw) == mended


def test_letters_of_another_script_are_seen() -> None:
    assert latin("Café, naïve: 2-3 o'clock!")
    assert not latin("2-3ตวบนลาง")


def test_a_token_table_is_read() -> None:
    long = b"x" * 300
    table = b"\x00" + b"\x03abc" + bytes([300 % 128 + 128, 300 // 128]) + long
    assert read_tokens(table) == [b"", b"abc", long]


@pytest.mark.parametrize("table", [b"\x05abc", b"\x80", b"\xac\x02" + b"x" * 299])
def test_a_token_table_that_is_cut_short_is_refused(table: bytes) -> None:
    with pytest.raises(ValueError, match="table ends"):
        read_tokens(table)
