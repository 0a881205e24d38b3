"""From how well a voice fits at each moment to who says each word. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Span = tuple[int, int]

SHORTEST_MS: Final = 300
"""A shorter window counts as if it reached this far to either side of its middle."""
WORD_S: Final = (0.1, 0.6)
"""A word weighs as its length in seconds, within these bounds."""
SWITCH: Final = 0.06
"""What a change of speaker costs between two words that follow at once, in likeness times seconds ..."""
PAUSE_MS: Final = 100
"""... and half of it after a pause of this length, a third after two, and so on."""


def reach(words: Sequence[Span], windows: Sequence[Span]) -> Floats:
    """Return how much each window tells about each word, shape (words, windows); each row sums to 1.

    The nearer a window's middle is to the word's, the more.
    """
    middles = np.array([start + end for start, end in windows], np.float32) / 2
    halves = np.array([max((end - start) / 2, SHORTEST_MS) for start, end in windows], np.float32)
    at = np.array([start + end for start, end in words], np.float32)[:, None] / 2
    away = np.abs(middles[None, :] - at)
    shares = np.maximum(0.0, 1 - away / halves)
    outside = shares.sum(axis=1) == 0
    shares[outside] = away[outside] == away[outside].min(axis=1, keepdims=True)
    told: Floats = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return told


def speakers_of(words: Sequence[Span], likeness: Floats) -> tuple[int, ...]:
    """Return a speaker's number for each word: the likeliest sequence, in which changes have a price.

    `likeness`: how well each speaker's voice fits each word, shape (words, speakers).
    """
    lengths_s = np.array([(end - start) / 1000 for start, end in words])
    gains = likeness * np.clip(lengths_s, *WORD_S)[:, None]
    best, paths = gains[0].copy(), []
    for place in range(1, len(words)):
        pause_ms = max(0, words[place][0] - words[place - 1][1])
        leader = int(best.argmax())
        changed = best[leader] - SWITCH / (1 + pause_ms / PAUSE_MS)
        paths.append(np.where(best >= changed, np.arange(best.size), leader))
        best = np.maximum(best, changed) + gains[place]
    path = [int(best.argmax())]
    for step in reversed(paths):
        path.append(int(step[path[-1]]))
    return tuple(reversed(path))
