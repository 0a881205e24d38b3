"""One SIP endpoint: what comes in, what goes out, and what doors may do with a call.

It answers calls and registers; it places none. Every method takes the time, in seconds on any clock that runs
evenly; call `tick` when `next_due_s` has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from random import Random

from media_gateway.protocols.sip.dialog import Dialog
from media_gateway.protocols.sip.events import Event, Invite, Reinvite
from media_gateway.protocols.sip.flow import Flow, HostPort
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request
from media_gateway.protocols.sip.registration import Registration


class Decision(Enum):
    """What a policy says of a request outside dialogs."""

    TRUST = "trust"
    """Take it."""
    CHALLENGE = "challenge"
    """Take it with a user's digest; 401 until then."""
    REFUSE = "refuse"
    """403, as often as the limits on strangers allow."""
    DROP = "drop"
    """No answer at all."""


def nobody(_request: Request, _flow: Flow) -> Decision:
    """Refuse everybody: the policy where none is set."""
    return Decision.REFUSE


class UserAgent:
    """A SIP endpoint without sockets."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        authenticate: Callable[[Request, Flow], Decision] = nobody,
        password_of: Callable[[str], str | None] = lambda _user: None,
        realm: str = "hearline",
        contact: Callable[[Flow], HostPort] = lambda flow: flow.local,
        accepts: tuple[str, ...] = ("application/sdp", "multipart/mixed"),
        extensions: tuple[str, ...] = ("timer", "siprec"),
        server: str = "Hearline",
        rng: Random | None = None,
    ) -> None:
        """Make an endpoint.

        Args:
            limits: what it holds at most.
            authenticate: the policy: who may send requests outside dialogs.
            password_of: the digest password of a user; None for an unknown one.
            realm: the realm of digest challenges.
            contact: the address under which peers of a flow reach us: in Contact.
            accepts: the body types that a door reads; others get 415.
            extensions: the option tags that a door supports (Supported, Require).
            server: the name in Server and User-Agent.
            rng: where tags, branches, nonces and jitter come from.
        """
        raise NotImplementedError

    def receive(self, data: bytes, flow: Flow, now_s: float) -> None:
        """Take one datagram, or one piece that `StreamReader` returned. Never raises over what it holds."""

    def flow_lost(self, flow: Flow, now_s: float) -> None:
        """Say that a connection broke, or that the one wanted (a flow with id 0) could not be opened."""

    def tick(self, now_s: float) -> None:
        """Do what is due."""

    @property
    def next_due_s(self) -> float | None:
        """When `tick` has something to do; None for never."""
        return None

    def take_outgoing(self) -> list[tuple[Flow, bytes]]:
        """Return what has to be sent, in its order, once. A TCP or TLS flow with id 0 wants a new connection."""
        return []

    def take_events(self) -> list[Event]:
        """Return what happened, in its order, once."""
        return []

    def ring(self, invite: Invite, now_s: float, status: int = 180, reason: str = "Ringing") -> bool:
        """Send a provisional response (repeated each minute). False: the caller has gone meanwhile."""
        return False

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

        `body` is the answer, or our offer where `invite.offer` is None; `Acked` brings the answer to it.
        Contact, Allow, Supported and the session timer are put in by the endpoint.
        """
        return False

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
        return False

    def bye(self, dialog: Dialog, now_s: float, *, reason: str = "") -> None:
        """End a call; `Ended` comes when the peer has answered. `reason`: a Reason header's value (RFC 3326).

        A call not answered yet is refused with 480; one whose ACK has not come is ended when it has.
        """

    def reinvite(self, dialog: Dialog, sdp: bytes, now_s: float) -> bool:
        """Offer `sdp` in a running call. False: an exchange is under way, or the call is not confirmed; try later.

        `ReinviteAccepted` or `ReinviteFailed` says what came of it.
        """
        return False

    def register(self, registration: Registration, flow: Flow, now_s: float) -> None:
        """Register over `flow`, and stay registered; again with another flow to move there."""

    def unregister(self, registration: Registration, now_s: float) -> None:
        """Take the binding back; `Unregistered` comes when that is through."""

    def dialogs(self) -> list[Dialog]:
        """Return the calls that are not over."""
        return []
