"""Twilio's Media Streams, and those that copied it, as dialects.

The messages themselves are `media_gateway.protocols.twilio`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from infra.model import Role
from media_gateway.protocols.dialects.dialect import (
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
    codec_named,
    key_pressed,
    unsupported,
)
from media_gateway.protocols.twilio import (
    TRACKS,
    Dtmf,
    Mark,
    TwilioStream,
    clear_message,
    mark_message,
    media_message,
)
from media_gateway.protocols.twilio import Media as WireMedia
from media_gateway.protocols.twilio import Start as WireStart
from media_gateway.protocols.twilio import Stop as WireStop

ROLES: Final[dict[str, Role]] = {"inbound": "customer", "outbound": "agent"}
_LINE: Final = Codec("mulaw", 8_000)


class TwilioFamily(Dialect):
    """Twilio's own; the others say where they differ."""

    name = "twilio"
    token_in_start = True

    def __init__(self, handshake: Handshake) -> None:
        self._wire = TwilioStream()
        self._known: set[str] = set()

    def feed_text(self, data: bytes) -> Sequence[Event]:
        event = self._wire.feed(data)
        if type(event) is WireMedia:
            name = TRACKS[event.track]
            media = Media(name, event.payload, event.timestamp)
            if name in self._known:
                return (media,)
            self._known.add(name)
            return (Opened(Track(name, ROLES[name])), media)
        if isinstance(event, WireStart):
            return (self._start(event),)
        if isinstance(event, WireStop):
            return (Stop(),)
        if isinstance(event, Dtmf):
            return key_pressed(event.digit)
        return (Played(event.name),) if isinstance(event, Mark) else ()

    def _start(self, wire: WireStart) -> Start:
        codec = self.heard(wire)
        self._known.update(wire.tracks)
        return Start(
            stream_id=wire.stream_sid,
            call_id=wire.call_sid,
            codec=codec,
            tracks=tuple(Track(name, ROLES[name]) for name in wire.tracks),
            parameters=wire.parameters,
            token=wire.parameters.get("token"),
            plays=self.played(codec),
        )

    def heard(self, wire: WireStart) -> Codec:
        """Return how payloads are coded."""
        audio = wire.media_format
        codec = codec_named(audio.encoding, audio.sample_rate)
        if codec.encoding not in {"mulaw", "alaw", "l16le"}:
            raise unsupported("an unknown audio encoding")
        if not 1 <= audio.channels <= 2:
            raise unsupported("neither mono nor stereo")
        return replace(codec, channels=audio.channels)

    def played(self, heard: Codec) -> Codec | None:
        """Return what the sender takes from us, by what it sends."""
        return _LINE if heard == _LINE else None

    def media(self, payload: bytes) -> Sequence[Message]:
        return (media_message(self._wire.stream_sid, payload),)

    def clear(self) -> Sequence[Message]:
        return (clear_message(self._wire.stream_sid),)

    def mark(self, name: str) -> Sequence[Message]:
        return (mark_message(self._wire.stream_sid, name),)
