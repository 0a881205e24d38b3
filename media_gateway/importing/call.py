"""The call that an import becomes: stored and told like any other, but by the file's clock, and as often as needed.

Its ids are made of the file's own name, so that whoever goes on with it after a crash tells the same again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from infra.bus.codec import CallWork, TrackWork
from infra.bus.streams import AudioStreams, EventStreams
from infra.bus.work import WorkQueue
from infra.model import Call, Event, EventType, Leg, Role, Track, stable_id, utc_now
from infra.store.calls import CallStore
from infra.store.imports import ImportStore, Job, Parties
from infra.store.transcripts import Progress, TranscriptStore
from media_gateway.importing.wire import Head
from media_gateway.registry import call_started, leg_joined, track_opened

DOOR: Final = "file"
IMPORTED: Final = "imported"
"""Why an imported call has ended, when nothing was wrong."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who is heard on one of the tracks."""

    role: Role
    label: str
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Streams:
    """Where the import tells what."""

    gateway_id: str
    audio: AudioStreams
    events: EventStreams
    asr_work: WorkQueue
    insight_work: WorkQueue
    calls: CallStore
    transcripts: TranscriptStore
    imports: ImportStore


def call_id_of(job: Job) -> UUID:
    """Return the id of the call that an import becomes."""
    return stable_id("call", job.tenant_id, DOOR, job.external_id)


def parties_of(asked: Parties, head: Head) -> Parties:
    """Return who is heard, where that was left open: a party a channel, or all on the only one."""
    if asked != "auto":
        return "mixed" if asked == "two" and head.channels == 1 else asked
    return "two" if head.channels == 2 and not head.alike else "mixed"


def tracks_of(parties: Parties, job: Job) -> tuple[Party, ...]:
    """Return the tracks, in the order of their speakers."""
    if parties == "mixed":
        return (Party("unknown", "mixed", mixed=True),)
    if parties == "one":
        return (Party(job.left_role, "mono"),)
    right: Role = "agent" if job.left_role == "customer" else "customer"
    return Party(job.left_role, "left"), Party(right, "right")


def began_at(job: Job, head: Head, now: datetime) -> datetime:
    """Return when the call began: as told, as the file says, or about when it was written."""
    told = job.started_at or head.made_at
    if told is None and job.modified_at is not None:
        told = job.modified_at - timedelta(milliseconds=head.duration_ms or 0)
    return min(told, now) if told is not None else job.created_at


class ImportedCall:
    """Everything but its audio. Whatever is told twice is one fact; Redis and PostgreSQL may raise."""

    def __init__(self, streams: Streams, job: Job, parties: Sequence[Party], started_at: datetime) -> None:
        self._streams = streams
        self.call = call = Call(
            call_id_of(job),
            DOOR,
            job.external_id,
            started_at,
            from_number=job.from_number,
            to_number=job.to_number,
            title=job.title or PurePath(job.name).stem or job.name,
            tenant_id=job.tenant_id,
            live=False,
        )
        self.works = []
        for number, party in enumerate(parties):
            leg = Leg(stable_id("leg", call.id, party.label), call.id, party.role)
            track = Track(stable_id("track", leg.id, party.label, number), leg.id, call.id, party.label, party.mixed)
            self.works.append(TrackWork(call, leg, track, f"SPEAKER_{number:02d}", streams.gateway_id))

    async def begin(self) -> None:
        """Tell that it is there, and look for somebody to recognise it."""
        streams, call = self._streams, self.call
        await streams.calls.open(call, streams.gateway_id)
        await self._tell("call.started", call_started(call), "started")
        for work in self.works:
            await streams.calls.add_track(call, work.leg, work.track, work.speaker, streams.gateway_id)
            await self._tell("leg.joined", leg_joined(work.leg), f"joined:{work.leg.id}")
            await self._tell("track.opened", track_opened(work), f"opened:{work.track.id}")
        await streams.insight_work.announce(CallWork(call, streams.gateway_id))
        for work, progress in zip(self.works, await self.progress(), strict=True):
            if not progress.closed:
                await streams.asr_work.announce(work)

    async def recording_started(self) -> None:
        """Tell that a recording is kept."""
        await self._tell("recording.started", {}, "recording")

    async def progress(self) -> list[Progress]:
        """Return how far the recogniser has come with each track."""
        return await asyncio.gather(*(self._streams.transcripts.progress(work.track.id) for work in self.works))

    async def has_ended(self) -> bool:
        """Return whether the call was ended already."""
        state = await self._streams.calls.state(self.call.id)
        return state is not None and state["status"] == "ended"

    async def end(self, reason: str, duration_ms: int) -> None:
        """Take the parties out and end the call, by the file's clock."""
        streams, call = self._streams, self.call
        at = call.started_at + timedelta(milliseconds=duration_ms)
        await streams.imports.leave(call.id, at, reason)
        for work in self.works:
            await self._tell("leg.left", {"leg_id": work.leg.id, "reason": reason}, f"left:{work.leg.id}")
        await streams.calls.end(call.id, reason, at, duration_ms)
        await self._tell("call.ended", {"reason": reason, "duration_ms": duration_ms, "ended_at": at}, "ended")

    async def _tell(self, kind: EventType, data: dict[str, Any], key: str) -> None:
        event = Event(kind, self.call.id, data, at=utc_now(), key=f"import:{key}")
        await self._streams.events.publish(self.call.tenant_id, event)
