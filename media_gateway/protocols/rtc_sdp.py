"""The session descriptions of a browser that wants to talk: its offer in, our answer out (RFC 8866, 8829, 8839).

One section is answered, the first with Opus; every other is turned down. Nothing here is sent or opened.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from media_gateway.protocols.sdp import CODEC, FACING, OPUS_HZ, OPUS_PARAMETERS, Attributes, Direction

Setup = Literal["active", "passive"]

MAX_OFFER_CHARS: Final = 64 * 1024
MAX_CANDIDATES: Final = 32

_MAX_SECTIONS: Final = 32

_SETUPS: Final[dict[str, Setup]] = {"actpass": "active", "passive": "active", "active": "passive"}
"""Ours for theirs; the one who may choose becomes active (RFC 8842, section 5.3)."""
_PROFILES: Final = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"})
_DIGEST_BYTES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/=-]{4,256}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/=-]{22,256}")
_TOKEN: Final = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,64}")
_MEDIA_LINE: Final = re.compile(r"([a-z]{1,32}) (\d{1,5})(?:/\d{1,5})? ([A-Z/]{1,32}) ([!-~ ]{1,512})", re.ASCII)
_CANDIDATE: Final = re.compile(
    r"(?:a=)?(?:candidate:)?([A-Za-z0-9+/-]{1,32}) (\d{1,3}) ([A-Za-z0-9-]{1,16}) (\d{1,10}) (\S{1,255}) (\d{1,5})"
    r" typ (host|srflx|prflx|relay)((?: \S{1,255}){0,40}) ?",
    re.ASCII,
)


class OfferRefused(Exception):
    """An offer that cannot be answered; `str(error)` is one sentence, with nothing of the offer in it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which the other side may be reached over UDP."""

    foundation: str
    priority: int
    host: str
    """An IP address, in its canonical form."""
    port: int
    kind: str
    """host, srflx, prflx or relay."""


@dataclass(frozen=True, slots=True)
class Section:
    """One media section of an offer, as far as turning it down needs."""

    kind: str
    profile: str
    formats: str
    mid: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a browser offers."""

    sections: tuple[Section, ...]
    audio: int
    """Which section is answered."""
    opus: int
    """Its payload type."""
    keys: int | None
    """The payload type of telephone events at Opus' clock."""
    direction: Direction
    """Ours."""
    setup: Setup
    """Ours."""
    is_bundled: bool
    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    """(digest, upper-case hex with colons), of digests that we know."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Ours:
    """What our answer says of ourselves."""

    session_id: int
    ufrag: str
    password: str
    fingerprints: Sequence[tuple[str, str]]
    candidates: Sequence[str]
    """The values of a=candidate lines."""
    default: tuple[str, int]
    """The address for those who know no candidates."""
    ssrc: int
    cname: str
    with_keys: bool = False
    """Whether telephone events are taken."""


def parse_offer(text: str) -> Offer:
    """Return what is offered.

    Raises:
        OfferRefused: not a session description, no audio with Opus in it, or without the keys that WebRTC demands.
    """
    if len(text) > MAX_OFFER_CHARS:
        raise OfferRefused("the offer is too long")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if lines[0] != "v=0":
        raise OfferRefused("this is not a session description")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    if len(starts) > _MAX_SECTIONS:
        raise OfferRefused("the offer has too many sections")
    session = Attributes(lines[: starts[0]])
    sections: list[Section] = []
    found: tuple[int, Attributes, int, int | None] | None = None
    for start, end in pairwise(starts):
        media = _MEDIA_LINE.fullmatch(lines[start][2:])
        if media is None:
            raise OfferRefused("a media line is malformed")
        kind, port, profile, formats = media.groups()
        attributes = Attributes(lines[start + 1 : end], session)
        mid = attributes.first("mid")
        if mid is not None and _TOKEN.fullmatch(mid) is None:
            raise OfferRefused("a media id is malformed")
        is_open = int(port) > 0 or attributes.first("bundle-only") is not None
        if found is None and kind == "audio" and profile in _PROFILES and is_open:
            opus, keys = _payload_types(formats, attributes)
            if opus is not None:
                found = (len(sections), attributes, opus, keys)
        sections.append(Section(kind, profile, formats, mid))
    if found is None:
        has_audio = any(section.kind == "audio" for section in sections)
        raise OfferRefused("the offer has no Opus audio" if has_audio else "the offer has no audio")
    audio, attributes, opus, keys = found
    return _offer(session, sections, audio, attributes, opus, keys)


def _payload_types(formats: str, attributes: Attributes) -> tuple[int | None, int | None]:
    opus = keys = None
    named = set(formats.split())
    for value in attributes.all("rtpmap"):
        codec = CODEC.fullmatch(value)
        if codec is None or codec[1] not in named or int(codec[1]) > 127 or int(codec[3]) != OPUS_HZ:
            continue
        if codec[2].lower() == "opus" and opus is None:
            opus = int(codec[1])
        elif codec[2].lower() == "telephone-event" and keys is None:
            keys = int(codec[1])
    return opus, keys


def _offer(
    session: Attributes, sections: list[Section], audio: int, attributes: Attributes, opus: int, keys: int | None
) -> Offer:
    ufrag = next(iter(attributes.inherited("ice-ufrag")), "")
    password = next(iter(attributes.inherited("ice-pwd")), "")
    if _UFRAG.fullmatch(ufrag) is None or _PASSWORD.fullmatch(password) is None:
        raise OfferRefused("the offer has no valid ICE credentials")
    setup = _SETUPS.get(next(iter(attributes.inherited("setup")), ""))
    if setup is None:
        raise OfferRefused("the offer does not say how DTLS is set up")
    if attributes.first("rtcp-mux") is None:
        raise OfferRefused("the offer wants RTCP on a port of its own")
    directions = [name for name in FACING if attributes.first(name) is not None]
    mid = sections[audio].mid
    bundles = [group.split()[1:] for group in session.all("group") if group.startswith("BUNDLE ")]
    candidates = []
    for value in attributes.all("candidate")[:MAX_CANDIDATES]:
        try:
            candidate = parse_candidate(value)
        except ValueError:
            continue  # one that we cannot read is one that we cannot use
        if candidate is not None:
            candidates.append(candidate)
    return Offer(
        sections=tuple(sections),
        audio=audio,
        opus=opus,
        keys=keys,
        direction=FACING[directions[0]] if directions else "sendrecv",
        setup=setup,
        is_bundled=mid is not None and any(mid in bundle for bundle in bundles),
        ufrag=ufrag,
        password=password,
        fingerprints=_fingerprints(attributes.inherited("fingerprint")),
        candidates=tuple(candidates),
    )


def _fingerprints(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for value in values:
        digest, _, told = value.partition(" ")
        digest, told = digest.lower(), told.strip().upper()
        length = _DIGEST_BYTES.get(digest)
        if length is None:
            continue
        if re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2})*", told) is None or len(told) != 3 * length - 1:
            raise OfferRefused("a fingerprint is malformed")
        found.append((digest, told))
    if not found:
        raise OfferRefused("the offer has no fingerprint by SHA-256 or better")
    return tuple(found)


def parse_candidate(text: str) -> Candidate | None:
    """Return a candidate, with or without 'a=' and 'candidate:' before it.

    None: one that is of no use here, because it is not UDP, has no address (a browser hides its own behind a .local
    name; it shows itself by its first check) or is no place to send to.

    Raises:
        ValueError: not a candidate.
    """
    match = _CANDIDATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("malformed")
    foundation, component, transport, priority, host, port, kind, _ = match.groups()
    if transport.lower() != "udp" or component != "1" or not 0 < int(port) < 65536 or int(priority) >= 2**32:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
        return None
    return Candidate(foundation, int(priority), str(address), int(port), kind)


@dataclass(frozen=True, slots=True)
class Trickle:
    """Candidates that come after the offer."""

    candidates: tuple[Candidate, ...]
    ufrag: str | None
    """Of the session that they belong to."""


def parse_fragment(text: str) -> Trickle:
    """Return what an SDP fragment brings (application/trickle-ice-sdpfrag, RFC 8840, section 9).

    Raises:
        ValueError: it is none.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines or any(re.match(r"[a-z]=", line) is None for line in lines):
        raise ValueError("malformed")
    attributes = Attributes(lines)
    values = attributes.all("candidate")
    if len(values) > MAX_CANDIDATES:
        raise ValueError("too many candidates")
    candidates = [parse_candidate(value) for value in values]
    return Trickle(tuple(found for found in candidates if found is not None), attributes.first("ice-ufrag"))


def answer(offer: Offer, ours: Ours) -> str:
    """Return our answer: Opus in 20 ms packets with error correction, telephone events if they are wanted."""
    lines = ["v=0", f"o=- {ours.session_id} 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    mid = offer.sections[offer.audio].mid
    if offer.is_bundled:
        lines.append(f"a=group:BUNDLE {mid}")
    lines.append("a=msid-semantic: WMS hearline")
    for number, section in enumerate(offer.sections):
        lines += _accepted(offer, ours, mid) if number == offer.audio else _refused(section)
    return "\r\n".join(lines) + "\r\n"


def _refused(section: Section) -> list[str]:
    lines = [f"m={section.kind} 0 {section.profile} {section.formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
    return lines if section.mid is None else [*lines, f"a=mid:{section.mid}"]


def _accepted(offer: Offer, ours: Ours, mid: str | None) -> list[str]:
    keys = offer.keys if ours.with_keys else None
    host, port = ours.default
    lines = [
        f"m=audio {port} {offer.sections[offer.audio].profile} {offer.opus}" + ("" if keys is None else f" {keys}"),
        f"c=IN IP{ipaddress.ip_address(host).version} {host}",
        "a=rtcp:9 IN IP4 0.0.0.0",
        *(f"a=candidate:{candidate}" for candidate in ours.candidates),
        "a=end-of-candidates",
        f"a=ice-ufrag:{ours.ufrag}",
        f"a=ice-pwd:{ours.password}",
        "a=ice-options:trickle",
        *(f"a=fingerprint:{digest} {value}" for digest, value in ours.fingerprints),
        f"a=setup:{offer.setup}",
        f"a={offer.direction}",
        "a=rtcp-mux",
        f"a=rtpmap:{offer.opus} opus/48000/2",
        f"a=fmtp:{offer.opus} {OPUS_PARAMETERS}",
    ]
    if mid is not None:
        lines.append(f"a=mid:{mid}")
    if keys is not None:
        lines += [f"a=rtpmap:{keys} telephone-event/48000", f"a=fmtp:{keys} 0-15"]
    lines += ["a=ptime:20", "a=maxptime:60"]
    if offer.direction in {"sendrecv", "sendonly"}:
        lines += ["a=msid:hearline audio", f"a=ssrc:{ours.ssrc} cname:{ours.cname}"]
    return lines
