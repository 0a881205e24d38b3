"""Sentiment: how words feel in a service call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.insight_calls import analysed, body, call, recorded, said

NEGATIVE = """
This is absolutely unacceptable.
The service has been terrible.
I am not happy with this at all.
Thanks for nothing.
I'm really disappointed with your company.
This is the third time I'm calling and it still doesn't work.
nobody ever called me back and i'm sick of waiting
I want my money back, this is a rip off.
your driver was rude to my wife
I can't believe I have to pay extra for this.
what a waste of time
this is ridiculous
I've had enough of this.
It's very frustrating.
I am extremely upset about what happened.
That's not good enough.
You people keep charging me for something I cancelled.
I have never been treated so badly, it's a disgrace.
"""
POSITIVE = """
That's wonderful, thank you so much!
You've been great.
Perfect, I really appreciate your help.
I love the new phone, it's amazing.
that sounds great thank you very much you have been so helpful
I'm very happy with the service.
Excellent, that was quick and easy.
I can't thank you enough.
"""
NEUTRAL = """
I lost my credit card.
Can you send me a new one?
My account number is one two three four.
Saturday please.
i would like to pay a bill
No, that will be all.
I'd like to buy a Chromecast and I was wondering whether you could help me with that.
Have a great day.
How do I check my balance?
It's not a bad thing.
"""


@pytest.mark.parametrize("words", NEGATIVE.strip().splitlines())
def test_negative(words: str) -> None:
    found = body(said(words), "sentiment")
    assert found["label"] == "negative"
    assert -1 <= found["score"] < 0


@pytest.mark.parametrize("words", POSITIVE.strip().splitlines())
def test_positive(words: str) -> None:
    found = body(said(words), "sentiment")
    assert found["label"] == "positive"
    assert 0 < found["score"] <= 1


@pytest.mark.parametrize("words", NEUTRAL.strip().splitlines())
def test_neutral(words: str) -> None:
    assert body(said(words), "sentiment")["label"] == "neutral"


def test_no_problem_thank_you_is_not_negative() -> None:
    assert body(said("No problem, thank you."), "sentiment")["score"] > 0.2


def test_an_agents_apology_is_not_the_agents_displeasure() -> None:
    findings = analysed(
        call(
            """
            A: I'm so sorry to hear that. I understand your frustration and I apologize for the terrible inconvenience.
            C: Okay.
            """
        )
    )
    assert body(findings, "sentiment")["per_role"]["agent"]["label"] == "neutral"
    assert body(findings, "sentiment")["score"] >= 0


def test_each_party_has_its_own_mood() -> None:
    findings = analysed(
        call(
            """
            C: This is outrageous. I am furious, the product is useless.
            A: I'd be happy to help. That's wonderful, we have a great solution.
            """
        )
    )
    per_role = body(findings, "sentiment")["per_role"]
    assert set(per_role) == {"customer", "agent"}
    assert per_role["customer"]["label"] == "negative"
    assert per_role["agent"]["label"] == "positive"
    assert body(findings, "sentiment")["label"] == "negative"


def test_strong_feelings_of_both_kinds_are_mixed() -> None:
    findings = said("I love the product, it's fantastic.", "But your delivery was terrible, I'm really disappointed.")
    assert body(findings, "sentiment")["label"] == "mixed"


def test_a_good_end_outweighs_a_worried_start(data_dir: Path) -> None:
    found = body(analysed(recorded(data_dir / "calls" / "auto-repairs-40.txt")), "sentiment")
    assert found["label"] in {"positive", "mixed"}
    assert found["score"] > 0
    assert found["per_role"]["agent"]["label"] == "positive"


@pytest.mark.parametrize("name", ["chromecast-order-mono", "contoso-points"])
def test_polite_calls_are_neutral(data_dir: Path, name: str) -> None:
    found = body(analysed(recorded(data_dir / "calls" / f"{name}.txt")), "sentiment")
    assert found["per_role"]["customer"]["label"] == "neutral"


def test_thanks_alone_do_not_add_up_for_ever() -> None:
    assert body(said(*["Okay, thank you."] * 30), "sentiment")["score"] < 0.6
