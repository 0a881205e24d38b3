"""The transcript as a language model saw it, and the checks that what it says was said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from workers.insights import wording
from workers.insights.findings import Turn

MAX_EVIDENCE: Final = 12
_MARKUP: Final = re.compile(
    r"<[^<>]*>|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_ADDRESS: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://|www\.)\S+|\b[\w.+-]+@[\w-]+\.[\w.]+|\b[\w-]+\.(?:com|net|org|io|info|biz)\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"\d[\d .()-]{5,}\d")
_ISO_DATE: Final = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_DIGITS: Final = {
    word: str(value)
    for value, words in enumerate(("zero oh o", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
    for word in words.split()
}


class AnswerError(ValueError):
    """A language model's answer breaks its rules."""


class Transcript:
    """The call's turns, numbered from 1; a model was shown those from `first_shown` on."""

    def __init__(self, turns: Sequence[Turn], first_shown: int = 1) -> None:
        self.turns = turns
        self.first_shown = first_shown

    @cached_property
    def _normal(self) -> list[str]:
        return [wording.normal(wording.plain(wording.tidy(turn.text))) for turn in self.turns]

    @cached_property
    def _lower(self) -> str:
        return "\n".join(turn.text.lower() for turn in self.turns)

    @cached_property
    def _digits(self) -> str:
        """Every digit that was said, in order, whether written as a digit or as a word."""
        words = " ".join(self._normal).split()
        return "".join(_DIGITS.get(word, re.sub(r"\D", "", word)) for word in words)

    def holds(self, text: str) -> bool:
        """Tell whether somebody said it, in these letters."""
        return text.lower() in self._lower

    def evidence(self, raw: Any, quote: str | None = None) -> tuple[UUID, ...]:
        """Return the segments of those turn numbers in `raw` that exist; with a quotation, it has to be in one.

        A quotation that stands in another turn than the one named corrects the number.
        """
        numbers: list[int] = []
        for item in raw if isinstance(raw, list) else [raw]:
            number = _integer(item)
            if number is not None and self.first_shown <= number <= len(self.turns) and number not in numbers:
                numbers.append(number)
        if quote is not None:
            place = self.find(quote, numbers)
            if place is None:
                raise AnswerError("a quotation is not in the transcript")
            if place not in numbers:
                numbers = [place]
        return tuple(self.turns[number - 1].segment_id for number in sorted(numbers)[:MAX_EVIDENCE])

    def find(self, quote: str, near: Sequence[int] = ()) -> int | None:
        """Return the number of a turn that holds the quotation, one of `near` if possible."""
        wanted = wording.normal(wording.plain(wording.tidy(quote)))
        if not wanted.strip():
            return None
        others = (number for number in range(self.first_shown, len(self.turns) + 1) if number not in near)
        for number in (*near, *others):
            if wanted in self._normal[number - 1]:
                return number
        return None

    def text(self, raw: Any, limit: int, name: str) -> str:
        """Return a model's free text, stripped of markup; refuse addresses and long numbers that nobody said."""
        if not isinstance(raw, str):
            raise AnswerError(f"{name} is not a text")
        text = " ".join(_MARKUP.sub(" ", raw).split())
        for address in _ADDRESS.findall(text):
            if not self.holds(address.strip(".,")):
                raise AnswerError(f"{name} names an address that nobody said")
        for number in _NUMBER.findall(_ISO_DATE.sub(" ", text)):
            if re.sub(r"\D", "", number) not in self._digits:
                raise AnswerError(f"{name} holds a number that nobody said")
        return wording.shorten(text, limit)


def _integer(item: Any) -> int | None:
    """Read 12, '12', '[12]' or 'turn 12', as small models write them."""
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    if isinstance(item, str) and (found := re.fullmatch(r"[^0-9]{0,6}([0-9]{1,6})[^0-9]{0,2}", item)):
        return int(found.group(1))
    return None


def member(raw: Any, name: str) -> Mapping[str, Any]:
    """Return a JSON object, or say that it is none."""
    if not isinstance(raw, dict):
        raise AnswerError(f"{name} is not an object")
    return raw


def choice(raw: Any, allowed: Sequence[str], name: str) -> str:
    """Return one of the allowed words."""
    word = raw.strip().lower().replace(" ", "_").replace("-", "_") if isinstance(raw, str) else ""
    if word not in allowed:
        raise AnswerError(f"{name} is none of {', '.join(allowed)}")
    return word


def number(raw: Any, low: float, high: float, name: str) -> float:
    """Return a number within its bounds."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not low <= raw <= high:
        raise AnswerError(f"{name} is not a number from {low:g} to {high:g}")
    return round(float(raw), 2)
