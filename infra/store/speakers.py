"""Who speaks: what voices and words suggest on tracks that several people share, and what people say of anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from infra.model import Event, Role

Source = Literal["guess", "person"]

NEXT_REVISION: Final = """
UPDATE tracks SET speakers_revision = speakers_revision + 1 WHERE id = $1 RETURNING speakers_revision
"""
SPEAKERS_OF_TRACK: Final = "SELECT speaker, role, source FROM speakers WHERE track_id = $1 ORDER BY speaker"
SPEAKERS_OF_CALL: Final = """
SELECT track_id, speaker, role, source FROM speakers WHERE call_id = $1 ORDER BY track_id, speaker
"""
FIND_SPEAKER: Final = """
SELECT track_id FROM speakers
WHERE tenant_id = $1 AND call_id = $2 AND speaker = $3 AND ($4::uuid IS NULL OR track_id = $4)
UNION
SELECT id FROM tracks
WHERE tenant_id = $1 AND call_id = $2 AND speaker = $3 AND ($4::uuid IS NULL OR id = $4) AND NOT mixed
"""
PUT_SPEAKER: Final = """
INSERT INTO speakers (track_id, speaker, tenant_id, call_id, role, source)
SELECT id, $2, tenant_id, call_id, $3, $4 FROM tracks WHERE id = $1
ON CONFLICT (track_id, speaker) DO UPDATE SET role = EXCLUDED.role, source = EXCLUDED.source, updated_at = now()
"""
FORGET: Final = "DELETE FROM speakers WHERE track_id = $1 AND NOT speaker = ANY ($2::text[])"
ASSIGN: Final = """
UPDATE meeting_transcripts segment
SET speaker = said.speaker, speakers_revision = $3, updated_at = now(), words = (
    SELECT coalesce(jsonb_agg(
        CASE WHEN said.words IS NULL THEN word - 'speaker'
        ELSE word || jsonb_build_object('speaker', said.words -> (place::integer - 1)) END ORDER BY place), '[]')
    FROM jsonb_array_elements(segment.words) WITH ORDINALITY AS each(word, place))
FROM jsonb_to_recordset($2) AS said(id uuid, speaker text, words jsonb)
WHERE segment.id = said.id AND segment.track_id = $1
    AND (said.words IS NULL OR jsonb_array_length(said.words) = jsonb_array_length(segment.words))
"""
CAST_ROLES: Final = """
UPDATE meeting_transcripts segment SET role = known.role, speakers_revision = $2, updated_at = now()
FROM speakers known
    JOIN tracks track ON track.id = known.track_id
WHERE segment.track_id = $1 AND known.track_id = $1 AND known.speaker = segment.speaker
    AND (segment.speakers_revision > 0 OR NOT track.mixed) AND segment.role <> known.role
"""
CAST_TRACK: Final = """
UPDATE tracks SET role = $2 WHERE id = $1 AND NOT mixed RETURNING leg_id, label, speaker
"""
CAST_LEG: Final = "UPDATE legs SET role = $2 WHERE id = $1 RETURNING name"
CHANGED: Final = """
SELECT id, speaker, role, words FROM meeting_transcripts WHERE track_id = $1 AND speakers_revision = $2 ORDER BY seq
"""


class AmbiguousSpeakerError(LookupError):
    """Several tracks of the call have a speaker of that name."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice of a track, and whose it is."""

    speaker: str
    role: Role
    source: Source
    """`guess`: from the words. `person`: somebody said so, and that stands."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose words a segment holds."""

    segment_id: UUID
    speaker: str
    """Who says most of it."""
    words: tuple[str, ...] | None = None
    """A speaker for each word; None where all are the one's."""


@dataclass(frozen=True, slots=True)
class OwnTrack:
    """A track with one person on it, whose role has changed."""

    leg_id: UUID
    name: str | None
    """The leg's."""
    label: str
    speaker: str
    role: Role


@dataclass(frozen=True, slots=True)
class SpeakersChange:
    """What changed on a track: all of its speakers, and those segments that read differently now."""

    track_id: UUID
    revision: int
    speakers: tuple[Speaker, ...]
    segments: tuple[tuple[Assignment, Role], ...]
    own: OwnTrack | None = None
    """Of a track that is not mixed: its role and its leg's have changed with the speaker's."""


class SpeakerStore:
    """Reads and writes of who speaks. Every change counts the track's revision up by one."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of_track(self, track_id: UUID) -> list[Speaker]:
        """Return the speakers of a track by name."""
        return [Speaker(**row) for row in await self._pool.fetch(SPEAKERS_OF_TRACK, track_id)]

    async def of_call(self, call_id: UUID) -> list[asyncpg.Record]:
        """Return (track_id, speaker, role, source) of all mixed tracks of a call."""
        return await self._pool.fetch(SPEAKERS_OF_CALL, call_id)

    async def assign(
        self, track_id: UUID, assignments: Sequence[Assignment], guesses: Mapping[str, Role]
    ) -> SpeakersChange:
        """Store whose words are whose, and what role each speaker seems to have; a person's word stands.

        `guesses` names every speaker of the track that is left: any other is forgotten, unless a person named it.
        """
        said = [
            {"id": one.segment_id, "speaker": one.speaker, "words": list(one.words) if one.words else None}
            for one in assignments
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            revision = await connection.fetchval(NEXT_REVISION, track_id)  # and nobody else changes the track
            known = {row["speaker"]: Speaker(**row) for row in await connection.fetch(SPEAKERS_OF_TRACK, track_id)}
            wanted = {name: Speaker(name, role, "guess") for name, role in guesses.items()}
            wanted |= {name: one for name, one in known.items() if one.source == "person"}
            await connection.execute(ASSIGN, track_id, said, revision)
            return await _settle(connection, track_id, revision, known, wanted)

    async def correct(
        self, tenant_id: UUID, call_id: UUID, speaker: str, role: Role, *, track_id: UUID | None = None
    ) -> SpeakersChange | None:
        """Store what a person says of a speaker; None where the call has no such speaker.

        Raises AmbiguousSpeakerError where several tracks have one and `track_id` does not say which.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetch(FIND_SPEAKER, tenant_id, call_id, speaker, track_id)
            if len(found) > 1:
                raise AmbiguousSpeakerError(speaker)
            if not found:
                return None
            place = found[0]["track_id"]
            revision = await connection.fetchval(NEXT_REVISION, place)
            known = {row["speaker"]: Speaker(**row) for row in await connection.fetch(SPEAKERS_OF_TRACK, place)}
            wanted = {**known, speaker: Speaker(speaker, role, "person")}
            change = await _settle(connection, place, revision, known, wanted)
            track = await connection.fetchrow(CAST_TRACK, place, role)
            if track is None:
                return change
            name = await connection.fetchval(CAST_LEG, track["leg_id"], role)
            return replace(change, own=OwnTrack(name=name, role=role, **track))


async def _settle(
    connection: PoolConnectionProxy[asyncpg.Record],
    track_id: UUID,
    revision: int,
    known: Mapping[str, Speaker],
    wanted: dict[str, Speaker],
) -> SpeakersChange:
    """Write the speakers that differ, give their segments their roles, and return all that changed."""
    wanted = yield_to_people(wanted)
    for name, one in wanted.items():
        if known.get(name) != one:
            await connection.execute(PUT_SPEAKER, track_id, name, one.role, one.source)
    await connection.execute(FORGET, track_id, list(wanted))
    await connection.execute(CAST_ROLES, track_id, revision)
    rows = await connection.fetch(CHANGED, track_id, revision)
    return SpeakersChange(
        track_id,
        revision,
        tuple(wanted[name] for name in sorted(wanted)),
        tuple((Assignment(row["id"], row["speaker"], _speakers_of(row["words"])), row["role"]) for row in rows),
    )


def yield_to_people(speakers: Mapping[str, Speaker]) -> dict[str, Speaker]:
    """Return the speakers with no guess against what a person said.

    Of two, one of whom is known to be the agent or the customer, the other is the other. Among more, a guess that
    somebody else is known to be right about becomes `unknown`.
    """
    said = {one.role for one in speakers.values() if one.source == "person"} & {"agent", "customer"}
    settled = {}
    for name, one in speakers.items():
        role = one.role
        if one.source == "guess" and said:
            if len(speakers) == 2:
                role = "customer" if "agent" in said else "agent"
            elif role in said:
                role = "unknown"
        settled[name] = Speaker(name, role, one.source)
    return settled


def _speakers_of(words: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    names = tuple(word["speaker"] for word in words if "speaker" in word)
    return names if names and len(names) == len(words) else None


def change_to_json(change: SpeakersChange) -> dict[str, Any]:
    """Return a change as the event `speakers` tells it."""
    return {
        "track_id": change.track_id,
        "revision": change.revision,
        "speakers": [{"speaker": one.speaker, "role": one.role, "source": one.source} for one in change.speakers],
        "segments": [
            {
                "segment_id": said.segment_id,
                "speaker": said.speaker,
                "role": role,
                "words": list(said.words) if said.words else None,
            }
            for said, role in change.segments
        ],
    }


def change_key(change: SpeakersChange) -> str:
    """Return the name of the fact that the event tells."""
    return f"speakers:{change.track_id}:{change.revision}"


def own_track_events(call_id: UUID, change: SpeakersChange) -> list[Event]:
    """Return what else there is to tell where the track is one person's own."""
    own, key = change.own, change_key(change)
    if own is None:
        return []
    leg: dict[str, Any] = {"leg_id": own.leg_id, "role": own.role, "name": own.name}
    track: dict[str, Any] = {"track_id": change.track_id, "leg_id": own.leg_id, "role": own.role, "label": own.label}
    track |= {"speaker": own.speaker, "mixed": False}
    return [
        Event("leg.joined", call_id, msgspec.to_builtins(leg), key=f"{key}:leg"),
        Event("track.opened", call_id, msgspec.to_builtins(track), key=f"{key}:track"),
    ]
