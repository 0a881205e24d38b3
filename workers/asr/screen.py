"""What the screens are told about one track: partials that do not flicker, finals, gaps, lag."""

from __future__ import annotations

import dataclasses
from typing import Any

from infra.bus.codec import TrackWork
from infra.bus.streams import BusError, EventStreams
from infra.model import Event, EventType, Hole, TranscriptSegment
from infra.store.transcripts import segment_to_json
from infra.telemetry import logger
from workers.asr.partials import Growing
from workers.persist import until_told

log = logger(__name__)


class Screen:
    """Publishes a track's events. A final is told until it is through; the rest only while Redis answers."""

    def __init__(self, events: EventStreams, work: TrackWork) -> None:
        self._events = events
        self._work = work
        self._growing: dict[int, Growing] = {}
        self._shown: dict[int, TranscriptSegment] = {}
        self._lag_told_ms = 0

    async def partial(self, segment: TranscriptSegment) -> None:
        """Show what was heard so far; what was shown as settled stays, unless it was in another language."""
        shown = self._shown.get(segment.seq)
        if shown is not None and shown.language != segment.language:
            self._growing.pop(segment.seq, None)
        growing = self._growing.setdefault(segment.seq, Growing())
        if growing.hear(segment.text):
            self._shown[segment.seq] = segment
            await self._show(dataclasses.replace(segment, text=growing.text), growing.stable)

    async def retract(self, seq: int) -> None:
        """Take a shown partial off the screens: it turned out to hold no words."""
        self._growing.pop(seq, None)
        shown = self._shown.pop(seq, None)
        if shown is not None:
            nothing = dataclasses.replace(shown, text="", original_text="", confidence=0.0)
            await self._show(nothing, 0, key=f"retracted:{nothing.id}")

    async def final(self, segment: TranscriptSegment) -> None:
        """Show a segment that is stored."""
        self._growing.pop(segment.seq, None)
        self._shown.pop(segment.seq, None)
        await self._publish("segment.final", segment_to_json(segment), f"final:{segment.track_id}:{segment.seq}")

    async def gap(self, hole: Hole) -> None:
        """Show that there are no words for a stretch of audio."""
        track_id = self._work.track.id
        data = {"track_id": track_id, **dataclasses.asdict(hole)}
        await self._publish("gap", data, f"gap:{track_id}:{hole.start_ms}:{hole.cause}")

    async def lag(self, lag_ms: int) -> bool:
        """Show how late the words come, 0 = in time; return False where that is known already."""
        if lag_ms == self._lag_told_ms == 0:
            return False
        self._lag_told_ms = lag_ms
        await self._publish("lag", {"track_id": self._work.track.id, "lag_ms": lag_ms})
        return True

    async def language(self, language: str, probability: float, chunk: int) -> None:
        """Tell what the track speaks, as far as was heard up to a chunk."""
        track_id = self._work.track.id
        data = {"track_id": track_id, "language": language, "probability": round(probability, 3)}
        await self._publish("language", data, f"language:{track_id}:{language}:{chunk}")

    async def closed(self, reason: str) -> None:
        """Tell that the track has all its words."""
        track_id = self._work.track.id
        await self._publish("track.closed", {"track_id": track_id, "reason": reason}, f"closed:{track_id}")

    async def _show(self, segment: TranscriptSegment, stable: int, key: str = "") -> None:
        await self._publish("segment.partial", {**segment_to_json(segment), "stable": stable}, key)

    async def _publish(self, kind: EventType, data: dict[str, Any], key: str = "") -> None:
        """Tell the screens; a keyed event until it is through, any other only if Redis answers."""
        tenant_id = self._work.call.tenant_id
        event = Event(kind, self._work.call.id, data, key=key)
        if key:
            await until_told(self._events, tenant_id, event)
            return
        try:
            await self._events.publish(tenant_id, event)
        except BusError as error:
            log.debug("event left out", kind=kind, error=type(error).__name__)
