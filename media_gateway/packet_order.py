"""One sender's packets after another's, as they come -> in the order in which they were sent, with what is missing.

No I/O and no clock of its own; never more memory than the packets themselves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PATIENCE_S: Final = 0.12
"""How long a packet that is missing is waited for, once one behind it is there."""

_MOST_WAITING: Final = 64
"""Packets that may wait for one that is missing."""
_DROPOUT: Final = 3_000
_MISORDER: Final = 100
"""Sequence numbers so far ahead or behind belong to a new stream if two follow on (RFC 3550, appendix A.1)."""


class Packet(NamedTuple):
    """A packet of the stream, with audio or without."""

    ssrc: int
    sequence: int
    timestamp: int
    payload: bytes
    came_s: float
    """time.monotonic() at its arrival."""


class Placed(NamedTuple):
    """A packet in its place."""

    packet: Packet
    missing: int
    """How many are missing before it."""
    is_anew: bool = False
    """It is the first of a sender: what lies between it and the one before is not known."""


class PacketOrder:
    """Puts packets in order by their sequence numbers; a new SSRC, or numbers that leap, begin anew."""

    def __init__(self) -> None:
        self._ssrc = -1
        self._next = 0
        """The sequence number that follows, with its wraps."""
        self._waiting: dict[int, Packet] = {}
        self._odd: Packet | None = None
        self.late_packets = 0
        """Those that came when their place had been passed, or twice."""
        self.lost_packets = 0

    @property
    def is_waiting(self) -> bool:
        """Return whether packets wait for one that is missing."""
        return bool(self._waiting)

    def put(self, packet: Packet) -> list[Placed]:
        """Take a packet; return those that are now in order."""
        if packet.ssrc != self._ssrc:
            return [*self.flush(), self._begin(packet)]
        ahead = (packet.sequence - self._next + 0x8000 & 0xFFFF) - 0x8000
        if ahead == 0 and not self._waiting:
            self._next += 1
            return [Placed(packet, 0)]
        if not -_MISORDER <= ahead <= _DROPOUT:
            odd, self._odd = self._odd, packet
            if odd is None or packet.sequence != odd.sequence + 1 & 0xFFFF:
                return []
            return [*self.flush(), self._begin(odd), *self.put(packet)]
        if ahead < 0 or self._next + ahead in self._waiting:
            self.late_packets += 1
            return []
        self._waiting[self._next + ahead] = packet
        return self._in_order(0)

    def give_up(self, now_s: float) -> list[Placed]:
        """Return those that have waited long enough for others. `now_s`: on the clock of `came_s`."""
        ready: list[Placed] = []
        while self._waiting:
            came_s = min(packet.came_s for packet in self._waiting.values())
            if now_s - came_s < PATIENCE_S and len(self._waiting) <= _MOST_WAITING:
                break
            ready += self._skip()
        return ready

    def flush(self) -> list[Placed]:
        """Return all that wait."""
        ready: list[Placed] = []
        while self._waiting:
            ready += self._skip()
        return ready

    def _begin(self, packet: Packet) -> Placed:
        self._ssrc, self._next, self._odd = packet.ssrc, packet.sequence + 1, None
        return Placed(packet, 0, is_anew=True)

    def _skip(self) -> list[Placed]:
        """Go on at the first that waits."""
        first = min(self._waiting)
        missing, self._next = first - self._next, first
        self.lost_packets += missing
        return self._in_order(missing)

    def _in_order(self, missing: int) -> list[Placed]:
        ready = []
        while (packet := self._waiting.pop(self._next, None)) is not None:
            ready.append(Placed(packet, missing))
            self._next += 1
            missing = 0
        return ready
