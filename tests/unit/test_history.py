"""What a recogniser is told of what was said before, and when it is told nothing."""

from __future__ import annotations

import numpy as np
import pytest

from infra.model import SAMPLES_PER_MS
from workers.asr.engines import Recognition
from workers.asr.history import LONGEST_PAUSE_MS, History
from workers.asr.scheduler import Draft
from workers.asr.segmenter import Decode


def segment(seq: int, start_ms: int, end_ms: int, *, context_ms: int = 6000) -> Decode:
    """A final over that stretch; every sample of its context is the millisecond that it lies in."""
    heard_ms = np.arange(max(start_ms - context_ms, 0), start_ms, dtype=np.float32)
    samples = np.zeros((end_ms - start_ms) * SAMPLES_PER_MS, np.float32)
    return Decode("final", seq, start_ms, end_ms, start_ms, samples, np.repeat(heard_ms, SAMPLES_PER_MS), 0)


def draft(*tokens: int, engine: str = "ours") -> Draft:
    return Draft(engine, Recognition("words" if tokens else "", "en", 1.0, tokens=tokens))


def test_the_audio_reaches_from_the_first_told_segment_to_the_new_one() -> None:
    history = History()
    history.add(segment(0, 1000, 2000), draft(5, 6))
    history.add(segment(1, 2400, 3000), draft(7))
    told = history.before(segment(2, 3500, 4000))
    assert told is not None
    engine, context = told
    assert (engine, context.tokens) == ("ours", (5, 6, 7))
    assert (context.samples[0], context.samples[-1]) == (1000, 3499)


def test_only_whole_segments_that_the_context_holds_are_told() -> None:
    history = History()
    history.add(segment(0, 1000, 2000), draft(5))
    history.add(segment(1, 2400, 3000), draft(7))
    told = history.before(segment(2, 3500, 4000, context_ms=2000))
    assert told is not None
    assert told[1].tokens == (7,)
    assert told[1].samples[0] == 2400


@pytest.mark.parametrize(
    "new",
    [
        segment(3, 3500, 4000),  # one between them is not recognised yet
        segment(2, 3000 + LONGEST_PAUSE_MS + 1, 9000),
        segment(2, 3500, 4000, context_ms=0),  # after a hole
        segment(1, 2400, 3000),  # itself
    ],
)
def test_nothing_is_told_where_it_would_not_be_all_that_was_said(new: Decode) -> None:
    history = History()
    history.add(segment(1, 2400, 3000), draft(7))
    assert history.before(new) is None


def test_what_another_engine_heard_ends_the_account() -> None:
    history = History()
    history.add(segment(0, 1000, 2000), draft(5, engine="lighter"))
    history.add(segment(1, 2400, 3000), draft(7))
    told = history.before(segment(2, 3500, 4000))
    assert told is not None
    assert (told[0], told[1].tokens) == ("ours", (7,))


def test_a_segment_without_words_is_passed_over() -> None:
    history = History()
    history.add(segment(0, 1000, 2000), draft(5))
    history.add(segment(1, 2400, 3000), draft())
    told = history.before(segment(2, 3500, 4000))
    assert told is not None
    assert told[1].tokens == (5,)
    assert told[1].samples[0] == 1000
    empty = History()
    empty.add(segment(0, 1000, 2000), draft())
    assert empty.before(segment(1, 2400, 3000)) is None


def test_words_without_tokens_end_the_account() -> None:
    history = History()
    history.add(segment(0, 1000, 2000), draft(5))
    history.add(segment(1, 2400, 3000), Draft("ours", Recognition("palabras", "es", 1.0)))
    assert history.before(segment(2, 3500, 4000)) is None
    history.add(segment(2, 3500, 4000), draft(7))
    told = history.before(segment(3, 4300, 5000))
    assert told is not None
    assert told[1].tokens == (7,)


def test_what_says_one_thing_over_and_over_is_not_told() -> None:
    history = History()
    looping = Recognition("All right, all right, all right.", "en", 0.9, tokens=(5, 6, 5, 6, 5, 6))
    history.add(segment(0, 1000, 2000), Draft("ours", looping))
    assert history.before(segment(1, 2400, 3000)) is None
    history.add(segment(1, 2400, 3000), draft(7))
    told = history.before(segment(2, 3500, 4000))
    assert told is not None
    assert told[1].tokens == (7,)
