"""The language model's analysis of a call: asked for strictly, believed only where it proves itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from workers.insights import answer, prompt
from workers.insights.chat import LlmClient, LlmUnavailable, Reply
from workers.insights.evidence import AnswerError, Transcript
from workers.insights.findings import Finding, Turn
from workers.insights.kinds.registry import KINDS

__all__ = ["LlmAnalyser", "LlmAnswer", "LlmUnavailable"]

_FIELDS = frozenset(kind.field for kind in KINDS)


@dataclass(slots=True)
class LlmAnswer:
    """What a model said of a call, after all checks."""

    turns: int
    """How many turns of the call it had heard of."""
    findings: list[Finding] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    """The kinds it answered validly: one with no finding says that there is nothing."""


class LlmAnalyser:
    """Asks about one call; the client is shared with the other calls.

    `context_turns` is how many of the last turns are sent word for word; earlier ones are covered by the summary.
    """

    def __init__(self, client: LlmClient, *, context_turns: int, called_on: date | None = None) -> None:
        self._client = client
        self._prompt = prompt.Prompt(context_turns=context_turns, called_on=called_on)

    @property
    def source(self) -> str:
        """The `source` of this model's findings."""
        return f"llm:{self._client.model}"

    async def analyse(self, turns: Sequence[Turn], previous: Sequence[Finding], *, settled: bool = False) -> LlmAnswer:
        """Return the model's findings on the turns so far; raise `LlmUnavailable` when there are none to be had.

        An answer that breaks the rules is sent back once; what is still wrong then is left out, kind by kind.
        """
        turns = tuple(turns)
        messages, transcript = self._prompt.build(turns, previous, settled=settled)
        async with self._client.turn_to_ask():
            reply = await self._client.ask(messages, prompt.ANSWER_SCHEMA)
            result, problems = self._checked(reply, transcript)
            if problems:
                await self._repair(result, prompt.repair(messages, reply.text, problems), transcript)
            if not result.kinds:
                raise LlmUnavailable("its answers break the rules")
        return result

    async def _repair(self, result: LlmAnswer, messages: list[prompt.Message], transcript: Transcript) -> None:
        """Ask once more and take what was missing; an answer that is partly good stays so if that fails."""
        try:
            again = await self._client.ask(messages, prompt.ANSWER_SCHEMA)
        except LlmUnavailable:
            if not result.kinds:
                raise
            return
        second, _ = self._checked(again, transcript)
        result.findings += [finding for finding in second.findings if finding.kind not in result.kinds]
        result.kinds |= second.kinds

    def _checked(self, reply: Reply, transcript: Transcript) -> tuple[LlmAnswer, list[str]]:
        """Return what holds of an answer, and what is wrong with the rest."""
        result = LlmAnswer(turns=len(transcript.turns))
        try:
            members = answer.parse(reply.text, _FIELDS)
        except AnswerError as error:
            return result, ["it was cut off: be shorter" if reply.cut_off else str(error)]
        problems: list[str] = []
        for kind in KINDS:
            try:
                if kind.field not in members:
                    raise AnswerError(f"{kind.field} is missing")
                result.findings += kind.decode(members[kind.field], transcript, self.source)
                result.kinds.add(kind.name)
            except AnswerError as error:
                problems.append(str(error))
        return result, problems
