"""How an agent passes a caller on: blind, at once; attended, after having spoken to the colleague."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from media_gateway.switchboard.phones import CommandRefused, Phone

if TYPE_CHECKING:
    from media_gateway.switchboard.conversation import Conversation
    from media_gateway.switchboard.party import Party

RING_S = 20.0


class Transfer:
    """The attended transfer that is under way in a conversation, if any, and the colleague who was asked."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.target: Phone | None = None
        self.consultant: Party | None = None

    def view(self) -> dict[str, Any] | None:
        """Return it as the phones show it."""
        if self.target is None:
            return None
        talking = self.consultant is not None and self.consultant.media == "connected"
        to = {"user_id": self.target.id, "name": self.target.name}
        return {"to": to, "state": "talking" if talking else "ringing"}

    def blind(self, party: Party, target: Phone) -> None:
        """Ring a colleague for the caller; the agent is free."""
        self._check(target)
        conversation, first = self._conversation, party.phone
        conversation.agent = None
        party.leave("transferred")
        conversation.is_ringing = True

        def not_taken(why: str) -> None:
            first.tell(f"The transfer was not taken ({why}); the caller waits in the queue again.")
            conversation.board.wait(conversation, at_front=True, preferred=first.id)
            conversation.arrange()

        target.ring(
            conversation,
            "transfer",
            self._ring_s,
            by=first.name,
            on_answer=lambda: conversation.put_through(target),
            on_refuse=not_taken,
        )
        conversation.arrange()

    def attended(self, party: Party, target: Phone) -> None:
        """Ring a colleague for the agent; the caller is held."""
        self._check(target)
        conversation = self._conversation
        self.target, conversation.is_held = target, True

        def taken() -> None:
            self.consultant = conversation.admit(target, "agent")
            conversation.arrange()

        def not_taken(why: str) -> None:
            self.forget()
            party.phone.tell(f"{target.name} did not take the call ({why}).")
            conversation.arrange()

        target.ring(conversation, "consult", self._ring_s, by=party.phone.name, on_answer=taken, on_refuse=not_taken)
        conversation.arrange()

    def complete(self, party: Party) -> None:
        """Leave the caller to the colleague."""
        if self.consultant is None:
            raise CommandRefused("nobody has taken the call yet")
        self.hand_over()
        party.leave("transferred")
        self._conversation.arrange()

    def hand_over(self) -> None:
        """The colleague is the caller's agent from now on."""
        consultant = self.consultant
        self.consultant = None
        self.forget()
        self._conversation.agent = consultant
        if consultant is not None:
            consultant.speak(recorded=True)

    def cancel(self, why: str = "transfer cancelled") -> None:
        """Ask the colleague no more; back to the caller."""
        if self.target is not None:
            self.target.take_back(self._conversation)
        if self.consultant is not None:
            self.consultant.leave(why)
            self.consultant = None
        self.forget()

    def forget(self) -> None:
        """Nothing is under way any more; the caller is heard again."""
        self.target, self._conversation.is_held = None, False

    @property
    def _ring_s(self) -> float:
        queue = self._conversation.queue
        return queue.ring_s if queue is not None else RING_S

    def _check(self, target: Phone) -> None:
        if self.target is not None:
            raise CommandRefused("a transfer is under way")
        if not target.is_free:
            raise CommandRefused(f"{target.name} cannot be reached now")
