"""Calls for the insight tests: written down briefly, or read from the test data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from infra.model import Role
from workers.insights.analysis import BuiltinAnalyser
from workers.insights.findings import Finding, Turn

MONDAY = date(2026, 3, 2)
_LINE = re.compile(r"\[(agent|customer)[^\]]*\] (.+)")
_ROLES: dict[str, Role] = {"A": "agent", "C": "customer", "U": "unknown", "S": "supervisor"}


def turns_of(lines: Iterable[tuple[Role, str]], *, speaker: str = "") -> list[Turn]:
    """Turns one after the other, four seconds apart."""
    return [
        Turn(uuid5(NAMESPACE_URL, f"turn {place}"), role, place * 4000, place * 4000 + 3000, text, speaker)
        for place, (role, text) in enumerate(lines)
    ]


def call(text: str) -> list[Turn]:
    """Turns of a call written as lines 'C: words of the customer', 'A: words of the agent'."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return turns_of((_ROLES[line[0]], line[2:].strip()) for line in lines)


def recorded(path: Path) -> list[Turn]:
    """Turns of a reference text of the test data."""
    found = (_LINE.match(line) for line in path.read_text().splitlines())
    return turns_of((match.group(1), match.group(2)) for match in found if match)  # type: ignore[misc]


def analysed(turns: Iterable[Turn], *, called_on: date | None = MONDAY, settled: bool = True) -> list[Finding]:
    """The built-in findings on a whole call."""
    analyser = BuiltinAnalyser(called_on=called_on)
    for turn in turns:
        analyser.add(turn)
    return analyser.findings(settled=settled)


def body(findings: Iterable[Finding], kind: str) -> dict[str, Any]:
    """The body of a call's only finding of a kind."""
    (finding,) = (finding for finding in findings if finding.kind == kind)
    return finding.body


def bodies(findings: Iterable[Finding], kind: str) -> list[dict[str, Any]]:
    """The bodies of all findings of a kind."""
    return [finding.body for finding in findings if finding.kind == kind]


def said(*words: str) -> list[Finding]:
    """The built-in findings on what a customer alone says."""
    return analysed(turns_of(("customer", text) for text in words))
