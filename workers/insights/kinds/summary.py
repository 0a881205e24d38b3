"""Summary: who called about what, what was done about it, and how it ended."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from uuid import UUID

from workers.insights import retelling, wording
from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import AnswerError, Transcript, member
from workers.insights.findings import BUILTIN, Finding
from workers.insights.kinds.intent import FALLBACK, score_sentence, taxonomy
from workers.insights.kinds.kind import Kind, Told, keep_edits
from workers.insights.lexicon import PatternSet, compile_pattern, load, word_list

NAME: Final = "summary"
TEXT_LIMIT: Final = 700
_SENTENCE_LIMIT: Final = 230


@cache
def _patterns(name: str) -> PatternSet[None]:
    return PatternSet(compile_pattern(source, {}, None) for source in load("summary")[name])


@dataclass(slots=True)
class _Heard:
    """Words worth telling, perhaps over two turns of one party."""

    plain: str
    words: tuple[str, ...]
    segments: tuple[UUID, ...]
    index: int
    worth: float
    is_question: bool


@dataclass(slots=True)
class SummaryReader:
    """Keeps the few sentences that tell the call: why, what was done, how it ended."""

    _reasons: list[_Heard] = field(default_factory=list)
    _deeds: list[_Heard] = field(default_factory=list)
    _customer: int = 0
    _closed: bool = False
    _last: Sentence | None = None

    def hear(self, sentence: Sentence) -> None:
        if sentence.voice in {"customer", "unknown"}:
            self._customer += 1
            self._keep(self._reasons, _heard(sentence, self._reason(sentence.normal, sentence), None), 4)
            last = self._last
            if last is not None and last.tidy.endswith(",") and sentence.carried is not sentence.normal:
                joined = f" {' '.join((*last.words, *sentence.words))} "
                self._keep(self._reasons, _heard(sentence, self._reason(joined, sentence) + 0.2, last), 4)
        if sentence.voice in {"agent", "supervisor", "unknown"}:
            self._keep(self._deeds, _heard(sentence, _deed(sentence), None), 6)
        if sentence.voice != "agent":
            self._closed = _patterns("closing").hits(sentence.normal) or (self._closed and len(sentence.words) < 8)
        self._last = sentence

    def _reason(self, normal: str, sentence: Sentence) -> float:
        words = normal.count(" ") - 1
        if (sentence.is_question and words < 5) or (words < 10 and _patterns("help_only").hits(normal)):
            return 0.0
        said = max(score_sentence(normal).values(), default=0.0)
        worth = min(said, 4.0) + (2.0 if _patterns("reason").hits(normal) else 0.0)
        worth += 1.0 if 7 <= words <= 36 else -1.0 if words < 4 or words > 50 else 0.0
        return worth / (1.0 + 0.12 * (self._customer - 1))

    @staticmethod
    def _keep(heard: list[_Heard], new: _Heard, most: int) -> None:
        if new.worth < 1.5:
            return
        heard.append(new)
        heard.sort(key=lambda item: (-item.worth, item.index))
        del heard[most:]

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        if not conversation.sentences:
            return []
        used: set[UUID] = set()
        opening = self._opening(conversation, told, used)
        parts = [opening, *self._said(used), *self._done(used), self._ending(told, settled=settled)]
        text = " ".join(part for part in parts if part)
        if not text:
            return []
        order = {turn.segment_id: place for place, turn in enumerate(conversation.turns)}
        body = {"text": wording.shorten(text, TEXT_LIMIT)}
        return [Finding(NAME, NAME, body, tuple(sorted(used, key=order.__getitem__)), BUILTIN)]

    def _opening(self, conversation: Conversation, told: Told, used: set[UUID]) -> str:
        who = conversation.name("customer") or "The customer"
        where = f" {conversation.company}" if conversation.company else ""
        intent = next(iter(told.get("intent", ())), None)
        if intent is None or intent.body["label"] == FALLBACK:
            return f"{who} called{where}." if (self._reasons or self._deeds) else ""
        used.update(intent.evidence[:1])
        return f"{who} called{where} about {taxonomy()[intent.body['label']]}."

    def _said(self, used: set[UUID]) -> list[str]:
        chosen: list[_Heard] = []
        for item in self._reasons:
            if item.worth >= 0.75 * self._reasons[0].worth and not _repeats(item, chosen):
                chosen.append(item)
            if len(chosen) == 2:
                break
        return [_reported(item) for item in _in_order(chosen, used)]

    def _done(self, used: set[UUID]) -> list[str]:
        chosen: list[_Heard] = []
        for item in self._deeds:
            if not _repeats(item, chosen):
                chosen.append(item)
            if len(chosen) == 2:
                break
        return [_deed_told(item) for item in _in_order(chosen, used)]

    def _ending(self, told: Told, *, settled: bool) -> str:
        mood = next((finding.body for finding in told.get("sentiment", ())), None)
        complaint = next((finding.body for finding in told.get("complaint", ())), None)
        if not (settled or self._closed):
            return ""
        if complaint and complaint["is_complaint"] and complaint["severity"] != "low":
            return (
                "The customer ended the call dissatisfied."
                if mood and mood["score"] <= -0.1
                else "The customer had complained."
            )
        if mood and mood["label"] == "negative":
            return "The customer was not satisfied."
        if self._closed:
            return "The customer had no further requests."
        return ""


def _heard(sentence: Sentence, worth: float, before: Sentence | None) -> _Heard:
    if before is None:
        return _Heard(
            sentence.plain, sentence.words, (sentence.segment_id,), sentence.index, worth, sentence.is_question
        )
    return _Heard(
        f"{before.plain} {sentence.plain}",
        (*before.words, *sentence.words),
        (before.segment_id, sentence.segment_id),
        sentence.index,
        worth,
        sentence.is_question,
    )


def _in_order(chosen: list[_Heard], used: set[UUID]) -> list[_Heard]:
    for item in chosen:
        used.update(item.segments)
    return sorted(chosen, key=lambda item: item.index)


def _deed(sentence: Sentence) -> float:
    if sentence.is_question or len(sentence.words) < 5:
        return 0.0
    normal = sentence.normal
    worth = 3.0 if _patterns("deed").hits(normal) else 0.0
    if _patterns("in_passing").hits(normal):
        worth -= 2.2
    if _patterns("perhaps").hits(normal):
        worth -= 1.5
    if sentence.voice == "unknown":
        worth -= 0.6 if not _patterns("own_trouble").hits(normal) else 3.0
    if re.search(r"\d|dollar|tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|days", normal):
        worth += 0.7
    return worth + (0.4 if 8 <= len(sentence.words) <= 32 else -0.6 if len(sentence.words) > 45 else 0.0)


def _repeats(item: _Heard, others: list[_Heard]) -> bool:
    stop = word_list("stopwords")
    mine = {word for word in item.words if word not in stop}
    for other in others:
        theirs = {word for word in other.words if word not in stop}
        shared = set(item.segments) & set(other.segments)
        if (
            not mine
            or (shared and len(others[0].segments) > 1)
            or len(mine & theirs) >= 0.6 * min(len(mine), max(1, len(theirs)))
        ):
            return True
    return False


_TAIL: Final = re.compile(
    r"[,.]? (?:and |so )?(?:can|could|would|will) (?:you|somebody|someone) (?:please )?(?:help|assist) (?:me|us)"
    r"(?: out)?(?: with (?:that|this|it))?(?: please)?\??$"
    r"|[,.]? (?:(?:but|and|so) )?I was wondering (?:whether|if) you could help me with (?:that|this|it)$",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"^(?:and |so )?(?:can|could|would|will) you (?:please |just |maybe |also )?(?!help me\b)(.+)$", re.IGNORECASE
)
_WANTS: Final = re.compile(
    r"^(?:I|we) (?:would like|want|wanted|need|needed|am looking|am trying|am calling|am having|wish)\b", re.IGNORECASE
)
_SUBJECTLESS: Final = re.compile(
    r"^(?:just )?(wanted|want|need|would like|looking|calling|trying|hoping|checking|wondering|having)\b", re.IGNORECASE
)


def _reported(item: _Heard) -> str:
    text = _TAIL.sub("", retelling.strip_opening(item.plain).rstrip(" .?!"))
    question = item.is_question and _TAIL.search(item.plain) is None
    if found := _ASKS.match(text):
        return _whole(f"They asked the agent to {retelling.by_customer(found.group(1))}")
    if question:
        return f"They asked: \u201c{wording.shorten(wording.sentence_case(text).rstrip('.?'), 160)}?\u201d"
    told = retelling.by_customer(text)
    if found := _SUBJECTLESS.match(text):
        return _whole(f"They {'are ' if found.group(1).lower().endswith('ing') else ''}{told[:1].lower()}{told[1:]}")
    if _WANTS.match(text):
        return _whole(told)
    return _whole(f"They said {_lower_first(told)}")


def _deed_told(item: _Heard) -> str:
    text = re.sub(
        r"(?i)^(?:I|we) have (?=(?!been\b|\w+(?:ed|en|t)\b).*\b(?:has|have) been\b)",
        "",
        retelling.strip_opening(item.plain),
    )
    told = retelling.by_agent(text)
    if re.match(r"(?:they|we) (?:have|will|are|can|would)\b", told):
        verb, _, rest = told[5:].partition(" ")
        return _whole(f"The agent { {'have': 'has', 'are': 'is'}.get(verb, verb) } {rest}")
    return _whole(f"The agent said {_lower_first(told)}")


def _lower_first(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if first[1:] != first[1:].lower() or first == "I" else text[:1].lower() + text[1:]


def _whole(text: str) -> str:
    text = wording.shorten(text.strip(), _SENTENCE_LIMIT)
    return text if text.endswith("…") else wording.sentence_case(text.rstrip(",;: "))


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": TEXT_LIMIT}},
    "required": ["text"],
}


def _decode(raw: Any, transcript: Transcript, source: str) -> list[Finding]:
    answer = member(raw, NAME)
    text = transcript.text(answer.get("text"), TEXT_LIMIT, "summary.text")
    if not text:
        raise AnswerError("summary.text is empty")
    evidence = transcript.evidence(answer.get("evidence", []))
    return [Finding(NAME, NAME, {"text": text}, evidence, source)]


KIND: Final = Kind(
    name=NAME,
    title="Summary",
    schema=SCHEMA,
    field=NAME,
    prompt="summary: one to four plain sentences, past tense, third person: who called about what, what was asked and "
    "agreed, how it stands. Cover the whole call, the earlier part included.",
    answer_schema={
        "type": "object",
        "properties": {"text": {"type": "string"}, "evidence": {"type": "array", "items": {"type": "integer"}}},
        "required": ["text", "evidence"],
        "additionalProperties": False,
    },
    decode=_decode,
    reader=SummaryReader,
    merge=keep_edits,
)
