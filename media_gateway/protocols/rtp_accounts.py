"""What both sides of a stream know of each other through RTCP: losses, jitter, round trips (RFC 3550, section 6.4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from media_gateway.protocols import rtp

_QUALITY_REPORTS: Final = 5
_LONGEST_RTT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Quality:
    """How well packets get through."""

    loss_fraction: float
    """Of the packets to us, in the last seconds."""
    jitter_ms: float
    rtt_ms: float | None
    sent_loss_fraction: float | None = None
    """Of the packets from us, as the other side reported last."""


class Accounts:
    """One stream's two directions."""

    def __init__(self, ssrc: int, cname: str, clock_hz: int) -> None:
        """`ssrc`, `cname`: ours; `clock_hz`: of the timestamps both ways."""
        self.sending = rtp.Sending(ssrc)
        self.clock_hz = clock_hz
        self.rtt_s: float | None = None
        self.sent_loss_fraction: float | None = None
        self._cname = cname
        self._sent_s = 0.0
        self._reception: rtp.Reception | None = None
        self._their_report = (0, 0.0)
        """NTP time of their last sender report, and when it came."""
        self._recent: deque[tuple[int, int]] = deque(maxlen=_QUALITY_REPORTS)
        """Packets expected and come between our last reports."""

    def came(self, packet: rtp.RtpPacket, now_s: float) -> None:
        """Count a packet of theirs. `now_s`: time.monotonic()."""
        reception = self._reception
        if reception is None or reception.ssrc != packet.ssrc:
            reception = self._reception = rtp.Reception(packet.ssrc, self.clock_hz)
        reception.add(packet.sequence, packet.timestamp, now_s)

    def sent(self, timestamp: int, payload_bytes: int, now_s: float) -> None:
        """Count a packet of ours."""
        sending = self.sending
        sending.packets += 1
        sending.payload_bytes += payload_bytes
        sending.timestamp, self._sent_s = timestamp, now_s

    def read(self, data: bytes, now_s: float, unix_s: float) -> None:
        """Take an RTCP packet of theirs, already decrypted."""
        reports = rtp.parse_rtcp(data)
        if self._reception is not None and reports.sender_ssrc == self._reception.ssrc:
            self._their_report = (reports.sender_ntp, now_s)
        for block in reports.blocks:
            if block.ssrc != self.sending.ssrc:
                continue
            self.sent_loss_fraction = block.fraction_lost
            if block.last_sr:
                ago = rtp.middle_ntp(rtp.ntp_time(unix_s)) - block.last_sr - block.delay_since_sr
                rtt_s = (ago + 0x8000_0000 & 0xFFFFFFFF) / 65536 - 0x8000
                if 0 <= rtt_s < _LONGEST_RTT_S:
                    self.rtt_s = rtt_s if self.rtt_s is None else 0.7 * self.rtt_s + 0.3 * rtt_s

    def report(self, now_s: float, unix_s: float) -> bytes:
        """Return our next RTCP packet."""
        heard = None
        if self._reception is not None:
            ntp, came_s = self._their_report
            heard, expected, came = self._reception.block(ntp, now_s - came_s)
            self._recent.append((expected, came))
        sending = self.sending
        if sending.packets:
            sending.timestamp = sending.timestamp + int((now_s - self._sent_s) * self.clock_hz) & 0xFFFFFFFF
            self._sent_s = now_s
        return rtp.report(sending, self._cname, unix_s, heard)

    def quality(self) -> Quality:
        """Return how well packets got through in the last reports' time."""
        expected = sum(wanted for wanted, _ in self._recent)
        lost = expected - sum(came for _, came in self._recent)
        return Quality(
            loss_fraction=max(lost, 0) / expected if expected else 0.0,
            jitter_ms=self._reception.jitter_ms if self._reception else 0.0,
            rtt_ms=None if self.rtt_s is None else self.rtt_s * 1000,
            sent_loss_fraction=self.sent_loss_fraction,
        )
