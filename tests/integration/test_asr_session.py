"""One track from Redis to PostgreSQL with the real segmenter on real speech: nothing lost, nothing twice, holes marked.

The engine is a few lines that write down what they were given, so that the same audio always gives the same words.
"""

import asyncio
import os
import signal
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import av
import numpy as np
import pytest
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAwayError

from infra.bus import codec, keys
from infra.bus.codec import TrackWork
from infra.bus.presence import Presence
from infra.bus.streams import START, AudioPage, AudioStreams, EventStreams, open_redis
from infra.bus.work import Lease, WorkQueue
from infra.embedded import EmbeddedPostgres, EmbeddedRedis
from infra.model import CHUNK_BYTES, CHUNK_MS, AudioChunk, Event, Hole, Role, TranscriptSegment, Word
from infra.store import database
from infra.store.calls import CallStore
from infra.store.database import migrate, open_pool
from infra.store.transcripts import NotOwnerError, TranscriptStore
from tests.conftest import until
from tests.parts import new_call, track_work
from workers.asr import session as asr_session
from workers.asr.engines import Capabilities, Context, Recognition
from workers.asr.scheduler import Scheduler
from workers.asr.segmenter import Policy, policy_for
from workers.asr.session import Tools, TrackSession
from workers.asr.worker import AsrWorker
from workers.owner import Holding

SAMPLE = Path(__file__).parents[2] / "infra" / "sample" / "call.flac"
SPEECH_S = 33
WORD = 6400
"""Samples that make one word of the engine's."""

Span = tuple[int, int]


class CrashError(Exception):
    """The worker falls over here."""


class WritingEngine:
    """Hears a word in every 0.4 s, spelt after the samples."""

    name = "writing"
    capabilities = Capabilities("utterance", languages=frozenset({"en"}), longest_ms=12_000)

    def __init__(self) -> None:
        self.calls = 0
        self.refuses: set[str] = set()
        """Texts at which it breaks."""
        self.mute_finals = False

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
        self.calls += 1
        starts = range(0, samples.size, WORD)
        spelt = [f"w{zlib.crc32(samples[start : start + WORD].tobytes()):08x}" for start in starts]
        text = " ".join(spelt)
        if text in self.refuses:
            raise RuntimeError("out of order")
        if final and self.mute_finals:
            return Recognition("", "en", 0.0)
        words = [
            Word(word, start // 16, min(start + WORD, samples.size) // 16, 0.5)
            for word, start in zip(spelt, starts, strict=True)
        ]
        return Recognition(text, "en", 0.5, tuple(words) if final else ())

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


def read_chunks(path: Path, seconds: float) -> list[AudioChunk]:
    """The beginning of a recording, mixed to one channel, as a gateway would send it now."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        blocks = [
            block.to_ndarray().ravel() for frame in container.decode(audio=0) for block in resampler.resample(frame)
        ]
    pcm = np.concatenate(blocks).astype("<i2").tobytes()[: int(seconds * 32_000) // CHUNK_BYTES * CHUNK_BYTES]
    now_ms = int(time.time() * 1000)
    pieces = [pcm[at : at + CHUNK_BYTES] for at in range(0, len(pcm), CHUNK_BYTES)]
    return [
        AudioChunk(seq, seq * CHUNK_MS, piece, now_ms, last=seq == len(pieces) - 1) for seq, piece in enumerate(pieces)
    ]


@pytest.fixture(scope="module")
def speech() -> list[AudioChunk]:
    return read_chunks(SAMPLE, SPEECH_S)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asr_session, "READ_BLOCK_MS", 20)
    monkeypatch.setattr(asr_session, "RENEW_S", 0.02)


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """All segments end after the same pause: a new owner does not know the speaker's pace yet, and cuts otherwise."""

    def steady(engine: Capabilities) -> Policy:
        policy = policy_for(engine)
        return replace(policy, least_hang_over_ms=policy.hang_over_ms, most_hang_over_ms=policy.hang_over_ms)

    monkeypatch.setattr(asr_session, "policy_for", steady)


class Desk:
    """A worker's tools, and what came of them."""

    def __init__(self, redis: Redis, pool: asyncpg.Pool) -> None:
        self.redis = redis
        self.pool = pool
        self.engine = WritingEngine()
        self.presence = Presence(redis)
        self.tools = Tools(
            audio=AudioStreams(redis),
            events=EventStreams(redis),
            presence=self.presence,
            calls=CallStore(pool),
            transcripts=TranscriptStore(pool),
            scheduler=Scheduler(self.engine),
            language="en",
        )

    @asynccontextmanager
    async def recognising(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.tools.scheduler.run())
            try:
                yield
            finally:
                running.cancel()

    async def feed(self, work: TrackWork, chunks: Sequence[AudioChunk]) -> None:
        await self.tools.audio.append((work.track.id, piece) for piece in chunks)

    def session(self, work: TrackWork, **other_tools: Any) -> TrackSession:
        lease = Lease("1-0", codec.work_to_bytes(work), 1)
        return TrackSession(work, Holding(lease), replace(self.tools, **other_tools))

    async def live_track(self, chunks: Sequence[AudioChunk]) -> TrackWork:
        """Have a track recognised at leisure, with time for every partial."""
        work = track_work()
        session = self.session(work)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            for piece in chunks:
                await self.feed(work, [piece])
                await until(
                    lambda piece=piece: (
                        running.done()
                        or (session._newest_seq == piece.seq and (session._partial is None or session._partial.done()))
                    )
                )
        return work

    async def whole_track(self, chunks: Sequence[AudioChunk]) -> TrackWork:
        """Have a track recognised from beginning to end without any disturbance."""
        work = track_work()
        await self.feed(work, chunks)
        await self.session(work).run()
        return work

    async def finals(self, work: TrackWork) -> list[TranscriptSegment]:
        return await self.tools.transcripts.of_track(work.track.id)

    async def events(self, work: TrackWork, kind: str) -> list[dict[str, Any]]:
        told = await self.tools.events.read(keys.events(work.call.id), after=START, block_ms=0, count=100_000)
        return [event.data for event in told if event.type == kind]

    async def gaps(self, work: TrackWork) -> list[tuple[int, int, str]]:
        rows = await self.tools.transcripts.gaps(work.call.id)
        return [(row["start_ms"], row["end_ms"], row["cause"]) for row in rows]

    async def close_reason(self, work: TrackWork) -> str | None:
        return await self.pool.fetchval("SELECT close_reason FROM tracks WHERE id = $1", work.track.id)


@pytest.fixture
async def desk(redis: Redis, pool: asyncpg.Pool) -> AsyncIterator[Desk]:
    made = Desk(redis, pool)
    async with made.recognising():
        yield made


@pytest.fixture
async def undisturbed(desk: Desk, speech: list[AudioChunk]) -> list[TranscriptSegment]:
    """The finals of the track when nothing breaks."""
    return await desk.finals(await desk.whole_track(speech))


def said(segments: Sequence[TranscriptSegment]) -> list[tuple[int, int, str]]:
    return [(segment.start_ms, segment.end_ms, segment.text) for segment in segments]


def spans(segments: Sequence[TranscriptSegment]) -> list[Span]:
    return [(segment.start_ms, segment.end_ms) for segment in segments]


def uncovered_ms(wanted: Sequence[Span], covering: Sequence[Span]) -> int:
    """How much of `wanted` lies outside `covering`."""
    marks = np.zeros(max(end for _, end in (*wanted, *covering)), bool)
    for start, end in wanted:
        marks[start:end] = True
    for start, end in covering:
        marks[start:end] = False
    return int(marks.sum())


async def assert_told_and_stored_alike(desk: Desk, work: TrackWork) -> None:
    """Every final is told once, in order, and none overlaps the one before."""
    finals = await desk.finals(work)
    assert [(told["seq"], told["text"]) for told in await desk.events(work, "segment.final")] == [
        (segment.seq, segment.text) for segment in finals
    ]
    for earlier, later in pairwise(finals):
        assert earlier.seq < later.seq
        assert earlier.end_ms <= later.start_ms


async def assert_complete(desk: Desk, work: TrackWork, undisturbed: list[TranscriptSegment], *, breaks: int) -> None:
    """All that was said is there once; where a worker broke down the cut may lie a moment beside the usual one.

    After it the detector, which had to begin anew, may hear the end of a word a few windows sooner or later; and a
    pause may be a cut that was waited out by who knew the speaker's own pauses.
    """
    finals = await desk.finals(work)
    await assert_told_and_stored_alike(desk, work)
    assert uncovered_ms(spans(undisturbed), spans(finals)) <= (300 + Policy().most_hang_over_ms) * breaks
    assert uncovered_ms(spans(finals), spans(undisturbed)) <= 300 * breaks
    moved = [
        wanted
        for wanted in spans(undisturbed)
        if not any(abs(wanted[0] - start) <= 100 and abs(wanted[1] - end) <= 100 for start, end in spans(finals))
    ]
    assert len(moved) <= 2 * breaks
    assert await desk.close_reason(work) == "ended"
    assert len(await desk.events(work, "track.closed")) == 1
    assert not await desk.redis.exists(keys.audio(work.track.id))


async def stops(session: TrackSession) -> BaseException:
    """Run a session until it falls; return the first of what felled it."""
    with pytest.raises(BaseExceptionGroup) as fall:
        await session.run()
    error: BaseException = fall.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class TestUndisturbed:
    async def test_finals_are_committed_before_they_are_shown_once_and_in_order(
        self, desk: Desk, speech: list[AudioChunk]
    ) -> None:
        shown_too_early = []

        class Watching(EventStreams):
            async def publish(self, tenant_id: Any, event: Event) -> str:
                if event.type == "segment.final":
                    sql = "SELECT cleaned_text FROM meeting_transcripts WHERE id = $1"
                    if await desk.pool.fetchval(sql, event.data["segment_id"]) != event.data["text"]:
                        shown_too_early.append(event.data["seq"])
                return await super().publish(tenant_id, event)

        work = track_work()
        await desk.feed(work, speech)
        await desk.session(work, events=Watching(desk.redis)).run()
        finals = await desk.finals(work)
        assert len(finals) >= 5
        assert shown_too_early == []
        assert await desk.gaps(work) == []
        assert [segment.seq for segment in finals] == list(range(len(finals)))
        await assert_complete(desk, work, finals, breaks=0)

    async def test_what_was_recognised_in_time_is_not_recognised_again_because_the_store_is_slow(
        self, desk: Desk, speech: list[AudioChunk], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Later segments begin while the final of an earlier one, whose words are there already, waits its turn."""
        asked: list[int] = []
        transcribe = desk.engine.transcribe

        def counting(samples: NDArray[np.float32], *, final: bool, **others: Any) -> Recognition:
            if final:
                asked.append(zlib.crc32(samples.tobytes()))
            return transcribe(samples, final=final, **others)

        class Slow(TranscriptStore):
            async def commit(self, *args: Any, **others: Any) -> Role:
                await asyncio.sleep(0.3)
                return await super().commit(*args, **others)

        monkeypatch.setattr(desk.engine, "transcribe", counting)
        work = track_work()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.session(work, transcripts=Slow(desk.pool)).run())
            for piece in speech:
                await desk.feed(work, [piece])
                await asyncio.sleep(0.005)
        assert len(await desk.finals(work)) >= 5
        assert len(set(asked)) == len(asked)

    async def test_a_final_says_who_spoke_when_and_what(self, desk: Desk, speech: list[AudioChunk]) -> None:
        work = await desk.whole_track(speech)
        for segment in await desk.finals(work):
            assert (segment.role, segment.speaker, segment.language) == ("customer", "SPEAKER_00", "en")
            assert 0 <= segment.start_ms < segment.end_ms <= SPEECH_S * 1000
            assert " ".join(word.w for word in segment.words) == segment.text == segment.original_text
            assert all(earlier.end_ms == later.start_ms for earlier, later in pairwise(segment.words))
            assert segment.start_ms - 300 <= segment.words[0].start_ms <= segment.start_ms
            assert segment.end_ms <= segment.words[-1].end_ms <= segment.end_ms + 300
            assert segment.latency_ms is not None
            assert segment.latency_ms >= 0

    async def test_a_price_is_shown_in_digits_beside_the_words_that_were_heard(
        self, desk: Desk, speech: list[AudioChunk], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard = tuple(
            Word(w, at * 100, at * 100 + 100, 0.9) for at, w in enumerate("It is twenty five dollars.".split())
        )
        text = " ".join(word.w for word in heard)

        def transcribe(_samples: NDArray[np.float32], *, final: bool, **_: Any) -> Recognition:
            return Recognition(text, "en", 0.9, heard if final else ())

        monkeypatch.setattr(desk.engine, "transcribe", transcribe)
        work = await desk.live_track([*speech[:29], replace(speech[29], last=True)])
        for segment in await desk.finals(work):
            assert (segment.text, segment.original_text) == ("It is $25.", text)
            assert [word.w for word in segment.words] == ["It", "is", "$25."]
            assert segment.words[-1].end_ms - segment.words[-1].start_ms == 300
        partials = [told["text"] for told in await desk.events(work, "segment.partial")]
        assert set(partials) == {"It is $25."}

    async def test_the_same_audio_gives_the_same_finals_however_it_arrives(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work = track_work()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.session(work).run())
            for start in range(0, len(speech), 7):
                await desk.feed(work, speech[start : start + 7])
                await asyncio.sleep(0.002)
        assert running.done()
        assert said(await desk.finals(work)) == said(undisturbed)

    async def test_each_final_was_announced_by_partials_and_none_comes_after_it(
        self, desk: Desk, speech: list[AudioChunk]
    ) -> None:
        work = await desk.live_track([*speech[:59], replace(speech[59], last=True)])
        told = await desk.tools.events.read(keys.events(work.call.id), after=START, block_ms=0, count=100_000)
        of_segment: dict[str, list[str]] = defaultdict(list)
        for event in told:
            if event.type.startswith("segment."):
                of_segment[event.data["segment_id"]].append(event.type)
        assert len(of_segment) == len(await desk.finals(work))
        assert all(types[-1] == "segment.final" for types in of_segment.values())
        assert sum(len(types) > 1 for types in of_segment.values()) >= 2

    async def test_audio_is_kept_until_its_words_are_stored_and_no_longer(
        self, desk: Desk, speech: list[AudioChunk]
    ) -> None:
        work, needed = track_work(), []

        class Watching(AudioStreams):
            async def trim(self, track_id: Any, before_seq: int) -> None:
                progress = await desk.tools.transcripts.progress(track_id)
                needed.append(before_seq * CHUNK_MS > progress.resume_ms)
                await super().trim(track_id, before_seq)

        await desk.feed(work, speech)
        await desk.session(work, audio=Watching(desk.redis)).run()
        assert len(needed) >= 5
        assert not any(needed)

    async def test_a_track_without_a_word_leaves_nothing_but_its_end(self, desk: Desk) -> None:
        silence = [AudioChunk(seq, seq * CHUNK_MS, bytes(CHUNK_BYTES), 0, last=seq == 199) for seq in range(200)]
        work = track_work()
        await desk.feed(work, silence[:150])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.session(work).run())
            await until(lambda: _trimmed(desk, work))
            await desk.feed(work, silence[150:])
        assert running.done()
        assert await desk.finals(work) == []
        assert await desk.events(work, "segment.partial") == []
        assert await desk.close_reason(work) == "ended"

    async def test_a_track_that_is_closed_is_closed_once(self, desk: Desk, speech: list[AudioChunk]) -> None:
        work = await desk.whole_track(speech)
        finals = await desk.finals(work)
        await desk.session(work).run()
        await desk.session(work).run()
        await assert_complete(desk, work, finals, breaks=0)

    @pytest.mark.parametrize("name", ["calls/chromecast-order-mono.wav", "dialogues/constructed-a2-2spk-mono.flac"])
    async def test_other_voices_survive_a_crash_too(self, desk: Desk, data_dir: Path, name: str) -> None:
        chunks = read_chunks(data_dir / name, 40)
        undisturbed = await desk.finals(await desk.whole_track(chunks))
        work = track_work()
        await desk.feed(work, chunks)
        assert isinstance(await stops(desk.session(work, transcripts=Crashing(desk.pool, 3, before=False))), CrashError)
        await desk.session(work).run()
        await assert_complete(desk, work, undisturbed, breaks=1)


async def _trimmed(desk: Desk, work: TrackWork) -> bool:
    return 0 < await desk.redis.xlen(keys.audio(work.track.id)) < 60


class Crashing(TranscriptStore):
    """Falls over around the commit of one final."""

    def __init__(self, pool: asyncpg.Pool, number: int, *, before: bool) -> None:
        super().__init__(pool)
        self.left = number
        self.before = before

    async def commit(self, *arguments: Any, **named: Any) -> Role:
        self.left -= 1
        if self.left < 0 and self.before:
            raise CrashError
        role = await super().commit(*arguments, **named)
        if self.left < 0:
            raise CrashError
        return role


class CrashingTeller(EventStreams):
    """Falls over after a final was told."""

    def __init__(self, redis: Redis, number: int) -> None:
        super().__init__(redis)
        self.left = number

    async def publish(self, tenant_id: Any, event: Event) -> str:
        cursor = await super().publish(tenant_id, event)
        if event.type == "segment.final":
            self.left -= 1
            if self.left < 0:
                raise CrashError
        return cursor


class TestTakeover:
    @pytest.mark.parametrize("number", [0, 2, 5])
    @pytest.mark.parametrize("moment", ["before its commit", "after its commit", "after it was told"])
    async def test_after_a_crash_at_a_final_a_peer_goes_on_with_nothing_lost_or_twice(
        self,
        desk: Desk,
        speech: list[AudioChunk],
        undisturbed: list[TranscriptSegment],
        moment: str,
        number: int,
    ) -> None:
        work = track_work()
        await desk.feed(work, speech)
        if moment == "after it was told":
            fallen = desk.session(work, events=CrashingTeller(desk.redis, number))
        else:
            fallen = desk.session(work, transcripts=Crashing(desk.pool, number, before=moment == "before its commit"))
        assert isinstance(await stops(fallen), CrashError)
        stored = number + (moment != "before its commit")
        assert said(await desk.finals(work)) == said(undisturbed[:stored])
        await desk.session(work).run()
        assert said((await desk.finals(work))[:stored]) == said(undisturbed[:stored])
        await assert_complete(desk, work, undisturbed, breaks=1)
        assert await desk.gaps(work) == []

    async def test_workers_that_are_killed_one_after_the_other_get_there_in_the_end(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work, breaks = track_work(), 0
        await desk.feed(work, speech)
        async with asyncio.TaskGroup() as tasks:
            while True:
                had, running = len(await desk.finals(work)), tasks.create_task(desk.session(work).run())

                async def got_further(had: int = had, running: asyncio.Task[None] = running) -> bool:
                    return running.done() or len(await desk.finals(work)) > had

                await until(got_further)
                if not running.cancel():
                    break
                breaks += 1
                await asyncio.wait([running])
        assert breaks > 0
        await assert_complete(desk, work, undisturbed, breaks=breaks)

    async def test_a_peer_that_takes_over_while_audio_comes_in_misses_none(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work, half = track_work(), len(speech) // 2
        await desk.feed(work, speech[:half])
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(desk.session(work).run())
            await until(lambda: desk.finals(work))
            first.cancel()
            await asyncio.wait([first])
            second = tasks.create_task(desk.session(work).run())
            await desk.feed(work, speech[half:])
        assert second.done()
        await assert_complete(desk, work, undisturbed, breaks=1)

    async def test_whoever_wakes_up_after_a_peer_took_over_stores_nothing(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        asleep, awake = asyncio.Event(), asyncio.Event()

        class Sleepy(TranscriptStore):
            async def commit(self, *arguments: Any, **named: Any) -> None:
                if not asleep.is_set() and len(await desk.finals(work)) == 2:
                    asleep.set()
                    await awake.wait()
                await super().commit(*arguments, **named)

        work = track_work()
        await desk.feed(work, speech)
        async with asyncio.TaskGroup() as tasks:
            late = tasks.create_task(stops(desk.session(work, transcripts=Sleepy(desk.pool))))
            await asleep.wait()
            await desk.session(work).run()
            finals = await desk.finals(work)
            awake.set()
        assert isinstance(late.result(), NotOwnerError)
        assert await desk.finals(work) == finals
        await assert_complete(desk, work, undisturbed, breaks=1)

    async def test_two_who_both_think_they_own_a_track_do_no_harm(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work = track_work()
        await desk.feed(work, speech)
        results = await asyncio.gather(*(desk.session(work).run() for _ in range(3)), return_exceptions=True)
        for result in results:
            assert result is None or (isinstance(result, ExceptionGroup) and result.split(NotOwnerError)[1] is None)
        if await desk.close_reason(work) is None:
            await desk.session(work).run()
        await assert_complete(desk, work, undisturbed, breaks=0)

    async def test_what_a_peer_has_recognised_and_let_go_is_not_lost(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        asleep, awake = asyncio.Event(), asyncio.Event()

        class Sleepy(AudioStreams):
            async def read(self, *arguments: Any, **named: Any) -> AudioPage:
                asleep.set()
                await awake.wait()
                return await super().read(*arguments, **named)

        work, half = track_work(), len(speech) // 2
        await desk.feed(work, speech[:half])
        async with asyncio.TaskGroup() as tasks:
            late = tasks.create_task(stops(desk.session(work, audio=Sleepy(desk.redis))))
            await asleep.wait()
            ahead = tasks.create_task(desk.session(work).run())
            await until(lambda: desk.finals(work))
            awake.set()
            await asyncio.wait([late])
            await desk.feed(work, speech[half:])
        assert ahead.done()
        assert isinstance(late.result(), NotOwnerError)
        assert await desk.gaps(work) == []
        await assert_complete(desk, work, undisturbed, breaks=0)

    async def test_a_track_closed_but_not_told_is_told_by_the_next_owner(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        class Mute(EventStreams):
            async def publish(self, tenant_id: Any, event: Event) -> str:
                if event.type == "track.closed":
                    raise CrashError
                return await super().publish(tenant_id, event)

        work = track_work()
        await desk.feed(work, speech)
        with pytest.raises(CrashError):
            await desk.session(work, events=Mute(desk.redis)).run()
        assert await desk.close_reason(work) == "ended"
        await desk.session(work).run()
        await assert_complete(desk, work, undisturbed, breaks=0)

    async def test_a_worker_that_stops_in_order_hands_over_to_another(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        def worker(name: str) -> AsrWorker:
            queue = WorkQueue(desk.redis, "asr", name, lease_ms=600_000)
            return AsrWorker(queue, Scheduler(desk.engine), desk.tools, desk.presence)

        work, half = track_work(), len(speech) // 2
        await WorkQueue(desk.redis, "asr", "gateway").announce(work)
        await desk.feed(work, speech[:half])
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(worker("leaving").run())
            await until(lambda: desk.finals(work))
            leaving.cancel()
            await asyncio.wait([leaving])
            staying = tasks.create_task(worker("staying").run())
            await desk.feed(work, speech[half:])
            await until(lambda: desk.events(work, "track.closed"))
            await until(lambda: _nothing_waits(desk))
            staying.cancel()
        await assert_complete(desk, work, undisturbed, breaks=1)


async def _nothing_waits(desk: Desk) -> bool:
    return await desk.redis.xlen(keys.work("asr")) == 0


class TestHoles:
    async def test_lost_chunks_are_a_gap_with_its_cause(self, desk: Desk, speech: list[AudioChunk]) -> None:
        work = track_work()
        await desk.feed(work, [*speech[:60], *speech[65:]])
        await desk.session(work).run()
        assert await desk.gaps(work) == [(60 * CHUNK_MS, 65 * CHUNK_MS, "audio-lost")]
        assert await desk.events(work, "gap") == [
            {"track_id": str(work.track.id), "start_ms": 60 * CHUNK_MS, "end_ms": 65 * CHUNK_MS, "cause": "audio-lost"}
        ]
        await assert_told_and_stored_alike(desk, work)
        for start, end in spans(await desk.finals(work)):
            assert end <= 60 * CHUNK_MS or start >= 65 * CHUNK_MS

    async def test_a_beginning_that_was_lost_is_a_gap_too(self, desk: Desk, speech: list[AudioChunk]) -> None:
        work = track_work()
        await desk.feed(work, speech[10:])
        await desk.session(work).run()
        assert await desk.gaps(work) == [(0, 10 * CHUNK_MS, "audio-lost")]

    async def test_audio_lost_while_nobody_owned_the_track_is_a_gap(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work = track_work()
        await desk.feed(work, speech[:80])
        assert isinstance(await stops(desk.session(work, transcripts=Crashing(desk.pool, 1, before=False))), CrashError)
        await desk.redis.flushdb()
        await desk.feed(work, speech[80:])
        await desk.session(work).run()
        ((start, end, cause),) = await desk.gaps(work)
        assert (start, end, cause) == (undisturbed[1].end_ms, 80 * CHUNK_MS, "audio-lost")
        finals = await desk.finals(work)
        assert uncovered_ms(spans(undisturbed), [*spans(finals), (start, end)]) <= 600
        assert await desk.close_reason(work) == "ended"

    async def test_holes_that_chunks_name_are_gaps_once(self, desk: Desk, speech: list[AudioChunk]) -> None:
        holes = {
            30: (Hole(5980, 6000, "missing"),),
            90: (Hole(17_000, 18_000, "spool-full"), Hole(18_050, 18_100, "late")),
        }
        chunks = [replace(piece, holes=holes.get(piece.seq, ())) for piece in speech if piece.seq not in range(85, 90)]
        work = track_work()
        await desk.feed(work, chunks)
        assert isinstance(await stops(desk.session(work, events=CrashingTeller(desk.redis, 2))), CrashError)
        await desk.session(work).run()
        expected = [(5980, 6000, "missing"), (17_000, 18_000, "spool-full"), (18_050, 18_100, "late")]
        assert await desk.gaps(work) == expected
        told = [(gap["start_ms"], gap["end_ms"], gap["cause"]) for gap in await desk.events(work, "gap")]
        assert told == expected

    async def test_an_entry_that_cannot_be_read_is_a_gap_and_the_rest_is_recognised(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work = track_work()
        await desk.feed(work, speech[:50])
        await desk.redis.xadd(keys.audio(work.track.id), {"v": 99}, id="51-0")
        await desk.feed(work, speech[51:])
        await desk.session(work).run()
        gap = (50 * CHUNK_MS, 51 * CHUNK_MS)
        assert await desk.gaps(work) == [(*gap, "audio-lost")]
        assert uncovered_ms(spans(undisturbed), [*spans(await desk.finals(work)), gap]) <= 600


class TestEngine:
    async def test_a_stretch_that_breaks_the_engine_is_marked_and_the_rest_completes(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        bad = undisturbed[2]
        desk.engine.refuses = {bad.text}
        work = await desk.whole_track(speech)
        assert said(await desk.finals(work)) == said([*undisturbed[:2], *undisturbed[3:]])
        assert await desk.gaps(work) == [(bad.start_ms, bad.end_ms, "recogniser-failed")]
        assert len(await desk.events(work, "gap")) == 1
        await assert_told_and_stored_alike(desk, work)
        assert await desk.close_reason(work) == "ended"

    async def test_words_that_turn_out_to_be_none_are_taken_off_the_screen(
        self, desk: Desk, speech: list[AudioChunk]
    ) -> None:
        desk.engine.mute_finals = True
        work = await desk.live_track([*speech[:59], replace(speech[59], last=True)])
        assert await desk.finals(work) == []
        shown: dict[str, list[str]] = defaultdict(list)
        for partial in await desk.events(work, "segment.partial"):
            shown[partial["segment_id"]].append(partial["text"])
        assert sum(bool(texts[0]) for texts in shown.values()) >= 2
        assert all(texts[-1] == "" for texts in shown.values())
        assert await desk.close_reason(work) == "ended"
        assert await desk.gaps(work) == []

    async def test_a_track_that_nobody_gets_through_is_closed_with_a_mark(
        self, desk: Desk, speech: list[AudioChunk]
    ) -> None:
        work = track_work()
        await desk.feed(work, speech)
        assert isinstance(await stops(desk.session(work, transcripts=Crashing(desk.pool, 1, before=False))), CrashError)
        finals = await desk.finals(work)
        await desk.session(work).bury("failed 4 times")
        resume_ms = (await desk.tools.transcripts.progress(work.track.id)).resume_ms
        assert await desk.gaps(work) == [(resume_ms, resume_ms, "recogniser-failed")]
        assert await desk.close_reason(work) == "failed 4 times"
        assert await desk.finals(work) == finals
        (closed,) = await desk.events(work, "track.closed")
        assert closed["reason"] == "failed 4 times"


class TestSilence:
    """A track that gets no more chunks."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asr_session, "SILENT_S", 0.1)

    async def test_the_track_of_a_lost_gateway_is_closed_with_what_was_heard(
        self, desk: Desk, speech: list[AudioChunk], undisturbed: list[TranscriptSegment]
    ) -> None:
        work, heard = track_work(), 40
        await desk.feed(work, speech[:heard])
        await desk.session(work).run()
        assert await desk.gaps(work) == [(heard * CHUNK_MS, heard * CHUNK_MS, "gateway-lost")]
        assert await desk.close_reason(work) == "gateway lost"
        known = [(start, min(end, heard * CHUNK_MS)) for start, end in spans(undisturbed) if start < heard * CHUNK_MS]
        assert uncovered_ms(known, spans(await desk.finals(work))) <= 300
        await assert_told_and_stored_alike(desk, work)
        assert not await desk.redis.exists(keys.audio(work.track.id))

    async def test_a_living_gateway_may_be_silent_for_as_long_as_it_likes(
        self,
        desk: Desk,
        speech: list[AudioChunk],
        undisturbed: list[TranscriptSegment],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        work, asked = track_work(), 0
        await desk.presence.gateway(work.gateway_id)
        lives = desk.presence.gateway_lives

        async def counted(gateway_id: str) -> bool:
            nonlocal asked
            asked += 1
            return await lives(gateway_id)

        monkeypatch.setattr(desk.presence, "gateway_lives", counted)
        await desk.feed(work, speech[:40])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.session(work).run())
            await until(lambda: asked >= 3)
            assert not running.done()
            await desk.feed(work, speech[40:])
        await assert_complete(desk, work, undisturbed, breaks=0)

    async def test_a_redis_that_was_away_has_forgotten_the_gateway_and_the_track_goes_on(
        self,
        desk: Desk,
        speech: list[AudioChunk],
        undisturbed: list[TranscriptSegment],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(asr_session, "RENEW_S", 5.0)
        monkeypatch.setattr(asr_session, "SILENT_S", 8.0)
        clock = Clock()
        monkeypatch.setattr(asr_session, "time", clock)
        back, refused, empty = asyncio.Event(), asyncio.Event(), 0

        class Away(AudioStreams):
            async def read(self, *arguments: Any, **named: Any) -> Any:
                nonlocal empty
                if running_dry.is_set() and not back.is_set():
                    clock.ahead_s += 60.0
                    refused.set()
                    raise RedisAwayError("away")
                page = await super().read(*arguments, **named)
                if not page.chunks:
                    running_dry.set()
                    empty += back.is_set()
                return page

        running_dry, work = asyncio.Event(), track_work()
        await desk.feed(work, speech[:40])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.session(work, audio=Away(desk.redis)).run())
            await refused.wait()
            back.set()
            await until(lambda: empty >= 3)
            await desk.presence.gateway(work.gateway_id)
            await desk.feed(work, speech[40:])
        assert running.done()
        assert await desk.gaps(work) == []
        await assert_complete(desk, work, undisturbed, breaks=0)

    async def test_a_gateway_that_shows_up_when_it_is_asked_for_again_is_not_lost(
        self,
        desk: Desk,
        speech: list[AudioChunk],
        undisturbed: list[TranscriptSegment],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        work, answers = track_work(), iter([False, True])

        async def forgetful(gateway_id: str) -> bool:
            found = next(answers, True)
            if found:
                await desk.feed(work, speech[40:])
            return found

        monkeypatch.setattr(desk.presence, "gateway_lives", forgetful)
        await desk.feed(work, speech[:40])
        await desk.session(work).run()
        await assert_complete(desk, work, undisturbed, breaks=0)

    @pytest.mark.parametrize(
        ("end_reason", "close_reason", "cause"),
        [("completed", "ended", "audio-lost"), ("gateway lost", "gateway lost", "gateway-lost")],
    )
    async def test_a_track_whose_closing_chunk_was_lost_ends_with_its_call(
        self, desk: Desk, speech: list[AudioChunk], end_reason: str, close_reason: str, cause: str
    ) -> None:
        work = track_work()
        await desk.presence.gateway(work.gateway_id)
        await desk.feed(work, speech[:40])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.session(work).run())
            await until(lambda: desk.finals(work))
            await desk.tools.calls.end(work.call.id, end_reason, work.call.started_at, 8000)
        assert running.done()
        assert await desk.gaps(work) == [(8000, 8000, cause)]
        assert await desk.close_reason(work) == close_reason


class Clock:
    """The module `time`, some way ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def time(self) -> float:
        return time.time()


class TestOutages:
    async def test_after_a_crash_of_redis_with_its_data_the_track_goes_on(
        self, pool: asyncpg.Pool, tmp_path: Path, speech: list[AudioChunk]
    ) -> None:
        server = EmbeddedRedis(tmp_path)
        await server.start()
        client = open_redis(server.url, timeout_s=0.5)
        desk = Desk(client, pool)
        try:
            async with desk.recognising():
                undisturbed = await desk.finals(await desk.whole_track(speech))
                work, half = track_work(), len(speech) // 2
                await desk.feed(work, speech[:half])
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(desk.session(work).run())
                    await until(lambda: desk.finals(work))
                    await server.stop()
                    await server.start()
                    await desk.feed(work, speech[half:])
                assert running.done()
                await assert_complete(desk, work, undisturbed, breaks=0)
                assert await desk.gaps(work) == []
        finally:
            await client.aclose()
            await server.stop()

    @pytest.fixture
    async def postgres(self, tmp_path: Path, how: str) -> AsyncIterator[EmbeddedPostgres]:
        """A PostgreSQL of the test's own; one that is to be killed has to write down what it commits."""
        server = EmbeddedPostgres(tmp_path, fast=how != "killed")
        await server.start()
        setting_up = await open_pool(server.url, max_size=1)
        await migrate(setting_up)
        await setting_up.close()
        yield server
        await server.stop()

    @pytest.mark.parametrize("how", ["killed", "frozen"])
    async def test_a_track_waits_for_postgresql_and_completes(
        self,
        redis: Redis,
        postgres: EmbeddedPostgres,
        speech: list[AudioChunk],
        how: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pool = await impatient_pool(postgres.url)
        desk, waited = Desk(redis, pool), asyncio.Event()
        until_stored = asr_session.until_stored

        async def noticed(store: Callable[[], Any]) -> Any:
            async def tried() -> Any:
                try:
                    return await store()
                except database.StoreAway:
                    waited.set()
                    raise

            return await until_stored(tried)

        async with desk.recognising():
            undisturbed = await desk.finals(await desk.whole_track(speech))
        monkeypatch.setattr(asr_session, "until_stored", noticed)
        queue = WorkQueue(redis, "asr", "worker", lease_ms=500)
        work, half = track_work(), len(speech) // 2
        await queue.announce(work)
        await desk.feed(work, speech[:half])
        async with asyncio.TaskGroup() as tasks:
            worker = AsrWorker(queue, desk.tools.scheduler, desk.tools, desk.presence)
            running = tasks.create_task(worker.run())
            await until(lambda: desk.finals(work))
            if how == "killed":
                await postgres.kill()
                await desk.feed(work, speech[half:])
                await waited.wait()
                await postgres.start()
            else:
                with frozen(postgres):
                    await desk.feed(work, speech[half:])
                    await waited.wait()
            await until(lambda: _nothing_waits(desk))
            running.cancel()
        # A statement that was given up may have gone through: then its owner begins again where that leaves off.
        await assert_complete(desk, work, undisturbed, breaks=2)
        assert await desk.gaps(work) == []
        assert await queue.buried() == 0
        pool.terminate()


async def impatient_pool(url: str) -> asyncpg.Pool:
    """As infra.store.database.open_pool, but without its patience."""
    return await asyncpg.create_pool(
        url, min_size=1, max_size=4, timeout=0.5, command_timeout=0.5, init=database._prepare_connection
    )


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """PostgreSQL with all its processes stopped."""
    assert postgres.pid is not None
    children = Path(f"/proc/{postgres.pid}/task/{postgres.pid}/children").read_text()
    pids = [postgres.pid, *map(int, children.split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class TestImported:
    """A recording that is brought in: nobody waits for its words."""

    async def test_its_words_are_all_there_without_guesses_and_without_being_late(
        self, desk: Desk, speech: list[AudioChunk]
    ) -> None:
        work = track_work(new_call(live=False))
        old = [replace(piece, received_at_ms=piece.received_at_ms - 600_000) for piece in speech]
        await desk.feed(work, old)
        lags: list[float] = []

        async def watch() -> None:
            while True:
                desk.tools.scheduler.overload.look()
                lags.append(desk.tools.scheduler.overload.lag_s)
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            await desk.session(work).run()
            watching.cancel()
        finals = await desk.finals(work)
        assert len(finals) >= 4
        assert all(segment.latency_ms is None for segment in finals)
        assert await desk.events(work, "segment.partial") == []
        assert [told["lag_ms"] for told in await desk.events(work, "lag") if told["lag_ms"]] == []
        assert max(lags) == 0
        assert desk.engine.calls == len(finals), "nothing is recognised twice"
        await assert_told_and_stored_alike(desk, work)
        assert await desk.close_reason(work) == "ended"

    async def test_a_gateway_that_is_away_ends_nothing(
        self, desk: Desk, speech: list[AudioChunk], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asr_session, "SILENT_S", 0.05)
        work = track_work(new_call(live=False))
        await desk.tools.calls.add(work.call, work.gateway_id)
        half = len(speech) // 2
        await desk.feed(work, speech[:half])
        session = desk.session(work)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            await until(lambda: session._newest_seq == half - 1)
            await asyncio.sleep(0.5)
            assert not running.done()
            await desk.feed(work, speech[half:])
        assert await desk.gaps(work) == []
        assert await desk.close_reason(work) == "ended"
