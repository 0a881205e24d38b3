"""Senders as they speak on their side of /media/{dialect}: each its own protocol, one track or two."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

import aiohttp
import numpy as np
import numpy.typing as npt

from media_gateway.audio import AudioFormat, decode
from media_gateway.protocols.dialects.dialect import Codec
from media_gateway.wire_audio import PcmEncoder

Samples = npt.NDArray[np.int16]
Message = str | bytes


@dataclass
class Peer(ABC):
    """One sender's end of one stream; 16 kHz samples on our side of it."""

    dialect: ClassVar[str]
    codec: Codec
    tracks: tuple[str, ...] = ("inbound",)
    parameters: dict[str, str] = field(default_factory=dict)
    """Given along by the sender's own means."""
    call_id: str = field(default_factory=lambda: str(uuid4()))
    stream_id: str = field(default_factory=lambda: str(uuid4()))
    heard: bytes = b""
    """What came back, coded."""
    cleared: int = 0
    _encoders: dict[str, PcmEncoder] = field(default_factory=dict)
    _sent: dict[str, int] = field(default_factory=dict)

    def headers(self, token: str) -> dict[str, str]:
        """Return how this sender shows its token in the handshake."""
        return {"Authorization": f"Bearer {token}"}

    @abstractmethod
    def start(self) -> list[Message]:
        """Return the stream's first messages."""

    @abstractmethod
    def media(self, track: str, index: int, payload: bytes) -> Message:
        """Return a frame's message; `index` counts from 0."""

    def stop(self) -> list[Message]:
        """Return the stream's last messages, before the socket closes."""
        return []

    @abstractmethod
    def key(self, digit: str) -> Message:
        """Return the message of a key pressed."""

    @abstractmethod
    def take(self, message: Message) -> list[Message]:
        """Take what the server sends; return the answers to it."""

    def frame(self, samples: Samples, track: str | None = None) -> Message:
        """Return the message of the next 20 ms."""
        name = track or self.tracks[0]
        index = self._sent.get(name, 0)
        self._sent[name] = index + 1
        audio_format = AudioFormat(self.codec.encoding, self.codec.rate_hz)  # type: ignore[arg-type]
        encoder = self._encoders.setdefault(name, PcmEncoder(audio_format))
        return self.media(name, index, encoder.encode(samples))

    @property
    def heard_samples(self) -> Samples:
        """Return what came back, at the codec's rate."""
        return decode(self.heard, AudioFormat(self.codec.encoding, self.codec.rate_hz))  # type: ignore[arg-type]


def told(**fields: Any) -> str:
    return json.dumps(fields)


def coded(payload: bytes) -> str:
    return b64encode(payload).decode()


class TelnyxPeer(Peer):
    """Telnyx, as its AsyncAPI page describes it."""

    dialect = "telnyx"

    def headers(self, token: str) -> dict[str, str]:
        return {"x-telnyx-streaming-auth-token": token}

    def start(self) -> list[Message]:
        names = {"mulaw": "PCMU", "alaw": "PCMA", "l16le": "L16"}
        start = {
            "user_id": "u",
            "call_control_id": self.call_id,
            "call_session_id": str(uuid4()),
            "from": "+15550100",
            "to": "+15550199",
            "custom_parameters": self.parameters,
            "media_format": {
                "encoding": names[self.codec.encoding],
                "sample_rate": self.codec.rate_hz,
                "channels": 1,
            },
        }
        return [
            told(event="connected", version="1.0.0"),
            told(event="start", sequence_number="1", stream_id=self.stream_id, start=start),
        ]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        late = (0, 7, 3, 11)[index % 4]  # stamped when it was sent
        media = {
            "track": track,
            "chunk": str(index + 1),
            "timestamp": str(20 * index + late),
            "payload": coded(payload),
        }
        return told(event="media", sequence_number=str(index + 2), stream_id=self.stream_id, media=media)

    def key(self, digit: str) -> Message:
        return told(event="dtmf", stream_id=self.stream_id, dtmf={"digit": digit})

    def stop(self) -> list[Message]:
        return [told(event="stop", stream_id=self.stream_id, stop={"call_control_id": self.call_id})]

    def take(self, message: Message) -> list[Message]:
        fields = json.loads(message)
        match fields["event"]:
            case "media":
                self.heard += b64decode(fields["media"]["payload"])
            case "clear":
                self.cleared += 1
            case "mark":
                return [told(event="mark", stream_id=self.stream_id, mark=fields["mark"])]
        return []


class PlivoPeer(Peer):
    """Plivo, as its protocol reference describes it; its socket just closes."""

    dialect = "plivo"
    _NAMES: ClassVar = {"mulaw": "audio/x-mulaw", "l16le": "audio/x-l16"}

    def start(self) -> list[Message]:
        start = {
            "callId": self.call_id,
            "streamId": self.stream_id,
            "accountId": "MA1",
            "tracks": list(self.tracks),
            "mediaFormat": {"encoding": self._NAMES[self.codec.encoding], "sampleRate": self.codec.rate_hz},
        }
        extra = ";".join(f"{name}={value}" for name, value in self.parameters.items())
        return [told(event="start", sequenceNumber=1, start=start, extra_headers=extra)]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        stamp = 1_705_312_200_000 + 20 * index + (index % 3) * 9
        media = {"track": track, "timestamp": str(stamp), "chunk": index + 1, "payload": coded(payload)}
        return told(event="media", sequenceNumber=index + 2, streamId=self.stream_id, media=media, extra_headers="")

    def key(self, digit: str) -> Message:
        return told(event="dtmf", streamId=self.stream_id, dtmf={"track": "inbound", "digit": digit, "timestamp": "1"})

    def take(self, message: Message) -> list[Message]:
        fields = json.loads(message)
        match fields["event"]:
            case "playAudio":
                assert fields["media"]["contentType"] == self._NAMES[self.codec.encoding]
                assert fields["media"]["sampleRate"] == self.codec.rate_hz
                self.heard += b64decode(fields["media"]["payload"])
            case "clearAudio":
                self.cleared += 1
                return [told(event="clearedAudio", streamId=self.stream_id)]
            case "checkpoint":
                return [told(event="playedStream", streamId=self.stream_id, name=fields["name"])]
        return []


class SignalWirePeer(Peer):
    """SignalWire, with the envelopes that its page shows."""

    dialect = "signalwire"

    def start(self) -> list[Message]:
        encoding = {"mulaw": "audio/x-mulaw", "l16le": "audio/x-L16"}[self.codec.encoding]
        start = {
            "streamSid": self.stream_id,
            "accountSid": "AC1",
            "callSid": self.call_id,
            "tracks": list(self.tracks),
            "mediaFormat": {"encoding": encoding, "sampleRate": self.codec.rate_hz, "channels": len(self.tracks)},
            **({"customParameters": self.parameters} if self.parameters else {}),
        }
        return [
            self._told(event="connected", protocol="Call", version="0.2.0"),
            self._told(event="start", sequenceNumber="1", start=start),
        ]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        media = {"track": track, "chunk": str(index + 1), "timestamp": str(41 + 20 * index), "payload": coded(payload)}
        return self._told(event="media", sequenceNumber=str(index + 2), media=media)

    def key(self, digit: str) -> Message:
        return self._told(event="dtmf", streamSid=self.stream_id, dtmf={"duration": 200, "digit": digit})

    def stop(self) -> list[Message]:
        return [self._told(event="stop", sequenceNumber="9")]

    def take(self, message: Message) -> list[Message]:
        fields = json.loads(message)
        assert fields["streamSid"] == self.stream_id
        match fields["event"]:
            case "media":
                self.heard += b64decode(fields["media"]["payload"])
            case "clear":
                self.cleared += 1
            case "mark":
                return [self._told(event="mark", streamSid=self.stream_id, mark=fields["mark"])]
        return []

    def _told(self, **fields: Any) -> str:
        return told(
            timestamp="2026-01-01T00:00:00Z", eventType=fields["event"], streamSid=self.stream_id, rawEvent=fields
        )


class VonagePeer(Peer):
    """Vonage: bytes, 20 ms a message, both ways."""

    dialect = "vonage"

    def start(self) -> list[Message]:
        content_type = f"audio/l16;rate={self.codec.rate_hz}"
        numbers = {"uuid": self.call_id, "from": "15550100", "to": "15550199"}
        return [
            json.dumps({"event": "websocket:connected", "content-type": content_type, **numbers, **self.parameters})
        ]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        return payload

    def key(self, digit: str) -> Message:
        return told(event="websocket:dtmf", digit=digit, duration=260)

    def take(self, message: Message) -> list[Message]:
        if isinstance(message, bytes):
            assert len(message) == self.codec.rate_hz // 25  # 20 ms, or Vonage would not take it
            self.heard += message
            return []
        fields = json.loads(message)
        if fields["action"] == "clear":
            self.cleared += 1
            return [told(event="websocket:cleared")]
        return [told(event="websocket:notify", payload=fields["payload"])]


MULAW = Codec("mulaw", 8_000)
ALAW = Codec("alaw", 8_000)
L16_8 = Codec("l16le", 8_000)
L16_16 = Codec("l16le", 16_000)
L16_24 = Codec("l16le", 24_000)

SPOKEN: list[tuple[type[Peer], Codec]] = [
    (TelnyxPeer, MULAW),
    (TelnyxPeer, ALAW),
    (TelnyxPeer, L16_16),
    (PlivoPeer, MULAW),
    (PlivoPeer, L16_8),
    (PlivoPeer, L16_16),
    (SignalWirePeer, MULAW),
    (SignalWirePeer, L16_16),
    (SignalWirePeer, L16_24),
    (VonagePeer, L16_8),
    (VonagePeer, L16_16),
    (VonagePeer, L16_24),
]
"""What each can speak both ways."""


async def send(socket: aiohttp.ClientWebSocketResponse, message: Message) -> None:
    """Send text as text and bytes as bytes."""
    if isinstance(message, bytes):
        await socket.send_bytes(message)
    else:
        await socket.send_str(message)
