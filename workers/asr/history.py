"""What a party has just said, for the recogniser to go on from: a cut costs it no context then. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from infra.model import SAMPLES_PER_MS
from workers.asr.engines import Context, Recognition
from workers.asr.scheduler import Draft
from workers.asr.segmenter import Decode
from workers.asr.text import TWICE_TOLD, loop_length, phrase_repeats

LONGEST_PAUSE_MS: Final = 2500
"""What was said longer ago has nothing to do with what is said now."""
_MOST: Final = 8


@dataclass(frozen=True, slots=True)
class _Heard:
    seq: int
    audio_ms: int
    until_ms: int
    draft: Draft


class History:
    """The latest segments of one track, as they were recognised."""

    def __init__(self) -> None:
        self._heard: deque[_Heard] = deque(maxlen=_MOST)

    def add(self, decode: Decode, draft: Draft) -> None:
        """Take note of a final; they come in order."""
        until_ms = decode.audio_ms + decode.samples.size // SAMPLES_PER_MS
        self._heard.append(_Heard(decode.seq, decode.audio_ms, until_ms, draft))

    def before(self, decode: Decode) -> tuple[str, Context] | None:
        """Return the engine, and what it heard in as much of `decode.context` as it heard without a hole.

        None where the segment before is not recognised yet, was another engine's, lies too far back, or says one thing
        over and over: a decoder that is given a loop goes on with it.
        """
        chain: list[_Heard] = []
        seq, start_ms = decode.seq, decode.audio_ms
        earliest_ms = decode.audio_ms - decode.context.size // SAMPLES_PER_MS
        for heard in reversed(self._heard):
            if heard.seq >= decode.seq:
                continue
            near = start_ms - heard.until_ms <= LONGEST_PAUSE_MS and heard.audio_ms >= earliest_ms
            recognition = heard.draft.recognition
            told = (recognition.tokens or not recognition.text) and not _loops(recognition)
            if heard.seq != seq - 1 or not near or not told:
                break
            if chain and heard.draft.engine != chain[0].draft.engine:
                break
            chain.insert(0, heard)
            seq, start_ms = heard.seq, heard.audio_ms
        tokens = tuple(token for heard in chain for token in heard.draft.recognition.tokens)
        if not tokens:
            return None
        size = (decode.audio_ms - chain[0].audio_ms) * SAMPLES_PER_MS
        return chain[0].draft.engine, Context(decode.context[decode.context.size - size :], tokens)


def _loops(heard: Recognition) -> bool:
    return phrase_repeats(heard.text) > 1 or loop_length(heard.tokens, repeats=TWICE_TOLD) > 0
