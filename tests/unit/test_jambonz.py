"""What jambonz says, and what it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from media_gateway.protocols.dialects.dialect import Codec, Handshake, Key, Media, Played, Start, Track
from media_gateway.protocols.dialects.jambonz import Jambonz
from media_gateway.protocols.errors import CloseCode, ProtocolError

CALL = {
    "callSid": "b5ef6d6c-3f5a-4b3f-9b69-6e9c0f1e7a10",
    "direction": "inbound",
    "from": "+15550100",
    "to": "+15550199",
    "callId": "7e3f@sip",
    "callStatus": "in-progress",
    "accountSid": "bed525b4",
    "applicationSid": "0e0681b0",
    "sampleRate": 8000,
    "mixType": "mono",
}


def text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def started(query: dict[str, str] | None = None, **more: Any) -> tuple[Jambonz, Start]:
    stream = Jambonz(Handshake(query or {}, {}, "audio.jambonz.org"))
    (start,) = stream.feed_text(text(**{**CALL, **more}))
    assert isinstance(start, Start)
    return stream, start


def test_a_single_track_is_a_caller_to_talk_with() -> None:
    _, start = started()
    line = Codec("l16le", 8000)
    assert start == Start(
        call_id=str(CALL["callSid"]),
        codec=line,
        tracks=(Track("mono", "customer"),),
        from_number="+15550100",
        to_number="+15550199",
        plays=line,
        answer=True,
    )


def test_two_tracks_and_a_mix_are_only_listened_to() -> None:
    stream, stereo = started(mixType="stereo", sampleRate=16000)
    assert stereo.tracks == (Track("left", "customer"), Track("right", "agent"))
    assert (stereo.plays, stereo.answer, stereo.codec.rate_hz) == (None, False, 16000)
    assert stream.feed_binary(b"LlRrLlRr") == (Media("left", b"LlLl"), Media("right", b"RrRr"))
    _, mixed = started(mixType="mixed")
    assert mixed.tracks == (Track("mixed", "unknown", mixed=True),)
    assert (mixed.plays, mixed.answer) == (None, False)


@pytest.mark.parametrize(
    ("query", "metadata", "rate_hz"),
    [
        ({}, {}, 8000),
        ({}, {"plays_rate": 16000}, 16000),
        ({"plays_rate": "24000"}, {"plays_rate": "16000"}, 24000),
        ({}, {"metadata": {"plays_rate": "48000"}}, 48000),
    ],
)
def test_what_we_send_may_have_another_rate(query: dict[str, str], metadata: dict[str, Any], rate_hz: int) -> None:
    _, start = started(query, **metadata)
    assert start.plays == Codec("l16le", rate_hz)
    assert start.codec == Codec("l16le", 8000)


def test_the_verbs_metadata_comes_along_however_it_is_written() -> None:
    for given in ({"answer": False, "customer": 7}, {"metadata": {"answer": False, "customer": 7}}):
        _, start = started(**given)
        assert start.parameters == {"answer": "false", "customer": "7"}


def test_audio_keys_and_marks() -> None:
    stream, _ = started()
    assert stream.feed_binary(bytes(320)) == (Media("mono", bytes(320)),)
    assert stream.feed_text(text(event="dtmf", dtmf="2", duration="1600")) == (Key("2"),)
    assert stream.feed_text(text(event="dtmf", dtmf="hash")) == ()
    for event in ("playout", "cleared"):
        assert stream.feed_text(text(type="mark", data={"name": "m1", "event": event})) == (Played("m1"),)
    for harmless in (text(type="playDone"), text(), text(type="mark"), text(event="new", x=[1])):
        assert stream.feed_text(harmless) == ()


def test_what_jambonz_is_told() -> None:
    stream, _ = started()
    assert stream.started() == ()
    assert stream.media(b"\x01\x02") == (b"\x01\x02",)
    said = [*stream.clear(), *stream.mark("m1"), *stream.hang_up()]
    assert [json.loads(message) for message in said] == [
        {"type": "killAudio"},
        {"type": "mark", "data": {"name": "m1"}},
        {"type": "disconnect"},
    ]


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        (b"hello", CloseCode.INVALID, "bad-json"),
        (b"[]", CloseCode.INVALID, "bad-message"),
        (text(sampleRate=8000), CloseCode.INVALID, "bad-message"),
        (text(**{**CALL, "callSid": " "}), CloseCode.INVALID, "bad-start"),
        (text(**{**CALL, "callSid": "x" * 201}), CloseCode.INVALID, "bad-start"),
        (text(**{**CALL, "mixType": "quadro"}), CloseCode.UNSUPPORTED, "unsupported-audio"),
        (text(**{**CALL, "sampleRate": 1}), CloseCode.UNSUPPORTED, "unsupported-audio"),
        (b'{"callSid":' * 100_000, CloseCode.INVALID, "bad-json"),
    ],
)
def test_a_start_that_cannot_be_used_is_refused(first: bytes, code: CloseCode, reason: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        Jambonz(Handshake()).feed_text(first)
    assert (refusal.value.code, refusal.value.reason) == (code, reason)


def test_audio_before_the_start_is_refused() -> None:
    with pytest.raises(ProtocolError) as refusal:
        Jambonz(Handshake()).feed_binary(bytes(320))
    assert refusal.value.reason == "media-before-start"
