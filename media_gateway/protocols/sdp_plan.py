"""Which media two sides agree on: the answer to an offer, an offer of ours, what its answer means (RFC 3264)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from media_gateway.protocols.sdes import SdesPair
from media_gateway.protocols.sdp import Address, Codec, Direction, SessionDescription

SrtpPolicy = Literal["allowed", "required"]


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
    """Of the packets that they want: 10 to 60."""
    port: int
    """Ours, for RTP."""
    remote: Address | None
    """Where their media are sent to, and said to come from; None: the description names no usable address."""
    remote_rtcp: Address | None
    rtcp_mux: bool
    crypto: SdesPair | None
    """None: in clear."""
    dtmf_payload_type: int | None = None
    """Of telephone events at `codec`'s clock, both ways."""
    noise_payload_type: int | None = None
    """Of comfort noise (RFC 3389), which may be sent to us."""

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
    ports: Mapping[int, int]
    """Our RTP port for each m-line that we take, by its index; RTCP is one higher. Those without one are refused."""
    direction: Direction = "sendrecv"
    """The most that we do: a recorder says 'recvonly'; whoever puts a call on hold says 'sendonly' or 'inactive'."""
    codecs: tuple[str, ...] = ("opus", "G722", "PCMU", "PCMA")
    """Those that we take, the best first. An offer's own order goes before ours."""
    srtp: SrtpPolicy = "allowed"
    before: Answer | None = None
    """What was agreed before in this session: its keys and its version are continued."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was agreed."""

    sdp: bytes
    """Our description; CRLF lines."""
    streams: tuple[StreamPlan, ...]
    session_id: int
    version: int


def acceptable(offer: SessionDescription, ours: LocalMedia) -> tuple[int, ...]:
    """Return the indexes of the m-lines that we would take, so that ports can be found for them.

    `ours.ports` is not looked at.
    """
    raise NotImplementedError


def plan_answer(offer: SessionDescription, ours: LocalMedia) -> Answer:
    """Answer an offer: every m-line in its order, those that we do not take with port 0 (RFC 3264, section 6).

    Raises:
        SdpError: not one m-line of an offer that has some can be taken (488).
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class OurOffer:
    """An offer of ours, with what is needed to understand its answer."""

    sdp: bytes
    ours: LocalMedia
    session_id: int
    version: int
    keys: Mapping[int, bytes] = field(repr=False, default_factory=dict)
    """Our master key and salt for each a=crypto tag."""


def plan_offer(ours: LocalMedia) -> OurOffer:
    """Offer one audio stream on `ours.ports[0]`: for an INVITE without an offer, or a re-INVITE of ours."""
    raise NotImplementedError


def plan_from_answer(offer: OurOffer, answer: SessionDescription) -> Answer:
    """Return what their answer to our offer has settled; `sdp` is our offer's.

    Raises:
        SdpError: it does not fit the offer, or refuses all of it.
    """
    raise NotImplementedError
