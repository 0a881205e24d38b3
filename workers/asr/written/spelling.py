"""Names and codes that are said letter by letter: 'S I T I double L' is SITILL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from workers.asr.written.tokens import Token

_JOINTS: Final = frozenset({"-", " ", ", ", ". ", "."})
_HALVES_OF_DAY: Final = frozenset("APM")
_FEWEST: Final = 3


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a language spells."""

    repeats: Mapping[str, int]
    units: Mapping[str, str]
    zeros: AbstractSet[str]
    words: AbstractSet[str]
    """Letters that are words as well."""
    going_on: AbstractSet[str]
    """Words before which the last letter of a row is a word: ... I think."""
    lower_case: bool
    """Whether small letters are taken as well."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """Letters in the tokens from `start` up to `end`."""

    start: int
    end: int
    written: str


@dataclass(frozen=True, slots=True)
class _Sign:
    start: int
    end: int
    text: str
    letter: bool


def find(tokens: Sequence[Token], spoken: Spoken) -> Iterator[Spelling]:
    """Yield the spellings in order."""
    index = 0
    while index < len(tokens):
        row = _row(tokens, index, spoken)
        kept = _trimmed(row, tokens, spoken)
        if _is_spelling(kept, tokens, spoken):
            yield Spelling(kept[0].start, kept[-1].end, "".join(sign.text for sign in kept))
        index = row[-1].end if row else index + 1


def _row(tokens: Sequence[Token], index: int, spoken: Spoken) -> list[_Sign]:
    row: list[_Sign] = []
    while index < len(tokens) and (not row or tokens[index].gap in _JOINTS):
        sign = _sign(tokens, index, spoken)
        if sign is None:
            break
        row.append(sign)
        index = sign.end
    return row


def _sign(tokens: Sequence[Token], index: int, spoken: Spoken) -> _Sign | None:
    token = tokens[index]
    times = spoken.repeats.get(token.low)
    if times is not None and index + 1 < len(tokens) and tokens[index + 1].near:
        said = _sign(tokens, index + 1, spoken) if tokens[index + 1].low not in spoken.repeats else None
        return said and _Sign(index, said.end, said.text * times, said.letter)
    if len(token.text) == 1 and token.text.isalpha() and (spoken.lower_case or token.text.isupper()):
        return _Sign(index, index + 1, token.text.upper(), letter=True)
    digit = token.text if len(token.text) == 1 and token.text.isdecimal() else spoken.units.get(token.low)
    if digit is None and token.low in spoken.zeros:
        digit = "0"
    return _Sign(index, index + 1, digit, letter=False) if digit is not None else None


def _trimmed(row: list[_Sign], tokens: Sequence[Token], spoken: Spoken) -> list[_Sign]:
    """Take off what is a word, not a letter: an article in front, 'I' before a verb, a digit apart from the letters."""
    row = list(row)
    while row and (
        not row[0].letter or (tokens[row[0].start].text in spoken.words and tokens[row[0].start].text != "I")
    ):
        if not row[0].letter and sum(sign.letter for sign in row) >= 2 and sum(not sign.letter for sign in row) >= 2:
            break
        row.pop(0)
    while row and tokens[row[-1].end - 1].low in spoken.words:
        after = row[-1].end
        if after >= len(tokens) or not tokens[after].near or tokens[after].low not in spoken.going_on:
            break
        row.pop()
    return row


def _is_spelling(row: Sequence[_Sign], tokens: Sequence[Token], spoken: Spoken) -> bool:
    letters = [sign for sign in row if sign.letter]
    sure = [sign for sign in letters if tokens[sign.end - 1].low not in spoken.words]
    if len("".join(sign.text for sign in row)) < _FEWEST or not sure:
        return False
    if all(tokens[sign.start].gap == "." for sign in row[1:]) or {sign.text for sign in row} <= _HALVES_OF_DAY:
        return False  # U.S.A. is written so already
    if len(letters) < len(row):
        return len(letters) >= 2 and len(row) >= 4
    return len(letters) >= 2 and len({sign.text for sign in letters}) >= 2 and (len(sure) >= 2 or len(letters) >= 4)
