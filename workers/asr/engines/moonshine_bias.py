"""Puts phrases of a vocabulary where Moonshine misheard them: the text is decoded plainly, and only then doubted.

Where a few words sound like a phrase (`biasing`), the decoder is asked how likely the phrase is in their place, with
the few tokens after it, which a wrong word makes unlikely. One run over the text tells how likely each phrase begins
there: most are out of the question by that alone. The others that begin at one place are weighed in one more run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from workers.asr.engines.biasing import lexicon, marks_after
from workers.asr.engines.moonshine_decoder import END, Decoder, Followed, Hypothesis, State, told
from workers.asr.engines.pieces import Pieces

TOKENS_AFTER: Final = 4
"""So many of those behind a phrase are weighed with it."""

Words = Sequence[tuple[str, int, int]]
"""Each word with its first token and the token after its last."""


@dataclass(frozen=True, slots=True)
class _Change:
    """The tokens from `first` to `behind` (the one after the last) become `tokens`."""

    first: int
    behind: int
    tokens: tuple[int, ...]
    trust: float
    gain: float
    """How much the log-probability rises by it, trust included; before the tokens were weighed, the most it can."""
    likely: tuple[float, ...] = ()
    """The log-probability of each of `tokens`."""


class Bias:
    """A vocabulary's part in what a decoder says."""

    def __init__(self, decoder: Decoder, pieces: Pieces) -> None:
        self._decoder = decoder
        self._pieces = pieces

    def improved(
        self,
        state: State,
        heard: Hypothesis,
        words: Words,
        vocabulary: tuple[str, ...],
        *,
        after: Sequence[int] = (),
    ) -> tuple[Hypothesis, Followed | None]:
        """Return what was heard with phrases where they belong.

        Where nothing changes, what the decoder made of it comes too, if it was asked. The score of what changes is the
        mean of its tokens' own log-probabilities, nothing added; those behind a phrase count as they were without it.
        `state` is the one before the first token, `words` are those of `heard`, `after` is what the audio begins with.
        """
        guesses = lexicon(vocabulary).guesses([word for word, _, _ in words])
        if not guesses:
            return heard, None
        given = len(after)
        tokens = [*after, *heard.tokens]
        followed = self._decoder.follow(state, tokens)
        likely = told(followed.rows, [*tokens, END])
        changes = []
        for guess in guesses:
            first, behind = given + words[guess.place.start][1], given + words[guess.place.end - 1][2]
            marks = marks_after(words[guess.place.end - 1][0])
            was = sum(likely[first : behind + TOKENS_AFTER])
            for spelt in guess.spellings:
                new = self._pieces.encode(spelt + marks)
                most = float(followed.rows[first, new[0]]) + guess.trust - was
                if most > 0:
                    changes.append(_Change(first, behind, new, guess.trust, most))
        kept = _best(self._weighed(followed.state, tokens, likely, changes))
        if not kept:
            return heard, followed
        for change in sorted(kept, key=lambda change: -change.first):
            tokens[change.first : change.behind] = change.tokens
            likely[change.first : change.behind] = change.likely
        return Hypothesis(tuple(tokens[given:]), sum(likely[given:]) / len(likely[given:])), None

    def _weighed(
        self, state: State, tokens: Sequence[int], likely: Sequence[float], changes: Sequence[_Change]
    ) -> list[_Change]:
        """Return the changes with what they really gain."""
        ended = (*tokens, END)
        weighed = []
        for first in sorted({change.first for change in changes}):
            here = [change for change in changes if change.first == first]
            ways = [(*change.tokens, *ended[change.behind : change.behind + TOKENS_AFTER]) for change in here]
            for change, way in zip(here, self._decoder.weigh(state, tokens[:first], ways), strict=True):
                gain = sum(way) - sum(likely[first : change.behind + TOKENS_AFTER]) + change.trust
                weighed.append(replace(change, gain=gain, likely=tuple(way[: len(change.tokens)])))
        return weighed


def _best(changes: Sequence[_Change]) -> list[_Change]:
    """Return those that gain, the best first, none over another."""
    kept: list[_Change] = []
    for change in sorted(changes, key=lambda change: -change.gain):
        free = all(change.behind <= other.first or other.behind <= change.first for other in kept)
        if change.gain > 0 and free:
            kept.append(change)
    return kept
