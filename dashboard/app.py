"""What the dashboard adds to the server: screens, API, live feed and health, on the one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
from aiohttp import web
from redis.asyncio import Redis

from dashboard.api import CallApi
from dashboard.api_boards import BoardApi
from dashboard.api_imports import ImportApi
from dashboard.api_queues import CallbackApi, QueueApi
from dashboard.api_recordings import RecordingApi
from dashboard.api_speakers import SpeakerApi
from dashboard.api_twilio import TwilioApi
from dashboard.api_vocabulary import VocabularyApi
from dashboard.auth import Guard
from dashboard.docs import Docs
from dashboard.headers import SecurityHeaders
from dashboard.health import Drain, Health
from dashboard.hub import Hub
from dashboard.limits import Limits
from dashboard.login import Login
from dashboard.operations import OPERATIONS
from dashboard.outbox import Outbox
from dashboard.problem import Problem, note_start, problems, where
from dashboard.site import Site
from dashboard.snapshot import SnapshotReader
from dashboard.sockets import Sockets
from infra.bus.work import WorkQueue
from infra.control import CallControl
from infra.settings import Settings
from infra.store.users import UserStore
from infra.telemetry import logger, metrics_text

_log = logger(__name__)

WEB_ROOT: Final = Path(__file__).parent / "web" / "dist"


@dataclass(frozen=True, slots=True)
class DashboardDeps:
    """What the composition root hands over."""

    settings: Settings
    pool: asyncpg.Pool
    redis: Redis
    version: str
    drain: Drain = field(default_factory=Drain)
    metrics_dir: str | None = None
    """Where all processes put their metrics; None: only this one's are shown."""
    web_root: Path = WEB_ROOT
    limits: Limits = field(default_factory=Limits)
    control: CallControl | None = None
    """The calls that are on the line in this process."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The living parts, for whoever composes or tests the server."""

    guard: Guard
    health: Health
    hub: Hub
    limits: Limits


DASHBOARD: Final = web.AppKey("dashboard", Dashboard)


def add_dashboard(app: web.Application, deps: DashboardDeps) -> None:
    """Add the routes, the guard of /api, /ws and /webrtc, the security headers and the background work."""
    users = UserStore(deps.pool)
    guard = Guard(users, deps.settings)
    health = Health(deps.pool, deps.redis, deps.drain)
    hub = Hub(deps.redis, health)
    outbox = Outbox(hub.streams, WorkQueue(deps.redis, "insights", "dashboard"))
    snapshots = SnapshotReader(deps.pool, hub.streams)
    sockets = Sockets(hub, snapshots)
    login = Login(guard, deps.settings)
    calls = CallApi(snapshots, users, outbox)
    speakers = SpeakerApi(deps.pool, users, outbox)
    boards = BoardApi(deps.pool, snapshots, users, health, deps.settings, deps.version)
    queues = QueueApi(deps.pool, users)
    callbacks = CallbackApi(deps.pool, users)
    vocabulary = VocabularyApi(deps.pool, users)
    imports = ImportApi(deps.pool, users, deps.settings)
    twilio = TwilioApi(deps.settings, users)
    recordings = RecordingApi(snapshots, users, deps.settings.hearline_data_dir, deps.control)
    docs = Docs(deps.version)
    app[DASHBOARD] = Dashboard(guard, health, hub, deps.limits)

    site = Site(deps.web_root)
    app.middlewares.extend([problems, guard.middleware, deps.limits.middleware, site.middleware])
    app.on_response_prepare.extend(
        [note_start, deps.limits.note, guard.note_socket, SecurityHeaders(deps.settings).add]
    )

    handlers = {
        name: getattr(part, name)
        for part in (calls, speakers, boards, recordings, queues, callbacks, vocabulary, imports, twilio, login, docs)
        for name in dir(part)
        if not name.startswith("_")
    }
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, handlers[operation.id])
        if operation.method == "GET":
            app.router.add_route("HEAD", operation.path, handlers[operation.id])
    app.router.add_get("/ws/events", sockets.events)
    app.router.add_get("/ws/llm-updates/{call_id}", sockets.llm_updates)
    app.router.add_get("/login", login.enter, allow_head=False)
    _add_health(app, health, guard, deps)

    async def background(_: web.Application) -> AsyncIterator[None]:
        owner = asyncio.get_running_loop().create_task(_work(hub.run, health.watch, guard.watch, outbox.run))
        await hub.runs.wait()
        yield
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)

    async def close_screens(_: web.Application) -> None:
        hub.close()

    app.cleanup_ctx.append(background)
    app.on_shutdown.append(close_screens)


async def _work(*parts: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(_keep_running(part))


async def _keep_running(part: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await part()
        except Exception as error:  # noqa: BLE001  (the outer loop: one failure must not end the watch for good)
            _log.error("background work failed", part=part.__qualname__, error=type(error).__name__, where=where(error))
            await asyncio.sleep(1)


def _add_health(app: web.Application, health: Health, guard: Guard, deps: DashboardDeps) -> None:
    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        checks = await health.check()
        status = "draining" if deps.drain.draining else "ready" if all(c.ok for c in checks.values()) else "degraded"
        body = msgspec.json.encode({"status": status, "checks": checks, "draining": deps.drain.draining})
        return web.Response(status=200 if status == "ready" else 503, body=body, content_type="application/json")

    async def metrics(request: web.Request) -> web.Response:
        if not guard.is_local(request) and await guard.identify(request) is None:
            raise Problem(401, "metrics are for this machine, or with a bearer token")
        text = await asyncio.to_thread(metrics_text, deps.metrics_dir)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
