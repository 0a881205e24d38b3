"""WS /twilio/media: Twilio Media Streams, one- and bidirectional.

The door is shut to strangers. A handshake that carries X-Twilio-Signature must carry a right one; one that carries
none must name a one-time token in its `start` message (as a TwiML `<Parameter name="token">`).
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web
from twilio.request_validator import RequestValidator, get_signature_algorithm

from infra.model import DEFAULT_TENANT, Call, utc_now
from infra.problem import problem
from infra.telemetry import logger
from infra.tokens import StreamGrant, StreamTokens, TokenError, twilio_call_id
from media_gateway.open_calls import OpenCalls
from media_gateway.ports import CallRegistry, Meter, NoMeter
from media_gateway.protocols.dialects.dialect import Handshake, Start, Track
from media_gateway.protocols.dialects.twilio_family import TwilioFamily
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.switchboard.board import Switchboard
from media_gateway.transports.dialect_socket import Admission, DialectSocket
from media_gateway.transports.media_socket import MediaDoor, SocketLimits

log = logger(__name__)

DOOR: Final = "twilio"
PATH: Final = "/twilio/media"

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
        dialect = TwilioFamily(Handshake())
        admit = partial(self._admit, signed=signature is not None)
        return await DialectSocket(self.door, dialect, admit, board=self.board).run(request)

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
        token = start.token or ""
        try:
            grant = await self._tokens.redeem(token)
        except TokenError as error:
            if not signed:
                raise ProtocolError(CloseCode.POLICY, "bad-token", str(error)) from None
            # Twilio itself: only who calls whom stays unknown. With a token of ours, used or out of date, it is a
            # caller to be answered, and nobody says that the number's calls may be recorded.
            return StreamGrant(
                twilio_call_id(start.call_id, self._tenant_id),
                start.call_id,
                tenant_id=self._tenant_id,
                bridged=bool(token),
                recorded=not token,
            )
        if grant.call_sid != start.call_id:
            raise ProtocolError(CloseCode.POLICY, "foreign-token", "the token is for another call")
        return grant

    async def _admit(self, start: Start, *, signed: bool) -> Admission:
        grant = await self.grant(start, signed=signed)
        tracks = start.tracks
        mixed = start.parameters.get("mixed") == "true" and len(tracks) == 1  # of two tracks each is somebody's own
        if mixed:
            tracks = (Track(tracks[0].name, "unknown", mixed=True),)
        call = Call(
            id=grant.call_id,
            door=DOOR,
            external_id=start.call_id,
            started_at=utc_now(),
            from_number=grant.from_number,
            to_number=grant.to_number,
            recorded=grant.recorded,
            tenant_id=grant.tenant_id,
        )
        alone = [track.name for track in tracks] == ["inbound"] and not mixed  # else whom they talk to is there already
        return Admission(
            call, tracks, answered=grant.bridged and alone and start.plays is not None, returning=grant.returning
        )
