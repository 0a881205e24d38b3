"""What chan_websocket says, and what it is told."""

from __future__ import annotations

import json

import pytest

from media_gateway.protocols.dialects.asterisk import Asterisk
from media_gateway.protocols.dialects.dialect import Codec, Flow, Handshake, Key, Media, Played, Start, Track
from media_gateway.protocols.errors import CloseCode, ProtocolError

PLAIN = (
    b"MEDIA_START connection_id:media_connection1 channel:WebSocket/media_connection1/0x5140001a0040"
    b" channel_id:1761245643.1 format:ulaw optimal_frame_size:160 ptime:20"
)
OLDER = (
    b"MEDIA_START connection_id:media_connection1 channel:WebSocket/media_connection1/0x51"
    b" format:slin16 optimal_frame_size:640"
)
JSON = json.dumps(
    {
        "event": "MEDIA_START",
        "connection_id": "media_connection1",
        "channel": "WebSocket/media_connection1/0x5140001a0040",
        "channel_id": "1761245643.1",
        "format": "ulaw",
        "optimal_frame_size": 160,
        "ptime": 20,
        "channel_variables": {"MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": "160"},
    }
).encode()


def started(first: bytes = PLAIN) -> Asterisk:
    stream = Asterisk(Handshake({}, {}, "media"))
    (start,) = stream.feed_text(first)
    assert isinstance(start, Start)
    return stream


def test_a_channel_is_a_caller() -> None:
    (start,) = Asterisk(Handshake()).feed_text(PLAIN)
    line = Codec("mulaw", 8000)
    assert start == Start("1761245643.1", line, (Track("channel", "customer"),), plays=line, answer=True)


def test_the_json_form_says_the_same_and_its_variables() -> None:
    (start,) = Asterisk(Handshake()).feed_text(JSON)
    assert isinstance(start, Start)
    assert (start.call_id, start.codec) == ("1761245643.1", Codec("mulaw", 8000))
    assert start.parameters == {"MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": "160"}


def test_without_an_id_the_channels_name_is_one() -> None:
    (start,) = Asterisk(Handshake()).feed_text(OLDER)
    assert isinstance(start, Start)
    assert start.call_id == "WebSocket/media_connection1/0x51"
    assert start.codec == Codec("l16le", 16000)


def test_each_is_answered_in_its_own_form() -> None:
    plain, as_json = started(PLAIN), started(JSON)
    assert (*plain.started(), *(plain.mark("m1") or ()), *plain.clear(), *plain.hang_up()) == (
        "ANSWER",
        "STOP_MEDIA_BUFFERING m1",
        "REPORT_QUEUE_DRAINED",
        "FLUSH_MEDIA",
        "HANGUP",
    )
    said = (*as_json.started(), *(as_json.mark("m1") or ()), *as_json.clear(), *as_json.hang_up())
    assert [json.loads(message) for message in said] == [
        {"command": "ANSWER"},
        {"command": "STOP_MEDIA_BUFFERING", "correlation_id": "m1"},
        {"command": "REPORT_QUEUE_DRAINED"},
        {"command": "FLUSH_MEDIA"},
        {"command": "HANGUP"},
    ]
    assert all(len(message) <= 128 for message in said)


def test_audio_goes_both_ways_as_it_is() -> None:
    stream = started()
    assert stream.feed_binary(bytes(160)) == (Media("channel", bytes(160)),)
    assert stream.media(bytes(160)) == (bytes(160),)


@pytest.mark.parametrize("report", [b"MEDIA_BUFFERING_COMPLETED m1", b"MEDIA_MARK_PROCESSED m1"])
def test_a_mark_comes_back_once(report: bytes) -> None:
    stream = started()
    stream.mark("m1")
    assert stream.feed_text(report) == (Played("m1"),)
    assert stream.feed_text(report) == ()


def test_marks_that_were_thrown_away_come_back_when_the_queue_is_empty() -> None:
    stream = started(JSON)
    stream.mark("m1")
    stream.mark("m2")
    stream.clear()
    stream.mark("m3")
    assert stream.feed_text(b'{"event":"QUEUE_DRAINED","channel_id":"1"}') == (Played("m1"), Played("m2"))
    assert stream.feed_text(b'{"event":"QUEUE_DRAINED","channel_id":"1"}') == ()
    done = b'{"event":"MEDIA_BUFFERING_COMPLETED","channel_id":"1","correlation_id":"m3"}'
    assert stream.feed_text(done) == (Played("m3"),)


def test_flow_control_and_keys() -> None:
    stream = started()
    assert stream.feed_text(b"MEDIA_XOFF") == (Flow(may_send=False),)
    assert stream.feed_text(b"MEDIA_XON") == (Flow(may_send=True),)
    assert stream.feed_text(b"DTMF_END digit:# channel_id:1761245643.1") == (Key("#"),)
    assert stream.feed_text(b"DTMF_END digit:5") == (Key("5"),)
    assert started(JSON).feed_text(b'{"event":"DTMF_END","channel_id":"1","digit":"A"}') == (Key("A"),)


def test_what_later_versions_say_is_harmless() -> None:
    stream = started()
    status = b"STATUS queue_length:43 xon_level:800 xoff_level:900 queue_full:false bulk_media:true media_paused:false"
    for harmless in (
        status,
        b"ERROR channel_id:1 error_text:no such thing",
        b"NEW",
        b"NEW : a:b:c",
        b'{"event":"NEW"}',
    ):
        assert stream.feed_text(harmless) == ()


def test_frames_of_another_length_are_cut_by_asterisk() -> None:
    stream = started(PLAIN.replace(b":160 ", b":240 "))
    assert stream.started() == ("ANSWER", "START_MEDIA_BUFFERING")
    assert stream.mark("m") == ("STOP_MEDIA_BUFFERING m", "START_MEDIA_BUFFERING")
    assert stream.clear() == ("REPORT_QUEUE_DRAINED", "FLUSH_MEDIA", "START_MEDIA_BUFFERING")


def test_opus_passes_through_so_nothing_can_be_asked_of_the_queue() -> None:
    stream = started(PLAIN.replace(b"ulaw", b"opus").replace(b":160", b":0"))
    assert (stream.started(), stream.clear(), stream.mark("m")) == (("ANSWER",), (), None)


@pytest.mark.parametrize(
    ("name", "frame_bytes", "codec"),
    [
        ("alaw", 160, Codec("alaw", 8000)),
        ("slin", 320, Codec("l16le", 8000)),
        ("slin48", 1920, Codec("l16le", 48000)),
        ("g722", 160, Codec("g722", 16000)),
    ],
)
def test_formats(name: str, frame_bytes: int, codec: Codec) -> None:
    stream = Asterisk(Handshake())
    first = f"MEDIA_START connection_id:c channel:d format:{name} optimal_frame_size:{frame_bytes}"
    (start,) = stream.feed_text(first.encode())
    assert isinstance(start, Start)
    assert start.codec == codec
    assert stream.started() == ("ANSWER",)


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        (b"", CloseCode.INVALID, "bad-message"),
        (b"\xff", CloseCode.INVALID, "bad-message"),
        (b"{", CloseCode.INVALID, "bad-json"),
        (b'{"event":1}', CloseCode.INVALID, "bad-message"),
        (b"MEDIA_START", CloseCode.INVALID, "bad-start"),
        (b"MEDIA_START channel:c format:g729", CloseCode.UNSUPPORTED, "unsupported-audio"),
        (b"MEDIA_START channel:" + b"c" * 201, CloseCode.INVALID, "bad-start"),
    ],
)
def test_what_cannot_be_used_is_refused(first: bytes, code: CloseCode, reason: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        Asterisk(Handshake()).feed_text(first)
    assert (refusal.value.code, refusal.value.reason) == (code, reason)


def test_order_matters() -> None:
    with pytest.raises(ProtocolError, match="media before start"):
        Asterisk(Handshake()).feed_binary(bytes(160))
    assert Asterisk(Handshake()).feed_text(b"MEDIA_XON") == ()
    with pytest.raises(ProtocolError, match="start twice"):
        started().feed_text(PLAIN)
