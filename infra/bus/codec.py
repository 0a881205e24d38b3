"""How the model looks inside Redis: bytes with a version, decoded straight into the dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from infra.model import AudioChunk, Call, Event, Hole, Leg, Track

VERSION: Final = b"1"


class CodecError(ValueError):
    """An entry that is not ours, or of a version this code does not know."""


class TrackWork(msgspec.Struct, frozen=True):
    """What an ASR worker needs in order to own a track."""

    call: Call
    leg: Leg
    track: Track
    speaker: str
    gateway_id: str


class CallWork(msgspec.Struct, frozen=True):
    """What an insight worker needs in order to own a call."""

    call: Call
    gateway_id: str
    anew: bool = False
    """Its roles have changed since its insights were final."""


WorkItem = TrackWork | CallWork
_Item = TypeVar("_Item", TrackWork, CallWork)

_holes = msgspec.json.Decoder(tuple[tuple[int, int, str], ...])
_event = msgspec.json.Decoder(dict[str, Any])


def chunk_to_fields(chunk: AudioChunk) -> dict[str, bytes | int]:
    """Return the stream entry of a chunk."""
    fields: dict[str, bytes | int] = {
        "v": VERSION,
        "seq": chunk.seq,
        "start_ms": chunk.start_ms,
        "at_ms": chunk.received_at_ms,
        "pcm": chunk.pcm,
    }
    if chunk.holes:
        fields["holes"] = msgspec.json.encode([(h.start_ms, h.end_ms, h.cause) for h in chunk.holes])
    if chunk.last:
        fields["last"] = 1
    return fields


def chunk_from_fields(fields: Mapping[bytes, bytes]) -> AudioChunk:
    """Return the chunk of a stream entry; raise CodecError when it is malformed."""
    try:
        if fields[b"v"] != VERSION:
            raise CodecError(f"audio entry of version {fields[b'v']!r}")
        return AudioChunk(
            seq=int(fields[b"seq"]),
            start_ms=int(fields[b"start_ms"]),
            received_at_ms=int(fields[b"at_ms"]),
            pcm=fields[b"pcm"],
            holes=tuple(Hole(*hole) for hole in _holes.decode(fields.get(b"holes", b"[]"))),
            last=b"last" in fields,
        )
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise CodecError(f"malformed audio entry: {error}") from error


def event_to_bytes(event: Event) -> bytes:
    """Return the event's JSON without its id, which the stream gives it."""
    return msgspec.json.encode({"type": event.type, "call_id": event.call_id, "at": event.at, "data": event.data})


def event_from_bytes(event_id: str, raw: bytes) -> Event:
    """Return the event stored under `event_id`; raise CodecError when it is malformed."""
    try:
        return msgspec.convert({**_event.decode(raw), "id": event_id}, Event)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CodecError(f"malformed event {event_id}: {error}") from error


def event_to_json(event: Event) -> bytes:
    """Return the event as it goes out on a WebSocket (CONTRACT: Events)."""
    return msgspec.json.encode(
        {
            "id": event.id,
            "type": event.type,
            "call_id": event.call_id,
            "at": event.at,
            "data": event.data,
        }
    )


def work_to_bytes(item: WorkItem) -> bytes:
    """Return the announcement of a track or a call."""
    return msgspec.json.encode(item)


def track_work_from_bytes(raw: bytes) -> TrackWork:
    """Return the announced track; raise CodecError when it is malformed."""
    return _work(raw, TrackWork)


def call_work_from_bytes(raw: bytes) -> CallWork:
    """Return the announced call; raise CodecError when it is malformed."""
    return _work(raw, CallWork)


def _work(raw: bytes, kind: type[_Item]) -> _Item:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise CodecError(f"malformed work item: {error}") from error


def work_id(item: WorkItem) -> UUID:
    """Return the id of the track or the call that the item announces."""
    return item.track.id if isinstance(item, TrackWork) else item.call.id
