"""Asterisk's AudioSocket: packets of a kind, a length and a payload over TCP.

No I/O and no clock. Source: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/ and, for keys and for
rates above 8 kHz (of newer versions' channel driver), https://github.com/CyCoreSystems/audiosocket.

The call's UUID is all that a sender says of itself. Asterisk plays audio when it comes: whoever sends it keeps time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from media_gateway.protocols.errors import CloseCode, ProtocolError

_HEADER_BYTES: Final = 3
_HANG_UP: Final = 0x00
_UUID: Final = 0x01
_UUID_BYTES: Final = 16
_DTMF: Final = 0x03
_ERROR: Final = 0xFF
AUDIO_KINDS: Final[Mapping[int, int]] = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
"""The kinds of audio packets, and their samples a second: mono, 16 bits, signed, little-endian."""
_KINDS_BY_RATE: Final = {rate_hz: kind for kind, rate_hz in AUDIO_KINDS.items()}
_KEYS: Final = frozenset("0123456789ABCD*#")
MAX_PAYLOAD_BYTES: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Opened:
    """The first packet: which call it is."""

    call_id: UUID


@dataclass(frozen=True, slots=True)
class Audio:
    """Samples that follow on from the ones before."""

    payload: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Key:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The sender reports an error of its own."""

    code: int | None
    """Of Asterisk: 1 the caller hung up, 2 a frame could not be forwarded, 4 out of memory."""


Event = Opened | Audio | Key | HungUp | Failed


class AudioSocketStream:
    """The receiving side of one connection: bytes in, events out."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._opened = False
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the events of the packets that are complete.

        Raises:
            ProtocolError: a packet out of place or of the wrong length; end the connection.
        """
        self._rest += data
        events: list[Event] = []
        start = 0
        while len(self._rest) - start >= _HEADER_BYTES:
            kind = self._rest[start]
            begin = start + _HEADER_BYTES
            end = begin + int.from_bytes(self._rest[start + 1 : begin], "big")
            if not self._opened and (kind != _UUID or end - begin != _UUID_BYTES):
                raise ProtocolError(CloseCode.POLICY, "bad-start", "the first packet is not a call's UUID")
            if len(self._rest) < end:
                break
            event = self._packet(kind, bytes(self._rest[begin:end]))
            if event is not None:
                events.append(event)
            start = end
        del self._rest[:start]
        return events

    def _packet(self, kind: int, payload: bytes) -> Event | None:
        if self._over:
            return None
        rate_hz = AUDIO_KINDS.get(kind)
        if rate_hz is not None:
            return Audio(payload, rate_hz) if payload else None
        if kind == _UUID:
            if self._opened:
                raise ProtocolError(CloseCode.POLICY, "start-twice", "a second UUID on one connection")
            self._opened = True
            return Opened(UUID(bytes=payload))
        if kind == _HANG_UP:
            self._over = True
            return HungUp()
        if kind == _DTMF:
            digit = payload.decode("latin-1").upper()
            return Key(digit) if digit in _KEYS else None
        if kind == _ERROR:
            return Failed(payload[0] if payload else None)
        return None  # of a version to come


def audio_packet(samples: bytes, rate_hz: int) -> bytes:
    """Return what plays samples of 16 bits, little-endian.

    Raises:
        ValueError: a rate that has no kind, or more than MAX_PAYLOAD_BYTES.
    """
    if rate_hz not in _KINDS_BY_RATE or len(samples) > MAX_PAYLOAD_BYTES:
        raise ValueError("not an AudioSocket packet")
    return bytes((_KINDS_BY_RATE[rate_hz],)) + len(samples).to_bytes(2, "big") + samples


def hang_up_packet() -> bytes:
    """Return what ends the application or channel; Asterisk goes on in its dialplan, or hangs up."""
    return b"\x00\x00\x00"


def uuid_packet(call_id: UUID) -> bytes:
    """Return what a sender begins with."""
    return bytes((_UUID, 0, _UUID_BYTES)) + call_id.bytes


def key_packet(digit: str) -> bytes:
    """Return what a sender says when a key was pressed."""
    return bytes((_DTMF, 0, 1)) + digit.encode("ascii")
