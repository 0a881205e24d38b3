"""Spoken words tidied, spelled out, split and retold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.insights import retelling, wording


@pytest.mark.parametrize(
    ("spoken", "tidied"),
    [
        ("Uh, hi Michelle, my name is Jack.", "hi Michelle, my name is Jack."),
        ("and I, the, the service light came on", "and the service light came on"),
        ("alright i have <unk> one hundred", "alright i have one hundred"),
        ("My last name is, uh, Sitilli. {surname unsure}", "My last name is, Sitilli."),
        ("no no that's fine", "no no that's fine"),
        ("the the card", "the card"),
        ("five five five, one one two", "five five five, one one two"),
        ("um", ""),
    ],
)
def test_tidy_takes_out_hesitations_and_stutters(spoken: str, tidied: str) -> None:
    assert wording.tidy(spoken) == tidied


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("I'm sure it won't, I can't!", " i am sure it will not i can not "),
        ("it’s Bob's card", " it is bob card "),
        ("dont you think", " do not you think "),
        ("$1,234.50 by e-mail", " $123450 by email "),
        ("I've lost it", " i have lost it "),
        ("", "  "),
    ],
)
def test_normal_form(written: str, normal: str) -> None:
    assert wording.normal(wording.plain(wording.tidy(written))) == normal


def test_sentences_survive_stray_full_stops_and_missing_ones() -> None:
    assert wording.sentences("Let me check the. Status of your order. It is at 8 a.m. then.") == [
        "Let me check the Status of your order.",
        "It is at 8 a.m. then.",
    ]
    assert wording.sentences(
        "hi my name is linda davis i would like to pay a bill please and thank you is there anything else"
    ) == ["hi", "my name is linda davis", "i would like to pay a bill please and thank you", "is there anything else"]


@given(st.text(max_size=300))
def test_any_text_is_read_without_harm(text: str) -> None:
    for sentence in wording.sentences(wording.tidy(text)):
        normal = wording.normal(wording.plain(sentence))
        assert normal.startswith(" ")
        assert normal.endswith(" ")
        assert "  " not in normal.strip()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("I lost my credit card", "they lost their credit card"),
        ("I am not happy with your service", "they are not happy with the company's service"),
        ("can you send me a new one", "can the company send them a new one"),
    ],
)
def test_customer_retold(words: str, told: str) -> None:
    assert retelling.by_customer(words) == told


def test_agent_retold() -> None:
    assert retelling.by_agent("I have ordered your card and you will get it when you need it") == (
        "they have ordered the customer's card and the customer will get it when they need it"
    )


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ("Okay, great, I have a question.", "I have a question."),
        ("Hi Michelle, my name is Jack. I want a car", "I want a car"),
        ("hi my name is mary smith i lost my card", "i lost my card"),
        ("Yes", "Yes"),
    ],
)
def test_opening_is_left_out(words: str, rest: str) -> None:
    assert retelling.strip_opening(words).endswith(rest)


def test_shorten_cuts_at_a_word() -> None:
    assert wording.shorten("one two three", 9) == "one two…"
    assert wording.shorten("one two", 9) == "one two"
