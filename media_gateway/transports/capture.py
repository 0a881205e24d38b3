"""WS /ws/call: a browser tab captures a conversation and sends it here.

Who may use it, and from which page, is checked before the handler is called; the user is then `request["user"]`.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final, Protocol, cast
from uuid import UUID

from aiohttp import web

from infra.model import Call, Role, stable_id, utc_now
from infra.problem import problem
from media_gateway.audio import AudioFormat, AudioFormatError
from media_gateway.open_calls import Line, OpenCalls, Stream
from media_gateway.ports import CallRefused, CallRegistry, Meter, NoMeter
from media_gateway.protocols.capture import (
    Audio,
    CaptureStream,
    Event,
    Repeated,
    Start,
    Stop,
    WireFormat,
    error_message,
    started_message,
    stopped_message,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.transports.media_socket import MediaDoor, MediaSocket, SocketLimits

DOOR: Final = "browser"
PATH: Final = "/ws/call"

_LABEL: Final = "microphone"
_LIMITS: Final = SocketLimits(start_deadline_s=10.0, max_message_bytes=256 * 1024, max_speed=8.0)


class User(Protocol):
    """Who captures."""

    @property
    def id(self) -> UUID:
        """Their id; the call is theirs."""

    @property
    def tenant_id(self) -> UUID:
        """Whom they work for."""


class Capture:
    """The route and what it needs. Register `handle` under `PATH`; await `close` when the server stops."""

    def __init__(
        self,
        registry: CallRegistry,
        *,
        default_role: Role = "unknown",
        grace_s: float = 15.0,
        limits: SocketLimits = _LIMITS,
        meter: Meter | None = None,
    ) -> None:
        """`default_role`: whose voice it is when the page does not say; a room microphone hears both parties.

        `grace_s`: how long a call whose socket was lost can be gone on with.
        """
        meter = meter or NoMeter()
        self.door = MediaDoor(DOOR, OpenCalls(registry, DOOR, grace_s=grace_s, meter=meter), limits, meter)
        self._default_role: Role = default_role

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket."""
        user = request.get("user")
        if user is None:
            return problem(HTTPStatus.UNAUTHORIZED, "Log in first.")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return problem(HTTPStatus.UPGRADE_REQUIRED, "This address speaks WebSocket.", {"Upgrade": "websocket"})
        protocols = tuple(request.get("ws_protocols", ()))  # a bearer token may have come as one: agree to it
        return await _CaptureSocket(self.door, cast("User", user), self._default_role, protocols).run(request)

    async def close(self, reason: str = "server-shutdown") -> None:
        """Send every socket away and end the calls that are left."""
        await self.door.close(reason)


def capture_call_id(call_id: str, tenant_id: UUID) -> UUID:
    """Return the id of the call that a page calls `call_id`: itself if it is a UUID, else the same one every time."""
    try:
        return UUID(call_id)
    except ValueError:
        return stable_id("capture", tenant_id, call_id)


class _CaptureSocket(MediaSocket):
    def __init__(self, door: MediaDoor, user: User, default_role: Role, protocols: tuple[str, ...]) -> None:
        super().__init__(door, protocols)
        self._user = user
        self._default_role: Role = default_role
        self._protocol = CaptureStream()
        self._wire_format = WireFormat()
        self._line: Line | None = None

    async def on_text(self, data: bytes) -> None:
        await self._on_event(self._protocol.feed_text(data))

    async def on_binary(self, data: bytes) -> None:
        await self._on_event(self._protocol.feed_binary(data))

    async def on_refused(self, error: ProtocolError) -> None:
        await self._tell(error_message(error.reason, str(error)))

    async def _on_event(self, event: Event) -> None:
        if isinstance(event, Audio):
            self._on_audio(event)
        elif isinstance(event, Repeated):
            self.door.meter.frames(DOOR, "duplicate", 1)
        elif isinstance(event, Start):
            await self._on_start(event)
        elif isinstance(event, Stop) and self.call is not None:
            call_id = str(self.call.handle.call.id)
            self.end("completed")
            await self._tell(stopped_message(call_id=call_id))

    async def _on_start(self, start: Start) -> None:
        self._wire_format = self._protocol.wire_format
        role = start.role or self._default_role
        stream = Stream(_audio_format(self._wire_format), {role}, last_ms=_now_ms())
        call = Call(
            id=capture_call_id(start.call_id, self._user.tenant_id),
            door=DOOR,
            external_id=start.call_id,
            started_at=utc_now(),
            title=start.title,
            owner_id=self._user.id,
            tenant_id=self._user.tenant_id,
        )
        try:
            open_call = await self.door.calls.attach(call, stream)
        except CallRefused as error:
            raise ProtocolError(CloseCode.POLICY, "call-refused", str(error)) from None
        self.stream, self.call = stream, open_call
        resumed = role in open_call.lines
        self._line = open_call.line(role, _LABEL, start.agent_id, mixed=start.mixed)
        await self._tell(
            started_message(
                call_id=str(call.id),
                track_id=str(self._line.track.id),
                leg_id=str(self._line.leg.id),
                role=role,
                sample_rate=self._wire_format.rate_hz,
                channels=self._wire_format.channels,
                mixed=self._line.track.mixed,
                resumed=resumed,
            )
        )

    def _on_audio(self, audio: Audio) -> None:
        stream, line = self.stream, self._line
        assert stream is not None  # the protocol lets no audio through before start
        assert line is not None
        now_ms = _now_ms()
        stream.last_ms = now_ms
        if audio.wire_format != self._wire_format:
            self._wire_format = audio.wire_format
            stream.change_format(_audio_format(audio.wire_format))
            if line.is_fed_by(stream):
                line.intake.begin(stream.audio_format)
        stream.audio_bytes += len(audio.payload)
        length_ms = int(len(audio.payload) / audio.wire_format.bytes_per_ms)
        if line.is_fed_by(stream) or line.claim(stream, 0, length_ms, now_ms):
            line.append(audio.payload, audio.missing_ms, now_ms)
        else:
            stream.spare += 1

    async def _tell(self, message: str) -> None:
        try:
            async with asyncio.timeout(2.0):  # a peer that does not read must not hold us up
                await self.socket.send_str(message)
        except (TimeoutError, ConnectionError):
            pass  # the end of the socket will show in the reading


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


def _audio_format(wire_format: WireFormat) -> AudioFormat:
    try:
        return AudioFormat.from_media_type(wire_format.media_type, wire_format.rate_hz, wire_format.channels)
    except AudioFormatError as error:
        raise ProtocolError(CloseCode.UNSUPPORTED, "unsupported-audio", str(error)) from None
