"""Who calls, and whom: what an INVITE says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from media_gateway.protocols.sip.grammar import SipError, Uri
from media_gateway.protocols.sip.message import Request

_NOBODY: Final = frozenset({"", "anonymous", "unknown", "unavailable", "restricted", "asterisk"})
_LONGEST: Final = 64
_LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Parties:
    """The numbers or names of a call's two ends; None where one is withheld or not said."""

    caller: str | None
    called: str | None


def parties(request: Request, *, ours: str | None = None) -> Parties:
    """Return who calls and whom.

    Whom: the Request-URI says. Where that is only our own name at a registrar (`ours`), To has the number dialled.
    Who: P-Asserted-Identity, or From where there is none (RFC 3325, section 9.1; only peers whom we trust are let in
    at all). A caller who wants to stay unknown does (Privacy, RFC 3323, section 4.2).
    """
    called = _said(request.uri)
    if ours is not None and called in {ours, None}:
        called = _said(request.to.uri) or called
    if request.headers.tokens("privacy") & {"id", "user"}:
        return Parties(None, called)
    try:
        asserted = [_said(address.uri) for address in request.addresses("p-asserted-identity")]
    except SipError:
        asserted = []
    return Parties(next((number for number in asserted if number), _said(request.sender.uri)), called)


def _said(uri: Uri) -> str | None:
    number = "".join(filter(str.isprintable, uri.number))[:_LONGEST]
    return None if number.lower() in _NOBODY else number


def is_plain(request: Request) -> bool:
    """Return whether what names the call (Call-ID, the tag of From) can be stored and compared everywhere."""
    names = request.call_id, request.sender.tag
    return all(len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable() for name in names)
