"""A worker's outer loop: takes work, keeps its lease, and gives it up when it belongs to somebody else."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from infra.bus.codec import CodecError
from infra.bus.streams import BusError
from infra.bus.work import Lease, WorkQueue
from infra.store.transcripts import NotOwnerError
from infra.telemetry import logger

log = logger(__name__)

_TAKEN: Final = Counter("hearline_work_taken_total", "Work taken, by kind", ["kind"])
_LOST: Final = Counter("hearline_work_lost_total", "Work that another worker has taken over, by kind", ["kind"])
_FAILED: Final = Counter("hearline_work_failed_total", "Work that raised, by kind", ["kind"])
_BURIED: Final = Counter("hearline_work_dead_total", "Work given up for good, by kind", ["kind"])

MAX_DELIVERIES: Final = 4
LEFT_TO_PEERS_S: Final = 0.2


@dataclasses.dataclass(slots=True)
class Holding:
    """Work in hand. Set `progressed` whenever something was stored: earlier failures are forgiven then."""

    lease: Lease
    progressed: bool = False


class Owner:
    """Runs `work` for each piece taken, at most `capacity` at a time.

    `work` returns when the piece is finished for good. `bury` is called instead when it was handed out too often
    without making progress; it tells the people concerned. `patience_ms` says how long work is left to a peer who
    has more time for it; 0 = nobody has.
    """

    def __init__(
        self,
        queue: WorkQueue,
        *,
        capacity: int,
        item_id: Callable[[Lease], UUID],
        work: Callable[[Holding], Awaitable[None]],
        bury: Callable[[Holding, str], Awaitable[None]],
        patience_ms: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._queue = queue
        self._item_id = item_id
        self._work = work
        self._bury = bury
        self._patience_ms = patience_ms
        self._free = asyncio.Semaphore(capacity)
        self._held: dict[str, Holding] = {}

    @property
    def held_count(self) -> int:
        """Return how many pieces are in hand."""
        return len(self._held)

    async def run(self) -> None:
        """Take and do work until cancelled; what is in hand then is released for a peer."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._free.acquire()
                lease = await self._take()
                if lease is None or lease.entry in self._held:
                    # A lease that ran out during an outage can come back to the one who still works on it.
                    self._free.release()
                    continue
                holding = self._held[lease.entry] = Holding(lease)
                _TAKEN.labels(self._queue.kind).inc()
                tasks.create_task(self._hold(holding))

    async def _take(self) -> Lease | None:
        try:
            patience_ms = await self._patience_ms() if self._patience_ms else 0
            if not patience_ms:
                return await self._queue.take(block_ms=300)
            lease = await self._queue.take(block_ms=0, patience_ms=patience_ms)
            if lease is None:
                await asyncio.sleep(LEFT_TO_PEERS_S)
            return lease
        except BusError as error:
            log.warning("no work can be taken", kind=self._queue.kind, error=type(error).__name__)
            await asyncio.sleep(0.5)
            return None

    async def _hold(self, holding: Holding) -> None:
        kind, entry = self._queue.kind, holding.lease.entry
        try:
            try:
                await self._until_done_or_lost(holding)
            except* NotOwnerError as errors:
                _LOST.labels(kind).inc()
                log.warning("work is somebody else's now", kind=kind, entry=entry, reason=str(errors.exceptions[0]))
        except asyncio.CancelledError:
            await self._release(holding)
            raise
        except Exception:  # the outer loop: the lease runs out and the work is tried again
            _FAILED.labels(kind).inc()
            log.exception("work failed", kind=kind, entry=entry, deliveries=holding.lease.deliveries)
        finally:
            del self._held[entry]
            self._free.release()

    async def _until_done_or_lost(self, holding: Holding) -> None:
        lease = holding.lease
        try:
            item_id = self._item_id(lease)
        except CodecError as error:
            log.error("unreadable work", kind=self._queue.kind, entry=lease.entry, error=str(error))
            _BURIED.labels(self._queue.kind).inc()
            await self._queue.bury(lease, UUID(int=0), str(error))
            return
        async with asyncio.TaskGroup() as tasks:
            renewal = tasks.create_task(self._renew(holding))
            try:
                if lease.deliveries > MAX_DELIVERIES:
                    reason = f"failed {MAX_DELIVERIES} times"
                    await self._tell_burial(holding, reason)
                    _BURIED.labels(self._queue.kind).inc()
                    await self._until_told(lambda: self._queue.bury(lease, item_id, reason))
                else:
                    await self._work(holding)
                    await self._until_told(lambda: self._queue.done(lease, item_id))
            finally:
                renewal.cancel()

    async def _tell_burial(self, holding: Holding, reason: str) -> None:
        try:
            await self._bury(holding, reason)
        except (NotOwnerError, *BusError):
            raise
        except Exception:  # what broke the work may break this too; it must not come back for ever
            log.exception("work given up without a word", kind=self._queue.kind, entry=holding.lease.entry)

    async def _renew(self, holding: Holding) -> None:
        while True:
            await asyncio.sleep(self._queue.lease_ms / 3000)
            try:
                ours = await self._queue.renew(holding.lease, progressed=holding.progressed)
            except BusError:
                continue  # nobody else can take it while Redis is away
            holding.progressed = False
            if not ours:
                raise NotOwnerError(f"the lease on {holding.lease.entry} was taken over")

    async def _until_told(self, tell: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await tell()
            except BusError:
                await asyncio.sleep(0.5)
            else:
                return

    async def _release(self, holding: Holding) -> None:
        try:
            await self._queue.release(holding.lease)
        except BusError as error:
            log.warning("lease not released", entry=holding.lease.entry, error=type(error).__name__)
