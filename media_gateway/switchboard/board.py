"""Callers wait here for somebody who answers: queues, whose phone rings, and what happens when nobody does.

One gateway's callers and phones: a page's phone socket and the calls it can take are on the same gateway.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from prometheus_client import Counter, Gauge

from infra.model import Call, PhoneStatus, SupervisionMode, UserRole, utc_now
from infra.store.callbacks import CallbackKind
from infra.store.queues import Queue
from infra.telemetry import logger
from media_gateway.media_clock import MediaClock
from media_gateway.ports import CallerLine, CallHandle, CallRefused, CallRegistry, UserLike
from media_gateway.switchboard.conversation import Conversation
from media_gateway.switchboard.party import BrowserLine
from media_gateway.switchboard.phones import GONE_S, CommandRefused, Phone, Screen, longest_idle, phone_view
from media_gateway.voices import PacketVoice

log = logger(__name__)

_WAITING: Final = Gauge("hearline_callers_waiting", "Callers who wait for an agent", multiprocess_mode="livesum")
_RUNG: Final = Counter("hearline_rings_total", "Calls that rang at an agent's phone, by what came of it", ["outcome"])

MATCH_S: Final = 1.0
"""Between two looks at who may be rung, for what changes by time alone."""
REMIND_S: Final = 45.0
"""Between two 'please hold on' to a caller who waits."""
AGAIN_S: Final = 30.0
"""How long a phone that did not take a call is not offered the same call again, while others are free."""
PREFERRED_S: Final = 12.0
"""How long a caller who comes back waits for the agent they talked to, before anybody may answer."""
DOOR: Final = "webrtc"
TWILIO: Final = "twilio"
"""The door whose own voice has greeted its callers by the time they are here."""
LEADS: Final[frozenset[UserRole]] = frozenset({"supervisor", "admin"})


class Directory(Protocol):
    """What is known beyond this gateway. It answers soon, with what holds by default if it has to."""

    async def queue_for(self, tenant_id: UUID, number: str | None) -> Queue:
        """Return the queue of a number."""

    async def queue(self, tenant_id: UUID, queue_id: UUID) -> Queue | None:
        """Return a queue by its id."""

    async def last_agent(self, call_id: UUID) -> UUID | None:
        """Return who talked to the caller of a call that comes back."""

    async def status(self, user_id: UUID) -> PhoneStatus | None:
        """Return a phone's status as it was remembered."""

    def remember(self, user_id: UUID, status: PhoneStatus) -> None:
        """Keep a phone's status beyond this process."""

    def note_callback(self, call: Call, queue: Queue, kind: CallbackKind) -> None:
        """Store that a caller waits to hear from us."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A caller's place in a queue."""

    conversation: Conversation
    queue: Queue
    at_front: bool = False
    preferred: UUID | None = None
    """Who is rung first."""
    resumes: bool = False
    """Whether the call goes on with `preferred` without ringing, if they are free soon."""
    since_s: float = field(default_factory=time.monotonic)
    not_before_s: dict[UUID, float] = field(default_factory=dict)
    """Phones that did not take it, and when they may be rung again."""
    ringing: Phone | None = None
    overflow: Queue | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def is_recent(self) -> bool:
        """Return whether it still is `preferred`'s turn."""
        return time.monotonic() - self.since_s < PREFERRED_S


class Switchboard:
    """The phones and the callers of one gateway."""

    def __init__(
        self,
        registry: CallRegistry,
        clock: MediaClock,
        directory: Directory,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._directory = directory
        self.phones: dict[UUID, Phone] = {}
        self.conversations: dict[UUID, Conversation] = {}
        self._waiting: list[Waiting] = []
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the background work, for ever."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await asyncio.sleep(MATCH_S)
                try:
                    self._match()
                except Exception as error:  # noqa: BLE001  (the outer loop: one caller's fault must not end all calls)
                    log.error("matching failed", error=type(error).__name__, detail=str(error)[:200])

    # -- callers

    async def receive(
        self, handle: CallHandle, line: CallerLine, *, returning: bool
    ) -> tuple[Conversation, PacketVoice]:
        """A caller's line is there. One who talked to somebody before, here or on a gateway that died, is put back."""
        conversation = self.conversations.get(handle.call.id)
        if conversation is not None:
            return conversation, conversation.caller.here(line)
        queue = await self._directory.queue_for(handle.call.tenant_id, handle.call.to_number)
        last_agent = await self._directory.last_agent(handle.call.id) if returning else None
        conversation = self.conversations.get(handle.call.id)  # another stream may have been faster
        if conversation is not None:
            return conversation, conversation.caller.here(line)
        conversation = self._open(handle, queue)
        voice = conversation.caller.here(line)
        begin = partial(self._welcome, conversation)
        if returning:
            begin = partial(self.wait, conversation, at_front=True, preferred=last_agent, resumes=True)
        if queue.consent and handle.recording_state != "off" and last_agent is None:
            conversation.caller.say("consent", then=begin)
        else:
            begin()
        return conversation, voice

    def _open(self, handle: CallHandle, queue: Queue | None) -> Conversation:
        conversation = Conversation(self, handle, queue)
        self.conversations[handle.call.id] = conversation
        self._clock.add(conversation.bridge)
        return conversation

    def _welcome(self, conversation: Conversation) -> None:
        queue = conversation.queue
        assert queue is not None
        if queue.overflow_to is None and self._is_full_for(Waiting(conversation, queue)):
            self._give_up(conversation, queue)
            return
        if queue.greeting is None or (queue.greeting and conversation.call.door != TWILIO):
            conversation.caller.say("greeting")  # words of the queue's own are Twilio's to speak
        self.wait(conversation)

    def wait(
        self,
        conversation: Conversation,
        *,
        at_front: bool = False,
        preferred: UUID | None = None,
        resumes: bool = False,
    ) -> None:
        """Have a caller wait for somebody; `preferred`: whose phone is to be first, if it is free soon."""
        queue = conversation.queue
        if queue is None or conversation.is_over:
            return
        self.found(conversation)
        conversation.waiting_since = utc_now()
        place = Waiting(conversation, queue, at_front, preferred, resumes)
        loop = asyncio.get_running_loop()
        overflow_s = 0 if self._is_full_for(place) else queue.overflow_after_s
        place.timers = [loop.call_later(queue.max_wait_s, self._waited_out, place)]
        if queue.overflow_to is not None:
            place.timers.append(loop.call_later(overflow_s, self._overflowing, place))
        place.timers.append(loop.call_later(REMIND_S, self._remind, place))
        self._waiting.append(place)
        self._waiting.sort(key=lambda other: (not other.at_front, other.since_s))
        self._match()
        self._show_all()

    def _is_full_for(self, place: Waiting) -> bool:
        """Return whether one caller more would have to wait where no more may."""
        queue = place.queue
        waiting = sum(1 for other in self._waiting if other.queue.id == queue.id and other.ringing is None)
        return waiting >= queue.max_waiting and self._pick(place) is None

    def found(self, conversation: Conversation) -> None:
        """The caller waits no longer, and no phone rings for them."""
        for place in [place for place in self._waiting if place.conversation is conversation]:
            self._waiting.remove(place)
            for timer in place.timers:
                timer.cancel()
            if place.ringing is not None:
                _RUNG.labels("withdrawn").inc()
        for phone in self.phones.values():
            phone.take_back(conversation)
        conversation.is_ringing = False
        self._show_all()

    def give_up_waiting(self, conversation: Conversation, kind: CallbackKind | None) -> None:
        """The caller gets something else than an agent; `kind`: what they leave behind."""
        self.found(conversation)
        if kind is not None and conversation.queue is not None:
            self._directory.note_callback(conversation.call, conversation.queue, kind)

    def forget(self, conversation: Conversation) -> None:
        """The call has ended."""
        self.found(conversation)
        self._clock.remove(conversation.bridge)
        self.conversations.pop(conversation.call.id, None)
        self._match()

    def _waited_out(self, place: Waiting) -> None:
        self._give_up(place.conversation, place.queue)

    def _give_up(self, conversation: Conversation, queue: Queue) -> None:
        if queue.on_timeout == "voicemail":
            conversation.caller.take_message()
        elif queue.on_timeout == "callback":
            conversation.caller.call_back()
        else:
            conversation.caller.turn_away()

    def _remind(self, place: Waiting) -> None:
        if place not in self._waiting:
            return
        conversation = place.conversation
        if place.ringing is None:
            more = ("callback_offer",) if conversation.caller.may_choose else ()
            conversation.caller.say("waiting", *more)
        place.timers.append(asyncio.get_running_loop().call_later(REMIND_S, self._remind, place))

    def _overflowing(self, place: Waiting) -> None:
        async def widen() -> None:
            assert place.queue.overflow_to is not None
            place.overflow = await self._directory.queue(place.queue.tenant_id, place.queue.overflow_to)
            self._match()

        if self._tasks is not None and place in self._waiting:
            self._tasks.create_task(widen())

    # -- ringing

    def _match(self) -> None:
        """Ring whoever has been idle longest for whoever has waited longest."""
        for place in list(self._waiting):
            if place.ringing is None and place in self._waiting:
                phone = self._pick(place)
                if phone is None:
                    continue
                if place.resumes and place.is_recent and phone.id == place.preferred:
                    phone.carrier = phone.screens[0]
                    self._put_through(place, phone)
                else:
                    self._ring(place, phone)

    def _pick(self, place: Waiting) -> Phone | None:
        if place.preferred is not None:
            phone = self.phones.get(place.preferred)
            if phone is not None and phone.is_free:
                return phone
            if place.is_recent and (phone is None or phone.party is None):
                return None
        now_s = time.monotonic()
        wanted = set(place.queue.agents)
        if place.overflow is not None and place.queue.agents:
            wanted = wanted | set(place.overflow.agents) if place.overflow.agents else set()
        free = [
            phone
            for phone in self.phones.values()
            if phone.is_free
            and phone.user.tenant_id == place.queue.tenant_id
            and (not wanted or phone.id in wanted)
            and place.not_before_s.get(phone.id, 0.0) <= now_s
        ]
        return longest_idle(free)

    def _ring(self, place: Waiting, phone: Phone) -> None:
        place.ringing = phone
        place.conversation.is_ringing = True
        phone.ring(
            place.conversation,
            "queue",
            place.queue.ring_s,
            by=None,
            on_answer=partial(self._answered, place, phone),
            on_refuse=partial(self._refused, place, phone),
        )
        place.conversation.arrange()

    def _answered(self, place: Waiting, phone: Phone) -> None:
        place.ringing = None
        _RUNG.labels("answered").inc()
        self._put_through(place, phone)

    def _put_through(self, place: Waiting, phone: Phone) -> None:
        self.found(place.conversation)
        place.conversation.put_through(phone)
        self._show_all()

    def _refused(self, place: Waiting, phone: Phone, why: str) -> None:
        place.ringing = None
        place.conversation.is_ringing = False
        place.not_before_s[phone.id] = time.monotonic() + AGAIN_S
        place.preferred = None
        _RUNG.labels(why).inc()
        if why == "no-answer":
            self.set_status(phone, "break")
            phone.tell("You did not answer, so you are on a break now.")
        self._match()
        place.conversation.arrange()

    # -- phones

    async def phone_of(self, user: UserLike) -> Phone:
        """Return a user's phone, with the status that it had."""
        if user.id not in self.phones:
            status = await self._directory.status(user.id)
            if user.id not in self.phones:
                self.phones[user.id] = Phone(user)
                self.phones[user.id].set_status(status or "offline")
        phone = self.phones[user.id]
        phone.user = user
        return phone

    def connect(self, phone: Phone, screen: Screen) -> None:
        """A page shows this phone."""
        if phone.gone is not None:
            phone.gone.cancel()
            phone.gone = None
        phone.screens.append(screen)
        if phone.party is not None and phone.carrier is None:
            phone.carrier = screen
        self._match()
        self._show_all()

    def disconnect(self, phone: Phone, screen: Screen) -> None:
        """A page is gone. The last one's phone goes offline after a while; its call waits for another page."""
        phone.screens.remove(screen)
        if phone.carrier is screen:
            phone.carrier = phone.screens[0] if phone.screens else None
            if phone.party is not None:
                phone.party.lose()
        if not phone.screens:
            if phone.offer is not None:
                phone.refuse("gone")
            phone.gone = asyncio.get_running_loop().call_later(GONE_S, self._gone, phone)
        phone.show()

    def _gone(self, phone: Phone) -> None:
        phone.gone = None
        if phone.status != "offline":
            self.set_status(phone, "offline")
        if phone.party is None:
            self.phones.pop(phone.id, None)
        else:
            phone.gone = asyncio.get_running_loop().call_later(GONE_S, self._gone, phone)
        self._show_all()

    def set_status(self, phone: Phone, status: PhoneStatus) -> None:
        """Change whether a phone is to ring."""
        phone.set_status(status)
        self._directory.remember(phone.id, status)
        if status != "online" and phone.offer is not None:
            phone.refuse("rejected")
        self._match()
        self._show_all()

    def answer(self, phone: Phone, screen: Screen) -> None:
        """Take the call that rings; this page carries its audio."""
        if phone.offer is None:
            raise CommandRefused("the call rings no longer")
        phone.carrier = screen
        phone.answer()

    def carry(self, phone: Phone, screen: Screen) -> None:
        """Let this page carry the audio from now on."""
        if phone.party is None:
            raise CommandRefused("you are in no call")
        if phone.carrier is not screen:
            phone.carrier = screen
            phone.party.lose()
        phone.show()

    def transfer(self, phone: Phone, to: UUID, *, attended: bool) -> None:
        """Pass the caller of this phone's call on."""
        target = self.phones.get(to)
        if phone.party is None:
            raise CommandRefused("you are in no call")
        if target is None or target.user.tenant_id != phone.user.tenant_id or target is phone:
            raise CommandRefused("there is no such colleague online")
        phone.party.conversation.pass_on(phone.party, target, attended=attended)

    def supervise(self, phone: Phone, screen: Screen, call_id: UUID, mode: SupervisionMode) -> None:
        """Let a supervisor into a call, or change how they take part."""
        if phone.role not in LEADS:
            raise CommandRefused("only supervisors may listen in")
        conversation = self.conversations.get(call_id)
        if conversation is None or conversation.queue is None or conversation.call.tenant_id != phone.user.tenant_id:
            raise CommandRefused("that call is not live here, or cannot be joined")
        if phone.party is not None and phone.party.conversation is not conversation:
            raise CommandRefused("you are in another call")
        if phone.party is None:
            phone.carrier = screen
        conversation.supervise(phone, mode)
        if phone.offer is not None:  # not before: a phone that has become free is rung for the next caller
            phone.refuse("rejected")

    async def line(self, user: UserLike, call_id: UUID | None) -> BrowserLine:
        """Return the line that waits for this user's audio (media_gateway.ports.PhoneLines)."""
        phone = self.phones.get(user.id)
        party = phone.party if phone is not None else None
        if party is not None and call_id in {None, party.conversation.call.id}:
            return party.line()
        if call_id is not None:
            raise CallRefused("that call does not wait for your audio")
        return await self._own_call(user)

    async def _own_call(self, user: UserLike) -> BrowserLine:
        call = Call(
            id=(call_id := uuid4()),
            door=DOOR,
            external_id=str(call_id),
            started_at=utc_now(),
            title=f"{user.name}'s microphone",
            owner_id=user.id,
            tenant_id=user.tenant_id,
        )
        conversation = self._open(await self._registry.answer(call), None)
        phone = Phone(user)  # one of its own: it rings nowhere and is no colleague
        conversation.put_through(phone)
        assert phone.party is not None
        return phone.party.line()

    # -- what the screens show

    def view(self, phone: Phone, screen: Screen) -> dict[str, Any]:
        """Return a phone's state for one of its screens."""
        tenant_id = phone.user.tenant_id
        colleagues = [other for other in self.phones.values() if other.user.tenant_id == tenant_id]
        return phone_view(phone, screen, colleagues, self._queues(tenant_id))

    def _queues(self, tenant_id: UUID) -> list[dict[str, Any]]:
        since: dict[UUID, list[datetime]] = {}
        names: dict[UUID, str] = {}
        for place in self._waiting:
            if place.queue.tenant_id == tenant_id:
                names[place.queue.id] = place.queue.name
                since.setdefault(place.queue.id, []).append(place.conversation.waiting_since)
        return [
            {"queue_id": queue_id, "name": names[queue_id], "waiting": len(times), "longest_since": min(times)}
            for queue_id, times in since.items()
        ]

    def _show_all(self) -> None:
        _WAITING.set(len(self._waiting))
        for phone in self.phones.values():
            phone.show()
