"""Puts the times that a recogniser tells of bare words onto the words of its text. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Final

_BARE: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Timed:
    """A word with its times in milliseconds, and its probability where it is known."""

    text: str
    start_ms: int
    end_ms: int
    p: float | None = None


def timed_words(text: str, times: list[Timed], end_ms: int) -> list[Timed]:
    """Return the words of `text`, as they are written there, with the times of their likes in `times`.

    Servers tell times of words without their marks, and often a little other words than the text has: those get
    what lies between their neighbours. Every time lies within 0..`end_ms`, and none before the one ahead. Empty where
    there are no times, or where hardly a word is alike: then they tell of something else.
    """
    words = text.split()
    if not words or not times:
        return []
    spoken = [_bare(word) for word in words]
    found: list[Timed | None] = [None] * len(words)
    for first, second, size in SequenceMatcher(
        a=spoken, b=[_bare(time.text) for time in times], autojunk=False
    ).get_matching_blocks():
        for offset in range(size):
            found[first + offset] = replace(times[second + offset], text=words[first + offset])
    if 2 * sum(place is not None for place in found) < len(words):
        return []
    return _in_order(_filled(words, found, end_ms), end_ms)


def _bare(word: str) -> str:
    return _BARE.sub("", word).lower()


def _filled(words: list[str], found: list[Timed | None], end_ms: int) -> list[Timed]:
    """Share the time between two known words out among the unknown ones, by their lengths."""
    filled: list[Timed] = []
    at = 0
    while at < len(words):
        known = found[at]
        if known is not None:
            filled.append(known)
            at += 1
            continue
        after = next((index for index in range(at, len(words)) if found[index] is not None), len(words))
        begin_ms = filled[-1].end_ms if filled else 0
        following = found[after] if after < len(words) else None
        until_ms = max(begin_ms, following.start_ms if following is not None else end_ms)
        letters = [max(len(word), 1) for word in words[at:after]]
        passed = 0
        for word, length in zip(words[at:after], letters, strict=True):
            start_ms = begin_ms + (until_ms - begin_ms) * passed // sum(letters)
            passed += length
            filled.append(Timed(word, start_ms, begin_ms + (until_ms - begin_ms) * passed // sum(letters)))
        at = after
    return filled


def _in_order(words: list[Timed], end_ms: int) -> list[Timed]:
    ordered: list[Timed] = []
    least_ms = 0
    for word in words:
        start_ms = min(max(word.start_ms, least_ms), end_ms)
        ordered.append(replace(word, start_ms=start_ms, end_ms=min(max(word.end_ms, start_ms), end_ms)))
        least_ms = start_ms
    return ordered
