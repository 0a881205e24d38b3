"""Both analysers as one: the built-in one always, the language model where there is one and it can be reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeGuard

from workers.insights.analysis import BuiltinAnalyser
from workers.insights.findings import BUILTIN, Finding, Turn
from workers.insights.kinds import actions
from workers.insights.kinds.registry import KINDS
from workers.insights.llm import LlmAnalyser, LlmAnswer, LlmUnavailable
from workers.insights.promises import overlap

_ITEM = actions.NAME
_OUTDATED_AFTER_TURNS = 10
"""So many turns after the last answer of a model that is out of reach, the built-in analyser knows better."""
_SAME = 0.6


@dataclass(frozen=True, slots=True)
class AnalystState:
    """Which analyser the findings come from, for the screen."""

    source: str
    """'builtin' or 'llm:<model>'."""
    degraded: bool
    """True when a language model is configured and its findings are not to be had."""
    reason: str | None
    """Why, in words; None when all is well."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of a call."""

    findings: list[Finding]
    state: AnalystState


class Analyst:
    """Analyses one call. `findings` is cheap and never waits; `consult` asks the language model, once at a time.

    `interval_s` is the least time between two questions to the model, in seconds.
    """

    def __init__(
        self,
        *,
        called_on: date | None = None,
        llm: LlmAnalyser | None = None,
        interval_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._called_on = called_on
        self._builtin = BuiltinAnalyser(called_on=called_on)
        self._llm = llm
        self._interval_s = interval_s
        self._clock = clock
        self._answer: LlmAnswer | None = None
        self._items: dict[str, Finding] = {}
        """The model's action items so far: a promise once noted does not vanish because an answer leaves it out."""
        self._shown: dict[str, Finding] = {}
        """Action items given out before, by key."""
        self._asked_at: float | None = None
        self._asked_turns = 0
        self._reason: str | None = None

    @property
    def turns(self) -> int:
        """How many turns have been heard."""
        return len(self._builtin.conversation.turns)

    @property
    def state(self) -> AnalystState:
        """Which analyser speaks, and why if it is not the one that was asked for."""
        if self._llm is None:
            return AnalystState(BUILTIN, degraded=False, reason=None)
        source = self._llm.source if self._is_current(self._answer) else BUILTIN
        if self._reason is None and self._answer is None:
            return AnalystState(source, degraded=False, reason="waiting for the language model's first answer")
        return AnalystState(source, degraded=self._reason is not None, reason=self._reason)

    def restore(self, stored: Iterable[Finding]) -> None:
        """Take over what another worker has stored, so that its action items keep their keys."""
        self._shown.update({finding.key: finding for finding in stored if finding.kind == _ITEM})

    def add(self, turn: Turn) -> None:
        """Take the next final segment in."""
        self._builtin.add(turn)

    def begin_again(self) -> None:
        """Forget all turns: they come again, since somebody else turned out to speak in one of them."""
        self._builtin = BuiltinAnalyser(called_on=self._called_on)
        self._asked_turns = 0
        if self._answer is not None:
            self._answer = replace(self._answer, turns=0)

    def is_due(self, *, settled: bool = False) -> bool:
        """Tell whether the language model should be asked now: new turns and the interval over, or a last word due."""
        if self._llm is None or self.turns == 0:
            return False
        if settled:
            return self._answer is None or self._answer.turns < self.turns
        if self.turns == self._asked_turns:
            return False
        return self._asked_at is None or self._clock() - self._asked_at >= self._interval_s

    async def consult(self, *, settled: bool = False) -> None:
        """Ask the language model about all turns so far; if it cannot be had, say so in the state."""
        if self._llm is None:
            return
        turns = list(self._builtin.conversation.turns)
        self._asked_at, self._asked_turns = self._clock(), len(turns)
        try:
            answer = await self._llm.analyse(turns, self._present(settled=settled), settled=settled)
        except LlmUnavailable as error:
            self._reason = error.reason
            return
        self._answer, self._reason = answer, None
        items = [finding for finding in answer.findings if finding.kind == _ITEM]
        for item in actions.match_known(items, [*self._shown.values(), *self._items.values()]):
            self._items[item.key] = item

    async def analyse(self, *, settled: bool = False) -> Analysis:
        """Ask the language model if that is due, and return what is known."""
        if self.is_due(settled=settled):
            await self.consult(settled=settled)
        return self.findings(settled=settled)

    def findings(self, *, settled: bool = False) -> Analysis:
        """Return what is known now, without asking anybody."""
        findings = self._present(settled=settled)
        self._shown.update({finding.key: finding for finding in findings if finding.kind == _ITEM})
        return Analysis(findings, self.state)

    def _present(self, *, settled: bool) -> list[Finding]:
        builtin = self._builtin.findings(settled=settled)
        answer = self._answer
        if not self._is_current(answer):
            return builtin
        findings: list[Finding] = []
        for kind in KINDS:
            own = [finding for finding in builtin if finding.kind == kind.name]
            if kind.name not in answer.kinds:
                findings += own
            elif kind.name == _ITEM:
                findings += self._both(own, answer)
            else:
                findings += [finding for finding in answer.findings if finding.kind == kind.name]
        return findings

    def _both(self, builtin: list[Finding], answer: LlmAnswer) -> list[Finding]:
        """Return the model's action items, and the built-in ones that it has not judged yet.

        A built-in item that was shown and that the model, having heard those turns, leaves out is dismissed.
        """
        heard = {turn.segment_id for turn in self._builtin.conversation.turns[: answer.turns]}
        items = list(self._items.values())
        source = self._llm.source if self._llm else BUILTIN
        for own in builtin:
            if own.key in self._items:
                continue
            if not heard.issuperset(own.evidence):
                if all(overlap(str(own.body["text"]), str(item.body["text"])) < _SAME for item in items):
                    items.append(own)
            elif own.key in self._shown:
                items.append(replace(own, body={**own.body, "status": "dismissed"}, source=source))
        return items

    def _is_current(self, answer: LlmAnswer | None) -> TypeGuard[LlmAnswer]:
        """Tell whether the model's last answer still counts."""
        if answer is None:
            return False
        return self._reason is None or self.turns - answer.turns <= _OUTDATED_AFTER_TURNS
