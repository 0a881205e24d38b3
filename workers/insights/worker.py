"""The insight worker: many calls, each owned by lease, and at most one language model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from infra.bus import codec
from infra.bus.presence import RENEW_S
from infra.bus.streams import BusError
from infra.bus.work import Lease, WorkQueue
from infra.telemetry import logger
from workers.insights.session import CallSession, Tools
from workers.owner import Holding, Owner

log = logger(__name__)

MAX_CALLS: Final = 256
LOOK_S: Final = 1.0
PAUSE_STEP: Final = 3
"""The recognisers' overload step (docs/overload.md) from which on nothing is analysed."""


class InsightWorker:
    """Takes calls from `work:insights` and says what they mean."""

    def __init__(self, queue: WorkQueue, tools: Tools, *, model: Callable[[], dict[str, Any]]) -> None:
        """`model`: says which language model is asked (provider, model), for the screens."""
        self._queue = queue
        self._tools = tools
        self._model = model
        self._sessions: dict[str, CallSession] = {}
        self._owner = Owner(queue, capacity=MAX_CALLS, item_id=_call_id, work=self._work, bury=self._bury)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._owner.run())
            tasks.create_task(self._live_on())
            tasks.create_task(self._give_way())

    async def _work(self, holding: Holding) -> None:
        entry = holding.lease.entry
        session = self._sessions[entry] = CallSession(
            codec.call_work_from_bytes(holding.lease.item), holding, self._tools
        )
        try:
            await session.run()
        finally:
            del self._sessions[entry]

    async def _bury(self, holding: Holding, reason: str) -> None:
        call = codec.call_work_from_bytes(holding.lease.item).call
        log.error("call given up", call_id=str(call.id), reason=reason)

    async def _give_way(self) -> None:
        """Pause while a recogniser is far behind. One that has died says nothing any more, so that pauses end."""
        pause = self._tools.pause
        while True:
            try:
                wanted = await self._tools.presence.overload_step() >= PAUSE_STEP
            except BusError:
                wanted = pause.on
            if wanted and not pause.on:
                log.warning("insights pause: words come late")
                pause.begin()
            elif pause.on and not wanted:
                log.info("insights go on")
                pause.end()
            await asyncio.sleep(LOOK_S)

    async def _live_on(self) -> None:
        while True:
            states = [session.state for session in self._sessions.values()]
            why = next((state.reason for state in states if state.degraded), None)
            about: dict[str, Any] = {
                "worker": self._queue.owner,
                "calls": self._owner.held_count,
                "paused": self._tools.pause.on,
                "llm": {**self._model(), "state": "degraded" if why else "ok", "reason": why},
            }
            try:
                await self._tools.presence.worker("insights", self._queue.owner, about)
            except BusError as error:
                log.warning("no sign of life could be given", error=type(error).__name__)
            await asyncio.sleep(RENEW_S)


def _call_id(lease: Lease) -> UUID:
    return codec.call_work_from_bytes(lease.item).call.id
