"""How German, Spanish and French numbers are written: counts from ten, amounts, percentages, digits in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from workers.asr.written import addresses, spelling
from workers.asr.written.grammar import Grammar
from workers.asr.written.reading import Lexicon, Number, read, runs
from workers.asr.written.tokens import Edit, Token


@dataclass(frozen=True, slots=True)
class _Style:
    """A language's tables."""

    lexicon: Lexicon
    signs: Mapping[str, str]
    cents: AbstractSet[str]
    joints: AbstractSet[str]
    """What may stand between an amount and its cents."""
    percent: tuple[tuple[str, ...], ...]
    thousands: str
    """The mark between thousands in numbers of five digits and more."""
    marks: Mapping[str, str]
    at: AbstractSet[str]
    slash: AbstractSet[str]
    letters: AbstractSet[str] = field(default_factory=frozenset)


def _numbers(style: _Style, _text: str, tokens: Sequence[Token], taken: frozenset[int]) -> Iterator[Edit]:
    found = [
        _whole(number, tokens, style)
        for number in read(tokens, style.lexicon)
        if taken.isdisjoint(range(number.start, number.end)) and not number.ordinal
    ]
    done = 0
    for row in runs(found, tokens):
        for group in _groups(row):
            if group[0].start < done:
                continue
            for start, end, written in _group(style, tokens, group, found):
                yield Edit(tokens[start].start, tokens[end - 1].end, written)
                done = end


def _groups(row: list[list[Number]]) -> list[list[Number]]:
    """Digits that are all said apart are one group."""
    if len(row) >= 4 and all(len(group) == 1 and group[0].single for group in row):
        return [[number for group in row for number in group]]
    return row


def _whole(number: Number, tokens: Sequence[Token], style: _Style) -> Number:
    """Give 'eine Million zweihunderttausend' its 'eine' back."""
    before = number.start - 1
    first = style.lexicon.magnitudes.get(tokens[number.start].low, 0)
    if before >= 0 and first >= 10**6 and tokens[before].low in {"ein", "eine"} and tokens[number.start].near:
        return Number(before, number.end, number.digits)
    return number


def _group(
    style: _Style, tokens: Sequence[Token], group: Sequence[Number], found: Sequence[Number]
) -> list[tuple[int, int, str]]:
    if len(group) == 1:
        return _single(style, tokens, group[0], found)
    if any("," in number.digits for number in group):
        return []
    literal = any(number.literal for number in group)
    if all(number.single for number in group):
        digits = "".join(number.digits for number in group)
        return [(group[0].start, group[-1].end, digits)] if len(digits) >= (4 if literal else 3) else []
    if literal or len(group) < 3 or len({number.value for number in group}) == 1:
        return []
    pieces: list[tuple[int, int, str]] = []
    for number in group:
        if pieces and pieces[-1][2] == "0" and number.single:
            pieces[-1] = (pieces[-1][0], number.end, f"0{number.digits}")
        else:
            pieces.append((number.start, number.end, number.digits))
    return pieces


def _single(
    style: _Style, tokens: Sequence[Token], number: Number, found: Sequence[Number]
) -> list[tuple[int, int, str]]:
    after = tokens[number.end :]
    bare = number.end == number.start + 1 and tokens[number.start].low in style.lexicon.magnitudes
    written = _written(style, number)
    article = number.digits == "1" and not number.literal
    sign = style.signs.get(after[0].low) if after and after[0].near else None
    if sign is not None and not article:
        cents = _cents(style, tokens, number, found)
        if cents is not None:
            return [(number.start, number.end, f"{written},{cents[1]}"), (number.end, cents[0], sign)]
        return [(number.start, number.end, written), (number.end, number.end + 1, sign)]
    for words in style.percent:
        if tuple(token.low for token in after[: len(words)]) == words and all(t.near for t in after[: len(words)]):
            return [(number.start, number.end, written), (number.end, number.end + len(words), "%")]
    if bare or number.literal or number.single or ("," not in number.digits and number.value < 10):
        return []
    return [(number.start, number.end, written)]


def _cents(style: _Style, tokens: Sequence[Token], number: Number, found: Sequence[Number]) -> tuple[int, str] | None:
    """Return where the cents behind an amount end, and their two digits."""
    index = number.end + 1
    if index < len(tokens) and tokens[index].low in style.joints and tokens[index].near:
        index += 1
    cents = next((other for other in found if other.start == index), None)
    if cents is None or not tokens[index].near or not (cents.digits.isdigit() and number.digits.isdigit()):
        return None
    if not 1 <= int(cents.digits) <= 99 or cents.end >= len(tokens) or tokens[cents.end].low not in style.cents:
        return None
    return cents.end + 1, f"{int(cents.digits):02}"


def _written(style: _Style, number: Number) -> str:
    if number.literal or not number.digits.isdigit() or len(number.digits) < 5 or not style.thousands:
        return number.digits
    return f"{int(number.digits):,}".replace(",", style.thousands)


_GERMAN: Final = _Style(
    lexicon=Lexicon(
        language="de",
        units={
            word: str(value)
            for value, words in enumerate("null ein,eins zwei,zwo drei vier fünf sechs sieben acht neun".split())
            for word in words.split(",")
        },
        magnitudes={"hundert": 100, "tausend": 1000, "million": 10**6, "millionen": 10**6, "milliarde": 10**9},
        many=frozenset({"hunderte", "hunderten", "tausende", "tausenden"}),
        repeats={"doppel": 2},
    ),
    signs={"euro": "€", "euros": "€", "dollar": "$", "pfund": "£"},
    cents=frozenset({"cent", "cents"}),
    joints=frozenset({"und"}),
    percent=(("prozent",),),
    thousands=".",
    marks={"punkt": ".", "dot": ".", "minus": "-", "bindestrich": "-", "unterstrich": "_", "plus": "+"},
    at=frozenset({"at", "ät", "klammeraffe"}),
    slash=frozenset({"slash", "schrägstrich"}),
)
_SPANISH: Final = _Style(
    lexicon=Lexicon(
        language="es",
        units={
            word: str(value)
            for value, words in enumerate("cero un,uno,una dos tres cuatro cinco seis siete ocho nueve".split())
            for word in words.split(",")
        },
        magnitudes={"cien": 100, "ciento": 100, "mil": 1000, "millón": 10**6, "millones": 10**6},
        many=frozenset({"cientos", "miles"}),
        apart=frozenset({("por", "ciento"), ("por", "cien")}),
        aliases={"veintiún": "veintiuno"},
        repeats={"doble": 2},
    ),
    signs={"euro": "€", "euros": "€", "dólar": "$", "dólares": "$", "libra": "£", "libras": "£"},
    cents=frozenset({"céntimo", "céntimos", "centavo", "centavos"}),
    joints=frozenset({"con", "y"}),
    percent=(("por", "ciento"), ("por", "cien")),
    thousands=".",
    marks={"punto": ".", "guion": "-", "guión": "-"},
    at=frozenset({"arroba"}),
    slash=frozenset({"barra"}),
    letters=frozenset("aeouyAEOUY"),
)
_FRENCH: Final = _Style(
    lexicon=Lexicon(
        language="fr",
        units={
            word: str(value)
            for value, words in enumerate("zéro un,une deux trois quatre cinq six sept huit neuf".split())
            for word in words.split(",")
        },
        magnitudes={"cent": 100, "cents": 100, "mille": 1000, "million": 10**6, "millions": 10**6},
        apart=frozenset({("pour", "cent")}),
        repeats={"double": 2},
    ),
    signs={"euro": "€", "euros": "€", "dollar": "$", "dollars": "$"},
    cents=frozenset({"centime", "centimes", "cent", "cents"}),
    joints=frozenset({"et"}),
    percent=(("pour", "cent"),),
    thousands="",
    marks={"point": ".", "tiret": "-", "underscore": "_"},
    at=frozenset({"arobase", "arrobase", "arobas", "at"}),
    slash=frozenset({"slash"}),
    letters=frozenset("ayAYà"),
)


def _grammar(style: _Style) -> Grammar:
    lexicon = style.lexicon
    return Grammar(
        addresses=addresses.Spoken(style.marks, style.at, style.slash, lexicon.units, lexicon.repeats),
        spelling=spelling.Spoken(
            repeats=lexicon.repeats,
            units=lexicon.units,
            zeros=frozenset(),
            words=style.letters,
            going_on=frozenset(),
            lower_case=False,
        ),
        numbers=partial(_numbers, style),
    )


GRAMMARS: Final[Mapping[str, Grammar]] = {
    style.lexicon.language: _grammar(style) for style in (_GERMAN, _SPANISH, _FRENCH)
}
