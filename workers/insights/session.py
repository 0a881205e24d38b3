"""One call from its first final segment to its last insight."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from prometheus_client import Counter

from infra.bus import keys
from infra.bus.codec import CallWork
from infra.bus.presence import Presence
from infra.bus.streams import START, BusError, EventStreams
from infra.model import Call, Event, EventType, Insight
from infra.store.calls import CallStore
from infra.store.insights import InsightStore, insight_to_json
from infra.store.transcripts import TranscriptStore
from infra.telemetry import logger
from workers.insights.analyst import Analyst, AnalystState
from workers.insights.findings import Finding
from workers.insights.turns import Turns
from workers.owner import Holding
from workers.persist import until_stored, until_told

log = logger(__name__)

_STORED: Final = Counter(
    "hearline_insights_total", "Insights stored or revised, by kind and source", ["kind", "source"]
)

READ_BLOCK_MS: Final = 500
REFRESH_S: Final = 1.0
"""The built-in analysis is shown at most so often."""
TRACKS_WITHIN_S: Final = 3600.0
"""How long after its end a call waits for words that are still being recognised."""
TOGETHER_S: Final = 1.0
"""Roles that change so soon after one another are read together: two who change places are two changes."""
ALERTING: Final = frozenset({"high", "critical"})


class Pause:
    """While the recognisers are far behind the machine is theirs, and nothing is analysed."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._over.set()

    @property
    def on(self) -> bool:
        return not self._over.is_set()

    def begin(self) -> None:
        self._over.clear()

    def end(self) -> None:
        self._over.set()

    async def over(self) -> None:
        """Return once it is over; at once where there is none."""
        await self._over.wait()


@dataclass(frozen=True, slots=True)
class Tools:
    """What all sessions of a worker share."""

    events: EventStreams
    calls: CallStore
    transcripts: TranscriptStore
    insights: InsightStore
    presence: Presence
    new_analyst: Callable[[Call], Analyst]
    pause: Pause = field(default_factory=Pause)


class CallSession:
    """Follows a call's events, has it analysed, stores what changed and tells the screens.

    All that a later owner needs is in the database and in the call's own event stream, which is read from its start.
    """

    def __init__(self, work: CallWork, holding: Holding, tools: Tools) -> None:
        self._call = work.call
        self._work = work
        self._holding = holding
        self._tools = tools
        self._analyst = tools.new_analyst(work.call)
        self._turns = Turns()
        self._open_tracks: set[str] = set()
        self._epoch = ""
        self._ended_s: float | None = None
        self._fresh = False
        self._refreshed_s = 0.0
        self._stored: dict[tuple[str, str], Insight] = {}
        self._told_summary: dict[str, Any] = {}
        self._storing = asyncio.Lock()

    @property
    def state(self) -> AnalystState:
        """Return which analyser speaks, and why if it is not the one that was asked for."""
        return self._analyst.state

    async def run(self) -> None:
        """Work until the call has ended, all its words are in, and its last insight is stored."""
        tools, call = self._tools, self._call
        known = await until_stored(lambda: tools.calls.state(call.id))
        if self._work.anew and (known is None or known["settled_at"] is not None):
            await self._tell_anew()
            return
        await until_stored(lambda: tools.calls.add(call, self._work.gateway_id))
        await self._take_up()
        async with asyncio.TaskGroup() as tasks:
            consulting = tasks.create_task(self._consult())
            await self._follow()
            consulting.cancel()
        await self._settle()

    async def _take_up(self) -> None:
        """Know what was said and found before."""
        tools, call = self._tools, self._call
        self._stored = await until_stored(lambda: tools.insights.keys_of_call(call.id))
        self._analyst.restore(
            Finding(insight.kind, key, insight.body, insight.evidence, insight.source)
            for (_, key), insight in self._stored.items()
        )
        for segment in await until_stored(lambda: tools.transcripts.of_call(call.id)):
            self._turns.stored(segment)
            self._fresh = True

    async def _tell_anew(self) -> None:
        """Say what a settled call means now that others turn out to have spoken, until that changes no more."""
        tools, call, heard = self._tools, self._call, None
        while True:
            await asyncio.sleep(TOGETHER_S)
            said = await until_stored(lambda: tools.transcripts.of_call(call.id))
            if said == heard:
                await self._let_go()
                return
            heard = said
            self._turns = Turns()
            self._analyst.begin_again()
            await self._take_up()
            await self._conclude()

    async def _follow(self) -> None:
        """Take the call's events until nothing more will be said."""
        after = START
        while not self._all_is_said():
            try:
                events = await self._tools.events.read(keys.events(self._call.id), after=after, block_ms=READ_BLOCK_MS)
            except BusError as error:
                log.warning("events cannot be read", call_id=str(self._call.id), error=type(error).__name__)
                await asyncio.sleep(0.3)
                continue
            for event in events:
                after = event.id
                self._take(event)
            if self._fresh and not self._tools.pause.on and time.monotonic() - self._refreshed_s >= REFRESH_S:
                await self._refresh()

    def _take(self, event: Event) -> None:
        data = event.data
        if event.type == "segment.final":
            self._fresh |= self._turns.final(data, time.monotonic())
        elif event.type == "speakers":
            self._fresh |= self._turns.speakers(data)
        elif event.type == "track.opened":
            self._turns.track(data)
            self._open_tracks.add(data["track_id"])
        elif event.type == "track.closed":
            self._open_tracks.discard(data["track_id"])
        elif event.type == "call.started":
            self._epoch, self._ended_s = event.id, None
        elif event.type == "call.ended":
            self._ended_s = time.monotonic()

    def _read(self, now_s: float) -> None:
        """Give the analysers what they have not read yet; all of it anew where somebody else turns out to speak."""
        turns, anew = self._turns.next(now_s)
        if anew:
            self._analyst.begin_again()
        for turn in turns:
            self._analyst.add(turn)

    def _all_is_said(self) -> bool:
        if self._ended_s is None:
            return False
        return not self._open_tracks or time.monotonic() - self._ended_s > TRACKS_WITHIN_S

    async def _refresh(self) -> None:
        self._refreshed_s = time.monotonic()
        self._read(self._refreshed_s)
        self._fresh = self._turns.waiting()
        await self._store()

    async def _consult(self) -> None:
        """Ask the language model whenever that is due; the built-in analysis does not wait for it."""
        while True:
            await asyncio.sleep(0.2)
            if not self._tools.pause.on and self._analyst.is_due():
                await self._analyst.consult()
                await self._store()

    async def _settle(self) -> None:
        await self._conclude()
        tools, call = self._tools, self._call
        await until_stored(lambda: tools.calls.settle(call.id))
        data = {"insights": len(self._stored), "source": self.state.source}
        await self._publish("call.settled", data, f"settled:{self._epoch}")
        await self._let_go()

    async def _conclude(self) -> None:
        """Say what all of it means, once all is said."""
        await self._tools.pause.over()
        self._read(math.inf)
        if self._analyst.is_due(settled=True):
            await self._analyst.consult(settled=True)
        await self._store(settled=True)
        tools, call = self._tools, self._call
        summary = self._summary()
        await until_stored(lambda: tools.transcripts.note_summary(call.id, summary, everywhere=True))

    async def _let_go(self) -> None:
        tools, call = self._tools, self._call
        try:
            await tools.events.expire(call.id)
        except BusError as error:
            log.warning("event stream keeps no end", call_id=str(call.id), error=type(error).__name__)

    async def _store(self, *, settled: bool = False) -> None:
        """Store what changed and tell it; retire what the analysis no longer says."""
        async with self._storing:
            await self._store_findings(self._analyst.findings(settled=settled).findings)

    async def _store_findings(self, findings: list[Finding]) -> None:
        current = {(finding.kind, finding.key) for finding in findings}
        for finding in findings:
            await self._put(finding)
        for (kind, key), insight in list(self._stored.items()):
            if kind == "action_item" and (kind, key) not in current and insight.body.get("status") == "open":
                body = {**insight.body, "status": "dismissed"}
                await self._put(Finding(kind, key, body, insight.evidence, insight.source))
        summary = self._summary()
        if summary != self._told_summary:
            self._told_summary = summary
            await until_stored(lambda: self._tools.transcripts.note_summary(self._call.id, summary, everywhere=False))

    async def _put(self, finding: Finding) -> None:
        known = self._stored.get((finding.kind, finding.key))
        if known is not None and (known.body, known.evidence, known.source) == (
            finding.body,
            finding.evidence,
            finding.source,
        ):
            return
        insight = await until_stored(
            lambda: self._tools.insights.put(
                self._call.tenant_id,
                self._call.id,
                kind=finding.kind,
                key=finding.key,
                body=finding.body,
                evidence=finding.evidence,
                source=finding.source,
            )
        )
        if insight is None:  # stored like this already, or a person has the last word
            if known is not None:
                body, evidence, source = finding.body, finding.evidence, finding.source
                self._stored[finding.kind, finding.key] = replace(known, body=body, evidence=evidence, source=source)
            return
        self._stored[finding.kind, finding.key] = insight
        self._holding.progressed = True
        _STORED.labels(finding.kind, finding.source).inc()
        await self._publish("insight", insight_to_json(insight), f"insight:{insight.id}:{insight.revision}")
        await self._alert(insight)

    async def _alert(self, insight: Insight) -> None:
        """A grave complaint is called out, once for each severity."""
        severity = insight.body.get("severity")
        if insight.kind == "complaint" and insight.body.get("is_complaint") and severity in ALERTING:
            data = {"insight_id": insight.id, "kind": "complaint", **insight.body}
            await self._publish("alert", data, f"alert:complaint:{severity}")

    def _summary(self) -> dict[str, Any]:
        """What is kept beside each segment: the insights there is one of."""
        return {kind: insight.body for (kind, key), insight in sorted(self._stored.items()) if key == kind}

    async def _publish(self, kind: EventType, data: dict[str, Any], key: str) -> None:
        await until_told(self._tools.events, self._call.tenant_id, Event(kind, self._call.id, data, key=key))
