"""The people who can be put through to callers: whether they want calls, what they are offered, what they are in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from uuid import UUID

from infra.model import PhoneStatus, UserRole, utc_now
from media_gateway.ports import UserLike

if TYPE_CHECKING:
    from media_gateway.switchboard.conversation import Conversation
    from media_gateway.switchboard.party import Party

GONE_S: Final = 20.0
"""How long after its last screen has gone a phone still counts as online: a page reloads in less."""

OfferKind = Literal["queue", "transfer", "consult"]
Busyness = Literal["offline", "online", "break", "ringing", "busy"]


class CommandRefused(Exception):
    """Something that cannot be done now; `str(error)` is one sentence for the person who asked."""


class Screen(Protocol):
    """One page on which a phone is shown."""

    def show(self) -> None:
        """Have the phone's state sent again, soon. Never blocks."""

    def tell(self, detail: str) -> None:
        """Say one sentence to the person. Never blocks."""


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A call that rings at a phone."""

    conversation: Conversation
    kind: OfferKind
    ring_s: float
    by: str | None
    on_answer: Callable[[], None]
    on_refuse: Callable[[str], None]
    """Called with 'rejected', 'no-answer' or 'gone'."""
    since: datetime
    timer: asyncio.TimerHandle


class Phone:
    """One person's phone."""

    def __init__(self, user: UserLike) -> None:
        self.user = user
        self.status: PhoneStatus = "offline"
        self.since = utc_now()
        self.idle_since_s = time.monotonic()
        self.screens: list[Screen] = []
        self.offer: Offer | None = None
        self.party: Party | None = None
        """What it takes part in."""
        self.carrier: Screen | None = None
        """The screen that carries the audio."""
        self.gone: asyncio.TimerHandle | None = None

    @property
    def id(self) -> UUID:
        """Return the id of its user."""
        return self.user.id

    @property
    def name(self) -> str:
        """Return the name of its user."""
        return self.user.name

    @property
    def role(self) -> UserRole:
        """Return the role of its user."""
        return self.user.role

    @property
    def is_free(self) -> bool:
        """Return whether a call may ring here."""
        return self.status == "online" and self.offer is None and self.party is None and bool(self.screens)

    @property
    def busyness(self) -> Busyness:
        """Return its status as colleagues see it."""
        if self.party is not None:
            return "busy"
        if self.offer is not None:
            return "ringing"
        return self.status

    def set_status(self, status: PhoneStatus) -> None:
        """Change what its user wants."""
        if status != self.status:
            self.status, self.since = status, utc_now()
            if status == "online":
                self.idle_since_s = time.monotonic()

    def show(self) -> None:
        """Show it anew on all its screens."""
        for screen in self.screens:
            screen.show()

    def tell(self, detail: str) -> None:
        """Say one sentence to its user, on all screens."""
        for screen in self.screens:
            screen.tell(detail)

    def ring(
        self,
        conversation: Conversation,
        kind: OfferKind,
        ring_s: float,
        *,
        by: str | None,
        on_answer: Callable[[], None],
        on_refuse: Callable[[str], None],
    ) -> None:
        """Offer a call; one of the two is called in the end, unless the offer is taken back."""
        timer = asyncio.get_running_loop().call_later(ring_s, self.refuse, "no-answer")
        self.offer = Offer(conversation, kind, ring_s, by, on_answer, on_refuse, utc_now(), timer)
        self.show()

    def answer(self) -> None:
        """Take the call that rings."""
        offer = self._end_offer()
        if offer is not None:
            offer.on_answer()

    def refuse(self, why: str) -> None:
        """Do not take the call that rings."""
        offer = self._end_offer()
        if offer is not None:
            offer.on_refuse(why)

    def take_back(self, conversation: Conversation) -> None:
        """Ring no more for this conversation."""
        if self.offer is not None and self.offer.conversation is conversation:
            self._end_offer()

    def _end_offer(self) -> Offer | None:
        offer, self.offer = self.offer, None
        if offer is not None:
            offer.timer.cancel()
            self.show()
        return offer


def longest_idle(phones: Iterable[Phone]) -> Phone | None:
    """Return the free phone that has been idle longest."""
    return min((phone for phone in phones if phone.is_free), key=lambda phone: phone.idle_since_s, default=None)


def phone_view(
    phone: Phone, screen: Screen, colleagues: Iterable[Phone], queues: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the phone's whole state as one of its screens shows it (docs/softphone.md)."""
    offer, party = phone.offer, phone.party
    return {
        "user_id": phone.id,
        "name": phone.name,
        "role": phone.role,
        "status": phone.status,
        "since": phone.since,
        "offer": None if offer is None else _offer_view(offer),
        "call": None if party is None else party.view(here=phone.carrier is screen),
        "agents": [
            {"user_id": other.id, "name": other.name, "role": other.role, "status": other.busyness}
            for other in sorted(colleagues, key=lambda other: other.name)
            if other is not phone
        ],
        "queues": queues,
    }


def _offer_view(offer: Offer) -> dict[str, Any]:
    conversation = offer.conversation
    return {
        "call_id": conversation.call.id,
        "kind": offer.kind,
        "from_number": conversation.call.from_number,
        "to_number": conversation.call.to_number,
        "queue": conversation.queue_name,
        "waiting_since": conversation.waiting_since,
        "ringing_since": offer.since,
        "ring_ms": int(offer.ring_s * 1000),
        "by": offer.by,
    }
