"""Session timers: a call whose peer has vanished is found out (RFC 4028)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from media_gateway.protocols.sip.grammar import SipError, bad, parameter, parse_parameters
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Headers, Request, Response

LEAST_S: Final = 90
"""No session interval is below this (section 5)."""
_MOST_S: Final = 2**31


@dataclass(frozen=True, slots=True)
class Session:
    """What the two sides agreed on."""

    interval_s: int
    we_refresh: bool

    @property
    def wait_s(self) -> float:
        """How long after a refresh something is to be done: our own refresh, or giving up the call (section 10)."""
        if self.we_refresh:
            return self.interval_s / 2
        return self.interval_s - min(32.0, self.interval_s / 3)


@dataclass(frozen=True, slots=True)
class _Asked:
    interval_s: int
    refresher: str


def agree(request: Request, limits: Limits) -> tuple[Session | None, tuple[tuple[str, str], ...]]:
    """Return the session that an INVITE or UPDATE of the peer's leads to, and the headers of its 2xx that say so.

    Raises:
        SipError: a header is malformed (400), or the interval is too short (422; `min_se` is its header).
    """
    asked = _session_expires(request.headers)
    least_s = max(limits.min_session_s, LEAST_S)
    supports = "timer" in request.headers.tokens("supported") | request.headers.tokens("require")
    if asked is None:
        if not supports or not limits.session_s:
            return None, ()
        interval_s = max(limits.session_s, least_s, _min_se(request.headers))
        return Session(interval_s, we_refresh=False), _said(interval_s, "uac", peer_supports=True)
    if asked.interval_s < least_s and supports:
        raise SipError(422, "Session Interval Too Small")
    # A proxy may have asked for a peer that knows nothing of this: then it is we who refresh (section 9).
    refresher = (asked.refresher or "uac") if supports else "uas"
    interval_s = max(asked.interval_s, LEAST_S)
    return Session(interval_s, refresher == "uas"), _said(interval_s, refresher, peer_supports=supports)


def min_se(limits: Limits) -> tuple[str, str]:
    """Return the header of a 422."""
    return "Min-SE", str(max(limits.min_session_s, LEAST_S))


def asking(session: Session | None) -> tuple[tuple[str, str], ...]:
    """Return the headers with which our own re-INVITE or UPDATE keeps a session's terms."""
    if session is None:
        return ()
    refresher = "uac" if session.we_refresh else "uas"
    return (("Session-Expires", f"{session.interval_s};refresher={refresher}"), ("Min-SE", str(LEAST_S)))


def answered(session: Session | None, response: Response) -> Session | None:
    """Return the session after the 2xx to a re-INVITE or UPDATE of ours.

    A peer that says nothing knows nothing of timers: what we refreshed we go on refreshing (section 7.2).
    """
    try:
        said = _session_expires(response.headers)
    except SipError:
        said = None
    if said is None:
        return session if session is not None and session.we_refresh else None
    return Session(max(said.interval_s, LEAST_S), said.refresher != "uas")


def raised(session: Session, response: Response) -> Session:
    """Return the session to ask for after a 422 to ours."""
    return Session(max(session.interval_s, _min_se(response.headers)), session.we_refresh)


def _said(interval_s: int, refresher: str, *, peer_supports: bool) -> tuple[tuple[str, str], ...]:
    said = (("Session-Expires", f"{interval_s};refresher={refresher}"),)
    # Required of the peer when the peer is to refresh; "Should" otherwise, where it knows of timers (section 9).
    return (*said, ("Require", "timer")) if peer_supports else said


def _session_expires(headers: Headers) -> _Asked | None:
    value = headers.get("session-expires")
    if value is None:
        return None
    seconds, semicolon, rest = value.partition(";")
    refresher = (parameter(parse_parameters(semicolon + rest), "refresher") or "").lower()
    if refresher not in {"", "uac", "uas"}:
        raise bad("Session-Expires")
    return _Asked(_seconds(seconds, "Session-Expires"), refresher)


def _min_se(headers: Headers) -> int:
    value = headers.get("min-se")
    try:
        return 0 if value is None else _seconds(value.partition(";")[0], "Min-SE")
    except SipError:
        return 0


def _seconds(text: str, name: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise bad(name)
    return min(int(digits[:12]), _MOST_S)
