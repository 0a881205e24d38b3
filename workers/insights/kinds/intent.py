"""Intent: what the caller wants, as one label of the contact centre's taxonomy."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from uuid import UUID

from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import AnswerError, Transcript, member, number
from workers.insights.findings import BUILTIN, Finding
from workers.insights.kinds.kind import Kind, Told, keep_edits
from workers.insights.lexicon import PatternSet, compile_pattern, load

NAME: Final = "intent"
FALLBACK: Final = "general_inquiry"

_WORTH: Final = {"strong": 3.0, "fair": 2.0, "weak": 1.0}
_ASKING: Final = re.compile(
    r" (?:want|need|would like|like to|can you|could you|can i|calling|help|wondering|trying to|looking to|"
    r"is it possible|please|how|when|where|what|i have|i am having|my) "
)
_VOICE_WEIGHT: Final = {"customer": 1.0, "unknown": 0.7, "agent": 0.3, "supervisor": 0.2}
_BROAD: Final = {
    "technical_support": 0.85,
    "speak_to_agent": 0.8,
    "product_question": 0.8,
    "make_complaint": 0.8,
    "online_access": 0.9,
    "callback_request": 0.7,
    "give_feedback": 0.8,
    "transfer_money": 0.95,
    "billing_question": 0.92,
    "file_claim": 0.97,
}
"""Intents that say less than the others: beside a more precise one they step back."""


@cache
def taxonomy() -> dict[str, str]:
    """Return every label, with the words that complete 'They called about ...'."""
    return {label: str(entry["about"]) for label, entry in load("intents")["intents"].items()}


@cache
def _patterns() -> PatternSet[tuple[str, str]]:
    data = load("intents")
    return PatternSet(
        compile_pattern(source, data["words"], (label, strength))
        for label, entry in data["intents"].items()
        for strength in ("strong", "fair", "weak", "not")
        for source in entry.get(strength, ())
    )


def score_sentence(normal: str) -> dict[str, float]:
    """Return how strongly a sentence speaks for each intent that it speaks for at all."""
    found: dict[str, float] = {}
    length: dict[str, int] = {}
    vetoed: set[str] = set()
    for (label, strength), match in _patterns().matches(normal):
        if strength == "not":
            vetoed.add(label)
        else:
            found[label] = max(found.get(label, 0.0), _WORTH[strength])
            length[label] = max(length.get(label, 0), match.end() - match.start())
    asking = 1.25 if _ASKING.search(normal) else 1.0
    return {
        label: worth * asking * _BROAD.get(label, 1.0) * (1.0 + min(length[label], 30) / 100)
        for label, worth in found.items()
        if label not in vetoed
    }


@dataclass(slots=True)
class _Score:
    total: float = 0.0
    evidence: dict[UUID, float] = field(default_factory=dict)


@dataclass(slots=True)
class IntentReader:
    """Adds up what each sentence speaks for; what the customer says first counts most."""

    _scores: dict[str, _Score] = field(default_factory=dict)
    _telling: Counter[str] = field(default_factory=Counter)
    """How many sentences of each side spoke for something."""
    _first: UUID | None = None

    def hear(self, sentence: Sentence) -> None:
        if self._first is None and sentence.voice != "agent":
            self._first = sentence.segment_id
        scores = score_sentence(sentence.carried)
        if not scores:
            return
        side = "agent" if sentence.voice in {"agent", "supervisor"} else "customer"
        weight = _VOICE_WEIGHT[sentence.voice] / (1.0 + 0.35 * self._telling[side])
        self._telling[side] += 1
        for label, score in scores.items():
            entry = self._scores.setdefault(label, _Score())
            entry.total += score * weight
            entry.evidence[sentence.segment_id] = max(entry.evidence.get(sentence.segment_id, 0.0), score * weight)

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        ranked = sorted(self._scores.items(), key=lambda item: (-item[1].total, item[0]))
        if not ranked or ranked[0][1].total < 1.0:
            if not settled or not conversation.sentences:
                return []
            evidence = () if self._first is None else (self._first,)
            return [Finding(NAME, NAME, {"label": FALLBACK, "confidence": 0.2}, evidence, BUILTIN)]
        label, best = ranked[0]
        second = ranked[1][1].total if len(ranked) > 1 else 0.0
        order = {turn.segment_id: place for place, turn in enumerate(conversation.turns)}
        strongest = sorted(best.evidence, key=lambda segment: -best.evidence[segment])[:3]
        body = {"label": label, "confidence": confidence(best.total, second)}
        return [Finding(NAME, NAME, body, tuple(sorted(strongest, key=order.__getitem__)), BUILTIN)]


def confidence(best: float, second: float) -> float:
    """Return how sure to be: by how much the best leads, and how much speaks for it at all."""
    lead = (best - second) / best
    weight = best / (best + 0.7)
    return round(min(0.97, 0.3 + 0.72 * weight * (0.5 + 0.5 * lead)), 2)


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "maxLength": 60},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["label", "confidence"],
}


def _decode(raw: Any, transcript: Transcript, source: str) -> list[Finding]:
    answer = member(raw, NAME)
    label = answer.get("label")
    if not isinstance(label, str):
        raise AnswerError("intent.label is not a text")
    label = "_".join(label.lower().replace("-", " ").replace("_", " ").split())
    if label not in taxonomy():
        raise AnswerError("intent.label is not in the list")
    evidence = transcript.evidence(answer.get("evidence", []))
    if not evidence:
        raise AnswerError("intent.evidence names no turn")
    body = {"label": label, "confidence": number(answer.get("confidence"), 0, 1, "intent.confidence")}
    return [Finding(NAME, NAME, body, evidence, source)]


KIND: Final = Kind(
    name=NAME,
    title="Intent",
    schema=SCHEMA,
    field=NAME,
    prompt="intent: why the customer called; the most precise label of the schema's list, else general_inquiry.",
    answer_schema={
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": list(taxonomy())},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "evidence": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["label", "confidence", "evidence"],
        "additionalProperties": False,
    },
    decode=_decode,
    reader=IntentReader,
    merge=keep_edits,
)
