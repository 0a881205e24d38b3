"""Responses: built from the request they answer, and where they go (RFC 3261, sections 8.2.6 and 18.2; RFC 3581)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import Parameters, Via
from media_gateway.protocols.sip.message import Headers, Malformed, Request, serialise

DEFAULT_PORT = {"udp": 5060, "tcp": 5060, "tls": 5061}


def reply_flow(via: Via, flow: Flow) -> Flow:
    """Return where responses go: over the connection, or to where the datagram came from.

    A `maddr` is not followed: nobody but the sender gets an answer.
    """
    if flow.is_reliable or via.parameter("rport") is not None:
        return flow
    return replace(flow, remote=(flow.remote[0], via.port or DEFAULT_PORT[flow.kind]))


def reply(
    request: Request,
    flow: Flow,
    status: int,
    reason: str,
    *,
    tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """Return a response to `request`, which came over `flow`; `tag` is ours in To, where the request has none."""
    vias = request.headers.values("via")
    vias[0] = str(_received(request.vias[0], flow))
    to = request.headers.get("to") or ""
    if tag and not request.to.tag:
        to += f";tag={tag}"
    lines = [("Via", via) for via in vias]
    lines += [("From", request.headers.get("from") or ""), ("To", to), ("Call-ID", request.call_id)]
    lines += [("CSeq", f"{request.cseq} {request.method}"), *headers]
    return serialise(f"SIP/2.0 {status} {reason}", lines, body)


def reply_to_malformed(error: Malformed, tag: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a response that repeats of a malformed request what it has; a tag is added to a To without one."""
    lines = [("Via", value) for value in error.headers.all("via")]
    lines += [(name, value) for name in ("From", "To", "Call-ID", "CSeq") for value in error.headers.all(name)[:1]]
    lines = [
        (name, f"{value};tag={tag}" if name == "To" and "tag=" not in value.lower() else value) for name, value in lines
    ]
    return serialise(f"SIP/2.0 {error.status} {error.reason}", [*lines, *headers])


def _received(via: Via, flow: Flow) -> Via:
    """Return the last hop's Via with what we saw of it."""
    host, port = flow.remote
    asked = via.parameter("rport") is not None
    if not asked and via.host == host:
        return via
    kept: Parameters = tuple(
        (name, str(port)) if name == "rport" else (name, value) for name, value in via.parameters if name != "received"
    )
    return replace(via, parameters=(*kept, ("received", host)))


def copied(headers: Headers, name: str) -> list[tuple[str, str]]:
    """Return the fields of one name as they stand, to be sent back."""
    return [(name, value) for value in headers.all(name)]
