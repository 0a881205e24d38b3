"""Recordings of live calls on a real disk and a real PostgreSQL: whatever happens, the calls go on."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest

from infra.control import CallNotLive, NotAllowed, NotRecorded
from infra.model import DEFAULT_TENANT, AudioChunk, Call, Role, Track
from infra.settings import child_environment
from infra.shelf import Shelf, peaks_path
from infra.store.calls import CallStore
from infra.store.database import StoreAway
from infra.store.recordings import RecordingStore, recording_id
from infra.store.users import User
from media_gateway.outbox import Outbox
from media_gateway.ports import TrackSink
from media_gateway.recording import finisher as recording_finisher
from media_gateway.recording import take as recording_take
from media_gateway.recording.control import RecordingControl
from media_gateway.recording.live import CallRecording
from media_gateway.recording.recorder import Recorder
from media_gateway.recording.take import takes
from tests.conftest import until
from tests.parts import new_call
from tests.recorded import Samples, heard

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left is looked for all the time."""
    monkeypatch.setattr(recording_finisher, "LOOK_S", 0.05)
    monkeypatch.setattr(recording_finisher, "RETRY_S", 0.2)


class Gateway:
    """A recorder with what it needs, and what it tells."""

    def __init__(self, data_dir: Path, pool: asyncpg.Pool, **options: Any) -> None:
        self.shelf = Shelf(data_dir)
        self.pool = pool
        self.calls = CallStore(pool)
        self.store = RecordingStore(pool)
        self.to_store = Outbox("store", StoreAway)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str] = []
        self.recorder = Recorder(data_dir, store=self.store, to_store=self.to_store, tell=self.tell, **options)

    def tell(self, call: Call, kind: str, data: dict[str, Any], key: str) -> None:
        if key not in self.keys:
            self.keys.append(key)
            self.told.append((kind, {"call_id": call.id, **data}))

    async def begin(self, call: Call) -> CallRecording:
        await self.calls.open(call, "gateway")
        recording = self.recorder.open(call)
        assert recording is not None
        return recording

    async def end(self, recording: CallRecording, duration_ms: int) -> None:
        await self.calls.end(recording.call.id, "completed", recording.call.started_at, duration_ms)
        recording.finish(duration_ms)
        assert await self.recorder.drained(20)
        assert await self.to_store.drained(20)

    async def row(self, call: Call) -> asyncpg.Record:
        row = await self.store.of_call(DEFAULT_TENANT, call.id)
        assert row is not None
        return row

    async def saved(self, call: Call) -> Samples:
        row = await until(lambda: self._saved(call))
        return heard(self.shelf.path(row["path"], call.id))

    async def _saved(self, call: Call) -> asyncpg.Record | None:
        row = await self.store.of_call(DEFAULT_TENANT, call.id)
        return row if row is not None and row["status"] == "saved" else None

    def kinds(self) -> list[str]:
        return [kind.removeprefix("recording.") for kind, _ in self.told]


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[Gateway]:
    async with asyncio.TaskGroup() as tasks:
        owned = [tasks.create_task(gateway.recorder.run()), tasks.create_task(gateway.to_store.run())]
        try:
            yield gateway
        finally:
            for task in owned:
                task.cancel()


@pytest.fixture
async def gateway(tmp_path: Path, pool: asyncpg.Pool) -> AsyncIterator[Gateway]:
    async with running(Gateway(tmp_path, pool, codec="flac")) as opened:
        yield opened


def track(recording: CallRecording, role: Role = "customer") -> TrackSink:
    return recording.track(Track(uuid4(), uuid4(), recording.call.id, "inbound"), role)


def speak(sink: TrackSink, start_ms: int, ms: int, value: int = 1000, *, last: bool = True) -> None:
    """Chunks of a constant sound."""
    for number, at_ms in enumerate(range(start_ms, start_ms + ms, 200)):
        pcm = np.full(min(200, start_ms + ms - at_ms) * 16, value, "<i2").tobytes()
        sink.put(AudioChunk(number, at_ms, pcm, 0, last=last and at_ms + 200 >= start_ms + ms))


def plays(both: Samples, channel: int, start_ms: int, end_ms: int, value: int) -> bool:
    return bool((both[start_ms * 16 : end_ms * 16, channel] == value).all())


async def test_a_call_is_recorded_from_its_begin_to_its_end(gateway: Gateway) -> None:
    recording = await gateway.begin(new_call())
    call = recording.call
    assert gateway.recorder.open(call) is recording
    assert await gateway.to_store.drained(20)
    assert (await gateway.row(call))["status"] == "writing"
    speak(track(recording, "customer"), 200, 1000, 1000)
    speak(track(recording, "agent"), 1000, 400, 2000)
    speak(track(recording, "supervisor"), 1200, 400, 500)
    await gateway.end(recording, 2_345)
    recording.finish(1)
    row = await gateway.row(call)
    path = gateway.shelf.path(row["path"], call.id)
    assert (row["id"], row["status"], row["codec"]) == (recording_id(call.id), "saved", "flac")
    assert (row["duration_ms"], row["bytes"], row["pauses"]) == (2_345, path.stat().st_size, [])
    both = heard(path)
    assert len(both) == 2_345 * 16
    assert plays(both, 0, 200, 1200, 1000)
    assert plays(both, 1, 1000, 1200, 2000)
    assert plays(both, 1, 1200, 1400, 2500)
    assert plays(both, 1, 1400, 1600, 500)
    assert plays(both, 1, 0, 1000, 0)
    assert gateway.told == [
        (
            "recording.saved",
            {
                "call_id": call.id,
                "recording_id": row["id"],
                "duration_ms": 2_345,
                "format": "flac",
                "bytes": row["bytes"],
            },
        )
    ]
    await until(lambda: not takes(gateway.shelf))
    assert (await gateway.calls.state(call.id))["status"] == "ended"  # type: ignore[index]


async def test_what_is_off_is_not_recorded(tmp_path: Path, pool: asyncpg.Pool) -> None:
    off = Gateway(tmp_path, pool, enabled=False)
    assert off.recorder.open(new_call()) is None
    assert not off.shelf.root.exists()


async def test_a_pause_is_silent_told_and_stored(gateway: Gateway) -> None:
    recording = await gateway.begin(new_call())
    sink = track(recording)
    speak(sink, 0, 1000, last=False)
    assert recording.state == "on"
    recording.pause(800)
    recording.pause(900)
    assert recording.state == "paused"
    speak(sink, 1000, 1000, last=False)
    await until(lambda: gateway.to_store.drained(1))
    row = await gateway.row(recording.call)
    assert row["pauses"] == [{"start_ms": 800, "end_ms": None, "reason": "asked"}]
    recording.resume(2_100)
    recording.resume(2_200)
    speak(sink, 2000, 1000, last=False)
    recording.pause(2_500)
    await gateway.end(recording, 3000)
    assert recording.state == "off"
    recording.resume(3000)
    both = await gateway.saved(recording.call)
    assert plays(both, 0, 0, 800, 1000)
    assert plays(both, 0, 800, 2_100, 0)
    assert plays(both, 0, 2_100, 2_500, 1000)
    assert plays(both, 0, 2_500, 3_000, 0)
    assert [(kind, data.get("at_ms")) for kind, data in gateway.told] == [
        ("recording.paused", 800),
        ("recording.resumed", 2_100),
        ("recording.paused", 2_500),
        ("recording.saved", None),
    ]
    assert [(pause["start_ms"], pause["end_ms"]) for pause in (await gateway.row(recording.call))["pauses"]] == [
        (800, 2_100),
        (2_500, 3_000),
    ]


async def test_people_pause_the_calls_of_their_tenant() -> None:
    class Live:
        """media_gateway.registry.LiveCall"""

        def __init__(self) -> None:
            self.call, self.acts = new_call(), list[tuple[UUID | None, bool]]()
            self.is_recorded = True

        def record(self, user_id: UUID | None, *, on: bool) -> bool:
            self.acts.append((user_id, on))
            return self.is_recorded

    live = Live()
    parties = {(live.call.id, kim := uuid4()): True}
    control = RecordingControl({live.call.id: live}.get, lambda *who: parties.get(who, False))
    user, automat = User(kim, DEFAULT_TENANT, "Kim", "agent"), User(UUID(int=0), DEFAULT_TENANT, "token", "admin")
    await control.pause_recording(DEFAULT_TENANT, live.call.id, user)
    await control.resume_recording(DEFAULT_TENANT, live.call.id, automat)
    assert live.acts == [(user.id, False), (None, True)]
    for tenant_id, call_id in ((uuid4(), live.call.id), (DEFAULT_TENANT, uuid4())):
        with pytest.raises(CallNotLive):
            await control.pause_recording(tenant_id, call_id, user)
    with pytest.raises(NotAllowed):
        await control.pause_recording(DEFAULT_TENANT, live.call.id, User(uuid4(), DEFAULT_TENANT, "Lee", "agent"))
    live.is_recorded = False
    with pytest.raises(NotRecorded):
        await control.resume_recording(DEFAULT_TENANT, live.call.id, user)


async def test_a_call_without_audio_has_no_recording(gateway: Gateway) -> None:
    recording = await gateway.begin(new_call())
    await gateway.end(recording, 5000)
    row = await gateway.row(recording.call)
    assert (row["status"], row["reason"]) == ("failed", "no-audio")
    assert takes(gateway.shelf) == {}


class TestBadDisks:
    """The disk does what disks do; nobody on the line notices."""

    async def test_a_directory_that_cannot_be_written(self, tmp_path: Path, pool: asyncpg.Pool) -> None:
        (tmp_path / "recordings").write_text("a file where a directory should be")
        async with running(Gateway(tmp_path, pool)) as gateway:
            recording = await gateway.begin(new_call())
            sink = track(recording)
            speak(sink, 0, 1000, last=False)
            await until(lambda: gateway.told)
            assert recording.state == "off"
            speak(sink, 1000, 1000)
            recording.pause(1500)
            await gateway.end(recording, 2000)
            row = await gateway.row(recording.call)
            assert (row["status"], row["reason"]) == ("failed", "not-writable")
            assert gateway.kinds() == ["failed"]
            assert gateway.told[0][1]["reason"] == "not-writable"

    async def test_a_directory_that_nobody_may_write(self, pool: asyncpg.Pool) -> None:
        async with running(Gateway(Path("/sys"), pool)) as gateway:  # not even root
            recording = await gateway.begin(new_call())
            speak(track(recording), 0, 1000)
            await until(lambda: gateway.told)
            assert gateway.told[0][1]["reason"] == "not-writable"
            await gateway.end(recording, 2000)
            assert gateway.kinds() == ["failed"]

    async def test_a_full_disk_keeps_what_was_there_before(self, gateway: Gateway) -> None:
        recording, other = await gateway.begin(new_call()), await gateway.begin(new_call())
        sink, calm = track(recording), track(other)
        speak(sink, 0, 10_000, last=False)
        await until(lambda: _written(gateway, recording) == 320_000)
        with _files_end_at(340_000):
            speak(sink, 10_000, 1000, last=False)
            await until(lambda: gateway.told)
            speak(calm, 0, 200)
            speak(sink, 11_000, 1000)
        assert (recording.state, other.state) == ("off", "on")
        assert (await gateway.row(recording.call))["status"] in {"writing", "failed"}
        await gateway.end(recording, 13_000)
        row = await gateway.row(recording.call)
        assert (row["status"], row["reason"], row["duration_ms"]) == ("saved", "disk-full", 13_000)
        (hole,) = row["pauses"]
        assert (hole["reason"], hole["end_ms"]) == ("disk-full", 13_000)
        both = await gateway.saved(recording.call)
        assert plays(both, 0, 0, hole["start_ms"], 1000)
        assert plays(both, 0, 11_000, 13_000, 0)
        assert gateway.kinds() == ["failed", "saved"]
        await gateway.end(other, 200)
        assert plays(await gateway.saved(other.call), 0, 0, 200, 1000)

    async def test_a_disk_that_is_full_at_the_end_is_tried_again(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recording = await gateway.begin(new_call())
        speak(track(recording), 0, 600_000)
        await gateway.calls.end(recording.call.id, "completed", recording.call.started_at, 600_000)
        noise = np.random.default_rng(1).integers(-9000, 9000, 16 * 60_000).astype("<i2")
        track(recording, "agent").put(AudioChunk(0, 0, noise.tobytes(), 0, last=True))
        await until(lambda: _written(gateway, recording) == 600_000 * 32 + 60_000 * 32)
        with _files_end_at(500_000):
            recording.finish(600_000)
            await until(lambda: gateway.told)
        assert gateway.told[0][1]["reason"] == "disk-full"
        both = await gateway.saved(recording.call)
        assert len(both) == 600_000 * 16
        assert np.array_equal(both[: len(noise), 1], noise)
        assert gateway.kinds() == ["failed", "saved"]

    async def test_files_that_vanish_are_missed_at_once(self, gateway: Gateway) -> None:
        recording = await gateway.begin(new_call())
        sink, other = track(recording), track(recording, "agent")
        speak(sink, 0, 1000, last=False)
        speak(other, 0, 1000, 2000)
        await until(lambda: _written(gateway, recording) == 64_000)
        (take,) = takes(gateway.shelf)[recording.call.id]
        (take / "left-0.pcm").unlink()
        speak(sink, 1000, 1000)
        await until(lambda: gateway.told)
        assert gateway.told[0][1]["reason"] == "file-lost"
        await gateway.end(recording, 2000)
        both = await gateway.saved(recording.call)
        assert plays(both, 0, 0, 2000, 0)
        assert plays(both, 1, 0, 1000, 2000)

    async def test_a_directory_that_vanishes_too(self, gateway: Gateway) -> None:
        recording = await gateway.begin(new_call())
        speak(track(recording), 0, 1000)
        await until(lambda: _written(gateway, recording) == 32_000)
        (take,) = takes(gateway.shelf)[recording.call.id]
        for path in take.iterdir():
            path.unlink()
        take.rmdir()
        await gateway.end(recording, 2000)
        row = await gateway.row(recording.call)
        assert (row["status"], row["reason"]) == ("failed", "file-lost")

    async def test_a_slow_disk_costs_a_hole_and_holds_up_nobody(
        self, tmp_path: Path, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        free, stuck, write = threading.Event(), threading.Event(), os.pwrite

        def slow(fd: int, data: bytes, offset: int) -> int:
            stuck.set()
            free.wait(20)
            return write(fd, data, offset)

        async with running(Gateway(tmp_path, pool, codec="flac", spool_bytes=100_000)) as gateway:
            recording = await gateway.begin(new_call())
            sink = track(recording)
            speak(sink, 0, 200, last=False)
            await until(lambda: _written(gateway, recording) == 6_400)
            monkeypatch.setattr(recording_take.os, "pwrite", slow)
            speak(sink, 200, 200, last=False)
            await until(stuck.is_set)
            began_s = time.monotonic()
            speak(sink, 400, 60_000, last=False)
            recording.pause(60_400)
            recording.resume(60_600)
            assert time.monotonic() - began_s < 5  # a thousand times what it takes
            free.set()
            await until(lambda: _written(gateway, recording) > 50_000)
            speak(sink, 60_600, 400)
            await gateway.end(recording, 61_000)
            both = await gateway.saved(recording.call)
            hole, pause = (await gateway.row(recording.call))["pauses"]
            assert (hole["reason"], hole["end_ms"]) == ("slow-disk", 60_400)
            assert pause == {"start_ms": 60_400, "end_ms": 60_600, "reason": "asked"}
            assert plays(both, 0, 0, hole["start_ms"], 1000)
            assert hole["start_ms"] > 2000
            assert plays(both, 0, hole["start_ms"], 60_600, 0)
            assert plays(both, 0, 60_600, 61_000, 1000)
            assert gateway.kinds() == ["paused", "resumed", "saved"]


async def test_finishing_does_not_hold_up_the_loop(tmp_path: Path, pool: asyncpg.Pool) -> None:
    async with running(Gateway(tmp_path, pool, codec="opus")) as gateway:
        await _turns_while_finishing(gateway)


async def _turns_while_finishing(gateway: Gateway) -> None:
    recording = await gateway.begin(new_call())
    for role in ("customer", "agent"):
        sink = track(recording, "customer" if role == "customer" else "agent")
        for minute in range(15):
            pcm = np.full(60_000 * 16, 1000 + minute, "<i2").tobytes()
            sink.put(AudioChunk(minute, minute * 60_000, pcm, 0, last=minute == 14))
    await until(lambda: _written(gateway, recording) == 2 * 900_000 * 32)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += bool(list(gateway.shelf.writing.glob("*/finished")))

    async with asyncio.TaskGroup() as tasks:
        turning = tasks.create_task(turn())
        await gateway.end(recording, 900_000)
        turning.cancel()
    assert turns > 50  # a blocked loop turns once or twice
    assert len(await gateway.saved(recording.call)) == 900_000 * 16


class TestKilledGateways:
    """Nothing that was written is lost, and nobody finishes a call that goes on."""

    async def test_kill_nine_costs_less_than_two_seconds(self, tmp_path: Path, pool: asyncpg.Pool) -> None:
        call = new_call(started_at=datetime.now(UTC))
        await CallStore(pool).open(call, "killed")
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            str(tmp_path),
            str(call.id),
            call.started_at.isoformat(),
            cwd=Path(__file__).parents[2],
            env=child_environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        spoken_ms = 0
        async with asyncio.timeout(60):
            while spoken_ms < 6_000:
                spoken_ms = int(await child.stdout.readline())
        child.kill()
        assert await child.wait() == -signal.SIGKILL
        rest = [int(line) for line in (await child.stdout.read()).splitlines()]
        spoken_ms = max([spoken_ms, *rest])

        async with running(Gateway(tmp_path, pool, codec="flac")) as gateway:
            await asyncio.sleep(0.3)
            assert gateway.told == []  # the call may still come back
            await gateway.calls.end(call.id, "gateway lost", datetime.now(UTC), 1234)
            both = await gateway.saved(call)
            assert len(both) >= (spoken_ms - 2_000) * 16
            kept_ms = len(both) // 16
            assert plays(both, 0, 0, kept_ms, 1000)
            assert plays(both, 1, 0, kept_ms - 200, 2000)
            row = await gateway.row(call)
            assert (row["duration_ms"], row["pauses"]) == (kept_ms, [])
            assert gateway.kinds() == ["saved"]
            await until(lambda: not takes(gateway.shelf))

    async def test_a_call_that_comes_back_goes_on_in_the_same_recording(
        self, tmp_path: Path, pool: asyncpg.Pool
    ) -> None:
        call = new_call()
        left = await _left_by_a_dead_gateway(tmp_path, pool, call, paused_at_ms=900)
        async with running(Gateway(tmp_path, pool, codec="flac")) as gateway:
            recording = await gateway.begin(call)
            await until(lambda: recording.state == "paused")  # as it was
            recording.resume(4_000)
            speak(track(recording), 5_000, 1000, 3000)
            await asyncio.sleep(0.3)
            assert gateway.kinds() == ["paused", "resumed"]
            await gateway.end(recording, 7_000)
            both = await gateway.saved(call)
            assert len(both) == 7_000 * 16
            assert plays(both, 0, 0, 900, 1000)
            assert plays(both, 0, 900, 5_000, 0)
            assert plays(both, 0, 5_000, 6_000, 3000)
            row = await gateway.row(call)
            assert row["pauses"] == [{"start_ms": 900, "end_ms": 4_000, "reason": "asked"}]
            assert not left.exists()
            assert await pool.fetchval("SELECT count(*) FROM recordings") == 1

    async def test_a_call_that_ended_comes_back_to_its_finished_recording(self, gateway: Gateway) -> None:
        call = new_call()
        for start_ms, value in ((0, 1000), (2000, 2000), (4000, 3000)):
            recording = await gateway.begin(call)
            speak(track(recording), start_ms, 1000, value)
            await gateway.end(recording, start_ms + 1500)
        both = await gateway.saved(call)
        assert len(both) == 5_500 * 16
        for start_ms, value in ((0, 1000), (1000, 0), (2000, 2000), (3000, 0), (4000, 3000)):
            assert plays(both, 0, start_ms, start_ms + 1000, value)
        assert gateway.kinds() == ["saved"] * 3

    async def test_two_gateways_do_not_both_finish_it(self, tmp_path: Path, pool: asyncpg.Pool) -> None:
        calls = [new_call() for _ in range(6)]
        for call in calls:
            await _left_by_a_dead_gateway(tmp_path, pool, call)
            await CallStore(pool).end(call.id, "gateway lost", call.started_at, 1000)
        gateways = [Gateway(tmp_path, pool, codec="flac") for _ in range(3)]
        async with running(gateways[0]), running(gateways[1]), running(gateways[2]):
            for call in calls:
                assert plays(await gateways[0].saved(call), 0, 0, 1000, 1000)
            await until(lambda: not takes(gateways[0].shelf))
            for gateway in gateways:
                assert await gateway.to_store.drained(20)
        saved: dict[UUID, int] = {}
        for _, data in (told for gateway in gateways for told in gateway.told):
            saved[data["call_id"]] = saved.get(data["call_id"], 0) + 1
        assert saved == dict.fromkeys((call.id for call in calls), 1)

    async def test_a_gateway_that_lives_keeps_its_call(self, tmp_path: Path, pool: asyncpg.Pool) -> None:
        async with (
            running(Gateway(tmp_path, pool, codec="flac")) as one,
            running(Gateway(tmp_path, pool, codec="flac")) as other,
        ):
            recording = await one.begin(new_call())
            call = recording.call
            sink = track(recording)
            speak(sink, 0, 1000, last=False)
            await one.calls.end(call.id, "gateway lost", call.started_at, 1000)  # somebody thinks that it is dead
            await asyncio.sleep(0.5)
            assert other.told == one.told == []
            speak(sink, 1000, 1000, 2000)
            await one.end(recording, 2000)
            both = await one.saved(call)
            assert plays(both, 0, 1000, 2000, 2000)

    async def test_a_stop_in_the_middle_of_finishing_leaves_it_to_the_next(
        self, tmp_path: Path, pool: asyncpg.Pool
    ) -> None:
        call = new_call()
        async with running(Gateway(tmp_path, pool)) as first:
            recording = await first.begin(call)
            speak(track(recording), 0, 1000)
            await first.calls.end(call.id, "completed", call.started_at, 1_200_000)
            recording.finish(1_200_000)
            await until(lambda: list(first.shelf.writing.glob("*/finished")))
            assert not await first.recorder.drained(0)
        assert first.told == []
        async with running(Gateway(tmp_path, pool)) as second:
            await until(lambda: second.told, within_s=60)
            assert second.told[0][1]["duration_ms"] == 1_200_000

    async def test_while_postgresql_is_away_nothing_is_thrown_away(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        back, save = asyncio.Event(), gateway.store.save

        async def away(*arguments: Any, **named: Any) -> None:
            if not back.is_set():
                raise ConnectionRefusedError
            await save(*arguments, **named)

        monkeypatch.setattr(gateway.store, "save", away)
        recording = await gateway.begin(new_call())
        speak(track(recording), 0, 1000)
        recording.finish(1000)
        await until(lambda: gateway.shelf.finished(recording.call.id, recording.call.started_at))
        assert list(takes(gateway.shelf)) == [recording.call.id]
        back.set()
        assert plays(await gateway.saved(recording.call), 0, 0, 1000, 1000)
        await until(lambda: not takes(gateway.shelf))


async def test_old_recordings_are_forgotten(tmp_path: Path, pool: asyncpg.Pool) -> None:
    today = datetime.now(UTC)
    old, new, left, failed = (new_call(started_at=today - timedelta(days=days)) for days in (8, 6, 9, 10))
    async with running(Gateway(tmp_path, pool, codec="flac")) as gateway:
        for call in (old, new):
            recording = await gateway.begin(call)
            speak(track(recording), 0, 1000)
            await gateway.end(recording, 1000)
        await gateway.end(await gateway.begin(failed), 1000)
        await until(lambda: not takes(gateway.shelf))
    await pool.execute("UPDATE recordings SET created_at = now() - interval '9 days' WHERE call_id = $1", failed.id)
    await _left_by_a_dead_gateway(tmp_path, pool, left)
    files = {call.id: gateway.shelf.finished(call.id, call.started_at) for call in (old, new)}
    note = files[old.id].with_name("README")  # type: ignore[union-attr]
    note.write_text("somebody else's")
    async with running(Gateway(tmp_path, pool, keep_days=7)) as gateway:
        await until(lambda: not files[old.id].exists() and not takes(gateway.shelf))  # type: ignore[union-attr]
        assert not peaks_path(files[old.id]).exists()  # type: ignore[arg-type]
        assert files[new.id].exists()  # type: ignore[union-attr]
        assert note.exists()
        kept = {row["call_id"] for row in await pool.fetch("SELECT call_id FROM recordings")}
        assert kept == {new.id}


def _written(gateway: Gateway, recording: CallRecording) -> int:
    folders = takes(gateway.shelf).get(recording.call.id, [])
    return sum(path.stat().st_size for folder in folders for path in folder.glob("*.pcm"))


@contextlib.contextmanager
def _files_end_at(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that: what a full disk feels like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def _left_by_a_dead_gateway(
    data_dir: Path, pool: asyncpg.Pool, call: Call, *, paused_at_ms: int | None = None
) -> Path:
    """A second of a call whose gateway is gone. The locks of a dead process are free."""
    await CallStore(pool).open(call, "gone")
    take = recording_take.Take(Shelf(data_dir), call)
    take.open_track("left-0.pcm")
    take.write("left-0.pcm", 0, np.full(16_000, 1000, "<i2").tobytes())
    if paused_at_ms is not None:
        take.pause(paused_at_ms)
    take.close()
    return take.path


CHILD = """
import asyncio, sys, time
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np

from infra.model import AudioChunk, Call, Track
from infra.store.database import StoreAway
from media_gateway.outbox import Outbox
from media_gateway.recording.recorder import Recorder


class Store:
    async def open(self, of): pass
    async def ended(self, calls): return {}


async def main():
    data_dir, call_id, started_at = sys.argv[1:]
    to_store = Outbox("store", StoreAway)
    recorder = Recorder(Path(data_dir), store=Store(), to_store=to_store, tell=lambda *_: None)
    call = Call(UUID(call_id), "twilio", "CA1", datetime.fromisoformat(started_at))
    running = asyncio.gather(recorder.run(), to_store.run())
    recording = recorder.open(call)
    sinks = [recording.track(Track(uuid4(), uuid4(), call.id, "x"), role) for role in ("customer", "agent")]
    for seq in range(1000):
        for number, sink in enumerate(sinks):
            pcm = np.full(3200, 1000 * (number + 1), "<i2").tobytes()
            sink.put(AudioChunk(seq, seq * 200, pcm, 0))
        print((seq + 1) * 200, flush=True)
        await asyncio.sleep(0.05)  # four times as fast as people talk: what is lost is four times as long


asyncio.run(main())
"""
