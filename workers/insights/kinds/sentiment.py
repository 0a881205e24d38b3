"""Sentiment: how the call feels, for each party and as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from uuid import UUID

from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import AnswerError, Transcript, choice, member, number
from workers.insights.findings import BUILTIN, Finding
from workers.insights.kinds.kind import Kind, Told, keep_edits
from workers.insights.lexicon import PatternSet, compile_pattern, load

NAME: Final = "sentiment"
LABELS: Final = ("positive", "neutral", "negative", "mixed")
ROLES: Final = ("customer", "agent", "supervisor", "unknown")

_POLITE_CAP: Final = 2.0
"""Thanks and other courtesies together weigh no more than this: everybody says them."""
_STEADY: Final = 4.0
"""How much feeling it takes to move the score half-way: a lone word moves it little."""
_FADING: Final = 0.94
"""What each later feeling leaves of an earlier one."""


@dataclass(frozen=True, slots=True)
class _Feelings:
    words: dict[str, float]
    phrases: PatternSet[float]
    formulas: PatternSet[None]
    empathy: PatternSet[None]
    negations: frozenset[str]
    stronger: frozenset[str]
    weaker: frozenset[str]


@cache
def _feelings() -> _Feelings:
    data = load("sentiment")
    modifiers = data["modifiers"]
    return _Feelings(
        words={word: float(value) for value, words in data["words"].items() for word in words.split()},
        phrases=PatternSet(compile_pattern(source, {}, float(value)) for source, value in data["phrases"].items()),
        formulas=PatternSet(compile_pattern(source, {}, None) for source in data["formulas"]),
        empathy=PatternSet(compile_pattern(source, {}, None) for source in data["empathy"]["agent"]),
        negations=frozenset(modifiers["negations"]),
        stronger=frozenset(modifiers["stronger"]),
        weaker=frozenset(modifiers["weaker"]),
    )


def feel(normal: str) -> list[float]:
    """Return the value of each word or phrase of a sentence that carries a feeling."""
    lexicon = _feelings()
    values: list[float] = []
    taken: list[tuple[int, int]] = [match.span() for _, match in lexicon.formulas.matches(normal)]
    phrases = sorted(
        ((match.span(), value) for value, match in lexicon.phrases.matches(normal)),
        key=lambda item: (item[0][0] - item[0][1], item[0]),
    )
    for (start, end), value in phrases:
        if not any(start < other_end - 1 and other_start < end - 1 for other_start, other_end in taken):
            taken.append((start, end))
            before = normal[:start].split()[-2:]
            values.append(value * (1.25 if lexicon.stronger.intersection(before) else 1.0))
    words = normal.split()
    place = 1
    for index, word in enumerate(words):
        here, place = place, place + len(word) + 1
        value = lexicon.words.get(word, 0.0)
        if not value or any(start < here + len(word) and here < end - 1 for start, end in taken):
            continue
        before = words[max(0, index - 4) : index]
        if lexicon.stronger.intersection(before[-2:]):
            value *= 1.3
        if lexicon.weaker.intersection(before[-2:]):
            value *= 0.6
        if lexicon.negations.intersection(before[-3:] if value > 0 else before[-2:]):
            value *= -0.8 if value > 0 else -0.4
        values.append(value)
    return values


@dataclass(slots=True)
class _Mood:
    """One party's feelings so far: each sum fades a little with every new feeling."""

    up: float = 0.0
    down: float = 0.0
    all_up: float = 0.0
    all_down: float = 0.0
    polite: float = 0.0

    def take(self, values: list[float]) -> float:
        """Add the feelings of a sentence; return how much they weighed."""
        weight = 0.0
        for value in values:
            if 0 < value <= 1.5:
                value = min(value, max(0.1, _POLITE_CAP - self.polite))  # noqa: PLW2901 - courtesy wears off
                self.polite += value
            self.up = self.up * _FADING + max(value, 0.0)
            self.down = self.down * _FADING + max(-value, 0.0)
            self.all_up += max(value, 0.0)
            self.all_down += max(-value, 0.0)
            weight += abs(value)
        return weight

    @property
    def score(self) -> float:
        return (self.up - self.down) / (self.up + self.down + _STEADY)

    def label(self) -> str:
        both = min(self.all_up, self.all_down) >= 3.0 and min(self.up, self.down) >= 1.5
        return label_of(self.score, both=both)


def label_of(score: float, *, both: bool) -> str:
    """Return the label of a score; `both` when strong feelings of either kind were heard."""
    if both and abs(score) < 0.45:
        return "mixed"
    if score >= 0.35:
        return "positive"
    return "negative" if score <= -0.22 else "neutral"


@dataclass(slots=True)
class SentimentReader:
    """Keeps a mood for each party."""

    _moods: dict[str, _Mood] = field(default_factory=dict)
    _strongest: dict[UUID, float] = field(default_factory=dict)

    def hear(self, sentence: Sentence) -> None:
        mood = self._moods.setdefault(sentence.voice, _Mood())
        values = feel(sentence.normal)
        if values and sentence.voice == "agent":
            sympathy = _feelings().empathy.hits(sentence.normal)
            values = [max(value, 0.0) if sympathy else value * 0.5 if value < 0 else value for value in values]
        weight = mood.take(values)
        if weight:
            share = 0.3 if sentence.voice == "agent" else 1.0
            self._strongest[sentence.segment_id] = self._strongest.get(sentence.segment_id, 0.0) + weight * share

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        if not self._moods:
            return []
        heard = self._moods.get("customer") or self._moods.get("unknown") or next(iter(self._moods.values()))
        agent = self._moods.get("agent")
        score = heard.score if agent is None or agent is heard else 0.9 * heard.score + 0.1 * agent.score
        label = heard.label()
        per_role = {
            role: {"label": self._moods[role].label(), "score": _rounded(self._moods[role].score)}
            for role in ROLES
            if role in self._moods
        }
        order = {turn.segment_id: place for place, turn in enumerate(conversation.turns)}
        strongest = sorted(self._strongest, key=lambda segment: (-self._strongest[segment], order[segment]))[:3]
        body = {"label": label, "score": _rounded(score), "per_role": per_role}
        return [Finding(NAME, NAME, body, tuple(sorted(strongest, key=order.__getitem__)), BUILTIN)]


def _rounded(score: float) -> float:
    return math.copysign(round(abs(score), 2), score) if abs(score) >= 0.005 else 0.0


_MOOD: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": list(LABELS)},
        "score": {"type": "number", "minimum": -1, "maximum": 1},
    },
    "required": ["label", "score"],
    "additionalProperties": False,
}

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": list(LABELS)},
        "score": {"type": "number", "minimum": -1, "maximum": 1},
        "per_role": {"type": "object", "additionalProperties": _MOOD},
    },
    "required": ["label", "score", "per_role"],
}


def _decode(raw: Any, transcript: Transcript, source: str) -> list[Finding]:
    answer = member(raw, NAME)
    present = {turn.role for turn in transcript.turns}
    per_role: dict[str, dict[str, Any]] = {}
    for role in ("customer", "agent"):
        if role in present and answer.get(role) is not None:
            mood = member(answer[role], f"{NAME}.{role}")
            per_role[role] = {
                "label": choice(mood.get("label"), LABELS, f"{NAME}.{role}.label"),
                "score": number(mood.get("score"), -1, 1, f"{NAME}.{role}.score"),
            }
    label = choice(answer.get("label"), LABELS, f"{NAME}.label")
    score = number(answer.get("score"), -1, 1, f"{NAME}.score")
    if (label == "positive" and score < 0) or (label == "negative" and score > 0):
        raise AnswerError("sentiment.label and sentiment.score contradict each other")
    body = {"label": label, "score": score, "per_role": per_role}
    return [Finding(NAME, NAME, body, transcript.evidence(answer.get("evidence", [])), source)]


KIND: Final = Kind(
    name=NAME,
    title="Sentiment",
    schema=SCHEMA,
    field=NAME,
    prompt="sentiment: how the call feels as a whole, and for customer and agent each (null for one who is silent). "
    "score runs from -1 (very negative) to 1 (very positive). An agent's apology is not negative.",
    answer_schema={
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": list(LABELS)},
            "score": {"type": "number", "minimum": -1, "maximum": 1},
            "customer": {"anyOf": [_MOOD, {"type": "null"}]},
            "agent": {"anyOf": [_MOOD, {"type": "null"}]},
            "evidence": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["label", "score", "customer", "agent", "evidence"],
        "additionalProperties": False,
    },
    decode=_decode,
    reader=SentimentReader,
    merge=keep_edits,
)
