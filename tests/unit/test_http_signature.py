"""Signed handshakes, by the example of AudioHook's own documentation."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import digest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.http_signature import SignatureError, Signed, verify

KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
SECRET = b64decode("TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU=")
CREATED = 1641013200
COVERED = (
    '("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" "audiohook-correlation-id"'
    ' "x-api-key")'
)
PARAMETERS = f';keyid="{KEY}";nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created={CREATED};expires=3282026430'
HEADERS = {
    "host": "audiohook.example.com",
    "audiohook-organization-id": "d7934305-0972-4844-938e-9060eef73d05",
    "audiohook-session-id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
    "audiohook-correlation-id": "e160e428-53e2-487c-977d-96989bf5c99d",
    "x-api-key": KEY,
    "signature": "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:",
    "signature-input": f"sig1={COVERED}{PARAMETERS}",
}
TARGET, AUTHORITY = "/api/v1/voicebiometrics/ws", "audiohook.example.com"


@dataclass(frozen=True)
class Request:
    """A handshake, as it came."""

    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))
    target: str = TARGET
    authority: str = AUTHORITY
    secret: bytes = SECRET
    now_s: float = CREATED + 1

    def verify(self) -> Signed:
        return verify(self.headers, target=self.target, authority=self.authority, secret=self.secret, now_s=self.now_s)

    def but(self, **headers: str) -> Request:
        return replace(self, headers={**self.headers, **{name.replace("_", "-"): v for name, v in headers.items()}})


def signed(covered: str = COVERED, parameters: str = PARAMETERS) -> Request:
    """Sign a handshake that says something else, with the right secret."""
    values = {"@request-target": TARGET, "@authority": AUTHORITY, **HEADERS}
    names = covered.strip("()").replace('"', "").split()
    lines = [f'"{name}": {values.get(name, "")}' for name in names]
    base = "\n".join([*lines, f'"@signature-params": {covered}{parameters}'])
    made = b64encode(digest(SECRET, base.encode(), sha256)).decode()
    return Request().but(signature_input=f"sig1={covered}{parameters}", signature=f"sig1=:{made}:")


def test_the_documented_example_holds() -> None:
    assert Request().verify() == Signed("VGhpc0lzQVVuaXF1ZU5vbmNl", 20)
    assert signed() == Request()


@pytest.mark.parametrize(
    "request_",
    [
        replace(Request(), target="/media/audiohook"),
        replace(Request(), authority="evil.example.com"),
        replace(Request(), secret=SECRET + b"x"),
        replace(Request(), secret=b""),
        Request().but(audiohook_session_id="30b0e395-84d3-4570-ac13-9a62d8f514c1"),
        Request().but(audiohook_correlation_id=""),
        Request().but(x_api_key="\udcff"),
        Request().but(audiohook_correlation_id="\udcff"),
        Request().but(signature="sig1=:" + "A" * 43 + "=:"),
    ],
)
def test_over_another_request_or_with_another_secret_it_does_not(request_: Request) -> None:
    with pytest.raises(SignatureError):
        request_.verify()


def test_a_signature_has_its_time() -> None:
    for now_s in (CREATED - 4, CREATED, CREATED + 14):
        replace(Request(), now_s=now_s).verify()
    for now_s in (0, CREATED - 6, CREATED + 16, 4_000_000_000):
        with pytest.raises(SignatureError, match="too old, or from the future"):
            replace(Request(), now_s=now_s).verify()
    with pytest.raises(SignatureError, match="expired"):
        signed(parameters=PARAMETERS.replace("3282026430", str(CREATED - 10))).verify()


@pytest.mark.parametrize("left_out", ['"@request-target" ', '"@authority" ', ' "x-api-key"', '"audiohook-session-id" '])
def test_it_has_to_cover_all_that_matters(left_out: str) -> None:
    with pytest.raises(SignatureError, match="cover all"):
        signed(COVERED.replace(left_out, "")).verify()


@pytest.mark.parametrize(
    ("covered", "parameters"),
    [
        (COVERED, PARAMETERS.replace(KEY, "another")),
        (COVERED, PARAMETERS.replace("VGhpc0lzQVVuaXF1ZU5vbmNl", "short")),
        (COVERED, PARAMETERS.replace(';nonce="VGhpc0lzQVVuaXF1ZU5vbmNl"', "")),
        (COVERED, PARAMETERS.replace("hmac-sha256", "none")),
        (COVERED, PARAMETERS.replace(f";created={CREATED}", "")),
        (COVERED, PARAMETERS.replace(f";created={CREATED}", f';created="{CREATED}"')),
        (COVERED, PARAMETERS + ";created=4000000000"),
        (COVERED[:-1] + ' "@method")', PARAMETERS),
        (COVERED[:-1] + ' "x-unknown")', PARAMETERS),
        (COVERED[:-1] + ' "x-api-key")', PARAMETERS),
    ],
)
def test_a_right_signature_of_the_wrong_thing_is_refused(covered: str, parameters: str) -> None:
    with pytest.raises(SignatureError):
        signed(covered, parameters).verify()


@pytest.mark.parametrize(
    "headers",
    [
        {"signature": ""},
        {"signature_input": ""},
        {"signature": "sig2=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"},
        {"signature": "sig1=NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4="},
        {"signature": "sig1=:NZBwyBHR:"},
        {"signature_input": f"sig1 = {COVERED}{PARAMETERS}"},
        {"signature_input": f"sig1={COVERED};created"},
        {"signature_input": f"sig1={COVERED}{PARAMETERS} x"},
        {"signature_input": f"sig1={COVERED[:-1]}{PARAMETERS}"},
        {"signature_input": "sig1=" + "(" * 10_000},
        {"signature_input": "sig1=(" + '"a" ' * 2_000 + ")"},
    ],
)
def test_what_cannot_be_read_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        Request().but(**headers).verify()


def test_of_several_signatures_the_first_counts() -> None:
    first = Request()
    more = first.but(
        signature_input=first.headers["signature-input"] + f", sig2={COVERED};created=1",
        signature="sig2=:" + "A" * 43 + "=:, " + first.headers["signature"],
    )
    assert more.verify().nonce == "VGhpc0lzQVVuaXF1ZU5vbmNl"


@given(st.text(max_size=300), st.text(max_size=100))
def test_nothing_else_than_a_refusal_comes_of_anything(signature_input: str, signature: str) -> None:
    for given_input in (signature_input, f"sig1={signature_input}", f"sig1=({signature_input}){PARAMETERS}"):
        with pytest.raises(SignatureError):
            Request().but(signature_input=given_input, signature=signature).verify()
