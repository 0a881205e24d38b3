"""E-mail and web addresses: 'jack dot sitilley at gmail dot com' is jack.sitilley@gmail.com."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from workers.asr.written.tokens import Token

_ENDINGS: Final = frozenset(
    "com net org edu gov mil int io info biz dev app ai tv uk us ca au nz ie eu de at ch fr be nl es pt it mx".split()
)
_AMBIGUOUS_ENDINGS: Final = frozenset("at it be us".split())
"""Endings that are words as well: only where the address does not go on with them as words."""
_SECOND_LEVEL: Final = frozenset("co com org ac gov net".split())
_PROVIDERS: Final = frozenset(
    "gmail googlemail yahoo ymail hotmail outlook live icloud aol msn gmx web protonmail proton mail comcast "
    "verizon btinternet orange wanadoo laposte free telefonica".split()
)
_IN_TWO: Final = {
    ("g", "mail"): "gmail",
    ("hot", "mail"): "hotmail",
    ("i", "cloud"): "icloud",
    ("out", "look"): "outlook",
}
_NO_NAME: Final = frozenset(
    "a an the of or and to is are was were be been am in on at by for from with as it its this that these those i "
    "you he she we they me us him her them my your our their look looking looked find found see go going went visit "
    "visiting check online website site page here there available works work worked live everything info shop store "
    "buy bought order ordered account email mail e address what which who where when how just it's that's every any "
    "der die das bei auf ist von el la los en es un una le les chez sur est".split()
)
_MAIL_WORDS: Final = frozenset("email e-mail mail emails address adresse correo courriel".split())
_LOOK_BACK: Final = 12


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a language says the marks of an address."""

    marks: Mapping[str, str]
    """dot, dash, underscore, ..."""
    at: AbstractSet[str]
    slash: AbstractSet[str]
    units: Mapping[str, str]
    repeats: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """An address in the tokens from `start` up to `end`."""

    start: int
    end: int
    written: str
    spoken: bool
    """A mark of it was said, not written."""


def find(tokens: Sequence[Token], spoken: Spoken) -> Iterator[Address]:
    """Yield the addresses in order."""
    index, done = 1, 0
    while index < len(tokens):
        address = _web(tokens, index, done, spoken) if _ends(tokens, index, spoken) else None
        if address is not None:
            address = _mail(tokens, address, done, spoken) or address
            done = index = address.end
            if address.spoken:
                yield address
        index += 1


def _ends(tokens: Sequence[Token], index: int, spoken: Spoken) -> bool:
    """Whether the token is the first ending of an address: the com of 'dot com'."""
    low = tokens[index].low
    if low not in _ENDINGS and not (low in _SECOND_LEVEL and _mark(tokens, index + 1, spoken) == "."):
        return False
    if _mark(tokens, index, spoken) != ".":
        return False
    goes_on = index + 1 < len(tokens) and tokens[index + 1].near and low in _AMBIGUOUS_ENDINGS
    return not goes_on


def _mark(tokens: Sequence[Token], index: int, spoken: Spoken) -> str | None:
    """Return the mark between the label that starts at `index` and the one before: . - _ +; None for none."""
    if not 0 < index < len(tokens):
        return None
    token = tokens[index]
    if token.gap in {".", "_", "-", "+"}:
        return token.gap
    said = spoken.marks.get(tokens[index - 1].low)
    return said if said is not None and index > 1 and token.near and tokens[index - 1].near else None


def _before(tokens: Sequence[Token], index: int) -> int:
    """Return the last token of the label before the mark in front of `index`."""
    return index - 1 if tokens[index].gap in {".", "_", "-", "+"} else index - 2


def _web(tokens: Sequence[Token], ending: int, floor: int, spoken: Spoken) -> Address | None:
    parts, start, said = [tokens[ending].low], ending, False
    while (mark := _mark(tokens, start, spoken)) in {".", "-"} and (label := _before(tokens, start)) >= floor:
        said = said or tokens[start].gap != mark
        parts.insert(0, mark or "")
        name, first = _label(tokens, label, floor)
        parts.insert(0, name)
        start = first
    if start == ending or tokens[start].low in _NO_NAME or tokens[start].low in spoken.marks:
        return None
    end = ending + 1
    while (mark := _mark(tokens, end + 1, spoken)) == "." and tokens[end + 1].low in _ENDINGS | _SECOND_LEVEL:
        parts += [".", tokens[end + 1].low]
        said, end = True, end + 2
    while end + 1 < len(tokens) and tokens[end].low in spoken.slash and tokens[end].near and tokens[end + 1].near:
        parts += ["/", tokens[end + 1].low]
        said, end = True, end + 2
    return Address(start, end, "".join(parts), said)


def _label(tokens: Sequence[Token], index: int, floor: int) -> tuple[str, int]:
    """Return a label and its first token: a provider's name may have been heard in two words."""
    if index > floor and tokens[index].near:
        whole = _IN_TWO.get((tokens[index - 1].low, tokens[index].low))
        if whole is not None:
            return whole, index - 1
    return tokens[index].low, index


def _mail(tokens: Sequence[Token], domain: Address, floor: int, spoken: Spoken) -> Address | None:
    """Return the mail address that the domain is the end of, if it is one."""
    at = domain.start - 1
    if at - 1 < floor or tokens[at].low not in spoken.at or not (tokens[at].near and tokens[domain.start].near):
        return None
    if tokens[at].low == "sign" and tokens[at - 1].low == "at":
        at -= 1
    if at - 1 < floor:
        return None
    local, start, marked = _local(tokens, at, floor, spoken)
    if local is None:
        return None
    provider = domain.written.split(".")[0] in _PROVIDERS
    before = tokens[max(floor, start - _LOOK_BACK) : start]
    if marked or provider or any(token.low in _MAIL_WORDS for token in before):
        return Address(start, domain.end, f"{local}@{domain.written}", spoken=True)
    return None


def _local(tokens: Sequence[Token], at: int, floor: int, spoken: Spoken) -> tuple[str | None, int, bool]:
    """Return the name before the at sign, its first token, and whether marks, digits or letters make it sure."""
    parts: list[str] = []
    start, marked = at, False
    while True:
        label, first = _piece(tokens, start - 1, floor, spoken)
        if not label:
            break
        parts.insert(0, label)
        marked = marked or first < start - 1 or label.isdigit()
        start = first
        mark, before = _mark(tokens, start, spoken), _before(tokens, start) if start > floor else -1
        if mark is None or before < floor:
            break
        parts.insert(0, mark)
        start, marked = before + 1, True
    if parts and parts[0] in {".", "-", "_", "+"}:
        parts.pop(0)
        start = at - 1
        return None, start, False
    return ("".join(parts) if parts else None), start, marked


def _piece(tokens: Sequence[Token], last: int, floor: int, spoken: Spoken) -> tuple[str, int]:
    """Return what stands without a mark between: a word with digits behind it or an initial before, or a spelling."""
    index, letters = last, ""
    while index >= floor and (index == last or tokens[index + 1].near):
        token = tokens[index]
        sign = spoken.units.get(token.low) or (token.low if len(token.low) == 1 or token.low.isdecimal() else None)
        if sign is None:
            break
        index -= 1
        if index >= floor and tokens[index].low in spoken.repeats and token.near:
            sign *= spoken.repeats[tokens[index].low]
            index -= 1
        letters = sign + letters
    spelled = any(letter.isalpha() for letter in letters)
    if index >= floor and not spelled and (index == last or tokens[index + 1].near):
        token = tokens[index]
        if token.low not in _NO_NAME and token.low not in spoken.marks and "'" not in token.low:
            letters = token.low + letters
            index -= 1
            if (
                index >= floor
                and tokens[index + 1].near
                and len(tokens[index].low) == 1
                and tokens[index].low not in "aio"
            ):
                letters = tokens[index].low + letters
                index -= 1
    return letters, index + 1
