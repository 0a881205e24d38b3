"""A call with all that is known of it, and the cursor from which its events go on."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import asyncpg

from dashboard.views import (
    GapView,
    LegView,
    SegmentView,
    Snapshot,
    SpeakerView,
    TrackView,
    call_summary,
    insight_view,
    recording_view,
    segment_view,
)
from infra.bus import keys
from infra.bus.streams import START, BusError, EventStreams
from infra.model import TranscriptSegment
from infra.store.calls import CallStore
from infra.store.insights import InsightStore
from infra.store.recordings import RecordingStore
from infra.store.speakers import SpeakerStore
from infra.store.transcripts import TranscriptStore
from infra.telemetry import logger

YIELD_SEGMENTS: Final = 100
"""An hour of speech takes 100 ms to put together: calls go on in between."""

_log = logger(__name__)


class SnapshotReader:
    """Reads snapshots."""

    def __init__(self, pool: asyncpg.Pool, streams: EventStreams) -> None:
        self.calls = CallStore(pool)
        self.transcripts = TranscriptStore(pool)
        self.speakers = SpeakerStore(pool)
        self.insights = InsightStore(pool)
        self.recordings = RecordingStore(pool)
        self._streams = streams

    async def read(self, tenant_id: UUID, call_id: UUID) -> Snapshot | None:
        """Return the call as it is now, None when this tenant has no such call.

        The cursor is read before the database: events that are in both are told again, which is harmless.
        """
        cursor = await self.cursor(keys.events(call_id))
        row = await self.calls.get(tenant_id, call_id)
        if row is None:
            return None
        return Snapshot(
            call=call_summary(row),
            legs=[LegView(**leg) for leg in await self.calls.legs(call_id)],
            tracks=[TrackView(**track) for track in await self.calls.tracks(call_id)],
            segments=await _segment_views(await self.transcripts.of_call(call_id)),
            speakers=[SpeakerView(**speaker) for speaker in await self.speakers.of_call(call_id)],
            gaps=[GapView(**gap) for gap in await self.transcripts.gaps(call_id)],
            insights=[insight_view(insight) for insight in await self.insights.of_call(call_id)],
            recording=recording_view(await self.recordings.of_call(tenant_id, call_id)),
            cursor=cursor,
        )

    async def cursor(self, stream: str) -> str:
        """Return a stream's newest cursor; its very start while Redis is away: then all is told again."""
        try:
            return await self._streams.newest(stream)
        except BusError as error:
            _log.warning("snapshot without redis", error=type(error).__name__)
            return START


async def _segment_views(segments: list[TranscriptSegment]) -> list[SegmentView]:
    views = []
    for number, segment in enumerate(segments):
        views.append(segment_view(segment))
        if number % YIELD_SEGMENTS == 0:
            await asyncio.sleep(0)
    return views
