"""The two WebSockets of the screens: the live feed, and the prototype's insight socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import msgspec
from aiohttp import WSMsgType, web
from prometheus_client import Counter, Gauge

from dashboard import state
from dashboard.auth import close_socket
from dashboard.calls import as_uuid, find_call, parse_name
from dashboard.hub import Hub, HubClosed, Subscription, TooSlowError
from dashboard.problem import Problem, bad_parameter
from dashboard.snapshot import SnapshotReader
from infra.bus.streams import START, valid_cursor
from infra.model import stable_id
from infra.store.database import StoreAway
from infra.store.users import User
from infra.telemetry import logger

TOO_SLOW: Final = 4008
GOING_AWAY: Final = 1001
TRY_AGAIN: Final = 1013
SEND_TIMEOUT_S: Final = 10.0
PING_S: Final = 20.0
MESSAGE_MAX_BYTES: Final = 4096
SOCKETS_MOST: Final = 5000

_open: Final = Gauge("hearline_dashboard_sockets", "Live sockets of screens", ["kind"], multiprocess_mode="livesum")
_cut: Final = Counter("hearline_dashboard_sockets_cut_total", "Sockets closed because their screen was too slow")


Source = Callable[[], Awaitable[bytes]]

_log = logger(__name__)


class Sockets:
    """Serves /ws/events and /ws/llm-updates."""

    def __init__(self, hub: Hub, snapshots: SnapshotReader) -> None:
        self._hub = hub
        self._calls = snapshots.calls
        self._snapshots = snapshots
        self._count = 0

    async def events(self, request: web.Request) -> web.StreamResponse:
        """WS /ws/events?call={id or *}&after={cursor}: events after the cursor, then new ones."""
        user: User = request["user"]
        name = parse_name(request.query.get("call", ""), "call")
        after = request.query.get("after")
        if after is not None and not valid_cursor(after):
            raise bad_parameter("after", "is not a cursor: take the id of an event, or a snapshot's cursor")
        call_id = None
        if name != "*":
            row = await find_call(self._calls, user.tenant_id, name)
            if row is None:
                if as_uuid(name) is None:
                    raise bad_parameter("call", "is neither *, a call's id nor the external id of a call")
                raise Problem(404, "there is no such call")
            call_id = row["id"]
        with self._hub.subscribe(user.tenant_id, call_id, after) as subscription:
            return await self._serve(request, "events", lambda: _payload(subscription))

    async def llm_updates(self, request: web.Request) -> web.StreamResponse:
        """WS /ws/llm-updates/{call_id}: all insights of the call, now and after each change."""
        user: User = request["user"]
        name = parse_name(request.match_info["call_id"], "call_id")
        row = await find_call(self._calls, user.tenant_id, name)
        if row is not None:
            call_id = row["id"]
        else:
            # The capture page opens this socket beside /ws/call: the call may not be there yet.
            call_id = as_uuid(name) or stable_id("capture", user.tenant_id, name)
            if await self._calls.tenant(call_id) not in {None, user.tenant_id}:
                raise Problem(404, "there is no such call")
        updates = LlmUpdates(self._snapshots, user.tenant_id, call_id, name)
        await updates.refresh()
        with self._hub.subscribe(user.tenant_id, call_id, updates.cursor) as subscription:
            return await self._serve(request, "llm-updates", lambda: updates.next(subscription))

    async def _serve(self, request: web.Request, kind: str, source: Source) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            protocols=request["ws_protocols"],
            heartbeat=PING_S,
            max_msg_size=MESSAGE_MAX_BYTES,
            compress=False,  # one encoding for all screens
        )
        if not socket.can_prepare(request):
            raise Problem(426, "this address speaks WebSocket only", headers={"Upgrade": "websocket"})
        if self._count >= SOCKETS_MOST:
            raise Problem(503, "too many screens are connected", headers={"Retry-After": "5"})
        self._count += 1
        _open.labels(kind).inc()
        try:
            await socket.prepare(request)
            await _pump(request, socket, source)
        finally:
            self._count -= 1
            _open.labels(kind).dec()
        return socket


class LlmUpdates:
    """The insights of one call as the prototype's page wants them: all of them, each time one changes."""

    def __init__(self, snapshots: SnapshotReader, tenant_id: UUID, call_id: UUID, name: str) -> None:
        self.cursor = START
        self._snapshots = snapshots
        self._tenant_id = tenant_id
        self._call_id = call_id
        self._name = name
        self._state = state.empty(str(call_id))
        self._ours = False
        self._fresh = True

    async def refresh(self) -> None:
        """Start from what is stored."""
        snapshot = await self._snapshots.read(self._tenant_id, self._call_id)
        if snapshot is not None:
            self._state = state.from_snapshot(msgspec.to_builtins(snapshot))
            self.cursor = snapshot.cursor
            self._ours = True

    async def next(self, subscription: Subscription) -> bytes:
        """Return the state now, at the first call, then whenever an insight has changed."""
        while not self._fresh:
            message = await subscription.next()
            if message.kind == "resync":
                await self.refresh()
                self._fresh = True
            elif message.event is not None:
                self._state = state.apply(self._state, message.event)
                self._fresh = message.event.type == "insight" and await self._is_ours()
        self._fresh = False
        body = {"type": "llm_update", "call_id": self._name, "data": state.llm_data(self._state)}
        return msgspec.json.encode(body)

    async def _is_ours(self) -> bool:
        """A call that was unknown when the socket opened may have become another tenant's."""
        if not self._ours:
            await self.refresh()
        return self._ours


async def _payload(subscription: Subscription) -> bytes:
    return (await subscription.next()).payload


async def _pump(request: web.Request, socket: web.WebSocketResponse, source: Source) -> None:
    """Send until the peer or the server goes, or the peer is too slow."""
    transport = request.transport
    async with asyncio.TaskGroup() as group:
        sender = group.create_task(_send(socket, source))
        listener = group.create_task(_listen(socket))
        await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
        listener.cancel()
        sender.cancel()
    if not sender.cancelled():
        code, reason = sender.result()
        await close_socket(socket, transport, code, reason)


async def _send(socket: web.WebSocketResponse, source: Source) -> tuple[int, bytes]:
    """Return with which code, and words, to close."""
    try:
        while True:
            payload = await source()
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_frame(payload, WSMsgType.TEXT)
            except ConnectionError:
                return GOING_AWAY, b""  # there is nobody to tell
            except TimeoutError:
                raise TooSlowError from None
    except TooSlowError:
        _cut.inc()
        return TOO_SLOW, b"too slow: resume from your cursor"
    except HubClosed:
        return GOING_AWAY, b"the server stops: resume from your cursor"
    except StoreAway as error:
        _log.warning("socket closed while the database is away", error=type(error).__name__)
        return TRY_AGAIN, b"the database is away: try again"


async def _listen(socket: web.WebSocketResponse) -> None:
    """Read, for the pings and the closing of the peer; what it says is not listened to."""
    async for _ in socket:
        pass
