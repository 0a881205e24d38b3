"""What a request must be like before anybody looks at what it wants (RFC 3261, section 8.2)."""

from __future__ import annotations

import re
from typing import Final

from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.message import Request

METHODS: Final = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "INFO")
"""Those that we take, as Allow names them."""
ALLOW: Final = ("Allow", ", ".join(METHODS))
KEY_TYPES: Final = ("application/dtmf-relay", "application/dtmf")

_KNOWN: Final = frozenset({"REGISTER", "REFER", "MESSAGE", "PUBLISH", "PRACK"})
"""Methods of the RFCs that do nothing here."""
_EVENTS: Final = frozenset({"SUBSCRIBE", "NOTIFY"})
_SCHEMES: Final = frozenset({"sip", "sips", "tel"})
_SIGNAL: Final = re.compile(r"^[ \t]*Signal[ \t]*=[ \t]*([0-9]{1,2}|[*#A-D])[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_DURATION: Final = re.compile(r"^[ \t]*Duration[ \t]*=[ \t]*([0-9]{1,6})[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_KEYS: Final = "0123456789*#ABCD"


class Refusal(SipError):
    """A request that is answered with an error, and the headers which that has."""

    def __init__(self, status: int, reason: str, *headers: tuple[str, str]) -> None:
        super().__init__(status, reason)
        self.headers = headers


def check(request: Request, accepts: tuple[str, ...], extensions: tuple[str, ...]) -> None:
    """Let a request pass that is none of ACK and CANCEL.

    Raises:
        Refusal: how it is answered instead.
    """
    method = request.method
    if method in _EVENTS:
        raise Refusal(489, "Bad Event", ALLOW)
    if method not in METHODS and not (method == "PRACK" and request.to.tag):
        raise Refusal(405, "Method Not Allowed", ALLOW) if method in _KNOWN else Refusal(501, "Not Implemented", ALLOW)
    if request.uri.scheme not in _SCHEMES:
        raise Refusal(416, "Unsupported URI Scheme")
    if request.headers.get("max-forwards") in {"0", "00", "000"}:
        # An endpoint might take it (RFC 4475, section 3.3.11); a call that has gone round so often is a loop.
        raise Refusal(483, "Too Many Hops")
    required = request.headers.tokens("require") | request.headers.tokens("proxy-require")
    unsupported = sorted(required - frozenset(extensions))
    if unsupported:
        raise Refusal(420, "Bad Extension", ("Unsupported", ", ".join(unsupported)))
    if method == "INFO":
        _check_body(request, KEY_TYPES)
    elif method in {"INVITE", "UPDATE"}:
        _check_body(request, accepts)
        if method == "INVITE":
            _check_accept(request)


def _check_body(request: Request, accepts: tuple[str, ...]) -> None:
    if not request.body:
        return
    optional = "handling=optional" in (request.headers.get("content-disposition") or "").replace(" ", "").lower()
    encoding = (request.headers.get("content-encoding") or "identity").strip().lower()
    if not optional and (request.media_type not in accepts or encoding != "identity"):
        raise Refusal(415, "Unsupported Media Type", ("Accept", ", ".join(accepts)), ("Accept-Encoding", "identity"))


def _check_accept(request: Request) -> None:
    if "accept" not in request.headers:
        return
    taken = request.headers.tokens("accept")
    if taken and not taken & {"application/sdp", "application/*", "*/*", "multipart/mixed", "multipart/*"}:
        raise Refusal(406, "Not Acceptable", ("Accept", "application/sdp"))


def key_in(request: Request) -> tuple[str, int | None] | None:
    """Return the key that an INFO tells, and how long it was held in milliseconds; None: no key."""
    text = request.body.decode("ascii", "replace").strip()
    signal = _SIGNAL.search(text)
    pressed = signal[1] if signal else text
    if pressed.isdigit() and len(pressed) == 2:
        pressed = _KEYS[int(pressed)] if int(pressed) < len(_KEYS) else ""
    pressed = pressed.upper()
    if len(pressed) != 1 or pressed not in _KEYS:
        return None
    duration = _DURATION.search(text)
    return pressed, int(duration[1]) if duration else None
