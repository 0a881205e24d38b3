"""The TwiML that answers a call."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from infra.settings import TwilioMode
from infra.tokens import SpentHere, StreamGrant, StreamTokens, twilio_call_id
from tests.unit.test_signature import FORM, Client, Office, client, office, post
from webhooks.signature import SignedForms
from webhooks.twilio_voice import TwilioVoice

__all__ = ["client", "office"]  # fixtures

TOKENS = StreamTokens("a secret of the server", SpentHere())


def voice(mode: TwilioMode = "connect", dial: str | None = None, base: str = "https://pbx.example/") -> TwilioVoice:
    return TwilioVoice(SignedForms("token", base), TOKENS, base, mode=mode, dial=dial)


def grant(call_sid: str = "CA1") -> StreamGrant:
    return StreamGrant(twilio_call_id(call_sid), call_sid, "+15550100", "+15550199")


async def test_the_call_is_connected_to_our_socket() -> None:
    root = ET.fromstring(str(voice().connect(grant())))

    assert [verb.tag for verb in root] == ["Connect", "Say", "Redirect"]
    stream = root.find("Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "wss://pbx.example/twilio/media"  # and no query: error 31920
    assert "track" not in stream.attrib  # a bidirectional stream has the inbound track alone
    (parameter,) = stream
    assert parameter.get("name") == "token"
    assert len("token" + (parameter.get("value") or "")) < 500
    assert await TOKENS.redeem(parameter.get("value") or "") == grant()


def test_a_broken_socket_brings_the_call_back_a_few_times() -> None:
    verbs = [[verb.tag for verb in ET.fromstring(str(voice().connect(grant(), attempt)))] for attempt in (1, 2, 3, 9)]
    assert verbs == [["Connect", "Say", "Redirect"]] * 2 + [["Connect", "Say", "Hangup"]] * 2
    redirect = ET.fromstring(str(voice().connect(grant(), 2))).find("Redirect")
    assert redirect is not None
    assert redirect.text == "https://pbx.example/twilio/voice?attempt=3"
    assert redirect.get("method") == "POST"


def test_listening_copies_both_parties_and_dials() -> None:
    root = ET.fromstring(str(voice("listen", "+15550111, client:ann ,sip:desk@pbx.example").listen(grant())))

    assert [verb.tag for verb in root] == ["Start", "Dial"]
    stream = root.find("Start/Stream")
    assert stream is not None
    assert stream.get("track") == "both_tracks"
    assert [(target.tag, target.text) for target in root[1]] == [
        ("Number", "+15550111"),
        ("Client", "ann"),
        ("Sip", "sip:desk@pbx.example"),
    ]


@pytest.mark.parametrize("dial", [None, "", " , ", ",".join("client:a" for _ in range(11))])
def test_listening_needs_somebody_to_dial(dial: str | None) -> None:
    with pytest.raises(ValueError, match="TWILIO_DIAL"):
        voice("listen", dial)


def test_on_ones_own_machine_the_socket_is_plain() -> None:
    stream = ET.fromstring(str(voice(base="http://127.0.0.1:8080").connect(grant()))).find("Connect/Stream")
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
    ("query", "verb"), [("attempt=3", "Hangup"), ("attempt=2", "Redirect"), ("attempt=x", "Redirect")]
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
    assert [verb.tag for verb in ET.fromstring(await response.text())] == ["Connect", "Say", "Redirect"]
