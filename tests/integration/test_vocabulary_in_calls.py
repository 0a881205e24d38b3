"""From the API to the transcript: what a running call's recogniser listens for."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

import numpy as np
import pytest

from infra.bus import codec
from infra.bus.presence import Presence
from infra.bus.streams import AudioStreams, EventStreams
from infra.bus.work import Lease
from infra.embedded import Services
from infra.model import CHUNK_MS, SAMPLE_RATE_HZ, AudioChunk, Call
from infra.settings import read_settings
from infra.store.calls import CallStore
from infra.store.queues import Queue, QueueStore
from infra.store.transcripts import TranscriptStore
from infra.store.vocabulary import MOST_PHRASES, VocabularyStore
from tests.bench.speech import Track as Recording
from tests.bench.vocabulary import names
from tests.conftest import missing, until
from tests.integration.dashboard_world import World, world_on
from tests.parts import new_call, track_work
from workers.asr.engines import open_engine
from workers.asr.models import ModelMissingError
from workers.asr.scheduler import Scheduler
from workers.asr.session import Tools, TrackSession
from workers.asr.vocabulary import Vocabularies
from workers.owner import Holding

PATH = "/api/v1/vocabulary"


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


async def add(world: World, *phrases: str, queue_id: UUID | None = None) -> list[str]:
    """Add phrases through the API; return their ids."""
    body = {"phrases": phrases, "queue_id": queue_id and str(queue_id)}
    async with world.http.post(world.url + PATH, headers=await world.headers("supervisor"), json=body) as answer:
        assert answer.status == 201
        return [item["id"] for item in (await answer.json())["items"]]


async def remove(world: World, phrase_id: str) -> None:
    async with world.http.delete(f"{world.url}{PATH}/{phrase_id}", headers=await world.headers("supervisor")) as answer:
        assert answer.status == 204


async def of(world: World, kept: Vocabularies, call: Call) -> tuple[str, ...]:
    kept.of(call)
    await kept.refresh()
    return kept.of(call)


class TestOfCalls:
    async def test_a_call_has_its_tenants_phrases_and_those_of_the_queue_it_comes_to(self, world: World) -> None:
        kept, call = Vocabularies(VocabularyStore(world.pool)), await world.call()
        sales, service = (
            Queue(UUID(int=number), name, world.tenant) for number, name in ((7, "Sales"), (8, "Service"))
        )
        for queue in (sales, service):
            await QueueStore(world.pool).put(queue)
        await add(world, "Zyrvana")
        await add(world, "Lumenthal", "zyrvana", queue_id=sales.id)
        await add(world, "Portalis", queue_id=service.id)
        assert kept.of(call) == ()
        assert await of(world, kept, call) == ("Zyrvana", "Sales", "Service")
        await world.calls.set_stage(call.id, "waiting", queue_id=sales.id, agent_id=None)
        assert await of(world, kept, call) == ("Lumenthal", "zyrvana", "Sales", "Service")
        await world.calls.set_stage(call.id, "waiting", queue_id=service.id, agent_id=None)
        assert await of(world, kept, call) == ("Portalis", "Zyrvana", "Sales", "Service")

    async def test_they_are_known_before_the_first_recognition(self, world: World) -> None:
        kept, call = Vocabularies(VocabularyStore(world.pool)), await world.call()
        await add(world, "Zyrvana")
        await kept.look_up(call)
        assert kept.of(call) == ("Zyrvana",)

    async def test_a_track_is_begun_without_them_while_the_store_is_away(self, world: World) -> None:
        kept, call = Vocabularies(VocabularyStore(world.pool)), await world.call()
        await world.pool.execute("ALTER TABLE vocabulary RENAME TO away")
        try:
            await kept.look_up(call)
        finally:
            await world.pool.execute("ALTER TABLE away RENAME TO vocabulary")
        assert kept.of(call) == ()

    async def test_agents_take_part_by_their_names(self, world: World) -> None:
        kept, call = Vocabularies(VocabularyStore(world.pool)), await world.call()
        await world.users.add(world.tenant, "Anneliese van Krueger", "agent")
        await world.users.add(world.tenant, "Some Admin", "admin")
        assert await of(world, kept, call) == ("Anneliese van Krueger", "Anneliese", "Krueger")

    async def test_tenants_hear_nothing_of_each_other(self, world: World) -> None:
        kept, other = Vocabularies(VocabularyStore(world.pool)), await world.new_tenant()
        await VocabularyStore(world.pool).add(other, ["Lumenthal"], None)
        await add(world, "Zyrvana")
        ours, theirs = await world.call(), new_call(tenant_id=other)
        kept.of(theirs)
        assert await of(world, kept, ours) == ("Zyrvana",)
        assert kept.of(theirs) == ("Lumenthal",)

    async def test_calls_that_share_a_vocabulary_share_the_tuple(self, world: World) -> None:
        kept, calls = Vocabularies(VocabularyStore(world.pool)), [await world.call() for _ in range(3)]
        await add(world, "Zyrvana")
        for call in calls:
            kept.of(call)
        await kept.refresh()
        assert len({id(kept.of(call)) for call in calls}) == 1

    async def test_there_are_never_more_phrases_than_a_tenant_may_have(self, world: World) -> None:
        kept, call = Vocabularies(VocabularyStore(world.pool)), await world.call()
        await add(world, *(f"phrase {number}" for number in range(MOST_PHRASES)))
        await world.users.add(world.tenant, "Anneliese Krueger", "agent")
        assert len(await of(world, kept, call)) == MOST_PHRASES

    async def test_while_the_store_is_away_calls_keep_what_they_had(self, world: World) -> None:
        kept, call = Vocabularies(VocabularyStore(world.pool), refresh_s=0.01), await world.call()
        (phrase_id,) = await add(world, "Zyrvana")
        async with running(kept):
            await until(lambda: kept.of(call) == ("Zyrvana",))
            await world.pool.execute("ALTER TABLE vocabulary RENAME TO away")
            try:
                await asyncio.sleep(0.1)
                assert kept.of(call) == ("Zyrvana",)
            finally:
                await world.pool.execute("ALTER TABLE away RENAME TO vocabulary")
            await remove(world, phrase_id)
            await until(lambda: kept.of(call) == ())


@asynccontextmanager
async def running(kept: Vocabularies) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(kept.run())
        try:
            yield
        finally:
            task.cancel()


def chunks(recording: Recording, first: int) -> Iterator[AudioChunk]:
    """A sentence and a pause behind it, as a gateway sends them now."""
    pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
    whole = Recording("", "en", np.concatenate((recording.samples, pause)), "")
    now_ms = int(time.time() * 1000)
    for chunk in whole.chunks():
        yield AudioChunk(first + chunk.seq, (first + chunk.seq) * CHUNK_MS, chunk.pcm.ljust(6400, b"\0"), now_ms)


@pytest.mark.models
async def test_a_phrase_added_through_the_api_changes_what_a_running_calls_transcript_says(world: World) -> None:
    try:
        engine = open_engine(
            "moonshine", "moonshine/base-en", "cpu", "en", data_dir=read_settings().hearline_data_dir, threads=1
        )
    except ModelMissingError as error:
        missing(str(error))
    sentence = next(item.track for item in names() if item.phrases == ("Kaito Yamamoto",))
    call = await world.call()
    work = track_work(call)
    audio, transcripts = AudioStreams(world.redis), TranscriptStore(world.pool)
    kept = Vocabularies(VocabularyStore(world.pool), refresh_s=0.05)
    tools = Tools(
        audio=audio,
        events=EventStreams(world.redis),
        presence=Presence(world.redis),
        calls=CallStore(world.pool),
        transcripts=transcripts,
        scheduler=Scheduler(engine),
        language="en",
        vocabularies=kept,
    )

    async def say(number: int) -> str:
        """Say the sentence once more; return the final of it."""
        spoken = list(chunks(sentence, first=sum(map(len, said))))
        said.append(spoken)
        await audio.append((work.track.id, chunk) for chunk in spoken)

        async def finals() -> list[str]:
            texts = [segment.text for segment in await transcripts.of_track(work.track.id)]
            return texts if len(texts) >= number else []

        return (await until(finals, within_s=60))[number - 1]

    said: list[list[AudioChunk]] = []
    holding = Holding(Lease("1-0", codec.work_to_bytes(work), 1))
    session = TrackSession(work, holding, tools)
    async with asyncio.TaskGroup() as tasks, running(kept):
        parts = [tasks.create_task(tools.scheduler.run()), tasks.create_task(session.run())]
        before = await say(1)
        await add(world, "Kaito Yamamoto", "an APPOINTMENT")
        await until(lambda: len(kept.of(call)) == 2)
        after = await say(2)
        parts.pop().cancel()
        await audio.append((work.track.id, chunk) for chunk in chunks(sentence, first=sum(map(len, said))))
        next_worker = dataclasses.replace(tools, vocabularies=Vocabularies(VocabularyStore(world.pool)))
        parts.append(tasks.create_task(TrackSession(work, holding, next_worker).run()))

        async def taken_over() -> bool:
            return len(await transcripts.of_track(work.track.id)) == 3

        await until(taken_over, within_s=60)
        for part in parts:
            part.cancel()
    assert "Kaito" not in before
    assert "Kaito Yamamoto" in after
    (first, second, third) = await transcripts.of_track(work.track.id)
    assert "Kaito Yamamoto" in third.text
    assert ("had an appointment" in first.text, "had an APPOINTMENT" in second.text) == (True, True)
    assert "had an appointment" in second.original_text
    assert " ".join(word.w for word in second.words) == second.text
