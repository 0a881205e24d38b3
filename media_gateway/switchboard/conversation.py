"""One bridged call: who takes part, and the plan of who hears whom.

Finding somebody who answers is the board's business; here is what happens between those who are there.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from infra.model import Call, Stage, SupervisionMode, utc_now
from infra.store.queues import Queue
from media_gateway.bridge import Bridge, Plan, Play, Seat
from media_gateway.ports import CallHandle
from media_gateway.switchboard.caller import Caller
from media_gateway.switchboard.party import Part, Party
from media_gateway.switchboard.phones import CommandRefused, Phone
from media_gateway.switchboard.transfer import Transfer

if TYPE_CHECKING:
    from media_gateway.switchboard.board import Switchboard

CONNECT_WITHIN_S: Final = 20.0
"""How long a browser may take to bring the audio of a call that its user answered."""
REJOIN_WITHIN_S: Final = 30.0
"""How long a caller is held for an agent whose audio was lost."""

CallerState = Literal["connected", "reconnecting", "gone"]


class Conversation:
    """A caller and those who talk to them; without a queue, a call of a user's own that only they are in."""

    def __init__(self, board: Switchboard, handle: CallHandle, queue: Queue | None) -> None:
        self.board = board
        self.handle = handle
        self.queue = queue
        self.bridge = Bridge()
        self.caller = Caller(self)
        self.transfer = Transfer(self)
        self.agent: Party | None = None
        self.supervisors: list[Party] = []
        self.waiting_since: datetime = utc_now()
        self.is_ringing = False
        self.is_held = False
        self._talked = False
        """Whether the agent of now has been heard."""
        self._told: tuple[Stage, object] | None = None
        self._ended = False
        handle.on_end(self._on_end)

    @property
    def call(self) -> Call:
        """Return the call as it was answered."""
        return self.handle.call

    @property
    def queue_name(self) -> str:
        """Return the name of the queue, '' for a call of a user's own."""
        return self.queue.name if self.queue else ""

    @property
    def parties(self) -> list[Party]:
        """Return everyone who takes part by a phone."""
        return [party for party in (self.agent, self.transfer.consultant, *self.supervisors) if party is not None]

    @property
    def is_over(self) -> bool:
        """Return whether the call has ended."""
        return self._ended

    # -- those who talk to the caller

    def put_through(self, phone: Phone) -> None:
        """That phone has answered; the caller hears its user as soon as its browser is connected."""
        self.is_ringing = self.is_held = self._talked = False
        self.agent = self.admit(phone, "agent")
        self.agent.speak(recorded=True)
        self.arrange()

    def admit(self, phone: Phone, part: Part) -> Party:
        """Let somebody in; their browser has to bring the audio soon."""
        party = phone.party = Party(self, phone, part)
        self._await_media(party, CONNECT_WITHIN_S)
        return party

    def media_changed(self, party: Party) -> None:
        """A party's browser has been connected or lost."""
        if party.grace is not None and party.media == "connected":
            party.grace.cancel()
            party.grace = None
        elif party.media == "lost" and self.queue is None:  # there is no way back into a call of one's own
            self.end("connection-lost")
        elif party.media == "lost":
            self._await_media(party, REJOIN_WITHIN_S)
        if party is self.agent and party.media == "connected" and not self._talked:
            self._talked = True
            self.caller.hush()
        self.arrange()

    def _await_media(self, party: Party, within_s: float) -> None:
        if party.grace is None:
            party.grace = asyncio.get_running_loop().call_later(within_s, self._media_missing, party)

    def _media_missing(self, party: Party) -> None:
        party.grace = None
        if self.queue is None:
            self.end("connection-lost")
            return
        if party.mode is None and party.phone.status == "online":
            self.board.set_status(party.phone, "break")
        self._remove(party, "connection-lost")

    def hang_up(self, party: Party) -> None:
        """A party hangs up: the agent ends the call, others leave it."""
        if party is self.agent:
            self.end("completed" if self.queue is None else "agent hung up")
        elif party in self.parties:
            self._remove(party, "hung up")

    def _remove(self, party: Party, reason: str) -> None:
        was_agent = party is self.agent
        if party is self.transfer.consultant:
            self.transfer.consultant = None
            self.transfer.forget()
        elif party is self.agent:
            self.agent = None
            if self.transfer.consultant is not None:  # whoever was asked stays with the caller
                self.transfer.hand_over()
            else:
                self.transfer.cancel()
        elif party in self.supervisors:
            self.supervisors.remove(party)
            self.handle.supervised(party.leg, party.phone.id, party.phone.name, None)
        party.leave(reason)
        if was_agent and self.agent is None:
            self.board.wait(self, at_front=True)
        self.arrange()

    def hold(self, party: Party, *, on: bool) -> None:
        """Put the caller on hold, or back."""
        self._only_agent(party)
        if self.transfer.target is not None:
            raise CommandRefused("a transfer is under way")
        self.is_held = on
        self.arrange()

    def mute(self, party: Party, *, on: bool) -> None:
        """Mute a party, or no longer."""
        party.muted = on
        self.arrange()

    def record(self, party: Party, *, on: bool) -> None:
        """Go on recording, or pause."""
        if party is not self.agent and party not in self.supervisors:
            raise CommandRefused("only the agent or a supervisor may do that")
        if not self.handle.record(party.phone.id, on=on):
            raise CommandRefused("this call is not recorded")
        self.arrange()

    def send_digits(self, party: Party, digits: str) -> None:
        """Let the caller's line hear the tones of these keys."""
        self._only_agent(party)
        if self.caller.seat is None or self.is_held:
            raise CommandRefused("the caller is not on the line")
        self.caller.press(digits)

    def pass_on(self, party: Party, target: Phone, *, attended: bool) -> None:
        """Pass the caller on to a colleague."""
        self._only_agent(party)
        (self.transfer.attended if attended else self.transfer.blind)(party, target)

    def complete_transfer(self, party: Party) -> None:
        """Leave the caller to the colleague who was asked."""
        self._only_agent(party)
        self.transfer.complete(party)

    def cancel_transfer(self, party: Party) -> None:
        """Go back to the caller."""
        self._only_agent(party)
        if self.transfer.target is None:
            raise CommandRefused("there is no transfer to cancel")
        self.transfer.cancel()
        self.arrange()

    def _only_agent(self, party: Party) -> None:
        if party is not self.agent:
            raise CommandRefused("only the agent of the call may do that")

    # -- supervisors

    def supervise(self, phone: Phone, mode: SupervisionMode) -> None:
        """Let a supervisor listen (muted), whisper to the agent, or be heard by both."""
        party = phone.party
        if party is None:
            party = self.admit(phone, "supervisor")
            self.supervisors.append(party)
        elif party not in self.supervisors:
            raise CommandRefused("you are in a call")
        elif party.mode == mode:
            return
        party.mode = mode
        if mode == "listen":
            party.be_silent()
        else:
            party.speak(recorded=mode == "barge", label=mode)
        self.handle.supervised(party.leg, phone.id, phone.name, mode)
        self.arrange()

    def take_over(self, party: Party) -> None:
        """A supervisor takes the agent's place."""
        if party not in self.supervisors:
            raise CommandRefused("listen in first")
        before = self.agent
        self.supervisors.remove(party)
        self.handle.supervised(party.leg, party.phone.id, party.phone.name, "take-over")
        self.board.found(self)
        self.transfer.cancel("taken over")
        party.part, party.mode = "agent", None
        party.speak(recorded=True, label="take-over")
        self.agent = party
        self._talked = party.media == "connected"
        self.caller.stay()
        if before is not None:
            before.leave("taken over")
            before.phone.tell(f"{party.phone.name} has taken over the call.")
        self.arrange()

    # -- what follows from it

    def arrange(self) -> None:
        """Make the plan anew, tell the stage, and show it on the phones."""
        if self._ended:
            return
        self.bridge.plan = self._plan()
        self._tell_stage()
        for party in self.parties:
            party.phone.show()

    @property
    def _is_talking(self) -> bool:
        agent = self.agent
        return agent is not None and agent.media == "connected" and not self.is_held

    def _plan(self) -> Plan:
        caller, talking = self.caller.seat, self._is_talking
        there = [party for party in self.parties if party.media == "connected"]
        agents = [party.seat for party in there if party.mode is None]
        barging = [party.seat for party in there if party.mode == "barge"]
        whispering = [party.seat for party in there if party.mode == "whisper"]
        hears: dict[Seat, tuple[Seat, ...]] = {}
        plays: dict[Seat, Play] = {}
        if caller is not None:
            with_caller = [self.agent.seat] if self.agent is not None and talking else []
            hears[caller] = (*with_caller, *barging)
            if (playing := self.caller.playing(waits=not hears[caller])) is not None:
                plays[caller] = playing
        for party in there:
            others = [*agents, *barging, *(whispering if party is self.agent else ())]
            if caller is not None and (party.mode is not None or (party is self.agent and talking)):
                others.append(caller)
            hears[party.seat] = tuple(other for other in others if other is not party.seat)
        # What colleagues say to each other while the caller is on hold is no part of the call.
        apart = () if self.queue is None or talking else (*agents, *whispering)
        muted = frozenset(party.seat for party in there if party.muted)
        return Plan(hears=hears, plays=plays, muted=muted, apart=frozenset(apart))

    def _tell_stage(self) -> None:
        if self.queue is None:
            return
        agent = self.agent
        stage: Stage
        if self.caller.seat is None:
            stage = "returning"
        elif self.caller.wants is not None:
            stage = self.caller.wants
        elif agent is None or not self._talked:
            stage = "ringing" if self.is_ringing or agent is not None else "queued"
        elif self.transfer.consultant is not None:
            stage = "consulting"
        else:
            stage = "talking" if self._is_talking and not self.caller.holds else "held"
        who = (agent.phone.id, agent.phone.name) if agent is not None else None
        if self._told != (stage, who):
            self._told = (stage, who)
            self.handle.set_stage(stage, queue_id=self.queue.id, queue=self.queue.name, agent=who)

    def view(self, viewer: Party) -> dict[str, Any]:
        """Return the call as a party's phone shows it; only supervisors see who just listens."""
        call, stage = self.call, self._told[0] if self._told else "talking"
        here = self.queue is None or self.caller.seat is not None
        caller: CallerState = "gone" if self._ended else "connected" if here else "reconnecting"
        return {
            "call_id": call.id,
            "stage": stage if stage in {"talking", "held", "consulting"} else "waiting",
            "from_number": call.from_number,
            "to_number": call.to_number,
            "queue": self.queue_name,
            "started_at": call.started_at,
            "held": self.is_held,
            "caller": caller,
            "parties": [
                {"leg_id": party.leg.id, "role": party.part, "name": party.phone.name, "mode": party.mode}
                for party in self.parties
                if party.mode != "listen" or viewer.mode is not None
            ],
            "transfer": self.transfer.view(),
            "recording": self.handle.recording_state,
            "keyed": self.caller.keyed,
        }

    def end(self, reason: str) -> None:
        """End the call, also when a stream of it that broke unnoticed still holds on to it."""
        self.caller.hang_up(reason)
        self.handle.hang_up(reason)

    def _on_end(self, reason: str) -> None:
        """The call ends, for whatever reason: nobody is left in it."""
        if self._ended:
            return
        self._ended = True
        self.caller.gone()
        self.bridge.plan = Plan()
        if self.transfer.target is not None:
            self.transfer.target.take_back(self)
        for party in self.parties:
            if party in self.supervisors:
                self.handle.supervised(party.leg, party.phone.id, party.phone.name, None)
            party.leave(reason)
        self.board.forget(self)
