"""Too much for one recogniser, on real Redis and PostgreSQL: told, survived, recovered from; and work goes to the idle.

The engine is slow because the test holds it back, never because of the machine.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import numpy as np
import pytest
from numpy.typing import NDArray
from redis.asyncio import Redis

from dashboard.health import Drain, Health
from infra.bus import keys
from infra.bus.codec import TrackWork
from infra.bus.presence import Presence
from infra.bus.streams import START, AudioStreams, EventStreams
from infra.bus.work import WorkQueue
from infra.model import AudioChunk
from infra.store.calls import CallStore
from infra.store.transcripts import TranscriptStore
from tests.conftest import until
from tests.integration.test_asr_session import SAMPLE, read_chunks
from tests.parts import GATEWAY, track_work
from workers.asr import session as asr_session
from workers.asr import worker as asr_worker
from workers.asr.engines import Capabilities, Context, Recognition
from workers.asr.lighter import Pair
from workers.asr.overload import Ladder, Overload, Step
from workers.asr.scheduler import Scheduler
from workers.asr.session import Tools
from workers.asr.worker import AsrWorker


class HeldEngine:
    """Says how long the audio was; answers nothing while `gate` is closed."""

    capabilities = Capabilities("utterance", languages=frozenset({"en"}), longest_ms=12_000)

    def __init__(self, name: str, gate: threading.Event) -> None:
        self.name = name
        self.gate = gate
        self.finals = 0

    def transcribe(
        self,
        samples: NDArray[np.float32],
        *,
        language: str,
        final: bool,
        earlier: Recognition | None = None,
        before: Context | None = None,
        vocabulary: tuple[str, ...] = (),
    ) -> Recognition:
        assert self.gate.wait(60)
        self.finals += final
        return Recognition(f"{samples.size} samples", "en", 0.5)

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


class Site:
    """One ASR worker with an engine that the test holds, and what the screens are told."""

    def __init__(self, redis: Redis, pool: asyncpg.Pool, name: str = "asr-1") -> None:
        self.redis, self.pool = redis, pool
        self.gate = threading.Event()
        self.heavy, self.light = HeldEngine("heavy", self.gate), HeldEngine("light", self.gate)
        self.clock_s = 0.0
        self.ladder = Ladder()
        self.overload = Overload(self.ladder, clock=self._tick)
        self.presence = Presence(redis)
        self.scheduler = Scheduler(Pair(self.heavy, lighter=lambda: self.light), overload=self.overload)
        tools = Tools(
            audio=AudioStreams(redis),
            events=EventStreams(redis),
            presence=self.presence,
            calls=CallStore(pool),
            transcripts=TranscriptStore(pool),
            scheduler=self.scheduler,
            language="en",
        )
        self.worker = AsrWorker(WorkQueue(redis, "asr", name), self.scheduler, tools, self.presence)

    def _tick(self) -> float:
        """Ten seconds pass between two looks at the lag: every step's time is over at once."""
        self.clock_s += 10
        return self.clock_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.worker.run())
            try:
                yield
            finally:
                self.gate.set()
                running.cancel()

    async def events(self, work: TrackWork, kind: str) -> list[dict[str, Any]]:
        told = await EventStreams(self.redis).read(keys.events(work.call.id), after=START, block_ms=0, count=100_000)
        return [event.data for event in told if event.type == kind]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.asr.overload.LOOK_S", 0.05)
    monkeypatch.setattr(asr_session, "READ_BLOCK_MS", 20)
    monkeypatch.setattr(asr_session, "LAG_LOOK_S", 0.05)
    monkeypatch.setattr(asr_session, "LAG_TOLD_S", 0.05)


def aged(chunks: Sequence[AudioChunk], age_s: float) -> list[AudioChunk]:
    """The same audio as if its end had come in so long ago."""
    end_ms = int((time.time() - age_s) * 1000)
    behind = [(chunks[-1].end_ms - chunk.end_ms) for chunk in chunks]
    return [replace(chunk, received_at_ms=end_ms - ms) for chunk, ms in zip(chunks, behind, strict=True)]


async def test_far_behind_everything_is_told_every_final_arrives_and_it_recovers_by_itself(
    redis: Redis, pool: asyncpg.Pool
) -> None:
    site, works = Site(redis, pool), [track_work() for _ in range(3)]
    health = Health(pool, redis, Drain())
    chunks = read_chunks(SAMPLE, 30)
    await site.presence.gateway(GATEWAY)
    async with site.running():
        watching = asyncio.get_running_loop().create_task(health.watch())
        for work in works:
            await AudioStreams(redis).append((work.track.id, chunk) for chunk in aged(chunks, 70))
            await WorkQueue(redis, "asr", GATEWAY).announce(work)
        await until(lambda: site.overload.step == Step.RECORD_ONLY)
        await until(lambda: health.degraded == ("insights", "overload-4"))
        assert await site.presence.overload_step() == Step.RECORD_ONLY
        for work in works:
            lags = await until(lambda work=work: site.events(work, "lag"))
            assert all(lag["lag_ms"] > 60_000 for lag in lags)
            assert all(lag["track_id"] == str(work.track.id) for lag in lags)
        site.gate.set()
        await until(lambda: _closed(pool, works))
        await until(lambda: site.overload.step == Step.IN_TIME)
        await until(lambda: health.degraded == ("insights",))
        watching.cancel()
    counts = set()
    for work in works:
        finals = await site.events(work, "segment.final")
        assert [final["seq"] for final in finals] == list(range(len(finals)))
        assert (await site.events(work, "lag"))[-1]["lag_ms"] == 0
        assert await site.events(work, "gap") == []
        counts.add(len(finals))
        assert not await redis.exists(keys.audio(work.track.id))
    assert len(counts) == 1
    assert counts.pop() >= 5
    assert site.light.finals > 0


async def _closed(pool: asyncpg.Pool, works: list[TrackWork]) -> bool:
    closed = await pool.fetchval("SELECT count(*) FROM tracks WHERE close_reason IS NOT NULL")
    return bool(closed == len(works))


async def test_recording_only_audio_stays_in_redis_and_is_not_read_ahead(redis: Redis, pool: asyncpg.Pool) -> None:
    site, work = Site(redis, pool), track_work()
    site.ladder.observe = lambda *_: Step.RECORD_ONLY  # type: ignore[method-assign]
    site.ladder.step = Step.RECORD_ONLY
    chunks = aged(read_chunks(SAMPLE, 60), 5)
    reads: list[int] = []
    read = AudioStreams.read

    async def noted(streams: AudioStreams, *arguments: Any, **named: Any) -> Any:
        page = await read(streams, *arguments, **named)
        reads.append(len(page.chunks))
        return page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AudioStreams, "read", noted)
        async with site.running():
            await AudioStreams(redis).append((work.track.id, chunk) for chunk in chunks)
            await WorkQueue(redis, "asr", GATEWAY).announce(work)
            await until(lambda: reads)
            await asyncio.sleep(0.5)
            assert sum(reads) <= 2 * asr_session.PAGE
            assert await redis.xlen(keys.audio(work.track.id)) >= len(chunks) - sum(reads)
            site.gate.set()
            await until(lambda: _closed(pool, [work]))
    assert sum(reads) == len(chunks)


async def test_two_workers_share_new_tracks_evenly(redis: Redis, pool: asyncpg.Pool) -> None:
    sites = [Site(redis, pool, f"asr-{number}") for number in (1, 2)]
    await WorkQueue(redis, "asr", GATEWAY).take(block_ms=1)  # makes the group
    async with sites[0].running(), sites[1].running():
        await until(lambda: _workers(sites[0].presence, 2))
        for number in range(12):
            await WorkQueue(redis, "asr", GATEWAY).announce(track_work())
            await until(lambda number=number: _held(redis, number + 1))
        held = await WorkQueue(redis, "asr", GATEWAY).held()
    assert held == {"asr-1": 6, "asr-2": 6}


async def test_who_is_behind_leaves_new_tracks_to_a_peer_and_takes_them_when_there_is_none(
    redis: Redis, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind, idle = Site(redis, pool, "behind"), Site(redis, pool, "idle")
    behind.ladder.observe = lambda *_: Step.NO_PARTIALS  # type: ignore[method-assign]
    behind.ladder.step = Step.NO_PARTIALS
    monkeypatch.setattr(asr_worker, "PATIENCE_MS", 600_000)
    queue, decided = WorkQueue(redis, "asr", GATEWAY), []
    decide = behind.worker._owner._patience_ms
    assert decide is not None

    async def noted() -> int:
        decided.append(await decide())
        return decided[-1]

    behind.worker._owner._patience_ms = noted
    async with behind.running():
        await until(lambda: _workers(behind.presence, 1))
        await queue.announce(track_work())
        await until(lambda: _held(redis, 1))
        async with idle.running():
            await until(lambda: decided[-1:] == [600_000])
            for number in range(5):
                await queue.announce(track_work())
                await until(lambda number=number: _held(redis, number + 2))
            assert await queue.held() == {"behind": 1, "idle": 5}


async def test_what_no_peer_takes_is_taken_after_a_while(redis: Redis) -> None:
    queue = WorkQueue(redis, "asr", "patient")
    await queue.take(block_ms=1)
    assert await queue.unowned_ms() == 0
    await queue.announce(track_work())
    assert await queue.take(block_ms=1, patience_ms=600_000) is None
    assert await until(lambda: queue.take(block_ms=1, patience_ms=50))
    assert await queue.unowned_ms() == 0
    assert await queue.held() == {"patient": 1}


async def test_a_gateway_whose_clock_is_wrong_makes_nobody_late(redis: Redis, pool: asyncpg.Pool) -> None:
    class Skewed(Presence):
        async def _ahead_ms(self) -> int:
            return await super()._ahead_ms() - 300_000

    site, work = Site(redis, pool), track_work()
    chunks = [
        replace(chunk, received_at_ms=chunk.received_at_ms - 300_000) for chunk in aged(read_chunks(SAMPLE, 6), 0)
    ]
    await Skewed(redis).gateway(GATEWAY)
    ahead_ms = await site.presence.ahead_of_gateway_ms(GATEWAY)
    assert ahead_ms is not None
    assert abs(ahead_ms - 300_000) < 5_000
    assert await site.presence.ahead_of_gateway_ms("nobody") is None
    site.gate.set()
    async with site.running():
        await WorkQueue(redis, "asr", GATEWAY).announce(work)
        await until(lambda: _held(redis, 1))
        await until(lambda: site.overload._sources)
        await asyncio.sleep(0.2)
        await AudioStreams(redis).append((work.track.id, chunk) for chunk in chunks)
        await until(lambda: _closed(pool, [work]))
    finals = await site.events(work, "segment.final")
    assert finals
    assert all(final["latency_ms"] < 150_000 for final in finals)
    assert await site.events(work, "lag") == []


async def _workers(presence: Presence, count: int) -> bool:
    return len(await presence.workers("asr")) == count


async def _held(redis: Redis, count: int) -> bool:
    return sum((await WorkQueue(redis, "asr", GATEWAY).held()).values()) == count
