"""The turns of a call in the order in which they were said, and whose they are: on a mixed track that shows later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from infra.model import Role, TranscriptSegment
from infra.store.transcripts import segment_to_json
from workers.insights.findings import Turn

SPEAKERS_WITHIN_S: Final = 2.0
"""How long a segment of a mixed track waits to be told whose it is."""


@dataclass(slots=True)
class _Segment:
    facts: Mapping[str, Any]
    """As its event tells it."""
    turns: tuple[Turn, ...]
    due_s: float
    """When it is read at the latest."""
    read: bool = False


class Turns:
    """What was said, and what of it the analysers have read."""

    def __init__(self) -> None:
        self._segments: dict[UUID, _Segment] = {}
        self._mixed: set[str] = set()
        self._roles: dict[tuple[str, str], Role] = {}
        self._revisions: dict[str, int] = {}
        """Of each track that in which `_roles` were told."""
        self._changed = False

    def track(self, data: Mapping[str, Any]) -> None:
        """Take notice of a track, from its event."""
        if data.get("mixed"):
            self._mixed.add(data["track_id"])

    def stored(self, segment: TranscriptSegment) -> None:
        """Take a segment from the database."""
        facts = {**segment_to_json(segment), "track_id": str(segment.track_id)}
        self._segments.setdefault(segment.id, _Segment(facts, self._split(segment.id, facts), 0.0))

    def final(self, data: Mapping[str, Any], now_s: float) -> bool:
        """Take a final segment from its event; False when it is known."""
        segment_id = UUID(data["segment_id"])
        if segment_id in self._segments:
            return False
        wait_s = SPEAKERS_WITHIN_S if data["track_id"] in self._mixed else 0.0
        self._segments[segment_id] = _Segment(data, self._split(segment_id, data), now_s + wait_s)
        return True

    def speakers(self, data: Mapping[str, Any]) -> bool:
        """Take whose words are whose from its event; False when nothing reads differently for it."""
        track_id, revision = data["track_id"], data["revision"]
        if self._revisions.get(track_id, 0) < revision:
            self._revisions[track_id] = revision
            self._roles |= {(track_id, one["speaker"]): one["role"] for one in data["speakers"]}
        changed = False
        for said in data["segments"]:
            segment = self._segments.get(UUID(said["segment_id"]))
            if segment is None or segment.facts.get("speakers_revision", 0) >= revision:
                continue
            names = said["words"] or [None] * len(segment.facts["words"])
            words = [{**word, "speaker": name} for word, name in zip(segment.facts["words"], names, strict=False)]
            told = {"speaker": said["speaker"], "role": said["role"], "speakers_revision": revision}
            segment.facts = {**segment.facts, **told, "words": words}
            turns = self._split(UUID(said["segment_id"]), segment.facts)
            self._changed |= segment.read and turns != segment.turns
            changed |= segment.due_s > 0 or turns != segment.turns
            segment.turns, segment.due_s = turns, 0.0
        return self._cast_anew(track_id) or changed

    def _cast_anew(self, track_id: str) -> bool:
        """Give those who say the lesser part of a segment their roles: no event names such a segment for it."""
        changed = False
        for segment_id, segment in self._segments.items():
            if len(segment.turns) > 1 and segment.facts["track_id"] == track_id:
                turns = self._split(segment_id, segment.facts)
                changed |= turns != segment.turns
                self._changed |= segment.read and turns != segment.turns
                segment.turns = turns
        return changed

    def next(self, now_s: float) -> tuple[list[Turn], bool]:
        """Return what is to be read, and whether that is everything, from the start.

        A segment that waits for its speaker holds up what was said after it on no other track.
        """
        anew, self._changed = self._changed, False
        ready = [one for one in self._segments.values() if (anew and one.read) or (not one.read and one.due_s <= now_s)]
        for one in ready:
            one.read = True
        return [turn for one in ready for turn in one.turns], anew

    def waiting(self) -> bool:
        """Tell whether anything is still to be read."""
        return self._changed or any(not one.read for one in self._segments.values())

    def _split(self, segment_id: UUID, facts: Mapping[str, Any]) -> tuple[Turn, ...]:
        """Return a segment's turns: one, or where it holds several speakers' words one for each run of theirs."""
        runs = [(name, list(run)) for name, run in groupby(facts.get("words", ()), lambda word: word.get("speaker"))]
        if len(runs) < 2:
            start_ms, end_ms, text = facts["start_ms"], facts["end_ms"], facts["text"]
            return (Turn(segment_id, facts["role"], start_ms, end_ms, text, speaker=facts["speaker"]),)
        return tuple(self._piece(segment_id, facts, name or facts["speaker"], run) for name, run in runs)

    def _piece(
        self, segment_id: UUID, facts: Mapping[str, Any], speaker: str, words: Sequence[Mapping[str, Any]]
    ) -> Turn:
        known: Role = facts["role"] if speaker == facts["speaker"] else "unknown"
        role = self._roles.get((facts["track_id"], speaker), known)
        text = " ".join(word["w"] for word in words)
        return Turn(segment_id, role, words[0]["start_ms"], words[-1]["end_ms"], text, speaker=speaker)
