"""A whole installation of real processes that a test may break: each program on its own, each killable."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg

from infra.bus.streams import EventStreams, open_redis
from infra.embedded import EmbeddedPostgres, EmbeddedRedis
from infra.model import Call, Event, segment_id
from infra.settings import child_environment, read_settings
from infra.store.calls import CallStore
from infra.store.database import migrate, open_pool
from infra.store.transcripts import TranscriptStore, segment_to_json
from media_gateway.caller import new_call_sid, place_call
from tests.conftest import free_port, missing, until

ROOT = Path(__file__).parents[1]
MODELS = read_settings().hearline_data_dir / "models"
TOKEN = "the-token-of-the-automation"
TWILIO_TOKEN = "the-token-that-signs-twilios-requests"
PROGRAMS = {"serve": ["serve"], "asr": ["worker", "asr"], "insights": ["worker", "insights"]}


@dataclass
class Whole:
    """The running parts."""

    port: int
    redis: EmbeddedRedis
    pool: asyncpg.Pool
    environment: dict[str, str]
    http: aiohttp.ClientSession
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def media_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self, name: str) -> None:
        """Start one program; its log goes to the test's."""
        self.processes[name] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.main",
            *PROGRAMS[name],
            "--parent",
            str(os.getpid()),
            env=self.environment,
            cwd=ROOT,
        )

    async def kill(self, name: str) -> None:
        """End one program as a crash would."""
        self.processes[name].kill()
        await self.processes[name].wait()

    async def ready(self) -> None:
        """Wait until every part is there."""

        async def is_ready() -> bool:
            try:
                async with self.http.get("/readyz") as reply:
                    return reply.status == 200
            except aiohttp.ClientError:
                return False

        await until(is_ready, within_s=60)

    async def get(self, path: str) -> Any:
        """GET JSON from the API."""
        async with self.http.get(path) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def place(self, file: Path, *, speed: float = 1.0, mixed: bool = False) -> str:
        """Play a recording as a Twilio call; return its CallSid once it has been heard out."""
        sid = new_call_sid()
        await place_call(file, self.media_url, TWILIO_TOKEN, call_sid=sid, speed=speed, mixed=mixed)
        return sid

    @contextlib.asynccontextmanager
    async def placing(self, file: Path) -> AsyncIterator[str]:
        """Play a recording in real time beside the body of the context; it has been heard out at its end."""
        sid = new_call_sid()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(place_call(file, self.media_url, TWILIO_TOKEN, call_sid=sid))
            yield sid

    async def settled_id(self, call_id: str, *, within_s: float = 90) -> dict[str, Any]:
        """Return the snapshot of a call of the page's own once its last insight is stored."""
        find = "SELECT external_id FROM calls WHERE id::text = $1 OR external_id = $1"
        return await self.settled(await self.pool.fetchval(find, call_id), within_s=within_s)

    async def retold(self, snapshot: dict[str, Any]) -> str:
        """Add one more final to an ended call, as a worker would that was late; return its text."""
        calls, transcripts = CallStore(self.pool), TranscriptStore(self.pool)
        origin = await calls.origin(UUID(snapshot["call"]["id"]))
        assert origin is not None
        last = (await transcripts.of_call(UUID(snapshot["call"]["id"])))[-1]
        progress = await transcripts.progress(last.track_id)
        text = "One more thing was said."
        late = replace(
            last,
            id=segment_id(last.track_id, progress.next_seq),
            seq=progress.next_seq,
            start_ms=last.end_ms + 100,
            end_ms=last.end_ms + 900,
            text=text,
            words=(),
        )
        call = Call(last.call_id, origin["door"], origin["external_id"], origin["started_at"])
        await transcripts.commit(
            call, late, next_seq=progress.next_seq, resume_chunk=progress.resume_chunk, resume_ms=late.end_ms
        )
        redis = open_redis(self.redis.url)
        event = Event("segment.final", call.id, segment_to_json(late), key=f"late:{late.id}")
        await EventStreams(redis).publish(call.tenant_id, event)
        await redis.aclose()
        return text

    async def settled(self, sid: str, *, within_s: float = 90) -> dict[str, Any]:
        """Return the snapshot of a call once its last insight is stored."""

        async def snapshot() -> dict[str, Any] | None:
            row = await self.pool.fetchrow(
                "SELECT id FROM calls WHERE external_id = $1 AND settled_at IS NOT NULL", sid
            )
            return await self.get(f"/api/v1/calls/{row['id']}") if row else None

        found = await until(snapshot, within_s=within_s)
        assert found is not None
        return found


@contextlib.asynccontextmanager
async def whole(directory: Path, *, without: tuple[str, ...] = (), **settings: str) -> AsyncIterator[Whole]:
    """Run PostgreSQL, Redis and the three programs below `directory`; `settings` go into their environment."""
    if not (MODELS / "moonshine" / "base-en").is_dir():
        missing("needs the recogniser's model (make setup fetches it)")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "models").symlink_to(MODELS)
    port = free_port()
    postgres = EmbeddedPostgres(directory / "postgres", fast=True)
    redis = EmbeddedRedis(directory / "redis", fast=True)
    async with contextlib.AsyncExitStack() as stack:
        for server in (postgres, redis):
            await server.start()
            stack.push_async_callback(server.stop)
        pool = await open_pool(postgres.url, max_size=2)
        stack.callback(pool.terminate)
        await migrate(pool)
        environment = child_environment(
            hearline_port=str(port),
            hearline_data_dir=str(directory),
            hearline_api_token=TOKEN,
            hearline_log_level="warning",
            twilio_auth_token=TWILIO_TOKEN,
            webrtc_hosts="127.0.0.1",
            database_url=postgres.url,
            redis_url=redis.url,
            **settings,
        )
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers))
        running = Whole(port, redis, pool, environment, http)
        stack.push_async_callback(_stop, running)
        for name in PROGRAMS:
            if name not in without:
                await running.start(name)
        if not without:
            await running.ready()
        yield running


async def _stop(running: Whole) -> None:
    for process in running.processes.values():
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # calls that are left do not hold it up
    for process in running.processes.values():
        try:
            async with asyncio.timeout(15):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
