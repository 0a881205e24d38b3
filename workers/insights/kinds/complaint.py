"""Complaint: is the customer complaining, about what, and how bad is it?"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from uuid import UUID

from workers.insights import retelling, wording
from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import AnswerError, Transcript, choice, member
from workers.insights.findings import BUILTIN, Finding
from workers.insights.kinds.kind import Kind, Told, keep_edits
from workers.insights.kinds.sentiment import feel
from workers.insights.lexicon import PatternSet, compile_pattern, load

NAME: Final = "complaint"
SEVERITIES: Final = ("low", "medium", "high", "critical")
CATEGORIES: Final = (
    "billing", "delivery", "product_quality", "service_quality", "technical", "waiting_time", "fraud_or_security",
    "policy", "safety", "other",
)  # fmt: skip
REASON_LIMIT: Final = 240

_GROUPS: Final = ("explicit", "failure", "leaving", "legal", "safety", "mild")
_ENOUGH: Final = 2.0
_FAILURE_CAP: Final = 1.6
"""A sentence that only reports failures, however many, weighs no more: a polite report is no complaint yet."""

_LONG_WORDS: Final = 28
_BETWEEN: Final = re.compile(r", (?:and|but|so) ")


@cache
def _cues() -> PatternSet[tuple[str, float]]:
    data = load("complaint")
    return PatternSet(
        compile_pattern(source, data["words"], (group, float(weight)))
        for group in _GROUPS
        for source, weight in data[group].items()
    )


@cache
def _topics() -> PatternSet[str]:
    data = load("complaint")
    return PatternSet(
        compile_pattern(source, {}, category) for category, sources in data["category"].items() for source in sources
    )


@dataclass(slots=True)
class ComplaintReader:
    """Weighs the customer's words; the agent's sympathy is no evidence."""

    _weight: float = 0.0
    _heard: int = 0
    _by_group: Counter[str] = field(default_factory=Counter)
    _categories: Counter[str] = field(default_factory=Counter)
    _told: dict[UUID, tuple[float, str]] = field(default_factory=dict)
    """The weightiest sentence of each segment that weighs anything."""

    def hear(self, sentence: Sentence) -> None:
        if sentence.voice in {"agent", "supervisor"}:
            return
        best: dict[str, float] = {}
        for (group, weight), _ in _cues().matches(sentence.carried):
            best[group] = (
                best.get(group, 0.0) + weight if group in {"mild", "failure"} else max(best.get(group, 0.0), weight)
            )
        best["failure"] = min(best.get("failure", 0.0), _FAILURE_CAP)
        complaining = best.get("explicit", 0.0) + best["failure"] > 0
        if "leaving" in best and not complaining and self._weight < 1.0:
            del best["leaving"]  # 'I want to close my account' is a request
        if self._weight + best.get("explicit", 0.0) < 1.0:
            best.pop("legal", None)  # 'the police report for my claim' is no threat
        weight = sum(best.values())
        for category, _ in _topics().matches(sentence.normal):
            self._categories[category] += 3 if weight > 1 else 1
        if weight <= 0:
            return
        anger = sum(-value for value in feel(sentence.normal) if value <= -2.5)
        weight += 0.3 * anger
        self._weight += weight / (1.0 + 0.3 * self._heard)  # much of the same is not much worse
        self._heard += 1
        self._by_group.update({group: 1 for group, value in best.items() if value > 0})
        telling = weight + (1.0 if len(sentence.words) >= 7 else 0.0) + (0.5 if best["failure"] else 0.0)
        if telling > self._told.get(sentence.segment_id, (0.0, ""))[0]:
            self._told[sentence.segment_id] = (telling, sentence.plain)

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        if not conversation.sentences:
            return []
        if self._weight < _ENOUGH:
            body = {"is_complaint": False, "category": None, "severity": "low", "reason": ""}
            return [Finding(NAME, NAME, body, (), BUILTIN)]
        order = {turn.segment_id: place for place, turn in enumerate(conversation.turns)}
        strongest = sorted(self._told, key=lambda segment: (-self._told[segment][0], order[segment]))[:3]
        body = {
            "is_complaint": True,
            "category": self._category(),
            "severity": self._severity(),
            "reason": _reason(self._told[strongest[0]][1]),
        }
        return [Finding(NAME, NAME, body, tuple(sorted(strongest, key=order.__getitem__)), BUILTIN)]

    def _category(self) -> str:
        if self._by_group["safety"]:
            return "safety"
        votes = ((self._categories[category], -place, category) for place, category in enumerate(CATEGORIES))
        count, _, category = max(votes)
        return category if count else "other"

    def _severity(self) -> str:
        level = 0 if self._weight < 3.5 else 1 if self._weight < 9.0 else 2
        if self._by_group["leaving"]:
            level = max(level, 1) + (1 if self._weight >= 6.0 else 0)
        if self._by_group["legal"] or self._by_group["safety"]:
            level = max(level + 1, 2)
        if self._by_group["legal"] and self._by_group["safety"]:
            level = 3
        return SEVERITIES[min(level, 3)]


def _reason(plain: str) -> str:
    clause = plain
    if plain.count(" ") > _LONG_WORDS:
        clauses = [part for part in _BETWEEN.split(plain) if part.count(" ") >= 4] or [plain]
        clause = max(clauses, key=lambda part: sum(weight for (_, weight), _ in _cues().matches(wording.normal(part))))
    said = retelling.by_customer(retelling.strip_opening(clause))
    return wording.shorten(wording.sentence_case(f"The customer said {_lowered(said)}"), REASON_LIMIT)


def _lowered(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if first.isupper() and len(first) > 1 else text[:1].lower() + text[1:]


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "is_complaint": {"type": "boolean"},
        "category": {"anyOf": [{"type": "string", "enum": list(CATEGORIES)}, {"type": "null"}]},
        "severity": {"type": "string", "enum": list(SEVERITIES)},
        "reason": {"type": "string", "maxLength": REASON_LIMIT},
    },
    "required": ["is_complaint", "category", "severity", "reason"],
}


def _decode(raw: Any, transcript: Transcript, source: str) -> list[Finding]:
    answer = member(raw, NAME)
    complaint = answer.get("is_complaint")
    if not isinstance(complaint, bool):
        raise AnswerError("complaint.is_complaint is not true or false")
    if not complaint:
        body = {"is_complaint": False, "category": None, "severity": "low", "reason": ""}
        return [Finding(NAME, NAME, body, (), source)]
    quote = answer.get("quote")
    if not isinstance(quote, str):
        raise AnswerError("complaint.quote is not a text")
    body = {
        "is_complaint": True,
        "category": choice(answer.get("category"), CATEGORIES, "complaint.category"),
        "severity": choice(answer.get("severity"), SEVERITIES, "complaint.severity"),
        "reason": transcript.text(answer.get("reason"), REASON_LIMIT, "complaint.reason"),
    }
    if (place := transcript.find(quote)) is not None and transcript.turns[place - 1].role == "agent":
        raise AnswerError("complaint.quote is not the customer's")
    return [Finding(NAME, NAME, body, transcript.evidence(answer.get("evidence", []), quote), source)]


KIND: Final = Kind(
    name=NAME,
    title="Complaint",
    schema=SCHEMA,
    field=NAME,
    prompt="complaint: is the customer dissatisfied with the company? A polite request for service is no complaint. "
    "severity: low = mild dissatisfaction; medium = clear dissatisfaction; high = anger, repeated failure or a threat "
    "to leave; critical = a legal threat or a danger to people. reason: one sentence. quote: the customer's own words, "
    "copied exactly from one turn. Where there is no complaint: is_complaint false and the rest null.",
    answer_schema={
        "type": "object",
        "properties": {
            "is_complaint": {"type": "boolean"},
            "category": {"anyOf": [{"type": "string", "enum": list(CATEGORIES)}, {"type": "null"}]},
            "severity": {"anyOf": [{"type": "string", "enum": list(SEVERITIES)}, {"type": "null"}]},
            "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "quote": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "evidence": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["is_complaint", "category", "severity", "reason", "quote", "evidence"],
        "additionalProperties": False,
    },
    decode=_decode,
    reader=ComplaintReader,
    merge=keep_edits,
)
