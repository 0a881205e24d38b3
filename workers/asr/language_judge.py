"""Which language a track speaks, from the evidence of its stretches. No I/O, no clock: evidence in, a language out.

Evidence is what an engine says when it is asked with `auto`: for each language, how likely the sound is if that is
spoken. Logarithms of it are summed over the segments. The installation's main language has a start; another has to be
clearly ahead of it, and so has the next one to be of that: a short 'hello' turns nothing over, an interpreter does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workers.asr.engines import AUTO, EngineUnusableError, Recognition

ENGLISH: Final = "en"
UNSPOKEN: Final = frozenset({"la", "nn", "sa"})
"""Whisper's language head takes short stretches of other languages, and hiss, for these. Norwegian is `no` to it."""

# All in nats (1 nat: 2.7 times as likely). How they were chosen: docs/decisions/0009-language.md.
HEAD_START: Final = 1.0
"""The main language's, before anything was said, among those that the settings name ..."""
HEAD_START_OF_ALL: Final = 2.0
"""... and among all that there are: where so many may be meant, one of them is soon mistaken for it."""
CLEARLY: Final = 1.0
"""Another language has to be so far ahead of the main one ..."""
CHANGED: Final = 4.0
"""... and so far of one that was found: no see-saw."""
MOST_A_SEGMENT: Final = 4.0
"""One segment counts no more than this ..."""
MOST: Final = 6.0
"""... and all of them together no more than this: after an hour a change is noticed within two or three segments."""
FOUND: Final = 2.0
"""From this lead on a language is called found."""
SURE: Final = 4.0
"""A segment that says so much for a language is written in it, whatever its track speaks. When all together say so
much, the next ones need not be judged ..."""
AGAIN_MS: Final = 30_000
"""... until so much has been said, ..."""
DOUBTFUL: Final = 0.6
"""... or something was recognised with less confidence."""
FULL_MS: Final = 1000
"""A segment with less speech than this counts for less."""
LEAST_LIKELIHOOD: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Languages:
    """What callers may speak."""

    main: str
    """ISO 639-1 code: assumed until there is evidence."""
    others: frozenset[str] = frozenset()
    head_start: float = HEAD_START

    @property
    def all(self) -> frozenset[str]:
        """Return the main language and the others."""
        return self.others | {self.main}

    def start(self) -> dict[str, float]:
        """Return the scores before anything was said, in nats."""
        return {code: 0.0 if code == self.main else -self.head_start for code in self.all}

    def likeliest(self, evidence: Mapping[str, float], spoken_ms: int) -> str:
        """Return what a single stretch alone would be taken for."""
        return _leader(_add(self.start(), self.weigh(evidence, spoken_ms)), self.main, CLEARLY)

    def weigh(self, evidence: Mapping[str, float], spoken_ms: int) -> dict[str, float]:
        """Return what one stretch says for each language: 0 for the likeliest, below that for the rest, in nats."""
        likelihoods = {code: evidence.get(code, 0.0) for code in self.all}
        most = max(likelihoods.values())
        if most <= 0.0:
            return dict.fromkeys(likelihoods, 0.0)
        weight = min(1.0, spoken_ms / FULL_MS)
        return {
            code: weight * max(math.log(max(likelihood / most, LEAST_LIKELIHOOD)), -MOST_A_SEGMENT)
            for code, likelihood in likelihoods.items()
        }


def languages_for(asked: Sequence[str], able: frozenset[str]) -> Languages:
    """Return the languages to choose among: `asked`, the main one first, or all that the models write.

    Raises `EngineUnusableError` for one that no model here writes.
    """
    unable = [code for code in asked if code not in able]
    if unable:
        raise EngineUnusableError(f"ASR_LANGUAGES: no model here writes {', '.join(unable)}")
    main = asked[0] if asked else ENGLISH if ENGLISH in able else min(able)
    among = frozenset(asked) if asked else able - UNSPOKEN
    head_start = HEAD_START if asked else HEAD_START_OF_ALL
    return Languages(main, among - {main}, head_start)


class LanguageJudge:
    """The language of one track."""

    def __init__(self, languages: Languages, *, known: str | None = None) -> None:
        """`known` is what the track spoke before, where somebody else has judged it."""
        self._languages = languages
        self.language = known if known in languages.all else languages.main
        """What the track speaks, as far as is known."""
        self._scores = languages.start()
        if self.language != languages.main:
            self._scores = {code: 0.0 if code == self.language else -FOUND for code in languages.all}
        self._seq = -1
        self._latest = dict.fromkeys(self._scores, 0.0)
        """What the segment `_seq` says; a later, longer decode of it replaces an earlier one."""
        self._unjudged_ms: dict[int, int] = {}
        self._doubtful = False
        self.found: str | None = self.language if known else None
        """The language, once it is known."""

    @property
    def lead(self) -> float:
        """Return how far the language is ahead of every other, in nats; negative where one is ahead of it."""
        scores = _add(self._scores, self._latest)
        others = [score for code, score in scores.items() if code != self.language]
        return scores[self.language] - max(others) if others else MOST

    @property
    def probability(self) -> float:
        """Return how probable the language is, 0..1, by all that was heard."""
        scores = _add(self._scores, self._latest)
        return math.exp(scores[self.language]) / sum(math.exp(score) for score in scores.values())

    def ask(self, *, hurry: bool = False) -> str:
        """Return what to ask the engine with: `auto` for a stretch that is to be judged, else the language.

        In a hurry nothing is judged: that takes time, and a lighter model's doubts would have all of it judged.
        """
        if hurry:
            return self.language
        due = self._doubtful or sum(self._unjudged_ms.values()) >= AGAIN_MS
        return AUTO if due or self.lead < SURE else self.language

    def doubts(self, recognition: Recognition) -> bool:
        """Return True for a recognition that was not judged, and reads as if it should have been."""
        return not recognition.languages and recognition.confidence < DOUBTFUL

    def accepts(self, recognition: Recognition, spoken_ms: int) -> bool:
        """Return False for a recognition in another language that its own evidence is too weak for."""
        if recognition.language == self.language:
            return True
        own = self._languages.weigh(recognition.languages, spoken_ms)
        return own.get(recognition.language, -MOST) - own[self.language] >= SURE

    def hear(self, seq: int, spoken_ms: int, recognition: Recognition) -> None:
        """Take what an engine made of segment `seq`."""
        if not recognition.languages:
            self._unjudged_ms[seq] = spoken_ms
            self._doubtful = self._doubtful or self.doubts(recognition)
            return
        if seq < self._seq:
            return
        if seq > self._seq:
            self._scores = _bounded(_add(self._scores, self._latest))
            self._seq = seq
        self._latest = self._languages.weigh(recognition.languages, spoken_ms)
        self._unjudged_ms.clear()
        self._doubtful = False
        needed = CLEARLY if self.found is None else CHANGED
        self.language = _leader(_add(self._scores, self._latest), self.language, needed)
        if self.found is not None or self.lead >= FOUND:
            self.found = self.language


def _add(scores: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    return {code: score + more[code] for code, score in scores.items()}


def _bounded(scores: Mapping[str, float]) -> dict[str, float]:
    most = max(scores.values())
    return {code: max(score - most, -MOST) for code, score in scores.items()}


def _leader(scores: Mapping[str, float], current: str, needed: float) -> str:
    """Return who is so far ahead of `current`, else `current`."""
    best = max(sorted(scores), key=scores.__getitem__)
    return best if scores[best] >= scores[current] + needed else current
