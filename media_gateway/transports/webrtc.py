"""/webrtc: a browser's microphone and loudspeaker become a party's audio.

POST /webrtc/offer takes an offer, as JSON ({sdp, type, call_id?}) or as application/sdp (WHIP, RFC 9725; ?call_id=...).
PATCH /webrtc/{leg_id} takes candidates that came later, DELETE hangs up. Who may use these, and from which page, is
checked before the handlers are called; the user is then `request["user"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, cast
from uuid import UUID

import msgspec
from aiohttp import web

from infra.problem import problem
from infra.telemetry import logger
from media_gateway.ports import CallRefused, Meter, NoMeter, PeerState, PhoneLine, PhoneLines, UserLike
from media_gateway.protocols.rtc_sdp import (
    MAX_CANDIDATES,
    MAX_OFFER_CHARS,
    Candidate,
    OfferRefused,
    Trickle,
    parse_candidate,
    parse_fragment,
    parse_offer,
)
from media_gateway.transports.rtc_guard import IceServer, Network
from media_gateway.transports.rtc_peer import NoMediaSockets, PeerLimits, RtcPeer

DOOR: Final = "webrtc"
OFFER_PATH: Final = "/webrtc/offer"
LEG_PATH: Final = "/webrtc/{leg_id}"

MAX_LEGS: Final = 400
MAX_LEGS_A_USER: Final = 4
"""Two tabs, and what is left of each for a moment after a reload. An admin's token may stand for many people."""
MAX_TRICKLE_BYTES: Final = 16 * 1024

_SDP: Final = "application/sdp"
_FRAGMENT: Final = "application/trickle-ice-sdpfrag"
_JSON: Final = "application/json"
_NETWORK: Final = Network()
_LIMITS: Final = PeerLimits()

_log = logger(__name__)


class _OfferBody(msgspec.Struct):
    sdp: str
    type: Literal["offer"] = "offer"
    call_id: UUID | None = None


class _CandidateBody(msgspec.Struct, rename="camel"):
    candidate: str | None = None
    username_fragment: str | None = None


class _TrickleBody(msgspec.Struct, rename="camel"):
    candidate: str | None = None
    username_fragment: str | None = None
    candidates: list[_CandidateBody | None] = []


@dataclass(slots=True, eq=False)
class _Leg:
    """A connection, and whose it is."""

    user: UserLike
    line: PhoneLine
    peer: RtcPeer
    ufrag: str
    """The browser's name for the ICE session; candidates of another are old."""

    def may(self, user: UserLike) -> bool:
        """Return whether somebody may act on it."""
        return user.id == self.user.id or (user.role == "admin" and user.tenant_id == self.user.tenant_id)


class _Refused(Exception):
    """A request that is turned down."""

    def __init__(self, status: HTTPStatus, detail: str, reason: str = "bad-request") -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason


class WebRtc:
    """The routes and what they need. Run `run` beside the server; await `close` when it stops."""

    def __init__(
        self,
        lines: PhoneLines,
        *,
        ice_servers: Callable[[], Sequence[IceServer]] = tuple,
        network: Network = _NETWORK,
        limits: PeerLimits = _LIMITS,
        meter: Meter | None = None,
    ) -> None:
        """`ice_servers` is asked anew for each connection: credentials may be good for a limited time only."""
        self._lines = lines
        self._ice_servers = ice_servers
        self._network = network
        self._limits = limits
        self._meter = meter or NoMeter()
        self._legs: dict[UUID, _Leg] = {}
        self._carried: set[_Leg] = set()
        self._closing = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Carry the connections until `close`; cancelled, it drops them."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._closing.wait()
            self._tasks = None

    async def close(self, reason: str = "server-shutdown") -> None:
        """Take no more offers and close what is open."""
        self._closing.set()
        legs = list(self._carried)
        for leg in legs:
            leg.line.on_state("closed")
        await asyncio.gather(*(leg.peer.close() for leg in legs))
        _log.info("webrtc closed", reason=reason, legs=len(legs))

    async def offer(self, request: web.Request) -> web.StreamResponse:
        """POST OFFER_PATH."""
        try:
            user = _user(request)
            body = await _offer_body(request)
            leg, text = await self._open(user, body)
        except _Refused as error:
            return self._refuse(error)
        headers = {"Location": LEG_PATH.format(leg_id=leg.line.leg_id), "Cache-Control": "no-store"}
        if request.content_type == _SDP:
            headers |= {"ETag": f'"{leg.ufrag}"', "Accept-Patch": _FRAGMENT}
            return web.Response(status=HTTPStatus.CREATED, text=text, content_type=_SDP, headers=headers)
        said = {"leg_id": leg.line.leg_id, "call_id": leg.line.call_id, "type": "answer", "sdp": text}
        return web.Response(body=msgspec.json.encode(said), content_type=_JSON, headers=headers)

    async def trickle(self, request: web.Request) -> web.StreamResponse:
        """PATCH LEG_PATH."""
        try:
            leg = self._leg(request)
            wanted = request.headers.get("If-Match", "*")
            if wanted not in {"*", f'"{leg.ufrag}"'}:
                raise _Refused(HTTPStatus.PRECONDITION_FAILED, "this is another ICE session")
            trickle = await _trickle_body(request)
            if trickle.ufrag not in {None, leg.ufrag}:
                raise _Refused(HTTPStatus.CONFLICT, "this is another ICE session: make a new offer")
            for candidate in trickle.candidates:
                await leg.peer.add_candidate(candidate)
        except _Refused as error:
            return self._refuse(error)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def hang_up(self, request: web.Request) -> web.StreamResponse:
        """DELETE LEG_PATH."""
        try:
            leg = self._leg(request)
        except _Refused as error:
            return self._refuse(error)
        self._forget(leg)
        leg.peer.disconnect()
        leg.line.hang_up()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _open(self, user: UserLike, body: _OfferBody) -> tuple[_Leg, str]:
        tasks = self._tasks
        if tasks is None or self._closing.is_set():
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping", "draining")
        if len(self._carried) >= MAX_LEGS:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", "full")
        mine = sum(leg.user.id == user.id for leg in self._carried)
        if mine >= MAX_LEGS_A_USER and user.role != "admin":
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "you have too many connections", "full")
        try:
            ufrag = parse_offer(body.sdp).ufrag  # before a line is asked for: nonsense must not touch a call
            line = await self._lines.line(user, body.call_id)
        except OfferRefused as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "bad-offer") from None
        except CallRefused as error:
            raise _Refused(HTTPStatus.CONFLICT, str(error), "call-refused") from None
        peer = RtcPeer(
            self._ice_servers(),
            on_packet=line.on_packet,
            on_state=lambda state: self._on_state(leg, state),
            network=self._network,
            limits=self._limits,
        )
        leg = _Leg(user, line, peer, ufrag)
        try:
            text = await peer.answer(body.sdp)
            if self._closing.is_set():
                raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping", "draining")
        except NoMediaSockets:
            await peer.close()
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no port for audio is free", "no-socket") from None
        except BaseException:
            await peer.close()
            raise
        self._legs[line.leg_id] = leg
        self._carried.add(leg)
        tasks.create_task(self._carry(leg))
        line.connect(peer)
        return leg, text

    async def _carry(self, leg: _Leg) -> None:
        try:
            await leg.peer.run()
        except Exception as error:  # noqa: BLE001  (the outer loop: one peer's fault must not take the others down)
            _log.error("media connection failed", error=type(error).__name__, detail=str(error)[:200])
        finally:
            self._carried.discard(leg)
            self._forget(leg)
            self._meter.frames(DOOR, "stray", leg.peer.strays)

    def _on_state(self, leg: _Leg, state: PeerState) -> None:
        if state in {"lost", "closed"}:
            self._forget(leg)
        leg.line.on_state(state)

    def _forget(self, leg: _Leg) -> None:
        """A later connection may have taken its place under the same id."""
        if self._legs.get(leg.line.leg_id) is leg:
            del self._legs[leg.line.leg_id]

    def _leg(self, request: web.Request) -> _Leg:
        user = _user(request)
        leg = None
        with suppress(ValueError):
            leg = self._legs.get(UUID(request.match_info["leg_id"]))
        if leg is None or leg.user.tenant_id != user.tenant_id:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such connection", "no-leg")
        if not leg.may(user):
            raise _Refused(HTTPStatus.FORBIDDEN, "this is another user's connection", "not-yours")
        return leg

    def _refuse(self, error: _Refused) -> web.Response:
        self._meter.refused(DOOR, error.reason)
        return problem(error.status, str(error))


def _user(request: web.Request) -> UserLike:
    user = request.get("user")
    if user is None:
        raise _Refused(HTTPStatus.UNAUTHORIZED, "log in first", "no-user")
    return cast("UserLike", user)


async def _offer_body(request: web.Request) -> _OfferBody:
    if request.content_type not in {_JSON, _SDP}:
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON} or {_SDP}")
    data = await _read(request, 2 * MAX_OFFER_CHARS)
    try:
        if request.content_type == _JSON:
            return msgspec.json.decode(data, type=_OfferBody)
        named = request.query.get("call_id")
        return _OfferBody(data.decode(), call_id=UUID(named) if named else None)
    except ValueError:  # msgspec's errors are of this kind
        raise _Refused(HTTPStatus.BAD_REQUEST, "this is not an offer: {sdp, type, call_id}") from None


async def _trickle_body(request: web.Request) -> Trickle:
    if request.content_type not in {_JSON, _FRAGMENT}:
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON} or {_FRAGMENT}")
    data = await _read(request, MAX_TRICKLE_BYTES)
    try:
        if request.content_type == _FRAGMENT:
            return parse_fragment(data.decode())
        body = msgspec.json.decode(data, type=_TrickleBody)
        told = [each for each in [_CandidateBody(body.candidate), *body.candidates] if each and each.candidate]
        if len(told) > MAX_CANDIDATES:
            raise ValueError("too many")
        found = [parse_candidate(each.candidate or "") for each in told]
        ufrags = {body.username_fragment, *(each.username_fragment for each in told)} - {None}
        if len(ufrags) > 1:
            raise ValueError("of several sessions")
    except ValueError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "these are not candidates") from None
    return Trickle(tuple(each for each in found if isinstance(each, Candidate)), next(iter(ufrags), None))


async def _read(request: web.Request, limit_bytes: int) -> bytes:
    """Return the body. How long it may take to come, and what is too much for any route, is the server's matter."""
    data = b"" if (request.content_length or 0) > limit_bytes else await request.read()
    if max(len(data), request.content_length or 0) > limit_bytes:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
    return data
