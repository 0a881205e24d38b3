"""Twilio Media Streams: text messages in, typed events out, and the messages that we send back.

No I/O and no clock. Source: https://www.twilio.com/docs/voice/media-streams/websocket-messages

What the wire really does, beside its page: `timestamp` is a string of milliseconds of stream time that need not
start at 0; frames are 20 ms by custom, not by promise; new fields and events appear without notice.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Final

import msgspec

from media_gateway.protocols.errors import CloseCode, ProtocolError

TRACKS: Final = {
    "inbound": "inbound",
    "outbound": "outbound",
    "inbound_track": "inbound",
    "outbound_track": "outbound",
}
"""The names a track goes by on the wire -> the one that we use."""

_MAX_TIMESTAMP_MS: Final = 2**53


class Connected(msgspec.Struct, frozen=True):
    """The first message: the stream's protocol and its version."""

    version: str


class MediaFormat(msgspec.Struct, frozen=True, rename="camel"):
    """How payloads are coded, in the wire's own words."""

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    """Hertz."""
    channels: int = 1


class Start(msgspec.Struct, frozen=True):
    """A stream begins."""

    stream_sid: str
    account_sid: str
    call_sid: str
    tracks: tuple[str, ...]
    """'inbound', 'outbound' or both, in this order."""
    media_format: MediaFormat
    parameters: dict[str, str]
    """The `<Parameter>`s of the TwiML."""


class Media(msgspec.Struct, frozen=True, gc=False):
    """A stretch of audio."""

    track: str
    """As on the wire; `TRACKS` knows every name that passes."""
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=_MAX_TIMESTAMP_MS)]
    """Milliseconds of the stream's own time at which the payload begins."""
    payload: bytes
    """Coded as `Start.media_format` says, without a header."""


class Dtmf(msgspec.Struct, frozen=True):
    """The caller pressed a key (bidirectional streams only)."""

    digit: str
    track: str = "inbound_track"


class Mark(msgspec.Struct, frozen=True):
    """Audio that we sent before the mark of this name has been played, or was cleared."""

    name: str


class Stop(msgspec.Struct, frozen=True):
    """The stream has ended in good order."""


class Other(msgspec.Struct, frozen=True):
    """A message of a kind that this version does not know; harmless."""


Event = Connected | Start | Media | Dtmf | Mark | Stop | Other


class _Start(msgspec.Struct, rename="camel"):
    call_sid: str
    account_sid: str = ""
    stream_sid: str = ""
    tracks: list[str] = []
    media_format: MediaFormat = MediaFormat()
    custom_parameters: dict[str, str] | None = None


class _Message(msgspec.Struct, rename="camel"):
    event: str
    stream_sid: str = ""
    media: Media | None = None
    start: _Start | None = None
    dtmf: Dtmf | None = None
    mark: Mark | None = None
    protocol: str = ""
    version: str = ""


# Not strict: numbers come as strings and as numbers. Base64 is checked strictly either way.
_decode = msgspec.json.Decoder(_Message, strict=False).decode


class TwilioStream:
    """The receiving side of one stream: a state machine from messages to events."""

    __slots__ = ("_started", "_stopped", "stream_sid")

    def __init__(self) -> None:
        self.stream_sid = ""
        """Known once `Start` has come."""
        self._started = False
        self._stopped = False

    def feed(self, text: bytes | str) -> Event:
        """Take one text message and return its event.

        Raises:
            ProtocolError: the message is malformed or out of place; close the socket with its code.
        """
        try:
            message = _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise _malformed(error) from None
        media = message.media
        if media is not None and message.event == "media":
            if not self._started or self._stopped:
                raise ProtocolError(CloseCode.POLICY, "media-outside-stream", "media outside start and stop")
            if message.stream_sid != self.stream_sid:
                raise _wrong_stream()
            if media.track not in TRACKS:
                raise ProtocolError(CloseCode.POLICY, "unknown-track", "media of an unknown track")
            return media
        return self._feed_rare(message)

    def _feed_rare(self, message: _Message) -> Event:
        match message.event:
            case "connected":
                return self._connected(message)
            case "start":
                return self._start(message)
            case "media" | "dtmf" | "mark" | "stop" if not self._started:
                raise ProtocolError(CloseCode.POLICY, f"{message.event}-before-start", f"{message.event} before start")
            case "media":
                raise ProtocolError(CloseCode.INVALID, "bad-message", "a media message without media")
            case "dtmf" | "mark" | "stop" if message.stream_sid != self.stream_sid:
                raise _wrong_stream()
            case "dtmf" if message.dtmf is not None:
                return message.dtmf
            case "mark" if message.mark is not None:
                return message.mark
            case "stop":
                self._stopped = True
                return Stop()
            case _:
                return Other()

    def _connected(self, message: _Message) -> Connected:
        if self._started:
            raise ProtocolError(CloseCode.POLICY, "connected-after-start", "connected after start")
        if message.protocol != "Call" or message.version.partition(".")[0] not in {"0", "1"}:
            raise ProtocolError(CloseCode.UNSUPPORTED, "wrong-protocol", "only protocol Call, version 0 or 1")
        return Connected(message.version)

    def _start(self, message: _Message) -> Start:
        if self._started:
            raise ProtocolError(CloseCode.POLICY, "start-twice", "a second start on one stream")
        start = message.start
        sid = message.stream_sid or (start.stream_sid if start else "")
        if start is None or not sid or not start.call_sid:
            raise ProtocolError(CloseCode.INVALID, "bad-start", "start without streamSid or callSid")
        if start.stream_sid not in {"", sid}:
            raise _wrong_stream()
        self.stream_sid = sid
        self._started = True
        return Start(
            stream_sid=sid,
            account_sid=start.account_sid,
            call_sid=start.call_sid,
            tracks=_tracks(start.tracks),
            media_format=start.media_format,
            parameters=start.custom_parameters or {},
        )


def _tracks(names: list[str]) -> tuple[str, ...]:
    both = "both_tracks" in names
    known = {TRACKS.get(name) for name in names}
    return tuple(name for name in ("inbound", "outbound") if both or name in known)


def _wrong_stream() -> ProtocolError:
    return ProtocolError(CloseCode.POLICY, "wrong-stream-sid", "a message of another streamSid")


def _malformed(error: Exception) -> ProtocolError:
    if "base64" in str(error):
        return ProtocolError(CloseCode.INVALID, "bad-base64", "a payload that is not base64")
    if isinstance(error, msgspec.ValidationError):
        return ProtocolError(CloseCode.INVALID, "bad-message", "a message with a missing or mistyped field")
    return ProtocolError(CloseCode.INVALID, "bad-json", "a message that is not JSON")


def media_message(stream_sid: str, payload: bytes) -> str:
    """Return the message that plays headerless mu-law (8000 Hz, one byte a sample) to the caller."""
    return _message(event="media", streamSid=stream_sid, media={"payload": b64encode(payload).decode("ascii")})


def mark_message(stream_sid: str, name: str) -> str:
    """Return the message that asks for `Mark(name)` once everything sent so far has been played."""
    return _message(event="mark", streamSid=stream_sid, mark={"name": name})


def clear_message(stream_sid: str) -> str:
    """Return the message that throws away audio not yet played; its marks come back at once."""
    return _message(event="clear", streamSid=stream_sid)


def _message(**fields: object) -> str:
    return msgspec.json.encode(fields).decode("ascii")
