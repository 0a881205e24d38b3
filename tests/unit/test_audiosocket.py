"""AudioSocket's packets."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.audiosocket import (
    AUDIO_KINDS,
    Audio,
    AudioSocketStream,
    Event,
    Failed,
    HungUp,
    Key,
    Opened,
    audio_packet,
    hang_up_packet,
    key_packet,
    uuid_packet,
)
from media_gateway.protocols.errors import ProtocolError

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
FRAME = bytes(range(160)) * 2


def opened() -> AudioSocketStream:
    stream = AudioSocketStream()
    assert stream.feed(uuid_packet(CALL)) == [Opened(CALL)]
    return stream


def test_a_call_from_its_uuid_to_its_end() -> None:
    stream = AudioSocketStream()
    sent = (
        uuid_packet(CALL) + audio_packet(FRAME, 8000) + key_packet("5") + audio_packet(FRAME, 8000) + hang_up_packet()
    )
    assert stream.feed(sent) == [Opened(CALL), Audio(FRAME, 8000), Key("5"), Audio(FRAME, 8000), HungUp()]


def test_what_asterisk_puts_on_the_wire() -> None:
    assert uuid_packet(CALL) == bytes.fromhex("010010 40325ec25efd4bd3805f53576e581d13")
    assert hang_up_packet() == bytes.fromhex("000000")
    assert key_packet("7") == bytes.fromhex("030001 37")
    assert audio_packet(b"foobar", 8000) == b"\x10\x00\x06foobar"
    assert audio_packet(FRAME, 8000)[:3] == bytes.fromhex("100140")


@pytest.mark.parametrize(("kind", "rate_hz"), AUDIO_KINDS.items())
def test_every_rate_has_its_kind(kind: int, rate_hz: int) -> None:
    packet = audio_packet(FRAME, rate_hz)
    assert packet[0] == kind
    assert opened().feed(packet) == [Audio(FRAME, rate_hz)]


def test_a_packet_may_come_in_any_pieces() -> None:
    stream, events = AudioSocketStream(), list[Event]()
    for byte in uuid_packet(CALL) + audio_packet(FRAME, 16000) + hang_up_packet():
        events += stream.feed(bytes((byte,)))
    assert events == [Opened(CALL), Audio(FRAME, 16000), HungUp()]


def test_errors_and_unknown_kinds() -> None:
    stream = opened()
    assert stream.feed(b"\xff\x00\x01\x02") == [Failed(2)]
    assert stream.feed(b"\xff\x00\x00") == [Failed(None)]
    assert stream.feed(b"\x02\x00\x06abcdef\x19\x00\x02xx\x10\x00\x00") == []
    assert stream.feed(key_packet("#") + b"\x03\x00\x01a" + b"\x03\x00\x01x" + b"\x03\x00\x02\x31\x32") == [
        Key("#"),
        Key("A"),
    ]


def test_after_the_end_there_is_nothing() -> None:
    stream = opened()
    assert stream.feed(hang_up_packet() + audio_packet(FRAME, 8000)) == [HungUp()]
    assert stream.feed(audio_packet(FRAME, 8000)) == []


@pytest.mark.parametrize(
    "first",
    [
        audio_packet(FRAME, 8000)[:3],
        hang_up_packet(),
        b"\x01\x00\x0f",
        b"\x01\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
    ],
)
def test_a_stranger_is_sent_away_at_its_first_bytes(first: bytes) -> None:
    with pytest.raises(ProtocolError):
        AudioSocketStream().feed(first)


def test_one_connection_is_one_call() -> None:
    with pytest.raises(ProtocolError, match="second UUID"):
        opened().feed(uuid_packet(CALL))


def test_what_does_not_fit_into_a_packet_is_not_sent() -> None:
    with pytest.raises(ValueError, match="not an AudioSocket packet"):
        audio_packet(bytes(65_536), 8000)
    with pytest.raises(ValueError, match="not an AudioSocket packet"):
        audio_packet(FRAME, 11_025)


@given(st.lists(st.binary(max_size=400)))
def test_whatever_comes_is_events_or_a_refusal(pieces: list[bytes]) -> None:
    stream = opened()
    try:
        for piece in pieces:
            stream.feed(piece)
    except ProtocolError:
        pass


@given(st.binary(max_size=2000), st.integers(1, 97))
def test_pieces_do_not_matter(data: bytes, size: int) -> None:
    data = data.replace(b"\x01", b"\x02")  # a second UUID ends it, early or late
    whole, parts = opened(), opened()
    events = whole.feed(data)
    assert [event for start in range(0, len(data), size) for event in parts.feed(data[start : start + size])] == events


def test_a_written_down_call() -> None:
    lines = (Path(__file__).parent.parent / "vectors" / "audiosocket" / "call.hex").read_text().splitlines()
    stream = AudioSocketStream()
    events = [event for line in lines if not line.startswith("#") for event in stream.feed(bytes.fromhex(line))]
    assert events == [
        Opened(CALL),
        Audio(b"\x01\x00" * 160, 8000),
        Key("7"),
        Audio(b"\x02\x00" * 320, 16000),
        Failed(2),
        HungUp(),
    ]
