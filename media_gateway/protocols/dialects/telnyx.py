"""Telnyx media streaming over WebSocket.

Sources: https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket (AsyncAPI) and
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming, read in November 2026.

Like Twilio's, in snake case, with differences: `start` names who calls whom, but not the tracks; the order of media
is not promised, so frames are placed by their `chunk`; L16 is little-endian. What a bidirectional stream takes
(`stream_bidirectional_codec`, `stream_bidirectional_sampling_rate`) is not told on the wire: it is taken to be what
comes, or what the parameters `plays` and `plays_rate` say.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from infra.model import Role
from media_gateway.protocols.dialects.dialect import (
    JSON_ERRORS,
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
    text_parameters,
    unsupported,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

_TRACKS: Final[Mapping[str, tuple[str, Role]]] = {
    "inbound": ("inbound", "customer"),
    "inbound_track": ("inbound", "customer"),
    "outbound": ("outbound", "agent"),
    "outbound_track": ("outbound", "agent"),
}

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Format(msgspec.Struct):
    encoding: str = "PCMU"
    sample_rate: Annotated[int, msgspec.Meta(ge=0, le=2**31)] | None = None
    channels: int = 1


class _Start(msgspec.Struct):
    call_control_id: str
    caller: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    media_format: _Format = msgspec.field(default_factory=_Format)
    custom_parameters: Any = None


class _Media(msgspec.Struct):
    track: str = "inbound"
    chunk: _Count = 0
    timestamp: _Count = 0
    payload: bytes = b""


class _Dtmf(msgspec.Struct):
    digit: str


class _Mark(msgspec.Struct):
    name: str


class _Message(msgspec.Struct):
    event: str
    stream_id: str = ""
    start: _Start | None = None
    media: _Media | None = None
    dtmf: _Dtmf | None = None
    mark: _Mark | None = None


# Not strict: numbers come as strings and as numbers. Base64 is checked strictly either way.
_decode = msgspec.json.Decoder(_Message, strict=False).decode


class Telnyx(Dialect):
    """One socket of Telnyx's."""

    name = "telnyx"
    token_headers = ("x-telnyx-streaming-auth-token",)

    def __init__(self, handshake: Handshake) -> None:
        self._query = handshake.query
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
            case "dtmf" | "mark" | "stop":
                return self._rare(message)
        return ()  # connected, error (of something that we sent), and what nobody knows

    def _start(self, message: _Message) -> Sequence[Event]:
        start = message.start
        if self._codec is not None:
            raise out_of_place("start", "twice")
        if start is None or not start.call_control_id:
            raise ProtocolError(CloseCode.INVALID, "bad-start", "start without call_control_id")
        audio = start.media_format
        if audio.channels != 1:
            raise unsupported("tracks are mono")
        self._stream_id = an_id(message.stream_id)
        codec = codec_named(audio.encoding, audio.sample_rate)
        parameters = text_parameters(start.custom_parameters if isinstance(start.custom_parameters, dict) else None)
        plays = self._played(codec, parameters)
        self._codec = codec
        return (
            Start(
                stream_id=self._stream_id,
                call_id=an_id(start.call_control_id),
                codec=codec,
                tracks=(),
                from_number=start.caller,
                to_number=start.to,
                parameters=parameters,
                plays=plays,
            ),
        )

    def _played(self, heard: Codec, parameters: Mapping[str, str]) -> Codec:
        asked = {**parameters, **self._query}
        name, rate = asked.get("plays"), asked.get("plays_rate", "")
        if name is None:
            return heard
        return codec_named(name, int(rate) if rate.isascii() and rate.isdigit() and len(rate) < 7 else None)

    def _media(self, message: _Message) -> Sequence[Event]:
        codec, media = self._codec, message.media
        if codec is None or self._stopped:
            raise out_of_place("media", "outside the stream")
        if media is None:
            raise ProtocolError(CloseCode.INVALID, "bad-message", "a media message without media")
        self._check_stream(message)
        known = _TRACKS.get(media.track)
        if known is None:
            raise ProtocolError(CloseCode.POLICY, "unknown-track", "media of an unknown track")
        name, role = known
        events: list[Event] = []
        clock = self._clocks.get(name)
        if clock is None:
            clock = self._clocks[name] = ChunkClock()
            events.append(Opened(Track(name, role)))
        at_ms = clock.place(media.chunk, media.timestamp, duration_ms(media.payload, codec))
        events.append(Media(name, media.payload, at_ms))
        return events

    def _rare(self, message: _Message) -> Sequence[Event]:
        if self._codec is None:
            raise out_of_place(message.event, "before start")
        self._check_stream(message)
        if message.event == "stop":
            self._stopped = True
            return (Stop(),)
        if message.dtmf is not None and message.event == "dtmf":
            return key_pressed(message.dtmf.digit)
        return (Played(message.mark.name),) if message.mark is not None and message.event == "mark" else ()

    def _check_stream(self, message: _Message) -> None:
        if self._stream_id and message.stream_id not in {"", self._stream_id}:
            raise ProtocolError(CloseCode.POLICY, "wrong-stream", "a message of another stream_id")

    def media(self, payload: bytes) -> Sequence[Message]:
        return (json_message(event="media", media={"payload": b64encode(payload).decode("ascii")}),)

    def clear(self) -> Sequence[Message]:
        return (json_message(event="clear"),)

    def mark(self, name: str) -> Sequence[Message]:
        return (json_message(event="mark", mark={"name": name}),)
