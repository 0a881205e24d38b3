"""Session descriptions (RFC 8866), as far as telephony uses them. Text in, values out; no I/O.

What an offer means to us and how it is answered is `sdp_plan`'s; a browser's descriptions are `rtc_sdp`'s.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from media_gateway.protocols.sdes import CryptoLine, parse_crypto

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Address = tuple[str, int]
"""An IP address in its canonical form, and a port."""

FACING: Final[dict[str, Direction]] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
"""A direction as the other side sees it."""
MAX_BYTES: Final = 64 * 1024
MAX_MEDIA: Final = 32
MAX_LINES: Final = 1_000

_TOKEN: Final = r"[!#-'*+.0-9A-Z^-~-]"
CODEC_LINE: Final = re.compile(rf"(\d{{1,3}}) +({_TOKEN}{{1,64}})/(\d{{1,9}})(?:/(\d{{1,3}}))?", re.ASCII)
"""The value of an a=rtpmap: payload type, name, clock, channels."""
_MEDIA: Final = re.compile(
    rf"({_TOKEN}{{1,32}}) +(\d{{1,5}})(?:/\d{{1,5}})? +([!-~]{{1,64}}) +([!-~ ]{{1,512}})", re.ASCII
)
_ORIGIN: Final = re.compile(r"\S+ +(\d{1,20}) +(\d{1,20}) +IN +IP[46] +\S+", re.ASCII | re.IGNORECASE)
_CONNECTION: Final = re.compile(r"IN +IP([46]) +([^\s/]{1,255})(?:/[\d/]{1,8})?", re.ASCII | re.IGNORECASE)
_LABEL: Final = re.compile(rf"{_TOKEN}{{1,128}}")
_STATIC: Final[dict[int, tuple[str, int]]] = {
    0: ("PCMU", 8_000),
    3: ("GSM", 8_000),
    4: ("G723", 8_000),
    8: ("PCMA", 8_000),
    9: ("G722", 8_000),
    13: ("CN", 8_000),
    15: ("G728", 8_000),
    18: ("G729", 8_000),
}
"""Payload types that need no a=rtpmap (RFC 3551, table 4)."""


class SdpError(ValueError):
    """A description that cannot be read (`status` 400) or agreed to (488); `str(error)` has nothing of it in it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        """Of the SIP response that says so."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of an m-line."""

    name: str
    """As registered, in the case that we know it by: PCMU, PCMA, G722, opus, telephone-event, CN; else as it came."""
    payload_type: int
    clock_hz: int
    """Of the timestamps: 8000 for G.722 too (RFC 3551, section 4.5.2), always 48000 for Opus (RFC 7587)."""
    channels: int = 1
    fmtp: str = ""
    """Its a=fmtp, as it came."""
