"""The Media Streams protocol against real and broken messages."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from media_gateway.protocols.errors import ProtocolError
from media_gateway.protocols.twilio import (
    Connected,
    Dtmf,
    Mark,
    Media,
    Other,
    Start,
    Stop,
    TwilioStream,
    clear_message,
    mark_message,
    media_message,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "twilio"
MALFORMED = [json.loads(line) for line in (VECTORS / "malformed.jsonl").read_text().splitlines()]


def lines(name: str) -> list[bytes]:
    return (VECTORS / name).read_bytes().splitlines()


def test_a_recorded_stream_comes_out_as_it_was_sent() -> None:
    stream = TwilioStream()
    events = [stream.feed(line) for line in lines("inbound.jsonl")]

    assert events[0] == Connected("1.0.0")
    start = events[1]
    assert isinstance(start, Start)
    assert start.tracks == ("inbound",)
    assert start.media_format.encoding == "audio/x-mulaw"
    assert start.media_format.sample_rate == 8000
    assert start.parameters == {"caller": "+15550100"}
    assert start.stream_sid == stream.stream_sid
    media = [event for event in events if isinstance(event, Media)]
    assert [frame.timestamp for frame in media] == [155 + 20 * index for index in range(60)]
    assert {len(frame.payload) for frame in media} == {160}
    assert isinstance(events[-1], Stop)


def test_numbers_extra_fields_and_unknown_events_are_welcome() -> None:
    stream = TwilioStream()
    events = [stream.feed(line.decode()) for line in lines("both_tracks.jsonl")]

    media = [event for event in events if isinstance(event, Media)]
    assert [frame.track for frame in media[:4]] == ["inbound", "outbound", "inbound", "outbound"]
    assert media[0].timestamp == 5
    assert Dtmf(digit="1", track="inbound_track") in events
    assert Mark("greeting") in events
    assert any(isinstance(event, Other) for event in events)


@pytest.mark.parametrize("case", MALFORMED, ids=[case["name"] for case in MALFORMED])
def test_what_breaks_the_protocol_is_refused(case: dict[str, object]) -> None:
    stream = TwilioStream()
    before, message = case["before"], case["message"]
    assert isinstance(before, list)
    assert isinstance(message, str)
    for earlier in before:
        stream.feed(earlier)

    with pytest.raises(ProtocolError) as caught:
        stream.feed(message.encode())

    assert (caught.value.code, caught.value.reason) == (case["code"], case["reason"])
    assert str(caught.value).isascii()
    assert len(str(caught.value)) <= 123


def test_both_tracks_is_two_tracks() -> None:
    start = TwilioStream().feed(
        b'{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","tracks":["both_tracks"]}}'
    )

    assert isinstance(start, Start)
    assert start.tracks == ("inbound", "outbound")


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        TwilioStream().feed(b'{"event":"x","q":' + b"[" * 60_000)

    assert caught.value.reason == "bad-json"


def test_no_mutation_of_a_message_raises_anything_else() -> None:
    chance = random.Random(7)
    originals = lines("both_tracks.jsonl")
    for _ in range(20_000):
        stream = TwilioStream()
        stream.feed(originals[1])
        message = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            message[chance.randrange(len(message))] = chance.randrange(256)
        try:
            stream.feed(bytes(message))
        except ProtocolError as error:
            assert 1003 <= error.code <= 1008  # noqa: PT017


def test_what_we_send_is_what_twilio_reads() -> None:
    assert json.loads(media_message("MZ1", b"\xff\x00")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "/wA="},
    }
    assert json.loads(mark_message("MZ1", "a")) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "a"}}
    assert json.loads(clear_message("MZ1")) == {"event": "clear", "streamSid": "MZ1"}
