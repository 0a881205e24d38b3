"""A track fed by packets, without a bridge: put in order, decoded, and cut into chunks on the call's clock.

What the recogniser hears of every RTP stream, bridged or not. It waits longer for late packets than an ear would, and
never stretches time: 20 ms that were sent are 20 ms on the track.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final

import numpy as np

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS, AudioChunk
from infra.telemetry import logger
from media_gateway.audio import FRAME_SAMPLES, PayloadError, Samples
from media_gateway.chunker import Chunker
from media_gateway.intake import unix_ms
from media_gateway.media_clock import Post
from media_gateway.packet_order import Packet, PacketOrder, Placed
from media_gateway.playout.conceal import Concealer
from media_gateway.playout.line import PAST
from media_gateway.ports import TrackSink
from media_gateway.protocols.sdp import Codec
from media_gateway.voices import decoder_for

STALLED_S: Final = 0.4
"""Nothing came for so long: the words before it are finished with silence."""
MOST_LISTENERS: Final = 20_000

# Lengths are samples of 16 kHz.
_CONCEALED: Final = 60 * SAMPLES_PER_MS
"""A loss of up to so much is filled with a voice that goes on; a longer one is a hole."""
_FINISHED: Final = 1_000 * SAMPLES_PER_MS
"""The silence that finishes words."""
_AHEAD: Final = 200 * SAMPLES_PER_MS
"""How far silence and holes that a sender's clock tells of may run ahead of the call's clock."""
_BEHIND: Final = 1_000 * SAMPLES_PER_MS
"""How far a track may lag behind the call's clock before that becomes a hole."""
_NOTICED: Final = 100 * SAMPLES_PER_MS
"""A shorter stretch between two senders is none."""
_SILENCE: Final = 10_000 * SAMPLES_PER_MS
"""A sender's pause up to which it is silence on the track; beyond it is a hole."""
_SNAP: Final = 5 * SAMPLES_PER_MS
"""A packet so near to its place follows on."""
_LEAP: Final = 2_000 * SAMPLES_PER_MS
"""A timestamp that leaps by so much more than time went by is a clock that was set."""

_INBOX: Final = 512
"""Packets that may wait for the media thread; beyond it the oldest are lost."""
_SWEEP_BEATS: Final = 5
"""Every listener is looked at once in so many beats, without packets too ..."""
_REST_S: Final = 0.25
"""... and works if it has not worked for so long, or if nothing has come for a while."""
_SILENT_S: Final = 0.1
"""How long after its last packet a sender that has announced silence is taken at its word."""
_SILENT_BYTES: Final = 2
"""An Opus payload of at most so many says that its sender falls silent (RFC 7587, section 3.1.3)."""

log = logger(__name__)


class Listener:
    """One track. `receive`, `change`, `pause` and `close` are the event loop's; decoding is the media thread's.

    - A loss of up to 60 ms is concealed, a longer one is a hole of cause 'missing'.
    - A sender who falls silent (comfort noise, Opus' DTX, keys, nothing at all) is silent on the track; after ten
      seconds of which nothing told it is a hole of cause 'silence'.
    - After a new SSRC, or clocks that leap, the audio follows on where it came on the call's clock; what lies between
      is a hole of cause 'clock-restart'. A hold is a hole of cause 'hold'; what is missing otherwise to keep up with
      the call's clock, one of cause 'connection-lost'.
    """

    def __init__(self, sink: TrackSink, codec: Codec, clock_ms: Callable[[], int], owner: Listeners) -> None:
        self._sink, self._owner = sink, owner
        self._zero_s = time.monotonic() - clock_ms() / 1000
        """When the call's clock was 0, on the monotonic one."""
        self._inbox: deque[Packet | Codec | None] = deque(maxlen=_INBOX)
        """Packets; a codec to go on in; None for a pause."""
        self._due_timestamp = 0
        """Of the packet that completes a chunk."""
        self.is_woken = False
        """It is on its owner's list."""
        self._worked_s = 0.0
        """When it worked last."""
        self._lock = Lock()
        self._made: deque[AudioChunk] = deque()
        """Chunks on their way to the loop."""
        self._is_closed = False

        self._order = PacketOrder()
        self._chunker: Chunker | None = None
        self._codec, self._decoder = codec, decoder_for(codec)
        self._run: list[bytes] = []
        """Payloads that follow on from each other, not decoded yet."""
        self._run_samples = 0
        self._concealer = Concealer()
        self._tail: Samples = np.zeros(PAST, np.int16)
        """The last 50 ms on the track."""
        self._length = FRAME_SAMPLES
        """Of the last packet."""
        self._timestamp = 0
        """Of the audio that would follow on."""
        self._came_s = 0.0
        """When the last packet came."""
        self._filled = 0
        """Silence put on the track since the last audio."""
        self._missing = 0
        """Packets missing since the last audio."""
        self._is_anew = False
        """A new sender has begun since."""
        self._falls_silent = False
        """The sender has said that it sends nothing for now."""
        self._is_paused = False

    # -- on the event loop

    def receive(self, ssrc: int, sequence: int, timestamp: int, payload: bytes, now_s: float) -> None:
        """Take a packet; an empty payload is one that carries no audio (a key, comfort noise). `now_s`: monotonic."""
        self._inbox.append(Packet(ssrc, sequence, timestamp, payload, now_s))
        if not self.is_woken and timestamp - self._due_timestamp & 0xFFFFFFFF < 0x80000000:
            self._owner.wake(self)

    def change(self, codec: Codec) -> None:
        """What comes from now on is in another codec."""
        self._inbox.append(codec)

    def pause(self) -> None:
        """Nothing is sent for now, and that is agreed (hold): what comes next begins after a hole of cause 'hold'."""
        self._inbox.append(None)

    def close(self) -> None:
        """The track is over: hand on all that there is, then its closing chunk. Closing again does nothing."""
        if self._is_closed:
            return
        self._owner.forget(self)
        with self._lock:
            self._is_closed = True
            self._take_all()
            self._place(self._order.flush())
            self._decode()
            chunker = self._chunker or Chunker(0, self._made.append)
            chunker.close(unix_ms())
        self.deliver()

    def deliver(self) -> None:
        """Hand finished chunks on."""
        while self._made:
            self._sink.put(self._made.popleft())

    # -- in the media thread

    def is_due(self, now_s: float) -> bool:
        """Return whether there may be something to do though no chunk is complete."""
        return now_s - self._worked_s >= _REST_S or (not self._inbox and now_s - self._came_s >= _SILENT_S)

    def work(self, now_s: float) -> bool:
        """Decode what has come; return whether there are chunks to deliver."""
        with self._lock:
            self.is_woken, self._worked_s = False, now_s
            if not self._is_closed:
                self._take_all()
                self._place(self._order.give_up(now_s))
                self._decode()
                self._fill(now_s)
                if self._chunker is not None:
                    wanted = (self._chunker.room_samples - self._length) * self._codec.clock_hz // SAMPLE_RATE_HZ
                    self._due_timestamp = self._timestamp + wanted & 0xFFFFFFFF
                if self._order.is_waiting:
                    self._owner.wake(self)
        return bool(self._made)

    def _take_all(self) -> None:
        inbox = self._inbox
        while inbox:
            item = inbox.popleft()
            if isinstance(item, Packet):
                self._place(self._order.put(item))
                continue
            self._place(self._order.flush())
            self._decode()
            if item is None:
                self._is_paused = True
            else:
                self._codec, self._decoder = item, decoder_for(item)
                self._is_anew = True

    def _place(self, ready: Iterable[Placed]) -> None:
        for packet, missing, is_anew in ready:
            self._missing += missing
            self._is_anew |= is_anew
            if packet.payload:
                self._put(packet)
            else:
                self._falls_silent = True
                self._came_s = packet.came_s

    def _put(self, packet: Packet) -> None:
        """Put audio on the track, after what is missing before it."""
        samples = self._decoder.length(packet.payload)
        if not samples:
            return
        starts = self._clock(packet.came_s) - samples
        if self._chunker is None:
            self._chunker = Chunker(max(starts, 0) // SAMPLES_PER_MS, self._made.append)
        else:
            self._bridge_gap(packet, starts)
        self._filled = self._missing = 0
        self._is_anew = self._is_paused = False
        self._falls_silent = self._codec.name == "opus" and len(packet.payload) <= _SILENT_BYTES
        self._came_s = packet.came_s
        self._length = samples
        self._timestamp = packet.timestamp + samples * self._codec.clock_hz // SAMPLE_RATE_HZ & 0xFFFFFFFF
        self._run.append(packet.payload)
        self._run_samples += samples

    def _bridge_gap(self, packet: Packet, starts: int) -> None:
        """Fill up, or leave out, what lies between the end of the track and a packet.

        `starts`: where the packet's first sample lies on the call's clock if it came without delay.
        """
        ticks = (packet.timestamp - self._timestamp + 0x8000_0000 & 0xFFFFFFFF) - 0x8000_0000
        if not ticks and self._run and packet.came_s - self._came_s < _SILENT_S and not self._is_anew:
            return  # it follows on, as the one before did
        lag = starts - self._position()
        ahead = ticks * SAMPLE_RATE_HZ // self._codec.clock_hz
        went_by = int((packet.came_s - self._came_s) * SAMPLE_RATE_HZ)
        if self._is_paused:
            self._skip(lag, "hold")
            return
        if self._is_anew or ahead - went_by > _LEAP or ahead < -_LEAP:
            if lag > _NOTICED:
                self._skip(lag, "clock-restart")
            return
        if ahead > _SNAP:
            most = max(lag + _AHEAD, 0)
            missing = min(ahead, self._missing * self._length)
            silence = ahead - missing
            missing -= min(max(self._filled - silence, 0), missing)
            silence -= min(self._filled, silence)
            missing = min(missing, most)
            silence = min(silence, most - missing)
            self._miss(missing)
            self._be_silent(silence)
            lag -= missing + silence
        if lag > _BEHIND:
            self._skip(lag, "connection-lost")

    def _miss(self, samples: int) -> None:
        if samples > _CONCEALED:
            self._skip(samples, "missing")
        elif samples:
            self._conceal(samples)

    def _conceal(self, samples: int) -> None:
        self._decode()
        if not self._concealer.active:
            self._concealer.begin(self._tail)
        self._push(self._concealer.more(samples))

    def _be_silent(self, samples: int) -> None:
        if samples > _SILENCE:
            self._skip(samples, "silence")
        elif samples:
            self._decode()
            self._concealer.active = False
            self._push(np.zeros(samples, np.int16))

    def _skip(self, samples: int, cause: str) -> None:
        if samples <= 0 or self._chunker is None:
            return
        self._decode()
        self._concealer.active = False
        self._tail = np.zeros(PAST, np.int16)
        self._chunker.skip(samples, cause, unix_ms())

    def _decode(self) -> None:
        """Decode what follows on from each other, in one piece if the codec can."""
        run, self._run = self._run, []
        self._run_samples = 0
        if not run:
            return
        for payload in [b"".join(run)] if self._decoder.joins else run:
            try:
                samples = self._decoder.decode(payload)
            except PayloadError:
                self._conceal(self._length)
                continue
            if self._concealer.active and len(samples):
                samples = self._concealer.join(samples)
            self._push(samples)

    def _push(self, samples: Samples) -> None:
        if self._chunker is not None and len(samples):
            self._chunker.push(samples, unix_ms())
            self._tail = np.concatenate((self._tail, samples))[-PAST:]

    def _fill(self, now_s: float) -> None:
        """Let what was said last be followed by silence where nothing comes."""
        if self._chunker is None or self._order.is_waiting:
            return
        if now_s - self._came_s < (_SILENT_S if self._falls_silent else STALLED_S):
            return
        silence = self._clock(now_s) - int(_SILENT_S * SAMPLE_RATE_HZ) - self._position()
        if not self._falls_silent or self._is_paused:
            silence = min(silence, _FINISHED - self._filled)
        if silence >= FRAME_SAMPLES:
            self._filled += silence
            self._be_silent(min(silence, _SILENCE))

    def _clock(self, now_s: float) -> int:
        return round((now_s - self._zero_s) * 1000) * SAMPLES_PER_MS

    def _position(self) -> int:
        """Return the end of the track."""
        assert self._chunker is not None
        return self._chunker.position_ms * SAMPLES_PER_MS + self._run_samples


class Listeners:
    """All tracks of a gateway that are fed by packets. Add it to the MediaClock once."""

    def __init__(self) -> None:
        self._all: tuple[Listener, ...] = ()
        self._woken: deque[Listener] = deque(maxlen=MOST_LISTENERS)
        self._beats = 0

    def __len__(self) -> int:
        return len(self._all)

    def open(self, sink: TrackSink, codec: Codec, clock_ms: Callable[[], int]) -> Listener:
        """Return the listener of a new track; `sink` and `clock_ms` are those of its CallHandle. On the loop."""
        listener = Listener(sink, codec, clock_ms, self)
        self._all = (*self._all, listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """That track is over. On the loop."""
        self._all = tuple(other for other in self._all if other is not listener)

    def wake(self, listener: Listener) -> None:
        """Have a listener work at the next beat."""
        listener.is_woken = True
        self._woken.append(listener)

    def beat(self, now_s: float, due_s: float, post: Post) -> None:
        """Do what has become due. In the media thread (media_gateway.media_clock.Beating)."""
        woken = self._woken
        for _ in range(len(woken)):
            self._work(woken.popleft(), now_s, post)
        self._beats += 1
        for listener in self._all[self._beats % _SWEEP_BEATS :: _SWEEP_BEATS]:
            if listener.is_due(now_s):
                self._work(listener, now_s, post)

    @staticmethod
    def _work(listener: Listener, now_s: float, post: Post) -> None:
        try:
            if listener.work(now_s):
                post(listener.deliver)
        except Exception as error:  # noqa: BLE001  (the outer loop: one track's fault must not silence the others)
            log.error("listening failed", error=type(error).__name__, detail=str(error)[:200])
