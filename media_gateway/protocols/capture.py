"""The browser capture socket: JSON and PCM in, typed events out, and the answers that we send.

No I/O and no clock. A start message names the call, then audio comes either as bare binary messages or as JSON with
base64 and a running `chunk_index`; both may be mixed, and the sample rate may change from chunk to chunk.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Final

import msgspec

from infra.model import Role
from media_gateway.protocols.errors import CloseCode, ProtocolError

_RECENT: Final = 64
"""How many chunk indices back a repetition is told from a sender that counts anew."""
_MAX_CALL_ID_CHARS: Final = 200
_MAX_MISSING_MS: Final = 30_000
"""A longer leap of the index is a new count, not that much lost audio."""

_Rate = Annotated[int, msgspec.Meta(ge=4_000, le=192_000)]
_Channels = Annotated[int, msgspec.Meta(ge=1, le=2)]
_ENCODINGS: Final = {
    "pcm": "audio/l16",
    "pcm_s16le": "audio/l16",
    "s16le": "audio/l16",
    "linear16": "audio/l16",
    "l16": "audio/l16",
    "mulaw": "audio/x-mulaw",
    "ulaw": "audio/x-mulaw",
    "pcmu": "audio/x-mulaw",
    "alaw": "audio/x-alaw",
    "pcma": "audio/x-alaw",
}


class WireFormat(msgspec.Struct, frozen=True):
    """How the samples of a stretch of audio are coded."""

    media_type: str = "audio/l16"
    """As `media_gateway.audio` knows it; L16 is little-endian here."""
    rate_hz: int = 16_000
    channels: int = 1

    @property
    def bytes_per_ms(self) -> float:
        """Bytes of a millisecond of audio."""
        return self.rate_hz * self.channels * (2 if self.media_type == "audio/l16" else 1) / 1000


class Start(msgspec.Struct, frozen=True):
    """The capture begins, or goes on after a lost connection."""

    call_id: str
    agent_id: str | None
    role: Role | None
    title: str | None
    mixed: bool
    """Several people may be heard: so it is where one channel comes from a microphone that is nobody's own."""


class Audio(msgspec.Struct, frozen=True, gc=False):
    """A stretch of audio that follows on from the one before, `missing_ms` later."""

    payload: bytes
    wire_format: WireFormat
    missing_ms: int = 0
    """The length of chunks that did not come before this one; a guess by this one's own length."""


class Repeated(msgspec.Struct, frozen=True):
    """A chunk that came before, or too late to be placed."""


class Stop(msgspec.Struct, frozen=True):
    """The capture has ended in good order."""


class Other(msgspec.Struct, frozen=True):
    """A message of a kind that this version does not know; harmless."""


Event = Start | Audio | Repeated | Stop | Other


class _Message(msgspec.Struct):
    action: str = ""
    type: str = ""
    call_id: str | int | None = None
    agent_id: str | int | None = None
    role: Role | None = None
    title: str | None = None
    mixed: bool | None = None
    audio_data: bytes = b""
    chunk_index: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    format: str | None = None
    sample_rate: _Rate | None = None
    channels: _Channels | None = None


# Not strict: numbers come as strings and as numbers. Base64 is checked strictly either way.
_decode = msgspec.json.Decoder(_Message, strict=False).decode


class CaptureStream:
    """The receiving side of one socket: a state machine from messages to events."""

    def __init__(self) -> None:
        self._started = False
        self._stopped = False
        self._format = WireFormat()
        """Of binary messages, and of JSON chunks that do not say."""
        self._next_index: int | None = None
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)
        """Index and content of the last chunks."""

    @property
    def wire_format(self) -> WireFormat:
        """The format that `Start` announced."""
        return self._format

    def feed_binary(self, data: bytes) -> Event:
        """Take a binary message: samples and nothing else.

        Raises:
            ProtocolError: it is out of place.
        """
        self._require_started("audio")
        return Audio(data, self._format)

    def feed_text(self, text: bytes | str) -> Event:
        """Take a text message and return its event.

        Raises:
            ProtocolError: the message is malformed or out of place.
        """
        try:
            message = _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise _malformed(error) from None
        match message.action or message.type:
            case "start":
                return self._start(message)
            case "audio_chunk":
                return self._chunk(message)
            case "stop":
                self._require_started("stop")
                self._stopped = True
                return Stop()
            case _:
                return Other()

    def _start(self, message: _Message) -> Start:
        if self._started:
            raise ProtocolError(CloseCode.POLICY, "start-twice", "a second start on one socket")
        call_id = "" if message.call_id is None else str(message.call_id).strip()
        if not 0 < len(call_id) <= _MAX_CALL_ID_CHARS:
            raise ProtocolError(CloseCode.INVALID, "bad-start", "start needs a call_id of at most 200 characters")
        self._format = self._format_of(message)
        self._started = True
        one_for_all = self._format.channels == 1 and message.role in {None, "unknown"}
        mixed = one_for_all if message.mixed is None else message.mixed
        return Start(call_id, _short(message.agent_id), message.role, _short(message.title), mixed)

    def _chunk(self, message: _Message) -> Event:
        self._require_started("audio")
        wire_format = self._format_of(message)
        missing = 0
        if message.chunk_index is not None:
            missing = self._missing_before(message.chunk_index, hash(message.audio_data))
            if missing < 0:
                return Repeated()
        missing_ms = int(missing * len(message.audio_data) / wire_format.bytes_per_ms)
        if missing_ms > _MAX_MISSING_MS:
            missing_ms = 0
        return Audio(message.audio_data, wire_format, missing_ms)

    def _missing_before(self, index: int, content: int) -> int:
        """Return how many chunks are missing before this one; -1 if it is a repetition or late."""
        expected, chunk = self._next_index, (index, content)
        if expected is not None and index < expected:
            known = [past for past, _ in self._recent]
            if chunk in self._recent or (index not in known and index > min(known)):
                return -1
            self._recent.clear()  # other audio under a known index, or one from long ago: the sender counts anew
            expected = index
        self._recent.append(chunk)
        self._next_index = index + 1
        return 0 if expected is None else index - expected

    def _format_of(self, message: _Message) -> WireFormat:
        media_type = self._format.media_type
        if message.format is not None:
            known = _ENCODINGS.get(message.format.lower())
            if known is None:
                raise ProtocolError(
                    CloseCode.UNSUPPORTED, "unsupported-audio", "format must be pcm (s16le), mulaw or alaw"
                )
            media_type = known
        return WireFormat(
            media_type, message.sample_rate or self._format.rate_hz, message.channels or self._format.channels
        )

    def _require_started(self, what: str) -> None:
        if not self._started or self._stopped:
            raise ProtocolError(CloseCode.POLICY, f"{what}-outside-stream", f"{what} before start or after stop")


def _short(text: str | int | None) -> str | None:
    return str(text)[:200] if text not in {None, ""} else None


def _malformed(error: Exception) -> ProtocolError:
    if "base64" in str(error):
        return ProtocolError(CloseCode.INVALID, "bad-base64", "audio_data is not base64")
    if isinstance(error, msgspec.ValidationError):
        return ProtocolError(CloseCode.INVALID, "bad-message", "a message with a mistyped field")
    return ProtocolError(CloseCode.INVALID, "bad-json", "a message that is not JSON")


def started_message(**fields: object) -> str:
    """Return the answer to a start."""
    return _encode({"type": "started", **fields})


def stopped_message(**fields: object) -> str:
    """Return the answer to a stop."""
    return _encode({"type": "stopped", **fields})


def error_message(code: str, message: str) -> str:
    """Return what precedes a close that the peer brought about: `code` for programs, `message` for people."""
    return _encode({"type": "error", "code": code, "message": message})


def _encode(fields: dict[str, object]) -> str:
    return msgspec.json.encode(fields).decode("utf-8")
