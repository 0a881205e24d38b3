"""Action items: what somebody promised, or was asked, to do after the call."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final
from uuid import UUID

from workers.insights import dates, promises
from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import AnswerError, Transcript, choice, member
from workers.insights.findings import BUILTIN, Finding
from workers.insights.kinds.kind import Kind, Told, keep_edits
from workers.insights.promises import Promise

NAME: Final = "action_item"
OWNERS: Final = ("agent", "customer", "supervisor")
PRIORITIES: Final = ("low", "medium", "high")
STATUSES: Final = ("open", "done", "dismissed")
TEXT_LIMIT: Final = 200
MAX_ITEMS: Final = 20

_PATIENCE: Final = 4
"""A request waits for so many turns: a promise that meets it takes its place."""


@dataclass(slots=True)
class _Item:
    promise: Promise
    first: Sentence
    evidence: list[UUID]
    turn: int


@dataclass(slots=True)
class ActionReader:
    """Collects promises and requests; what is said twice is one item."""

    _items: list[_Item] = field(default_factory=list)
    _turns: int = 0
    _last: UUID | None = None

    def hear(self, sentence: Sentence) -> None:
        if sentence.segment_id != self._last:
            self._last = sentence.segment_id
            self._turns += 1
        for promise in promises.find(sentence):
            self._take(promise, sentence)

    def _take(self, promise: Promise, sentence: Sentence) -> None:
        for item in reversed(self._items[-MAX_ITEMS:]):
            alike = promises.alike(item.promise, promise)
            met = item.promise.is_request and not promise.is_request and promises.meets(promise, item.promise)
            if alike or met:
                if sentence.segment_id not in item.evidence:
                    item.evidence.append(sentence.segment_id)
                if met or promises.more_precise(promise, item.promise):
                    item.promise = promise
                return
        if len(self._items) < MAX_ITEMS:
            self._items.append(_Item(promise, sentence, [sentence.segment_id], self._turns))

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        upset = any(finding.body.get("is_complaint") for finding in told.get("complaint", ()))
        return [
            self._finding(item, conversation, upset=upset)
            for item in self._items
            if settled or not item.promise.is_request or self._turns - item.turn >= _PATIENCE
        ]

    def _finding(self, item: _Item, conversation: Conversation, *, upset: bool) -> Finding:
        promise = item.promise
        called_on = conversation.called_on
        due = dates.due(promise.when, called_on) if promise.when and called_on else None
        body = {
            "text": promise.text,
            "owner": promise.owner,
            "assignee": conversation.name(promise.owner) if promise.by_speaker else None,
            "priority": "medium" if promise.priority == "low" and upset else promise.priority,
            "due_date": due.isoformat() if due else None,
            "status": "open",
        }
        return Finding(NAME, key_of(item.first.segment_id, item.first.normal), body, tuple(item.evidence), BUILTIN)


def key_of(segment_id: UUID, words: str) -> str:
    """Return an item's identity: the segment it was first heard in, and the words."""
    return hashlib.sha256(f"{segment_id}\x1f{' '.join(words.lower().split())}".encode()).hexdigest()[:16]


def merge(stored: Finding, fresh: Finding, *, edited: Collection[str]) -> Finding:
    """Keep what a person set, and never reopen what a person has ticked."""
    ticked = {"status"} if stored.body.get("status") in {"done", "dismissed"} else set[str]()
    return keep_edits(stored, fresh, edited={*edited, *ticked})


def match_known(items: Sequence[Finding], known: Sequence[Finding]) -> list[Finding]:
    """Give each item the key of the known item that says the same, so that it stays one item."""
    free = {finding.key: finding for finding in known if finding.kind == NAME}
    matched: list[Finding] = []
    for item in items:
        best, key = 0.0, None
        for candidate in free.values():
            shared = bool(set(candidate.evidence) & set(item.evidence))
            likeness = promises.overlap(str(candidate.body.get("text", "")), str(item.body["text"]))
            score = likeness + (0.35 if shared else 0.0)
            if score >= 0.6 and score > best:
                best, key = score, candidate.key
        if key is not None:
            del free[key]
            matched.append(replace(item, key=key))
        else:
            matched.append(item)
    return matched


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "maxLength": TEXT_LIMIT},
        "owner": {"anyOf": [{"type": "string", "enum": list(OWNERS)}, {"type": "null"}]},
        "assignee": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "priority": {"type": "string", "enum": list(PRIORITIES)},
        "due_date": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "status": {"type": "string", "enum": list(STATUSES)},
    },
    "required": ["text", "owner", "assignee", "priority", "due_date", "status"],
}


def _decode(raw: Any, transcript: Transcript, source: str) -> list[Finding]:
    if not isinstance(raw, list):
        raise AnswerError("action_items is not a list")
    items: list[Finding] = []
    for entry in raw[:MAX_ITEMS]:
        answer = member(entry, "an action item")
        quote = answer.get("quote")
        if not isinstance(quote, str):
            raise AnswerError("action_items.quote is not a text")
        text = transcript.text(answer.get("text"), TEXT_LIMIT, "action_items.text")
        if not text:
            raise AnswerError("action_items.text is empty")
        owner = answer.get("owner")
        assignee = answer.get("assignee")
        evidence = transcript.evidence(answer.get("turn"), quote)
        body = {
            "text": text,
            "owner": None if owner is None else choice(owner, OWNERS, "action_items.owner"),
            "assignee": _known_name(assignee, transcript) if isinstance(assignee, str) else None,
            "priority": choice(answer.get("priority"), PRIORITIES, "action_items.priority"),
            "due_date": _iso_date(answer.get("due_date")),
            "status": "open",
        }
        item = Finding(NAME, key_of(evidence[0], quote), body, evidence, source)
        if all(other.key != item.key for other in items):
            items.append(item)
    return items


def _known_name(name: str, transcript: Transcript) -> str | None:
    """Return a name only if somebody said it."""
    name = transcript.text(name, 60, "action_items.assignee")
    return name if any(transcript.holds(word) for word in name.split()) else None


def _iso_date(raw: Any) -> str | None:
    if raw is None or raw == "":
        return None
    try:
        return date.fromisoformat(raw).isoformat()
    except (TypeError, ValueError):
        raise AnswerError("action_items.due_date is not YYYY-MM-DD") from None


KIND: Final = Kind(
    name=NAME,
    title="Action items",
    schema=SCHEMA,
    field="action_items",
    prompt="action_items: what is still to be done after the call: promises, appointments, requests that were agreed "
    "to; not what was finished during the call. text: short, in the imperative. owner: whose task it is. assignee: a "
    "name from the transcript or null. due_date: YYYY-MM-DD if a day was named, else null. turn and quote: the turn's "
    "number and a few words copied exactly from it. An empty list if there is nothing.",
    answer_schema={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "owner": {"anyOf": [{"type": "string", "enum": list(OWNERS)}, {"type": "null"}]},
                "assignee": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "priority": {"type": "string", "enum": list(PRIORITIES)},
                "due_date": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "turn": {"type": "integer"},
                "quote": {"type": "string"},
            },
            "required": ["text", "owner", "assignee", "priority", "due_date", "turn", "quote"],
            "additionalProperties": False,
        },
    },
    decode=_decode,
    reader=ActionReader,
    merge=merge,
)
