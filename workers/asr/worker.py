"""The ASR worker: one engine, many tracks, each owned by lease."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

from infra.bus import codec
from infra.bus.presence import RENEW_S, Presence
from infra.bus.streams import BusError
from infra.bus.work import Lease, WorkQueue
from infra.telemetry import logger
from workers.asr.scheduler import Scheduler
from workers.asr.session import Tools, TrackSession
from workers.owner import Holding, Owner

log = logger(__name__)

MAX_TRACKS: Final = 64
PATIENCE_MS: Final = 1000
"""How long a new track is left to a peer that is less behind or holds fewer tracks."""


class AsrWorker:
    """Takes tracks from `work:asr` and turns each into segments."""

    def __init__(self, queue: WorkQueue, scheduler: Scheduler, tools: Tools, presence: Presence) -> None:
        self._queue = queue
        self._scheduler = scheduler
        self._tools = tools
        self._presence = presence
        self._owner = Owner(
            queue, capacity=MAX_TRACKS, item_id=_track_id, work=self._work, bury=self._bury, patience_ms=self._patience
        )

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._scheduler.run())
            tasks.create_task(self._scheduler.overload.run())
            tasks.create_task(self._owner.run())
            tasks.create_task(self._live_on())
            if self._tools.vocabularies is not None:
                tasks.create_task(self._tools.vocabularies.run())

    async def _work(self, holding: Holding) -> None:
        await TrackSession(codec.track_work_from_bytes(holding.lease.item), holding, self._tools).run()

    async def _bury(self, holding: Holding, reason: str) -> None:
        work = codec.track_work_from_bytes(holding.lease.item)
        log.error("track given up", track_id=str(work.track.id), call_id=str(work.call.id), reason=reason)
        await TrackSession(work, holding, self._tools).bury(reason)

    async def _patience(self) -> int:
        """Wait for peers only while one of them is better off: whoever is least behind and holds least never waits."""
        peers = [about for about in await self._presence.workers("asr") if about.get("worker") != self._queue.owner]
        if not peers:
            return 0
        held = await self._queue.held()
        ours = self._scheduler.overload.step, held.get(self._queue.owner, 0)
        theirs = ((about.get("overload_step", 0), held.get(about["worker"], 0)) for about in peers)
        return PATIENCE_MS if any(load < ours and load[1] < MAX_TRACKS for load in theirs) else 0

    async def _live_on(self) -> None:
        overload = self._scheduler.overload
        while True:
            overload.changed.clear()
            about: dict[str, Any] = {
                "worker": self._queue.owner,
                "engine": self._scheduler.engine_name,
                "diarizer": self._tools.speakers.diarizer.name if self._tools.speakers else None,
                "tracks": self._owner.held_count,
                "lag_ms": int(overload.lag_s * 1000),
                "overload_step": int(overload.step),
            }
            try:
                await self._presence.worker("asr", self._queue.owner, about)
            except BusError as error:
                log.warning("no sign of life could be given", error=type(error).__name__)
            try:
                async with asyncio.timeout(RENEW_S):
                    await overload.changed.wait()
            except TimeoutError:
                pass  # nothing new


def _track_id(lease: Lease) -> UUID:
    return codec.track_work_from_bytes(lease.item).track.id
