"""Messages out of a stream, whatever pieces it comes in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.sip.stream import PING, PONG, StreamReader
from tests.unit.sip_ladder import OFFER, Caller

CALL = Caller().request("INVITE", body=OFFER)
BARE = Caller().request("OPTIONS")
FOLDED = CALL.replace(b"Content-Length: ", b"l \t:\r\n  ")
FLOWING = CALL + PING + BARE + PONG + FOLDED + PING + PING + BARE
MESSAGES = [CALL, BARE, FOLDED, BARE]


def read(reader: StreamReader, pieces: list[bytes]) -> list[bytes]:
    return [found for piece in pieces for found in reader.feed(piece)]


def test_in_one_piece() -> None:
    found = StreamReader().feed(FLOWING)
    assert [piece for piece in found if piece.strip()] == MESSAGES
    assert found.count(PING) == 3


@given(st.lists(st.integers(0, len(FLOWING)), max_size=30))
def test_in_any_pieces(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(FLOWING)]
    reader = StreamReader()
    found = read(reader, [FLOWING[a:b] for a, b in itertools.pairwise(marks)])
    assert [piece for piece in found if piece.strip()] == MESSAGES
    assert found.count(PING) == 3
    assert reader.broken is None
    assert not reader.is_inside_message


def test_byte_by_byte() -> None:
    found = read(StreamReader(), [bytes([byte]) for byte in FLOWING])
    assert [piece for piece in found if piece.strip()] == MESSAGES


def test_a_message_without_a_length_has_no_body() -> None:
    without = BARE.replace(b"Content-Length: 0\r\n", b"")
    assert StreamReader().feed(without + BARE) == [without, BARE]


def test_a_half_message_is_known() -> None:
    reader = StreamReader()
    assert reader.feed(CALL[:-1]) == []
    assert reader.is_inside_message
    assert reader.feed(CALL[-1:]) == [CALL]
    assert not reader.is_inside_message


@pytest.mark.parametrize(
    "data",
    [
        BARE.replace(b"Content-Length: 0", b"Content-Length: x"),
        BARE.replace(b"Content-Length: 0", b"Content-Length: 0\r\nl: 1"),
        BARE.replace(b"Content-Length: 0", b"Content-Length: 70000"),
        BARE.replace(b"Content-Length: 0", b"Content-Length: 99999999999999999999"),
        BARE.replace(b"Content-Length: 0", b"Content-Length: -1"),
        b"\rOPTIONS",
        b"\nOPTIONS",
        b"x" * 70_000,
    ],
    ids=["word", "two", "large", "huge", "negative", "CR", "LF", "endless"],
)
def test_a_stream_that_cannot_be_cut_is_broken_for_good(data: bytes) -> None:
    reader = StreamReader()
    assert reader.feed(BARE + data) == [BARE]
    assert reader.broken is not None
    assert reader.feed(BARE) == []


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\n", CALL, b"Content-Length: 9\r\n\r\n"]), max_size=20))
def test_nothing_that_comes_raises(pieces: list[bytes]) -> None:
    reader = StreamReader(max_bytes=1000)
    read(reader, pieces)
    assert len(reader._buffer) <= 1000 + 500
