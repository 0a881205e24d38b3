"""One party's packets -> 20 ms frames: in order, what is lost concealed, and no later than the line asks for.

No I/O and no clock of its own. It is cheap, takes whatever a network may bring, and never raises for it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from media_gateway.audio import FRAME_SAMPLES, PayloadError, Samples
from media_gateway.playout.arrivals import Arrivals, Beats, spare_audio
from media_gateway.playout.conceal import Concealer
from media_gateway.playout.line import Line

MAX_PAYLOAD_BYTES: Final = 4_096
"""Of a packet; a longer one is taken for lost."""
MAX_PACKETS: Final = 250
"""That may wait; beyond it the oldest are lost."""

# Lengths are samples of 16 kHz.
_HELD: Final = 2_000 * SAMPLES_PER_MS
"""Audio that may wait; beyond it the oldest is lost."""
_SNAP: Final = 5 * SAMPLES_PER_MS
"""A packet so near to its place follows on."""
_LEAP: Final = 200 * SAMPLES_PER_MS
"""Packets that come so much earlier than any before have another clock, or another way."""
_ODD: Final = 1_000 * SAMPLES_PER_MS
"""A packet so much too early, or too late for the longest delay, does not belong to the stream."""
_ODD_PACKETS: Final = 3
"""So many of them that follow on from each other are a new stream."""
_GONE: Final = 1_000 * SAMPLES_PER_MS
"""Nothing came for so long: whatever comes next begins anew."""
_LOOSE: Final = 2 * SAMPLES_PER_MS
"""Delay beyond what is needed that is not worth a seam."""
_PAUSE_BYTES: Final = 2
"""A payload of at most so many says that the sender is silent and will send less (RFC 7587, section 3.1.3)."""

_URGENT: Final = 100 * SAMPLES_PER_MS
_REST_FRAMES: Final = 2
"""Between two seams, unless it is urgent."""
_FIRST_REST_FRAMES: Final = 50
"""Of a new stream: how late its packets come has to be seen first."""
_ALIKE: Final = 0.8
_ALIKE_URGENT: Final = 0.5
_YIELDING: Final = 0.01
"""By how much less alike the two sides of a seam may be for each frame in which none was found."""
_QUIET: Final = 0.06
"""A peak below this part of the loudest of late is silence."""
_SILENT: Final = 60
"""A peak that is silence in any case."""
_FORGETTING: Final = 0.998

Kind = Literal["heard", "concealed", "silent"]


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms of a party's audio."""

    samples: Samples
    """FRAME_SAMPLES of them, the receiver's own."""
    kind: Kind
    """'heard': from packets; 'concealed': some or all of it made up; 'silent': nothing came for so long that
    concealment has faded out, or nothing has come yet."""


class _Packet(NamedTuple):
    position: int
    payload: bytes
    came: float


class Playout:
    """A jitter buffer that adapts.

    - The delay is what the latest packets of the last three seconds needed, 4 to 26 ms if all come on time. It grows
      when a packet comes too late: concealment is heard until it is there, and then all that it says. It shrinks by
      pitch periods, faster in silence.
    - A packet that has not come when the one after it is heard is lost: it costs its length of concealment and no
      delay. Should it come after all, it is late, and if that happens again the delay grows.
    - After a second without packets, or with three packets that agree on another clock, the stream begins anew.
    - What waits beyond `max_delay_ms` is heard at up to twice the speed; beyond two seconds, the oldest is lost.
    """

    def __init__(
        self,
        decode: Callable[[bytes], Samples],
        clock_rate_hz: int,
        *,
        min_delay_ms: int = 4,
        max_delay_ms: int = 400,
    ) -> None:
        """Make the buffer of one party.

        Args:
            decode: gives a payload's samples at 16 kHz or raises PayloadError; called in the order of sending.
            clock_rate_hz: of the timestamps.
            min_delay_ms: how long before it is needed the latest packet is to be there.
            max_delay_ms: how much later than the first packets the last may come.
        """
        self._decode = decode
        self._clock_rate_hz = clock_rate_hz
        self._early = min_delay_ms * SAMPLES_PER_MS
        self._most = max_delay_ms * SAMPLES_PER_MS
        self._arrivals = Arrivals()
        self._beats = Beats()
        self._line = Line()
        self._concealer = Concealer()
        self._order: list[int] = []
        """Positions of the packets that wait."""
        self._waiting: dict[int, _Packet] = {}
        self._odd: list[_Packet] = []
        self._recent: deque[int] = deque(maxlen=64)
        """Positions heard."""
        self._running = False
        self._anew = True
        """The next packet begins a stream."""
        self._clock = 0
        """Of the last packet of the stream: its timestamp without wrapping."""
        self._next = 0
        """Where what follows on from the line begins, on the sender's clock."""
        self._filled = 0
        """Concealment heard instead of it so far."""
        self._packet = FRAME_SAMPLES
        """Length of the last packet."""
        self._paused = False
        self._due = 0.0
        self._patience = 0.0
        self._loudest = 0.0
        self._rest = 0
        self._sought = 0
        """Frames in which a place for a seam was looked for in vain."""
        self._delay = 0.0

        self.lost_packets = 0
        self.late_packets = 0
        """Those that came when their place had been passed; they are among the lost ones too."""
        self.duplicate_packets = 0
        self.stray_packets = 0
        """Those that belong to no stream."""
        self.underruns = 0
        """How often the next packet was not there in time, but came."""
        self.concealed_ms = 0
        self.left_out_ms = 0.0
        """Taken out to shorten the delay."""
        self.said_again_ms = 0.0
        """Put in to lengthen it."""

    @property
    def delay_ms(self) -> float:
        """From a packet's arrival to the frame that it is heard in, the mean of late."""
        return self._delay / SAMPLES_PER_MS

    @property
    def waiting_packets(self) -> int:
        """Packets that have come and are not yet decoded."""
        return len(self._order)

    def put(self, timestamp: int, payload: bytes, now_s: float) -> None:
        """Take a packet: its RTP timestamp as it came, 32 bits, and when it came on any monotonic clock."""
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            return
        now = now_s * SAMPLE_RATE_HZ
        step = (timestamp - self._clock + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
        clock = self._clock + step
        packet = _Packet(clock * SAMPLE_RATE_HZ // self._clock_rate_hz, payload, now)
        if self._anew:
            self._anew = False
            self._begin_anew()
        elif not -_ODD <= now - packet.position - self._arrivals.earliest <= self._most + _ODD:
            self._put_odd(packet)
            return
        self._clock = clock
        self.stray_packets += len(self._odd)
        self._odd.clear()
        self._put(packet)

    def frame(self, now_s: float) -> Frame:
        """Return the next 20 ms; to be called every 20 ms with the clock of `put`."""
        now = now_s * SAMPLE_RATE_HZ
        self._due = self._beats.beat(now)
        if not self._running and not self._start(now):
            return Frame(np.zeros(FRAME_SAMPLES, np.int16), "silent")
        concealed = self._fill(now)
        if not concealed:
            self._adjust(now)
        samples = self._line.take(FRAME_SAMPLES)
        peak = max(int(samples.max()), -int(samples.min()))
        self._loudest = max(peak, self._loudest * _FORGETTING)
        if not concealed:
            return Frame(samples, "heard")
        if self._filled >= _GONE and not self._order:
            self._running = False
            self._anew = True
            self._patience = min(self._arrivals.spread, self._most)
        if concealed == FRAME_SAMPLES and not peak:
            return Frame(samples, "silent")
        self.concealed_ms += concealed // SAMPLES_PER_MS
        return Frame(samples, "concealed")

    # -- packets

    def _put(self, packet: _Packet) -> None:
        position = packet.position
        if position in self._waiting or position in self._recent:
            self.duplicate_packets += 1
            return
        transit = packet.came - position
        if transit < self._arrivals.earliest - _LEAP:
            self._arrivals.forget()
        self._arrivals.note(transit, packet.came)
        if self._running and position + self._packet <= self._next + _SNAP:
            self.late_packets += 1
            return
        self._waiting[position] = packet
        insort(self._order, position)
        while len(self._order) > MAX_PACKETS or self._order[-1] - self._order[0] > _HELD:
            del self._waiting[self._order.pop(0)]

    def _put_odd(self, packet: _Packet) -> None:
        if self._odd and not 0 < packet.position - self._odd[-1].position <= _LEAP:
            self.stray_packets += len(self._odd)
            self._odd.clear()
        self._odd.append(packet)
        if len(self._odd) < _ODD_PACKETS:
            return
        packets, self._odd = self._odd, []
        self._begin_anew()
        self._clock = packets[-1].position * self._clock_rate_hz // SAMPLE_RATE_HZ
        self._next = packets[0].position
        self._filled = 0
        self._conceal()
        for each in packets:
            self._put(each)

    def _begin_anew(self) -> None:
        self._rest = _FIRST_REST_FRAMES
        self._arrivals.forget()
        self._waiting.clear()
        self._order.clear()
        self._recent.clear()
        self._odd.clear()

    def _start(self, now: float) -> bool:
        """Begin with what waits, if that is enough."""
        if not self._order:
            return False
        first, last = self._order[0], self._order[-1]
        patience = self._early + _LOOSE + self._patience
        if now - self._waiting[first].came < patience and last - first < patience:
            return False
        self._running = True
        self._next = first
        self._filled = 0
        self._conceal()
        return True

    # -- the line

    def _fill(self, now: float) -> int:
        """Have a frame's samples ready; return how many of them are made up."""
        concealed = 0
        while (short := FRAME_SAMPLES - self._line.pending) > 0:
            gap = self._gap()
            if gap == 0:
                self._take(now)
                continue
            short = short if gap is None else min(short, gap)
            self._conceal()
            self._line.append(self._concealer.more(short))
            self._filled += short
            concealed += short
        return concealed

    def _gap(self) -> int | None:
        """Return how much is to be concealed before the next packet is heard; None: there is none."""
        if not self._order:
            return None
        ahead = self._order[0] - self._next
        if ahead <= (0 if self._filled else _SNAP) or ahead <= self._filled:
            return 0
        return max(ahead - self._filled - max(self._spare(), 0), 0)

    def _take(self, now: float) -> None:
        """Decode the next packet and let it follow on."""
        position, payload, came = self._waiting.pop(self._order.pop(0))
        self._recent.append(position)
        try:
            fresh = self._decode(payload)[: self._line.room]
        except PayloadError:
            return
        if not len(fresh):
            return
        ahead = position - self._next
        known = -ahead if ahead < -_SNAP else 0
        if known >= len(fresh):
            self.late_packets += 1
            return
        if ahead > _SNAP:
            if not self._paused:
                self.lost_packets += max(round(ahead / self._packet), 1)
            self._conceal()
        elif self._filled:
            self.underruns += 1
        self._paused = len(payload) <= _PAUSE_BYTES
        self._packet = len(fresh)
        self._next = position + len(fresh)
        self._filled = 0
        fresh = fresh[known:]
        self._line.append(self._concealer.join(fresh) if self._concealer.active else fresh)
        self._delay += (now - came - self._delay) / 16

    def _conceal(self) -> None:
        if not self._concealer.active:
            self._concealer.begin(self._line.tail())

    # -- the delay

    def _spare(self) -> int:
        """Return by how much the delay is too long, negative if it is too short."""
        arrivals = self._arrivals
        boundary = self._line.pending - self._filled
        lag = self._due - self._next + boundary
        spare = spare_audio(lag - arrivals.latest - self._early - _LOOSE, boundary, self._packet)
        spare = max(spare, int(lag - arrivals.earliest - self._most))
        if spare > 0:
            return spare
        lacking = spare_audio(lag - arrivals.next_latest - self._early, boundary, self._packet)
        return min(max(lacking, int(lag - arrivals.earliest) - self._most), 0)

    def _adjust(self, now: float) -> None:
        """Leave something out or say something again if the delay is not what it should be."""
        self._rest -= 1
        spare = self._spare()
        if spare > 0:
            changed = self._shorten(spare, now)
            self.left_out_ms += changed / SAMPLES_PER_MS
        elif spare < 0:
            changed = self._lengthen(-spare)
            self.said_again_ms += changed / SAMPLES_PER_MS
        else:
            changed = 0
        if changed:
            self._rest = _REST_FRAMES
        self._sought = self._sought + 1 if spare and not changed else 0

    def _shorten(self, length: int, now: float) -> int:
        line = self._line
        if self._rest > 0 and length < _URGENT:
            return 0
        most = min(length, FRAME_SAMPLES)
        while line.pending < FRAME_SAMPLES + most and self._order and abs(self._order[0] - self._next) <= _SNAP:
            self._take(now)
        most = min(most, line.pending - FRAME_SAMPLES)
        if most < SAMPLES_PER_MS:
            return 0
        if not self._is_quiet(line.next(FRAME_SAMPLES + most)):
            most, alike = line.period_ahead(most)
            if alike < self._wanted_likeness(length):
                return 0
        if most:
            line.leave_out(most)
        return most

    def _lengthen(self, length: int) -> int:
        line = self._line
        if self._rest > 0 and length < _URGENT:
            return 0
        most = min(length, FRAME_SAMPLES)
        if not self._is_quiet(line.past(most)) or not self._is_quiet(line.next(FRAME_SAMPLES)):
            most, alike = line.period_behind()
            if alike < self._wanted_likeness(length):
                return 0
        line.say_again(most)
        return most

    def _wanted_likeness(self, length: int) -> float:
        return (_ALIKE_URGENT if length >= _URGENT else _ALIKE) - _YIELDING * self._sought

    def _is_quiet(self, samples: Samples) -> bool:
        return max(int(samples.max()), -int(samples.min())) <= max(_QUIET * self._loudest, _SILENT)
