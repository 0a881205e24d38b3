"""Senders as they speak on their side of /media/{dialect}: each its own protocol, one track or two."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from typing import Any, ClassVar
from uuid import uuid4

import aiohttp
import numpy as np
import numpy.typing as npt

from media_gateway.protocols.dialects.dialect import Codec
from media_gateway.wire_audio import live_decoder, live_encoder

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
    heard: list[Samples] = field(default_factory=list)
    """What came back, at 16 kHz."""
    cleared: int = 0
    _encoders: dict[str, Callable[[Samples], bytes]] = field(default_factory=dict)
    _decode: Callable[[bytes], Samples] | None = None
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
        encode = self._encoders.get(name) or self._encoders.setdefault(name, live_encoder(self.codec))
        return self.media(name, index, encode(samples))

    def hear(self, payload: bytes) -> None:
        """Play what the server sent."""
        self._decode = self._decode or live_decoder(self.codec)
        self.heard.append(self._decode(payload))

    @property
    def heard_samples(self) -> Samples:
        """Return all that came back, at 16 kHz."""
        return np.concatenate([np.empty(0, np.int16), *self.heard])


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
        names = {"mulaw": "PCMU", "alaw": "PCMA", "l16le": "L16", "g722": "G722", "opus": "OPUS"}
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
                self.hear(b64decode(fields["media"]["payload"]))
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
                self.hear(b64decode(fields["media"]["payload"]))
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
                self.hear(b64decode(fields["media"]["payload"]))
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
            self.hear(message)
            return []
        fields = json.loads(message)
        if fields["action"] == "clear":
            self.cleared += 1
            return [told(event="websocket:cleared")]
        return [told(event="websocket:notify", payload=fields["payload"])]


class JambonzPeer(Peer):
    """jambonz' `listen` with streaming audio back."""

    dialect = "jambonz"

    def headers(self, token: str) -> dict[str, str]:
        credentials = b64encode(f"hearline:{token}".encode()).decode()
        return {"Authorization": f"Basic {credentials}", "Sec-WebSocket-Protocol": "audio.jambonz.org"}

    def start(self) -> list[Message]:
        call = {"callSid": self.call_id, "direction": "inbound", "from": "+15550100", "to": "+15550199"}
        mix = "mono" if len(self.tracks) == 1 else "stereo"
        return [told(sampleRate=self.codec.rate_hz, mixType=mix, **call, **self.parameters)]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        return payload

    def key(self, digit: str) -> Message:
        return told(event="dtmf", dtmf=digit, duration="1600")

    def take(self, message: Message) -> list[Message]:
        if isinstance(message, bytes):
            self.hear(message)
            return []
        fields = json.loads(message)
        match fields["type"]:
            case "killAudio":
                self.cleared += 1
            case "mark":
                return [told(type="mark", data={**fields["data"], "event": "playout"})]
        return []


class FreeswitchPeer(Peer):
    """mod_audio_fork, of the kind that plays what comes as bytes."""

    dialect = "freeswitch"

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}", "Sec-WebSocket-Protocol": "audio.drachtio.org"}

    def start(self) -> list[Message]:
        numbers = {"from": "+15550100", "to": "+15550199"}
        return [told(uuid=self.call_id, rate=self.codec.rate_hz, plays="raw", **numbers, **self.parameters)]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        return payload

    def key(self, digit: str) -> Message:
        return told(event="dtmf", dtmf=digit)

    def take(self, message: Message) -> list[Message]:
        if isinstance(message, bytes):
            self.hear(message)
        elif json.loads(message)["type"] == "killAudio":
            self.cleared += 1
        return []


class AsteriskPeer(Peer):
    """chan_websocket, which tells events as plain text."""

    dialect = "asterisk"
    _NAMES: ClassVar = {
        ("mulaw", 8_000): "ulaw",
        ("alaw", 8_000): "alaw",
        ("g722", 16_000): "g722",
        ("l16le", 8_000): "slin",
    }
    as_json = False

    @property
    def _frame_bytes(self) -> int:
        return 160 if self.codec.encoding == "g722" else self.codec.rate_hz // 50 * self.codec.sample_bytes

    def headers(self, token: str) -> dict[str, str]:
        credentials = b64encode(f"hearline:{token}".encode()).decode()
        return {"Authorization": f"Basic {credentials}", "Sec-WebSocket-Protocol": "media"}

    def start(self) -> list[Message]:
        name = self._NAMES.get((self.codec.encoding, self.codec.rate_hz), f"slin{self.codec.rate_hz // 1000}")
        return [
            self._told(
                "MEDIA_START",
                connection_id="media_connection1",
                channel="WebSocket/media_connection1/0x51",
                channel_id=self.call_id,
                format=name,
                optimal_frame_size=self._frame_bytes,
            )
        ]

    def media(self, track: str, index: int, payload: bytes) -> Message:
        return payload

    def key(self, digit: str) -> Message:
        return self._told("DTMF_END", digit=digit, channel_id=self.call_id)

    def take(self, message: Message) -> list[Message]:
        if isinstance(message, bytes):
            assert len(message) == self._frame_bytes  # or it would be cut
            self.hear(message)
            return []
        if self.as_json:
            command = json.loads(message)
            name, told_id = command["command"], command.get("correlation_id", "")
        else:
            name, _, told_id = message.partition(" ")
        match name:
            case "FLUSH_MEDIA":
                self.cleared += 1
            case "REPORT_QUEUE_DRAINED":
                return [self._told("QUEUE_DRAINED")]
            case "STOP_MEDIA_BUFFERING" if self.as_json:
                return [self._told("MEDIA_BUFFERING_COMPLETED", correlation_id=told_id)]
            case "STOP_MEDIA_BUFFERING":
                return [f"MEDIA_BUFFERING_COMPLETED {told_id}"]
            case _:
                assert name in {"ANSWER", "HANGUP"}
        return []

    def _told(self, event: str, **fields: Any) -> str:
        if self.as_json:
            return told(event=event, **fields)
        return " ".join([event, *(f"{name}:{value}" for name, value in fields.items())])


class AsteriskJsonPeer(AsteriskPeer):
    """chan_websocket, which tells events as JSON."""

    as_json = True


@dataclass
class AudiohookPeer(Peer):
    """Genesys Cloud: two channels in one message, numbered messages, no audio back."""

    tracks: tuple[str, ...] = ("external", "internal")
    organization_id: str = "d7934305-0972-4844-938e-9060eef73d05"
    told: list[dict[str, Any]] = field(default_factory=list)
    """What the server said, without its audio."""
    dialect: ClassVar[str] = "audiohook"
    _seq: int = 0
    _samples: int = 0

    def headers(self, token: str) -> dict[str, str]:
        return {
            "X-API-KEY": token,
            "Audiohook-Organization-Id": self.organization_id,
            "Audiohook-Session-Id": self.stream_id,
            "Audiohook-Correlation-Id": str(uuid4()),
        }

    def signed_headers(
        self, token: str, secret: str, *, target: str = "/media/audiohook", authority: str = "pbx.example"
    ) -> dict[str, str]:
        """Return the headers of a handshake that is signed as Genesys does it; `secret` in base64."""
        headers = self.headers(token)
        values = {name.lower(): value for name, value in headers.items()}
        values |= {"@request-target": target, "@authority": authority}
        ids = [f"audiohook-{what}-id" for what in ("organization", "session", "correlation")]
        names = ["@request-target", "@authority", *ids, "x-api-key"]
        covered = " ".join(f'"{name}"' for name in names)
        nonce = b64encode(uuid4().bytes).decode()
        signs = f'({covered});keyid="{token}";nonce="{nonce}";alg="hmac-sha256";created={int(time.time())}'
        base = "\n".join([*(f'"{name}": {values[name]}' for name in names), f'"@signature-params": {signs}'])
        made = b64encode(digest(b64decode(secret), base.encode(), sha256)).decode()
        return {**headers, "Signature": f"sig1=:{made}:", "Signature-Input": f"sig1={signs}"}

    def say(self, kind: str, **parameters: Any) -> Message:
        """Return the next message."""
        self._seq += 1
        return told(
            version="2",
            id=self.stream_id,
            type=kind,
            seq=self._seq,
            serverseq=len(self.told),
            position=f"PT{self._samples / 8000}S",
            parameters=parameters,
        )

    def start(self) -> list[Message]:
        media = [
            {"type": "audio", "format": "PCMU", "channels": channels, "rate": 8000}
            for channels in (["external", "internal"], ["external"], ["internal"])
        ]
        participant = {"id": str(uuid4()), "ani": "tel:+15550100", "aniName": "Jane", "dnis": "tel:+15550199"}
        return [
            self.say(
                "open",
                organizationId=self.organization_id,
                conversationId=self.call_id,
                participant=participant,
                media=media,
                customConfig=self.parameters,
            )
        ]

    def both(self, external: Samples, internal: Samples) -> Message:
        """Return a message of both channels' next stretch, 16 kHz each."""
        coded_both = []
        for name, samples in (("external", external), ("internal", internal)):
            encode = self._encoders.get(name) or self._encoders.setdefault(name, live_encoder(MULAW))
            coded_both.append(np.frombuffer(encode(samples), np.uint8))
        self._samples += len(coded_both[0])
        return np.stack(coded_both, axis=1).tobytes()

    def media(self, track: str, index: int, payload: bytes) -> Message:
        raise NotImplementedError

    def key(self, digit: str) -> Message:
        raise NotImplementedError

    def stop(self) -> list[Message]:
        return [self.say("close", reason="end")]

    def take(self, message: Message) -> list[Message]:
        body = json.loads(message)
        self.told.append(body)
        assert body["seq"] == len(self.told)
        assert body["id"] == self.stream_id
        return [self.say("close", reason="disconnect")] if body["type"] == "disconnect" else []


MULAW = Codec("mulaw", 8_000)
ALAW = Codec("alaw", 8_000)
L16_8 = Codec("l16le", 8_000)
L16_16 = Codec("l16le", 16_000)
L16_24 = Codec("l16le", 24_000)
G722 = Codec("g722", 16_000)
OPUS = Codec("opus", 48_000)

SPOKEN: list[tuple[type[Peer], Codec]] = [
    (TelnyxPeer, MULAW),
    (TelnyxPeer, ALAW),
    (TelnyxPeer, L16_16),
    (TelnyxPeer, G722),
    (TelnyxPeer, OPUS),
    (PlivoPeer, MULAW),
    (PlivoPeer, L16_8),
    (PlivoPeer, L16_16),
    (SignalWirePeer, MULAW),
    (SignalWirePeer, L16_16),
    (SignalWirePeer, L16_24),
    (VonagePeer, L16_8),
    (VonagePeer, L16_16),
    (VonagePeer, L16_24),
    (JambonzPeer, L16_8),
    (JambonzPeer, L16_16),
    (JambonzPeer, L16_24),
    (FreeswitchPeer, L16_8),
    (FreeswitchPeer, L16_16),
    (AsteriskPeer, MULAW),
    (AsteriskPeer, ALAW),
    (AsteriskPeer, L16_8),
    (AsteriskPeer, L16_16),
    (AsteriskPeer, G722),
    (AsteriskJsonPeer, MULAW),
]
"""What each can speak both ways."""


async def send(socket: aiohttp.ClientWebSocketResponse, message: Message) -> None:
    """Send text as text and bytes as bytes."""
    if isinstance(message, bytes):
        await socket.send_bytes(message)
    else:
        await socket.send_str(message)
