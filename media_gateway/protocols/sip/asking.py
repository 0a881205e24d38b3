"""Our own requests in a dialog (RFC 3261, section 12.2.1)."""

from __future__ import annotations

from collections.abc import Callable

from media_gateway.protocols.sip.dialog import Dialog
from media_gateway.protocols.sip.digest import Credentials
from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.message import Response, serialise
from media_gateway.protocols.sip.stack import MAGIC, MAX_FORWARDS, Fields, OnFinal, Stack, user_of
from media_gateway.protocols.sip.transactions import ClientTransaction


class Asker:
    """Sends requests in one dialog: numbered, addressed, and again with our password where one is asked for."""

    def __init__(self, stack: Stack, dialog: Dialog, credentials: Callable[[Dialog], Credentials | None]) -> None:
        self._stack = stack
        self._dialog = dialog
        self._credentials = credentials
        self.current: ClientTransaction | None = None
        """The re-INVITE or UPDATE that has no final response yet; whoever takes that sets None."""
        self.is_flow_lost = False
        """Whether the connection that the dialog came over broke, and no request has come over another."""

    def ask(self, method: str, final: OnFinal, now_s: float, headers: Fields = (), body: bytes = b"") -> None:
        """Send a request; `final` gets its final response, or None with 408 or 503."""
        self._ask(method, final, now_s, tuple(headers), body, ())

    def _ask(self, method: str, final: OnFinal, now_s: float, headers: Fields, body: bytes, proof: Fields) -> None:
        def answered(response: Response | None, status: int, at_s: float) -> None:
            mine = self._credentials(self._dialog) if status in {401, 407} and not proof else None
            if mine is not None and response is not None and mine.take(response):
                target, _ = self._dialog.addressing()
                self._ask(method, final, at_s, headers, body, mine.header(method, target, self._stack.rng))
            else:
                final(response, status, at_s)

        dialog = self._dialog
        dialog.local_cseq += 1
        target, fields = dialog.addressing()
        flow = dialog.reopened() if self.is_flow_lost and dialog.flow.is_reliable else dialog.next_hop()
        fields += [*headers, *proof]
        asked = self._stack.request(method, target, flow, fields, dialog.local_cseq, answered, now_s, body)
        if method in {"INVITE", "UPDATE"}:
            self.current = asked

    def acknowledge(self, asked: ClientTransaction, response: Response) -> None:
        """Send the ACK of a 2xx to our INVITE, and again whenever the 2xx is (RFC 3261, section 13.2.2.4)."""
        self.learn_target(response)
        target, fields = self._dialog.addressing()
        flow = self._dialog.next_hop()
        lines = [("Via", self._stack.via(flow, MAGIC + self._stack.token())), ("Max-Forwards", str(MAX_FORWARDS))]
        asked.ack = (flow, serialise(f"ACK {target} SIP/2.0", [*lines, *fields, ("CSeq", f"{response.cseq} ACK")]))
        self._stack.send(*asked.ack)

    def learn_target(self, response: Response) -> None:
        """Take from a 2xx where the peer is to be reached now."""
        try:
            contacts = response.addresses("contact")
        except SipError:
            return
        if contacts and contacts[0].uri.scheme in {"sip", "sips"}:
            self._dialog.remote_target = contacts[0].uri

    def contact(self) -> tuple[str, str]:
        """Return our own Contact in this dialog."""
        dialog = self._dialog
        uri = self._stack.contact_uri(dialog.flow, user_of(dialog.local.uri), secure=dialog.secure)
        return "Contact", f"<{uri}>{dialog.features}"
