"""The two ends of a conversation as other people's software sees Hearline: a Twilio stream, and an aiortc browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from twilio.request_validator import RequestValidator

from media_gateway.audio import MULAW, encode
from tests.lossy import LossyPath

Samples = npt.NDArray[np.int16]
LINE_HZ = 8000
RTP_HZ = 48_000
FRAME_S = 0.02

Source = Callable[[int], Samples]
"""Frame number -> 20 ms of samples."""


def saying(samples: Samples, rate_hz: int, *, after_s: float = 0.0) -> Source:
    """Return a voice that says this once, after a while, and is silent then."""
    length = rate_hz // 50
    first = int(after_s * 50)

    def frame(index: int) -> Samples:
        part = samples[max(index - first, 0) * length :][:length] if index >= first else samples[:0]
        return np.pad(part, (0, length - len(part)))

    return frame


async def twiml(http: aiohttp.ClientSession, base_url: str, auth_token: str, call_sid: str, **form: str) -> ET.Element:
    """Post Twilio's signed webhook of an incoming call; return the answer."""
    fields = {"CallSid": call_sid, "From": "+15550100", "To": "+15550199", "CallStatus": "ringing", **form}
    path = fields.pop("path", "/twilio/voice")
    signature = RequestValidator(auth_token).compute_signature(base_url + path, fields)
    async with http.post(base_url + path, data=fields, headers={"X-Twilio-Signature": signature}) as reply:
        assert reply.status == 200, await reply.text()
        return ET.fromstring(await reply.text())


def stream_token(answer: ET.Element) -> str:
    """Return the token that a TwiML answer hands to the media socket."""
    parameter = answer.find(".//Stream/Parameter[@name='token']")
    assert parameter is not None
    return parameter.get("value", "")


@dataclass
class Heard:
    """Audio as it arrived: for each packet when its first byte was there, and its samples."""

    rate_hz: int
    packets: list[tuple[float, Samples]] = field(default_factory=list)
    clears: int = 0
    cleared_at: int = 0
    """Where in `in_time` the newest `clear` came."""
    marks: list[str] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        """Return all of it, one packet after the other."""
        return np.concatenate([np.empty(0, np.int16), *(samples for _, samples in self.packets)])

    @property
    def in_time(self) -> Samples:
        """Return all of it, with silence where for a while nothing came."""
        if not self.packets:
            return np.empty(0, np.int16)
        began_s, parts, length = self.packets[0][0], [], 0
        for arrived_s, samples in self.packets:
            late = int((arrived_s - began_s) * self.rate_hz) - length
            if late > self.rate_hz // 10:
                parts.append(np.zeros(late, np.int16))
                length += late
            parts.append(samples)
            length += len(samples)
        return np.concatenate(parts)

    def moment_s(self, sample: int) -> float:
        """Return when a sample could be heard at the earliest: its packet's arrival, and its place in there."""
        begin = 0
        for arrived_s, samples in self.packets:
            if sample < begin + len(samples):
                return arrived_s + (sample - begin) / self.rate_hz
            begin += len(samples)
        raise IndexError(sample)


class TwilioCaller:
    """A caller behind Twilio: sends a frame every 20 ms, plays what comes at once, echoes marks."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, call_sid: str, source: Source) -> None:
        self.heard = Heard(LINE_HZ)
        self.sent_s: list[float] = []
        self._socket = socket
        self._sid = "MZ" + call_sid.removeprefix("CA")
        self._source = source
        self._over = False

    async def start(self, call_sid: str, token: str) -> None:
        """Say which call this is."""
        await self._send(event="connected", protocol="Call", version="1.0.0")
        start = {
            "streamSid": self._sid,
            "callSid": call_sid,
            "accountSid": "AC1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": token},
        }
        await self._send(event="start", sequenceNumber="1", start=start)

    async def speak(self) -> None:
        """Send frames, until it hangs up or the line breaks."""
        due_s = time.monotonic()
        while not self._socket.closed and not self._over:
            index = len(self.sent_s)
            payload = b64encode(encode(self._source(index))).decode()
            media = {"track": "inbound", "chunk": str(index + 1), "timestamp": str(20 * index), "payload": payload}
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.sent_s.append(time.monotonic())
            with contextlib.suppress(ConnectionError):
                await self._send(event="media", sequenceNumber=str(index + 2), media=media)
            due_s += FRAME_S

    async def listen(self) -> None:
        """Take what the other side sends, until it closes."""
        async for message in self._socket:
            arrived_s = time.monotonic()
            body = json.loads(message.data)
            if body["event"] == "media":
                code = np.frombuffer(b64decode(body["media"]["payload"]), np.uint8)
                self.heard.packets.append((arrived_s, MULAW.take(code)))
            elif body["event"] == "clear":
                self.heard.clears += 1
                self.heard.cleared_at = len(self.heard.in_time)
            elif body["event"] == "mark":
                self.heard.marks.append(body["mark"]["name"])
                await self._send(event="mark", mark=body["mark"])

    async def press(self, digit: str) -> None:
        """Press a key."""
        await self._send(event="dtmf", dtmf={"track": "inbound_track", "digit": digit})

    async def hang_up(self) -> None:
        """End the stream in good order."""
        self._over = True
        await self._send(event="stop", stop={})

    async def _send(self, **body: Any) -> None:
        await self._socket.send_str(json.dumps({**body, "streamSid": self._sid}))


@contextlib.asynccontextmanager
async def calling(
    http: aiohttp.ClientSession,
    base_url: str,
    auth_token: str,
    call_sid: str,
    source: Source,
    *,
    attempt: int = 1,
    **form: str,
) -> AsyncIterator[TwilioCaller]:
    """Call a number in 'connect' mode and speak for as long as the context lasts.

    `attempt`: 2 is what Twilio asks with after the first stream has ended.
    """
    path = "/twilio/voice" if attempt == 1 else f"/twilio/voice?attempt={attempt}"
    answer = await twiml(http, base_url, auth_token, call_sid, path=path, **form)
    async with http.ws_connect(base_url.replace("http", "ws", 1) + "/twilio/media", max_msg_size=0) as socket:
        caller = TwilioCaller(socket, call_sid, source)
        await caller.start(call_sid, stream_token(answer))
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(caller.speak()), tasks.create_task(caller.listen())]
            yield caller
            for task in beside:
                task.cancel()


class PhonePage:
    """An agent's page, without a screen: answers what rings, keeps the newest state."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, answers: bool = True) -> None:
        self.phone: dict[str, Any] = {}
        self.refusals: list[str] = []
        self._socket = socket
        self._answers = answers

    async def do(self, **command: Any) -> None:
        """Ask something of the phone."""
        await self._socket.send_json(command)

    async def follow(self) -> None:
        """Take what the server says, until it closes."""
        async for message in self._socket:
            body = json.loads(message.data)
            if body["type"] == "refused":
                self.refusals.append(body["detail"])
            elif body["type"] == "phone":
                self.phone = body["phone"]
                if self._answers and self.phone["offer"]:
                    await self.do(do="answer", call_id=self.phone["offer"]["call_id"])

    @property
    def call(self) -> dict[str, Any]:
        """Return the call of the phone, {} for none."""
        return self.phone.get("call") or {}


@contextlib.asynccontextmanager
async def phone_page(http: aiohttp.ClientSession, base_url: str, *, answers: bool = True) -> AsyncIterator[PhonePage]:
    """Show a phone for as long as the context lasts."""
    async with http.ws_connect(base_url.replace("http", "ws", 1) + "/ws/phone") as socket:
        page = PhonePage(socket, answers=answers)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(page.follow())
            yield page
            following.cancel()


class _Microphone(MediaStreamTrack):
    kind = "audio"

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.sent_s: list[float] = []
        self._source = source
        self._due_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        index = len(self.sent_s)
        frame = av.AudioFrame.from_ndarray(self._source(index).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RTP_HZ, index * 960
        if self._due_s is None:
            self._due_s = time.monotonic()
        await asyncio.sleep(max(0.0, self._due_s - time.monotonic()))
        self._due_s += FRAME_S
        self.sent_s.append(time.monotonic())
        return frame


class AgentBrowser:
    """An agent's browser, played by stock aiortc: `source` gives 20 ms of 48 kHz, `heard` is what came, undelayed."""

    def __init__(self, source: Source) -> None:
        self.microphone = _Microphone(source)
        self.peer = RTCPeerConnection()
        self.leg_id = ""
        self._raw: list[tuple[float, int, bytes]] = []

    async def connect(
        self, http: aiohttp.ClientSession, base_url: str, call_id: str | None = None, path: LossyPath | None = None
    ) -> None:
        """Bring the audio of the call that waits for it; `path`: the network in between, if it is a bad one."""
        self.peer.addTrack(self.microphone)
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = self.peer.localDescription.sdp
        body = {"type": "offer", "sdp": path.offer(offer) if path else offer, "call_id": call_id}
        async with http.post(f"{base_url}/webrtc/offer", json=body) as reply:
            answer = await reply.json()
            assert reply.status == 200, answer
        self.leg_id = answer["leg_id"]
        self._tap(self.peer.getReceivers()[0])
        sdp = path.answer(answer["sdp"]) if path else answer["sdp"]
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    def _tap(self, receiver: RTCRtpReceiver) -> None:
        """Note packets as they arrive: behind aiortc's own jitter buffer the line's delay could not be seen."""

        async def take(packet: Any, arrival_time_ms: int) -> None:
            del arrival_time_ms
            self._raw.append((time.monotonic(), packet.timestamp, packet.payload))

        receiver._handle_rtp_packet = take  # type: ignore[method-assign]

    @property
    def heard(self) -> Heard:
        """Return what came, decoded."""
        codec = av.CodecContext.create("libopus", "r")
        codec.layout, codec.format, codec.sample_rate = "mono", "s16", RTP_HZ
        heard = Heard(RTP_HZ)
        for arrived_s, _, payload in self._raw:
            for frame in codec.decode(av.Packet(payload)):
                heard.packets.append((arrived_s, frame.to_ndarray().ravel()))
        return heard

    async def close(self) -> None:
        """Close the browser."""
        await self.peer.close()
