"""What every kind of insight brings: its shape, its prompt, its checks, its fallback and its merge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from workers.insights.conversation import Conversation, Sentence
from workers.insights.evidence import Transcript
from workers.insights.findings import Finding

Told = Mapping[str, Sequence[Finding]]
"""What the kinds before this one have found, by kind."""


class Reader(Protocol):
    """The built-in analysis of one kind on one call: it hears each sentence once."""

    def hear(self, sentence: Sentence) -> None:
        """Take one sentence in."""
        ...

    def findings(self, conversation: Conversation, told: Told, *, settled: bool) -> list[Finding]:
        """Say what is known so far; `settled` when no more will be heard."""
        ...


class Merge(Protocol):
    """How a fresh finding meets the stored one of the same key."""

    def __call__(self, stored: Finding, fresh: Finding, *, edited: Collection[str]) -> Finding:
        """Return what to store; `edited` names the body's fields that a person has set."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of insight."""

    name: str
    """As in an insight event's `kind`."""
    title: str
    """As on the card."""
    schema: dict[str, Any]
    """JSON schema of the body, for the screen and the API."""
    field: str
    """The member of a language model's answer that holds this kind."""
    prompt: str
    """What a language model is told about that member."""
    answer_schema: dict[str, Any]
    """JSON schema of that member."""
    decode: Callable[[Any, Transcript, str], list[Finding]]
    """Check that member (already parsed from JSON) and return its findings; raises `AnswerError`."""
    reader: Callable[[], Reader]
    merge: Merge


def keep_edits(stored: Finding, fresh: Finding, *, edited: Collection[str]) -> Finding:
    """Take the fresh finding, but leave every field that a person has set as that person left it."""
    kept = {name: stored.body[name] for name in edited if name in stored.body}
    return replace(fresh, key=stored.key, body={**fresh.body, **kept}) if kept else replace(fresh, key=stored.key)
