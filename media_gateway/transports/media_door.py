"""WS /media/{dialect}: calls' audio from those who send it, each in its own wire format.

Nobody gets in without a token of the role sender: in the handshake as `?token=`, `Authorization: Bearer`, the password
of `Authorization: Basic`, the subprotocol `bearer.TOKEN` or a header of the dialect's; where a sender can do none of
that, in its first message. A stream's address, and the parameters that the sender passes on, may say more about it:
`answer`, `role`, `mixed`, `from`, `to`, `call`.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import hdrs, web

from infra.model import DEFAULT_TENANT, Call, Role, stable_id, utc_now
from infra.problem import problem
from infra.store.queues import Queue
from infra.telemetry import logger
from infra.tokens import StreamGrant, StreamTokens, TokenError
from media_gateway.audio import AudioFormatError
from media_gateway.open_calls import OpenCalls
from media_gateway.ports import CallRegistry, Meter, NoMeter
from media_gateway.protocols.dialects.dialect import MAX_ID_CHARS, Dialect, Handshake, Start, Track
from media_gateway.protocols.dialects.registry import DIALECTS
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.senders import NobodyKnowsError, Sender, Senders
from media_gateway.switchboard.board import Switchboard
from media_gateway.transports.dialect_socket import Admission, DialectSocket
from media_gateway.transports.media_socket import MediaDoor, SocketLimits
from media_gateway.wire_audio import line_voice

log = logger(__name__)

PATH: Final = "/media/{dialect}"

_LIMITS: Final = SocketLimits(max_message_bytes=256 * 1024, max_speed=64.0)
_BEARER_PROTOCOL: Final = "bearer."
_MAX_TOKENS: Final = 3
"""That one handshake may show."""
_MAX_UNPROVEN: Final = 64
"""Sockets at once that have yet to show a token."""
_MAX_NUMBER_CHARS: Final = 90
_ROLES: Final[Mapping[str, Role]] = {"customer": "customer", "agent": "agent", "unknown": "unknown"}
_YES: Final = frozenset({"1", "true", "yes"})
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "sec-websocket-protocol"})

QueueFor = Callable[[UUID, str | None], Awaitable[Queue]]
HandshakeCheck = Callable[[web.Request], bool]
"""Whether a handshake is the sender's own, where a dialect can show that beside its token (a signature)."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Why a stream was let in: a sender's token, or a one-time token for one call."""

    sender: Sender | None = None
    grant: StreamGrant | None = None

    @property
    def tenant_id(self) -> UUID:
        """Return whose calls it brings."""
        return self.sender.tenant_id if self.sender else self.grant.tenant_id if self.grant else DEFAULT_TENANT


class Refused(Exception):
    """A handshake that is not let in."""

    def __init__(self, status: HTTPStatus, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason


class SenderDoor:
    """The route and what it needs. Register `handle` under `PATH`; await `close` when the server stops."""

    def __init__(
        self,
        registry: CallRegistry,
        senders: Senders,
        *,
        tokens: StreamTokens | None = None,
        public_base_url: str = "",
        grace_s: float = 15.0,
        limits: SocketLimits = _LIMITS,
        meter: Meter | None = None,
        board: Switchboard | None = None,
        queue_for: QueueFor | None = None,
        checks: Mapping[str, HandshakeCheck] | None = None,
    ) -> None:
        """`tokens`: opens one-time tokens too. `board`: finds callers somebody to talk to; None: all are listened to.

        `queue_for`: whose number it is, for whether its calls may be recorded. `checks`: by dialect.
        """
        self.meter = meter or NoMeter()
        self.senders = senders
        self.board = board
        self.doors = {
            name: MediaDoor(name, OpenCalls(registry, name, grace_s=grace_s, meter=self.meter), limits, self.meter)
            for name in DIALECTS
        }
        self._tokens = tokens
        self._public_host = urlsplit(public_base_url).hostname
        self._queue_for = queue_for
        self._checks = checks or {}
        self._unproven = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket."""
        name = request.match_info["dialect"]
        dialect = DIALECTS.get(name)
        if dialect is None:
            return problem(HTTPStatus.NOT_FOUND, f"No such dialect; there are {', '.join(sorted(DIALECTS))}.")
        try:
            self._check_origin(request)
            entry = await self._pass_of(request, dialect)
            if name in self._checks and not self._checks[name](request):
                raise Refused(HTTPStatus.UNAUTHORIZED, "bad-signature", "The handshake's signature is not right.")
            if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
                return problem(HTTPStatus.UPGRADE_REQUIRED, "This address speaks WebSocket.", {"Upgrade": "websocket"})
            if entry is None and self._unproven >= _MAX_UNPROVEN:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many", "Too many streams without a token.")
        except Refused as refused:
            self.meter.refused(name, refused.reason)
            log.info("media socket refused", door=name, reason=refused.reason)
            challenge = {"WWW-Authenticate": 'Bearer realm="hearline", Basic realm="hearline"'}
            return problem(
                refused.status, str(refused), challenge if refused.status is HTTPStatus.UNAUTHORIZED else None
            )
        return await _Visit(self, dialect, entry).run(request)

    async def close(self, reason: str = "server-shutdown") -> None:
        """Send every socket away and end the calls that are left."""
        for door in self.doors.values():
            await door.close(reason)

    def unproven(self, by: int) -> None:
        """Count a socket that came without a token, or no longer."""
        self._unproven += by

    async def recorded(self, tenant_id: UUID, number: str | None) -> bool:
        """Return whether calls to a number may be recorded."""
        return self._queue_for is None or (await self._queue_for(tenant_id, number)).recorded

    async def find(self, token: str) -> Pass | None:
        """Return what a token is good for; None: nothing at all.

        Raises:
            Refused: it may not send, or nobody can tell.
        """
        try:
            sender = await self.senders.find(token)
        except NobodyKnowsError:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "store-away", "The database, which knows the tokens, is away."
            ) from None
        if sender is not None:
            if not sender.may_send:
                raise Refused(HTTPStatus.FORBIDDEN, "bad-role", "This token's role may not send calls.")
            return Pass(sender)
        if self._tokens is not None:
            try:
                return Pass(grant=await self._tokens.redeem(token))
            except TokenError:
                pass
        return None

    async def _pass_of(self, request: web.Request, dialect: type[Dialect]) -> Pass | None:
        """Return who stands behind a handshake; None: its first message has to say."""
        shown = shown_tokens(request, dialect.token_headers)
        for token in shown[:_MAX_TOKENS]:
            if (entry := await self.find(token)) is not None:
                return entry
        if not shown and dialect.token_in_start:
            return None
        if shown:
            raise Refused(HTTPStatus.UNAUTHORIZED, "bad-token", "This token is not valid.")
        raise Refused(HTTPStatus.UNAUTHORIZED, "no-token", "Send a token of the role sender.")

    def _check_origin(self, request: web.Request) -> None:
        """Senders are no browsers. Some name the host that they call as their origin; a page elsewhere is refused."""
        told = request.headers.get(hdrs.ORIGIN)
        if told is None:
            return
        try:
            host, own = urlsplit(told if "//" in told else f"//{told}").hostname, urlsplit(f"//{request.host}").hostname
        except ValueError:
            host = own = None
        if host is None or host not in {own, self._public_host}:
            raise Refused(HTTPStatus.FORBIDDEN, "foreign-origin", "Another site's page may not do this.")


class _Visit:
    """One socket, from its handshake on."""

    def __init__(self, door: SenderDoor, dialect: type[Dialect], entry: Pass | None) -> None:
        self._door = door
        self._dialect = dialect
        self._pass = entry
        self._query: Mapping[str, str] = {}
        self._held = ExitStack()
        self._socket: DialectSocket

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Carry the socket until it ends."""
        protocol = _subprotocol(request, self._dialect)
        handshake = _handshake(request, self._dialect, protocol)
        self._query = handshake.query
        self._socket = DialectSocket(
            self._door.doors[self._dialect.name],
            self._dialect(handshake),
            self._admit,
            board=self._door.board,
            protocols=(protocol,) if protocol else (),
        )
        with self._held:
            if self._pass is None:
                self._door.unproven(1)
                self._held.callback(self._proven)
            else:
                self._hold(self._pass)
            return await self._socket.run(request)

    def _proven(self) -> None:
        self._door.unproven(-1)

    def _hold(self, entry: Pass) -> None:
        if entry.sender is not None:
            self._held.enter_context(self._door.senders.held(entry.sender, self._cut_off))

    async def _cut_off(self) -> None:
        await self._socket.refuse(ProtocolError(CloseCode.POLICY, "token-revoked", "the token was revoked"))

    async def _admit(self, start: Start) -> Admission:
        entry = self._pass or await self._prove(start.token)
        told = {**start.parameters, **self._query}
        grant = entry.grant
        call_id = _external_id(told.get("call") or start.call_id or (grant.call_sid if grant else ""))
        if grant is not None and grant.call_sid != call_id:
            raise ProtocolError(CloseCode.POLICY, "foreign-token", "the token is for another call")
        from_number = _number(told.get("from") or (grant and grant.from_number) or start.from_number)
        to_number = _number(told.get("to") or (grant and grant.to_number) or start.to_number)
        name, tenant_id = self._dialect.name, entry.tenant_id
        call = Call(
            id=grant.call_id if grant else stable_id(name, tenant_id, call_id),
            door=name,
            external_id=call_id,
            started_at=utc_now(),
            from_number=from_number,
            to_number=to_number,
            recorded=(grant is None or grant.recorded) and await self._door.recorded(tenant_id, to_number),
            tenant_id=tenant_id,
            owner_id=entry.sender.user_id if entry.sender else None,
        )
        admission = _parties(start, told, Admission(call, start.tracks, returning=bool(grant and grant.returning)))
        asked = told.get("answer", "").lower()
        wanted = asked in _YES if asked else start.answer or bool(grant and grant.bridged)
        hindrance = self._hindrance(start, admission) if wanted else None
        if hindrance is not None and asked:
            raise ProtocolError(CloseCode.POLICY, "not-answerable", hindrance)
        return replace(admission, answered=wanted and hindrance is None)

    async def _prove(self, token: str | None) -> Pass:
        try:
            entry = await self._door.find(token or "")
        except Refused as refused:
            raise ProtocolError(CloseCode.POLICY, refused.reason, str(refused)) from None
        if entry is None:
            raise ProtocolError(CloseCode.POLICY, "bad-token", "send a valid token of the role sender")
        self._held.close()  # it is not a stranger any more
        self._hold(entry)
        return entry

    def _hindrance(self, start: Start, admission: Admission) -> str | None:
        """Return why this stream's caller cannot be put through to us."""
        if self._door.board is None:
            return "nobody answers calls here"
        if start.plays is None:
            return "this stream takes no audio from us"
        if len(admission.tracks) > 1 or any(track.role != "customer" for track in admission.tracks):
            return "only a stream of the caller's track alone can be answered"
        try:
            line_voice(start.codec, start.plays)
        except AudioFormatError:
            return "no conversation is possible in this codec or rate"
        return None


def _parties(start: Start, told: Mapping[str, str], admission: Admission) -> Admission:
    """Return whose the only track is, where the sender's user says so. Of two tracks each is somebody's own."""
    role = told.get("role", "").lower()
    mixed = told.get("mixed", "").lower() in _YES
    if role and role not in _ROLES:
        raise ProtocolError(CloseCode.POLICY, "bad-parameter", "role is customer, agent or unknown")
    if len(start.tracks) > 1 or not (role or mixed):
        return admission
    known = start.tracks[0] if start.tracks else Track("", "customer")
    track = replace(known, role="unknown" if mixed else _ROLES[role], mixed=mixed or known.mixed)
    return replace(admission, tracks=(track,)) if start.tracks else replace(admission, alone=track)


def _external_id(told: str) -> str:
    call_id = told.strip() or secrets.token_hex(16)
    if len(call_id) > MAX_ID_CHARS or not call_id.isprintable():
        raise ProtocolError(CloseCode.INVALID, "bad-start", "a call's id of printable characters, at most 200")
    return call_id


def _number(told: str | None) -> str | None:
    """Return who calls, or is called, as the sender names them."""
    return "".join(filter(str.isprintable, told or "")).strip()[:_MAX_NUMBER_CHARS] or None


def shown_tokens(request: web.Request, headers: Sequence[str] = ()) -> list[str]:
    """Return what a request shows for tokens, in the order in which they are tried; `headers`: of the dialect's own."""
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    shown = [request.query.get("token", "")]
    if scheme.lower() == "bearer":
        shown.append(value.strip())
    elif scheme.lower() == "basic":
        shown.append(_password(value.strip()))
    shown += [request.headers.get(name, "") for name in headers]
    shown += [
        offered.removeprefix(_BEARER_PROTOCOL) for offered in _offered(request) if offered.startswith(_BEARER_PROTOCOL)
    ]
    return [token for token in shown if token]


def _password(credentials: str) -> str:
    """Return the password of Basic credentials (RFC 7617), "" if they are none."""
    try:
        return b64decode(credentials, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _offered(request: web.Request) -> list[str]:
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    return [protocol.strip() for protocol in offered.split(",") if protocol.strip()]


def _subprotocol(request: web.Request, dialect: type[Dialect]) -> str | None:
    """Return what the handshake agrees on: a protocol of the dialect's, else the one that carried the token."""
    offered = _offered(request)
    ours = [protocol for protocol in dialect.subprotocols if protocol in offered]
    ours += [protocol for protocol in offered if protocol.startswith(_BEARER_PROTOCOL)]
    return ours[0] if ours else None


def _handshake(request: web.Request, dialect: type[Dialect], protocol: str | None) -> Handshake:
    secret = _SECRET_HEADERS.union(dialect.token_headers)
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in secret}
    query = {name: request.query[name] for name in request.query if name != "token"}
    return Handshake(query, headers, None if protocol is None or protocol.startswith(_BEARER_PROTOCOL) else protocol)
