"""What all of one endpoint shares: its transactions and timers, its names, what is to be sent and told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from random import Random

from media_gateway.protocols.sip.events import Event
from media_gateway.protocols.sip.flow import Flow, HostPort
from media_gateway.protocols.sip.grammar import Uri, host_text
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request, Response, serialise
from media_gateway.protocols.sip.replies import reply, reply_flow
from media_gateway.protocols.sip.timers import Timers
from media_gateway.protocols.sip.transactions import ClientTransaction, ServerTransaction

MAGIC = "z9hG4bK"
"""How the branches of RFC 3261 begin."""
MAX_FORWARDS = 70

OnFinal = Callable[[Response | None, int, float], None]
Fields = Iterable[tuple[str, str]]


class Stack:
    """The layer of transactions under calls and registrations (RFC 3261, section 17).

    Server transactions are bounded by `Limits.transactions`; those of our own requests by the calls and
    registrations, each of which has few at a time.
    """

    def __init__(self, limits: Limits, contact: Callable[[Flow], HostPort], server: str, rng: Random) -> None:
        self.limits = limits
        self.contact = contact
        self.server = server
        self.rng = rng
        self.timers = Timers()
        self.outgoing: list[tuple[Flow, bytes]] = []
        self.events: list[Event] = []
        self.servers: dict[tuple[str, ...], ServerTransaction] = {}
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self._invites: dict[tuple[str, str, int], ServerTransaction] = {}
        self._key = rng.getrandbits(256).to_bytes(32, "big")

    def send(self, flow: Flow, data: bytes) -> None:
        """Put a message on its way."""
        self.outgoing.append((flow, data))

    def token(self, bits: int = 80) -> str:
        """Return a name that nobody guesses."""
        return f"{self.rng.getrandbits(bits):0{bits // 4}x}"

    def tag_for(self, call_id: str, sender_tag: str, branch: str) -> str:
        """Return our tag in an answer that leaves no state: the same each time."""
        text = f"{call_id}\0{sender_tag}\0{branch}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._key, digest_size=10).hexdigest()

    # The peers' requests

    def server_for(self, request: Request, flow: Flow) -> ServerTransaction | None:
        """Return the transaction of which `request` is a repetition, an ACK or (as INVITE) a CANCEL's."""
        return self.servers.get(server_key(request, flow))

    def open_server(self, request: Request, flow: Flow) -> ServerTransaction | None:
        """Begin a transaction for a new request; None: there are too many."""
        if len(self.servers) >= self.limits.transactions:
            return None
        key = server_key(request, flow)
        found = ServerTransaction(key, request, flow, reply_flow(request.vias[0], flow), self.send, self.timers)
        found.on_end = self._forget_server
        self.servers[key] = found
        if request.method == "INVITE":
            self._invites[_merge_key(request)] = found
        return found

    def is_merged(self, request: Request) -> bool:
        """Return whether the same INVITE runs already, having come by another way (RFC 3261, section 8.2.2.2)."""
        return _merge_key(request) in self._invites

    def answer(
        self,
        request: Request,
        flow: Flow,
        status: int,
        reason: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        tag: str = "",
    ) -> None:
        """Send a response that leaves no state."""
        tag = tag or self.tag_for(request.call_id, request.sender.tag, request.vias[0].branch)
        named = (("Server", self.server), *headers)
        data = reply(request, flow, status, reason, tag=tag, headers=named, body=body)
        self.send(reply_flow(request.vias[0], flow), data)

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str,
        now_s: float,
        *,
        headers: Fields = (),
        body: bytes = b"",
        tag: str = "",
    ) -> bool:
        """Send a response of a transaction; False: it has its final one."""
        request, flow = transaction.request, transaction.flow
        named = (("Server", self.server), *headers)
        data = reply(request, flow, status, reason, tag=tag, headers=named, body=body)
        return transaction.respond(status, data, now_s)

    def _forget_server(self, transaction: ServerTransaction) -> None:
        self.servers.pop(transaction.key, None)
        if transaction.request.method == "INVITE":
            key = _merge_key(transaction.request)
            if self._invites.get(key) is transaction:
                del self._invites[key]

    # Our own requests

    def request(
        self,
        method: str,
        target: str,
        flow: Flow,
        headers: Fields,
        cseq: int,
        on_final: OnFinal,
        now_s: float,
        body: bytes = b"",
    ) -> ClientTransaction:
        """Send a request in a transaction of its own. `headers` has all but Via, Max-Forwards, CSeq, User-Agent."""
        branch = MAGIC + self.token()
        kept = list(headers)
        lines = [("Via", self.via(flow, branch)), ("Max-Forwards", str(MAX_FORWARDS)), *kept]
        lines += [("CSeq", f"{cseq} {method}"), ("User-Agent", self.server)]

        def ack_for(response: Response) -> bytes:
            same = [(name, value) for name, value in kept if name in {"From", "Call-ID", "Route"}]
            rest = [("To", response.headers.get("to") or ""), ("CSeq", f"{cseq} ACK")]
            return serialise(f"ACK {target} SIP/2.0", [*lines[:2], *same, *rest])

        data = serialise(f"{method} {target} SIP/2.0", lines, body)
        found = ClientTransaction(branch, method, flow, data, self.send, self.timers, on_final, now_s, ack_for)
        found.on_end = self._forget_client
        self.clients[found.key] = found
        return found

    def receive_response(self, response: Response, flow: Flow, now_s: float) -> ClientTransaction | None:
        """Give a response to its transaction; None: there is none, and it is dropped (RFC 3261, section 18.1.2)."""
        if len(response.vias) != 1:
            return None
        found = self.clients.get((response.vias[0].branch, response.method))
        if found is None:
            return None
        if flow.is_reliable and found.flow.id != flow.id and found.flow.id == 0:
            found.flow = flow
        found.receive(response, now_s)
        return found

    def flow_lost(self, flow: Flow, now_s: float) -> None:
        """Fail what waits for answers over a connection that broke."""
        for transaction in [found for found in self.clients.values() if found.flow == flow]:
            transaction.fail(503, now_s)

    def _forget_client(self, transaction: ClientTransaction) -> None:
        self.clients.pop(transaction.key, None)

    def via(self, flow: Flow, branch: str) -> str:
        """Return our own Via on a flow; `rport` asks for answers to where we send from (RFC 3581)."""
        host, port = self.contact(flow)
        return f"SIP/2.0/{flow.kind.upper()} {host_text(host)}:{port};branch={branch};rport"

    def contact_uri(self, flow: Flow, user: str, *, secure: bool = False) -> str:
        """Return the address under which a flow's peer reaches us; `secure`: by sips (RFC 3261, section 12.1.1)."""
        host, port = self.contact(flow)
        name = f"{user}@" if user and len(user) <= 128 else ""
        transport = "" if flow.kind == "udp" or secure else f";transport={flow.kind}"
        return f"{'sips' if secure else 'sip'}:{name}{host_text(host)}:{port}{transport}"


def server_key(request: Request, flow: Flow) -> tuple[str, ...]:
    """Return what a transaction is found by (RFC 3261, section 17.2.3); the address it comes from is part of it."""
    via = request.vias[0]
    method = "INVITE" if request.method in {"ACK", "CANCEL"} else request.method
    if via.branch.lower().startswith(MAGIC.lower()) and len(via.branch) > len(MAGIC):
        return via.branch, via.host.lower(), str(via.port), method, flow.kind, flow.remote[0]
    # Of before RFC 3261: no branch to go by.
    parts = (str(request.uri), request.sender.tag, request.call_id, str(request.cseq), str(via))
    return (*parts, method, flow.kind, flow.remote[0])


def _merge_key(request: Request) -> tuple[str, str, int]:
    return request.call_id, request.sender.tag, request.cseq


def needs_sips(request: Request) -> bool:
    """Return whether our Contact has to be a sips URI (RFC 3261, section 12.1.1)."""
    above = request.headers.values("record-route")
    first = above[0] if above else request.headers.get("contact") or ""
    return request.uri.scheme == "sips" or "sips:" in first.partition(">")[0].lower()


def user_of(uri: Uri) -> str:
    """Return the user part for our Contact: the one that was called, so that routing by number goes on working."""
    return uri.user if uri.scheme in {"sip", "sips", "tel"} else ""
