"""Words with their places in a text, and changes to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.model import Word

_TOKEN: Final = re.compile(r"(?<![^\W_])[0-9]+(?:[.,:][0-9]+)*(?![^\W_])|[^\W_]+(?:['’][^\W_]+)*")
_FULL_STOP: Final = re.compile(r"[.?!;:]")


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a number as it is written."""

    text: str
    low: str
    start: int
    end: int
    gap: str
    """What stands between the token before and this one."""

    @property
    def near(self) -> bool:
        """Whether nothing but a space or a hyphen keeps it from the token before."""
        return self.gap == "-" or self.gap.isspace()

    @property
    def after_comma(self) -> bool:
        return self.gap.strip() == "," and len(self.gap) > 1

    @property
    def opens_sentence(self) -> bool:
        return _FULL_STOP.search(self.gap) is not None


@dataclass(frozen=True, slots=True)
class Edit:
    """Writes `written`, which holds no space, over the letters from `start` to `end`."""

    start: int
    end: int
    written: str


def tokenise(text: str) -> list[Token]:
    """Return the words and numbers of a text in order."""
    tokens, before = [], 0
    for found in _TOKEN.finditer(text):
        word = found.group()
        tokens.append(
            Token(word, word.lower().replace("’", "'"), found.start(), found.end(), text[before : found.start()])
        )
        before = found.end()
    return tokens


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with edits made, which are in order and do not overlap."""
    parts, done = [], 0
    for edit in edits:
        parts += [text[done : edit.start], edit.written]
        done = edit.end
    return "".join([*parts, text[done:]])


def realign(text: str, words: Sequence[Word], edits: Sequence[Edit]) -> tuple[Word, ...]:
    """Return the words of the edited text: what an edit wrote in place of several lasts from the first to the last.

    Its probability is the least of theirs. Words that are not those of `text`, letter for letter, stay as they are.
    """
    places = _places(text, words)
    if places is None:
        return tuple(words)
    merged: list[Word] = []
    at, index = 0, 0
    while index < len(words):
        after = index + 1
        start, end = places[index]
        first = at
        while at < len(edits) and edits[at].start < end:
            end = max(end, edits[at].end)
            while after < len(words) and places[after][0] < end:
                end = max(end, places[after][1])
                after += 1
            at += 1
        if at == first:
            merged.append(words[index])
        else:
            inside = [Edit(edit.start - start, edit.end - start, edit.written) for edit in edits[first:at]]
            group = words[index:after]
            written = apply(text[start:end], inside).strip()
            merged.append(Word(written, group[0].start_ms, group[-1].end_ms, min(word.p for word in group)))
        index = after
    return tuple(merged)


def _places(text: str, words: Sequence[Word]) -> list[tuple[int, int]] | None:
    places, at = [], 0
    for word in words:
        wanted = word.w.strip()
        start = text.find(wanted, at) if wanted else at
        if start < 0 or text[at:start].strip():
            return None
        at = start + len(wanted)
        places.append((start, at))
    return None if text[at:].strip() else places
