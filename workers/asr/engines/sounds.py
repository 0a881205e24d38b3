"""What words sound like, coarsely, and where in a text something that sounds like a phrase is. Pure functions.

Spelling is turned into a row of sounds with a few rules that hold for names of several languages; how far two rows
are apart is the cheapest way to turn one into the other, where sounds that are easily taken for each other, the more
so over a telephone, cost less.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SOUNDS: Final = "aeobdfghjklmnprstvwyzSTx"
"""a, e, o: the vowels; S: sh, ch, zh; T: th; x: anything else, such as a digit."""
LONGEST: Final = 40
"""Sounds of a phrase; what follows is not looked at."""
_SCALE: Final = 100
_BITS: Final = 10
_WORD_BITS: Final = (1 << _BITS) - 1
"""In a packed number the low bits are the word at which a match begins, and its cost is above them."""
_FAR: Final = 1 << 28

# In order; each is tried at every place of a word that has no more than Latin letters.
_RULES: Final = [
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"^(?:kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^ps", "s"),
        (r"^x", "z"),
        (r"tion|sion|cion", "Son"),
        (r"tch|sch|cz|sz|rz|ch|sh|dge", "S"),
        (r"ph", "f"),
        (r"th", "T"),
        (r"gh(?=t|$)", ""),
        (r"gh", "g"),
        (r"ck|q|kh", "k"),
        (r"cc(?=[eiy])", "ks"),
        (r"c(?=[eiy])", "s"),
        (r"c", "k"),
        (r"g(?=[eiy])", "j"),
        (r"x", "ks"),
        (r"mb$", "m"),
        (r"(?<=[aeou])[yw](?![aeiou])", ""),
        (r"(?<=[bcdfghjklmnpqrstvwxzST])e$", ""),
        (r"y(?![aeou])", "i"),
        (r"[iey]+[aeiouy]*", "e"),
        (r"[uo]+[aeiouy]*", "o"),
        (r"a[aeiouy]*", "a"),
    )
]

_ALIKE: Final = (
    ("ae", 0.3),
    ("ao", 0.3),
    ("eo", 0.35),
    *(
        (pair, 0.35)
        for pair in ("bp", "dt", "gk", "fv", "sz", "sS", "zS", "jS", "zj", "Tt", "Td", "Tf", "Ts", "Tz", "Tv")
    ),
    *((pair, 0.4) for pair in ("mn", "vw", "ye", "wo", "yj", "ey")),
    *(
        (pair, 0.5)
        for pair in ("bv", "tS", "dS", "dj", "tj", "kS", "gj", "gS", "fs", "tk", "pt", "pk", "pf", "bd", "gd")
    ),
    *((pair, 0.6) for pair in ("lr", "lw", "rw", "nl", "bm", "dn", "ro", "ra", "re", "lo")),
)
_ADDED: Final = {
    "a": 0.35,
    "e": 0.35,
    "o": 0.35,
    "h": 0.25,
    "w": 0.4,
    "y": 0.35,
    "r": 0.5,
    "g": 0.7,
    "d": 0.7,
    "t": 0.7,
}
_ADDED_ELSE: Final = 0.8


def _tables() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return what it costs to take one sound for another, shape (sounds, sounds), and to hear one too many."""
    swap = np.full((len(SOUNDS), len(SOUNDS)), 1.0)
    np.fill_diagonal(swap, 0.0)
    for pair, cost in _ALIKE:
        one, other = pair[0], pair[1]
        swap[SOUNDS.index(one), SOUNDS.index(other)] = swap[SOUNDS.index(other), SOUNDS.index(one)] = cost
    added = np.array([_ADDED.get(sound, _ADDED_ELSE) for sound in SOUNDS])
    return np.rint(swap * _SCALE).astype(np.int32) << _BITS, np.rint(added * _SCALE).astype(np.int32)


_SWAP, _EXTRA = _tables()
_EXTRA_PACKED: Final = _EXTRA << _BITS


def sounds(word: str) -> str:
    """Return the sounds of a word, each a letter of `SOUNDS`; empty for what has neither letters nor digits."""
    plain = unicodedata.normalize("NFKD", word.replace("\u0142", "l").replace("\u00f8", "o").replace("\u00df", "ss"))
    letters = "".join(letter for letter in plain.lower() if letter.isalnum())
    for pattern, sound in _RULES:
        letters = pattern.sub(sound, letters)
    heard = (letter if letter in SOUNDS else "x" for letter in letters)
    found: list[str] = []
    for sound in heard:
        if not found or found[-1] != sound or sound == "x":
            found.append(sound)
    return "".join(found)


@dataclass(frozen=True, slots=True)
class Likeness:
    """Words `start` to `end` (the one after the last) sound like phrase number `phrase`."""

    distance: float
    """0: alike; 1: as far off as saying nothing at all."""
    phrase: int
    start: int
    end: int


class Sounds:
    """The sounds of many phrases, laid out so that a text is compared with all of them at once."""

    def __init__(self, phrases: Iterable[str]) -> None:
        rows = ["".join(sounds(word) for word in phrase.split())[:LONGEST] for phrase in phrases]
        count, longest = len(rows), max(map(len, rows), default=0)
        self._numbers = np.zeros((longest, count), np.intp)
        for phrase, row in enumerate(rows):
            self._numbers[: len(row), phrase] = [SOUNDS.index(sound) for sound in row]
        lengths = np.array([len(row) for row in rows], np.intp)
        inside = np.arange(longest)[:, np.newaxis] < lengths
        self._missing = np.zeros((longest + 1, count), np.int32)
        """What it costs to hear none of a phrase's first sounds, shape (sounds + 1, phrases)."""
        self._missing[1:] = np.cumsum(np.where(inside, _EXTRA[self._numbers], 0), axis=0) << _BITS
        self.weights = (self._missing[-1] >> _BITS) / _SCALE
        """What it costs to hear nothing of a phrase, shape (phrases,); a syllable is a little more than 1."""
        self._last = (lengths, np.arange(count))

    def find(self, words: Sequence[str], *, within: float) -> list[Likeness]:
        """Return where words side by side sound like a phrase, at most `within` away; the likest first.

        Of the places that end at the same word the likest one counts.
        """
        if not self._missing[-1].any():
            return []
        limits = np.rint(within * self._missing[-1]).astype(np.int32) | _WORD_BITS
        best = self._missing + _FAR
        found: list[Likeness] = []
        for at, word in enumerate(words[:_WORD_BITS]):
            row = sounds(word)
            if not row:
                continue
            np.minimum(best, self._missing + at, out=best)  # a match may begin here
            for number in map(SOUNDS.index, row):
                swapped = best[:-1] + _SWAP[number][self._numbers]
                best += _EXTRA_PACKED[number]
                np.minimum(best[1:], swapped, out=best[1:])
                # Along each phrase: what came before, and the sounds since then not heard.
                best -= self._missing
                np.minimum.accumulate(best, axis=0, out=best)
                best += self._missing
            ends = best[self._last]
            for phrase in np.flatnonzero(ends <= limits):
                cost, start = int(ends[phrase]) >> _BITS, int(ends[phrase]) & _WORD_BITS
                if self.weights[phrase]:
                    found.append(Likeness(cost / _SCALE / float(self.weights[phrase]), int(phrase), start, at + 1))
        return sorted(found, key=lambda one: (one.distance, one.phrase, one.start))
