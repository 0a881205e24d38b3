"""FreeSWITCH's mod_audio_stream and mod_audio_fork: a text that its user chose, then binary L16.

Sources: the READMEs of https://github.com/amigniter/mod_audio_stream and of mod_audio_fork in
https://github.com/drachtio/drachtio-freeswitch-modules; issues 46 and 72 of the former for what may be sent back.

The modules say nothing about the call themselves: id, rate, mix and numbers come from the `metadata` argument (any
text, best JSON) or from the address's query. Audio that we send is played by mod_audio_stream from 1.0.2 on only, so it
has to be asked for (`plays`); `playAudio` of mod_audio_fork plays files, not a conversation, and is not used.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import msgspec

from media_gateway.protocols.dialects.dialect import (
    Codec,
    Dialect,
    Event,
    Handshake,
    Media,
    Message,
    Start,
    Track,
    an_id,
    channels,
    codec_named,
    json_message,
    key_pressed,
    text_parameters,
    unsupported,
)

_FORK: Final = ("audio.drachtio.org", "audiostream.drachtio.org")
"""What mod_audio_fork offers (MOD_AUDIO_FORK_SUBPROTOCOL_NAME changes it); mod_audio_stream offers nothing."""

_TRACKS: Final[Mapping[str, tuple[Track, ...]]] = {
    "mono": (Track("mono", "customer"),),
    "stereo": (Track("left", "customer"), Track("right", "agent")),
    "mixed": (Track("mixed", "unknown", mixed=True),),
}
"""By mix-type. Left is the channel that the command names, right its peer."""

_RATES: Final = {"8k": 8_000, "16k": 16_000}

# The names under which people write down what the modules do not say, the first that is there counts. Those with
# capitals and dashes are FreeSWITCH's own (its event headers).
_CALL_ID: Final = ("call", "call_id", "callid", "callId", "call_uuid", "uuid", "callSid", "Unique-ID")
_MIX: Final = ("mix", "mix_type", "mixType", "mix-type")
_RATE: Final = ("rate", "sample_rate", "sampleRate", "sampling_rate", "sampling-rate")
_FROM: Final = ("from", "caller", "caller_id_number", "caller_number", "Caller-Caller-ID-Number")
_TO: Final = ("to", "callee", "destination_number", "destination", "Caller-Destination-Number")


class _Message(msgspec.Struct):
    """What `send_text` may bring; any other text means nothing here."""

    dtmf: str | int = ""
    digit: str | int = ""


_decode = msgspec.json.Decoder(_Message, strict=False).decode
_decode_metadata = msgspec.json.Decoder(dict[str, object]).decode


class Freeswitch(Dialect):
    """One `uuid_audio_stream` or `uuid_audio_fork`."""

    name: ClassVar[str] = "freeswitch"
    subprotocols: ClassVar[tuple[str, ...]] = _FORK

    def __init__(self, handshake: Handshake) -> None:
        self._query = handshake.query
        self._is_fork = handshake.subprotocol in _FORK
        self._codec: Codec | None = None
        self._tracks: tuple[Track, ...] = ()
        self._plays: Codec | None = None
        self._plays_json = False

    def feed_text(self, data: bytes) -> Sequence[Event]:
        """Take the metadata, later what `send_text` brings."""
        if self._codec is None:
            return (self._start(_metadata(data)),)
        try:
            message = _decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ()  # its user's own text
        return key_pressed(str(message.dtmf or message.digit))

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        """Take audio; without metadata before it, only the query can say which call it is."""
        before: tuple[Event, ...] = ()
        if self._codec is None:
            before = (self._start({}),)
        assert self._codec is not None
        if len(self._tracks) == 1:
            return *before, Media(self._tracks[0].name, data)
        left, right = channels(data, self._codec.sample_bytes)
        return *before, Media("left", left), Media("right", right)

    def media(self, payload: bytes) -> Sequence[Message]:
        """Return L16, bare or in a `streamAudio`."""
        if not self._plays_json or self._plays is None:
            return (payload,)
        audio = b64encode(payload).decode("ascii")
        data = {"audioDataType": "raw", "sampleRate": self._plays.rate_hz, "audioData": audio}
        return (json_message(type="streamAudio", data=data),)

    def clear(self) -> Sequence[Message]:
        """Return the command that breaks off playing, where there is one."""
        return (json_message(type="killAudio"),) if self._is_fork else ()

    def hang_up(self) -> Sequence[Message]:
        """Return the command that tells the application to end the call, where there is one."""
        return (json_message(type="disconnect"),) if self._is_fork else ()

    def _start(self, metadata: Mapping[str, object]) -> Start:
        parameters = text_parameters(metadata)
        told = {**parameters, **{name: value for name, value in self._query.items() if name != "token"}}
        mix = _first(told, _MIX) or "mono"
        if mix not in _TRACKS:
            raise unsupported("the mix is neither mono nor stereo nor mixed")
        self._tracks = _TRACKS[mix]
        self._codec = codec_named("l16", _rate(_first(told, _RATE)))
        play = told.get("plays", "")
        if play not in {"", "raw", "json"}:
            raise unsupported("plays is neither raw nor json")
        if play and mix == "mono":
            self._plays = codec_named("l16", _rate(told.get("plays_rate", "")) or self._codec.rate_hz)
            self._plays_json = play == "json"
        return Start(
            call_id=an_id(_first(told, _CALL_ID)),
            codec=self._codec,
            tracks=self._tracks,
            from_number=_first(told, _FROM)[:90] or None,
            to_number=_first(told, _TO)[:90] or None,
            parameters=parameters,
            plays=self._plays,
            answer=self._plays is not None,
        )


def _metadata(data: bytes) -> Mapping[str, object]:
    """Return what a JSON object says, nothing for any other text."""
    try:
        return _decode_metadata(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}


def _first(told: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((told[name].strip() for name in names if told.get(name, "").strip()), "")


def _rate(text: str) -> int | None:
    if not text:
        return None
    if text in _RATES:
        return _RATES[text]
    if text.isascii() and text.isdigit():
        return int(text[:7])
    raise unsupported("a sample rate that is no number")
