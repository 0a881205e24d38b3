"""The built-in analyser: every insight, at once, from word lists and patterns; no model, no network."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from workers.insights.conversation import Conversation
from workers.insights.findings import Finding, Turn
from workers.insights.kinds.registry import BY_NAME, KINDS


class BuiltinAnalyser:
    """Reads one call as it goes; each turn is read once, and the same turns always give the same findings.

    `called_on` is the day of the call where the parties are: 'tomorrow' is relative to it. Without it no due date
    is given.
    """

    def __init__(self, *, called_on: date | None = None) -> None:
        self.conversation = Conversation(called_on)
        self._readers = [(kind.name, kind.reader()) for kind in KINDS]

    def add(self, turn: Turn) -> None:
        """Take the next final segment in, in the order of the call."""
        for sentence in self.conversation.add(turn):
            for _, reader in self._readers:
                reader.hear(sentence)

    def findings(self, *, settled: bool = False) -> list[Finding]:
        """Return what is known so far; `settled` when the call is over and all its words are in."""
        told: dict[str, list[Finding]] = {}
        for name, reader in self._readers:
            told[name] = reader.findings(self.conversation, told, settled=settled)
        return [finding for name in told for finding in told[name]]


def merge(stored: Finding, fresh: Finding, *, edited: Collection[str] = ()) -> Finding | None:
    """Return what to store when `fresh` meets the stored finding of its key; None if that changes nothing.

    `edited` names the fields of the body that a person has set: they stay as they are.
    """
    merged = BY_NAME[fresh.kind].merge(stored, fresh, edited=edited)
    return None if merged == stored else merged
