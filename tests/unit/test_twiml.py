"""The TwiML that answers a call."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings import TwilioMode
from infra.store.queues import DEFAULT_QUEUE
from infra.tokens import SpentHere, StreamGrant, StreamTokens, twilio_call_id
from tests.unit.test_signature import FORM, Client, Office, client, office, post
from webhooks import twiml
from webhooks.numbers import Numbers, Route
from webhooks.twiml import Answers

__all__ = ["client", "office"]  # fixtures

TOKENS = StreamTokens("a secret of the server", SpentHere())


def voice(base: str = "https://pbx.example/") -> Answers:
    return Answers(TOKENS, base)


def route(mode: TwilioMode = "connect", *targets: str, **facts: object) -> Route:
    return Route(replace(DEFAULT_QUEUE, **facts), mode, targets)  # type: ignore[arg-type]


def tags(answer: object) -> list[str]:
    return [verb.tag for verb in ET.fromstring(str(answer))]


def grant(call_sid: str = "CA1") -> StreamGrant:
    return StreamGrant(twilio_call_id(call_sid), call_sid, "+15550100", "+15550199")


async def test_the_call_is_connected_to_our_socket() -> None:
    root = ET.fromstring(str(voice().connect(grant())))

    assert [verb.tag for verb in root] == ["Connect", "Redirect"]
    stream = root.find("Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "wss://pbx.example/twilio/media"  # and no query: error 31920
    assert "track" not in stream.attrib  # a bidirectional stream has the inbound track alone
    (parameter,) = stream
    assert parameter.get("name") == "token"
    assert len("token" + (parameter.get("value") or "")) < 500
    assert await TOKENS.redeem(parameter.get("value") or "") == grant()


def test_a_broken_socket_brings_the_call_back_a_few_times() -> None:
    heard = []
    for attempt in (1, 2, 3):
        root = ET.fromstring(str(voice().answer(route(), grant(), attempt)))
        heard += [verb.text for verb in root.iter("Say")]
        # Nothing is said behind the stream: it also ends when an agent hangs up.
        assert [verb.tag for verb in root][-2:] == ["Connect", "Redirect"]
        assert root[-1].text == f"https://pbx.example/twilio/voice?attempt={attempt + 1}"
        assert root[-1].get("method") == "POST"
    assert heard == [twiml.APOLOGY] * 2
    for mode in ("connect", "listen"):
        root = ET.fromstring(str(voice().answer(route(mode, "client:ann"), grant(), 4)))  # type: ignore[arg-type]
        assert [(verb.tag, verb.text) for verb in root] == [("Say", twiml.FAREWELL), ("Hangup", None)]


def test_listening_copies_both_parties_and_dials() -> None:
    told = route("listen", "+15550111", "client:ann", "sip:desk@pbx.example", ring_s=17)
    root = ET.fromstring(str(voice().answer(told, grant(), 1)))

    assert [verb.tag for verb in root] == ["Start", "Dial"]
    stream = root.find("Start/Stream")
    assert stream is not None
    assert stream.get("track") == "both_tracks"
    dial = root[1]
    assert [(target.tag, target.text) for target in dial] == [
        ("Number", "+15550111"),
        ("Client", "ann"),
        ("Sip", "sip:desk@pbx.example"),
    ]
    assert (dial.get("timeout"), dial.get("answerOnBridge")) == ("17", "true")
    assert dial.get("action") == "https://pbx.example/twilio/dial"
    assert {target.get("statusCallback") for target in dial} == {"https://pbx.example/twilio/status"}


@pytest.mark.parametrize(("ring_s", "timeout"), [(1, "5"), (5, "5"), (20, "20"), (9000, "600")])
def test_ringing_lasts_as_long_as_twilio_takes(ring_s: int, timeout: str) -> None:
    dial = ET.fromstring(str(voice().ring_others(route("listen", "client:ann", ring_s=ring_s)))).find("Dial")
    assert dial is not None
    assert dial.get("timeout") == timeout
    assert dial.get("action") == "https://pbx.example/twilio/dial?step=overflowed"


def test_too_many_targets_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="TWILIO_DIAL"):
        Numbers(mode="listen", dial=",".join("client:a" for _ in range(11)))


@pytest.mark.parametrize(
    ("dial", "answered"),
    [
        ("+15550111, client:ann ,", ("listen", ("+15550111", "client:ann"))),
        (None, ("connect", ())),  # nobody to ring: better here than nowhere
        (" , ", ("connect", ())),
    ],
)
async def test_the_settings_hold_for_the_default_queue(dial: str | None, answered: tuple[str, tuple[str, ...]]) -> None:
    found = await Numbers(mode="listen", dial=dial).route("+15550199")
    assert (found.mode, found.targets) == answered
    assert found.queue == DEFAULT_QUEUE


def test_a_greeting_is_spoken_once_before_the_stream() -> None:
    told = route("connect", greeting="Welcome.")
    first, second = [ET.fromstring(str(voice().answer(told, grant(), attempt))) for attempt in (1, 2)]
    assert [verb.tag for verb in first] == [verb.tag for verb in second] == ["Say", "Connect", "Redirect"]
    assert (first[0].text, second[0].text) == ("Welcome.", twiml.APOLOGY)
    for silent in (None, ""):  # None: the gateway plays the recorded one
        assert tags(voice().answer(route("connect", greeting=silent), grant(), 1)) == ["Connect", "Redirect"]


def test_in_a_call_that_we_listen_to_twilio_speaks_the_consent() -> None:
    told = route("listen", "client:ann", greeting="Welcome.", consent=True)
    first = ET.fromstring(str(voice().answer(told, grant(), 1)))
    assert [verb.tag for verb in first] == ["Say", "Say", "Start", "Dial"]
    assert (first[0].text, first[1].text) == ("Welcome.", twiml.CONSENT)
    assert tags(voice().answer(told, grant(), 2)) == ["Say", "Start", "Dial"]  # the consent, again
    assert tags(voice().answer(route("connect", consent=True), grant(), 1)) == ["Connect", "Redirect"]


HOSTILE = st.text(max_size=300) | st.sampled_from(
    ["</Say><Hangup/><Say>", "]]>", "<!--", "&amp;&#0;", "\0\x01\x0b\x1f\ufffe\uffff", "a\ud800b", "\u202e", "x" * 9000]
)


@settings(max_examples=60)
@given(HOSTILE, HOSTILE)
def test_whatever_people_write_stays_text(greeting: str, number: str) -> None:
    hostile = StreamGrant(twilio_call_id("CA1"), "CA1", number, number, bridged=True, returning=True)
    for mode, targets, expected in (
        ("connect", (), ["Connect", "Redirect"]),
        ("listen", ("client:" + greeting, "sip:" + greeting, "+1" + greeting), ["Say", "Start", "Dial"]),
    ):
        told = route(mode, *targets, greeting=greeting, consent=mode == "listen")  # type: ignore[arg-type]
        root = ET.fromstring(str(voice().answer(told, hostile, 1)).encode())
        assert [verb.tag for verb in root] == ["Say"] * bool(greeting) + expected
        if greeting:
            spoken = root[0].text or ""
            assert len(spoken) <= 4000
            assert [c for c in spoken if not c.isprintable()] == []
        check(root)


def check(root: ET.Element) -> None:
    """What Twilio refuses or cuts: queries on a socket's address, long parameters."""
    for stream in root.iter("Stream"):
        address = urlsplit(stream.get("url") or "")
        assert (address.scheme, address.path, address.query, address.fragment) == ("wss", "/twilio/media", "", "")
        for parameter in stream:
            assert len((parameter.get("name") or "") + (parameter.get("value") or "")) < 500


def test_on_ones_own_machine_the_socket_is_plain() -> None:
    stream = ET.fromstring(str(voice("http://127.0.0.1:8080").connect(grant()))).find("Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "ws://127.0.0.1:8080/twilio/media"


async def test_the_same_call_twice_is_one_call(client: Client) -> None:
    ids = set()
    for _ in range(2):
        root = ET.fromstring(await (await post(client)).text())
        parameter = root.find("Connect/Stream/Parameter")
        assert parameter is not None
        ids.add((await TOKENS.redeem(parameter.get("value") or "")).call_id)
    assert ids == {twilio_call_id(FORM["CallSid"])}


@pytest.mark.parametrize(
    ("query", "verb"), [("attempt=4", "Hangup"), ("attempt=3", "Redirect"), ("attempt=x", "Redirect")]
)
async def test_the_attempt_is_counted_in_the_address(client: Client, query: str, verb: str) -> None:
    root = ET.fromstring(await (await post(client, f"/twilio/voice?{query}")).text())
    assert root[-1].tag == verb


async def test_a_conversation_that_is_over_is_not_brought_back(client: Client, office: Office) -> None:
    office.over = True
    root = ET.fromstring(await (await post(client, "/twilio/voice?attempt=2")).text())
    assert [verb.tag for verb in root] == ["Hangup"]


async def test_a_hostile_name_stays_text(client: Client) -> None:
    form = {**FORM, "From": '"><Hangup/><!--', "CallerName": "]]>&"}
    response = await post(client, form=form)
    assert tags(await response.text()) == ["Connect", "Redirect"]


async def test_the_stream_is_told_how_it_came(client: Client) -> None:
    for query, returning in (("", False), ("?attempt=1", False), ("?attempt=2", True), ("?attempt=0", False)):
        root = ET.fromstring(await (await post(client, f"/twilio/voice{query}")).text())
        parameter = root.find("Connect/Stream/Parameter")
        assert parameter is not None
        found = await TOKENS.redeem(parameter.get("value") or "")
        assert (found.bridged, found.returning) == (True, returning)
        assert (found.from_number, found.to_number) == (FORM["From"], FORM["To"])


async def test_while_we_shut_down_a_call_is_asked_again_for_a_minute(client: Client, office: Office) -> None:
    office.draining = True
    path, heard, waited_s = "/twilio/voice", [], 0
    while True:
        root = ET.fromstring(await (await post(client, path)).text())
        heard += [verb.text for verb in root.iter("Say")]
        if root[-1].tag == "Hangup":
            break
        assert [verb.tag for verb in root][-2:] == ["Pause", "Redirect"]
        waited_s += int(root[-2].get("length") or "")
        path = (root[-1].text or "").removeprefix("https://pbx.example")
        assert urlsplit(path).path == "/twilio/voice"
        assert "attempt=1" in path
    assert waited_s == 60
    assert heard == [twiml.ONE_MOMENT, twiml.FAREWELL]


async def test_a_call_that_was_put_off_is_answered_by_whoever_takes_it(client: Client, office: Office) -> None:
    office.draining = True
    root = ET.fromstring(await (await post(client, "/twilio/voice?attempt=2")).text())
    path = (root[-1].text or "").removeprefix("https://pbx.example")
    office.draining = False
    root = ET.fromstring(await (await post(client, path)).text())
    assert [verb.tag for verb in root] == ["Say", "Connect", "Redirect"]
    assert (root[-1].text or "").endswith("attempt=3")  # waiting is not an attempt
    office.draining, office.over = True, True
    assert tags(await (await post(client, path)).text()) == ["Hangup"]


def test_a_message_is_asked_for_and_recorded() -> None:
    root = ET.fromstring(str(voice().take_message()))
    assert [verb.tag for verb in root] == ["Say", "Record", "Say", "Hangup"]
    record = root[1]
    assert record.get("action") == "https://pbx.example/twilio/dial?step=message"
    assert record.get("recordingStatusCallback") == "https://pbx.example/twilio/recording"


def test_a_call_back_is_offered() -> None:
    root = ET.fromstring(str(voice().offer_callback()))
    assert [verb.tag for verb in root] == ["Gather", "Say", "Hangup"]
    assert root[0].get("action") == "https://pbx.example/twilio/dial?step=callback"
    assert [verb.tag for verb in root[0]] == ["Say"]
