"""Key topics: what the call is about, as a short ranked list of phrases."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from uuid import UUID

from workers.insights import wording
from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import AnswerError, Transcript, member
from workers.insights.findings import BUILTIN, Finding
from workers.insights.kinds.kind import Kind, Told, keep_edits
from workers.insights.lexicon import load, word_list

NAME: Final = "key_topic"
MAX_TOPICS: Final = 6
TOPIC_LIMIT: Final = 60

_PROPER: Final = re.compile(r"(?<![.?!] )(?<!^)\b([A-Z][\w-]+(?: (?:[A-Z][\w-]*|\d+\w*))*)")
_PLURAL_BY_NATURE: Final = ("ss", "us", "is", "points", "hours", "rewards", "payments", "results", "transactions")
_VOICE_WEIGHT: Final = {"customer": 1.5, "unknown": 1.2, "agent": 1.0, "supervisor": 0.8}


@dataclass(frozen=True, slots=True)
class _Terms:
    terms: frozenset[str]
    heads: frozenset[str]
    bare: frozenset[str]
    never: frozenset[str]
    weak: frozenset[str]
    stop: frozenset[str]
    """Words that neither are a topic nor make one of the noun after them."""


@cache
def _terms() -> _Terms:
    data = load("topics")
    return _Terms(
        terms=_phrases(data["terms"]),
        heads=frozenset(data["heads"].split()),
        bare=frozenset(data["bare"].split()),
        never=_phrases(data["never"]),
        weak=_phrases(data["weak"]),
        stop=word_list("stopwords") | frozenset(data["bland"].split()),
    )


def _phrases(listed: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in listed.split("|"))


@dataclass(slots=True)
class _Topic:
    shown: str
    weight: float = 0.0
    first: int = 0
    heard: int = 0
    doubtful: bool = False
    """It has to be heard twice: a lone capitalised word may be a person, some terms are said in passing."""
    segments: list[UUID] = field(default_factory=list)


def phrases(words: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return the phrases of a sentence that may be topics, each with its worth."""
    known = _terms()
    found: dict[str, float] = {}
    taken: set[int] = set()
    for size in (3, 2, 1):
        for start in range(len(words) - size + 1):
            phrase = _singular(" ".join(words[start : start + size]))
            if (
                phrase in known.terms
                and phrase not in known.never
                and not taken.intersection(range(start, start + size))
            ):
                taken.update(range(start, start + size))
                found[phrase] = 1.0 + 0.5 * (size - 1)
    for index, word in enumerate(words):
        if word not in known.heads or index in taken or index == 0:
            continue
        before = words[index - 1]
        if before in known.stop or before.isdigit() or not before.isalpha() or len(before) < 3 or index - 1 in taken:
            if word in known.bare:
                found.setdefault(_singular(word), 0.5)
            continue
        phrase = _singular(f"{before} {word}")
        if phrase not in known.never:
            found[phrase] = 0.9
    return list(found.items())


def _singular(phrase: str) -> str:
    """Bring 'credit cards' and 'credit card' together; leave words that end so by nature."""
    if not phrase.endswith("s") or phrase.endswith(_PLURAL_BY_NATURE):
        return phrase
    known = phrase[:-1] in _terms().terms or phrase.rsplit(" ", 1)[-1][:-1] in _terms().heads
    return phrase[:-1] if known else phrase


@dataclass(slots=True)
class TopicReader:
    """Counts phrases; the customer's and the repeated ones count more."""

    _topics: dict[str, _Topic] = field(default_factory=dict)

    def hear(self, sentence: Sentence) -> None:
        weight = _VOICE_WEIGHT[sentence.voice] * (1.3 if sentence.index < 12 else 1.0)
        found = {phrase: (phrase, worth) for phrase, worth in phrases(sentence.words)}
        if not sentence.tidy.islower():
            for name in _PROPER.findall(sentence.tidy):
                if _is_name_of_thing(name):
                    found.setdefault(name.lower(), (name, 0.7 if " " in name else 0.4))
        for key, (shown, worth) in found.items():
            topic = self._topics.setdefault(key, _Topic(shown, first=sentence.index))
            topic.weight += worth * weight
            topic.heard += 1
            topic.doubtful = key in _terms().weak or (" " not in shown and shown[:1].isupper())
            if len(topic.segments) < 3 and sentence.segment_id not in topic.segments:
                topic.segments.append(sentence.segment_id)

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        names = {*conversation.people, *(part.lower() for name in conversation.names.values() for part in name.split())}
        company = (conversation.company or "").lower()
        ranked = sorted(
            (
                topic
                for key, topic in self._topics.items()
                if not names.intersection(key.split())
                and key not in company
                and not (topic.doubtful and topic.heard < 2)
            ),
            key=lambda topic: (-round(2 * math.log2(topic.weight + 0.01)), topic.first, topic.shown),
        )
        chosen: list[_Topic] = []
        for topic in ranked:
            if any(_covers(topic.shown, other.shown) for other in chosen):
                continue
            chosen.append(topic)
            if len(chosen) == MAX_TOPICS:
                break
        if not chosen:
            return []
        order = {turn.segment_id: place for place, turn in enumerate(conversation.turns)}
        evidence = sorted({segment for topic in chosen for segment in topic.segments}, key=order.__getitem__)
        body = {"topics": [topic.shown for topic in chosen]}
        return [Finding(NAME, NAME, body, tuple(evidence[:12]), BUILTIN)]


def _is_name_of_thing(name: str) -> bool:
    words = name.lower().split()
    if len(name) < 4:
        return False
    return not any(word in _terms().stop or word in word_list("not_names") for word in words)


def _covers(one: str, other: str) -> bool:
    first, second = set(one.lower().split()), set(other.lower().split())
    return first <= second or second <= first


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "topics": {"type": "array", "items": {"type": "string", "maxLength": TOPIC_LIMIT}, "maxItems": 8},
    },
    "required": ["topics"],
}


def _decode(raw: Any, transcript: Transcript, source: str) -> list[Finding]:
    answer = member(raw, "key_topics")
    listed = answer.get("topics")
    if not isinstance(listed, list):
        raise AnswerError("key_topics.topics is not a list")
    topics: list[str] = []
    for entry in listed[:8]:
        topic = wording.shorten(transcript.text(entry, 200, "a topic").strip(" .,"), TOPIC_LIMIT)
        if topic and topic.lower() not in {known.lower() for known in topics}:
            topics.append(topic)
    if not topics:
        return []
    evidence = transcript.evidence(answer.get("evidence", []))
    return [Finding(NAME, NAME, {"topics": topics}, evidence, source)]


KIND: Final = Kind(
    name=NAME,
    title="Key topics",
    schema=SCHEMA,
    field="key_topics",
    prompt="key_topics: at most six short noun phrases that name what the call is about, the most important first; no "
    "names of people, no filler.",
    answer_schema={
        "type": "object",
        "properties": {
            "topics": {"type": "array", "items": {"type": "string"}},
            "evidence": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["topics", "evidence"],
        "additionalProperties": False,
    },
    decode=_decode,
    reader=TopicReader,
    merge=keep_edits,
)
