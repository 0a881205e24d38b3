"""A caller and the endpoint, message by message: what ladder diagrams are written with."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from media_gateway.protocols.sip.agent import Decision, UserAgent
from media_gateway.protocols.sip.dialog import Dialog
from media_gateway.protocols.sip.events import Event, Invite
from media_gateway.protocols.sip.flow import Flow, FlowKind
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request, Response, parse_message

OURS = ("192.0.2.1", 5060)
THEIRS = ("198.51.100.9", 5070)
PHONE = Flow("udp", OURS, THEIRS)
WIRE = Flow("tcp", OURS, ("198.51.100.9", 49_152), 1)
OFFER = b"v=0\r\no=- 1 1 IN IP4 198.51.100.9\r\ns=-\r\n"
ANSWER = b"v=0\r\no=- 9 9 IN IP4 192.0.2.1\r\ns=-\r\n"

_E = TypeVar("_E", bound=Event)


def everybody(_request: Request, _flow: Flow) -> Decision:
    """The policy of a house whose door stands open."""
    return Decision.TRUST


@dataclass
class Caller:
    """The other side of one call, written by hand."""

    flow: Flow = PHONE
    call_id: str = "c1"
    tag: str = "caller"
    to_tag: str = ""
    number: str = "+15550100"
    contact: str = "<sip:ann@198.51.100.9:5070>"
    cseq: int = 0
    route: tuple[str, ...] = ()
    """Record-Route values of the proxies between."""
    rport: bool = True
    _branch: dict[str, str] = field(default_factory=dict)

    def request(
        self,
        method: str,
        *headers: str,
        body: bytes = b"",
        content_type: str = "application/sdp",
        cseq: int | None = None,
        branch: str | None = None,
        uri: str = "",
        to_tag: str | None = None,
        flow: Flow | None = None,
    ) -> bytes:
        """A request; without `cseq` the next number, with ACK and CANCEL the INVITE's."""
        if cseq is None:
            self.cseq += method not in {"ACK", "CANCEL"}
            cseq = self.cseq
        if branch is None:
            branch = f"z9hG4bK-{self.call_id}-{cseq}-{'INVITE' if method == 'CANCEL' else method}"
        flow = flow or self.flow
        tag = self.to_tag if to_tag is None else to_tag
        host, port = flow.remote
        lines = [
            f"{method} {uri or f'sip:{self.number}@192.0.2.1'} SIP/2.0",
            f"Via: SIP/2.0/{flow.kind.upper()} {host}:{port};branch={branch}{';rport' if self.rport else ''}",
            *(f"Record-Route: {route}" for route in self.route),
            "Max-Forwards: 70",
            f'From: "Ann" <sip:ann@pbx.example>;tag={self.tag}',
            f"To: <sip:{self.number}@192.0.2.1>{f';tag={tag}' if tag else ''}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            *([f"Contact: {self.contact}"] if self.contact and method in {"INVITE", "UPDATE"} else []),
            *headers,
            *([f"Content-Type: {content_type}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Ladder:
    """The endpoint, its clock, and what went out and up since it was last asked."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        authenticate: Callable[[Request, Flow], Decision] = everybody,
        users: dict[str, str] | None = None,
        contact: Callable[[Flow], tuple[str, int]] = lambda flow: flow.local,
    ) -> None:
        self.now_s = 1000.0
        self.refused: Counter[str] = Counter()
        self.agent = UserAgent(
            limits,
            authenticate=authenticate,
            password_of=(users or {}).get,
            contact=contact,
            refused=lambda reason: self.refused.update([reason]),
            rng=random.Random(4711),
        )

    def send(self, data: bytes, flow: Flow = PHONE) -> list[Request | Response]:
        """Let a message come in; return what goes out for it."""
        self.agent.receive(data, flow, self.now_s)
        return self.out()

    def out(self) -> list[Request | Response]:
        """What went out since it was last asked."""
        return [parse_message(data) for _, data in self.agent.take_outgoing()]

    def wait(self, seconds: float) -> list[Request | Response]:
        """Let time pass, each timer at its own moment; return what goes out."""
        end_s = self.now_s + seconds
        out: list[Request | Response] = []
        while (due_s := self.agent.next_due_s) is not None and due_s <= end_s:
            assert due_s >= self.now_s
            self.now_s = due_s
            self.agent.tick(due_s)
            out += self.out()
        self.now_s = end_s
        return out

    def until_sent(self) -> list[tuple[Flow, bytes]]:
        """Let time pass until something goes out."""
        while not (sent := self.agent.take_outgoing()):
            due_s = self.agent.next_due_s
            assert due_s is not None
            self.now_s = due_s
            self.agent.tick(due_s)
        return sent

    def event(self, kind: type[_E]) -> _E:
        """The one event that happened."""
        (event,) = self.agent.take_events()
        assert isinstance(event, kind), event
        return event

    def silent(self) -> bool:
        """Whether nothing went up."""
        return not self.agent.take_events()

    def invited(self, caller: Caller, *headers: str, body: bytes = OFFER) -> Invite:
        """Let `caller` call; return the event."""
        self.send(caller.request("INVITE", *headers, body=body), caller.flow)
        invite = self.event(Invite)
        caller.to_tag = invite.dialog.local.tag
        return invite

    def talking(self, caller: Caller, *headers: str) -> Dialog:
        """A call that is answered and acknowledged."""
        invite = self.invited(caller, *headers)
        assert self.agent.accept(invite, ANSWER, self.now_s)
        self.send(caller.request("ACK"), caller.flow)
        self.agent.take_events()
        self.out()
        return invite.dialog


def starts(messages: Iterable[Request | Response]) -> list[str]:
    """The first lines: `180 Ringing`, `BYE`."""
    return [f"{m.status} {m.reason}" if isinstance(m, Response) else m.method for m in messages]


def answer_to(request: Request, status: int, reason: str = "OK", *headers: str, body: bytes = b"") -> bytes:
    """A peer's response to a request of ours."""
    lines = [f"SIP/2.0 {status} {reason}"]
    lines += [f"{name}: {v}" for name in ("Via", "From", "To", "Call-ID", "CSeq") for v in request.headers.all(name)]
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


def only(messages: list[Request | Response], method: str) -> Request:
    """The one request of ours that went out."""
    (found,) = [m for m in messages if isinstance(m, Request)]
    assert found.method == method, found.method
    return found


def over(kind: FlowKind, number: int = 1) -> Flow:
    """A connection."""
    return Flow(kind, OURS, ("198.51.100.9", 49_152), number)
