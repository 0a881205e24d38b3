"""A whole installation in one go: services, migrations, processes, and the link to its screen."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec

from infra.console import UnusableError
from infra.doctor import check_port
from infra.embedded import EmbeddedError, embedded_services
from infra.kept import twilio_token
from infra.model import DEFAULT_TENANT, PersonRole
from infra.settings import Settings, child_environment
from infra.store.database import MigrationError, StoreAway, migrate, open_pool
from infra.store.users import UserStore
from infra.supervisor import ProcessFailed, Program, Supervisor

READY_WITHIN_S: Final = 120.0
LOGIN_LINK_LIFE: Final = timedelta(hours=12)
LAUNCH_TOKEN_LIFE: Final = timedelta(days=7)
SETTLE_WITHIN_S: Final = 120.0

PROGRAMS: Final = (
    Program("serve", ("serve",)),
    Program("asr", ("worker", "asr")),
    Program("insights", ("worker", "insights")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """A running installation."""

    url: str
    login_link: str
    token: str
    """A bearer token with role admin, for this process's own requests."""
    settings: Settings
    supervisor: Supervisor

    @property
    def media_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@contextlib.asynccontextmanager
async def installation(settings: Settings, say: Callable[[str], None]) -> AsyncIterator[Installation]:
    """Run everything for as long as the context lasts. `say` gets a line for each step that takes a while.

    Raises UnusableError when something is in the way: a port, a data directory in use, a database that refuses.
    """
    port = check_port(settings)
    if not port.ok:
        raise UnusableError(port.detail)
    try:
        async with contextlib.AsyncExitStack() as stack:
            settings = await _with_services(settings, stack, say)
            login_link, token = await _prepare_database(settings)
            supervisor = Supervisor(_environment(settings))
            say("starting gateway, recogniser, insights and dashboard ...")
            await stack.enter_async_context(supervisor.running(PROGRAMS))
            url = f"http://{settings.hearline_host}:{settings.hearline_port}"
            running = Installation(url, login_link, token, settings, supervisor)
            await _until_ready(running)
            yield running
    except* ProcessFailed as errors:
        raise UnusableError(str(errors.exceptions[0])) from None


async def _with_services(settings: Settings, stack: contextlib.AsyncExitStack, say: Callable[[str], None]) -> Settings:
    wanted = {"postgres": settings.database_url is None, "redis": settings.redis_url is None}
    if not any(wanted.values()):
        return settings
    say(f"starting {' and '.join(name for name, ours in wanted.items() if ours)} in {settings.hearline_data_dir} ...")
    try:
        services = await stack.enter_async_context(embedded_services(settings.hearline_data_dir / "state", **wanted))
    except EmbeddedError as error:
        raise UnusableError(str(error)) from error
    return settings.model_copy(
        update={
            "database_url": settings.database_url or services.database_url,
            "redis_url": settings.redis_url or services.redis_url,
        }
    )


async def _prepare_database(settings: Settings) -> tuple[str, str]:
    """Migrate; return a login link and a token."""
    assert settings.database_url is not None
    try:
        pool = await open_pool(settings.database_url, max_size=2)
    except (*StoreAway, asyncpg.PostgresError, ValueError) as error:
        raise UnusableError(f"PostgreSQL refuses: {str(error).strip() or type(error).__name__}") from error
    try:
        await migrate(pool)
        users = UserStore(pool)
        await users.forget_expired()
        launcher = await users.add(DEFAULT_TENANT, "launcher", "admin")
        token = await users.issue(launcher, "token", life=LAUNCH_TOKEN_LIFE)
        return await new_login_link(pool, settings, "admin", "admin"), token
    except MigrationError as error:
        raise UnusableError(str(error)) from error
    finally:
        await pool.close()


async def new_login_link(pool: asyncpg.Pool, settings: Settings, name: str, role: PersonRole) -> str:
    """Return a link that logs its first visitor in, once."""
    users = UserStore(pool)
    secret = await users.issue(await users.add(DEFAULT_TENANT, name, role), "login", life=LOGIN_LINK_LIFE)
    base_url = settings.public_base_url or f"http://{settings.hearline_host}:{settings.hearline_port}"
    return f"{base_url}/login?token={secret}"


def _environment(settings: Settings) -> dict[str, str]:
    metrics = settings.hearline_data_dir / "run" / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    return child_environment(
        hearline_host=settings.hearline_host,
        hearline_port=str(settings.hearline_port),
        hearline_data_dir=str(settings.hearline_data_dir),
        hearline_log_level=settings.hearline_log_level,
        database_url=settings.database_url,
        redis_url=settings.redis_url,
        twilio_auth_token=twilio_token(settings),
        prometheus_multiproc_dir=str(metrics),
    )


async def _until_ready(running: Installation) -> None:
    """Wait until /readyz says yes. Raises UnusableError naming what is missing when it takes too long."""
    deadline_s, missing = time.monotonic() + READY_WITHIN_S, "the server does not answer"
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline_s:
            try:
                async with session.get(f"{running.url}/readyz", timeout=aiohttp.ClientTimeout(total=5)) as reply:
                    state = await reply.json(content_type=None)
                if reply.status == 200:
                    return
                parts = [name for name, check in state.get("checks", {}).items() if not check.get("ok")]
                missing = f"not ready: {', '.join(parts)}"
            except (aiohttp.ClientError, TimeoutError, ValueError):
                missing = "the server does not answer"
            await asyncio.sleep(0.2)
    raise UnusableError(f"{missing} (after {READY_WITHIN_S:.0f} s)")


async def follow(running: Installation, external_id: str, started: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield each event of the call with that external id, as JSON, until its insights are settled.

    `started` is set once nothing can be missed any more: place the call then. Raises UnusableError when the feed ends.
    """
    async with aiohttp.ClientSession(headers=running.headers) as session:
        async with session.get(f"{running.url}/api/v1/calls?limit=1") as reply:
            reply.raise_for_status()
            after = (await reply.json())["cursor"]
        feed = f"{running.url}/ws/events?call=*&after={after}"
        async with session.ws_connect(feed, max_msg_size=0) as socket:
            started.set()
            call_id: Any = None
            async for message in socket:
                event = msgspec.json.decode(message.data)
                if event["type"] == "call.started" and event["data"].get("external_id") == external_id:
                    call_id = event["call_id"]
                if call_id is None or event["call_id"] != call_id:
                    continue
                yield message.data.encode() if isinstance(message.data, str) else message.data
                if event["type"] == "call.settled":
                    return
    raise UnusableError("the event feed ended before the call had settled")
