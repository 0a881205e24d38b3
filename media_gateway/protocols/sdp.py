"""Session descriptions (RFC 8866), as far as telephony uses them. Bytes in, values out; no I/O.

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
OPUS_HZ: Final = 48_000
"""Opus' clock in RTP, whatever it is coded at (RFC 7587, section 4.1)."""
OPUS_PARAMETERS: Final = (
    "minptime=10;useinbandfec=1;stereo=0;maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=32000"
)
"""Speech at 16 kHz is what goes further: told so, the sender spends its bits on it (RFC 7587, section 6.1)."""
MAX_BYTES: Final = 64 * 1024
MAX_SECTIONS: Final = 32
MAX_LINES: Final = 1_000
MAX_CRYPTO_LINES: Final = 16

CODEC: Final = re.compile(r"(\d{1,3}) +([!#-'*+.0-9A-Z^-~-]{1,64})/(\d{1,9})(?:/(\d{1,3}))?", re.ASCII)
"""The value of an a=rtpmap: payload type, name, clock, channels."""
_LINE: Final = re.compile(r"[a-z]=.*", re.DOTALL)
_MEDIA: Final = re.compile(
    r"([!#-'*+.0-9A-Z^-~-]{1,32}) +(\d{1,5})(?:/\d{1,5})? +([!-~]{1,64}) +([!-~ ]{1,512})", re.ASCII
)
_ORIGIN: Final = re.compile(r"\S+ +(\d{1,20}) +(\d{1,20}) +IN +IP[46] +\S+", re.ASCII | re.IGNORECASE)
_CONNECTION: Final = re.compile(r"IN +IP([46]) +([^\s/]{1,255})(?:/[\d/]{1,12})?", re.ASCII | re.IGNORECASE)
_RTCP: Final = re.compile(r"(\d{1,5})(?: +(IN +IP[46] +\S{1,255}))?", re.ASCII | re.IGNORECASE)
_LABEL: Final = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,128}", re.ASCII)
_NAMES: Final = {
    name.lower(): name for name in ("PCMU", "PCMA", "G722", "opus", "telephone-event", "CN", "GSM", "G729")
}
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

    def parameter(self, name: str) -> str | None:
        """Return one parameter of `fmtp`, None if it is not there."""
        for part in self.fmtp.split(";"):
            key, _, value = part.partition("=")
            if key.strip().lower() == name:
                return value.strip()
        return None


@dataclass(frozen=True, slots=True)
class Section:
    """One m-line and what belongs to it."""

    kind: str
    """audio, video, image, application ..."""
    port: int
    """0: refused, or no longer wanted."""
    profile: str
    """RTP/AVP, RTP/SAVP ..."""
    formats: str
    """As they came, to be said again where the m-line is refused."""
    codecs: tuple[Codec, ...]
    """Of RTP: those payload types of which it is known what they are, in the sender's order."""
    host: str | None
    """Of its c=, or the session's; None: there is none, or it is no IP address of one host."""
    is_held: bool
    """Its address is 0.0.0.0 or ::, the old way of saying that nothing is to be sent there (RFC 3264, section 8.4)."""
    direction: Direction
    """Theirs."""
    label: str | None
    mid: str | None
    rtcp: Address | None
    """Of an a=rtcp (RFC 3605) with an address of its own, or the section's host."""
    rtcp_mux: bool
    crypto: tuple[CryptoLine, ...]
    """Those a=crypto lines that we could answer."""
    ptime_ms: int | None
    maxptime_ms: int | None

    @property
    def remote(self) -> Address | None:
        """Return where RTP is to be sent; None: nowhere that we know."""
        return (self.host, self.port) if self.host is not None and self.port else None


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A description."""

    session_id: int
    version: int
    sections: tuple[Section, ...]


class Attributes:
    """The a= lines of the session or of one section; a section falls back on the session."""

    def __init__(self, lines: Sequence[str], session: Attributes | None = None) -> None:
        self._pairs = [line[2:].partition(":")[::2] for line in lines if line.startswith("a=")]
        self._session = session

    def all(self, name: str) -> list[str]:
        """Return the values of every a=NAME."""
        return [value.strip() for key, value in self._pairs if key.strip() == name]

    def first(self, name: str) -> str | None:
        """Return the value of the first a=NAME; None if there is none."""
        return next(iter(self.all(name)), None)

    def inherited(self, name: str) -> list[str]:
        """Return the section's values, or the session's if it has none of its own."""
        return self.all(name) or (self._session.all(name) if self._session else [])

    def direction(self) -> Direction:
        """Return the section's direction, the session's, or 'sendrecv'."""
        own = next((FACING[FACING[key]] for key, _ in self._pairs if key in FACING), None)
        return own or (self._session.direction() if self._session else "sendrecv")


def parse_sdp(data: bytes) -> SessionDescription:
    """Return what a description says. Lines that are of no use here are only checked for their form.

    Raises:
        SdpError: it is none, or a line that matters is malformed.
    """
    if len(data) > MAX_BYTES:
        raise SdpError("the session description is too long")
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").strip("\n \0")
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or lines[0].rstrip() != "v=0":
        raise SdpError("this is not a session description")
    if len(lines) > MAX_LINES:
        raise SdpError("the session description has too many lines")
    if not all(_LINE.fullmatch(line) for line in lines):
        raise SdpError("the session description has a line without a type")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    if len(starts) - 1 > MAX_SECTIONS:
        raise SdpError("the session description has too many media")
    head = lines[: starts[0]]
    origin = _ORIGIN.fullmatch(_value(head, "o=") or "")
    if origin is None:
        raise SdpError("the session description's origin is missing or malformed")
    session = Attributes(head)
    connection = _value(head, "c=")
    sections = tuple(_section(lines[start:end], session, connection) for start, end in pairwise(starts))
    return SessionDescription(int(origin[1]), int(origin[2]), sections)


def _value(lines: Sequence[str], kind: str) -> str | None:
    return next((line[2:].strip() for line in lines if line.startswith(kind)), None)


def _section(lines: Sequence[str], session: Attributes, connection: str | None) -> Section:
    media = _MEDIA.fullmatch(lines[0][2:].strip())
    if media is None or int(media[2]) > 65_535:
        raise SdpError("a media line is malformed")
    kind, port, profile, formats = media[1].lower(), int(media[2]), media[3], media[4]
    attributes = Attributes(lines[1:], session)
    host, is_held = _host(_value(lines, "c=") or connection)
    label, mid = attributes.first("label"), attributes.first("mid")
    return Section(
        kind=kind,
        port=port,
        profile=profile,
        formats=formats,
        codecs=_codecs(formats, attributes) if profile.startswith("RTP/") else (),
        host=host,
        is_held=is_held,
        direction=attributes.direction(),
        label=label if label and _LABEL.fullmatch(label) else None,
        mid=mid if mid and _LABEL.fullmatch(mid) else None,
        rtcp=_rtcp(attributes.first("rtcp"), host),
        rtcp_mux=attributes.first("rtcp-mux") is not None,
        crypto=tuple(
            line for value in attributes.all("crypto")[:MAX_CRYPTO_LINES] if (line := parse_crypto(value)) is not None
        ),
        ptime_ms=_milliseconds(attributes.inherited("ptime")),
        maxptime_ms=_milliseconds(attributes.inherited("maxptime")),
    )


def _host(connection: str | None) -> tuple[str | None, bool]:
    """Return the address in a c= line, and whether it is the one that means 'nowhere'."""
    if connection is None:
        return None, False
    match = _CONNECTION.fullmatch(connection)
    if match is None:
        raise SdpError("a connection line is malformed")
    try:
        address = ipaddress.ip_address(match[2].partition("%")[0])
    except ValueError:
        return None, False  # a name: nothing here asks the DNS
    if address.version != int(match[1]):
        raise SdpError("a connection line is malformed")
    if address.is_unspecified:
        return None, True
    if address.is_multicast or match[2] == "255.255.255.255":
        return None, False
    return str(address), False


def _rtcp(value: str | None, host: str | None) -> Address | None:
    match = _RTCP.fullmatch(value or "")
    if match is None or not 0 < int(match[1]) < 65_536:
        return None
    if match[2] is not None:
        host, _ = _host(match[2])
    return None if host is None else (host, int(match[1]))


def _codecs(formats: str, attributes: Attributes) -> tuple[Codec, ...]:
    mapped: dict[int, tuple[str, int, int]] = {}
    for value in attributes.all("rtpmap"):
        match = CODEC.fullmatch(value)
        if match is not None:
            mapped.setdefault(int(match[1]), (match[2], int(match[3]), int(match[4] or 1)))
    parameters: dict[int, str] = {}
    for value in attributes.all("fmtp"):
        number, _, rest = value.partition(" ")
        if number.isascii() and number.isdigit():
            parameters.setdefault(int(number[:3]), rest.strip())
    found: dict[int, Codec] = {}
    for number in formats.split():
        payload_type = int(number) if number.isascii() and number.isdigit() and len(number) <= 3 else 128
        if payload_type > 127 or payload_type in found:
            continue
        if payload_type in mapped:
            name, clock_hz, channels = mapped[payload_type]
        elif payload_type in _STATIC:
            (name, clock_hz), channels = _STATIC[payload_type], 1
        else:
            continue
        name = _NAMES.get(name.lower(), name)
        found[payload_type] = Codec(name, payload_type, clock_hz, channels, parameters.get(payload_type, ""))
    return tuple(found.values())


def _milliseconds(values: Sequence[str]) -> int | None:
    whole = values[0].partition(".")[0] if values else ""
    return int(whole) if whole.isascii() and whole.isdigit() and 0 < len(whole) <= 4 and int(whole) else None
