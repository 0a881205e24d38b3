"""One agreed audio stream over RTP: packets in from the right sender alone, packets out, reports, keys (RFC 3550)."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from infra.telemetry import logger
from media_gateway.listening import Listener
from media_gateway.protocols import rtp
from media_gateway.protocols.rtp_accounts import Accounts, Quality
from media_gateway.protocols.rtp_source import Source
from media_gateway.protocols.sdp import Address
from media_gateway.protocols.sdp_plan import StreamPlan
from media_gateway.transports.rtp_ports import RtpSocket
from media_gateway.transports.rtp_srtp import Sealed

OnPacket = Callable[[int, bytes, float], None]

FRAME_S: Final = 0.02
"""What one `send` stands for."""
KEY_FRAMES: Final = 8
"""How long a key is pressed, in frames: 160 ms."""
KEY_ENDS: Final = 3
"""How often its end is told (RFC 4733, section 2.5.1.4)."""
KEY_PAUSE_FRAMES: Final = 4
MAX_KEYS: Final = 32
"""That wait to be pressed; beyond it the newest are not."""
MAX_PAYLOAD_BYTES: Final = 1_300

_LATE_S: Final = 0.1
"""A frame that comes so much later than the one before asks for follows a pause."""
_COUNTED: Final = frozenset({"PCMU", "PCMA", "G722"})
"""Codecs with one byte for each tick of their clock: packets of any length can be made of them."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much a stream may bring, and how long its silence is borne."""

    packets_a_second: int = 500
    """Beyond it packets are dropped unread; 10 ms packets make 100."""
    lost_after_s: float = 60.0
    """Without a packet or a report from a side that may send."""
    report_s: float = 5.0
    """Between two reports, on average (RFC 3550, section 6.2)."""


_LIMITS: Final = StreamLimits()


class _Budget:
    """So many in a second."""

    __slots__ = ("_a_second", "_left", "_since_s")

    def __init__(self, a_second: int) -> None:
        self._a_second = self._left = a_second
        self._since_s = 0.0

    def spend(self, now_s: float) -> bool:
        """Take one; False when there is none left."""
        if now_s - self._since_s >= 1.0:
            self._left, self._since_s = self._a_second, now_s
        self._left -= 1
        return self._left >= 0


class RtpStream:
    """A stream of a call. All of it belongs to the event loop; nothing here awaits."""

    def __init__(
        self,
        socket: RtpSocket,
        plan: StreamPlan,
        *,
        on_packet: OnPacket | None = None,
        listener: Listener | None = None,
        on_key: Callable[[str], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        signalled_from: str | None = None,
        limits: StreamLimits = _LIMITS,
    ) -> None:
        """Listen on `socket`, which the stream owns from now on.

        `on_packet` takes audio for a bridge, as PacketVoice.receive does: RTP timestamp, payload, time.monotonic().
        `listener` is fed for recognition. `on_key` takes keys pressed (RFC 4733), each once. `on_lost` is called
        when the other side has been silent for too long although it may send ('silent'), once for each such silence.
        `signalled_from`: the IP address that the SIP request came from; behind a NAT, media come from there too.
        """
        self._socket, self._plan, self._limits = socket, plan, limits
        self._on_packet, self._listener, self._on_key, self._on_lost = on_packet, listener, on_key, on_lost
        self._source = Source(plan.remote, signalled_from)
        self._sealed = Sealed(plan.crypto) if plan.crypto is not None else None
        self._accounts = Accounts(secrets.randbits(32), secrets.token_hex(8), plan.codec.clock_hz)
        self._keys = rtp.KeyReader()
        self._reports_from: Address | None = None
        self._is_lost = False
        self._heard_s = time.monotonic()
        self._budget = _Budget(limits.packets_a_second)
        self._strangers_budget = _Budget(limits.packets_a_second)
        self.strays = 0
        """Datagrams thrown away: from strangers, unreadable, not sealed with their keys, of no agreed payload type."""

        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(32)
        self._paused = True
        self._due_s = 0.0
        self._rest = bytearray()
        """Of packets in the making that are longer than a frame."""
        self._pressing: deque[str] = deque()
        self._pressed_frames = 0
        self._pressed_at = 0

        socket.listen(self._on_rtp, self._on_rtcp)
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    @property
    def plan(self) -> StreamPlan:
        """Return what is agreed now."""
        return self._plan

    @property
    def is_lost(self) -> bool:
        """Return whether the other side is silent for too long."""
        return self._is_lost

    @property
    def remote(self) -> Address | None:
        """Return where packets are sent to; None: not known yet."""
        return self._source.target

    def update(self, plan: StreamPlan, signalled_from: str | None = None) -> None:
        """Go on as a re-INVITE has agreed: other directions, another address, other keys or another codec.

        With another codec the listener is told; a bridge's voice has to be replaced (`route`).
        """
        before, self._plan = self._plan, plan
        self._source.announce(plan.remote, signalled_from)
        if plan.crypto is None:
            self._sealed = None
        elif self._sealed is None or self._sealed.pair != plan.crypto:
            self._sealed = Sealed(plan.crypto)
        if (plan.codec.name, plan.codec.clock_hz) != (before.codec.name, before.codec.clock_hz):
            self._accounts.clock_hz = plan.codec.clock_hz
            self._rest.clear()
            self._paused = True
            if self._listener is not None:
                self._listener.change(plan.codec)
        if before.receives and not plan.receives and self._listener is not None:
            self._listener.pause()
        self._heard_s = time.monotonic()

    def route(self, on_packet: OnPacket | None, listener: Listener | None) -> None:
        """Hand packets on to others from now on."""
        self._on_packet, self._listener = on_packet, listener

    # -- in

    def _on_rtp(self, data: bytes, address: Address, now_s: float) -> None:
        plan = self._plan
        if plan.rtcp_mux and rtp.is_rtcp(data):
            self._on_rtcp(data, address, now_s)
            return
        if not self._is_affordable(address, now_s):
            return
        sealed = self._sealed
        opened = data if sealed is None else sealed.unseal(data)
        packet = None if opened is None else rtp.parse_rtp(opened)
        if packet is None or not self._is_agreed(packet.payload_type):
            self.strays += 1
            return
        if sealed is not None:
            self._source.authentic(address, now_s)
        elif not self._source.admits(address, packet.sequence, now_s):
            self.strays += 1
            return
        self._heard_s = now_s
        if plan.receives:
            self._take(packet, now_s)

    def _is_affordable(self, address: Address, now_s: float) -> bool:
        budget = self._budget if address == self._source.taken else self._strangers_budget
        return budget.spend(now_s)

    def _is_agreed(self, payload_type: int) -> bool:
        plan = self._plan
        return payload_type == plan.codec.payload_type or payload_type in {
            plan.dtmf_payload_type,
            plan.noise_payload_type,
        }

    def _take(self, packet: rtp.RtpPacket, now_s: float) -> None:
        plan, listener = self._plan, self._listener
        self._accounts.came(packet, now_s)
        is_audio = packet.payload_type == plan.codec.payload_type
        if listener is not None:
            listener.receive(packet.ssrc, packet.sequence, packet.timestamp, packet.payload if is_audio else b"", now_s)
        if is_audio:
            if packet.payload and self._on_packet is not None:
                self._on_packet(packet.timestamp, packet.payload, now_s)
        elif packet.payload_type == plan.dtmf_payload_type:
            key = self._keys.feed(packet.timestamp, packet.payload)
            if key is not None and self._on_key is not None:
                self._on_key(key)

    def _on_rtcp(self, data: bytes, address: Address, now_s: float) -> None:
        sealed = self._sealed
        opened: bytes | None = data
        if sealed is not None:
            opened = sealed.unseal_rtcp(data) if self._is_affordable(address, now_s) else None
        elif not self._source.knows_host(address):
            opened = None
        if opened is None or not rtp.is_rtcp(opened):
            self.strays += 1
            return
        self._reports_from = address
        if self._plan.receives:
            self._heard_s = now_s
        self._accounts.read(opened, now_s, time.time())

    # -- out

    def send(self, payload: bytes) -> None:
        """Send 20 ms in the plan's codec. Does nothing while the plan does not let us send."""
        plan = self._plan
        if not plan.sends or not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            self._paused = True
            self._rest.clear()
            return
        frame_ticks = plan.codec.clock_hz // 50
        now_s = time.monotonic()
        due_s = self._due_s or now_s
        if now_s - due_s > _LATE_S:
            frames = int((now_s - due_s) / FRAME_S)
            self._timestamp = self._timestamp + frames * frame_ticks & 0xFFFFFFFF
            self._paused = True
            due_s = now_s
        self._due_s = due_s + FRAME_S
        if self._pressing:
            self._rest.clear()
            self._press(frame_ticks)
            return
        if plan.codec.name not in _COUNTED:
            self._send_audio(payload, frame_ticks)
            return
        size = plan.ptime_ms * plan.codec.clock_hz // 1000
        rest = self._rest
        rest += payload
        while len(rest) >= size:
            self._send_audio(bytes(rest[:size]), size)
            del rest[:size]

    def send_key(self, key: str) -> bool:
        """Press a key (RFC 4733) while frames are sent; False where that was not agreed on: send tones instead."""
        plan = self._plan
        if plan.dtmf_payload_type is None or not plan.sends or len(self._pressing) >= MAX_KEYS:
            return False
        try:
            rtp.key_payload(key, 0, end=False)
        except ValueError:
            return False
        self._pressing.append(key)
        return True

    def _send_audio(self, payload: bytes, ticks: int) -> None:
        self._send_packet(self._plan.codec.payload_type, self._timestamp, payload, marker=self._paused)
        self._timestamp = self._timestamp + ticks & 0xFFFFFFFF
        self._paused = False

    def _press(self, frame_ticks: int) -> None:
        """Send the next 20 ms of the key that is pressed, in place of audio."""
        payload_type = self._plan.dtmf_payload_type
        frame = self._pressed_frames
        if frame == 0:
            self._pressed_at = self._timestamp
        self._timestamp = self._timestamp + frame_ticks & 0xFFFFFFFF
        self._paused = True
        self._pressed_frames += 1
        if payload_type is not None and frame < KEY_FRAMES + KEY_ENDS:
            duration = min(frame + 1, KEY_FRAMES) * frame_ticks
            payload = rtp.key_payload(self._pressing[0], duration, end=frame >= KEY_FRAMES)
            self._send_packet(payload_type, self._pressed_at, payload, marker=frame == 0)
        elif frame >= KEY_FRAMES + KEY_ENDS + KEY_PAUSE_FRAMES:
            self._pressing.popleft()
            self._pressed_frames = 0

    def _send_packet(self, payload_type: int, timestamp: int, payload: bytes, *, marker: bool) -> None:
        target = self._source.target
        if target is None:
            return
        ssrc = self._accounts.sending.ssrc
        packet: bytes | None = rtp.rtp_packet(payload_type, self._sequence, timestamp, ssrc, payload, marker=marker)
        self._sequence = self._sequence + 1 & 0xFFFF
        if self._sealed is not None:
            packet = self._sealed.seal(packet or b"")
        if packet is not None and self._socket.send_rtp(packet, target):
            self._accounts.sent(timestamp, len(payload), time.monotonic())

    # -- reports

    def quality(self) -> Quality:
        """Return how well packets get through."""
        return self._accounts.quality()

    def close(self) -> None:
        """Say goodbye (RTCP BYE), close the sockets and give the ports back. Closing again does nothing."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._send_report(rtp.bye(self._accounts.sending))
        self._socket.close()

    def _arm(self) -> None:
        delay_s = self._limits.report_s * random.uniform(0.5, 1.5)  # noqa: S311  (RFC 3550, section 6.2)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._report)

    def _report(self) -> None:
        self._arm()
        now_s = time.monotonic()
        self._send_report(self._accounts.report(now_s, time.time()))
        if not self._plan.receives:
            self._heard_s = now_s
        is_lost = now_s - self._heard_s > self._limits.lost_after_s
        was_lost, self._is_lost = self._is_lost, is_lost
        if is_lost and not was_lost and self._on_lost is not None:
            self._on_lost("silent")

    def _send_report(self, report: bytes) -> None:
        plan, target = self._plan, self._source.target
        data = report if self._sealed is None else self._sealed.seal_rtcp(report)
        if target is None or data is None:
            return
        if plan.rtcp_mux:
            self._socket.send_rtp(data, target)
            return
        address = plan.remote_rtcp
        if self._reports_from is not None and self._source.knows_host(self._reports_from):
            address = self._reports_from
        elif address is None or not self._source.knows_host(address):  # behind a NAT
            address = (target[0], min(target[1] + 1, 65_535))
        self._socket.send_rtcp(data, address)
