"""The /webrtc addresses on a server of their own, whoever is logged in there, and lines that remember."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from infra.model import DEFAULT_TENANT, UserRole
from media_gateway.ports import CallRefused, Peer, UserLike
from media_gateway.transports.rtc_peer import PeerLimits
from media_gateway.transports.webrtc import LEG_PATH, OFFER_PATH, WebRtc
from tests.conftest import until
from tests.fakes.gateway import CountingMeter
from tests.rtc_client import ON_LOOPBACK, Client, Ear


@dataclass(frozen=True)
class Person:
    id: UUID
    role: UserRole = "agent"
    tenant_id: UUID = DEFAULT_TENANT
    name: str = "Ann"


ANN, BOB = Person(UUID(int=1)), Person(UUID(int=2))
ADMIN, STRANGER = Person(UUID(int=3), "admin"), Person(UUID(int=4), "admin", UUID(int=99))


@dataclass
class Line(Ear):
    """A line that remembers."""

    call_id: UUID = field(default_factory=uuid4)
    leg_id: UUID = field(default_factory=uuid4)
    peer: Peer | None = None
    hung_up: int = 0

    def connect(self, peer: Peer) -> None:
        if self.peer is not None:
            self.peer.disconnect()
        self.peer = peer

    def hang_up(self) -> None:
        self.hung_up += 1


class Office:
    """A server, who is logged in, and the lines that were asked for."""

    def __init__(self) -> None:
        self.user: Person | None = ANN
        self.lines: list[Line] = []
        self.asked: list[tuple[UserLike, UUID | None]] = []
        self.refuses: str | None = None
        self.next: Line | None = None
        self.meter = CountingMeter()
        self.webrtc = WebRtc(self, network=ON_LOOPBACK, limits=PeerLimits(connect_within_s=5.0), meter=self.meter)

        @web.middleware
        async def log_in(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if self.user is not None:
                request["user"] = self.user
            return await handler(request)

        app = web.Application(middlewares=[log_in])
        app.router.add_post(OFFER_PATH, self.webrtc.offer)
        app.router.add_patch(LEG_PATH, self.webrtc.trickle)
        app.router.add_delete(LEG_PATH, self.webrtc.hang_up)
        self.http: TestClient[web.Request, web.Application] = TestClient(TestServer(app))
        self.clients: list[Client] = []

    async def line(self, user: UserLike, call_id: UUID | None) -> Line:
        self.asked.append((user, call_id))
        if self.refuses is not None:
            raise CallRefused(self.refuses)
        line = self.next or Line(call_id=call_id or uuid4())
        self.lines.append(line)
        return line

    def client(self) -> Client:
        self.clients.append(Client())
        return self.clients[-1]

    async def call(self, **more: Any) -> tuple[Client, dict[str, Any], Line]:
        """Connect a browser."""
        client = self.client()
        reply = await self.http.post(OFFER_PATH, json={"sdp": await client.offer(), "type": "offer", **more})
        assert reply.status == 200, await reply.text()
        told = await reply.json()
        assert reply.headers["Location"] == f"/webrtc/{told['leg_id']}"
        await client.take(told["sdp"])
        line = self.lines[-1]
        await until(lambda: line.packets)
        return client, told, line
