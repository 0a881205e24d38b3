"""One call from its INVITE to its BYE: what runs in its dialog (RFC 3261, sections 13 to 15; RFC 3311; RFC 4028)."""

from __future__ import annotations

from collections.abc import Callable

from media_gateway.protocols.sip import session_timer
from media_gateway.protocols.sip.asking import Asker
from media_gateway.protocols.sip.dialog import Dialog, DialogState, contact_of
from media_gateway.protocols.sip.digest import Credentials
from media_gateway.protocols.sip.events import (
    Acked,
    Cancelled,
    Ended,
    InfoKey,
    Invite,
    Reinvite,
    ReinviteAccepted,
    ReinviteFailed,
)
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.message import Request, Response
from media_gateway.protocols.sip.replies import copied
from media_gateway.protocols.sip.screening import ALLOW, Refusal, key_in
from media_gateway.protocols.sip.session_timer import Session
from media_gateway.protocols.sip.stack import Fields, OnFinal, Stack
from media_gateway.protocols.sip.transactions import ServerTransaction, Stage

_ANSWER_WITHIN_S = 16.0
"""How long a door may think about a re-INVITE."""
_RETRY_S = 10.0
_GONE = frozenset({408, 481})
"""After these the dialog is over (RFC 3261, section 12.2.1.2)."""
_UNREACHED_PROBES = 3
"""So many that could not even be sent, one after the other, end it too."""


class Call:
    """A dialog and everything that is under way in it."""

    def __init__(
        self,
        stack: Stack,
        dialog: Dialog,
        supported: str,
        forget: Callable[[Call], None],
        credentials: Callable[[Dialog], Credentials | None],
    ) -> None:
        self.dialog = dialog
        self._stack = stack
        self._supported = supported
        self._forget = forget
        self._asker = Asker(stack, dialog, credentials)
        self._pending: ServerTransaction | None = None
        """The INVITE or UPDATE that the door has to answer."""
        self._agreed: tuple[Session | None, Fields] = (None, ())
        """What its 2xx will say of the session timer."""
        self._unacked: dict[int, ServerTransaction] = {}
        self._sdp = b""
        self._bye_wanted: str | None = None
        self._session: Session | None = None
        self._expires_s = 0.0
        self._session_alarm = stack.timers.alarm(self._session_due)
        self._is_probing = False
        self._unreached = 0
        """Probes in a row that could not be sent."""

    # The call is set up

    def begin(self, transaction: ServerTransaction, user: str, now_s: float) -> None:
        """Take the INVITE: 100, then the door's turn.

        Raises:
            SipError: it cannot be taken as it is.
        """
        request = transaction.request
        self._agreed = session_timer.agree(request, self._stack.limits)
        self._pending = transaction
        expires = (request.headers.get("expires") or "").strip()
        given_s = float(expires[:9]) if expires.isascii() and expires.isdigit() else self._stack.limits.ring_s
        reason = "expired" if given_s < self._stack.limits.ring_s else "unanswered"
        transaction.tag = self.dialog.local.tag
        transaction.on_cancel = lambda at_s: self.cancel(transaction, "cancelled", at_s)
        transaction.on_due = lambda due_s: self._unanswered(transaction, reason, due_s)
        transaction.answer_by(now_s + min(given_s, self._stack.limits.ring_s))
        self._stack.respond(transaction, 100, "Trying", now_s)
        self._emit(Invite(self.dialog, request, transaction.flow, _sdp_in(request), user))

    def ring(self, transaction: ServerTransaction, status: int, reason: str, now_s: float) -> bool:
        """Send a provisional response."""
        if transaction is not self._pending:
            return False
        headers = [*copied(transaction.request.headers, "record-route"), self._asker.contact(), ALLOW]
        return self._respond(transaction, status, reason, now_s, headers)

    def accept(
        self, transaction: ServerTransaction, body: bytes | None, content_type: str, headers: Fields, now_s: float
    ) -> bool:
        """Send the 200 of an INVITE or UPDATE."""
        if transaction is not self._pending:
            return False
        request = transaction.request
        session, said = self._agreed
        if self.dialog.state is not DialogState.EARLY and transaction.stage is Stage.TRYING:
            self.dialog.learn(request, transaction.flow)
        fields = [self._asker.contact(), ALLOW, ("Supported", self._supported), *said, *headers]
        if self.dialog.state is DialogState.EARLY:
            fields = [*copied(request.headers, "record-route"), *fields]
        if body:
            fields.append(("Content-Type", content_type))
            self._sdp = body if content_type == "application/sdp" else self._sdp
        if not self._respond(transaction, 200, "OK", now_s, fields, body or b""):
            return False
        self._pending = None
        if request.method == "INVITE":
            self._unacked[request.cseq] = transaction
            transaction.on_due = self._no_ack
        if self.dialog.state is DialogState.EARLY:
            self.dialog.state = DialogState.ACCEPTED
        self._begin_session(session, now_s)
        return True

    def refuse(self, transaction: ServerTransaction, status: int, reason: str, headers: Fields, now_s: float) -> bool:
        """Send an error to an INVITE or UPDATE; a call that was not answered yet is over with it."""
        if transaction is not self._pending:
            return False
        self._pending = None
        sent = self._respond(transaction, status, reason, now_s, headers)
        if self.dialog.state is DialogState.EARLY:
            self._over()
        return sent

    def cancel(self, transaction: ServerTransaction, reason: str, now_s: float) -> None:
        """The caller gives up an INVITE."""
        early = self.dialog.state is DialogState.EARLY
        if self.refuse(transaction, 487, "Request Terminated", (), now_s) and early:
            self._emit(Cancelled(self.dialog, reason))

    def _unanswered(self, transaction: ServerTransaction, reason: str, now_s: float) -> None:
        if reason == "expired":
            self.cancel(transaction, reason, now_s)
        elif self.refuse(transaction, 480, "Temporarily Unavailable", (), now_s):
            self._emit(Cancelled(self.dialog, reason))

    def ack(self, request: Request, now_s: float) -> None:
        """Take the ACK of a 2xx."""
        transaction = self._unacked.pop(request.cseq, None)
        if transaction is None:
            return
        transaction.ack(now_s)
        if self.dialog.state is DialogState.ENDED:
            return
        self.dialog.state = DialogState.CONFIRMED
        self._emit(Acked(self.dialog, request, _sdp_in(request)))
        if self._bye_wanted is not None:
            self.bye(self._bye_wanted, now_s)

    def _no_ack(self, now_s: float) -> None:
        if self.dialog.state is not DialogState.ENDED:
            self._end("no-ack", now_s, bye=True)

    # Requests of the peer's in the dialog

    def receive(self, transaction: ServerTransaction, now_s: float) -> None:
        """Take a new request, in order and well-formed; every one is answered, now or by the door."""
        request = transaction.request
        if self.dialog.state is DialogState.ENDED and request.method != "BYE":
            self._respond(transaction, 481, "Call/Transaction Does Not Exist", now_s)
            return
        self.dialog.flow, self._asker.is_flow_lost = transaction.flow, False
        try:
            match request.method:
                case "BYE":
                    self._bye_came(transaction, now_s)
                case "INVITE" | "UPDATE":
                    self._changed(transaction, now_s)
                case "INFO":
                    self._info(transaction, now_s)
                case "OPTIONS":
                    self._respond(transaction, 200, "OK", now_s, [ALLOW, ("Supported", self._supported)])
                case _:  # a PRACK: nothing of ours was sent reliably (RFC 3262, section 3)
                    self._respond(transaction, 481, "Call/Transaction Does Not Exist", now_s)
        except Refusal as refusal:
            self._respond(transaction, refusal.status, refusal.reason, now_s, refusal.headers)
        except SipError as error:
            headers = (session_timer.min_se(self._stack.limits),) if error.status == 422 else ()
            self._respond(transaction, error.status, error.reason, now_s, headers)

    def _changed(self, transaction: ServerTransaction, now_s: float) -> None:
        request = transaction.request
        offers = request.method == "INVITE" or bool(request.body)
        if offers:
            self._check_turn(request)
        agreed = session_timer.agree(request, self._stack.limits)
        contact_of(request)
        if not offers:
            session, said = agreed
            self.dialog.learn(request, transaction.flow)
            headers = [self._asker.contact(), ALLOW, ("Supported", self._supported), *said]
            self._respond(transaction, 200, "OK", now_s, headers)
            if self.dialog.state is not DialogState.EARLY:  # else the session begins with the answer to the INVITE
                self._begin_session(session, now_s)
            return
        self._agreed, self._pending = agreed, transaction
        transaction.tag = self.dialog.local.tag
        transaction.on_cancel = lambda at_s: self.cancel(transaction, "cancelled", at_s)
        transaction.on_due = lambda due_s: self._not_decided(transaction, due_s)
        transaction.answer_by(now_s + _ANSWER_WITHIN_S)
        if request.method == "INVITE":
            self._stack.respond(transaction, 100, "Trying", now_s)
        self._emit(Reinvite(self.dialog, request, transaction.flow, _sdp_in(request)))

    def _check_turn(self, request: Request) -> None:
        """See that no other offer is under way (RFC 3261, section 14.2; RFC 3311, section 5.2)."""
        if self._asker.current is not None:
            raise Refusal(491, "Request Pending")
        is_open = self._pending is not None or (request.method == "UPDATE" and bool(self._unacked))
        if is_open or (request.method == "INVITE" and self.dialog.state is DialogState.EARLY):
            raise Refusal(500, "Server Internal Error", ("Retry-After", str(self._stack.rng.randint(0, 10))))

    def _not_decided(self, transaction: ServerTransaction, now_s: float) -> None:
        self.refuse(transaction, 500, "Server Internal Error", (), now_s)

    def _info(self, transaction: ServerTransaction, now_s: float) -> None:
        request = transaction.request
        pressed = key_in(request) if request.body else None
        if request.body and pressed is None:
            raise Refusal(400, "Bad Key")
        self._respond(transaction, 200, "OK", now_s)
        if pressed is not None:
            self._emit(InfoKey(self.dialog, *pressed))

    def _bye_came(self, transaction: ServerTransaction, now_s: float) -> None:
        self._respond(transaction, 200, "OK", now_s)
        early = self.dialog.state is DialogState.EARLY
        if self._pending is not None:
            self._respond(self._pending, 487, "Request Terminated", now_s)
        if early:
            self._over()
            self._emit(Cancelled(self.dialog, "cancelled"))
        else:
            self._end("bye", now_s)

    # What the door asks for

    def bye(self, reason: str, now_s: float) -> None:
        """End the call, as soon as that is allowed (RFC 3261, section 15)."""
        state = self.dialog.state
        if state is DialogState.EARLY:
            if self._pending is not None:
                self.refuse(self._pending, 480, "Temporarily Unavailable", (), now_s)
        elif state is DialogState.ACCEPTED:
            self._bye_wanted = reason
        elif state is DialogState.CONFIRMED:
            self._close(now_s)
            self._send_bye(reason, now_s, lambda response, _s, _n: self._gone("hung-up" if response else "failed"))

    def reinvite(self, sdp: bytes, now_s: float) -> bool:
        """Offer something else."""
        if self.dialog.state is not DialogState.CONFIRMED or self._is_busy:
            return False
        self._invite(sdp, now_s, refreshes=False)
        return True

    def update(self, body: bytes, content_type: str, headers: Fields, now_s: float) -> bool:
        """Send an UPDATE that offers nothing."""
        if self.dialog.state is not DialogState.CONFIRMED or self._is_busy:
            return False

        def final(response: Response | None, status: int, at_s: float) -> None:
            self._asker.current = None
            if status >= 300 and self.dialog.state is not DialogState.ENDED and not self._is_gone(status, at_s):
                self._emit(ReinviteFailed(self.dialog, status, response.reason if response else "No Answer"))

        fields = [self._asker.contact(), ("Supported", self._supported), *session_timer.asking(self._session)]
        self._asker.ask("UPDATE", final, now_s, [*fields, *headers, ("Content-Type", content_type)], body)
        return True

    def probe(self, now_s: float) -> bool:
        """Ask by OPTIONS whether the peer is there, where no session timer finds out (RFC 3261, section 11.2)."""
        if self.dialog.state is not DialogState.CONFIRMED or self._session is not None or self._is_probing:
            return False
        last_heard = self.dialog.remote_cseq

        def final(response: Response | None, status: int, at_s: float) -> None:
            self._is_probing = False
            if self.dialog.state is DialogState.ENDED:
                return
            if self.dialog.remote_cseq != last_heard:  # it has asked us something meanwhile
                self._unreached = 0
                return
            self._unreached = self._unreached + 1 if response is None and status not in _GONE else 0
            if self._unreached >= _UNREACHED_PROBES:
                self._end("gone", at_s, bye=True)
            else:
                self._is_gone(status, at_s)

        self._is_probing = True
        headers = [self._asker.contact(), ALLOW, ("Supported", self._supported), ("Accept", "application/sdp")]
        self._asker.ask("OPTIONS", final, now_s, headers)
        return True

    @property
    def _is_busy(self) -> bool:
        return self._asker.current is not None or self._pending is not None or bool(self._unacked)

    def _invite(self, sdp: bytes, now_s: float, *, refreshes: bool) -> None:
        def final(response: Response | None, status: int, due_s: float) -> None:
            asked, self._asker.current = self._asker.current, None
            if response is not None and status < 300:
                if asked is not None:
                    self._asker.acknowledge(asked, response)
                if self.dialog.state is DialogState.CONFIRMED:
                    self._sdp = sdp
                    self._refreshed(response, due_s)
                    self._emit(ReinviteAccepted(self.dialog, response, _sdp_in(response)))
            elif refreshes:
                self._refresh_failed(response, status, due_s)
            elif not self._is_gone(status, due_s):
                self._emit(ReinviteFailed(self.dialog, status, response.reason if response else "No Answer"))

        headers = [self._asker.contact(), ALLOW, ("Supported", self._supported), *session_timer.asking(self._session)]
        headers.append(("Content-Type", "application/sdp"))
        self._asker.ask("INVITE", final, now_s, headers, sdp)

    # The session timer

    def _begin_session(self, session: Session | None, now_s: float) -> None:
        self._session = session
        self._session_alarm.set(None if session is None else now_s + session.wait_s)
        if session is not None:
            self._expires_s = now_s + session.interval_s - min(32.0, session.interval_s / 3)

    def _session_due(self, now_s: float) -> None:
        session = self._session
        if session is None or self.dialog.state is DialogState.ENDED:
            return
        if now_s >= self._expires_s:
            self._end("session-expired", now_s, bye=True)
        elif self._is_busy:
            self._session_alarm.set(now_s + 1.0)
        elif "UPDATE" in self.dialog.methods or not self._sdp:
            headers = [self._asker.contact(), ("Supported", self._supported), *session_timer.asking(session)]
            self._asker.ask("UPDATE", self._updated, now_s, headers)
        else:
            self._invite(self._sdp, now_s, refreshes=True)

    def _updated(self, response: Response | None, status: int, now_s: float) -> None:
        self._asker.current = None
        if self.dialog.state is DialogState.ENDED:
            return
        if response is not None and status < 300:
            self._asker.learn_target(response)
            self._refreshed(response, now_s)
        elif status in {405, 501} and self._sdp:
            self.dialog.methods -= {"UPDATE"}
            self._invite(self._sdp, now_s, refreshes=True)
        else:
            self._refresh_failed(response, status, now_s)

    def _refreshed(self, response: Response, now_s: float) -> None:
        self._begin_session(session_timer.answered(self._session, response), now_s)

    def _refresh_failed(self, response: Response | None, status: int, now_s: float) -> None:
        if self.dialog.state is DialogState.ENDED or self._is_gone(status, now_s):
            return
        wait_s = self._stack.rng.uniform(0.1, 2.0) if status == 491 else _RETRY_S
        if status == 422 and response is not None and self._session is not None:
            before, self._session = self._session, session_timer.raised(self._session, response)
            wait_s = 0.1 if self._session != before else wait_s
        self._session_alarm.set(min(now_s + wait_s, max(self._expires_s, now_s)))

    # Its end

    def flow_lost(self, flow: Flow, now_s: float) -> None:
        """Its connection broke: a call that runs goes on, one that rings cannot be answered any more."""
        if self.dialog.flow != flow or self.dialog.state is DialogState.ENDED:
            return
        self._asker.is_flow_lost = True
        if self.dialog.state is DialogState.EARLY and self._pending is not None:
            self.cancel(self._pending, "flow-lost", now_s)

    def _is_gone(self, status: int, now_s: float) -> bool:
        """Whether a final response to a request of ours ends the dialog; then it is ended."""
        if status in _GONE:
            self._end("gone", now_s, bye=status == 408)
        return status in _GONE

    def _end(self, reason: str, now_s: float, *, bye: bool = False) -> None:
        self._close(now_s)
        if bye:
            self._send_bye("", now_s, lambda _r, _s, _n: None)
        self._gone(reason)

    def _close(self, now_s: float) -> None:
        """Stop what runs; nothing but the BYE's answer is awaited any more."""
        self.dialog.state = DialogState.ENDED
        self._session_alarm.set(None)
        for transaction in self._unacked.values():
            transaction.ack(now_s)
        self._unacked.clear()
        if self._pending is not None:
            self._respond(self._pending, 487, "Request Terminated", now_s)
            self._pending = None

    def _gone(self, reason: str) -> None:
        if self._over():
            self._emit(Ended(self.dialog, reason))

    def _over(self) -> bool:
        self.dialog.state = DialogState.ENDED
        self._pending = None
        forget, self._forget = self._forget, _nothing
        forget(self)
        return forget is not _nothing

    def _send_bye(self, reason: str, now_s: float, final: OnFinal) -> None:
        self._asker.ask("BYE", final, now_s, [("Reason", reason)] if reason else [])

    # How things are said

    def _respond(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str,
        now_s: float,
        headers: Fields = (),
        body: bytes = b"",
    ) -> bool:
        if transaction.stage is not Stage.TRYING:
            return False
        tag = self.dialog.local.tag
        return self._stack.respond(transaction, status, reason, now_s, headers=headers, body=body, tag=tag)

    def _emit(
        self, event: Acked | Cancelled | Ended | InfoKey | Invite | Reinvite | ReinviteAccepted | ReinviteFailed
    ) -> None:
        self._stack.events.append(event)


def _nothing(_call: Call) -> None:
    """Forget what is forgotten already."""


def _sdp_in(message: Request | Response) -> bytes | None:
    return message.body if message.body and message.media_type == "application/sdp" else None
