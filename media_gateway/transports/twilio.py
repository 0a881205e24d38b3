"""WS /twilio/media: Twilio Media Streams, one- and bidirectional.

The door is shut to strangers. A handshake that carries X-Twilio-Signature must carry a right one; one that carries
none must name a one-time token in its `start` message (as a TwiML `<Parameter name="token">`).
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web
from twilio.request_validator import RequestValidator, get_signature_algorithm

from infra.model import DEFAULT_TENANT, Call, Role, utc_now
from infra.problem import problem
from infra.telemetry import logger
from infra.tokens import StreamGrant, StreamTokens, TokenError, twilio_call_id
from media_gateway.audio import AudioFormat, AudioFormatError
from media_gateway.open_calls import Line, OpenCalls, Stream
from media_gateway.ports import CallRefused, CallRegistry, Meter, NoMeter
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.protocols.twilio import (
    TRACKS,
    Dtmf,
    Mark,
    Media,
    Start,
    Stop,
    TwilioStream,
    clear_message,
    mark_message,
    media_message,
)
from media_gateway.switchboard.board import Switchboard
from media_gateway.switchboard.conversation import Conversation
from media_gateway.transports.media_socket import MediaDoor, MediaSocket, SocketLimits
from media_gateway.voices import PacketVoice, telephone_voice

log = logger(__name__)

DOOR: Final = "twilio"
PATH: Final = "/twilio/media"

_ROLES: Final[dict[str, Role]] = {"inbound": "customer", "outbound": "agent"}


_LINE_FORMAT: Final = AudioFormat("mulaw", 8000)
_LINE_SAMPLES_PER_MS: Final = 8
_LIMITS: Final = SocketLimits(max_speed=64.0)


class TwilioMedia:
    """The route and what it needs. Register `handle` under `PATH`; await `close` when the server stops."""

    def __init__(
        self,
        registry: CallRegistry,
        tokens: StreamTokens,
        *,
        auth_token: str | None,
        public_base_url: str,
        tenant_id: UUID = DEFAULT_TENANT,
        grace_s: float = 15.0,
        limits: SocketLimits = _LIMITS,
        meter: Meter | None = None,
        board: Switchboard | None = None,
    ) -> None:
        """`public_base_url`: what Twilio calls this server, for its signature is computed over that.

        `grace_s`: how long a call whose socket was lost stays joinable. `board`: finds callers somebody to talk to;
        None: all are only listened to.
        """
        meter = meter or NoMeter()
        self.door = MediaDoor(DOOR, OpenCalls(registry, DOOR, grace_s=grace_s, meter=meter), limits, meter)
        self._tokens = tokens
        self._auth_token = auth_token
        self._public_base_url = public_base_url.rstrip("/")
        self._tenant_id = tenant_id
        self.board = board

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket."""
        if not self._auth_token:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "TWILIO_AUTH_TOKEN is not set, so no stream can be trusted.")
        signature = request.headers.get("X-Twilio-Signature")
        if signature is not None and not self._is_signed(request, signature):
            self.door.meter.refused(DOOR, "bad-signature")
            log.info("media socket refused", door=DOOR, reason="bad-signature")
            return problem(HTTPStatus.FORBIDDEN, "X-Twilio-Signature does not match this address and its auth token.")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return problem(HTTPStatus.UPGRADE_REQUIRED, "This address speaks WebSocket.", {"Upgrade": "websocket"})
        return await _TwilioSocket(self, signed=signature is not None).run(request)

    async def close(self, reason: str = "server-shutdown") -> None:
        """Send every socket away and end the calls that are left."""
        await self.door.close(reason)

    def _is_signed(self, request: web.Request, signature: str) -> bool:
        validator = RequestValidator(self._auth_token or "")
        algorithm = get_signature_algorithm(request.headers.get("X-Twilio-Webhooks-Signature-Settings"))
        return any(validator.validate(url, {}, signature, algorithm) for url in self._signed_urls(request.raw_path))

    def _signed_urls(self, raw_path: str) -> list[str]:
        """Return what Twilio may have signed: the wss form of the public address, with and without trailing slash.

        Behind plain http, on one's own machine, also its ws form.
        """
        path, mark, query = raw_path.partition("?")
        scheme, _, host = self._public_base_url.partition("://")
        schemes = ("wss",) if scheme == "https" else ("ws", "wss")
        paths = (path.rstrip("/"), path.rstrip("/") + "/")
        return [f"{ws}://{host}{path}{mark}{query}" for ws in schemes for path in paths]

    async def grant(self, start: Start, *, signed: bool) -> StreamGrant:
        """Return which call this stream carries.

        Raises:
            ProtocolError: neither a signature nor a valid token vouches for it.
        """
        token = start.parameters.get("token", "")
        try:
            grant = await self._tokens.redeem(token)
        except TokenError as error:
            if not signed:
                raise ProtocolError(CloseCode.POLICY, "bad-token", str(error)) from None
            # Twilio itself: only who calls whom stays unknown. With a token of ours, used or out of date, it is a
            # caller to be answered, and nobody says that the number's calls may be recorded.
            return StreamGrant(
                twilio_call_id(start.call_sid, self._tenant_id),
                start.call_sid,
                tenant_id=self._tenant_id,
                bridged=bool(token),
                recorded=not token,
            )
        if grant.call_sid != start.call_sid:
            raise ProtocolError(CloseCode.POLICY, "foreign-token", "the token is for another call")
        return grant


class _TwilioSocket(MediaSocket):
    def __init__(self, door: TwilioMedia, *, signed: bool) -> None:
        super().__init__(door.door)
        self._twilio = door
        self._signed = signed
        self._protocol = TwilioStream()
        self._lines: dict[str, Line] = {}
        self._mixed: str | None = None
        """The track on which all parties are heard, if there is one."""
        self._time = asyncio.get_running_loop().time
        self._conversation: Conversation | None = None
        self._voice: PacketVoice | None = None

    async def on_text(self, data: bytes) -> None:
        event = self._protocol.feed(data)
        if type(event) is Media:
            self._on_media(event)
        elif isinstance(event, Start):
            await self._on_start(event)
        elif isinstance(event, Stop):
            self.end("completed")
        elif isinstance(event, Dtmf) and self.call is not None:
            self.call.handle.note("dtmf", {"digit": event.digit})
            if self._conversation is not None:
                self._conversation.caller.key(event.digit)
        elif isinstance(event, Mark) and self.call is not None:
            self.call.handle.note("mark", {"name": event.name})
            if self._conversation is not None:
                self._conversation.caller.heard(event.name)

    # what a conversation does with the line (media_gateway.ports.CallerLine); `hang_up` is the socket's own

    def new_voice(self) -> PacketVoice:
        """Return a voice of mu-law."""
        return telephone_voice()

    def play(self, samples: bytes) -> None:
        """Send 20 ms of mu-law."""
        self.post(media_message(self._protocol.stream_sid, samples))

    def clear(self) -> None:
        """Throw away what the caller has not heard yet."""
        self.post(clear_message(self._protocol.stream_sid))

    def mark(self, name: str) -> None:
        """Ask to be told when what was sent so far has been heard."""
        self.post(mark_message(self._protocol.stream_sid, name))

    def end(self, reason: str, *, lost: bool = False) -> None:
        """The stream has ended; a caller who was lost may come back to those they talked to."""
        if self._conversation is not None:
            self._voice = None
            if lost:
                self._conversation.caller.lost(self)
        super().end(reason, lost=lost)

    async def on_binary(self, data: bytes) -> None:
        raise ProtocolError(CloseCode.UNSUPPORTED, "binary", "text messages only")

    async def _on_start(self, start: Start) -> None:
        wire = start.media_format
        try:
            audio_format = AudioFormat.from_media_type(wire.encoding, wire.sample_rate, wire.channels)
        except AudioFormatError as error:
            raise ProtocolError(CloseCode.UNSUPPORTED, "unsupported-audio", str(error)) from None
        grant = await self._twilio.grant(start, signed=self._signed)
        if start.parameters.get("mixed") == "true" and len(start.tracks) == 1:  # of two tracks each is somebody's own
            (self._mixed,) = start.tracks
        stream = Stream(audio_format, {self._role(name) for name in start.tracks})
        stream.last_ms = self._time() * 1000
        call = Call(
            id=grant.call_id,
            door=DOOR,
            external_id=start.call_sid,
            started_at=utc_now(),
            from_number=grant.from_number,
            to_number=grant.to_number,
            recorded=grant.recorded,
            tenant_id=grant.tenant_id,
        )
        try:
            open_call = await self.door.calls.attach(call, stream)
        except CallRefused as error:
            raise ProtocolError(CloseCode.POLICY, "call-refused", str(error)) from None
        self.stream = stream
        self.call = open_call
        for name in start.tracks:
            self._lines[name] = self._line(name)
        board = self._twilio.board
        alone = start.tracks == ("inbound",) and not self._mixed  # else whom the caller talks to is there already
        if board is not None and grant.bridged and alone and audio_format == _LINE_FORMAT:
            self._conversation, self._voice = await board.receive(open_call.handle, self, returning=grant.returning)

    def _on_media(self, media: Media) -> None:
        stream = self.stream
        assert stream is not None  # the protocol lets no media through before start
        now_ms = self._time() * 1000
        stream.last_ms = now_ms
        stream.audio_bytes += len(media.payload)
        if self._voice is not None:
            self._voice.receive(media.timestamp * _LINE_SAMPLES_PER_MS, media.payload, time.monotonic())
        line = self._lines.get(media.track) or self._new_line(media.track)
        if line.is_fed_by(stream) or line.claim(stream, media.timestamp, _frame_ms(stream, media.payload), now_ms):
            line.put(media.timestamp, media.payload, now_ms)
        else:
            stream.spare += 1

    def _new_line(self, wire_name: str) -> Line:
        """Return the line of a track that `start` did not announce, or that goes by another name."""
        assert self.call is not None
        assert self.stream is not None
        name = TRACKS[wire_name]
        self.stream.roles.add(self._role(name))
        line = self._lines[wire_name] = self._line(name)
        return line

    def _line(self, name: str) -> Line:
        assert self.call is not None
        return self.call.line(self._role(name), name, mixed=name == self._mixed)

    def _role(self, name: str) -> Role:
        """Return whose track it is; nobody's where all parties are heard on it."""
        return "unknown" if name == self._mixed else _ROLES[name]


def _frame_ms(stream: Stream, payload: bytes) -> int:
    audio_format = stream.audio_format
    return len(payload) // audio_format.sample_bytes * 1000 // audio_format.rate_hz
