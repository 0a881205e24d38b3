"""What a language brings along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workers.asr.written import addresses, spelling
from workers.asr.written.tokens import Edit, Token


@dataclass(frozen=True, slots=True)
class Grammar:
    """A language's tables, and its rules for numbers."""

    addresses: addresses.Spoken
    spelling: spelling.Spoken
    numbers: Callable[[str, Sequence[Token], frozenset[int]], Iterator[Edit]]
    """(text, its tokens, those that are taken) -> changes in order."""
