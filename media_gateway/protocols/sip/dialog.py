"""A dialog as its called side keeps it (RFC 3261, section 12)."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from enum import Enum

from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import Address, SipError, Uri, bad, parse_address
from media_gateway.protocols.sip.message import Request
from media_gateway.protocols.sip.replies import DEFAULT_PORT


class DialogState(Enum):
    """How far a call has come."""

    EARLY = "early"
    """Not answered yet."""
    ACCEPTED = "accepted"
    """Answered with 200; the ACK has not come."""
    CONFIRMED = "confirmed"
    ENDED = "ended"


class Dialog:
    """One call of one caller. Doors read it and use it as a key; all but `features` only the endpoint changes."""

    __slots__ = (
        "call_id",
        "features",
        "flow",
        "local",
        "local_cseq",
        "methods",
        "remote",
        "remote_cseq",
        "remote_target",
        "routes",
        "secure",
        "state",
        "symmetric",
    )

    def __init__(self, call_id: str, local: Address, remote: Address, remote_target: Uri, flow: Flow) -> None:
        self.call_id = call_id
        self.local = local
        """Whom the caller called (To), with our tag."""
        self.remote = remote
        """Who calls (From), with its tag."""
        self.remote_target = remote_target
        """The peer's Contact."""
        self.features = ""
        """Parameters of our Contact (RFC 3840), such as ;+sip.srs; set by the door before it answers."""
        self.flow = flow
        """Where its last request came from."""
        self.routes: tuple[str, ...] = ()
        """The proxies that asked to stay on the path (Record-Route), as requests of ours name them."""
        self.local_cseq = 0
        self.remote_cseq = 0
        self.methods: frozenset[str] = frozenset()
        """What the peer says that it understands (Allow), in upper case; empty: it did not say."""
        self.state = DialogState.EARLY
        self.secure = False
        """Whether our Contact is a sips URI."""
        self.symmetric = False
        """Whether the peer itself, with no proxy between, listens where it sends from (rport; RFC 3581)."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Call-ID, our tag, the peer's tag: by these its requests are found."""
        return self.call_id, self.local.tag, self.remote.tag

    def learn(self, request: Request, flow: Flow) -> None:
        """Take from an INVITE or UPDATE of the peer's where it is to be reached now (target refresh).

        Raises:
            SipError: its Contact is missing or malformed.
        """
        self.remote_target = contact_of(request)
        self.flow = flow
        self.symmetric = len(request.vias) == 1 and request.vias[0].parameter("rport") is not None
        if "allow" in request.headers:
            self.methods = frozenset(name.upper() for name in request.headers.tokens("allow"))

    def next_hop(self) -> Flow:
        """Return where our requests in this dialog go.

        A connection is kept to. A datagram goes to the first route or the peer's Contact, unless that is a name, or
        the peer sits behind an address translation: then to where the peer sends from.
        """
        if self.flow.is_reliable:
            return self.flow
        target = parse_address(self.routes[0]).uri if self.routes else self.remote_target
        place = _numeric(target.host)
        source = _numeric(self.flow.remote[0])
        if place is None or target.scheme != "sip" or (target.parameter("transport") or "udp").lower() != "udp":
            return self.flow
        if self.symmetric and not self.routes:
            return self.flow
        if source is not None and ((place.is_private and not source.is_private) or place.is_unspecified):
            return self.flow
        return replace(self.flow, remote=(target.host, target.port or DEFAULT_PORT["udp"]))

    def reopened(self) -> Flow:
        """Return the flow that asks for a new connection to the peer, its own having broken."""
        target = parse_address(self.routes[0]).uri if self.routes else self.remote_target
        port = target.port or DEFAULT_PORT[self.flow.kind]
        return replace(self.flow, remote=(target.host or self.flow.remote[0], port), id=0)

    def addressing(self) -> tuple[str, list[tuple[str, str]]]:
        """Return the Request-URI of our requests in this dialog, and their From, To, Call-ID and Route."""
        fields = [("From", str(self.local)), ("To", str(self.remote)), ("Call-ID", self.call_id)]
        target = str(self.remote_target)
        routes = list(self.routes)
        if routes:
            first = parse_address(routes[0]).uri
            if first.parameter("lr") is None:  # a strict router (RFC 3261, section 12.2.1.1)
                routes = [*routes[1:], f"<{target}>"]
                target = str(replace(first, headers=""))
        return target, fields + [("Route", route) for route in routes]


def open_dialog(request: Request, flow: Flow, tag: str) -> Dialog:
    """Return the dialog that an INVITE begins; `tag` is ours.

    Raises:
        SipError: its Contact or a Record-Route is missing or malformed.
    """
    dialog = Dialog(request.call_id, request.to.with_tag(tag), request.sender, contact_of(request), flow)
    dialog.learn(request, flow)
    routes = request.headers.values("record-route")
    for route in routes:
        if parse_address(route).uri.scheme not in {"sip", "sips"}:
            raise bad("Record-Route")
    dialog.routes = tuple(routes)
    dialog.remote_cseq = request.cseq
    return dialog


def contact_of(request: Request) -> Uri:
    """Return the one Contact of a request that begins a dialog or changes its target.

    Raises:
        SipError: there is none, or not one.
    """
    contacts = request.headers.values("contact")
    if not contacts:
        raise SipError(400, "Missing Contact")
    if len(contacts) > 1 or contacts[0] == "*":
        raise bad("Contact")
    uri = parse_address(contacts[0]).uri
    if uri.scheme not in {"sip", "sips"}:
        raise bad("Contact")
    return replace(uri, headers="")


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
