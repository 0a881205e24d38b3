"""The transcript as a language model saw it, and the check that what it quotes was said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from workers.insights import wording
from workers.insights.findings import Turn

MAX_EVIDENCE: Final = 12
_MARKUP: Final = re.compile(r"<[^<>]*>|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CHECKED: Final = re.compile(
    r"(?:https?://|www\.)\S+|\b[\w.+-]+@[\w-]+\.[\w.]+|\b[\w-]+\.(?:com|net|org|io|info|biz)\b"
)
_DIGITS: Final = re.compile(r"\d[\d .()-]{5,}\d")


class AnswerError(ValueError):
    """A language model's answer breaks its rules."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """Numbered turns: those a language model was shown, and all of the call for checking quotations."""

    turns: Sequence[Turn]
    """The whole call; a turn's number is its place here, from 1."""
    first_shown: int = 1

    def evidence(self, raw: Any, quotes: Sequence[str] = ()) -> tuple[UUID, ...]:
        """Return the segments of the turn numbers in `raw` that exist and, where given, hold a quotation."""
        numbers: list[int] = []
        for item in raw if isinstance(raw, list) else [raw]:
            number = item if isinstance(item, int) and not isinstance(item, bool) else _number(item)
            if number is not None and self.first_shown <= number <= len(self.turns) and number not in numbers:
                numbers.append(number)
        for quote in quotes:
            place = self.find(quote, numbers)
            if place is None:
                raise AnswerError("a quotation is not in the transcript")
            if place not in numbers:
                numbers = [place]
        return tuple(self.turns[number - 1].segment_id for number in sorted(numbers)[:MAX_EVIDENCE])

    def find(self, quote: str, near: Sequence[int]) -> int | None:
        """Return the number of a turn that holds the quotation, one of `near` if possible."""
        wanted = wording.normal(wording.plain(quote)).strip()
        if not wanted:
            return None
        others = (number for number in range(self.first_shown, len(self.turns) + 1) if number not in near)
        for number in (*near, *others):
            if wanted in wording.normal(wording.plain(self.turns[number - 1].text)):
                return number
        return None

    def text(self, raw: Any, limit: int, name: str) -> str:
        """Return a model's free text, stripped of markup; refuse addresses and numbers that nobody said."""
        if not isinstance(raw, str):
            raise AnswerError(f"{name} is not a text")
        text = " ".join(_MARKUP.sub(" ", raw).split())
        for address in _CHECKED.findall(text):
            if not any(address.strip(".,").lower() in turn.text.lower() for turn in self.turns):
                raise AnswerError(f"{name} names an address that nobody said")
        for number in _DIGITS.findall(text):
            digits = re.sub(r"\D", "", number)
            if not any(digits in re.sub(r"\D", "", turn.text) for turn in self.turns):
                raise AnswerError(f"{name} holds a number that nobody said")
        return wording.shorten(text, limit)


def _number(item: Any) -> int | None:
    """Read '12', '[12]' or 'turn 12', as small models write them."""
    if isinstance(item, str) and (found := re.fullmatch(r"\D{0,6}(\d{1,6})\D{0,2}", item)):
        return int(found.group(1))
    return None


def member(raw: Any, name: str) -> Mapping[str, Any]:
    """Return a JSON object, or say that it is none."""
    if not isinstance(raw, dict):
        raise AnswerError(f"{name} is not an object")
    return raw


def choice(raw: Any, allowed: Sequence[str], name: str) -> str:
    """Return one of the allowed words."""
    word = raw.strip().lower().replace(" ", "_").replace("-", "_") if isinstance(raw, str) else raw
    if word not in allowed:
        raise AnswerError(f"{name} is none of {', '.join(allowed)}")
    return str(word)


def number(raw: Any, low: float, high: float, name: str) -> float:
    """Return a number within its bounds."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not low <= raw <= high:
        raise AnswerError(f"{name} is not a number from {low:g} to {high:g}")
    return round(float(raw), 2)
