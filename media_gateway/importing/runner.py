"""Brings in what has been sent: a few recordings at once, each as fast as its words are recognised.

A gateway that is killed lets go of its files; the next one on the data directory goes on with them. Each attempt reads
its file from the beginning, since that is quick, and tells only what is not told yet.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from infra.bus.streams import BusError
from infra.inbox import Inbox
from infra.model import utc_now
from infra.store.database import StoreAway
from infra.store.imports import Job
from infra.store.transcripts import Progress
from infra.telemetry import logger
from media_gateway.importing.call import (
    IMPORTED,
    ImportedCall,
    Streams,
    began_at,
    call_id_of,
    parties_of,
    tracks_of,
)
from media_gateway.importing.copy import Copy
from media_gateway.importing.source import Source, UnreadableError, opened
from media_gateway.importing.tracks import AudioLost, Cutter, Feed
from media_gateway.importing.wire import End
from media_gateway.recording.recorder import Recorder

log = logger(__name__)

_DONE: Final = Counter("hearline_imports_total", "Imports that came to an end, by outcome", ["outcome"])

LOOK_S: Final = 0.5
"""How often is looked for something to do."""
AWAY_S: Final = 0.5
SWEEP_S: Final = 60.0
UPLOAD_KEPT_HOURS: Final = 72
"""An upload that nobody goes on with is given up after so long."""
MOST_ATTEMPTS: Final = 5
"""So often an import may fail for a reason that nobody foresaw."""
CANCELLED: Final = "cancelled"
BROKEN: Final = "broken file"
"""Why an imported call has ended early."""


class CancelledImport(Exception):
    """Somebody wants it stopped."""


class ImportRunner:
    """All imports of one gateway."""

    def __init__(self, inbox: Inbox, streams: Streams, recorder: Recorder, *, parallel: int, most_hours: int) -> None:
        """`parallel`: how many are brought in at once; `most_hours`: how long one may be."""
        self._inbox = inbox
        self._streams = streams
        self._recorder = recorder
        self._parallel = parallel
        self._most_s = most_hours * 3600.0
        self._running: set[UUID] = set()
        self._attempts: dict[UUID, int] = {}

    async def run(self) -> None:
        """Work until cancelled; what is under way then, the next gateway goes on with."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            while True:
                for job in await self._wanted():
                    self._running.add(job.id)
                    tasks.create_task(self._carry_out(job))
                await asyncio.sleep(LOOK_S)

    async def _wanted(self) -> list[Job]:
        """Return what may be begun now."""
        free = self._parallel - len(self._running)
        if free <= 0:
            return []
        try:
            place = await asyncio.to_thread(lambda: self._inbox.place)
            jobs = await self._streams.imports.waiting(place)
        except StoreAway as error:  # OSError, of the disk, among them
            log.warning("imports cannot be looked for", error=type(error).__name__)
            return []
        except Exception:  # the outer loop: whatever is wrong with imports, calls go on
            log.exception("imports cannot be looked for")
            await asyncio.sleep(SWEEP_S)
            return []
        return [job for job in jobs if job.id not in self._running][:free]

    async def _carry_out(self, job: Job) -> None:
        try:
            claim = await asyncio.to_thread(self._inbox.claim, job.id)
            if claim is None:  # another gateway on this directory is at it
                await asyncio.sleep(AWAY_S)
                return
            with claim:
                await self._attempt(job, claim.path)
        except FileNotFoundError:
            await self._give_up(job, "the file that was sent is not there any more; send it again")
        except (AudioLost, *BusError, *StoreAway) as error:
            log.warning("import waits", import_id=str(job.id), error=type(error).__name__)
            await asyncio.sleep(AWAY_S)
        except Exception as error:  # the outer loop: one import must not end the others
            self._attempts[job.id] = failed = self._attempts.get(job.id, 0) + 1
            log.exception("import failed", import_id=str(job.id), attempt=failed)
            if failed >= MOST_ATTEMPTS:
                await self._give_up(job, f"something went wrong here ({type(error).__name__}); the log says more")
            await asyncio.sleep(AWAY_S)
        finally:
            self._running.discard(job.id)

    async def _attempt(self, job: Job, path: Path) -> None:
        """Bring a recording in, or what is missing of it."""
        imports = self._streams.imports
        if await imports.begin(job.id) is None:
            return  # cancelled meanwhile
        try:
            if job.status == "waiting":
                await asyncio.to_thread(_check, job, path)
            async with opened(path, self._most_s) as source:
                await self._bring_in(job, source)
        except UnreadableError as error:
            await imports.end(job.id, "failed", str(error))
            _DONE.labels("failed").inc()
        except CancelledImport:
            await imports.end(job.id, "cancelled")
            _DONE.labels("cancelled").inc()
        else:
            _DONE.labels("done").inc()
        await asyncio.to_thread(self._inbox.remove, job.id)

    async def _bring_in(self, job: Job, source: Source) -> None:
        """Raises UnreadableError and CancelledImport, once what there is of the call has been ended."""
        streams, parties = self._streams, parties_of(job.parties, source.head)
        started_at = began_at(job, source.head, utc_now())
        await streams.imports.opened(
            job.id, call_id_of(job), started_at=started_at, duration_ms=source.head.duration_ms, parties=parties
        )
        tracks = tracks_of(parties, job)
        call = ImportedCall(streams, job, tracks, started_at)
        if await call.has_ended():  # all was told but this
            await streams.imports.end(job.id, "done")
            return
        await call.begin()
        shelf = self._recorder.open_copy(call.call)
        copy = Copy(shelf, call.call, tracks)

        async def progress() -> list[Progress]:
            if await streams.imports.cancel_asked(job.id):
                raise CancelledImport
            return await call.progress()

        feed = Feed(streams.audio, [work.track.id for work in call.works], call.progress)
        try:
            await copy.begin()
            if shelf is not None:
                await call.recording_started()
            await feed.begin()
            feed.progress = progress
            try:
                cutter = Cutter(parties, len(tracks))
                async for piece in source.pieces():
                    cutter.put(piece)
                    await _pass_on(cutter, copy, feed)
                cutter.close()
                await _pass_on(cutter, copy, feed)
                duration_ms = cutter.position_ms
                await streams.imports.read_through(job.id, duration_ms, _problem(source.end))
                await feed.finish()
                await self._end(call, copy, IMPORTED, duration_ms)
            except (UnreadableError, CancelledImport) as error:
                duration_ms = await feed.break_off()
                await streams.imports.read_through(job.id, duration_ms, None)
                reason = CANCELLED if isinstance(error, CancelledImport) else BROKEN
                await self._end(call, copy, reason, duration_ms)
                raise
        finally:
            copy.close()
            self._recorder.leave_copy(call.call.id)
        await streams.imports.end(job.id, "done")

    async def _end(self, call: ImportedCall, copy: Copy, reason: str, duration_ms: int) -> None:
        await copy.end(duration_ms)
        await call.end(reason, duration_ms)
        if copy.is_kept:
            self._recorder.copied(call.call, duration_ms, copy.damage)

    async def _give_up(self, job: Job, problem: str) -> None:
        """Nothing comes of it, or nothing more."""
        streams, call_id = self._streams, call_id_of(job)
        try:
            if (await streams.calls.state(call_id)) is not None:
                tracks = tracks_of("two" if job.parties == "auto" else job.parties, job)
                call = ImportedCall(streams, job, tracks, job.started_at or job.created_at)
                await call.end(BROKEN, await streams.calls.last_ms(call_id))
            await streams.imports.end(job.id, "failed", problem)
            _DONE.labels("failed").inc()
            await asyncio.to_thread(self._inbox.remove, job.id)
        except (*BusError, *StoreAway) as error:
            log.warning("import not given up yet", import_id=str(job.id), error=type(error).__name__)
        except Exception:  # what stopped the import may stop this too; it must not end the others
            log.exception("import cannot be given up", import_id=str(job.id))

    async def _sweep(self) -> None:
        """Remove what is not needed any more, for ever."""
        while True:
            try:
                await self._streams.imports.give_up_uploads(UPLOAD_KEPT_HOURS)
                held = await asyncio.to_thread(self._inbox.held)
                needed = await self._streams.imports.unfinished(held)
                for import_id in held:
                    if import_id not in needed and import_id not in self._running:
                        await asyncio.to_thread(self._inbox.remove, import_id)
            except StoreAway as error:  # OSError, of the disk, among them
                log.warning("old imports stay for now", error=type(error).__name__)
            except Exception:
                log.exception("old imports stay for now")
            await asyncio.sleep(SWEEP_S)


async def _pass_on(cutter: Cutter, copy: Copy, feed: Feed) -> None:
    chunks = cutter.take()
    await copy.put(chunks)
    await feed.put(chunks)


def _check(job: Job, path: Path) -> None:
    """Compare what has arrived with what was announced. Raises UnreadableError; OSError."""
    with path.open("rb") as file:
        arrived = hashlib.file_digest(file, "sha256").hexdigest()
    if arrived != job.sha256 or path.stat().st_size != job.size_bytes:
        raise UnreadableError("did not arrive as it was sent; send it again")


def _problem(end: End) -> str | None:
    """Return what of the file could not be read, for people."""
    if end.broken_off:
        return "breaks off before its end; what it holds is here"
    if end.damaged_packets:
        return "is damaged in places; what could be read is here"
    return f"has gaps, {end.missing_ms / 1000:.1f} s in all; what it holds is here" if end.missing_ms else None
