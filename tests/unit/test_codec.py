"""The model as bytes: what goes in comes out, and what is not ours is refused with one kind of error."""

from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bus import codec
from infra.bus.codec import CallWork, CodecError, TrackWork
from infra.model import AudioChunk, Call, Event, EventType, Hole, Leg, Role, Track
from tests.parts import call_work, chunk, track_work

MS = st.integers(0, 2**53)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  they take a zone
HOLES = st.builds(Hole, MS, MS, TEXT)
CHUNKS = st.builds(
    AudioChunk,
    seq=st.integers(0, 2**63 - 1),
    start_ms=MS,
    pcm=st.binary(max_size=64),
    received_at_ms=MS,
    holes=st.lists(HOLES, max_size=3).map(tuple),
    last=st.booleans(),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.builds(
    Event, st.sampled_from(get_args(EventType)), st.uuids(), st.dictionaries(TEXT, JSON, max_size=4), at=MOMENTS
)
MAYBE = st.none() | TEXT
CALLS = st.builds(
    Call, st.uuids(), TEXT, TEXT, MOMENTS, MAYBE, MAYBE, MAYBE, st.none() | st.uuids(), st.uuids(), st.booleans()
)
LEGS = st.builds(Leg, st.uuids(), st.uuids(), st.sampled_from(get_args(Role)), MAYBE)
TRACKS = st.builds(Track, st.uuids(), st.uuids(), st.uuids(), TEXT)


def as_redis_returns(fields: dict[str, bytes | int]) -> dict[bytes, bytes]:
    return {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}


@given(CHUNKS)
def test_a_chunk_comes_out_as_it_went_in(sent: AudioChunk) -> None:
    assert codec.chunk_from_fields(as_redis_returns(codec.chunk_to_fields(sent))) == sent


@given(EVENTS, st.from_regex(r"[0-9]{1,13}-[0-9]{1,3}", fullmatch=True))
def test_an_event_comes_out_under_its_cursor(sent: Event, cursor: str) -> None:
    got = codec.event_from_bytes(cursor, codec.event_to_bytes(sent))
    assert (got.id, got.type, got.call_id, got.at, got.data) == (cursor, sent.type, sent.call_id, sent.at, sent.data)
    assert msgspec.json.decode(codec.event_to_json(got)) == {
        "id": cursor,
        "type": sent.type,
        "call_id": str(sent.call_id),
        "at": sent.at.isoformat().replace("+00:00", "Z"),
        "data": sent.data,
    }


@given(st.builds(TrackWork, CALLS, LEGS, TRACKS, TEXT, TEXT))
def test_an_announced_track_comes_out_as_it_went_in(sent: TrackWork) -> None:
    assert codec.track_work_from_bytes(codec.work_to_bytes(sent)) == sent
    assert codec.work_id(sent) == sent.track.id


@given(st.builds(CallWork, CALLS, TEXT))
def test_an_announced_call_comes_out_as_it_went_in(sent: CallWork) -> None:
    assert codec.call_work_from_bytes(codec.work_to_bytes(sent)) == sent
    assert codec.work_id(sent) == sent.call.id


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {b"v": b"0"},
        {b"v": b"2"},
        {b"v": b""},
        {b"seq": b"one"},
        {b"seq": b"\xff"},
        {b"seq": b"9" * 5000},
        {b"start_ms": b"1.5"},
        {b"at_ms": b""},
        {b"holes": b"{"},
        {b"holes": b'[[1, 2, "cause", 4]]'},
        {b"holes": b'[["1", 2, "cause"]]'},
        {b"holes": b'[[1, 2, "\xff"]]'},
        {b"pcm": None},
        {b"seq": None},
        {b"v": None},
    ],
    ids=repr,
)
def test_an_audio_entry_that_is_not_ours_is_refused(broken: dict[bytes, bytes | None]) -> None:
    whole = as_redis_returns(codec.chunk_to_fields(chunk(1, holes=(Hole(0, 200, "missing"),))))
    fields = {name: value for name, value in (whole | broken).items() if value is not None} if broken else {}
    with pytest.raises(CodecError, match=r"audio entry"):
        codec.chunk_from_fields(fields)


@given(
    st.dictionaries(st.sampled_from([b"v", b"seq", b"start_ms", b"at_ms", b"pcm", b"holes"]), st.binary(max_size=20))
)
def test_no_audio_entry_raises_anything_else(fields: dict[bytes, bytes]) -> None:
    try:
        codec.chunk_from_fields({b"v": codec.VERSION, **fields})
    except CodecError:
        pass


EVENT = codec.event_to_bytes(Event("lag", UUID(int=7), {"lag_ms": 1}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        EVENT[:-1],
        EVENT.replace(b'"lag"', b'"lagging"', 1),
        EVENT.replace(b'"call_id":"', b'"call_id":"x', 1),
        EVENT.replace(b'"at":"', b'"at":"x', 1),
        EVENT.replace(b'"data":{', b'"date":{', 1),
        b'{"type": "lag", "data": ' + b'{"a":' * 100_000,
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_an_event_that_is_not_ours_is_refused(raw: bytes) -> None:
    with pytest.raises(CodecError, match="1-0"):
        codec.event_from_bytes("1-0", raw)


@given(st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    for read in (codec.track_work_from_bytes, codec.call_work_from_bytes, partial(codec.event_from_bytes, "1-0")):
        with pytest.raises(CodecError):
            read(raw)


def test_fields_of_a_later_version_are_passed_over() -> None:
    event = msgspec.json.decode(EVENT)
    assert codec.event_from_bytes("1-0", msgspec.json.encode({**event, "mood": "new"})).data == {"lag_ms": 1}
    work = call_work()
    later: dict[str, Any] = msgspec.json.decode(codec.work_to_bytes(work))
    assert codec.call_work_from_bytes(msgspec.json.encode({**later, "priority": 3})) == work


def test_a_call_is_not_taken_for_a_track() -> None:
    with pytest.raises(CodecError):
        codec.track_work_from_bytes(codec.work_to_bytes(call_work()))
    assert codec.track_work_from_bytes(codec.work_to_bytes(track_work(role="supervisor"))).leg.role == "supervisor"
