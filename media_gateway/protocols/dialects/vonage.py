"""Vonage Voice API: a WebSocket endpoint of an NCCO's `connect`.

Source: https://developer.vonage.com/en/voice/voice-api/concepts/websockets, read in November 2026.

One text message names the format and what the NCCO's `headers` held; then binary messages of 20 ms, 16-bit
little-endian, go both ways. The endpoint is a party of the call: it hears all others, which of two parties is the
caller. Nothing names the call unless a header does (`uuid`, `call_uuid` or `conversation_uuid`). No message ends the
stream: the socket closes. Marks are Vonage's `notify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from media_gateway.protocols.dialects.dialect import (
    JSON_ERRORS,
    Codec,
    Dialect,
    Event,
    Handshake,
    Media,
    Message,
    Played,
    Start,
    Track,
    an_id,
    bad_json,
    codec_named,
    json_message,
    key_pressed,
    out_of_place,
    text_parameters,
    unsupported,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

_TRACK: Final = "audio"
_CALL_IDS: Final = ("uuid", "call_uuid", "conversation_uuid")
_NOT_PARAMETERS: Final = frozenset({"event", "content-type"})

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Vonage(Dialect):
    """One socket of Vonage's."""

    name = "vonage"

    def __init__(self, handshake: Handshake) -> None:
        self._codec: Codec | None = None
        """Known once the stream has started."""

    def feed_text(self, data: bytes) -> Sequence[Event]:
        try:
            message = _decode(data)
        except JSON_ERRORS as error:
            raise bad_json(error) from None
        match message.get("event"):
            case "websocket:connected":
                return (self._start(message),)
            case "websocket:dtmf":
                return self._key(message)
            case "websocket:notify":
                return self._played(message)
        return ()  # websocket:cleared, and what nobody knows

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        if self._codec is None:
            raise out_of_place("media", "before start")
        return (Media(_TRACK, data),)

    def _start(self, message: dict[str, Any]) -> Start:
        if self._codec is not None:
            raise out_of_place("start", "twice")
        content_type = message.get("content-type")
        if not isinstance(content_type, str):
            raise ProtocolError(CloseCode.INVALID, "bad-start", "websocket:connected without content-type")
        codec = codec_named(content_type, 16_000)
        if codec.encoding != "l16le":
            raise unsupported("only audio/l16")
        parameters = text_parameters({name: value for name, value in message.items() if name not in _NOT_PARAMETERS})
        call_id = next((parameters[name] for name in _CALL_IDS if parameters.get(name)), "")
        start = Start(
            call_id=an_id(call_id),
            codec=codec,
            tracks=(Track(_TRACK, "customer"),),
            parameters=parameters,
            plays=codec,
        )
        self._codec = codec
        return start

    def _key(self, message: dict[str, Any]) -> Sequence[Event]:
        self._require_start("dtmf")
        nested = message.get("dtmf")  # so in an older form of the message
        digit = message.get("digit", nested.get("digit") if isinstance(nested, dict) else None)
        return key_pressed(str(digit)) if isinstance(digit, (str, int)) else ()

    def _played(self, message: dict[str, Any]) -> Sequence[Event]:
        self._require_start("notify")
        payload = message.get("payload")
        name = payload.get("mark") if isinstance(payload, dict) else None
        return (Played(name),) if isinstance(name, str) else ()

    def _require_start(self, what: str) -> None:
        if self._codec is None:
            raise out_of_place(what, "before start")

    def media(self, payload: bytes) -> Sequence[Message]:
        return (payload,)

    def clear(self) -> Sequence[Message]:
        return (json_message(action="clear"),)

    def mark(self, name: str) -> Sequence[Message]:
        return (json_message(action="notify", payload={"mark": name}),)
