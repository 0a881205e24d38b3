"""Word error rate, the way speech papers count it: normalised words, pooled over items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

FILLERS = frozenset({"ah", "er", "eh"})


@dataclass(frozen=True, slots=True)
class Score:
    """Errors against the words of a reference; scores add up to the pooled one."""

    words: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0

    @property
    def errors(self) -> int:
        return self.substituted + self.deleted + self.inserted

    @property
    def right(self) -> int:
        """Words of the reference that were heard."""
        return self.words - self.substituted - self.deleted

    @property
    def wer(self) -> float:
        """Errors a reference word; 0 where neither side has words."""
        return self.errors / self.words if self.words else float(self.errors > 0)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.words + other.words,
            self.substituted + other.substituted,
            self.deleted + other.deleted,
            self.inserted + other.inserted,
        )


@cache
def _normaliser(language: str) -> BasicTextNormalizer | EnglishTextNormalizer:
    if language == "en":
        return EnglishTextNormalizer()
    # Chinese and Japanese have no spaces: letters stand for words there.
    return BasicTextNormalizer(split_letters=language in {"zh", "ja"})


def normalise(text: str, language: str = "en") -> list[str]:
    """Return the words of a text without case, punctuation, fillers and spelling variants.

    Whisper's rules, and in English three more for what they leave open: 'ok' is 'okay', 'ah' is a filler like 'uh',
    and a number counts digit by digit, since '1234' and 'one two three four' sound the same.
    """
    words = str(_normaliser(language)(text)).split()
    if language != "en":
        return words
    spelt = (list(word) if word.isdigit() else [word] for word in words if word not in FILLERS)
    return ["okay" if word == "ok" else word for group in spelt for word in group]


def score(reference: str, heard: str, language: str = "en") -> Score:
    """Compare two texts after normalisation."""
    return align(normalise(reference, language), normalise(heard, language))


def align(reference: Sequence[str], heard: Sequence[str]) -> Score:
    """Count the edits of the cheapest alignment (Levenshtein over words)."""
    # Each cell: (errors, substituted, deleted, inserted); tuples compare by errors first.
    row = [(column, 0, 0, column) for column in range(len(heard) + 1)]
    for wanted in reference:
        above, row = row, [(row[0][0] + 1, 0, row[0][2] + 1, 0)]
        for column, got in enumerate(heard):
            if wanted == got:
                row.append(above[column])
                continue
            swap, drop, add = above[column], above[column + 1], row[column]
            row.append(
                min(
                    (swap[0] + 1, swap[1] + 1, swap[2], swap[3]),
                    (drop[0] + 1, drop[1], drop[2] + 1, drop[3]),
                    (add[0] + 1, add[1], add[2], add[3] + 1),
                )
            )
    _, substituted, deleted, inserted = row[-1]
    return Score(len(reference), substituted, deleted, inserted)
