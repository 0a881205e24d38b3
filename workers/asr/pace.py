"""What the end of a segment waits for: how long its speaker pauses in mid-speech, whether its words ask for more."""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import Final

import numpy as np

from workers.asr.engines import Recognition

SHORTEST_MS: Final = 96
"""Shorter gaps are stop consonants."""
LONGEST_MS: Final = 700
"""Longer ones are not waited for, so that there is nothing to learn from them."""
_REMEMBERED: Final = 24
_ENOUGH: Final = 6
_SHARE: Final = 0.8
"""The pause that so many of a speaker's pauses are shorter than ..."""
_ROOM: Final = 1.2
"""... and so much more is waited for."""
_ENDS: Final = ".?!\u3002\uff0e\uff1f\uff01\u0964\u061f\u06d4"
"""The marks that end a sentence: Latin, Chinese and Japanese, Hindi, Arabic, Urdu."""
_CLOSING: Final = " \"'\u201c\u201d\u2019\u00bb\u00ab)]\u300d\u300f"
"""What may stand behind them."""


class Pace:
    """The pauses of one speaker that were followed by more words."""

    def __init__(self) -> None:
        self._pauses_ms: deque[int] = deque(maxlen=_REMEMBERED)

    def paused(self, pause_ms: int) -> None:
        """Take note of a pause between words."""
        if SHORTEST_MS <= pause_ms <= LONGEST_MS:
            self._pauses_ms.append(pause_ms)

    def pause_ms(self, least_ms: int, usual_ms: int, most_ms: int) -> int:
        """Return the pause after which this speaker has most likely ended, within these bounds."""
        if len(self._pauses_ms) < _ENOUGH:
            return usual_ms
        return int(np.clip(_ROOM * float(np.quantile(self._pauses_ms, _SHARE)), least_ms, most_ms))


def more_to_come(heard: Recognition, *, punctuation: bool = True) -> float | None:
    """Return how likely, 0..1, a party goes on after what was heard; None where the words do not tell.

    They do where the last of them is one that a sentence hardly ever ends with, where no mark ends them though the
    recogniser writes marks (`punctuation`), and where it can tell how likely the mark is one within a sentence.
    """
    words = heard.text.rstrip(_CLOSING).split()
    if not words:
        return None
    if words[-1].strip(".?!,").lower() in _OPEN.get(heard.language, frozenset()):
        return 1.0
    if words[-1][-1] not in _ENDS:
        return 1.0 if punctuation else None
    return heard.more


_OPEN: Final = MappingProxyType(
    {
        language: frozenset(words.split())
        for language, words in {
            "en": """a an the and but or so because if when while that which who whose of to for from with by at in on
                into about as than my your our his her their its is are was were am be been i we you they he she it's
                i'm we're very um uh er like""",
            "de": """der die das den dem des ein eine einen einem einer und oder aber weil dass wenn als ob zu von mit
                bei für auf in an im am um mein meine ihr ihre sein seine ich wir sie ist sind war äh ähm""",
            "es": """el la los las un una unos unas y o pero porque que si cuando de del a al en con por para mi su mis
                sus es son era yo muy eh""",
            "fr": """le la les un une des et ou mais parce que qui si quand de du à au aux en dans avec pour par sur mon
                ma mes votre vos son sa ses est sont je nous très euh""",
        }.items()
    }
)
