"""An AudioHook session, message by message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from media_gateway.protocols.dialects.audiohook import Audiohook
from media_gateway.protocols.dialects.dialect import (
    Codec,
    Handshake,
    Held,
    Media,
    Message,
    Resumed,
    Send,
    Start,
    Stop,
    Track,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
SESSION = "e160e428-53e2-487c-977d-96989bf5c99d"
CONVERSATION = "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
NOBODY = "00000000-0000-0000-0000-000000000000"


def offer(*channels: str, form: str = "PCMU", rate: int = 8000) -> dict[str, Any]:
    return {"type": "audio", "format": form, "channels": list(channels), "rate": rate}


OFFERS = [offer("external", "internal"), offer("external"), offer("internal")]
OPEN: dict[str, Any] = {
    "organizationId": ORGANIZATION,
    "conversationId": CONVERSATION,
    "participant": {
        "id": "883efee8-3d6c-4537-b500-6d7ca4b92fa0",
        "ani": "+1-555-555-1234",
        "aniName": "John Doe",
        "dnis": "+1-800-555-6789",
    },
    "media": OFFERS,
    "language": "en-US",
}


class Client:
    """Genesys' side: numbers its messages, knows ours."""

    def __init__(self, **headers: str) -> None:
        told = {"audiohook-organization-id": ORGANIZATION, "audiohook-session-id": SESSION, **headers}
        self.server = Audiohook(Handshake({}, told))
        self.seq = 0
        self.server_seq = 0
        self.position = "PT0S"

    def say(self, kind: str, parameters: object = None, **changes: object) -> list[Any]:
        self.seq += 1
        message = {
            "version": "2",
            "id": SESSION,
            "type": kind,
            "seq": self.seq,
            "serverseq": self.server_seq,
            "position": self.position,
            "parameters": {} if parameters is None else parameters,
            **changes,
        }
        events = list(self.server.feed_text(json.dumps(message).encode()))
        return [self.read(event.message) if isinstance(event, Send) else event for event in events]

    def open(self, **changes: object) -> tuple[Start, dict[str, Any]]:
        """Open the session; return what it says and how it was answered."""
        (start,) = self.say("open", {**OPEN, **changes})
        assert isinstance(start, Start)
        (answer,) = self.server.started()
        return start, self.read(answer)

    def read(self, message: Message) -> Any:
        """Take a message of the server's, and hold it against its numbering."""
        body = json.loads(message)
        self.server_seq += 1
        assert (body["version"], body["id"], body["seq"]) == ("2", body["id"], self.server_seq)
        assert body["clientseq"] <= self.seq
        return {"type": body["type"], **body["parameters"]}


def test_a_session_of_two_channels() -> None:
    client = Client()
    start, opened = client.open()
    assert start == Start(
        call_id=CONVERSATION,
        codec=Codec("mulaw", 8000),
        tracks=(Track("external", "customer"), Track("internal", "agent")),
        stream_id=SESSION,
        from_number="+1-555-555-1234",
        to_number="+1-800-555-6789",
    )
    assert opened == {"type": "opened", "startPaused": False, "media": [OFFERS[0]]}
    assert client.server.feed_binary(b"\x01\x81" * 800) == (
        Media("external", b"\x01" * 800, 0),
        Media("internal", b"\x81" * 800, 0),
    )
    assert client.server.feed_binary(b"\x02\x82" * 1600) == (
        Media("external", b"\x02" * 1600, 100),
        Media("internal", b"\x82" * 1600, 100),
    )
    assert client.say("ping") == [{"type": "pong"}]
    assert client.say("close", {"reason": "end"}) == [{"type": "closed"}, Stop("completed")]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (OFFERS, ["external", "internal"]),
        (list(reversed(OFFERS)), ["external", "internal"]),
        (OFFERS[1:], ["external"]),
        ([OFFERS[2], offer("external", form="L16")], ["internal"]),
        ([offer("external", "internal", rate=16000), OFFERS[1]], ["external"]),
        ([{"type": "video"}, {}, OFFERS[1]], ["external"]),
    ],
)
def test_both_channels_are_best(offered: list[Any], chosen: list[str]) -> None:
    client = Client()
    start, opened = client.open(media=offered)
    assert [track.name for track in start.tracks] == chosen
    assert opened["media"] == [offer(*chosen)]
    if len(chosen) == 1:
        assert client.server.feed_binary(bytes(800)) == (Media(chosen[0], bytes(800), 0),)


def test_time_goes_on_while_nothing_is_sent() -> None:
    client = Client()
    client.open()
    client.server.feed_binary(bytes(1600))
    assert client.say("discarded", {"start": "PT0.1S", "discarded": "PT0.05S"}) == []
    media = client.server.feed_binary(bytes(1600))[0]
    assert isinstance(media, Media)
    assert media.timestamp_ms == 150
    assert client.say("paused") == [Held()]
    assert client.say("resumed", {"start": "PT0.25S", "discarded": "PT12.5S"}) == [Resumed()]
    media = client.server.feed_binary(bytes(1600))[0]
    assert isinstance(media, Media)
    assert media.timestamp_ms == 12_750


def test_a_probe_is_answered_and_is_no_call() -> None:
    client = Client()
    probe = {**OPEN, "conversationId": NOBODY, "participant": {"id": NOBODY, "ani": "", "aniName": "", "dnis": ""}}
    assert client.say("open", probe) == [{"type": "opened", "startPaused": False, "media": [OFFERS[0]]}]
    assert client.say("close", {"reason": "end"}) == [{"type": "closed"}, Stop("completed")]
    (opened,) = Client().say("open", {**probe, "media": []})
    assert opened == {"type": "opened", "startPaused": False, "media": []}


def test_what_is_asked_for_is_answered() -> None:
    _, opened = Client().open(supportedLanguages=True)
    assert opened["supportedLanguages"] == []
    start, _ = Client().open(customConfig={"role": "agent", "n": 1, "deep": {}})
    assert start.parameters == {"role": "agent", "n": "1"}
    start, _ = Client().open(participant={"ani": "tel:+15550100", "dnis": "sip:desk@example.org"})
    assert (start.from_number, start.to_number) == ("+15550100", "sip:desk@example.org")
    start, _ = Client().open(continuedSessions=[{"id": SESSION, "serverseq": 1, "clientseq": 1}])
    assert start.call_id == CONVERSATION


def test_what_needs_no_answer_gets_none() -> None:
    client = Client()
    client.open()
    assert client.say("update", {"language": "es-US"}) == []
    assert client.say("error", {"code": 408, "message": "Timeout waiting for pong"}) == []
    assert client.say("dtmf", {"digit": "5"}) == []
    assert client.say("close", {"reason": "error"}) == [{"type": "closed"}, Stop("sender-error")]
    assert client.say("update", {"language": "es-US"}) == []


def test_we_ask_for_the_end_and_the_client_closes() -> None:
    client = Client()
    client.open()
    (message,) = client.server.hang_up()
    assert client.read(message) == {"type": "disconnect", "reason": "completed"}
    assert client.server.hang_up() == ()
    assert client.say("close", {"reason": "disconnect"}) == [{"type": "closed"}, Stop("completed")]


def test_errors_are_said_in_its_own_terms_and_once() -> None:
    client = Client()
    client.open()
    error = ProtocolError(CloseCode.POLICY, "idle", "no audio for too long")
    (message,) = client.server.refused(error)
    assert client.read(message) == {"type": "disconnect", "reason": "error", "info": "no audio for too long"}
    assert client.server.refused(error) == ()


def test_a_stranger_is_unauthorized() -> None:
    client = Client()
    with pytest.raises(ProtocolError) as refusal:
        client.say("open", {**OPEN, "organizationId": NOBODY})
    (message,) = client.server.refused(refusal.value)
    assert client.read(message)["reason"] == "unauthorized"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seq": 2}, "bad-sequence"),
        ({"seq": 0}, "bad-sequence"),
        ({"serverseq": 1}, "bad-sequence"),
        ({"id": NOBODY}, "wrong-session"),
        ({"id": "x"}, "wrong-session"),
        ({"position": "1.5"}, "bad-message"),
        ({"position": "PT\u0661S"}, "bad-message"),
        ({"version": "1"}, "bad-message"),
        ({"seq": "1"}, "bad-message"),
        ({"seq": -1}, "bad-message"),
        ({"parameters": []}, "bad-message"),
        ({"parameters": {**OPEN, "media": {}}}, "bad-message"),
        ({"parameters": {**OPEN, "conversationId": "x"}}, "bad-start"),
        ({"parameters": {**OPEN, "media": [offer("external", form="L16")]}}, "unsupported-audio"),
        ({"parameters": {**OPEN, "media": []}}, "unsupported-audio"),
    ],
)
def test_a_bad_opening_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        Client().say("open", **{"parameters": OPEN, **changes})
    assert refusal.value.reason == reason


def test_order_matters() -> None:
    with pytest.raises(ProtocolError, match="media outside open and close"):
        Client().server.feed_binary(bytes(800))
    client = Client()
    client.open()
    with pytest.raises(ProtocolError, match="half a stereo sample"):
        client.server.feed_binary(bytes(801))
    with pytest.raises(ProtocolError, match="open twice"):
        client.say("open", OPEN)
    client.say("close", {"reason": "end"})
    with pytest.raises(ProtocolError, match="media outside open and close"):
        client.server.feed_binary(bytes(800))


def test_numbers_go_on_from_message_to_message() -> None:
    client = Client()
    client.open()
    client.say("ping")
    with pytest.raises(ProtocolError, match="seq is not the next number"):
        client.say("ping", seq=client.seq)


@pytest.mark.parametrize("text", [b"", b"{}", b"[", b"\xff", b"[" * 100_000, b'{"version":"2"}'])
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        Audiohook(Handshake()).feed_text(text)


def test_durations_cannot_be_anything() -> None:
    for parameters in ({"start": "PT1S"}, {"start": "1", "discarded": "PT1S"}, {"start": "PT1S", "discarded": "PT1M"}):
        client = Client()
        client.open()
        with pytest.raises(ProtocolError):
            client.say("resumed", parameters)
