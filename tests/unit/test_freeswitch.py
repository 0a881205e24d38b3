"""What FreeSWITCH's modules say, and what they are told."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from media_gateway.protocols.dialects.dialect import Codec, Handshake, Key, Media, Start, Track
from media_gateway.protocols.dialects.freeswitch import Freeswitch
from media_gateway.protocols.errors import ProtocolError

ID = "7dd5e34e-5db4-4edb-a166-757e5d29b941"


def text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def started(first: bytes, subprotocol: str | None = None, **query: str) -> tuple[Freeswitch, Start]:
    stream = Freeswitch(Handshake(query, {}, subprotocol))
    (start,) = stream.feed_text(first)
    assert isinstance(start, Start)
    return stream, start


def test_everything_may_be_in_the_metadata() -> None:
    stream, start = started(
        text(callid=ID, mixType="stereo", sampleRate="16k", **{"from": "6173333456"}, to=2061236666)
    )
    assert start.call_id == ID
    assert start.tracks == (Track("left", "customer"), Track("right", "agent"))
    assert start.codec == Codec("l16le", 16000)
    assert (start.from_number, start.to_number) == ("6173333456", "2061236666")
    assert (start.plays, start.answer) == (None, False)
    assert stream.feed_binary(b"LlRr" * 4) == (Media("left", b"Ll" * 4), Media("right", b"Rr" * 4))


def test_everything_may_be_in_the_address() -> None:
    _, start = started(b"any text at all", call=ID, rate="16000", mix="mixed", to="+15550199")
    assert (start.call_id, start.to_number, start.codec.rate_hz) == (ID, "+15550199", 16000)
    assert start.tracks == (Track("mixed", "unknown", mixed=True),)


def test_there_may_be_no_text_at_all() -> None:
    stream = Freeswitch(Handshake({"call": ID}))
    start, media = stream.feed_binary(bytes(320))
    assert isinstance(start, Start)
    assert (start.call_id, start.codec, start.tracks) == (ID, Codec("l16le", 8000), (Track("mono", "customer"),))
    assert media == Media("mono", bytes(320))
    assert stream.feed_binary(bytes(1600)) == (Media("mono", bytes(1600)),)


def test_a_call_may_have_no_name() -> None:
    _, start = started(b"hello")
    assert start.call_id == ""


def test_the_address_says_it_last() -> None:
    _, start = started(text(uuid="metadata", rate="16k", token="x"), call=ID, rate="8k", token="secret")
    assert (start.call_id, start.codec.rate_hz) == (ID, 8000)
    assert "secret" not in str(start)


def test_freeswitchs_own_names_are_known() -> None:
    names = {
        "Unique-ID": ID,
        "Caller-Caller-ID-Number": "1000",
        "Caller-Destination-Number": "2000",
    }
    _, start = started(text(**names))
    assert (start.call_id, start.from_number, start.to_number) == (ID, "1000", "2000")


def test_a_caller_is_put_through_only_where_our_audio_is_played() -> None:
    stream, start = started(text(call=ID, plays="raw"))
    assert (start.plays, start.answer) == (Codec("l16le", 8000), True)
    assert stream.media(b"\x01\x02") == (b"\x01\x02",)
    assert (stream.clear(), stream.mark("m"), stream.hang_up()) == ((), None, ())
    _, stereo = started(text(call=ID, plays="raw", mix="stereo"))
    assert (stereo.plays, stereo.answer) == (None, False)


def test_audio_goes_back_in_json_if_asked_for() -> None:
    stream, start = started(text(call=ID), plays="json", plays_rate="16k")
    assert start.plays == Codec("l16le", 16000)
    (message,) = stream.media(b"\x01\x02\x03\x04")
    assert isinstance(message, str)
    body = json.loads(message)
    assert body["type"] == "streamAudio"
    assert (body["data"]["audioDataType"], body["data"]["sampleRate"]) == ("raw", 16000)
    assert b64decode(body["data"]["audioData"]) == b"\x01\x02\x03\x04"


def test_mod_audio_fork_is_told_to_stop() -> None:
    stream, _ = started(text(call=ID, plays="raw"), "audio.drachtio.org")
    assert [json.loads(message) for message in (*stream.clear(), *stream.hang_up())] == [
        {"type": "killAudio"},
        {"type": "disconnect"},
    ]


def test_send_text_brings_keys_and_whatever_else() -> None:
    stream, _ = started(text(call=ID))
    assert stream.feed_text(text(event="dtmf", dtmf="5")) == (Key("5"),)
    assert stream.feed_text(text(digit=5)) == (Key("5"),)
    for harmless in (b"bye", b"\xff\xfe", b"[1]", text(dtmf=None), text(hello="there")):
        assert stream.feed_text(harmless) == ()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"call": "x" * 201}, "bad-start"),
        ({"call": ID, "mix": "left"}, "unsupported-audio"),
        ({"call": ID, "rate": "fast"}, "unsupported-audio"),
        ({"call": ID, "rate": "1"}, "unsupported-audio"),
        ({"call": ID, "plays": "file"}, "unsupported-audio"),
        ({"call": ID, "plays": "raw", "plays_rate": "-1"}, "unsupported-audio"),
    ],
)
def test_what_cannot_be_used_is_refused(query: dict[str, str], reason: str) -> None:
    for feed in (Freeswitch(Handshake(query)).feed_binary, Freeswitch(Handshake(query)).feed_text):
        with pytest.raises(ProtocolError) as refusal:
            feed(bytes(320))
        assert refusal.value.reason == reason
