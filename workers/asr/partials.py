"""Partials that grow instead of flickering. Pure: texts in, a text and how much of it stands out."""

from __future__ import annotations

from itertools import takewhile
from typing import Final

_APART: Final = 3
"""A later decode may have so many words more or fewer in what already stands."""


class Growing:
    """The partial of one segment.

    Words that two decodes in a row agree on stand from then on, whatever later ones make of them; only what comes
    after may change. What is wrong in them the final puts right. The idea is local agreement: Liu, Spanakis, Niehues,
    "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection", 2020.
    """

    def __init__(self) -> None:
        self.text = ""
        """What is shown."""
        self.stable = 0
        """So many characters at its beginning will not change."""
        self._standing: list[str] = []
        self._rest: list[str] = []
        """What the last decode had after them."""

    def hear(self, text: str) -> bool:
        """Take what the next decode has heard; return True where that changes what is shown."""
        shown = self.text, self.stable
        rest = self._after_standing(text.split())
        agreed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(rest, self._rest, strict=False)))
        self._standing += rest[:agreed]
        self._rest = rest[agreed:]
        self.text = " ".join(self._standing + self._rest)
        self.stable = len(" ".join(self._standing))
        return (self.text, self.stable) != shown

    def _after_standing(self, words: list[str]) -> list[str]:
        """Return the words after those that stand: where the last of them is found again, else as many words on."""
        count = len(self._standing)
        if count == 0 or words[:count] == self._standing:
            return words[count:]
        last = _bare(self._standing[-1])
        near = sorted(
            range(max(1, count - _APART), min(len(words), count + _APART) + 1), key=lambda at: abs(at - count)
        )
        return words[next((at for at in near if _bare(words[at - 1]) == last), count) :]


def _bare(word: str) -> str:
    return word.strip(".,;:!?").lower()
