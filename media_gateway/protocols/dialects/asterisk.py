"""Asterisk's chan_websocket (20.16, 21.11, 22.6, 23.0 and later): text commands and events, binary media.

Source: https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/. Events and commands come in two forms, plain
text (`MEDIA_START connection_id:... format:ulaw ...`) and, from 20.18, 22.8 and 23.2 on, JSON; we answer in the form in
which MEDIA_START came.

What the wire really does, beside its page: `connection_id` is the name of the connection in websocket_client.conf for
calls that come to us, so it names no call; `channel_id` does, where it is sent, else the channel's name. FLUSH_MEDIA
throws away marks too, without a word; QUEUE_DRAINED, if asked for before, tells that they are gone. Commands of more
than 128 bytes are ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import msgspec

from media_gateway.protocols.dialects.dialect import (
    JSON_ERRORS,
    Codec,
    Dialect,
    Event,
    Flow,
    Handshake,
    Media,
    Message,
    Played,
    Start,
    Track,
    an_id,
    bad_json,
    json_message,
    key_pressed,
    out_of_place,
    text_parameters,
    unsupported,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

_CODECS: Final[Mapping[str, Codec]] = {
    "ulaw": Codec("mulaw", 8_000),
    "alaw": Codec("alaw", 8_000),
    "slin": Codec("l16le", 8_000),
    "slin12": Codec("l16le", 12_000),
    "slin16": Codec("l16le", 16_000),
    "slin24": Codec("l16le", 24_000),
    "slin32": Codec("l16le", 32_000),
    "slin44": Codec("l16le", 44_100),
    "slin48": Codec("l16le", 48_000),
    "g722": Codec("g722", 16_000),
    "opus": Codec("opus", 48_000),
}
"""By Asterisk's names of formats. `slin` is in the byte order of Asterisk's machine, little-endian on all in use."""

_TRACK: Final = Track("channel", "customer")
_MARKS: Final = 64
"""Marks that may be under way."""


class _Event(msgspec.Struct):
    event: str
    channel: str = ""
    channel_id: str = ""
    format: str = ""
    optimal_frame_size: int = 0
    digit: str = ""
    correlation_id: str = ""
    channel_variables: dict[str, object] | None = None


_decode = msgspec.json.Decoder(_Event, strict=False).decode


class Asterisk(Dialect):
    """One WebSocket channel."""

    name: ClassVar[str] = "asterisk"
    subprotocols: ClassVar[tuple[str, ...]] = ("media",)

    def __init__(self, handshake: Handshake) -> None:
        self._codec: Codec | None = None
        self._is_json = False
        self._buffers = False
        """Whether our frames have to be cut anew, since theirs have another length."""
        self._marks: deque[str] = deque(maxlen=_MARKS)
        """That have not come back."""
        self._flushed: tuple[str, ...] = ()
        """That were on their way when all was thrown away."""

    def feed_text(self, data: bytes) -> Sequence[Event]:
        """Take an event."""
        is_json = data[:1] == b"{"
        event = _of_json(data) if is_json else _of_plain(data)
        if event.event == "MEDIA_START":
            self._is_json = is_json
            return (self._start(event),)
        if self._codec is None:
            return ()
        match event.event:
            case "DTMF_END":
                return key_pressed(event.digit)
            case "MEDIA_XOFF":
                return (Flow(may_send=False),)
            case "MEDIA_XON":
                return (Flow(may_send=True),)
            case "MEDIA_BUFFERING_COMPLETED" | "MEDIA_MARK_PROCESSED":
                return self._processed(event.correlation_id)
            case "QUEUE_DRAINED":
                gone, self._flushed = self._flushed, ()
                return tuple(Played(name) for name in gone)
            case _:
                return ()  # STATUS, ERROR, and what later versions have to say

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        """Take audio."""
        if self._codec is None:
            raise out_of_place("media", "before start")
        return (Media(_TRACK.name, data),)

    def started(self) -> Sequence[Message]:
        """Return what answers the channel, if that is left to us (dial option `n`); else it is ignored."""
        answer = self._command("ANSWER")
        return (answer, self._command("START_MEDIA_BUFFERING")) if self._buffers else (answer,)

    def media(self, payload: bytes) -> Sequence[Message]:
        """Return audio; they time it."""
        return (payload,)

    def clear(self) -> Sequence[Message]:
        """Return what empties their queue, and tells us when it is empty."""
        if self._passes_through:
            return ()
        self._flushed += tuple(self._marks)
        self._flushed = self._flushed[-_MARKS:]
        self._marks.clear()
        flush = (self._command("REPORT_QUEUE_DRAINED"), self._command("FLUSH_MEDIA"))
        return (*flush, self._command("START_MEDIA_BUFFERING")) if self._buffers else flush

    def mark(self, name: str) -> Sequence[Message] | None:
        """Return the end of a bulk transfer, which every version reports by name once it was played."""
        if self._passes_through:
            return None
        self._marks.append(name)
        mark = self._command("STOP_MEDIA_BUFFERING", name)
        return (mark, self._command("START_MEDIA_BUFFERING")) if self._buffers else (mark,)

    def hang_up(self) -> Sequence[Message]:
        """Return what hangs the channel up."""
        return (self._command("HANGUP"),)

    @property
    def _passes_through(self) -> bool:
        """Return whether their queue does not know our frames' length, and so keeps and marks nothing."""
        return self._codec is not None and self._codec.encoding == "opus"

    def _start(self, event: _Event) -> Start:
        if self._codec is not None:
            raise out_of_place("start", "twice")
        call_id = an_id(event.channel_id or event.channel)
        if not call_id:
            raise ProtocolError(CloseCode.INVALID, "bad-start", "MEDIA_START without a channel")
        codec = _CODECS.get(event.format)
        if codec is None:
            raise unsupported("a format that is not read here; use c(slin16) or c(ulaw)")
        self._codec = codec
        frame_bytes = codec.rate_hz // 50 * codec.sample_bytes // (2 if codec.encoding == "g722" else 1)
        self._buffers = bool(event.optimal_frame_size) and frame_bytes % event.optimal_frame_size != 0
        self._buffers = self._buffers and not self._passes_through
        return Start(
            call_id=call_id,
            codec=codec,
            tracks=(_TRACK,),
            parameters=text_parameters(event.channel_variables),
            plays=codec,
            answer=True,
        )

    def _processed(self, name: str) -> Sequence[Event]:
        if name not in self._marks:
            return ()
        self._marks.remove(name)
        return (Played(name),)

    def _command(self, command: str, correlation_id: str = "") -> str:
        if not self._is_json:
            return f"{command} {correlation_id}".rstrip()
        if not correlation_id:
            return json_message(command=command)
        return json_message(command=command, correlation_id=correlation_id)


def _of_json(data: bytes) -> _Event:
    try:
        return _decode(data)
    except JSON_ERRORS as error:
        raise bad_json(error) from None


def _of_plain(data: bytes) -> _Event:
    """Read `NAME key:value key:value`; the two that report by id have it bare."""
    try:
        name, *words = data.decode("utf-8").split()
    except ValueError:  # an empty message, or none of text
        raise ProtocolError(CloseCode.INVALID, "bad-message", "a text message that is no event") from None
    if name in {"MEDIA_BUFFERING_COMPLETED", "MEDIA_MARK_PROCESSED"}:
        return _Event(name, correlation_id=" ".join(words))
    fields = dict(word.split(":", 1) for word in words if ":" in word)
    size = fields.get("optimal_frame_size", "")
    return _Event(
        name,
        channel=fields.get("channel", ""),
        channel_id=fields.get("channel_id", ""),
        format=fields.get("format", ""),
        optimal_frame_size=int(size[:6]) if size.isascii() and size.isdigit() else 0,
        digit=fields.get("digit", ""),
    )
