"""What the transports need from the rest of the gateway, as Protocols.

Transports know sockets and wire formats; they know nothing of Redis, PostgreSQL or the screens. Everything they
hand on crosses this border, so each of them runs in a test against a few lines of fakes.
"""

from __future__ import annotations

from typing import Protocol

from infra.model import AudioChunk, Call, Leg, Role, Track


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

    def clock_ms(self) -> int:
        """Return milliseconds since the call's first leg was answered."""

    def join(self, role: Role, name: str | None) -> Leg:
        """Add a party to the call."""

    def open_track(self, leg: Leg, label: str) -> tuple[Track, TrackSink]:
        """Open one direction of a party's audio; `label` is the wire's own name for it."""

    def leave(self, leg: Leg, reason: str) -> None:
        """Take a party out of the call. Its tracks have had their last chunk before."""

    def hang_up(self, reason: str) -> None:
        """End the call. Every leg that this transport joined has left before; calling it again does nothing."""

    def note(self, what: str, data: dict[str, object]) -> None:
        """Tell of something beside the audio: 'dtmf', 'mark', 'stream-error' ..."""


class CallRegistry(Protocol):
    """Where calls are answered."""

    async def answer(self, call: Call) -> CallHandle:
        """Answer a call. Idempotent: a call id that is live already returns the live call.

        Raises:
            CallRefused: the call cannot be taken.
        """


class Meter(Protocol):
    """Counters of what comes through a door. Labels come from small fixed sets, never from the peer."""

    def refused(self, door: str, reason: str) -> None:
        """Count one socket that was refused or closed because of what its peer did."""

    def frames(self, door: str, outcome: str, count: int) -> None:
        """Count audio frames by outcome: placed, duplicate, late, stray, spare."""


class NoMeter:
    """Counts nothing."""

    def refused(self, door: str, reason: str) -> None:
        """Do nothing."""

    def frames(self, door: str, outcome: str, count: int) -> None:
        """Do nothing."""
