"""Word times from a decoder's attention: the cheapest way through it that never goes back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FAINT = 0.1
"""Attention below this share of a word's peak, at either end of its frames, belongs to the pause beside it."""


def align(attention: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return for each frame the token it belongs to.

    `attention` has shape (tokens, frames), tokens <= frames. The result has shape (frames,), starts with 0, ends
    with tokens - 1 and rises by at most 1 from frame to frame. Dynamic programming over frames, vectorised
    over tokens: time O(tokens * frames).
    """
    tokens, frames = attention.shape
    if not 0 < tokens <= frames:
        raise ValueError(f"{tokens} tokens cannot be laid over {frames} frames")
    gain = np.full(tokens, -np.inf)
    gain[0] = attention[0, 0]
    moved = np.zeros((frames, tokens), dtype=bool)
    shifted = np.full(tokens, -np.inf)
    for frame in range(1, frames):
        shifted[1:] = gain[:-1]
        moved[frame] = shifted > gain
        gain = np.maximum(shifted, gain) + attention[:, frame]
    path = np.empty(frames, dtype=np.intp)
    token = tokens - 1
    for frame in range(frames - 1, -1, -1):
        path[frame] = token
        token -= int(moved[frame, token])
    return path


def spans(attention: NDArray[np.float32], groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (first frame, frame after the last) for each group (first token, token after the last).

    Frames at both ends of a group where hardly anything was looked at are left to the pause.
    """
    path = align(attention)
    found = []
    for first, after in groups:
        start, end = int(np.searchsorted(path, first)), int(np.searchsorted(path, after))
        seen = attention[first:after, start:end].max(axis=0)
        heard = np.flatnonzero(seen >= FAINT * seen.max())
        found.append((start + int(heard[0]), start + int(heard[-1]) + 1))
    return found
