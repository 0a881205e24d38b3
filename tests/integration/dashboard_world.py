"""A running dashboard on loopback, on real PostgreSQL and Redis, with a tenant of its own for each test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import msgspec
from aiohttp import web
from redis.asyncio import Redis

from dashboard.app import DASHBOARD, WEB_ROOT, Dashboard, DashboardDeps, add_dashboard
from dashboard.health import Drain
from dashboard.limits import Limits
from infra.bus.presence import Presence
from infra.bus.streams import EventStreams, open_redis
from infra.control import CallControl
from infra.embedded import Services
from infra.model import (
    DEFAULT_TENANT,
    Call,
    Event,
    EventType,
    Hole,
    Insight,
    Leg,
    Role,
    Track,
    TranscriptSegment,
    UserRole,
    segment_id,
)
from infra.settings import RecordingFormat, Settings
from infra.shelf import Shelf, peaks_path
from infra.store.calls import CallStore
from infra.store.database import migrate, open_pool
from infra.store.insights import InsightStore, insight_to_json
from infra.store.recordings import Recorded, RecordingStore
from infra.store.transcripts import TranscriptStore, segment_to_json
from infra.store.users import User, UserStore

API_TOKEN = "the-token-of-the-automation"
BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class World:
    """What a test needs."""

    url: str
    pool: asyncpg.Pool
    redis: Redis
    tenant: UUID
    dashboard: Dashboard
    drain: Drain
    app: web.Application
    http: aiohttp.ClientSession
    shelf: Shelf
    streams: EventStreams = field(init=False)
    users: UserStore = field(init=False)
    calls: CallStore = field(init=False)
    transcripts: TranscriptStore = field(init=False)
    insights: InsightStore = field(init=False)
    recordings: RecordingStore = field(init=False)

    def __post_init__(self) -> None:
        self.streams = EventStreams(self.redis)
        self.users = UserStore(self.pool)
        self.calls = CallStore(self.pool)
        self.transcripts = TranscriptStore(self.pool)
        self.insights = InsightStore(self.pool)
        self.recordings = RecordingStore(self.pool)

    async def new_tenant(self) -> UUID:
        """Return a tenant that nobody else uses."""
        tenant_id = uuid4()
        await self.pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'test')", tenant_id)
        return tenant_id

    async def token(self, role: UserRole = "admin", tenant_id: UUID | None = None) -> str:
        """Return the bearer token of a new user."""
        user = await self.user(role, tenant_id)
        return await self.users.issue(user, "token")

    async def user(self, role: UserRole = "admin", tenant_id: UUID | None = None) -> User:
        """Return a new user."""
        return await self.users.add(tenant_id or self.tenant, f"user {uuid4()}", role)

    async def headers(self, role: UserRole = "admin", tenant_id: UUID | None = None) -> dict[str, str]:
        """Return the headers with which a new user asks."""
        return {"Authorization": f"Bearer {await self.token(role, tenant_id)}"}

    async def get(self, path: str, headers: dict[str, str] | None = None, *, status: int = 200) -> Any:
        """Return the JSON at a path; the answer has to have this status. By default an admin of the tenant asks."""
        headers = await self.headers() if headers is None else headers
        async with self.http.get(self.url + path, headers=headers) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return msgspec.json.decode(body)

    async def logged_in(self, user: User) -> aiohttp.ClientSession:
        """Return a browser that came in by a one-time link. Close it."""
        link = await self.users.issue(user, "login", life=timedelta(minutes=5))
        browser = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        async with browser.get(f"{self.url}/login?token={link}", allow_redirects=False) as answer:
            assert answer.status == 303
        return browser

    async def call(self, *, tenant_id: UUID | None = None, started_at: datetime = BEGAN, **facts: Any) -> Call:
        """Store a live call."""
        call = Call(
            id=facts.pop("id", uuid4()),
            door=facts.pop("door", "twilio"),
            external_id=facts.pop("external_id", f"CA{uuid4().hex}"),
            started_at=started_at,
            tenant_id=tenant_id or self.tenant,
            **facts,
        )
        await self.calls.open(call, "gateway-1")
        return call

    async def track(self, call: Call, role: Role = "customer", speaker: str = "SPEAKER_00") -> Track:
        """Store a leg with one track."""
        leg = Leg(uuid4(), call.id, role, None)
        track = Track(uuid4(), leg.id, call.id, "inbound")
        await self.calls.add_track(call, leg, track, speaker, "gateway-1")
        return track

    async def say(self, call: Call, track: Track, seq: int, text: str, **facts: Any) -> TranscriptSegment:
        """Store a final segment of two seconds."""
        segment = TranscriptSegment(
            id=segment_id(track.id, seq),
            call_id=call.id,
            leg_id=track.leg_id,
            track_id=track.id,
            role="customer",
            speaker="SPEAKER_00",
            seq=seq,
            start_ms=seq * 2000,
            end_ms=seq * 2000 + 1500,
            text=text,
            original_text=text,
            language="en",
            confidence=0.9,
            is_final=True,
            **facts,
        )
        await self.transcripts.commit(call, segment, next_seq=seq, resume_chunk=seq * 10, resume_ms=segment.end_ms)
        return segment

    async def find(self, call: Call, kind: str, body: dict[str, Any], key: str | None = None) -> Insight:
        """Store an insight."""
        insight = await self.insights.put(
            call.tenant_id, call.id, kind=kind, key=key or kind, body=body, evidence=(), source="builtin"
        )
        assert insight is not None
        return insight

    async def gap(self, call: Call, track: Track, start_ms: int, end_ms: int) -> None:
        """Store a gap."""
        await self.transcripts.add_gap(call, track.id, Hole(start_ms, end_ms, "packet loss"))

    async def record(self, call: Call, content: bytes = b"OggS" * 1000, codec: RecordingFormat = "opus") -> Path:
        """Store a finished recording."""
        name = self.shelf.name(call.id, call.started_at, codec)
        path = self.shelf.path(name, call.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        peaks = {"duration_ms": 4000, "step_ms": 2000, "left": [0.5, 0.25], "right": [0.0, 1.0]}
        peaks_path(path).write_bytes(msgspec.json.encode(peaks))
        recorded = Recorded(call.tenant_id, call.id, name, codec)
        await self.recordings.save(recorded, size_bytes=len(content), duration_ms=4000)
        return path

    async def tell(self, call: Call, kind: EventType, data: dict[str, Any], key: str = "") -> str:
        """Publish an event; return its cursor in the call's stream."""
        return await self.streams.publish(call.tenant_id, Event(kind, call.id, plain(data), key=key))

    async def tell_segment(self, call: Call, segment: TranscriptSegment) -> str:
        """Publish a final segment."""
        return await self.tell(call, "segment.final", segment_to_json(segment))

    async def tell_insight(self, call: Call, insight: Insight) -> str:
        """Publish an insight."""
        return await self.tell(call, "insight", insight_to_json(insight))

    async def workers_present(self) -> None:
        """Have one worker of each kind say that it lives."""
        presence = Presence(self.redis)
        await presence.worker("asr", "test", {"worker": "test", "engine": "fake", "model": "tiny"})
        await presence.worker("insights", "test", {"worker": "test"})


async def until(condition: Callable[[], bool], patience_s: float = 15) -> None:
    """Wait until something inside the server has become so."""
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110  (what is watched rings no bell)
            await asyncio.sleep(0.02)


def plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as it looks after a trip through JSON."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(data))
    return decoded


@asynccontextmanager
async def world_on(
    services: Services,
    *,
    web_root: Path | None = None,
    limits: Limits | None = None,
    control: CallControl | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """Run a dashboard on these services."""
    chosen = Settings(_env_file=None, hearline_api_token=API_TOKEN, **settings)
    pool = await open_pool(services.database_url, max_size=6)
    redis = open_redis(services.redis_url)
    drain = Drain()
    app = web.Application()
    deps = DashboardDeps(
        chosen,
        pool,
        redis,
        "1.2.3",
        drain,
        web_root=web_root or WEB_ROOT,
        limits=limits or Limits(),
        control=control,
    )
    add_dashboard(app, deps)
    runner = web.AppRunner(app, shutdown_timeout=1, lingering_time=0.5)
    try:
        await migrate(pool)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            watch = group.create_task(app[DASHBOARD].limits.watch(runner))
            shelf = Shelf(chosen.hearline_data_dir)
            world = World(f"http://{host}:{port}", pool, redis, DEFAULT_TENANT, app[DASHBOARD], drain, app, http, shelf)
            world.tenant = await world.new_tenant()
            yield world
            watch.cancel()
    finally:
        await runner.cleanup()
        await redis.aclose()
        pool.terminate()
