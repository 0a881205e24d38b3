"""Finishes recordings one by one, on a thread: those of calls that ended here, and what killed gateways left."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from infra.model import Call
from infra.settings import RecordingFormat
from infra.shelf import Shelf
from infra.store.database import StoreAway
from infra.store.recordings import RecordingStore
from infra.telemetry import logger
from media_gateway.recording.days import forget_days, old_calls
from media_gateway.recording.finish import Abandoned, Finished, NothingRecorded, finish
from media_gateway.recording.live import reason_of
from media_gateway.recording.take import TakenError, look, takes, tidy

log = logger(__name__)

LOOK_S: Final = 5.0
"""How often is looked for what killed gateways left."""
RETRY_S: Final = 60.0
"""When a recording that could not be finished is tried again; then twice as long, up to `_RETRY_MOST_S`."""
_RETRY_MOST_S: Final = 3600.0
_FORGET_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A call whose recording can be finished."""

    call: Call
    """Of what a killed gateway left no more than id, tenant and beginning are known."""
    duration_ms: int
    damage: tuple[int, str] | None = None
    """From where on nothing could be written, in ms, and why: that was told already."""
    is_leftover: bool = False


class Outcome(Protocol):
    """Who is told what became of a recording; on the event loop."""

    def is_live(self, call_id: UUID) -> bool:
        """Return whether the call is being recorded here (again)."""

    def saved(self, ended: Ended, found: Finished) -> None:
        """It is there. Once that is stored, `Finisher.stored` is called."""

    def failed(self, call: Call, reason: str) -> None:
        """There is none, or not yet."""


class Finisher:
    """Everything is for the event loop."""

    def __init__(self, shelf: Shelf, store: RecordingStore, codec: RecordingFormat, outcome: Outcome) -> None:
        self._shelf = shelf
        self._store = store
        self._codec = codec
        self._outcome = outcome
        self._thread = ThreadPoolExecutor(1, "recording-finish")
        self._stopping = threading.Event()
        self._work: asyncio.Queue[Ended | Finished] = asyncio.Queue()
        """Recordings to finish, and takes to remove: no more than one of each for a call that ended."""
        self._ending: set[UUID] = set()
        """Calls whose recordings are not done with."""
        self._unstored: dict[UUID, Finished] = {}
        self._retries: dict[UUID, tuple[float, float]] = {}
        """When a recording is tried again, on the monotonic clock, and how long was waited for that."""

    @property
    def is_idle(self) -> bool:
        """Return whether every recording is done with."""
        return not self._ending

    def expect(self, call_id: UUID) -> None:
        """A recording will soon be there to finish."""
        self._ending.add(call_id)

    def put(self, ended: Ended) -> None:
        """Have a recording finished."""
        self._ending.add(ended.call.id)
        self._work.put_nowait(ended)

    def stored(self, found: Finished) -> None:
        """The recording is stored: have its takes removed."""
        if self._unstored.pop(found.call_id, None) is not None:
            self._work.put_nowait(found)

    async def run(self, keep_days: int) -> None:
        """Finish, for ever, and forget recordings after `keep_days` (0: never)."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._work_in_turn())
                tasks.create_task(self._look_for_leftovers())
                if keep_days:
                    tasks.create_task(self._forget(keep_days))
        finally:
            self._stopping.set()
            await asyncio.to_thread(self._thread.shutdown)
            for found in self._unstored.values():
                found.release()

    async def _work_in_turn(self) -> None:
        while True:
            work = await self._work.get()
            if isinstance(work, Ended):
                await self._finish(work)
            else:
                await self._remove_takes(work)

    async def _finish(self, ended: Ended) -> None:
        call, began_s = ended.call, time.monotonic()
        try:
            found = await self._on_thread(ended)
        except TakenError:
            log.debug("a living gateway goes on with the recording", call_id=str(call.id))
        except Abandoned:
            return
        except NothingRecorded:
            if ended.damage is None:
                self._outcome.failed(call, "no-audio")
        except Exception as error:
            self._retry_later(call.id)
            log.exception("recording not finished", call_id=str(call.id))
            self._outcome.failed(call, reason_of(error))
        else:
            self._retries.pop(call.id, None)
            if found is not None:
                log.info("recording finished", call_id=str(call.id), took_ms=int((time.monotonic() - began_s) * 1000))
                self._take_in(ended, found)
                return
            if not ended.is_leftover and ended.damage is None and not self._is_there(call):
                self._outcome.failed(call, "file-lost")
        self._ending.discard(call.id)

    def _take_in(self, ended: Ended, found: Finished) -> None:
        if self._outcome.is_live(found.call_id):  # it came back meanwhile: there is more to come
            found.release()
            self._ending.discard(found.call_id)
            return
        self._unstored[found.call_id] = found
        self._outcome.saved(ended, found)

    async def _on_thread(self, ended: Ended) -> Finished | None:
        def work() -> Finished | None:
            return finish(self._shelf, ended.call.id, self._codec, ended.duration_ms, stopped=self._stopping.is_set)

        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self._stopping.set()
            with contextlib.suppress(Exception):
                if (found := await future) is not None:
                    found.release()
            raise

    def _is_there(self, call: Call) -> bool:
        """Return whether somebody else has finished a recording."""
        return self._shelf.finished(call.id, call.started_at) is not None

    async def _remove_takes(self, found: Finished) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, found.remove_takes)
        except OSError as error:
            self._retry_later(found.call_id)
            log.warning("takes of a finished recording stay", call_id=str(found.call_id), error=type(error).__name__)
        self._ending.discard(found.call_id)

    def _retry_later(self, call_id: UUID) -> None:
        _, waited_s = self._retries.get(call_id, (0.0, RETRY_S / 2))
        wait_s = min(2 * waited_s, _RETRY_MOST_S)
        self._retries[call_id] = time.monotonic() + wait_s, wait_s

    async def _look_for_leftovers(self) -> None:
        said = ""
        while True:
            try:
                await self._finish_leftovers()
                said = ""
            except StoreAway as error:  # OSError, of the disk, among them
                if said != (said := type(error).__name__):
                    log.warning("left recordings cannot be looked for", error=said)
            except Exception:
                log.exception("left recordings cannot be looked for")
            await asyncio.sleep(LOOK_S)

    async def _finish_leftovers(self) -> None:
        now_s = time.monotonic()
        await asyncio.to_thread(tidy, self._shelf)
        left = {
            call_id
            for call_id in await asyncio.to_thread(takes, self._shelf)
            if not self._is_busy(call_id) and self._retries.get(call_id, (0.0, 0.0))[0] <= now_s
        }
        if not left:
            return
        ended = await self._store.ended(left)
        for about in await asyncio.to_thread(look, self._shelf, ended):
            if not self._is_busy(about.call_id):
                call = Call(about.call_id, "", "", about.started_at, tenant_id=about.tenant_id)
                self.put(Ended(call, ended[call.id], is_leftover=True))

    def _is_busy(self, call_id: UUID) -> bool:
        return call_id in self._ending or self._outcome.is_live(call_id)

    async def _forget(self, keep_days: int) -> None:
        while True:
            before = (datetime.now(UTC) - timedelta(days=keep_days)).date()
            try:
                # The rows first: whoever asks in between finds none, instead of one without its file.
                await self._store.forget(await asyncio.to_thread(old_calls, self._shelf, before))
                await self._store.forget_failed(keep_days)
                await asyncio.to_thread(forget_days, self._shelf, before)
            except StoreAway as error:
                log.warning("old recordings stay for now", error=type(error).__name__)
            except Exception:
                log.exception("old recordings stay for now")
            await asyncio.sleep(_FORGET_EVERY_S)
