"""The capture socket's messages."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from typing import Any

import pytest

from media_gateway.protocols.capture import (
    Audio,
    CaptureStream,
    Other,
    Repeated,
    Start,
    Stop,
    WireFormat,
    error_message,
    started_message,
    stopped_message,
)
from media_gateway.protocols.errors import ProtocolError

START = {"call_id": "demo-1", "agent_id": "ann", "action": "start"}


def text(**fields: Any) -> str:
    return json.dumps(fields)


def chunk(index: int | None, data: bytes = b"", **more: Any) -> str:
    data = data or bytes([(index or 0) % 256]) * 3200
    fields = {
        "type": "audio_chunk",
        "audio_data": b64encode(data).decode(),
        "chunk_index": index,
        "timestamp": 1,
        "format": "pcm",
        "sample_rate": 16000,
        "channels": 1,
    }
    return text(**{**fields, **more})


def started(**more: Any) -> CaptureStream:
    stream = CaptureStream()
    stream.feed_text(text(**START, **more))
    return stream


def missing(events: list[Any]) -> list[int | None]:
    return [event.missing_ms if isinstance(event, Audio) else None for event in events]


def test_a_start_names_the_call() -> None:
    stream = CaptureStream()
    assert stream.feed_text(text(**START)) == Start("demo-1", "ann", None, None, mixed=True)
    assert stream.wire_format == WireFormat("audio/l16", 16_000, 1)


def test_a_start_may_say_more() -> None:
    stream = CaptureStream()
    event = stream.feed_text(
        text(type="start", call_id=7, agent_id=12, role="customer", sample_rate="48000", channels=2, format="PCM", x=1)
    )
    assert event == Start("7", "12", "customer", None, mixed=False)
    assert stream.wire_format == WireFormat("audio/l16", 48_000, 2)


@pytest.mark.parametrize(
    ("said", "mixed"),
    [
        ({}, True),
        ({"mixed": False}, False),
        ({"channels": 2}, False),
        ({"channels": 2, "mixed": True}, True),
        ({"role": "unknown"}, True),
        ({"role": "agent"}, False),
        ({"role": "agent", "mixed": True}, True),
    ],
)
def test_one_microphone_that_is_nobodys_own_may_hear_several_people(said: dict[str, Any], mixed: bool) -> None:
    start = CaptureStream().feed_text(text(**START, **said))
    assert isinstance(start, Start)
    assert start.mixed is mixed


def test_binary_is_audio_in_the_format_of_the_start() -> None:
    stream = started(sample_rate=8000, format="mulaw")
    assert stream.feed_binary(b"\xff" * 160) == Audio(b"\xff" * 160, WireFormat("audio/x-mulaw", 8000, 1))


def test_chunks_may_change_their_rate() -> None:
    stream = started()
    assert stream.feed_text(chunk(0, b"1234", sample_rate=8000)) == Audio(b"1234", WireFormat("audio/l16", 8000, 1))
    assert stream.feed_text(chunk(1, b"12", sample_rate=None)) == Audio(b"12", WireFormat("audio/l16", 16_000, 1))


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([0, 1, 2], [0, 0, 0]),
        ([57, 58], [0, 0]),  # the first one sets the count
        ([0, 1, 1, 2, 0], [0, 0, None, 0, None]),  # twice
        ([0, 1, 4, 5], [0, 0, 200, 0]),  # two of 100 ms are missing
        ([0, 3, 1, 2, 4], [0, 200, None, None, 0]),  # late ones were given up
        ([0, 1, 10**12, 10**12 + 1], [0, 0, 0, 0]),  # a new count, not a year of silence
        ([None, None, 3, None], [0, 0, 0, 0]),
    ],
)
def test_the_index_tells_what_is_missing(indices: list[int | None], expected: list[int | None]) -> None:
    stream = started()
    assert missing([stream.feed_text(chunk(index)) for index in indices]) == expected


def test_a_page_that_counts_anew_is_heard() -> None:
    stream = started()
    for index in range(200):
        stream.feed_text(chunk(index))
    assert missing([stream.feed_text(chunk(index)) for index in range(3)]) == [0, 0, 0]


def test_other_audio_under_a_known_index_is_heard() -> None:
    stream = started()
    first = [stream.feed_text(chunk(index, bytes([1, index]) * 100)) for index in range(3)]
    again = [stream.feed_text(chunk(index, bytes([2, index]) * 100)) for index in range(3)]
    assert not any(isinstance(event, Repeated) for event in first + again)


def test_stop_and_words_that_nobody_knows() -> None:
    stream = started()
    assert stream.feed_text(text(type="ping")) == Other()
    assert stream.feed_text(text(action="stop")) == Stop()


@pytest.mark.parametrize(
    ("before", "message", "code", "reason"),
    [
        ([], "{", 1007, "bad-json"),
        ([], "[]", 1007, "bad-message"),
        ([], text(action="start"), 1007, "bad-start"),
        ([], text(action="start", call_id="  "), 1007, "bad-start"),
        ([], text(action="start", call_id="x" * 201), 1007, "bad-start"),
        ([], text(**START, sample_rate=1), 1007, "bad-message"),
        ([], text(**START, channels=9), 1007, "bad-message"),
        ([], text(**START, role="king"), 1007, "bad-message"),
        ([], text(**START, format="opus"), 1003, "unsupported-audio"),
        ([], chunk(0), 1008, "audio-outside-stream"),
        ([], text(action="stop"), 1008, "stop-outside-stream"),
        ([text(**START)], text(**START), 1008, "start-twice"),
        ([text(**START)], chunk(0, audio_data="A"), 1007, "bad-base64"),
        ([text(**START)], chunk(0, chunk_index=-1), 1007, "bad-message"),
        ([text(**START)], chunk(0, chunk_index=2**60), 1007, "bad-message"),
        ([text(**START), text(action="stop")], chunk(0), 1008, "audio-outside-stream"),
    ],
)
def test_what_breaks_the_protocol_is_refused(before: list[str], message: str, code: int, reason: str) -> None:
    stream = CaptureStream()
    for earlier in before:
        stream.feed_text(earlier)
    with pytest.raises(ProtocolError) as caught:
        stream.feed_text(message)
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_binary_before_start_is_refused() -> None:
    with pytest.raises(ProtocolError, match="before start"):
        CaptureStream().feed_binary(b"12")


def test_no_mutation_of_a_message_raises_anything_else() -> None:
    chance = random.Random(11)
    originals = [chunk(3, b"abcd").encode(), text(**START, sample_rate=16000).encode(), text(action="stop").encode()]
    for _ in range(10_000):
        stream = started() if chance.random() < 0.7 else CaptureStream()
        message = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            message[chance.randrange(len(message))] = chance.randrange(256)
        try:
            stream.feed_text(bytes(message))
        except ProtocolError as error:
            assert 1003 <= error.code <= 1008  # noqa: PT017


def test_the_answers() -> None:
    assert json.loads(started_message(call_id="c", track_id="t")) == {
        "type": "started",
        "call_id": "c",
        "track_id": "t",
    }
    assert json.loads(stopped_message(call_id="c")) == {"type": "stopped", "call_id": "c"}
    assert json.loads(error_message("x", "y")) == {"type": "error", "code": "x", "message": "y"}
