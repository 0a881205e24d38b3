"""One SIP endpoint: what comes in, what goes out, and what doors may do with a call.

It answers calls and registers; it places none. Every method takes the time, in seconds on any clock that runs
evenly; call `tick` when `next_due_s` has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random, SystemRandom

from media_gateway.protocols.sip import session_timer
from media_gateway.protocols.sip.admission import Admission, Decision, Policy, nobody
from media_gateway.protocols.sip.binding import Binding
from media_gateway.protocols.sip.call import Call
from media_gateway.protocols.sip.dialog import Dialog, DialogState, open_dialog
from media_gateway.protocols.sip.digest import ALGORITHMS, Credentials, Guard
from media_gateway.protocols.sip.events import Event, Invite, Reinvite
from media_gateway.protocols.sip.flow import Flow, HostPort
from media_gateway.protocols.sip.grammar import SipError, parse_uri
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Malformed, Request, Response, parse_message
from media_gateway.protocols.sip.registration import Registration
from media_gateway.protocols.sip.replies import reply_to_malformed
from media_gateway.protocols.sip.screening import ALLOW, Refusal, check
from media_gateway.protocols.sip.stack import Stack, needs_sips, server_key
from media_gateway.protocols.sip.stream import PING, PONG
from media_gateway.protocols.sip.transactions import ServerTransaction, Stage

__all__ = ["Decision", "UserAgent", "nobody"]


class UserAgent:
    """A SIP endpoint without sockets."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        authenticate: Policy = nobody,
        password_of: Callable[[str], str | None] = lambda _user: None,
        realm: str = "hearline",
        algorithms: tuple[str, ...] = ALGORITHMS,
        contact: Callable[[Flow], HostPort] = lambda flow: flow.local,
        accepts: tuple[str, ...] = (
            "application/sdp",
            "multipart/mixed",
            "application/rs-metadata+xml",
            "application/rs-metadata",
        ),
        extensions: tuple[str, ...] = ("timer", "siprec"),
        server: str = "Hearline",
        refused: Callable[[str], None] = lambda _reason: None,
        failed: Callable[[str, str], None] = lambda _user, _host: None,
        rng: Random | None = None,
    ) -> None:
        """Make an endpoint.

        Args:
            limits: what it holds at most.
            authenticate: the policy: who may send requests outside dialogs.
            password_of: the digest password of a user; None for an unknown one.
            realm: the realm of digest challenges.
            algorithms: what is offered in them, the preferred one first; some old clients read no further than that.
            contact: the address under which peers of a flow reach us: in Contact.
            accepts: the body types that a door reads; others get 415.
            extensions: the option tags that a door supports (Supported, Require).
            server: the name in Server and User-Agent.
            refused: called with `stranger`, `wrong-password` or `silenced` (no answer at all: too many of them) when
                somebody is turned away; for counters.
            failed: called with each `wrong-password`: the name that was given, and the address it came from; for logs.
            rng: where tags, branches, nonces and jitter come from.
        """
        self._limits = limits or Limits()
        rng = rng or SystemRandom()
        self._stack = Stack(self._limits, contact, server, rng)
        guard = Guard(realm, password_of, self._limits.nonce_s, self._limits.nonces, rng, algorithms)
        self._admission = Admission(self._stack, authenticate, guard, refused, failed)
        self._accepts = accepts
        self._extensions = tuple(name.lower() for name in extensions)
        self._calls: dict[tuple[str, str, str], Call] = {}
        self._bindings: dict[str, Binding] = {}

    # What comes in

    def receive(self, data: bytes, flow: Flow, now_s: float) -> None:
        """Take one datagram, or one piece that `StreamReader` returned. Never raises over what it holds."""
        if not data.strip(b"\r\n\0"):
            if flow.is_reliable and data == PING:
                self._stack.send(flow, PONG)
            for binding in self._bindings.values():
                binding.heard(flow)
            return
        try:
            message = parse_message(data)
        except Malformed as error:
            self._malformed(error, flow, now_s)
        except SipError:
            pass  # not even a request line: nobody to answer
        else:
            if isinstance(message, Response):
                self._stack.receive_response(message, flow, now_s)
            else:
                self._request(message, flow, now_s)

    def flow_lost(self, flow: Flow, now_s: float) -> None:
        """Say that a connection broke, or that the one wanted (a flow with id 0) could not be opened."""
        for binding in list(self._bindings.values()):
            binding.flow_lost(flow, now_s)
        self._stack.flow_lost(flow, now_s)
        for call in list(self._calls.values()):
            call.flow_lost(flow, now_s)
        self._sweep()

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        self._stack.timers.fire(now_s)
        self._sweep()

    @property
    def next_due_s(self) -> float | None:
        """When `tick` has something to do; None for never."""
        return self._stack.timers.next_due_s

    def take_outgoing(self) -> list[tuple[Flow, bytes]]:
        """Return what has to be sent, in its order, once. A TCP or TLS flow with id 0 wants a new connection.

        Take it after each call of any method: nothing else bounds it.
        """
        taken, self._stack.outgoing = self._stack.outgoing, []
        return taken

    def take_events(self) -> list[Event]:
        """Return what happened, in its order, once. Take them after each call of any method."""
        taken, self._stack.events = self._stack.events, []
        return taken

    # What doors do with calls

    def ring(self, invite: Invite, now_s: float, status: int = 180, reason: str = "Ringing") -> bool:
        """Send a provisional response (repeated each minute). False: the caller has gone meanwhile."""
        found = self._of(invite)
        return found is not None and found[0].ring(found[1], status, reason, now_s)

    def accept(
        self,
        invite: Invite | Reinvite,
        body: bytes | None,
        now_s: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        content_type: str = "application/sdp",
    ) -> bool:
        """Send the 200, again until its ACK comes. False: the caller has gone meanwhile.

        `body` is the answer, or our offer where the request has none; `Acked` brings the answer to it.
        Contact, Allow, Supported and the session timer are put in by the endpoint.
        """
        found = self._of(invite)
        return found is not None and found[0].accept(found[1], body, content_type, tuple(headers), now_s)

    def refuse(
        self,
        invite: Invite | Reinvite,
        status: int,
        reason: str,
        now_s: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
    ) -> bool:
        """Send a final response of 300 to 699. False: the caller has gone meanwhile."""
        found = self._of(invite)
        return found is not None and found[0].refuse(found[1], status, reason, tuple(headers), now_s)

    def bye(self, dialog: Dialog, now_s: float, *, reason: str = "") -> None:
        """End a call; `Ended` comes when the peer has answered. `reason`: a Reason header's value (RFC 3326).

        A call not answered yet is refused with 480; one whose ACK has not come is ended when it has.
        """
        call = self._calls.get(dialog.key)
        if call is not None:
            call.bye(reason, now_s)

    def reinvite(self, dialog: Dialog, sdp: bytes, now_s: float) -> bool:
        """Offer `sdp` in a running call. False: an exchange is under way, or the call is not confirmed; try later.

        `ReinviteAccepted` or `ReinviteFailed` says what came of it.
        """
        call = self._calls.get(dialog.key)
        return call is not None and call.reinvite(sdp, now_s)

    def update(
        self,
        dialog: Dialog,
        body: bytes,
        content_type: str,
        now_s: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
    ) -> bool:
        """Send an UPDATE with a body that is no SDP, such as a request for a snapshot (RFC 7866, section 8.2).

        False as with `reinvite`. Nothing is told when it goes well; `ReinviteFailed` otherwise.
        """
        call = self._calls.get(dialog.key)
        return call is not None and call.update(body, content_type, tuple(headers), now_s)

    def probe(self, dialog: Dialog, now_s: float) -> bool:
        """Ask whether the peer of a running call is still there; `Ended` with `gone` comes if it is not.

        False: it is being asked already, a session timer finds out, or the call is not confirmed.
        """
        call = self._calls.get(dialog.key)
        return call is not None and call.probe(now_s)

    def dialogs(self) -> list[Dialog]:
        """Return the calls that are not over."""
        return [call.dialog for call in self._calls.values() if call.dialog.state is not DialogState.ENDED]

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is under way: no call, no BYE without its answer, no registration being taken back."""
        return not self._calls and not any(binding.is_leaving for binding in self._bindings.values())

    # Registrations

    def register(self, registration: Registration, flow: Flow, now_s: float) -> None:
        """Register over `flow`, and stay registered; again with another flow to move there.

        Raises:
            SipError: the AOR or the registrar is no URI.
        """
        for uri in (registration.aor, registration.registrar):
            parse_uri(uri)
        binding = self._bindings.get(registration.aor)
        if binding is None:
            self._bindings[registration.aor] = binding = Binding(self._stack, registration, flow)
            binding.begin(now_s)
        else:
            binding.move(registration, flow, now_s)

    def unregister(self, registration: Registration, now_s: float) -> None:
        """Take the binding back; `Unregistered` comes when that is through."""
        binding = self._bindings.get(registration.aor)
        if binding is not None:
            binding.end(now_s)

    def _sweep(self) -> None:
        for aor in [aor for aor, binding in self._bindings.items() if binding.is_over]:
            del self._bindings[aor]

    def _credentials(self, dialog: Dialog) -> Credentials | None:
        """Return our name and password for a call whose requests go to where we are registered; for no other.

        What the peer calls itself does not count: a challenge of its own would bring it a proof of our password.
        """
        host = dialog.next_hop().remote[0]
        for binding in self._bindings.values():
            if binding.flow.remote[0] == host:
                return Credentials(binding.registration.user, binding.registration.password)
        return None

    # Requests

    def _request(self, request: Request, flow: Flow, now_s: float) -> None:
        transaction = self._stack.server_for(request, flow)
        if request.method == "ACK":
            self._ack(request, transaction, now_s)
        elif request.method == "CANCEL":
            self._cancel(request, transaction, flow, now_s)
        elif transaction is not None:
            transaction.again()
        elif request.to.tag:
            self._inside(request, flow, now_s)
        else:
            self._outside(request, flow, now_s)

    def _ack(self, request: Request, transaction: ServerTransaction | None, now_s: float) -> None:
        if transaction is not None and transaction.stage is Stage.COMPLETED:
            transaction.ack(now_s)
            return
        call = self._calls.get((request.call_id, request.to.tag, request.sender.tag))
        if call is not None:
            call.ack(request, now_s)

    def _cancel(self, request: Request, transaction: ServerTransaction | None, flow: Flow, now_s: float) -> None:
        if transaction is None:
            if self._admission.admits(flow, now_s):
                self._stack.answer(request, flow, 481, "Call/Transaction Does Not Exist")
            return
        self._stack.answer(request, flow, 200, "OK", tag=transaction.tag)
        if transaction.on_cancel is not None:
            transaction.on_cancel(now_s)

    def _inside(self, request: Request, flow: Flow, now_s: float) -> None:
        """Take a request in a dialog; whoever knows our tag in it is its peer."""
        call = self._calls.get((request.call_id, request.to.tag, request.sender.tag))
        if call is None:
            if self._admission.hears(request, flow, now_s):
                self._stack.answer(request, flow, 481, "Call/Transaction Does Not Exist")
            return
        try:
            if request.cseq <= call.dialog.remote_cseq:
                raise Refusal(500, "Server Internal Error")  # out of order (RFC 3261, section 12.2.2)
            check(request, self._accepts, self._extensions)
        except Refusal as refusal:
            self._refuse(request, flow, refusal)
            return
        transaction = self._stack.open_server(request, flow)
        if transaction is None:
            self._refuse(request, flow, Refusal(503, "Service Unavailable", ("Retry-After", "10")))
            return
        call.dialog.remote_cseq = request.cseq
        call.receive(transaction, now_s)

    def _outside(self, request: Request, flow: Flow, now_s: float) -> None:
        user = self._admission.admit(request, flow, now_s)
        if user is None:
            return
        try:
            check(request, self._accepts, self._extensions)
            match request.method:
                case "OPTIONS":
                    accept = ("Accept", ", ".join(self._accepts))
                    self._stack.answer(request, flow, 200, "OK", headers=(ALLOW, accept, self._supported))
                case "INVITE":
                    self._invite(request, flow, user, now_s)
                case _:  # BYE, UPDATE, INFO
                    raise Refusal(481, "Call/Transaction Does Not Exist")
        except Refusal as refusal:
            self._refuse(request, flow, refusal)
        except SipError as error:
            headers = (session_timer.min_se(self._limits),) if error.status == 422 else ()
            self._refuse(request, flow, Refusal(error.status, error.reason, *headers))

    def _invite(self, request: Request, flow: Flow, user: str, now_s: float) -> None:
        if self._stack.is_merged(request):
            raise Refusal(482, "Loop Detected")
        session_timer.agree(request, self._limits)
        dialog = open_dialog(request, flow, self._stack.token())
        dialog.secure = needs_sips(request)
        full = len(self._calls) >= self._limits.dialogs
        transaction = None if full else self._stack.open_server(request, flow)
        if transaction is None:
            raise Refusal(503, "Service Unavailable", ("Retry-After", "10"))
        call = Call(self._stack, dialog, ", ".join(self._extensions), self._forget, self._credentials)
        self._calls[dialog.key] = call
        call.begin(transaction, user, now_s)

    # Answers

    def _refuse(self, request: Request, flow: Flow, refusal: Refusal) -> None:
        self._stack.answer(request, flow, refusal.status, refusal.reason, headers=refusal.headers)

    def _malformed(self, error: Malformed, flow: Flow, now_s: float) -> None:
        """Answer a malformed request to where it came from, as often as strangers are answered."""
        if error.method in {"", "ACK"} or "via" not in error.headers:
            return
        if self._admission.admits(flow, now_s):
            self._stack.send(flow, reply_to_malformed(error, self._stack.token(), (("Server", self._stack.server),)))

    @property
    def _supported(self) -> tuple[str, str]:
        return "Supported", ", ".join(self._extensions)

    def _of(self, invite: Invite | Reinvite) -> tuple[Call, ServerTransaction] | None:
        transaction = self._stack.servers.get(server_key(invite.request, invite.flow))
        call = self._calls.get(invite.dialog.key)
        return None if call is None or transaction is None else (call, transaction)

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.dialog.key, None)
