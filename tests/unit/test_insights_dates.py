"""Spoken dates, relative to the day of the call (a Monday, unless a case says otherwise)."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.insight_calls import MONDAY
from workers.asr.written import write
from workers.insights import wording
from workers.insights.dates import due


@pytest.mark.parametrize(
    ("words", "day"),
    [
        ("I'll call you back tomorrow", "2026-03-03"),
        ("the day after tomorrow", "2026-03-04"),
        ("I'll send it today", "2026-03-02"),
        ("by the end of the day", "2026-03-02"),
        ("two days from now", "2026-03-04"),
        ("in a couple of days", "2026-03-04"),
        ("within twenty four hours", "2026-03-03"),
        ("within 24 to 48 hours", "2026-03-04"),
        ("in three to five business days", "2026-03-09"),
        ("it takes up to ten business days", "2026-03-16"),
        ("in two weeks", "2026-03-16"),
        ("on Friday at 3 p.m.", "2026-03-06"),
        ("on Monday", "2026-03-09"),
        ("next Friday", "2026-03-13"),
        ("by the end of the week", "2026-03-06"),
        ("by the end of this month", "2026-03-31"),
        ("on April 19th", "2026-04-19"),
        ("the fifth of March", "2026-03-05"),
        ("on january second", "2027-01-02"),
        ("by the 14th", "2026-03-14"),
        ("on the twenty first", "2026-03-21"),
        ("on the first", "2026-04-01"),
    ],
)
def test_named_days(words: str, day: str) -> None:
    assert due(wording.normal(wording.plain(words)), MONDAY) == date.fromisoformat(day)
    written = write(words, "en")
    assert due(wording.normal(wording.plain(written)), MONDAY) == date.fromisoformat(day), written


@pytest.mark.parametrize(
    "words",
    [
        "I'll send it to you",
        "you bought it two weeks ago",
        "it has been three days",
        "the first one is fine",
        "on the second floor",
        "on February 30th",
        "it may take some time",
    ],
)
def test_no_day_named(words: str) -> None:
    assert due(wording.normal(wording.plain(words)), MONDAY) is None


@given(
    st.lists(
        st.sampled_from(
            "in within on by the of next this two 24 999 thirty first 31st business days weeks months hours friday "
            "february may tomorrow end month day couple from now 0".split()
        ),
        max_size=8,
    ),
    st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1)),
)
def test_no_words_break_it_and_no_day_is_past(words: list[str], called_on: date) -> None:
    found = due(f" {' '.join(words)} ", called_on)
    assert found is None or called_on <= found
