"""A telephone call from a file: what Twilio does when somebody rings, done by this machine.

`place_call` posts the signed webhooks, reads the TwiML that comes back, opens the media socket with a signed
handshake and plays the file over it, frame by frame and silence included. A server cannot tell it from Twilio.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NewType
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import aiohttp
import av
import msgspec
import numpy as np
from twilio.request_validator import RequestValidator

from media_gateway.audio import Samples, encode, resampler

CallSid = NewType("CallSid", str)

RATE_HZ: Final = 8_000
FRAME_MS: Final = 20
_FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000
_FIRST_TIMESTAMP_MS: Final = 155
"""A recorded stream's first frame had this timestamp: a receiver must not count on 0."""
_MAX_FILE_S: Final = 4 * 3600
_MAX_SPEED: Final = 50.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)


class CallerError(Exception):
    """The call could not be placed, or broke off. `str(error)` is one line for the person who asked for it."""


@dataclass(frozen=True, slots=True)
class Party:
    """One party's part of the file as frames of 20 ms, mu-law at 8 kHz."""

    track: Literal["inbound", "outbound"]
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """What a TwiML answer says about the media stream."""

    url: str
    parameters: dict[str, str]
    tracks: tuple[str, ...]
    """The tracks that Twilio would send; a file with two parties sends both anyway."""


def new_call_sid() -> str:
    """Return a CallSid of the form that Twilio gives its calls."""
    return f"CA{secrets.token_hex(16)}"


async def place_call(
    file: Path,
    url: str,
    auth_token: str,
    *,
    public_base_url: str | None = None,
    speed: float = 1.0,
    from_number: str = "+15550100",
    to_number: str = "+15550199",
    account_sid: str = "AC" + "0" * 32,
    call_sid: str | None = None,
    left_role: Literal["customer", "agent"] = "customer",
    mixed: bool = False,
    on_first_frame: Callable[[], None] | None = None,
) -> CallSid:
    """Play a WAV, FLAC or MP3 file as a call into a running server; return its CallSid when it has been heard out.

    `url`: where the server listens (ws://HOST:PORT or http://...). `public_base_url`: the address under which it
    believes to be reached, over which signatures are computed; `url` itself when None. `speed`: 1.0 is real time.
    Stereo is two parties, one a channel; mono is the customer alone. `mixed`: both parties are on one track, as they
    are in a mono recording of a whole call; stereo is mixed down.
    `on_first_frame` is called when the first of the file is due: every other frame has its time from then on.

    Raises:
        CallerError: the file cannot be read, the server refuses, or the connection breaks.
    """
    if not 0.1 <= speed <= _MAX_SPEED:
        raise CallerError(f"speed must be between 0.1 and {_MAX_SPEED:g}")
    parties = await asyncio.to_thread(read_parties, file, left_role, mixed=mixed)
    call = _Call(
        server=_as_http(url),
        public=_as_http(public_base_url or url),
        auth_token=auth_token,
        call_sid=CallSid(call_sid or new_call_sid()),
        account_sid=account_sid,
        from_number=from_number,
        to_number=to_number,
    )
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            await call.ring(session)
            order = read_twiml(await call.post(session, "/twilio/voice", "ringing"))
            if mixed:
                order = replace(order, parameters={**order.parameters, "mixed": "true"}, tracks=("inbound",))
            await call.post(session, "/twilio/status", "in-progress")
            await call.stream(session, order, parties, speed, on_first_frame)
            seconds = len(parties[0].frames) * FRAME_MS // 1000
            await call.post(session, "/twilio/status", "completed", CallDuration=str(seconds))
    except aiohttp.ClientConnectorError:
        raise CallerError(f"nobody answers at {call.server}") from None
    except TimeoutError:
        raise CallerError(f"{call.server} did not answer in time") from None
    except aiohttp.ClientError as error:
        raise CallerError(f"the connection to {call.server} broke: {type(error).__name__}") from None
    return call.call_sid


def read_parties(
    file: Path, left_role: Literal["customer", "agent"] = "customer", *, mixed: bool = False
) -> list[Party]:
    """Decode a file into frames: one party for mono, customer then agent for stereo; one for all when `mixed`.

    Raises:
        CallerError: it cannot be read, has no audio, is longer than four hours or has more than two channels.
    """
    channels = _read_audio(file)
    if mixed and len(channels) == 2:
        channels = [((channels[0].astype(np.int32) + channels[1]) // 2).astype(np.int16)]
    frames = [_frames(channel) for channel in channels]
    if not frames[0]:
        raise CallerError(f"{file}: no audio in it")
    if len(frames) == 1:
        return [Party("inbound", frames[0])]
    if left_role == "agent":
        frames.reverse()
    return [Party("inbound", frames[0]), Party("outbound", frames[1])]


def _read_audio(file: Path) -> list[Samples]:
    """Return each channel of the file at 8 kHz."""
    try:
        with av.open(str(file), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise CallerError(f"{file}: no audio in it")
            stream = container.streams.audio[0]
            rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
            if channels > 2:
                raise CallerError(f"{file}: {channels} channels; a call has one or two parties")
            to_s16 = av.AudioResampler(format="s16p", layout="mono" if channels == 1 else "stereo", rate=rate_hz)
            blocks: list[list[Samples]] = [[] for _ in range(channels)]
            filters = [resampler(rate_hz, RATE_HZ) for _ in range(channels)]
            length = 0
            for packet in container.decode(stream):
                for frame in to_s16.resample(packet):
                    length += frame.samples
                    if length > _MAX_FILE_S * rate_hz:
                        raise CallerError(f"{file}: longer than {_MAX_FILE_S // 3600} hours")
                    for block, part, samples in zip(blocks, filters, frame.to_ndarray(), strict=True):
                        block.append(part.process(np.ascontiguousarray(samples, dtype=np.int16)))
            for block, part in zip(blocks, filters, strict=True):
                block.append(part.flush())
            return [np.concatenate(block) for block in blocks]
    except (av.FFmpegError, OSError) as error:
        raise CallerError(f"{file}: {error.strerror or 'not an audio file that can be read'}") from None


def _frames(samples: Samples) -> list[bytes]:
    coded = encode(samples)
    coded += b"\xff" * (-len(coded) % _FRAME_BYTES)  # mu-law silence up to a whole frame
    return [coded[start : start + _FRAME_BYTES] for start in range(0, len(coded), _FRAME_BYTES)]


def read_twiml(text: str) -> StreamOrder:
    """Return the stream that a TwiML answer asks for.

    Raises:
        CallerError: it is no TwiML, or asks for no stream.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314  (from the server under test; expat refuses entity bombs)
    except ET.ParseError:
        raise CallerError("the server's answer to the call is not TwiML") from None
    for verb in root:
        stream = verb.find("Stream") if verb.tag in {"Connect", "Start"} else None
        if stream is None:
            continue
        track = stream.get("track", "inbound_track")
        tracks = ("inbound", "outbound") if track == "both_tracks" else (track.removesuffix("_track"),)
        parameters = {tag.get("name", ""): tag.get("value", "") for tag in stream.iter("Parameter")}
        return StreamOrder(stream.get("url", ""), parameters, tracks)
    verbs = ", ".join(verb.tag for verb in root) or "nothing"
    raise CallerError(f"the server does not take the call: its TwiML says {verbs}")


@dataclass(frozen=True, slots=True)
class _Call:
    server: str
    """http://HOST:PORT, where to connect."""
    public: str
    """http(s)://..., what is signed."""
    auth_token: str
    call_sid: CallSid
    account_sid: str
    from_number: str
    to_number: str

    async def ring(self, session: aiohttp.ClientSession) -> None:
        await self.post(session, "/twilio/status", "ringing")

    async def post(self, session: aiohttp.ClientSession, path: str, status: str, **more: str) -> str:
        """Post a signed webhook; return the answer's body."""
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.call_sid,
            "CallStatus": status,
            "Called": self.to_number,
            "Caller": self.from_number,
            "Direction": "inbound",
            "From": self.from_number,
            "To": self.to_number,
            **more,
        }
        headers = {"X-Twilio-Signature": self._signature(self.public + path, form)}
        async with session.post(self.server + path, data=form, headers=headers, allow_redirects=False) as response:
            body = await response.content.read(256 * 1024)
            if response.status >= 300:
                raise CallerError(f"POST {path} was answered {response.status}: {_reason(body)}")
            return body.decode("utf-8", "replace")

    async def stream(
        self,
        session: aiohttp.ClientSession,
        order: StreamOrder,
        parties: list[Party],
        speed: float,
        on_first_frame: Callable[[], None] | None = None,
    ) -> None:
        """Open the media socket and play the file over it."""
        path = urlsplit(order.url).path
        try:
            socket = await session.ws_connect(
                self.server + path,
                headers={"x-twilio-signature": self._signature(order.url, {})},
                compress=0,
                max_msg_size=1024 * 1024,
                timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise CallerError(f"the media socket {path} was refused with status {error.status}") from None
        async with socket:
            wire = _Wire(socket, self, order, parties, speed)
            try:
                async with asyncio.TaskGroup() as tasks:
                    listener = tasks.create_task(wire.listen())
                    await wire.play(on_first_frame)
                    listener.cancel()
            except ExceptionGroup as group:
                raise group.exceptions[0] from None

    def _signature(self, url: str, form: dict[str, str]) -> str:
        return str(RequestValidator(self.auth_token).compute_signature(url, form))


class _Wire:
    """The socket's two directions."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        call: _Call,
        order: StreamOrder,
        parties: list[Party],
        speed: float,
    ) -> None:
        self._socket = socket
        self._call = call
        self._order = order
        self._parties = parties
        self._speed = speed
        self._stream_sid = "MZ" + secrets.token_hex(16)
        self._sequence = 0
        self._close_reason = "no reason given"
        self._heard_until_s = 0.0
        self._marks: deque[tuple[float, str]] = deque(maxlen=1000)

    async def play(self, on_first_frame: Callable[[], None] | None = None) -> None:
        """Send the whole stream, paced by one clock from its first frame to its last."""
        loop = asyncio.get_running_loop()
        await self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self._send(self._start())
        try:
            began_s = loop.time()
            if on_first_frame is not None:
                on_first_frame()
            for index in range(max(len(party.frames) for party in self._parties)):
                due_s = began_s + index * FRAME_MS / 1000 / self._speed
                if (wait_s := due_s - loop.time()) > 0.001:
                    await asyncio.sleep(wait_s)
                for party in self._parties:
                    if index < len(party.frames):
                        await self._send(self._media(party, index))
                await self._answer_marks(loop.time())
        except asyncio.CancelledError:
            await self._stop()  # the caller hangs up
            raise
        await self._stop()
        await self._socket.close()

    async def listen(self) -> None:
        """Take what the server plays: audio is heard, marks come back when all before them was."""
        loop = asyncio.get_running_loop()
        while not self._socket.closed:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                self._close_reason = f"{message.data} {message.extra}"
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            order = msgspec.json.decode(message.data)
            match order.get("event"):
                case "media":
                    heard_s = len(order["media"]["payload"]) * 3 / 4 / RATE_HZ / self._speed
                    self._heard_until_s = max(self._heard_until_s, loop.time()) + heard_s
                case "mark":
                    self._marks.append((self._heard_until_s, order["mark"]["name"]))
                case "clear":
                    self._heard_until_s = 0.0
                    self._marks = deque(((0.0, name) for _, name in self._marks), maxlen=self._marks.maxlen)

    async def _answer_marks(self, now_s: float) -> None:
        while self._marks and self._marks[0][0] <= now_s:
            _, name = self._marks.popleft()
            await self._send(self._numbered("mark", {"name": name}))

    def _start(self) -> dict[str, object]:
        tracks = sorted({*self._order.tracks, *(party.track for party in self._parties)})
        return self._numbered(
            "start",
            {
                "accountSid": self._call.account_sid,
                "streamSid": self._stream_sid,
                "callSid": self._call.call_sid,
                "tracks": tracks,
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1},
                "customParameters": self._order.parameters,
            },
        )

    def _media(self, party: Party, index: int) -> dict[str, object]:
        return self._numbered(
            "media",
            {
                "track": party.track,
                "chunk": str(index + 1),
                "timestamp": str(_FIRST_TIMESTAMP_MS + index * FRAME_MS),
                "payload": b64encode(party.frames[index]).decode("ascii"),
            },
        )

    async def _stop(self) -> None:
        if not self._socket.closed:
            await self._send(
                self._numbered("stop", {"accountSid": self._call.account_sid, "callSid": self._call.call_sid})
            )

    def _numbered(self, event: str, body: dict[str, object]) -> dict[str, object]:
        self._sequence += 1
        return {"event": event, "sequenceNumber": str(self._sequence), event: body, "streamSid": self._stream_sid}

    async def _send(self, message: dict[str, object]) -> None:
        if self._socket.closed:
            raise self._closed()
        try:
            await self._socket.send_str(msgspec.json.encode(message).decode("ascii"))
        except aiohttp.ClientConnectionError:
            raise self._closed() from None

    def _closed(self) -> CallerError:
        return CallerError(f"the server closed the media socket ({self._close_reason.strip()})")


def _as_http(url: str) -> str:
    """Return the http form of a server's address, without a slash at the end.

    Raises:
        CallerError: it is no address.
    """
    scheme, separator, rest = url.strip().rstrip("/").partition("://")
    http = {"ws": "http", "http": "http", "wss": "https", "https": "https"}.get(scheme.lower())
    if not separator or http is None or not rest:
        raise CallerError(f"{url!r} is no address such as ws://127.0.0.1:8080")
    return f"{http}://{rest}"


def _reason(body: bytes) -> str:
    """Return the detail of a problem document, or the beginning of any other answer."""
    try:
        document = msgspec.json.decode(body)
        return str(document["detail"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip() or "no reason given"
