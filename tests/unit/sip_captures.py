"""SIP out of packet captures: the UDP payloads of a classic pcap file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_ETHERNET, _COOKED, _RAW = 1, 113, 101
_LINK_BYTES = {_ETHERNET: 14, _COOKED: 16, _RAW: 0}


def datagrams(path: Path) -> Iterator[bytes]:
    """The UDP payloads of a capture, IPv4 only, fragments left out."""
    data = path.read_bytes()
    order = "<" if data[:4] in {b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"} else ">"
    (link,) = struct.unpack_from(order + "I", data, 20)
    at = 24
    while at + 16 <= len(data):
        (size,) = struct.unpack_from(order + "I", data, at + 8)
        packet = data[at + 16 + _LINK_BYTES[link] : at + 16 + size]
        if link == _ETHERNET and data[at + 28 : at + 30] == b"\x88\x64":  # PPP over Ethernet
            packet = packet[8:]
        at += 16 + size
        if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != 17:
            continue
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            continue
        header = 4 * (packet[0] & 15)
        length = int.from_bytes(packet[header + 4 : header + 6], "big")
        if header + length <= len(packet):  # else the capture has cut it off
            yield packet[header + 8 : header + length]


def sip_in(path: Path) -> list[bytes]:
    """Those that look like SIP."""
    return [data for data in datagrams(path) if b"SIP/2.0\r\n" in data or data.startswith(b"SIP/2.0 ")]
