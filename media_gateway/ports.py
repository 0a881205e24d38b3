"""What the transports need from the rest of the gateway, as Protocols.

Transports know sockets and wire formats; they know nothing of Redis, PostgreSQL or the screens. Everything they
hand on crosses this border, so each of them runs in a test against a few lines of fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

from infra.model import AudioChunk, Call, Leg, Role, Stage, Track, UserRole
from media_gateway.voices import PacketVoice

PeerState = Literal["connecting", "connected", "lost", "closed"]
"""How a browser's audio connection stands; after 'lost' and 'closed' nothing follows."""


class CallRefused(Exception):
    """The registry will not take this call, for example because the server is draining or the call is over.

    `str(error)` is one short sentence without personal data; it goes to the peer as the close reason.
    """


class TrackSink(Protocol):
    """Where a track's chunks go."""

    def put(self, chunk: AudioChunk) -> None:
        """Take the next chunk. Never blocks, never awaits, never raises: the reader of a socket calls it.

        A chunk with `last=True` closes the track; nothing follows it.
        """


class CallHandle(Protocol):
    """A live call, seen from a transport. Every method is synchronous and returns at once."""

    @property
    def call(self) -> Call:
        """The call as it was answered."""

    @property
    def recording_state(self) -> Literal["off", "on", "paused"]:
        """Whether the call is being recorded."""

    def record(self, user_id: UUID | None, *, on: bool) -> bool:
        """Go on recording, or pause; False when the call is not recorded at all."""

    def clock_ms(self) -> int:
        """Return milliseconds since the call's first leg was answered."""

    def join(self, role: Role, name: str | None, user_id: UUID | None = None) -> Leg:
        """Add a party to the call; `user_id`: who it is, if it is one of ours."""

    def rename(self, leg: Leg, name: str | None) -> Leg:
        """Tell what a party is called, where that is known only now; returns the leg under its new name."""

    def open_track(
        self, leg: Leg, label: str, *, recorded: bool = True, mixed: bool = False
    ) -> tuple[Track, TrackSink]:
        """Open one direction of a party's audio; `label` is the wire's own name for it.

        `recorded`: whether it belongs into the call's recording (a whisper does not). `mixed`: whether several people
        may be heard on it.
        """

    def leave(self, leg: Leg, reason: str) -> None:
        """Take a party out of the call. Its tracks have had their last chunk before."""

    def hang_up(self, reason: str) -> None:
        """End the call. Every leg that this transport joined has left before; calling it again does nothing."""

    def note(self, what: str, data: dict[str, object]) -> None:
        """Tell of something beside the audio: 'dtmf', 'mark', 'stream-error' ..."""

    def note_act(self, user_id: UUID | None, act: str, detail: dict[str, object]) -> None:
        """Write down what somebody did in the call, or what was done to its caller; None: nobody in person."""

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Have `listener(reason)` called before the call ends, however it ends: time to take the parties out."""

    def set_stage(self, stage: Stage, *, queue_id: UUID | None, queue: str, agent: tuple[UUID, str] | None) -> None:
        """Tell where a bridged call stands; `agent`: who talks to the caller, or did last."""

    def supervised(self, leg: Leg, user_id: UUID, name: str, mode: str | None) -> None:
        """Tell, and write down, that somebody listens in, and how; None: no longer."""


class CallRegistry(Protocol):
    """Where calls are answered."""

    async def answer(self, call: Call) -> CallHandle:
        """Answer a call. Idempotent: a call id that is live already returns the live call.

        Raises:
            CallRefused: the call cannot be taken.
        """


class UserLike(Protocol):
    """Somebody who has come in (infra.store.users.User)."""

    @property
    def id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> UserRole: ...


class Peer(Protocol):
    """A browser's audio connection, as a phone line uses it. On the event loop."""

    def send(self, payload: bytes) -> None:
        """Send the next 20 ms of Opus. Never blocks."""

    def disconnect(self) -> None:
        """Close it, soon; nothing is called back any more."""

    def quality(self) -> Quality:
        """Return how well packets get through."""


class Quality(Protocol):
    """How well packets get through."""

    @property
    def loss_fraction(self) -> float: ...
    @property
    def jitter_ms(self) -> float: ...
    @property
    def rtt_ms(self) -> float | None: ...


class PhoneLine(Protocol):
    """What a browser's audio connection is connected to."""

    @property
    def call_id(self) -> UUID: ...
    @property
    def leg_id(self) -> UUID: ...

    def connect(self, peer: Peer) -> None:
        """Take the connection that is being set up; it takes the place of an earlier one."""

    def on_packet(self, timestamp: int, payload: bytes, now_s: float) -> None:
        """Take an Opus packet with its RTP timestamp; `now_s`: time.monotonic()."""

    def on_state(self, state: PeerState) -> None:
        """Take notice of the connection's state."""

    def hang_up(self) -> None:
        """The browser hangs up."""


class PhoneLines(Protocol):
    """Who has a line for a browser's audio."""

    async def line(self, user: UserLike, call_id: UUID | None) -> PhoneLine:
        """Return the line of the call that waits for this user's audio; without `call_id`, that of whichever waits,
        else of a new call of the user's own.

        Raises:
            CallRefused: that call does not wait for this user, or no call can be taken.
        """


class CallerLine(Protocol):
    """A caller's connection both ways, as a conversation uses it. On the event loop."""

    def new_voice(self) -> PacketVoice:
        """Return a voice that reads this line's packets and writes what `play` takes."""

    def play(self, samples: bytes) -> None:
        """Send 20 ms of audio in the line's own encoding. Never blocks."""

    def clear(self) -> None:
        """Throw away what the caller has not heard yet."""

    def mark(self, name: str) -> None:
        """Ask to be told, by that name, when what was sent so far has been heard."""

    def hang_up(self, reason: str) -> None:
        """End the call."""


@runtime_checkable
class KeyLine(Protocol):
    """A line that can tell of keys beside the audio."""

    def press(self, keys: str) -> bool:
        """Press keys on the line. False: its other end takes no such news, so let it hear tones."""


class Meter(Protocol):
    """Counters of what comes through a door. Labels come from small fixed sets, never from the peer."""

    def refused(self, door: str, reason: str) -> None:
        """Count one socket that was refused or closed because of what its peer did."""

    def frames(self, door: str, outcome: str, count: int) -> None:
        """Count audio frames by outcome: placed, duplicate, late, stray, spare; of those we send, unsent."""


class NoMeter:
    """Counts nothing."""

    def refused(self, door: str, reason: str) -> None:
        """Do nothing."""

    def frames(self, door: str, outcome: str, count: int) -> None:
        """Do nothing."""
