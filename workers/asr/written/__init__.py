"""Writes what was said the way people write it: '$25.50' for 'twenty five dollars and fifty cents'.

Pure: the same words give the same text, whatever came before them. docs/decisions/0007-written-form.md says what is
written how, and why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from infra.model import Word
from workers.asr.written import addresses, continental, english, spelling
from workers.asr.written.grammar import Grammar
from workers.asr.written.tokens import Edit, apply, realign, tokenise

_GRAMMARS: Final[Mapping[str, Grammar]] = {"en": english.GRAMMAR, **continental.GRAMMARS}
_ENDS: Final = re.compile(r"[^\W\d_]{3}[.?!]$")
_SHORT: Final = frozenset("approx. dept. etc. ext. est. inc. ltd. max. min. mrs. usw. vgl. bzw. sra. mme.".split())
_PASSES: Final = 4
"""A text is gone over until nothing changes any more; almost every one has nothing left to change after one pass."""


def write(text: str, language: str) -> str:
    """Return a text with its numbers, amounts, addresses and spelled names as people write them."""
    return write_words(text, (), language)[0]


def write_words(text: str, words: Sequence[Word], language: str) -> tuple[str, tuple[Word, ...]]:
    """Return the text as `write` does, and its words with their times.

    Where one written word stands for several spoken ones, it lasts from the first to the last of them.
    """
    for _ in range(_PASSES):
        edits = _edits(text, language)
        if not edits:
            break
        words = realign(text, words, edits) if words else ()
        text = apply(text, edits)
    return text, tuple(words)


def begin(text: str, words: Sequence[Word]) -> tuple[str, tuple[Word, ...]]:
    """Begin each sentence with a capital, also the first of a line that goes on in mid-sentence. 'iPhone' stays.

    Lighter recognisers go on in small letters behind a full stop, and so do all where they are given what was said
    before. 'e.g.' and the like end no sentence.
    """
    begun = _capitals([word.w for word in words])
    return " ".join(_capitals(text.split(" "))), tuple(
        word if written == word.w else replace(word, w=written) for word, written in zip(words, begun, strict=True)
    )


def _capitals(words: Sequence[str]) -> list[str]:
    """Return the words of a text, those with a capital that begin a sentence."""
    ends = [True, *(_ENDS.search(word) is not None and word.lower() not in _SHORT for word in words[:-1])]
    return [_capital(word) if begins else word for word, begins in zip(words, ends, strict=False)]


def _capital(word: str) -> str:
    plain = word.rstrip(".,;:!?").replace("'", "").isalpha() and not word[1:2].isupper()
    return word[:1].upper() + word[1:] if plain else word


def _edits(text: str, language: str) -> list[Edit]:
    """Return changes in order, none over another; addresses come before spellings, and both before numbers."""
    grammar = _GRAMMARS.get(language)
    tokens = tokenise(text) if grammar is not None else []
    if grammar is None or not tokens:
        return []
    taken: set[int] = set()
    edits = []
    found: list[addresses.Address | spelling.Spelling] = [
        *addresses.find(tokens, grammar.addresses),
        *spelling.find(tokens, grammar.spelling),
    ]
    for piece in found:
        place = range(piece.start, piece.end)
        if taken.isdisjoint(place):
            taken.update(place)
            edits.append(Edit(tokens[piece.start].start, tokens[piece.end - 1].end, piece.written))
    for edit in grammar.numbers(text, tokens, frozenset(taken)):
        if not any(edit.start < other.end and other.start < edit.end for other in edits):
            edits.append(edit)
    return [edit for edit in sorted(edits, key=_start) if text[edit.start : edit.end] != edit.written]


def _start(edit: Edit) -> int:
    return edit.start
