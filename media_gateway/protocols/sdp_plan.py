"""Which media two sides agree on: the answer to an offer, an offer of ours, what its answer means (RFC 3264).

Of every m-line one codec is agreed on, so that a stream never changes it by itself. A secured profile is answered
with a key or refused, never in clear; an offer in clear that brings keys is answered with one (RFC 8643).
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from media_gateway.protocols.sdes import OFFERED, CryptoLine, SdesPair, crypto_value, new_line
from media_gateway.protocols.sdp import (
    OPUS_HZ,
    OPUS_PARAMETERS,
    Address,
    Codec,
    Direction,
    SdpError,
    Section,
    SessionDescription,
)

SrtpPolicy = Literal["allowed", "required"]

PTIMES_MS: Final = (10, 20, 30, 40, 60)
"""How long the packets may be that we send."""
CODECS: Final[dict[str, int]] = {"opus": OPUS_HZ, "G722": 8_000, "PCMU": 8_000, "PCMA": 8_000}
"""The clock of each codec that we have."""

_USUAL_PTIME_MS: Final = 20
_CLEAR: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURED: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})
_EVENTS: Final = "telephone-event"
_EVENTS_FMTP: Final = "0-15"
_NOISE: Final = 13
_PAYLOAD_TYPES: Final = {"opus": 96, "G722": 9, "PCMU": 0, "PCMA": 8}
"""Those that we offer."""
_EVENTS_TYPES: Final = {8_000: 101, OPUS_HZ: 97}


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One agreed m=audio, seen from our side."""

    index: int
    """Of its m-line, from 0."""
    label: str | None
    """Of a=label (RFC 4574): what SIPREC's metadata calls it."""
    direction: Direction
    """Ours: 'recvonly' means that we listen only."""
    codec: Codec
    """Payload type and format parameters are theirs: mirrored, both ways."""
    ptime_ms: int
    """Of the packets that they want: one of PTIMES_MS."""
    port: int
    """Ours, for RTP."""
    remote: Address | None
    """Where their media are sent to, and said to come from; None: the description names no usable address."""
    remote_rtcp: Address | None
    rtcp_mux: bool
    crypto: SdesPair | None
    """None: in clear."""
    dtmf_payload_type: int | None = None
    """Of telephone events, both ways."""
    noise_payload_type: int = _NOISE
    """Of comfort noise (RFC 3389): not asked for, but taken if it comes."""

    @property
    def sends(self) -> bool:
        """Whether we may send."""
        return self.direction in {"sendrecv", "sendonly"}

    @property
    def receives(self) -> bool:
        """Whether they may send."""
        return self.direction in {"sendrecv", "recvonly"}


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What we would agree to."""

    host: str
    """Our address as the others see it; IPv4 or IPv6."""
    ports: Mapping[int, int] = field(default_factory=dict)
    """Our RTP port for each m-line that we take, by its index; RTCP is one higher. Those without one are refused."""
    direction: Direction = "sendrecv"
    """The most that we do: a recorder says 'recvonly'; whoever puts a call on hold says 'sendonly' or 'inactive'."""
    codecs: tuple[str, ...] = ("opus", "G722", "PCMU", "PCMA")
    """Those of CODECS that we take, the best first. An offer's own order goes before ours."""
    srtp: SrtpPolicy = "allowed"
    before: Answer | None = None
    """What was agreed before in this session: its keys and its version are continued."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was agreed."""

    sdp: bytes = field(repr=False)
    """Our description; CRLF lines. It has our keys in it."""
    streams: tuple[StreamPlan, ...]
    session_id: int
    version: int


@dataclass(frozen=True, slots=True)
class OurOffer:
    """An offer of ours, with what is needed to understand its answer."""

    sdp: bytes = field(repr=False)
    ours: LocalMedia
    session_id: int
    version: int
    crypto: tuple[CryptoLine, ...] = ()


def acceptable(offer: SessionDescription, ours: LocalMedia) -> tuple[int, ...]:
    """Return the indexes of the m-lines that we would take, so that ports can be found for them.

    `ours.ports` is not looked at.
    """
    return tuple(index for index, section in enumerate(offer.sections) if _is_acceptable(section, ours))


def plan_answer(offer: SessionDescription, ours: LocalMedia) -> Answer:
    """Answer an offer: every m-line in its order, those that we do not take with port 0 (RFC 3264, section 6).

    Raises:
        SdpError: of the m-lines that the offer opens not one can be taken (488).
    """
    before = {stream.index: stream for stream in ours.before.streams} if ours.before else {}
    streams: list[StreamPlan] = []
    lines: list[str] = []
    for index, section in enumerate(offer.sections):
        if index in ours.ports and _is_acceptable(section, ours):
            stream = _planned(index, section, ours, before.get(index))
            streams.append(stream)
            lines += _accepted(section, stream)
        else:
            lines += _refused(section)
    if not streams and any(section.port for section in offer.sections):
        raise SdpError("nothing in this offer can be taken", 488)
    return _described(lines, ours, tuple(streams))


def plan_offer(ours: LocalMedia) -> OurOffer:
    """Offer one audio stream on `ours.ports[0]`: for an INVITE without an offer, or a re-INVITE of ours.

    Encryption is offered where we require it, and where the stream has been encrypted so far.
    """
    crypto: tuple[CryptoLine, ...] = ()
    was_sealed = ours.before is not None and any(stream.crypto is not None for stream in ours.before.streams)
    if ours.srtp == "required" or was_sealed:
        crypto = tuple(new_line(tag, suite) for tag, suite in enumerate(OFFERED, 1))
    codecs = _offered_codecs(ours)
    profile = "RTP/SAVP" if crypto else "RTP/AVP"
    lines = _audio(ours.ports[0], profile, codecs, ours.direction, _USUAL_PTIME_MS, crypto)
    described = _described(lines, ours, ())
    return OurOffer(described.sdp, ours, described.session_id, described.version, crypto)


def plan_from_answer(offer: OurOffer, answer: SessionDescription) -> Answer:
    """Return what their answer to our offer has settled; its `sdp` is our offer's.

    Raises:
        SdpError: it does not fit the offer, or refuses all of it (488).
    """
    ours = offer.ours
    if len(answer.sections) != 1 or answer.sections[0].kind != "audio":
        raise SdpError("the answer's media are not those of the offer")
    (section,) = answer.sections
    codec = _codec(section, ours.codecs)
    if not section.port or codec is None:
        raise SdpError("the answer takes nothing of the offer", 488)
    pair = None
    if offer.crypto:
        pair = next(
            (
                SdesPair(mine.tag, mine.suite, mine.key, theirs.key)
                for theirs in section.crypto
                for mine in offer.crypto
                if (mine.tag, mine.suite) == (theirs.tag, theirs.suite)
            ),
            None,
        )
        if pair is None or section.profile not in _SECURED:
            raise SdpError("the answer has no key for the encryption that was offered", 488)
    elif section.profile in _SECURED:
        raise SdpError("the answer's media are not those of the offer")
    stream = _stream(0, section, ours, codec, pair)
    return Answer(offer.sdp, (stream,), offer.session_id, offer.version)


def _is_acceptable(section: Section, ours: LocalMedia) -> bool:
    if section.kind != "audio" or not section.port or _codec(section, ours.codecs) is None:
        return False
    if section.host is not None and _version(section.host) != _version(ours.host):
        return False
    if section.profile in _SECURED or (section.profile in _CLEAR and ours.srtp == "required"):
        return bool(section.crypto)
    return section.profile in _CLEAR


def _version(host: str) -> int:
    return ipaddress.ip_address(host).version


def _codec(section: Section, codecs: Sequence[str]) -> Codec | None:
    """Return their first codec that we take."""
    return next((codec for codec in section.codecs if codec.name in codecs and _is_known(codec)), None)


def _is_known(codec: Codec) -> bool:
    return CODECS.get(codec.name) == codec.clock_hz and (codec.channels == 1 or codec.name == "opus")


def _planned(index: int, section: Section, ours: LocalMedia, before: StreamPlan | None) -> StreamPlan:
    codec = _codec(section, ours.codecs)
    assert codec is not None
    pair = None
    if section.crypto:
        line = section.crypto[0]  # they come in the order of their sender's liking (RFC 4568, section 5.1.2)
        old = before.crypto if before is not None else None
        if old is not None and (old.tag, old.suite, old.theirs) == (line.tag, line.suite, line.key):
            pair = old
        else:  # with a new key of theirs it may be somebody else, who is not to be heard by the one before
            pair = SdesPair(line.tag, line.suite, new_line(line.tag, line.suite).key, line.key)
    return _stream(index, section, ours, codec, pair)


def _stream(index: int, section: Section, ours: LocalMedia, codec: Codec, pair: SdesPair | None) -> StreamPlan:
    theirs = section.direction
    sends = theirs in {"sendrecv", "sendonly"} and ours.direction in {"sendrecv", "recvonly"}
    takes = theirs in {"sendrecv", "recvonly"} and ours.direction in {"sendrecv", "sendonly"} and not section.is_held
    remote = section.remote
    events = [other for other in section.codecs if other.name == _EVENTS]
    events.sort(key=lambda other: other.clock_hz != codec.clock_hz)
    return StreamPlan(
        index=index,
        label=section.label,
        direction=_direction(sends=takes, receives=sends),
        codec=codec,
        ptime_ms=_ptime_ms(section, codec),
        port=ours.ports[index],
        remote=remote,
        remote_rtcp=remote if section.rtcp_mux else section.rtcp or _next_port(remote),
        rtcp_mux=section.rtcp_mux,
        crypto=pair,
        dtmf_payload_type=events[0].payload_type if events else None,
        noise_payload_type=next((other.payload_type for other in section.codecs if other.name == "CN"), _NOISE),
    )


def _direction(*, sends: bool, receives: bool) -> Direction:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _next_port(remote: Address | None) -> Address | None:
    return None if remote is None or remote[1] == 65_535 else (remote[0], remote[1] + 1)


def _ptime_ms(section: Section, codec: Codec) -> int:
    if codec.name == "opus":
        return _USUAL_PTIME_MS
    wanted = min(section.ptime_ms or _USUAL_PTIME_MS, section.maxptime_ms or PTIMES_MS[-1])
    return max((ptime_ms for ptime_ms in PTIMES_MS if ptime_ms <= wanted), default=PTIMES_MS[0])


def _accepted(section: Section, stream: StreamPlan) -> list[str]:
    codecs = [stream.codec]
    codecs += [other for other in section.codecs if other.payload_type == stream.dtmf_payload_type]
    crypto = stream.crypto
    keys = () if crypto is None else (CryptoLine(crypto.tag, crypto.suite, crypto.ours),)
    lines = _audio(stream.port, section.profile, codecs, stream.direction, stream.ptime_ms, keys)
    if section.rtcp_mux:
        lines.append("a=rtcp-mux")
    if section.label is not None:
        lines.append(f"a=label:{section.label}")
    return lines if section.mid is None else [*lines, f"a=mid:{section.mid}"]


def _refused(section: Section) -> list[str]:
    lines = [f"m={section.kind} 0 {section.profile} {section.formats}"]
    return lines if section.mid is None else [*lines, f"a=mid:{section.mid}"]


def _offered_codecs(ours: LocalMedia) -> list[Codec]:
    agreed = {stream.codec.name: stream.codec for stream in ours.before.streams} if ours.before else {}
    codecs = [
        agreed.get(name, Codec(name, _PAYLOAD_TYPES[name], CODECS[name], 2 if name == "opus" else 1))
        for name in ours.codecs
        if name in CODECS
    ]
    clocks = dict.fromkeys(codec.clock_hz for codec in codecs)
    return codecs + [Codec(_EVENTS, _EVENTS_TYPES[clock_hz], clock_hz) for clock_hz in clocks]


def _audio(
    port: int,
    profile: str,
    codecs: Sequence[Codec],
    direction: Direction,
    ptime_ms: int,
    crypto: Sequence[CryptoLine],
) -> list[str]:
    lines = [f"m=audio {port} {profile} " + " ".join(str(codec.payload_type) for codec in codecs)]
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_hz}{channels}")
        if codec.name == "opus":
            lines.append(f"a=fmtp:{codec.payload_type} {OPUS_PARAMETERS}")
        elif codec.name == _EVENTS:
            lines.append(f"a=fmtp:{codec.payload_type} {_EVENTS_FMTP}")
    lines += [f"a=crypto:{crypto_value(line)}" for line in crypto]
    return [*lines, f"a=ptime:{ptime_ms}", f"a={direction}"]


def _described(lines: Sequence[str], ours: LocalMedia, streams: tuple[StreamPlan, ...]) -> Answer:
    """Return the whole description; its version is counted up if anything differs from the one before."""
    before = ours.before
    session_id = before.session_id if before else secrets.randbits(62)
    version = before.version if before else 1
    sdp = _text(lines, ours.host, session_id, version)
    if before is not None and sdp != before.sdp:
        version += 1
        sdp = _text(lines, ours.host, session_id, version)
    return Answer(sdp, streams, session_id, version)


def _text(lines: Sequence[str], host: str, session_id: int, version: int) -> bytes:
    place = f"IN IP{_version(host)} {host}"
    head = ["v=0", f"o=hearline {session_id} {version} {place}", "s=-", f"c={place}", "t=0 0"]
    return ("\r\n".join([*head, *lines]) + "\r\n").encode()
