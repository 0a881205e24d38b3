"""SignalWire's cXML `<Stream>`: Twilio's messages, with L16 beside mu-law.

Source: https://developer.signalwire.com/compatibility-api/cxml/voice/stream (read in its repository signalwire/docs,
state of October 2025). Its examples wrap each message in an envelope with `eventType` and `rawEvent`; streams are seen
that send what is inside, as Twilio does: both are taken. Of two tracks `channels` is 2 there, although each message has
one. What a bidirectional stream takes is coded as what it sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from media_gateway.protocols.dialects.dialect import JSON_ERRORS, Codec, Event, bad_json
from media_gateway.protocols.dialects.twilio_family import TwilioFamily
from media_gateway.protocols.twilio import Start as WireStart


class _Envelope(msgspec.Struct, rename="camel"):
    raw_event: dict[str, msgspec.Raw] | None = None
    stream_sid: msgspec.Raw = msgspec.Raw(b'""')


_decode = msgspec.json.Decoder(_Envelope).decode


class SignalWire(TwilioFamily):
    """One socket of SignalWire's."""

    name = "signalwire"

    def feed_text(self, data: bytes) -> Sequence[Event]:
        return super().feed_text(_opened(data) if b'"rawEvent"' in data else data)

    def heard(self, wire: WireStart) -> Codec:
        return replace(super().heard(wire), channels=1)

    def played(self, heard: Codec) -> Codec | None:
        return heard


def _opened(data: bytes) -> bytes:
    """Return the message in an envelope, with the stream's id, which stands outside."""
    try:
        envelope = _decode(data)
        if envelope.raw_event is None:
            return data
        return msgspec.json.encode({"streamSid": envelope.stream_sid} | envelope.raw_event)
    except JSON_ERRORS as error:
        raise bad_json(error) from None
