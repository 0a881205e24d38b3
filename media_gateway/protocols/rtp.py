"""RTP and RTCP (RFC 3550): headers, what came of a stream, reports. Bytes and times in, values out; no I/O.

Timestamps and SSRCs are 32 bits, sequence numbers 16; all of them wrap.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

HEADER_BYTES: Final = 12

_HEADER: Final = struct.Struct("!BBHII")
_REPORT_BLOCK: Final = struct.Struct("!IIIIII")
_SENDER_INFO: Final = struct.Struct("!QIII")
_SENDER_REPORT, _RECEIVER_REPORT, _SOURCE_DESCRIPTION, _BYE = 200, 201, 202, 203
_CNAME: Final = 1
_NTP_EPOCH_S: Final = 2_208_988_800
"""From 1900 to 1970."""
_FAR: Final = 3_000
"""A sequence number further ahead than this starts a new stream (RFC 3550, appendix A.1, MAX_DROPOUT)."""
_KEYS: Final = "0123456789*#ABCD"
"""The telephone events 0 to 15 (RFC 4733, section 3.2)."""
_KEY_VOLUME: Final = 10
"""-10 dBm0."""


class RtpPacket(NamedTuple):
    """A packet that came in."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Return the packet in `data` (already decrypted), without extensions and padding; None if it is none."""
    if len(data) < HEADER_BYTES:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first == 0x80:  # nearly all are
        return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[HEADER_BYTES:])
    if first & 0xC0 != 0x80:
        return None
    begin, end = HEADER_BYTES + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if begin + 4 > end:
            return None
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    if first & 0x20:
        end -= data[-1] or end
    if begin > end:
        return None
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[begin:end])


def rtp_packet(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool) -> bytes:
    """Return a packet with no extensions; `marker`: the first after a pause (RFC 3551, section 4.1)."""
    return _HEADER.pack(0x80, payload_type | marker << 7, sequence, timestamp, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Return whether a packet that shares its port with RTP is RTCP (RFC 5761, section 4)."""
    return len(data) >= 8 and 192 <= data[1] <= 223


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells of one stream (RFC 3550, section 6.4.1)."""

    ssrc: int
    fraction_lost: float
    """Of the packets since the report before."""
    packets_lost: int
    """Of all; negative after duplicates."""
    highest_sequence: int
    """With the count of its wraps in the upper 16 bits."""
    jitter: int
    """In units of the stream's clock."""
    last_sr: int
    """The middle 32 bits of the NTP time in the last sender report; 0 for none."""
    delay_since_sr: int
    """In units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What one RTCP packet says, as far as it matters to a call."""

    sender_ssrc: int | None = None
    sender_ntp: int = 0
    blocks: tuple[ReportBlock, ...] = ()
    byes: tuple[int, ...] = ()


def parse_rtcp(data: bytes) -> Reports:
    """Return what a compound packet says; what is cut short or unknown is left out."""
    sender_ssrc, sender_ntp = None, 0
    blocks: list[ReportBlock] = []
    byes: list[int] = []
    at = 0
    while at + 8 <= len(data) and data[at] & 0xC0 == 0x80:
        count, kind = data[at] & 0x1F, data[at + 1]
        end = at + 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data):
            break
        body = data[at + 4 : end]
        if kind == _SENDER_REPORT and len(body) >= 24:
            sender_ssrc, sender_ntp = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:12], "big")
            blocks += _report_blocks(body[24:], count)
        elif kind == _RECEIVER_REPORT:
            blocks += _report_blocks(body[4:], count)
        elif kind == _BYE:
            byes += [int.from_bytes(body[4 * n : 4 * n + 4], "big") for n in range(min(count, len(body) // 4))]
        at = end
    return Reports(sender_ssrc, sender_ntp, tuple(blocks), tuple(byes))


def _report_blocks(data: bytes, count: int) -> list[ReportBlock]:
    found = []
    for number in range(min(count, len(data) // _REPORT_BLOCK.size)):
        ssrc, lost, highest, jitter, last_sr, delay = _REPORT_BLOCK.unpack_from(data, number * _REPORT_BLOCK.size)
        total = lost & 0xFFFFFF
        found.append(
            ReportBlock(ssrc, (lost >> 24) / 256, total - (total >> 23 << 24), highest, jitter, last_sr, delay)
        )
    return found


@dataclass(slots=True)
class Sending:
    """What was sent on one stream."""

    ssrc: int
    packets: int = 0
    payload_bytes: int = 0
    timestamp: int = 0
    """Of the last packet."""


def report(sending: Sending, cname: str, now_unix_s: float, heard: ReportBlock | None) -> bytes:
    """Return a compound packet: sender report with at most one block, and source description.

    Where nothing has been sent it is a receiver report (RFC 3550, section 6.4).
    """
    body = b""
    if sending.packets:
        body = _SENDER_INFO.pack(
            ntp_time(now_unix_s), sending.timestamp, sending.packets & 0xFFFFFFFF, sending.payload_bytes & 0xFFFFFFFF
        )
    if heard is not None:
        lost = min(max(int(heard.fraction_lost * 256), 0), 255) << 24
        lost |= min(max(heard.packets_lost, -0x800000), 0x7FFFFF) & 0xFFFFFF
        body += _REPORT_BLOCK.pack(
            heard.ssrc, lost, heard.highest_sequence, heard.jitter, heard.last_sr, heard.delay_since_sr
        )
    name = cname.encode()
    item = bytes((_CNAME, len(name))) + name
    item += bytes(4 - (len(item) % 4))  # ends with at least one zero
    return (
        _rtcp(_SENDER_REPORT if sending.packets else _RECEIVER_REPORT, 0 if heard is None else 1, sending.ssrc, body)
        + _rtcp(_SOURCE_DESCRIPTION, 1, sending.ssrc, item)
    )  # fmt: skip


def bye(sending: Sending) -> bytes:
    """Return the packet that ends a stream; an (empty) receiver report comes first, as it must."""
    return _rtcp(_RECEIVER_REPORT, 0, sending.ssrc, b"") + _rtcp(_BYE, 1, sending.ssrc, b"")


def _rtcp(kind: int, count: int, ssrc: int, body: bytes) -> bytes:
    return struct.pack("!BBHI", 0x80 | count, kind, 1 + len(body) // 4, ssrc) + body


def ntp_time(unix_s: float) -> int:
    """Return a moment as 32.32 bits of seconds since 1900."""
    return int((unix_s + _NTP_EPOCH_S) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def middle_ntp(ntp: int) -> int:
    """Return the 32 bits by which reports name a moment."""
    return ntp >> 16 & 0xFFFFFFFF


class Reception:
    """What came of one stream: losses and jitter (RFC 3550, appendix A)."""

    def __init__(self, ssrc: int, clock_hz: int) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self.jitter = 0.0
        """In units of the stream's clock."""
        self._clock_hz = clock_hz
        self._first = self._highest = -1
        self._transit: float | None = None
        self._reported = (0, 0)

    def add(self, sequence: int, timestamp: int, arrival_s: float) -> None:
        """Count a packet. `arrival_s`: on any clock that runs evenly."""
        if self._highest < 0:
            self._first = self._highest = sequence
        else:
            ahead = (sequence - self._highest + 0x8000 & 0xFFFF) - 0x8000
            if abs(ahead) > _FAR:
                self._restart(sequence)
            elif ahead > 0:
                self._highest += ahead
        self.packets += 1
        transit = arrival_s * self._clock_hz - timestamp
        if self._transit is not None:
            # The timestamp may have wrapped between the two.
            step = abs((transit - self._transit + 2**31) % 2**32 - 2**31)
            if step < self._clock_hz:  # further apart there was a pause or a new stream, not jitter
                self.jitter += (step - self.jitter) / 16
        self._transit = transit

    @property
    def jitter_ms(self) -> float:
        """The mean deviation of packet spacing, smoothed."""
        return self.jitter * 1000 / self._clock_hz

    @property
    def expected(self) -> int:
        """How many packets there were, as far as the numbers tell."""
        return self._highest - self._first + 1 if self._highest >= 0 else 0

    def block(self, sr_ntp: int, sr_age_s: float) -> tuple[ReportBlock, int, int]:
        """Return the block for the next report, and how many packets were expected and came since the last one.

        `sr_ntp`: the NTP time in the stream's last sender report, 0 for none, which came `sr_age_s` ago.
        """
        expected, came = self.expected - self._reported[0], self.packets - self._reported[1]
        self._reported = (self.expected, self.packets)
        fraction = max(expected - came, 0) / expected if expected > 0 else 0.0
        return (
            ReportBlock(
                self.ssrc,
                fraction,
                self.expected - self.packets,
                self._highest & 0xFFFFFFFF,
                min(int(self.jitter), 0xFFFFFFFF),
                middle_ntp(sr_ntp),
                min(max(int(sr_age_s * 65536), 0), 0xFFFFFFFF) if sr_ntp else 0,
            ),
            expected,
            came,
        )

    def _restart(self, sequence: int) -> None:
        lost_before = self.expected - self.packets
        self._highest = sequence
        self._first = sequence - self.packets - lost_before


class KeyReader:
    """Reads pressed keys off telephone events (RFC 4733): each is sent in many packets of the same timestamp."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque(maxlen=8)
        """Packets of the key before may come late."""

    def feed(self, timestamp: int, payload: bytes) -> str | None:
        """Take a packet; return a key the first time one of its packets is seen."""
        if len(payload) < 4 or payload[0] >= len(_KEYS) or (timestamp, payload[0]) in self._recent:
            return None
        self._recent.append((timestamp, payload[0]))
        return _KEYS[payload[0]]


def key_payload(key: str, duration: int, *, end: bool) -> bytes:
    """Return a telephone event's payload (RFC 4733, section 2.3): a key that has been pressed for `duration` ticks.

    Raises:
        ValueError: not a key.
    """
    if len(key) != 1 or key not in _KEYS:
        raise ValueError("not a key")
    return struct.pack("!BBH", _KEYS.index(key), _KEY_VOLUME | end << 7, min(duration, 0xFFFF))
