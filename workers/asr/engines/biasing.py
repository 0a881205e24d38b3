"""Which words of a text might be a phrase of the vocabulary, misheard. Pure functions.

The two questions are kept apart, so that no phrase is invented: a phrase is looked for only where the text sounds like
it, and taken only where the recogniser, asked about just these words, finds it nearly as likely as what it wrote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

from workers.asr.engines import Recognition
from workers.asr.engines.sounds import Likeness, Sounds

WITHIN: Final = 0.5
"""The farthest that a text may sound from a phrase."""
MOST_GUESSES: Final = 6
"""Of a text the most trusted are asked about."""
PLACES: Final = 2
"""Of a phrase so many places are."""
TRUST: Final = 4.0
"""How much less likely (natural logarithm) than what was written a phrase may be, for each unit of its weight, where it
sounds just the same; less where it does not, and nothing at `NO_TRUST_AT`."""
NO_TRUST_AT: Final = 0.6
MOST_TRUST: Final = 11.0
WITHIN_HINTED: Final = 0.35
"""The same where the recogniser can only be told what to expect, and not be asked how likely it is."""
LEAST_CONFIDENCE_LEFT: Final = 0.8
"""Of its confidence a recogniser may lose no more over a phrase that it was told."""
LEAST_WEIGHT: Final = 1.9
"""Shorter phrases sound like too much."""
LEXICONS: Final = 16
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Guess:
    """Where a phrase may have been misheard, and how it could be spelt there."""

    place: Likeness
    phrase: str
    spellings: tuple[str, ...]
    trust: float
    """How much less likely than what was written the recogniser may find it."""


class Lexicon:
    """A vocabulary made ready; some milliseconds for a thousand phrases."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._phrases = [*vocabulary]
        self._known = frozenset(map(_letters, vocabulary)) - {""}
        self._sounds = Sounds(vocabulary)

    def guesses(self, words: Sequence[str]) -> list[Guess]:
        """Return what to ask about a text: its words as they are written, marks included."""
        taken = self._phrases_heard(words)
        alike = [
            (self._trust(likeness), likeness)
            for likeness in self._sounds.find(words, within=WITHIN)
            if taken.isdisjoint(range(likeness.start, likeness.end))
        ]
        found: list[Guess] = []
        places: Counter[int] = Counter()
        for trust, likeness in sorted(alike, key=lambda pair: -pair[0]):
            places[likeness.phrase] += 1
            if trust > 0 and places[likeness.phrase] <= PLACES and len(found) < MOST_GUESSES:
                phrase = self._phrases[likeness.phrase]
                found.append(Guess(likeness, phrase, spellings(phrase), trust))
        return found

    def _phrases_heard(self, words: Sequence[str]) -> set[int]:
        """Return the words that are part of a phrase already."""
        letters = [_letters(word) for word in words]
        taken: set[int] = set()
        for start in range(len(words)):
            run = ""
            for end in range(start, min(start + 6, len(words))):
                run += letters[end]
                if run in self._known:
                    taken.update(range(start, end + 1))
        return taken

    def _trust(self, likeness: Likeness) -> float:
        weight = float(self._sounds.weights[likeness.phrase])
        if weight < LEAST_WEIGHT:
            return 0.0
        return min(TRUST * weight * (1 - likeness.distance / NO_TRUST_AT), MOST_TRUST)


def hinted(heard: Recognition, vocabulary: tuple[str, ...], listen_again: Callable[[str], Recognition]) -> Recognition:
    """Return what a recogniser hears that is told which phrases to expect: those only that `heard` sounds like.

    `listen_again` takes them as a text, comma separated. Its answer is taken where it holds one of them that was not
    there before, and differs in nothing else: recognisers that are given a text write it where nobody said it. Where
    nothing sounds like a phrase nobody listens again.
    """
    if not vocabulary or not heard.text:
        return heard
    words = heard.text.split()
    guesses = [guess for guess in lexicon(vocabulary).guesses(words) if guess.place.distance <= WITHIN_HINTED]
    if not guesses:
        return heard
    again = listen_again(", ".join(dict.fromkeys(guess.phrase for guess in guesses)))
    before, after = [[_letters(word) for word in text.split()] for text in (heard.text, again.text)]
    doubted = {place for guess in guesses for place in range(guess.place.start, guess.place.end)}
    news = 0
    for change, start, end, new_start, new_end in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if change == "equal":
            continue
        written = "".join(after[new_start:new_end])
        known = any(_letters(guess.phrase) in written for guess in guesses)
        if start == end or not doubted.issuperset(range(start, end)) or not known:
            return heard
        news += 1
    return again if news and again.confidence >= heard.confidence * LEAST_CONFIDENCE_LEFT else heard


@lru_cache(maxsize=LEXICONS)
def lexicon(vocabulary: tuple[str, ...]) -> Lexicon:
    """Return a vocabulary made ready; those in use are kept, a queue's calls share one."""
    return Lexicon(vocabulary)


def spellings(phrase: str) -> tuple[str, ...]:
    """Return how a recogniser might write a phrase: as it is, and its parts as words of their own."""
    parted = _CAMEL.sub(" ", phrase)
    plain = " ".join(part if part.isupper() else part[:1].upper() + part[1:] for part in parted.split())
    return tuple(dict.fromkeys((phrase, plain)))


def marks_after(word: str) -> str:
    """Return what follows the letters of a word: its comma, its 's."""
    found = re.search(r"(?:['’]s)?[\W_]*$", word)
    return found[0] if found else ""


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
