"""What an endpoint tells its doors."""

from __future__ import annotations

from dataclasses import dataclass

from media_gateway.protocols.sip.dialog import Dialog
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.message import Request, Response
from media_gateway.protocols.sip.registration import Registration


@dataclass(frozen=True, slots=True)
class Invite:
    """Somebody who may call calls. Answer with `ring`, `accept` or `refuse`; a 100 has gone out already.

    `request.uri` is the number called, `request.sender` the caller as it says of itself, `request.body` and
    `request.content_type` the whole body, which may be multipart.
    """

    dialog: Dialog
    request: Request
    flow: Flow
    offer: bytes | None
    """The SDP, where the body is nothing else; None with another type, and where we have to offer (late offer)."""
    user: str = ""
    """The name under which the caller authenticated itself; empty if it came from a trusted address."""


@dataclass(frozen=True, slots=True)
class Reinvite:
    """A re-INVITE, or an UPDATE with a body. Answer with `accept` or `refuse`; None of either changes the call."""

    dialog: Dialog
    request: Request
    flow: Flow
    offer: bytes | None


@dataclass(frozen=True, slots=True)
class Acked:
    """The ACK of an answer has come: of the call's, or of a re-INVITE's."""

    dialog: Dialog
    request: Request
    answer: bytes | None
    """The SDP in it: the answer to an offer of ours."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up, or nobody answered in time, before `accept`. The dialog is over."""

    dialog: Dialog
    reason: str
    """`cancelled`, `expired` (the INVITE's own Expires), `unanswered` (our limit), `flow-lost`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An answered call is over; nothing more comes of this dialog."""

    dialog: Dialog
    reason: str
    """`bye` (the peer's), `hung-up` (ours, answered), `no-ack`, `session-expired`, `gone` (the peer says 481 or 408, or
    nothing), `failed` (our own BYE got no answer)."""


@dataclass(frozen=True, slots=True)
class InfoKey:
    """A key pressed, told by INFO (application/dtmf-relay or application/dtmf)."""

    dialog: Dialog
    digit: str
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ReinviteAccepted:
    """The peer took our re-INVITE (of `reinvite`, or one that refreshed the session); its ACK has gone out."""

    dialog: Dialog
    response: Response
    answer: bytes | None
    """The SDP in it."""


@dataclass(frozen=True, slots=True)
class ReinviteFailed:
    """The peer refused our re-INVITE or did not answer; the call goes on as before."""

    dialog: Dialog
    status: int
    """408 when nothing came."""
    reason: str


@dataclass(frozen=True, slots=True)
class Registered:
    """We are registered, now or again."""

    registration: Registration
    until_s: float
    """When the registrar forgets us, unless the refresh in between gets through."""


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """We are not registered, and why; the next try is planned."""

    registration: Registration
    status: int
    """The registrar's; 408: no answer; 503: the flow was lost."""
    reason: str
    retry_at_s: float


@dataclass(frozen=True, slots=True)
class Unregistered:
    """`unregister` is through: the registrar said so, or did not answer."""

    registration: Registration


Event = (
    Invite
    | Reinvite
    | Acked
    | Cancelled
    | Ended
    | InfoKey
    | ReinviteAccepted
    | ReinviteFailed
    | Registered
    | RegistrationFailed
    | Unregistered
)
