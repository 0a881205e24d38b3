"""A dialog as its called side keeps it (RFC 3261, section 12)."""

from __future__ import annotations

from enum import Enum

from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import Address, Uri


class DialogState(Enum):
    """How far a call has come."""

    EARLY = "early"
    """Not answered yet."""
    ACCEPTED = "accepted"
    """Answered with 200; the ACK has not come."""
    CONFIRMED = "confirmed"
    ENDED = "ended"


class Dialog:
    """One call of one caller. Doors read it and use it as a key; only the endpoint changes it."""

    __slots__ = (
        "call_id",
        "flow",
        "local",
        "local_cseq",
        "methods",
        "remote",
        "remote_cseq",
        "remote_target",
        "routes",
        "state",
    )

    def __init__(self, call_id: str, local: Address, remote: Address, remote_target: Uri, flow: Flow) -> None:
        self.call_id = call_id
        self.local = local
        """Whom the caller called (To), with our tag."""
        self.remote = remote
        """Who calls (From), with its tag."""
        self.remote_target = remote_target
        """The peer's Contact."""
        self.flow = flow
        """Where its last request came from."""
        self.routes: tuple[str, ...] = ()
        """The proxies that asked to stay on the path (Record-Route), as requests of ours name them."""
        self.local_cseq = 0
        self.remote_cseq = 0
        self.methods: frozenset[str] = frozenset()
        """What the peer says that it understands (Allow), in upper case; empty: it did not say."""
        self.state = DialogState.EARLY

    @property
    def key(self) -> tuple[str, str, str]:
        """Call-ID, our tag, the peer's tag: by these its requests are found."""
        return self.call_id, self.local.tag, self.remote.tag
