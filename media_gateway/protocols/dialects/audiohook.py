"""Genesys AudioHook, protocol version 2: JSON transactions, and binary PCMU of one or two channels.

Sources: the protocol reference at https://developer.genesys.cloud/devapps/audiohook/ and Genesys' own server in
https://github.com/purecloudlabs/audiohook-reference-implementation (MIT), whose judgement of bad messages is ours too.

Each side numbers its messages from 1 and says which of the other's it has seen last. `position` is the stream's own
time: audio that was sent, or discarded, or went by during a pause. Both channels are interleaved: `external`, the
customer, left; `internal`, the agent, right. It is always the client that closes: a server asks for it (`disconnect`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from infra.model import Role
from media_gateway.protocols.dialects.dialect import (
    JSON_ERRORS,
    Codec,
    Dialect,
    Event,
    Handshake,
    Held,
    Media,
    Message,
    Resumed,
    Send,
    Start,
    Stop,
    Track,
    bad_json,
    channels,
    json_message,
    out_of_place,
    text_parameters,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

_PCMU: Final = Codec("mulaw", 8_000)
_ROLES: Final[Mapping[str, Role]] = {"external": "customer", "internal": "agent"}
_WANTED: Final = (("external", "internal"), ("external",), ("internal",))
"""The channels that we choose among those offered, best first."""
_PROBE: Final = "00000000-0000-0000-0000-000000000000"
"""The conversation of a connection that only tries whether we are there."""
_MAX_SEQ: Final = 2**53
_DURATION: Final = re.compile(r"PT(\d{1,9})(?:\.(\d{1,9}))?S", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_Seq = Annotated[int, msgspec.Meta(ge=0, le=_MAX_SEQ)]


class _Header(msgspec.Struct):
    version: Literal["2"]
    id: str
    type: str
    seq: _Seq
    serverseq: _Seq
    position: str
    parameters: msgspec.Raw


class _Media(msgspec.Struct):
    type: str = ""
    format: str = ""
    channels: tuple[str, ...] = ()
    rate: int = 0


class _Participant(msgspec.Struct, rename="camel"):
    ani: str = ""
    dnis: str = ""


class _Open(msgspec.Struct, rename="camel"):
    organization_id: str
    conversation_id: str
    participant: _Participant
    media: tuple[_Media, ...]
    language: str = ""
    supported_languages: bool = False
    custom_config: dict[str, object] | None = None


class _Stretch(msgspec.Struct):
    start: str
    discarded: str


class _Close(msgspec.Struct):
    reason: str = ""


_decode = msgspec.json.Decoder(_Header).decode
_decode_open = msgspec.json.Decoder(_Open).decode
_decode_stretch = msgspec.json.Decoder(_Stretch).decode
_decode_close = msgspec.json.Decoder(_Close).decode


class Audiohook(Dialect):
    """One session."""

    name: ClassVar[str] = "audiohook"
    token_headers: ClassVar[tuple[str, ...]] = ("x-api-key",)
    farewell_s: ClassVar[float] = 5.0

    def __init__(self, handshake: Handshake) -> None:
        self._organization_id = handshake.headers.get("audiohook-organization-id", "")
        self._session_id = handshake.headers.get("audiohook-session-id", "")
        """Known from the first message on at the latest."""
        self._seq = 0
        """Of our last message."""
        self._client_seq = 0
        """Of their last message."""
        self._media: tuple[str, ...] | None = None
        """The channels chosen; None before `open`."""
        self._wants_languages = False
        self._samples = 0
        """The stream's position."""
        self._is_over = False
        """Whether they, or we, have said that the session is."""

    def feed_text(self, data: bytes) -> Sequence[Event]:
        """Take a message."""
        try:
            header = _decode(data)
        except JSON_ERRORS as error:
            raise bad_json(error) from None
        self._check(header)
        parameters = bytes(header.parameters)
        try:
            return self._message(header.type, parameters)
        except JSON_ERRORS as error:
            raise bad_json(error) from None

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        """Take audio."""
        if self._media is None or self._is_over:
            raise out_of_place("media", "outside open and close")
        if not self._media:
            raise out_of_place("media", "without a channel")
        at_ms = self._samples * 1000 // _PCMU.rate_hz
        if len(self._media) == 1:
            self._samples += len(data)
            return (Media(self._media[0], data, at_ms),)
        if len(data) % 2:
            raise ProtocolError(CloseCode.INVALID, "bad-media", "half a stereo sample")
        self._samples += len(data) // 2
        external, internal = channels(data, 1)
        return Media("external", external, at_ms), Media("internal", internal, at_ms)

    def started(self) -> Sequence[Message]:
        """Return `opened`, with the media chosen."""
        return (self._opened(),)

    def hang_up(self) -> Sequence[Message]:
        """Return what asks the client to close the session."""
        return self._disconnect("completed", "")

    def refused(self, error: ProtocolError) -> Sequence[Message]:
        """Return `disconnect`; once the session is over there is nothing left to say."""
        return self._disconnect("unauthorized" if error.reason in _UNAUTHORIZED else "error", str(error))

    def _check(self, header: _Header) -> None:
        """Hold the message against the session, as the reference implementation does."""
        if header.seq != self._client_seq + 1:
            raise ProtocolError(CloseCode.POLICY, "bad-sequence", "seq is not the next number")
        self._client_seq = header.seq
        if header.serverseq > self._seq:
            raise ProtocolError(CloseCode.POLICY, "bad-sequence", "serverseq is ahead of what was sent")
        if not _UUID.fullmatch(header.id) or (self._session_id and header.id != self._session_id):
            raise ProtocolError(CloseCode.POLICY, "wrong-session", "a message of another session")
        self._session_id = header.id
        if _DURATION.fullmatch(header.position) is None:
            raise ProtocolError(CloseCode.INVALID, "bad-message", "position is no duration")

    def _message(self, kind: str, parameters: bytes) -> Sequence[Event]:
        if kind == "open":
            return self._open(_decode_open(parameters))
        if kind == "ping":
            return (Send(self._say("pong", {})),)
        if kind == "close":
            return self._close(_decode_close(parameters))
        if self._is_over or self._media is None:
            return ()  # late, or early; what it asks for does not matter
        if kind == "paused":
            return (Held(),)
        if kind in {"resumed", "discarded"}:
            stretch = _decode_stretch(parameters)
            self._samples = max(self._samples, _samples(stretch.start) + _samples(stretch.discarded))
            return (Resumed(),) if kind == "resumed" else ()
        return ()  # update (the language has changed), error (of their own), and what later versions have to say

    def _open(self, message: _Open) -> Sequence[Event]:
        if self._media is not None:
            raise out_of_place("open", "twice")
        if self._organization_id and message.organization_id != self._organization_id:
            raise ProtocolError(CloseCode.POLICY, "wrong-organization", "organizationId is not the handshake's")
        is_probe = message.conversation_id == _PROBE
        if not _UUID.fullmatch(message.conversation_id):
            raise ProtocolError(CloseCode.INVALID, "bad-start", "conversationId is no UUID")
        offered = [media.channels for media in message.media if _can_read(media)]
        chosen = next((wanted for wanted in _WANTED if wanted in offered), ())
        if not chosen and not is_probe:
            raise ProtocolError(CloseCode.UNSUPPORTED, "unsupported-audio", "no PCMU at 8000 Hz among the media")
        self._media = chosen
        self._wants_languages = message.supported_languages
        if is_probe:
            return (Send(self._opened()),)
        return (
            Start(
                call_id=message.conversation_id.lower(),
                codec=_PCMU,
                tracks=tuple(Track(name, _ROLES[name]) for name in chosen),
                stream_id=self._session_id,
                from_number=_number(message.participant.ani),
                to_number=_number(message.participant.dnis),
                parameters=text_parameters(message.custom_config),
            ),
        )

    def _opened(self) -> str:
        media = [{"type": "audio", "format": "PCMU", "channels": self._media, "rate": _PCMU.rate_hz}]
        parameters: dict[str, object] = {"startPaused": False, "media": media if self._media else []}
        if self._wants_languages:
            parameters["supportedLanguages"] = []
        return self._say("opened", parameters)

    def _close(self, message: _Close) -> Sequence[Event]:
        closed = Send(self._say("closed", {}))
        self._is_over = True
        return closed, Stop("sender-error" if message.reason == "error" else "completed")

    def _disconnect(self, reason: str, info: str) -> Sequence[Message]:
        if self._is_over:
            return ()
        self._is_over = True
        parameters: dict[str, object] = {"reason": reason}
        if info:
            parameters["info"] = info
        return (self._say("disconnect", parameters),)

    def _say(self, kind: str, parameters: Mapping[str, object]) -> str:
        self._seq += 1
        return json_message(
            version="2",
            id=self._session_id or _PROBE,
            type=kind,
            seq=self._seq,
            clientseq=self._client_seq,
            parameters=parameters,
        )


_UNAUTHORIZED: Final = frozenset({"bad-token", "wrong-organization", "unauthorized"})


def _can_read(media: _Media) -> bool:
    return (media.type, media.format, media.rate) == ("audio", "PCMU", _PCMU.rate_hz)


def _samples(duration: str) -> int:
    """Return a duration such as 'PT1.25S' in samples."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ProtocolError(CloseCode.INVALID, "bad-message", "a duration that cannot be read")
    whole, part = found.groups()
    return int(whole) * _PCMU.rate_hz + int((part or "0").ljust(9, "0")) * _PCMU.rate_hz // 1_000_000_000


def _number(uri: str) -> str | None:
    """Return the number in 'tel:+15550100' or '+15550100'; a SIP address stays as it is."""
    return uri.removeprefix("tel:").strip()[:90] or None
