"""Who may come in, and who may do what: the one guard of /api, /ws and /webrtc."""

from __future__ import annotations

import asyncio
import hmac
import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from dashboard.headers import is_https
from dashboard.problem import Handler, Problem, away
from infra.model import DEFAULT_TENANT, UserRole
from infra.settings import Settings
from infra.store.database import StoreAway
from infra.store.users import API_TOKEN_USER_ID, User, UserStore, digest
from infra.telemetry import logger

SESSION_ENDED: Final = 4001
"""Close code of the sockets of somebody who logged out."""

CACHE_S: Final = 5.0
CACHE_ENTRIES: Final = 1024
LOOKUP_TIMEOUT_S: Final = 2.0
WATCH_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 1.0
SECRET_MAX_CHARS: Final = 512
SUBPROTOCOL_PREFIX: Final = "bearer."

DOCS: Final = "/api/docs"
LOGIN_HELP: Final = "/login-help"
"""The page that says how to come in."""
GUARDED: Final = ("/api/", "/ws/", "/webrtc/")

EVERYBODY: Final[frozenset[UserRole]] = frozenset({"agent", "supervisor", "admin"})
LEADS: Final[frozenset[UserRole]] = frozenset({"supervisor", "admin"})
ADMINS: Final[frozenset[UserRole]] = frozenset({"admin"})

ACCESS: Final[Mapping[tuple[str, str], frozenset[UserRole]]] = {
    ("GET", "/api/openapi.json"): EVERYBODY,
    ("GET", DOCS): EVERYBODY,
    ("GET", "/api/docs.css"): EVERYBODY,
    ("GET", "/api/v1/me"): EVERYBODY,
    ("POST", "/api/v1/logout"): EVERYBODY,
    ("GET", "/api/v1/calls"): EVERYBODY,
    ("GET", "/api/v1/calls/{call_id}"): EVERYBODY,
    ("GET", "/api/v1/calls/{call_id}/transcript"): EVERYBODY,
    ("GET", "/api/v1/calls/{call_id}/insights"): EVERYBODY,
    ("GET", "/api/v1/calls/{call_id}/export"): EVERYBODY,
    ("GET", "/api/v1/calls/{call_id}/recording"): EVERYBODY,
    ("GET", "/api/v1/calls/{call_id}/recording/peaks"): EVERYBODY,
    ("POST", "/api/v1/calls/{call_id}/recording/pause"): EVERYBODY,
    ("POST", "/api/v1/calls/{call_id}/recording/resume"): EVERYBODY,
    ("PATCH", "/api/v1/calls/{call_id}/speakers/{speaker}"): EVERYBODY,
    ("PATCH", "/api/v1/action-items/{insight_id}"): EVERYBODY,
    ("GET", "/api/v1/live"): EVERYBODY,
    ("GET", "/api/v1/system"): EVERYBODY,
    ("GET", "/api/v1/agents"): LEADS,
    ("GET", "/api/v1/analytics"): LEADS,
    ("GET", "/api/v1/queues"): EVERYBODY,
    ("POST", "/api/v1/queues"): ADMINS,
    ("PUT", "/api/v1/queues/{queue_id}"): ADMINS,
    ("DELETE", "/api/v1/queues/{queue_id}"): ADMINS,
    ("GET", "/api/v1/vocabulary"): EVERYBODY,
    ("POST", "/api/v1/vocabulary"): LEADS,
    ("DELETE", "/api/v1/vocabulary/{phrase_id}"): LEADS,
    ("GET", "/api/v1/imports"): LEADS,
    ("POST", "/api/v1/imports"): LEADS,
    ("GET", "/api/v1/imports/{import_id}"): LEADS,
    ("PUT", "/api/v1/imports/{import_id}/content"): LEADS,
    ("POST", "/api/v1/imports/{import_id}/cancel"): LEADS,
    ("GET", "/api/v1/callbacks"): EVERYBODY,
    ("PATCH", "/api/v1/callbacks/{callback_id}"): EVERYBODY,
    ("POST", "/api/v1/twilio/token"): EVERYBODY,
    ("GET", "/ws/events"): EVERYBODY,
    ("GET", "/ws/llm-updates/{call_id}"): EVERYBODY,
    ("GET", "/ws/call"): EVERYBODY,
    ("GET", "/ws/phone"): EVERYBODY,
    ("POST", "/webrtc/offer"): EVERYBODY,
    ("PATCH", "/webrtc/{leg_id}"): EVERYBODY,
    ("DELETE", "/webrtc/{leg_id}"): EVERYBODY,
}
"""Who may use which route. A guarded route that is not here is closed to all."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has shown a valid secret, and how."""

    user: User
    digest: bytes
    way: Literal["session", "token"]


IDENTITY: Final = web.RequestKey("identity", Identity)


class IdentityCache:
    """Whose secret it is, asked at most once in `CACHE_S` however many requests come with it."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._locks = [asyncio.Lock() for _ in range(64)]

    async def find(self, secret: str, way: Literal["session", "token"]) -> Identity | None:
        """Return who shows this secret. Raises StoreAway within `LOOKUP_TIMEOUT_S` when nobody can tell."""
        key = digest(f"{way}:{secret}")
        if found := self._fresh(key):
            return found
        async with asyncio.timeout(LOOKUP_TIMEOUT_S), self._locks[key[0] % len(self._locks)]:
            if found := self._fresh(key):
                return found
            user = await self._users.find(secret, way)
        if user is None:
            return None
        identity = Identity(user, digest(secret), way)
        self._known[key] = (time.monotonic() + CACHE_S, identity)
        self._known.move_to_end(key)
        while len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)
        return identity

    def forget(self, revoked: set[bytes]) -> None:
        """Drop what is known of these secrets (their digests)."""
        for key in [key for key, (_, identity) in self._known.items() if identity.digest in revoked]:
            del self._known[key]

    def _fresh(self, key: bytes) -> Identity | None:
        found = self._known.get(key)
        return found[1] if found and time.monotonic() < found[0] else None


class Guard:
    """The middleware that lets people in, and the watch that puts them out again."""

    def __init__(self, users: UserStore, settings: Settings) -> None:
        self.users = users
        self.cache = IdentityCache(users)
        self.cookie = "__Host-hearline_session" if is_https(settings) else "hearline_session"
        token = settings.hearline_api_token
        self._api_token = token.get_secret_value().encode() if token else None
        self._public = _origin(settings.public_base_url) if settings.public_base_url else None
        self._sockets: dict[bytes, dict[web.WebSocketResponse, asyncio.Transport | None]] = {}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the request through, with request["user"] set, or refuse it with 401, 403 or 503.

        Somebody who comes to the docs with a browser is shown the way in.

        request["ws_protocols"] holds the subprotocol that a WebSocket's answer has to echo, if any.
        """
        if not request.path.startswith(GUARDED):
            return await handler(request)
        self._check_origin(request)
        identity = await self.identify(request)
        if identity is None:
            if request.path == DOCS and "text/html" in request.headers.get("Accept", ""):
                return web.Response(status=303, headers={"Location": LOGIN_HELP, "Cache-Control": "no-store"})
            raise Problem(
                401, "log in, or send a bearer token", headers={"WWW-Authenticate": 'Bearer realm="hearline"'}
            )
        if identity.way == "session" and request.method not in _SAFE_METHODS:
            self._check_fetch_site(request)
        self._check_role(request, identity.user.role)
        request[IDENTITY] = identity
        with warnings.catch_warnings():
            # Plain names on purpose: the doors of other packages read them, and those import nothing of ours.
            warnings.simplefilter("ignore", web.NotAppKeyWarning)
            request["user"] = identity.user
            request["ws_protocols"] = tuple(p for p in _subprotocols(request) if p.startswith(SUBPROTOCOL_PREFIX))
        try:
            return await handler(request)
        finally:
            self._forget_socket(request, identity)

    async def identify(self, request: web.Request) -> Identity | None:
        """Return who sends this request; an explicit token counts before the cookie."""
        token = _bearer(request)
        if token is not None and self._is_api_token(token):
            return Identity(_API_USER, digest(token), "token")
        secret = token if token is not None else request.cookies.get(self.cookie)
        if not secret or len(secret) > SECRET_MAX_CHARS or not secret.isascii():
            return None
        try:
            return await self.cache.find(secret, "token" if token is not None else "session")
        except StoreAway as error:
            raise away("The database, which knows who you are,") from error

    def is_local(self, request: web.Request) -> bool:
        """Return whether the request comes straight from this machine, not through a proxy on it."""
        forwarded = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP"))
        return request.remote in {"127.0.0.1", "::1"} and not forwarded

    async def note_socket(self, request: web.Request, response: web.StreamResponse) -> None:
        """Remember an opening WebSocket with whose it is; a signal of aiohttp (on_response_prepare)."""
        identity = request.get(IDENTITY)
        if isinstance(response, web.WebSocketResponse) and identity is not None:
            self._sockets.setdefault(identity.digest, {})[response] = request.transport
            request[_SOCKET] = response

    async def end(self, revoked: set[bytes]) -> None:
        """Close the sockets of secrets (their digests) that are no longer valid, each within about a second."""
        self.cache.forget(revoked)
        async with asyncio.TaskGroup() as group:
            for secret in revoked:
                for socket, transport in self._sockets.get(secret, {}).items():
                    group.create_task(close_socket(socket, transport, SESSION_ENDED, b"the session has ended"))

    async def watch(self) -> None:
        """Notice for ever what was revoked or ran out elsewhere."""
        while True:
            await asyncio.sleep(WATCH_S)
            held = set(self._sockets)
            if self._api_token is not None:
                held.discard(digest(self._api_token.decode()))
            if not held:
                continue
            try:
                async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                    valid = await self.users.still_valid(held)
            except StoreAway as error:
                _log.debug("sessions not checked", error=type(error).__name__)
                continue
            await self.end(held - valid)

    def _is_api_token(self, token: str) -> bool:
        return self._api_token is not None and hmac.compare_digest(
            token.encode("utf-8", "surrogateescape"), self._api_token
        )

    def _check_origin(self, request: web.Request) -> None:
        """A page of another site must not act as its visitor: no sockets at all, no unsafe request."""
        told = request.headers.get(hdrs.ORIGIN)
        unsafe = request.method not in _SAFE_METHODS and self.cookie in request.cookies
        if told is not None and (unsafe or _is_websocket(request)) and not self._is_own_origin(told, request.host):
            raise _foreign()

    def _is_own_origin(self, told: str, host: str) -> bool:
        origin = _origin(told)
        if origin is None:
            return False
        try:
            asked = urlsplit(f"//{host}")
            asked_port = asked.port
        except ValueError:
            return False
        if self._public is not None:
            scheme, name, port = self._public
            asked_for_public = asked.hostname == name and (asked_port or _DEFAULT_PORTS[scheme]) == port
            if asked_for_public or origin == self._public:
                return origin == self._public
        scheme, name, port = origin
        return name == asked.hostname and port == (asked_port or _DEFAULT_PORTS[scheme])

    def _check_fetch_site(self, request: web.Request) -> None:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise _foreign()

    def _check_role(self, request: web.Request, role: UserRole) -> None:
        resource = request.match_info.route.resource
        if resource is None:
            return  # no such route: the router says 404 or 405
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        if role not in ACCESS.get((method, resource.canonical), frozenset()):
            raise Problem(403, f"the role {role} may not do this")

    def _forget_socket(self, request: web.Request, identity: Identity) -> None:
        socket = request.get(_SOCKET)
        mine = self._sockets.get(identity.digest)
        if socket is None or mine is None:
            return
        mine.pop(socket, None)
        if not mine:
            del self._sockets[identity.digest]


_API_USER: Final = User(API_TOKEN_USER_ID, DEFAULT_TENANT, "HEARLINE_API_TOKEN", "admin")
_SOCKET: Final = web.RequestKey("guarded-socket", web.WebSocketResponse)


async def close_socket(
    socket: web.WebSocketResponse, transport: asyncio.Transport | None, code: int, message: bytes
) -> None:
    """Close a WebSocket whose peer may have stopped reading: never waits longer than about a second."""
    if transport is not None:
        asyncio.get_running_loop().call_later(2 * CLOSE_TIMEOUT_S, transport.abort)
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close(code=code, message=message)
    except (TimeoutError, ConnectionError) as error:
        _log.debug("socket closed hard", error=type(error).__name__)


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if _is_websocket(request):
        for protocol in _subprotocols(request):
            if protocol.startswith(SUBPROTOCOL_PREFIX):
                return protocol.removeprefix(SUBPROTOCOL_PREFIX)
    return None


def _subprotocols(request: web.Request) -> list[str]:
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    return [protocol.strip() for protocol in offered.split(",")]


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return (scheme, host, port) of an http origin; None for any other, 'null' among them."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            return None
        return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]
    except ValueError:
        return None


def _foreign() -> Problem:
    return Problem(403, "another site's page may not do this")
