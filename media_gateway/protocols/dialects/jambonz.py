"""The jambonz `listen` verb: one JSON text about the call, then binary L16; keys and marks as JSON.

Source: https://docs.jambonz.org/verbs/verbs/listen; what may be sent back: "Bidirectional audio" and "Commands" of
https://www.jambonz.org/docs/webhooks/listen.

What the wire really does, beside its pages: the verb's `metadata` is merged into the first text, not nested in it; the
text does not say whether audio may be sent back, nor at what rate (the verb's `bidirectionalAudio`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

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
    channels,
    codec_named,
    json_message,
    key_pressed,
    out_of_place,
    text_parameters,
    unsupported,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError

_TRACKS: Final[Mapping[str, tuple[Track, ...]]] = {
    "mono": (Track("mono", "customer"),),
    "stereo": (Track("left", "customer"), Track("right", "agent")),
    "mixed": (Track("mixed", "unknown", mixed=True),),
}
"""By mixType. Left is the party whose call the verb runs in, right the one it is bridged with."""

_OF_THE_CALL: Final = frozenset(
    "accountSid apiBaseUrl applicationSid callId callSid callStatus callTerminationBy callerId callerName direction"
    " from fsPublicIp fsSipAddress localSipAddress metadata mixType originatingSipIp originatingSipTrunkName"
    " parentCallSid publicIp sampleRate sbcCallid serviceUrl sipReason sipStatus to traceId trace_id".split()
)
"""What jambonz itself puts into the first text; the rest is the verb's `metadata`."""


class _Call(msgspec.Struct, rename="camel"):
    call_sid: str
    sample_rate: int | None = None
    mix_type: str = "mono"
    from_: str | int | None = msgspec.field(name="from", default=None)
    to: str | int | None = None
    metadata: dict[str, object] | None = None


class _Mark(msgspec.Struct):
    name: str = ""


class _Message(msgspec.Struct):
    event: str = ""
    type: str = ""
    dtmf: str | int = ""
    data: _Mark | None = None


_decode = msgspec.json.Decoder(_Message, strict=False).decode


class Jambonz(Dialect):
    """One `listen`."""

    name: ClassVar[str] = "jambonz"
    subprotocols: ClassVar[tuple[str, ...]] = ("audio.jambonz.org",)

    def __init__(self, handshake: Handshake) -> None:
        self._query = handshake.query
        self._codec: Codec | None = None
        self._tracks: tuple[Track, ...] = ()

    def feed_text(self, data: bytes) -> Sequence[Event]:
        """Take the call's description, then keys and marks."""
        if self._codec is None:
            return (self._start(data),)
        try:
            message = _decode(data)
        except JSON_ERRORS as error:
            raise bad_json(error) from None
        if message.event == "dtmf":
            return key_pressed(str(message.dtmf))
        if message.type == "mark" and message.data is not None and message.data.name:
            return (Played(message.data.name),)  # its `event` is 'playout' or 'cleared'
        return ()

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        """Take audio."""
        if self._codec is None:
            raise out_of_place("media", "before start")
        if len(self._tracks) == 1:
            return (Media(self._tracks[0].name, data),)
        left, right = channels(data, self._codec.sample_bytes)
        return Media("left", left), Media("right", right)

    def media(self, payload: bytes) -> Sequence[Message]:
        """Return L16, as `bidirectionalAudio.streaming` takes it."""
        return (payload,)

    def clear(self) -> Sequence[Message]:
        """Return the command that flushes what is buffered; its marks come back as 'cleared'."""
        return (json_message(type="killAudio"),)

    def mark(self, name: str) -> Sequence[Message]:
        """Return a mark."""
        return (json_message(type="mark", data={"name": name}),)

    def hang_up(self) -> Sequence[Message]:
        """Return the command that ends the verb; the application goes on with its next one."""
        return (json_message(type="disconnect"),)

    def _start(self, data: bytes) -> Start:
        try:
            fields = msgspec.json.decode(data, type=dict[str, object])
            call = msgspec.convert(fields, _Call, strict=False)
        except JSON_ERRORS as error:
            raise bad_json(error) from None
        call_id = an_id(call.call_sid)
        if not call_id:
            raise ProtocolError(CloseCode.INVALID, "bad-start", "no callSid")
        if call.mix_type not in _TRACKS:
            raise unsupported("mixType is neither mono nor stereo nor mixed")
        own = {name: value for name, value in fields.items() if name not in _OF_THE_CALL}
        parameters = text_parameters({**(call.metadata or {}), **own})
        self._tracks = _TRACKS[call.mix_type]
        self._codec = codec_named("l16", call.sample_rate)
        alone = call.mix_type == "mono"
        return Start(
            call_id=call_id,
            codec=self._codec,
            tracks=self._tracks,
            from_number=_number(call.from_),
            to_number=_number(call.to),
            parameters=parameters,
            plays=codec_named("l16", self._rate_back(parameters)) if alone else None,
            answer=alone,
        )

    def _rate_back(self, parameters: Mapping[str, str]) -> int | None:
        """Return the rate of what we send: `plays_rate` in the address or the metadata, else that of what we hear."""
        stated = self._query.get("plays_rate") or parameters.get("plays_rate") or ""
        if stated.isascii() and stated.isdigit():
            return int(stated[:7])
        return self._codec.rate_hz if self._codec else None


def _number(value: str | int | None) -> str | None:
    return str(value)[:90] if value not in {None, ""} else None
