"""Deadlines that aiohttp's server lacks: a peer that says nothing, sends drops or stops reading is let go."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from dashboard.problem import Handler, Problem
from infra.telemetry import logger

WATCH_S: Final = 1.0

_log = logger(__name__)


@dataclass(slots=True)
class _Connection:
    """What is known of one connection."""

    since: float
    asked: bool = False
    is_websocket: bool = False
    unsent_bytes: int = 0
    stuck_since: float = 0.0


class Limits:
    """The deadlines of a server, each in seconds."""

    def __init__(
        self, *, first_request_s: float = 10.0, body_s: float = 10.0, answer_s: float = 20.0, unread_s: float = 20.0
    ) -> None:
        """`first_request_s`: until the head of a connection's first request is complete (later ones have
        aiohttp's keep-alive time); `body_s`: for a request's body; `answer_s`: for an answer of /api;
        `unread_s`: during which a peer takes nothing of its answer.
        """
        self._first_request_s = first_request_s
        self._body_s = body_s
        self._answer_s = answer_s
        self._unread_s = unread_s
        self._connections: dict[RequestHandler, _Connection] = {}
        self._watches = False

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Bound the reading of the body and, under /api, the whole answer."""
        self._know(request.protocol).asked = True
        if request.can_read_body and request.headers.get(hdrs.UPGRADE) is None:
            try:
                async with asyncio.timeout(self._body_s):
                    await request.read()  # kept for the handler
            except TimeoutError:
                raise Problem(408, "the body took too long", headers={"Connection": "close"}) from None
        if not request.path.startswith("/api/"):
            return await handler(request)
        async with asyncio.timeout(self._answer_s):
            return await handler(request)

    async def note(self, request: web.Request, response: web.StreamResponse) -> None:
        """Remember that a connection has asked, and what for; a signal of aiohttp (on_response_prepare)."""
        known = self._know(request.protocol)
        known.asked = True
        known.is_websocket = isinstance(response, web.WebSocketResponse)

    async def watch(self, runner: web.AppRunner) -> None:
        """Let go of stalled connections, for ever. WebSockets keep deadlines of their own."""
        self._watches = True
        while True:
            await asyncio.sleep(min(WATCH_S, self._first_request_s / 4, self._unread_s / 4))
            if runner.server is not None:
                connections = runner.server.connections
                self._connections = {handler: self._know(handler) for handler in connections}
                self._sweep()

    def _sweep(self) -> None:
        now = time.monotonic()
        for handler, known in self._connections.items():
            transport = handler.transport
            if transport is None or known.is_websocket:
                continue
            unsent_bytes = transport.get_write_buffer_size()
            if unsent_bytes == 0 or unsent_bytes != known.unsent_bytes:
                known.unsent_bytes, known.stuck_since = unsent_bytes, now
            silent = not known.asked and now - known.since > self._first_request_s
            stuck = unsent_bytes > 0 and now - known.stuck_since > self._unread_s
            if silent or stuck:
                _log.info("stalled connection closed", why="silent" if silent else "unread")
                transport.abort()

    def _know(self, handler: RequestHandler) -> _Connection:
        known = self._connections.get(handler) or _Connection(time.monotonic())
        if self._watches:  # else nobody would forget it
            self._connections[handler] = known
        return known
