"""What the wire formats of all senders on /media/{dialect} have in common.

A dialect is one class in one file of this package: messages of one WebSocket in, events out, and the messages that we
send back. No I/O and no clock; `media_gateway.transports.media_door` does the rest, alike for all.

Tracks are one party's each and all of one codec. A dialect that gets stereo takes it apart (`channels`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, Protocol

import msgspec

from infra.model import Role
from media_gateway.protocols.errors import CloseCode, ProtocolError

Message = str | bytes
"""A WebSocket message: text or binary."""

Encoding = Literal["mulaw", "alaw", "l16le", "l16be", "g722", "opus"]

MAX_ID_CHARS: Final = 200
"""Of a call's or stream's id; a longer one is refused."""
MAX_PARAMETERS: Final = 64


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the sender said before its first message."""

    query: Mapping[str, str] = field(default_factory=dict)
    """Of the address; of a name that comes twice, the first."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name; without those that carry credentials."""
    subprotocol: str | None = None
    """The one that was agreed on."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How a track's payloads are coded."""

    encoding: Encoding
    rate_hz: int
    """Of the audio: 16000 for G.722. Opus is 48000 whatever it was made from (RFC 7587, section 4.1)."""
    channels: int = 1
    """More are mixed down: for a sender that does not say whose each is."""

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample of all channels; 1 where samples have no length of their own."""
        return self.channels * (2 if self.encoding in {"l16le", "l16be"} else 1)


@dataclass(frozen=True, slots=True)
class Track:
    """One party's audio, as the wire names it."""

    name: str
    role: Role
    """'customer' for what the caller says, 'agent' for what the caller is told, 'unknown' where nobody can tell."""
    mixed: bool = False
    """Several people are heard on it."""


# events: what a message of the sender's means


@dataclass(frozen=True, slots=True)
class Start:
    """A stream begins. Once on a socket, before any Media."""

    call_id: str
    """The sender's own name of the call; two streams of one call share it. "" where it does not say: each is one."""
    codec: Codec
    tracks: tuple[Track, ...]
    """That it announces; none where it does not say before they come."""
    stream_id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What its user gave along by the sender's own means, beside the address's query."""
    token: str | None = None
    """A credential that came in the message itself."""
    plays: Codec | None = None
    """What the sender takes from us; None: it only lets us listen."""
    answer: bool = False
    """Whether such a stream is as a rule a caller to be put through to us, not one who is talking to others."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A track comes that `Start` did not announce."""

    track: Track


@dataclass(frozen=True, slots=True)
class Media:
    """A stretch of a track's audio."""

    track: str
    """Its name; `Start` or `Opened` told of it before."""
    payload: bytes
    timestamp_ms: int | None = None
    """Where it begins on the stream's own clock, which starts anywhere; None: it follows on."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The sender says that it left out a stretch of all tracks (only where payloads follow on)."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Key:
    """The caller pressed a key."""

    digit: str
    """One of 0-9 A-D * #."""


@dataclass(frozen=True, slots=True)
class Played:
    """The caller has heard what was sent before this mark, or it was cleared."""

    mark: str


@dataclass(frozen=True, slots=True)
class Held:
    """The sender stops sending for a while; the time until its next Media is no audio at all."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The sender goes on."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The sender's buffer for what we send is full, or no longer."""

    may_send: bool


@dataclass(frozen=True, slots=True)
class Send:
    """An answer that the wire format itself asks for, due now. Allowed at any time, before `Start` too."""

    message: Message


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream has ended in good order; what is still to be sent is sent, and the socket closed.

    Without a `Start` before it (a sender that only tried the connection) there was no call.
    """

    reason: str = "completed"
    """A short fixed name, nothing that the sender wrote."""


Event = Start | Opened | Media | Missing | Key | Played | Held | Resumed | Flow | Send | Stop


class Dialect(Protocol):
    """One socket's wire format: a state machine. Subclass it; what a sender does not know stays as it is here.

    `feed_text` and `feed_binary` return a message's events, often none, and raise ProtocolError for a message that is
    malformed or out of place, never anything else. What nobody knows is harmless and means nothing.
    """

    name: ClassVar[str]
    """As in the address, in the calls' `door`, and in counters."""
    subprotocols: ClassVar[tuple[str, ...]] = ()
    """That the handshake may agree on, best first."""
    token_headers: ClassVar[tuple[str, ...]] = ()
    """Lower-case names of headers beside Authorization whose whole value is the token."""
    token_in_start: ClassVar[bool] = False
    """Whether a sender may show its token in `Start` only; otherwise a handshake without one is refused."""
    farewell_s: ClassVar[float] = 0.0
    """How long after `hang_up` or `Stop` the sender may take to close the socket itself, in seconds."""

    def __init__(self, handshake: Handshake) -> None: ...

    def feed_text(self, data: bytes) -> Sequence[Event]:
        """Take a text message."""
        raise ProtocolError(CloseCode.UNSUPPORTED, "text", "binary messages only")

    def feed_binary(self, data: bytes) -> Sequence[Event]:
        """Take a binary message."""
        raise ProtocolError(CloseCode.UNSUPPORTED, "binary", "text messages only")

    # what we send; asked for after `Start`, all but `refused`

    def started(self) -> Sequence[Message]:
        """Return what tells the sender that its stream was taken."""
        return ()

    def media(self, payload: bytes) -> Sequence[Message]:
        """Return what plays 20 ms, coded as `Start.plays` says."""
        return ()

    def clear(self) -> Sequence[Message]:
        """Return what throws away audio not yet played."""
        return ()

    def mark(self, name: str) -> Sequence[Message] | None:
        """Return what asks for `Played(name)` once everything sent so far has been heard; None: it cannot be asked.

        Where it cannot, the door says so itself when the time of what was sent has gone by.
        """
        return None

    def hang_up(self) -> Sequence[Message]:
        """Return what ends the call, beside the socket's closing."""
        return ()

    def refused(self, error: ProtocolError) -> Sequence[Message]:
        """Return what says in the sender's own terms why it is cut off; its socket is closed after it."""
        return ()


# what several dialects need


_CODECS: Final[Mapping[str, tuple[Encoding, int]]] = {
    "audio/x-mulaw": ("mulaw", 8_000),
    "audio/mulaw": ("mulaw", 8_000),
    "audio/pcmu": ("mulaw", 8_000),
    "pcmu": ("mulaw", 8_000),
    "ulaw": ("mulaw", 8_000),
    "audio/x-alaw": ("alaw", 8_000),
    "audio/alaw": ("alaw", 8_000),
    "audio/pcma": ("alaw", 8_000),
    "pcma": ("alaw", 8_000),
    "alaw": ("alaw", 8_000),
    "audio/x-l16": ("l16le", 8_000),
    "audio/l16": ("l16le", 8_000),
    "audio/x-raw": ("l16le", 8_000),
    "l16": ("l16le", 8_000),
    "audio/g722": ("g722", 16_000),
    "g722": ("g722", 16_000),
    "audio/opus": ("opus", 48_000),
    "opus": ("opus", 48_000),
}
_MIN_RATE_HZ: Final = 4_000
_MAX_RATE_HZ: Final = 192_000


def codec_named(name: str, rate_hz: int | None = None) -> Codec:
    """Return the codec behind a name such as 'PCMU' or 'audio/l16;rate=16000' (L16 in WebSockets is little-endian).

    Raises:
        ProtocolError: nobody here knows it, or its rate is out of reach.
    """
    kind, *parameters = (part.strip().lower() for part in name.split(";"))
    if kind not in _CODECS:
        raise unsupported("an unknown audio encoding")
    encoding, usual_hz = _CODECS[kind]
    if encoding in {"g722", "opus"}:
        return Codec(encoding, usual_hz)
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "rate" and value.strip().isascii() and value.strip().isdigit():
            rate_hz = int(value.strip()[:7])
    rate_hz = rate_hz or usual_hz
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        raise unsupported(f"sample rate outside {_MIN_RATE_HZ}..{_MAX_RATE_HZ} Hz")
    return Codec(encoding, rate_hz)


def duration_ms(payload: bytes, codec: Codec) -> float:
    """Return how much audio a payload holds, in milliseconds."""
    match codec.encoding:
        case "opus":
            return _opus_ms(payload)
        case "g722":
            return len(payload) / 8  # 64 kbit/s (RFC 3551, section 4.5.2)
        case _:
            return len(payload) // codec.sample_bytes * 1000 / codec.rate_hz


def _opus_ms(packet: bytes) -> float:
    """Return a packet's length by its first bytes (RFC 6716, section 3.1)."""
    if not packet:
        return 0.0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame_ms = (10.0, 20.0, 40.0, 60.0)[config & 3]
    elif config < 16:
        frame_ms = (10.0, 20.0)[config & 1]
    else:
        frame_ms = (2.5, 5.0, 10.0, 20.0)[config & 3]
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return min(frame_ms * frames, 120.0)


class ChunkClock:
    """One track's time where frames are numbered, but stamped with the moment at which they were sent.

    Frames follow on from each other as their numbers do; a stamp counts when it is far from that (silence was left
    out, the sender's clock was set).
    """

    _APART_MS: Final = 100.0

    def __init__(self) -> None:
        self._chunk: int | None = None
        self._at_ms = 0.0
        self._length_ms = 0.0

    def place(self, chunk: int, timestamp_ms: int, length_ms: float) -> int:
        """Return where a frame begins, in milliseconds on the stream's clock. `chunk`: from 1 on, 0 for no number."""
        if not chunk:
            return timestamp_ms
        if self._chunk is None:
            at_ms = float(timestamp_ms)
        else:
            step = chunk - self._chunk
            # Between two frames lie those that did not come, each as long as this one.
            at_ms = self._at_ms + (self._length_ms + (step - 1) * length_ms if step > 0 else step * length_ms)
            if abs(at_ms - timestamp_ms) > self._APART_MS:
                at_ms = float(timestamp_ms)
        if self._chunk is None or chunk > self._chunk:
            self._chunk, self._at_ms, self._length_ms = chunk, at_ms, length_ms
        return max(round(at_ms), 0)


def channels(payload: bytes, sample_bytes: int) -> tuple[bytes, bytes]:
    """Return stereo's left and right channel; a broken last sample is left off."""
    whole = payload[: len(payload) // (2 * sample_bytes) * 2 * sample_bytes]
    samples = array("B" if sample_bytes == 1 else "H", whole)
    return samples[0::2].tobytes(), samples[1::2].tobytes()


KEYS: Final = frozenset("0123456789ABCD*#")


def key_pressed(digit: str) -> Sequence[Event]:
    """Return the event of a key; none for what no telephone has."""
    digit = digit.strip().upper()
    return (Key(digit),) if digit in KEYS and len(digit) == 1 else ()


def json_message(**fields: object) -> str:
    """Return a text message."""
    return msgspec.json.encode(fields).decode("utf-8")


def bad_json(error: Exception) -> ProtocolError:
    """Return what an error of msgspec's decoder means to the sender."""
    if "base64" in str(error):
        return ProtocolError(CloseCode.INVALID, "bad-base64", "a payload that is not base64")
    if isinstance(error, msgspec.ValidationError):
        return ProtocolError(CloseCode.INVALID, "bad-message", "a message with a missing or mistyped field")
    return ProtocolError(CloseCode.INVALID, "bad-json", "a message that is not JSON")


JSON_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec's decoder raises for what is not JSON, or not the JSON it was told of."""


def unsupported(sentence: str) -> ProtocolError:
    """Return the refusal of audio that cannot be decoded here."""
    return ProtocolError(CloseCode.UNSUPPORTED, "unsupported-audio", sentence)


def out_of_place(what: str, when: str) -> ProtocolError:
    """Return the refusal of a message that comes too early, too late or twice."""
    return ProtocolError(CloseCode.POLICY, f"{what}-{when.replace(' ', '-')}", f"{what} {when}")


def an_id(value: object) -> str:
    """Return an id of the sender's as text, "" for none.

    Raises:
        ProtocolError: longer than `MAX_ID_CHARS`.
    """
    text = "" if value is None else str(value).strip()
    if len(text) > MAX_ID_CHARS:
        raise ProtocolError(CloseCode.INVALID, "bad-start", f"an id of more than {MAX_ID_CHARS} characters")
    return text


def text_parameters(fields: Mapping[str, object] | None) -> dict[str, str]:
    """Return what a sender's user gave along, as far as it is plain values."""
    found = {}
    for name, value in list((fields or {}).items())[:MAX_PARAMETERS]:
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            found[name] = str(value)
    return found
