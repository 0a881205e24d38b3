"""Finds the numbers that are spoken in a row of words. What they amount to is text2num's knowledge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from text_to_num import find_numbers

from workers.asr.written.tokens import Token


@dataclass(frozen=True, slots=True)
class Number:
    """A number in the tokens from `start` up to `end`."""

    start: int
    end: int
    digits: str
    """As digits, without marks for thousands: 120, 3.5, 007, 21st."""
    ordinal: bool = False
    literal: bool = False
    """It is written in digits already."""
    single: bool = False
    """It is a digit, or one digit said to come several times."""

    @property
    def value(self) -> Decimal:
        return Decimal("".join(letter for letter in self.digits if letter in "0123456789."))

    @property
    def is_small(self) -> bool:
        """Whether it stays a word where nothing else is known."""
        return self.single and len(self.digits) == 1 and not self.literal


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What has to be known of a language to find its numbers."""

    language: str
    units: Mapping[str, str]
    """The words for 0 to 9."""
    magnitudes: Mapping[str, int]
    """hundred, thousand, ..."""
    many: AbstractSet[str] = frozenset()
    """Words for numbers that nobody counted: thousands."""
    apart: AbstractSet[tuple[str, str]] = frozenset()
    """Second words that are no number behind the first: por ciento."""
    ands: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Words that belong to a number only behind one of some others: one hundred and five."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    zeros: AbstractSet[str] = frozenset()
    """Words that are a zero only beside digits: oh."""
    point: str = ""
    """The mark of decimals, where this program reads them itself."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """double, triple."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A token as text2num asks for it."""

    word: str
    separated: bool
    excluded: bool

    def text(self) -> str:
        return self.word

    def nt_separated(self, _previous: object) -> bool:
        return self.separated

    def not_a_number_part(self) -> bool:
        return self.excluded


_LITERAL: Final = re.compile(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+[.,][0-9]+")
_NO_TOKEN: Final = Token("", "", 0, 0, "")


def read(tokens: Sequence[Token], lexicon: Lexicon) -> list[Number]:
    """Return the numbers in order; digits one by one, unless they make up a larger number."""
    heard = [
        _Heard(
            lexicon.aliases.get(token.low, token.low),
            not token.near,
            _excluded(token, tokens[index - 1] if index else _NO_TOKEN, lexicon),
        )
        for index, token in enumerate(tokens)
    ]
    numbers = {}
    for found in find_numbers(heard, lexicon.language, threshold=0):
        if all(token.low in lexicon.units for token in tokens[found.start : found.end]):
            for index in range(found.start, found.end):
                numbers[index] = Number(index, index + 1, lexicon.units[tokens[index].low], single=True)
        else:
            numbers[found.start] = Number(found.start, found.end, found.text, ordinal=found.is_ordinal)
    for index, token in enumerate(tokens):
        if _LITERAL.fullmatch(token.text):
            numbers[index] = Number(index, index + 1, token.text, literal=True, single=len(token.text) == 1)
    _read_zeros(tokens, lexicon, numbers)
    _read_repeats(tokens, lexicon, numbers)
    return [numbers[index] for index in sorted(numbers)]


def _excluded(token: Token, before: Token, lexicon: Lexicon) -> bool:
    if token.low == lexicon.point or token.low in lexicon.many or (before.low, token.low) in lexicon.apart:
        return True
    return token.low in lexicon.ands and before.low not in lexicon.ands[token.low]


def _read_zeros(tokens: Sequence[Token], lexicon: Lexicon, numbers: dict[int, Number]) -> None:
    """Take 'oh' for a zero where a digit, or a larger number before it, stands beside it."""
    ends = {number.end for number in numbers.values()}
    waiting: list[int] = []
    for index, token in enumerate(tokens):
        if token.low not in lexicon.zeros:
            waiting.clear()
            continue
        waiting.append(index)
        follows = index + 1 in numbers and numbers[index + 1].single and beside(tokens[index + 1])
        pointed = index > 1 and tokens[index - 1].low == lexicon.point and index - 1 in ends
        if ((index in ends or pointed) and beside(token)) or follows:
            for zero in waiting:
                numbers[zero] = Number(zero, zero + 1, "0", single=True)
                ends.add(zero + 1)
            waiting.clear()
        elif not (index + 1 < len(tokens) and beside(tokens[index + 1])):
            waiting.clear()


def _read_repeats(tokens: Sequence[Token], lexicon: Lexicon, numbers: dict[int, Number]) -> None:
    for index, token in enumerate(tokens[:-1]):
        times = lexicon.repeats.get(token.low)
        if times is None or not tokens[index + 1].near:
            continue
        number = numbers.get(index + 1)
        if number is None and tokens[index + 1].low in lexicon.zeros:
            number = Number(index + 1, index + 2, "0", single=True)
        if number is not None and len(number.digits) == 1:
            numbers.pop(index + 1, None)
            numbers[index] = Number(index, index + 2, number.digits * times, single=True)


def beside(token: Token) -> bool:
    """Whether a number may go on with this token."""
    return token.near or token.after_comma


def runs(numbers: Sequence[Number], tokens: Sequence[Token]) -> list[list[list[Number]]]:
    """Return rows of numbers that follow each other, cut into groups at their commas."""
    rows: list[list[list[Number]]] = []
    end = -1
    for number in numbers:
        first = tokens[number.start]
        if number.start == end and first.near:
            rows[-1][-1].append(number)
        elif number.start == end and first.after_comma:
            rows[-1].append([number])
        else:
            rows.append([[number]])
        end = number.end
    return rows
