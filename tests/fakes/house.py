"""A switchboard with callers and phones of which each speaks in a tone of its own, so that one hears who is heard."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np

from infra.model import DEFAULT_TENANT, Call, PhoneStatus, UserRole, utc_now
from infra.store.callbacks import CallbackKind
from infra.store.queues import Queue, default_queue
from infra.tokens import twilio_call_id
from media_gateway.audio import FRAME_MS, FRAME_SAMPLES, MULAW, Samples
from media_gateway.codecs import MulawDecoder, MulawEncoder, OpusDecoder, OpusEncoder
from media_gateway.media_clock import Beating, Errand
from media_gateway.switchboard.board import Switchboard
from media_gateway.switchboard.conversation import Conversation
from media_gateway.switchboard.phones import Phone
from media_gateway.voices import PacketVoice
from tests.fakes.gateway import FakeCall, FakeRegistry

CALLER_HZ = 1000
TONES_HZ = {"caller": CALLER_HZ, "ann": 500, "bob": 700, "sue": 1500}
SETTLE_BEATS = 40
LISTEN_FRAMES = 10


@dataclass(frozen=True)
class Person:
    """A user."""

    name: str
    role: UserRole = "agent"
    id: UUID = field(default_factory=uuid4)
    tenant_id: UUID = DEFAULT_TENANT


class StillClock:
    """Beats when it is told to."""

    def __init__(self) -> None:
        self.members: list[Beating] = []
        self.now_s = time.monotonic()

    def add(self, member: Beating) -> None:
        self.members.append(member)

    def remove(self, member: Beating) -> None:
        self.members = [other for other in self.members if other is not member]

    def beat(self) -> list[Errand]:
        """Return what is to be done on the loop."""
        self.now_s += FRAME_MS / 1000
        errands: list[Errand] = []
        for member in list(self.members):
            member.beat(self.now_s, self.now_s, errands.append)
        return errands


class FakeDirectory:
    """Knows one queue, and whatever a test puts there."""

    def __init__(self) -> None:
        self.queues: list[Queue] = [default_queue(DEFAULT_TENANT)]
        self.agents: dict[UUID, UUID] = {}
        self.remembered: dict[UUID, PhoneStatus] = {}
        self.callbacks: list[CallbackKind] = []

    async def queue_for(self, tenant_id: UUID, number: str | None) -> Queue:
        return self.queues[0]

    async def queue(self, tenant_id: UUID, queue_id: UUID) -> Queue | None:
        return next((queue for queue in self.queues if queue.id == queue_id), None)

    async def last_agent(self, call_id: UUID) -> UUID | None:
        return self.agents.get(call_id)

    async def status(self, user_id: UUID) -> PhoneStatus | None:
        return self.remembered.get(user_id)

    def remember(self, user_id: UUID, status: PhoneStatus) -> None:
        self.remembered[user_id] = status

    def note_callback(self, call: Call, queue: Queue, kind: CallbackKind) -> None:
        self.callbacks.append(kind)


class Tone:
    """A voice of one pitch."""

    def __init__(self, hz: int) -> None:
        self._hz = hz
        self._at = 0

    def frame(self) -> Samples:
        at = np.arange(self._at, self._at + FRAME_SAMPLES)
        self._at += FRAME_SAMPLES
        return (4000 * np.sin(2 * np.pi * self._hz * at / 16000)).astype(np.int16)


class FakeLine:
    """A caller's telephone, on the other side of the line."""

    def __init__(self, handle: FakeCall) -> None:
        self.handle = handle
        self.sent: list[bytes] = []
        self.marks: list[str] = []
        self.clears = 0
        self.conversation: Conversation | None = None
        self.keeps_call = False
        """Whether another stream still carries the call when this one hangs up."""
        self.voice: PacketVoice | None = None
        self._tone = Tone(CALLER_HZ)
        self._encode = MulawEncoder().encode
        self._at = 0

    def new_voice(self) -> PacketVoice:
        return PacketVoice(MulawDecoder().decode, MulawEncoder().encode, 8_000, gapless=False)

    def play(self, samples: bytes) -> None:
        self.sent.append(samples)

    def clear(self) -> None:
        self.clears += 1

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def echo_marks(self, since: int) -> int:
        """Say that what was sent before these marks has been heard; return how many there are."""
        for name in self.marks[since:]:
            if self.conversation is not None:
                self.conversation.caller.heard(name)
        return len(self.marks)

    def hang_up(self, reason: str) -> None:
        if not self.keeps_call:
            self.handle.hang_up(reason)

    def speak(self, now_s: float) -> None:
        if self.voice is not None:
            self.voice.receive(self._at, self._encode(self._tone.frame()), now_s)
            self._at += 160

    def hears(self) -> set[str]:
        """Return whose tone there is in the last frames that the telephone got."""
        return _tones(MULAW.take(np.frombuffer(b"".join(self.sent[-LISTEN_FRAMES:]), np.uint8)), 8000)


class Quality:
    """A perfect network."""

    loss_fraction = 0.0
    jitter_ms = 1.0
    rtt_ms = 20.0


class FakePeer:
    """A browser's connection, on the browser's side."""

    def __init__(self, name: str) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self._tone = Tone(TONES_HZ[name])
        self._encode = OpusEncoder().encode
        self._decode = OpusDecoder().decode
        self._at = 0
        self._heard: list[Samples] = []

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)
        self._heard = [*self._heard[-LISTEN_FRAMES:], self._decode(payload)]

    def disconnect(self) -> None:
        self.closed = True

    def quality(self) -> Quality:
        return Quality()

    def next_packet(self) -> tuple[int, bytes]:
        self._at += 960
        return self._at, self._encode(self._tone.frame())

    def hears(self) -> set[str]:
        """Return whose tone there is in the last frames that the browser got."""
        return _tones(np.concatenate(self._heard[-LISTEN_FRAMES:]), 16000) if self._heard else set()


class Desk:
    """A person with a phone, one page that shows it, and the browser behind that page."""

    def __init__(self, house: House, phone: Phone) -> None:
        self.house = house
        self.phone = phone
        self.told: list[str] = []
        self.shows = 0
        self.peer: FakePeer | None = None
        self._line: object = None

    def show(self) -> None:
        self.shows += 1

    def tell(self, detail: str) -> None:
        self.told.append(detail)

    @property
    def view(self) -> dict[str, object]:
        return self.house.board.view(self.phone, self)

    @property
    def call(self) -> dict[str, object]:
        call = self.view["call"]
        assert isinstance(call, dict)
        return call

    async def connect(self) -> None:
        """The browser brings the audio of the call that its user is in."""
        line = await self.house.board.line(self.phone.user, None)
        self.peer = FakePeer(self.phone.name)
        self._line = line
        line.connect(self.peer)
        line.on_state("connected")

    async def answer(self) -> None:
        """Take the call that rings, audio and all."""
        self.house.board.answer(self.phone, self)
        await self.connect()

    def lose(self) -> None:
        """The browser's connection breaks."""
        self._line.on_state("lost")  # type: ignore[attr-defined]
        self.peer = None

    def speak(self, now_s: float) -> None:
        if self.peer is not None and self._line is not None:
            self._line.on_packet(*self.peer.next_packet(), now_s)  # type: ignore[attr-defined]

    def hears(self) -> set[str]:
        assert self.peer is not None
        return self.peer.hears()


class House:
    """The switchboard, and everyone around it."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.registry.recording = "on"
        self.clock = StillClock()
        self.directory = FakeDirectory()
        self.board = Switchboard(self.registry, self.clock, self.directory)
        self.lines: list[FakeLine] = []
        self._echoed: dict[FakeLine, int] = {}
        self.desks: list[Desk] = []

    async def caller(self, sid: str = "CA1", *, returning: bool = False) -> tuple[Conversation, FakeLine]:
        """A caller's line is there."""
        call = Call(twilio_call_id(sid), "twilio", sid, utc_now(), "+15550100", "+15550199")
        handle = await self.registry.answer(call)
        line = FakeLine(handle)
        conversation, line.voice = await self.board.receive(handle, line, returning=returning)
        line.conversation = conversation
        self.lines.append(line)
        return conversation, line

    async def desk(self, name: str, role: UserRole = "agent", *, online: bool = True) -> Desk:
        """Somebody opens a page, and takes calls from now on."""
        desk = Desk(self, await self.board.phone_of(Person(name, role)))
        self.board.connect(desk.phone, desk)
        if online:
            self.board.set_status(desk.phone, "online")
        self.desks.append(desk)
        return desk

    def beat(self, times: int = SETTLE_BEATS, *, lag_s: float | None = None) -> None:
        """Let time pass, while everyone speaks. `lag_s`: the loop comes to its errands only that long afterwards."""
        late: list[Errand] = []
        for _ in range(times):
            for speaker in (*self.lines, *self.desks):
                speaker.speak(self.clock.now_s)
            self._echoed = {line: line.echo_marks(self._echoed.get(line, 0)) for line in self.lines}
            errands = self.clock.beat()
            if lag_s is None:
                _carry_out(errands)
            else:
                late += errands
        if lag_s is not None:
            time.sleep(lag_s)
            _carry_out(late)


def _carry_out(errands: Iterable[Errand]) -> None:
    for errand in errands:
        errand()


def _tones(samples: Samples, rate_hz: int) -> set[str]:
    if not len(samples):
        return set()
    window = samples * np.hanning(len(samples))
    at = np.arange(len(samples)) / rate_hz
    found: Iterable[str] = (
        name
        for name, hz in TONES_HZ.items()
        if abs(np.sum(window * np.exp(-2j * np.pi * hz * at))) / len(samples) > 150
    )
    return set(found)
