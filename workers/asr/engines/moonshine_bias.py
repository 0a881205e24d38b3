"""Puts phrases of a vocabulary where Moonshine misheard them: the text is decoded plainly, and only then doubted.

Where a few words sound like a phrase (`biasing`), the decoder is asked how likely the phrase is in their place. All
spellings that go on from one place are weighed in one run, with the few tokens after them, which a wrong word makes
unlikely; the rest of the text is not computed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.asr.engines.biasing import Guess, lexicon, marks_after
from workers.asr.engines.moonshine_decoder import END, Decoder, Hypothesis, State
from workers.asr.engines.pieces import Pieces

TOKENS_AFTER: Final = 4
"""So many of those behind a phrase are weighed with it."""

Words = Sequence[tuple[str, int, int]]
"""Each word with its first token and the token after its last."""


@dataclass(frozen=True, slots=True)
class _Change:
    """These tokens in place of those of `guess`; `gain` is what the log-probability, trust included, gains."""

    gain: float
    guess: Guess
    tokens: tuple[int, ...]


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
    ) -> Hypothesis:
        """Return what was heard with phrases where they belong; its score is that of its own tokens, nothing added.

        `state` is the one before the first token, `words` are those of `heard`, `after` is what the audio begins with.
        """
        guesses = lexicon(vocabulary).guesses([word for word, _, _ in words])
        if not guesses:
            return heard
        given = len(after)
        tokens = [*after, *heard.tokens]
        places = [(word, first + given, behind + given) for word, first, behind in words]
        changes = self._weighed(state, tuple(tokens), places, guesses)
        free, kept = [True] * len(words), list[_Change]()
        for change in sorted(changes, key=lambda change: -change.gain):
            place = slice(change.guess.place.start, change.guess.place.end)
            if change.gain > 0 and all(free[place]):
                free[place] = [False] * len(free[place])
                kept.append(change)
        if not kept:
            return heard
        for change in sorted(kept, key=lambda change: -change.guess.place.start):
            tokens[places[change.guess.place.start][1] : places[change.guess.place.end - 1][2]] = change.tokens
        likely = self._decoder.follow(state, tokens)[0][given:]
        return Hypothesis(tuple(tokens[given:]), sum(likely) / len(likely))

    def _weighed(self, state: State, tokens: tuple[int, ...], words: Words, guesses: Sequence[Guess]) -> list[_Change]:
        likely, followed = self._decoder.follow(state, tokens)
        ended = (*tokens, END)
        by_start: dict[int, list[Guess]] = defaultdict(list)
        for guess in guesses:
            by_start[guess.place.start].append(guess)
        changes = []
        for start, some in by_start.items():
            first = words[start][1]
            offered: list[tuple[Guess, tuple[int, ...], int]] = []
            for guess in some:
                behind = words[guess.place.end - 1][2]
                marks = marks_after(words[guess.place.end - 1][0])
                offered += [(guess, self._pieces.encode(spelt + marks), behind) for spelt in guess.spellings]
            ways = [(*spelt, *ended[behind : behind + TOKENS_AFTER]) for _, spelt, behind in offered]
            for (guess, spelt, behind), way in zip(
                offered, self._decoder.weigh(followed, tokens[:first], ways), strict=True
            ):
                was = sum(likely[first : behind + TOKENS_AFTER])
                changes.append(_Change(sum(way) - was + guess.trust, guess, spelt))
        return changes
