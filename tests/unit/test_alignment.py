"""Words are laid over the frames that the decoder looked at."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.asr.engines.alignment import align, spans


def attention(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_each_frame_goes_to_the_token_that_looked_at_it() -> None:
    looked = attention([0.9, 0.8, 0.1, 0.0, 0.0], [0.1, 0.2, 0.8, 0.9, 0.1], [0.0, 0.0, 0.1, 0.1, 0.9])
    assert align(looked).tolist() == [0, 0, 1, 1, 2]


def test_a_look_back_does_not_turn_the_path_round() -> None:
    looked = attention([0.9, 0.0, 0.0, 0.6], [0.0, 0.9, 0.0, 0.0], [0.0, 0.0, 0.9, 0.5])
    assert align(looked).tolist() == [0, 1, 2, 2]


def test_the_pause_around_a_word_is_not_part_of_it() -> None:
    looked = attention([0.0, 0.0, 0.9, 0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.01])
    assert spans(looked, [(0, 1), (1, 2)]) == [(2, 4), (5, 6)]


def test_a_word_of_several_tokens_spans_them_all() -> None:
    looked = attention([0.9, 0, 0, 0], [0, 0.9, 0, 0], [0, 0, 0.9, 0], [0, 0, 0, 0.9])
    assert spans(looked, [(0, 3), (3, 4)]) == [(0, 3), (3, 4)]


@pytest.mark.parametrize("shape", [(0, 3), (4, 3)])
def test_tokens_must_fit_in_the_frames(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="frames"):
        align(np.zeros(shape, np.float32))


@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_every_path_goes_forward_one_token_at_a_time(tokens: int, spare: int, seed: int) -> None:
    looked = np.random.default_rng(seed).random((tokens, tokens + spare)).astype(np.float32)
    path = align(looked)

    assert path[0] == 0
    assert path[-1] == tokens - 1
    assert set(np.diff(path)) <= {0, 1}
    found = spans(looked, [(token, token + 1) for token in range(tokens)])
    assert all(start < end for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
