"""Plivo audio streaming (`<Stream>` in its XML).

Source: https://plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference, read in November 2026.

`timestamp` is the Unix time in milliseconds, so frames are placed by their `chunk`. There is no `stop`: the socket
closes. L16 is taken to be little-endian, which the page does not say. The stream's own parameters come in
`extra_headers`, as one string of `name=value` with ';' (or, as they were written, ',') between them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from infra.model import Role
from media_gateway.protocols.dialects.dialect import (
    JSON_ERRORS,
    MAX_PARAMETERS,
    ChunkClock,
    Codec,
    Dialect,
    Event,
    Handshake,
    Media,
    Message,
    Opened,
    Played,
    Start,
    Stop,
    Track,
    an_id,
    bad_json,
    codec_named,
    duration_ms,
    json_message,
    key_pressed,
    out_of_place,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

_ROLES: Final[Mapping[str, Role]] = {"inbound": "customer", "outbound": "agent"}
_CONTENT_TYPES: Final = {"mulaw": "audio/x-mulaw", "l16le": "audio/x-l16"}
_MAX_EXTRA_CHARS: Final = 4_096

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Format(msgspec.Struct, rename="camel"):
    encoding: str = "audio/x-mulaw"
    sample_rate: Annotated[int, msgspec.Meta(ge=0, le=2**31)] | None = None


class _Start(msgspec.Struct, rename="camel"):
    call_id: str
    stream_id: str
    tracks: list[str] = []
    media_format: _Format = msgspec.field(default_factory=_Format)


class _Media(msgspec.Struct):
    track: str = "inbound"
    timestamp: _Count = 0
    chunk: _Count = 0
    payload: bytes = b""


class _Dtmf(msgspec.Struct):
    digit: str


class _Message(msgspec.Struct):
    event: str
    stream_id: str = msgspec.field(name="streamId", default="")
    start: _Start | None = None
    media: _Media | None = None
    dtmf: _Dtmf | None = None
    name: str = ""
    extra_headers: str | None = None


# Not strict: numbers come as strings and as numbers. Base64 is checked strictly either way.
_decode = msgspec.json.Decoder(_Message, strict=False).decode


class Plivo(Dialect):
    """One socket of Plivo's."""

    name = "plivo"
    token_in_start = True

    def __init__(self, handshake: Handshake) -> None:
        self._codec: Codec | None = None
        """Known once the stream has started."""
        self._stream_id = ""
        self._clocks: dict[str, ChunkClock] = {}
        self._stopped = False

    def feed_text(self, data: bytes) -> Sequence[Event]:
        try:
            message = _decode(data)
        except JSON_ERRORS as error:
            raise bad_json(error) from None
        match message.event:
            case "media":
                return self._media(message)
            case "start":
                return self._start(message)
            case "dtmf" | "playedStream" | "stop":
                return self._rare(message)
        return ()  # clearedAudio, and what nobody knows

    def _start(self, message: _Message) -> Sequence[Event]:
        start = message.start
        if self._codec is not None:
            raise out_of_place("start", "twice")
        if start is None or not start.call_id or not start.stream_id:
            raise ProtocolError(CloseCode.INVALID, "bad-start", "start without callId or streamId")
        codec = codec_named(start.media_format.encoding, start.media_format.sample_rate)
        self._stream_id = an_id(start.stream_id)
        tracks = tuple(Track(name, role) for name, role in _ROLES.items() if name in start.tracks)
        parameters = _extra(message.extra_headers or "")
        self._clocks = {track.name: ChunkClock() for track in tracks}
        self._codec = codec
        return (
            Start(
                stream_id=self._stream_id,
                call_id=an_id(start.call_id),
                codec=codec,
                tracks=tracks,
                parameters=parameters,
                token=parameters.get("token"),
                plays=codec if codec.encoding in _CONTENT_TYPES else None,
            ),
        )

    def _media(self, message: _Message) -> Sequence[Event]:
        codec, media = self._codec, message.media
        if codec is None or self._stopped:
            raise out_of_place("media", "outside the stream")
        if media is None:
            raise ProtocolError(CloseCode.INVALID, "bad-message", "a media message without media")
        self._check_stream(message)
        role = _ROLES.get(media.track)
        if role is None:
            raise ProtocolError(CloseCode.POLICY, "unknown-track", "media of an unknown track")
        events: list[Event] = []
        clock = self._clocks.get(media.track)
        if clock is None:
            clock = self._clocks[media.track] = ChunkClock()
            events.append(Opened(Track(media.track, role)))
        at_ms = clock.place(media.chunk, media.timestamp, duration_ms(media.payload, codec))
        events.append(Media(media.track, media.payload, at_ms))
        return events

    def _rare(self, message: _Message) -> Sequence[Event]:
        if self._codec is None:
            raise out_of_place(message.event, "before start")
        self._check_stream(message)
        if message.event == "stop":
            self._stopped = True
            return (Stop(),)
        if message.event == "playedStream":
            return (Played(message.name),)
        return key_pressed(message.dtmf.digit) if message.dtmf is not None else ()

    def _check_stream(self, message: _Message) -> None:
        if message.stream_id not in {"", self._stream_id}:
            raise ProtocolError(CloseCode.POLICY, "wrong-stream", "a message of another streamId")

    def media(self, payload: bytes) -> Sequence[Message]:
        codec = self._codec
        if codec is None:
            return ()
        audio = {
            "contentType": _CONTENT_TYPES[codec.encoding],
            "sampleRate": codec.rate_hz,
            "payload": b64encode(payload).decode("ascii"),
        }
        return (json_message(event="playAudio", media=audio),)

    def clear(self) -> Sequence[Message]:
        return (json_message(event="clearAudio", streamId=self._stream_id),)

    def mark(self, name: str) -> Sequence[Message]:
        return (json_message(event="checkpoint", streamId=self._stream_id, name=name),)


def _extra(headers: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in headers[:_MAX_EXTRA_CHARS].replace(",", ";").split(";")[:MAX_PARAMETERS]:
        name, mark, value = pair.partition("=")
        if mark and name.strip():
            found[name.strip().removeprefix("X-PH-")] = value.strip()
    return found
