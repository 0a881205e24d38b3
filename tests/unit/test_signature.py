"""Signed webhooks over a real server: what Twilio signs gets in, every kind of forgery stays out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from infra.tokens import SpentHere, StreamTokens, twilio_call_id
from webhooks import twiml
from webhooks.numbers import Numbers
from webhooks.signature import SignedForms
from webhooks.twilio_dial import TwilioDial
from webhooks.twilio_recording import TwilioRecordings
from webhooks.twilio_status import CallStatus, TwilioStatus
from webhooks.twilio_voice import TwilioVoice

TOKEN = "12345678901234567890123456789012"
BASE = "https://pbx.example"
FORM = {
    "AccountSid": "AC" + "0" * 32,
    "CallSid": "CA" + "1" * 32,
    "CallStatus": "ringing",
    "CallerName": "",
    "Direction": "inbound",
    "From": "+15550100",
    "To": "+15550199",
}

Client = TestClient[web.Request, web.Application]


def sign(url: str, form: dict[str, str], key: str = TOKEN, digest: str = "sha1") -> str:
    """Sign as Twilio's page says, by hand: the library is what is under test."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(key.encode(), text.encode(), digest).digest()).decode()


PATHS = (twiml.VOICE_PATH, twiml.STATUS_PATH, twiml.DIAL_PATH, twiml.RECORDING_PATH)


class Office:
    """A server with all webhooks and no database."""

    def __init__(self, auth_token: str | None = TOKEN) -> None:
        self.heard: list[CallStatus] = []
        self.over = False
        self.draining = False
        self.forms = forms = SignedForms(auth_token, BASE, shared_keys={"whk_1": "a shared key"})
        tokens = StreamTokens("a secret of the server", SpentHere())
        answers, numbers = twiml.Answers(tokens, BASE), Numbers()
        self.handlers = {
            twiml.VOICE_PATH: TwilioVoice(
                forms, answers, numbers, is_over=self.is_over, is_put_off=lambda _: self.draining
            ).handle,
            twiml.STATUS_PATH: TwilioStatus(forms, self.hear).handle,
            twiml.DIAL_PATH: TwilioDial(forms, answers, numbers).handle,
            twiml.RECORDING_PATH: TwilioRecordings(forms).handle,
        }

    async def hear(self, status: CallStatus) -> None:
        self.heard.append(status)

    async def is_over(self, _: object) -> bool:
        return self.over

    def app(self) -> web.Application:
        app = web.Application()
        for path, handle in self.handlers.items():
            app.router.add_post(path, handle)
        return app


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def client(office: Office) -> AsyncIterator[Client]:
    async with TestClient(TestServer(office.app())) as client:
        yield client


async def post(
    client: Client,
    path: str = "/twilio/voice",
    form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> aiohttp.ClientResponse:
    form = FORM if form is None else form
    signed = {"X-Twilio-Signature": sign(BASE + path, form)} if headers is None else headers
    return await client.post(path, data=form, headers=signed)


async def test_a_signed_webhook_gets_in(client: Client) -> None:
    response = await post(client)
    assert response.status == 200
    assert response.content_type == "application/xml"


async def test_the_query_is_signed_too(client: Client) -> None:
    assert (await post(client, "/twilio/voice?attempt=2&x=a%2Bb%20c")).status == 200


async def test_a_signature_with_sha256_gets_in(client: Client) -> None:
    settings = {"X-Twilio-Webhooks-Signature-Settings": "algorithm=HMAC_SHA256"}
    signature = sign(BASE + "/twilio/voice", FORM, digest="sha256")
    assert (await post(client, headers={"X-Twilio-Signature": signature, **settings})).status == 200


async def test_a_signature_with_a_shared_key_gets_in(client: Client) -> None:
    settings = {"X-Twilio-Webhooks-Signature-Settings": "key=whk_1,algorithm=HMAC_SHA256"}
    signature = sign(BASE + "/twilio/voice", FORM, "a shared key", "sha256")
    assert (await post(client, headers={"X-Twilio-Signature": signature, **settings})).status == 200


URL = BASE + "/twilio/voice"
FORGERIES: dict[str, dict[str, str]] = {
    "no signature": {},
    "empty signature": {"X-Twilio-Signature": ""},
    "noise": {"X-Twilio-Signature": base64.b64encode(hashlib.sha1(b"x").digest()).decode()},
    "not even base64": {"X-Twilio-Signature": "\u00e9\u00e8 %%%"},
    "another account's token": {"X-Twilio-Signature": sign(URL, FORM, "0" * 32)},
    "the empty token": {"X-Twilio-Signature": sign(URL, FORM, "")},
    "another host": {"X-Twilio-Signature": sign("https://evil.example/twilio/voice", FORM)},
    "http behind the proxy": {"X-Twilio-Signature": sign("http://pbx.example/twilio/voice", FORM)},
    "the socket's address": {"X-Twilio-Signature": sign("wss://pbx.example/twilio/voice", FORM)},
    "another path": {"X-Twilio-Signature": sign(BASE + "/twilio/status", FORM)},
    "another form": {"X-Twilio-Signature": sign(URL, {**FORM, "From": "+15550101"})},
    "no form": {"X-Twilio-Signature": sign(URL, {})},
    "the form without its empty field": {
        "X-Twilio-Signature": sign(URL, {name: value for name, value in FORM.items() if value})[:-2] + "A="
    },
    "sha256 that says sha1": {"X-Twilio-Signature": sign(URL, FORM, digest="sha256")},
    "sha1 that says sha256": {
        "X-Twilio-Signature": sign(URL, FORM),
        "X-Twilio-Webhooks-Signature-Settings": "algorithm=HMAC_SHA256",
    },
    "an algorithm of its own": {
        "X-Twilio-Signature": sign(URL, FORM, digest="md5"),
        "X-Twilio-Webhooks-Signature-Settings": "algorithm=HMAC_MD5",
    },
    "an unknown shared key": {
        "X-Twilio-Signature": sign(URL, FORM, "whatever", "sha256"),
        "X-Twilio-Webhooks-Signature-Settings": "key=whk_2,algorithm=HMAC_SHA256",
    },
}


@pytest.mark.parametrize("headers", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_webhook_is_refused(client: Client, headers: dict[str, str]) -> None:
    response = await post(client, headers=headers)
    assert response.status == 403
    assert response.content_type == "application/problem+json"
    assert (await response.json(content_type=None))["status"] == 403


@pytest.mark.parametrize("path", PATHS)
async def test_every_webhook_has_the_same_door(client: Client, path: str) -> None:
    form = {**FORM, "RecordingSid": "RE1"}
    for headers in ({}, {"X-Twilio-Signature": sign(BASE + "/twilio", form)}):
        assert (await post(client, path, form, headers)).status == 403
    assert (await post(client, path, form)).status in {200, 204}
    assert (await client.get(path)).status == 405


async def test_the_address_that_the_request_names_does_not_count(client: Client) -> None:
    headers = {
        "X-Twilio-Signature": sign("https://evil.example/twilio/voice", FORM),
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    assert (await post(client, headers=headers)).status == 403


@pytest.mark.parametrize("auth_token", [None, ""])
async def test_without_a_token_nothing_gets_in(auth_token: str | None) -> None:
    async with TestClient(TestServer(Office(auth_token).app())) as client:
        for path in PATHS:
            response = await post(client, path, headers={"X-Twilio-Signature": sign(BASE + path, FORM, "")})
            assert response.status == 503
            assert "TWILIO_AUTH_TOKEN" in (await response.json(content_type=None))["detail"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        ("&".join(f"f{i}=1" for i in range(201)).encode(), "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"CallSid", "application/x-www-form-urlencoded", 400),
    ],
)
async def test_what_is_no_form_is_refused(client: Client, body: bytes, content_type: str, status: int) -> None:
    headers = {"X-Twilio-Signature": "x", "Content-Type": content_type}
    response = await client.post("/twilio/voice", data=body, headers=headers)
    assert response.status == status


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    office = Office()
    office.forms._body_timeout_s = 0.05
    async with TestClient(TestServer(office.app())) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(
            b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: x\r\nContent-Length: 10\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\na="
        )
        assert b"408" in await reader.readline()
        writer.close()


async def test_a_status_is_heard_once(client: Client, office: Office) -> None:
    form = {**FORM, "CallStatus": "completed", "CallDuration": "12", "SequenceNumber": "3"}
    for _ in range(3):
        response = await post(client, "/twilio/status", form)
        assert (response.status, await response.read()) == (204, b"")
    (status,) = office.heard
    assert status == CallStatus(twilio_call_id(FORM["CallSid"]), FORM["CallSid"], "completed", 12)
    assert status.has_ended


@pytest.mark.parametrize("more", [{"CallStatus": "vanished"}, {"CallStatus": ""}])
async def test_an_unknown_status_is_no_error(client: Client, office: Office, more: dict[str, str]) -> None:
    assert (await post(client, "/twilio/status", {**FORM, **more})).status == 204
    assert office.heard == []


async def test_a_streams_status_is_heard(client: Client, office: Office) -> None:
    form = {"CallSid": "CA1", "StreamSid": "MZ1", "StreamEvent": "stream-error", "StreamError": "x"}
    assert (await post(client, "/twilio/status", form)).status == 204
    assert [status.state for status in office.heard] == ["stream-error"]


async def test_a_partys_status_is_not_the_calls(client: Client, office: Office) -> None:
    user = uuid4()
    form = {"CallSid": "CA2", "ParentCallSid": "CA1", "CallStatus": "completed", "To": f"client:{user.hex}"}
    assert (await post(client, "/twilio/status", form)).status == 204
    assert (await post(client, "/twilio/status", {**form, "CallSid": "CA3", "To": "+15550111"})).status == 204
    assert office.heard == [
        CallStatus(twilio_call_id("CA1"), "CA2", "completed", party=f"client:{user.hex}", user_id=user),
        CallStatus(twilio_call_id("CA1"), "CA3", "completed", party="+15550111"),
    ]
    assert not any(status.has_ended for status in office.heard)


@pytest.mark.parametrize("path", PATHS)
async def test_a_call_needs_a_name(client: Client, path: str) -> None:
    form = {**FORM, "CallSid": ""}
    body = urlencode(form)
    headers = {
        "X-Twilio-Signature": sign(BASE + path, form),
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
    }
    assert (await client.post(path, data=body, headers=headers)).status == 400
