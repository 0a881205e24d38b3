"""A track's language from its first words to the screen, the database and the next owner."""

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import numpy as np
import pytest
from numpy.typing import NDArray
from redis.asyncio import Redis

from infra.model import AudioChunk
from tests.integration.test_asr_session import SAMPLE, Desk, WritingEngine, read_chunks, stops
from tests.parts import track_work
from workers.asr.engines import Context, Recognition
from workers.asr.language_judge import languages_for
from workers.asr.scheduler import Scheduler

ABLE = frozenset({"en", "es", "de"})
SPANISH = {"es": 0.9, "en": 0.01, "de": 0.01}
ENGLISH = {"en": 0.9, "es": 0.05, "de": 0.05}


class CrashError(Exception):
    """The worker falls over here."""


class TellingEngine(WritingEngine):
    """Asked with `auto` it answers in English, and says what it has heard."""

    name = "telling"
    capabilities = replace(WritingEngine.capabilities, languages=ABLE)

    def __init__(self) -> None:
        super().__init__()
        self.spoken = [ENGLISH]
        """What it hears in one final after the other; the last of them from then on."""
        self.asked: list[str] = []

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
        self.asked.append(language)
        heard = super().transcribe(samples, language=language, final=final)
        if language != "auto":
            return replace(heard, language=language, confidence=0.9)
        evidence = self.spoken.pop(0) if final and len(self.spoken) > 1 else self.spoken[0]
        return replace(heard, language="en", confidence=0.9, languages=evidence)


@pytest.fixture(scope="module")
def speech() -> list[AudioChunk]:
    return read_chunks(SAMPLE, 20)


@pytest.fixture
async def desk(redis: Redis, pool: asyncpg.Pool) -> AsyncIterator[Desk]:
    made = Desk(redis, pool)
    made.engine = TellingEngine()
    languages = languages_for((), ABLE)
    made.tools = replace(made.tools, scheduler=Scheduler(made.engine), language="auto", languages=languages)
    async with made.recognising():
        yield made


def engine_of(desk: Desk) -> TellingEngine:
    assert isinstance(desk.engine, TellingEngine)
    return desk.engine


async def test_an_english_track_is_found_once_and_then_left_alone(desk: Desk, speech: list[AudioChunk]) -> None:
    work = await desk.whole_track(speech)

    [told] = await desk.events(work, "language")
    assert (told["track_id"], told["language"]) == (str(work.track.id), "en")
    assert 0.8 < told["probability"] <= 1
    assert await desk.tools.calls.language(work.track.id) == "en"
    assert {segment.language for segment in await desk.finals(work)} == {"en"}
    assert (engine_of(desk).asked[0], engine_of(desk).asked[-1]) == ("auto", "en")


async def test_a_spanish_track_is_written_in_spanish_from_its_first_words(desk: Desk, speech: list[AudioChunk]) -> None:
    engine_of(desk).spoken = [SPANISH]
    work = await desk.whole_track(speech)

    [told] = await desk.events(work, "language")
    assert told["language"] == "es"
    finals = await desk.finals(work)
    assert len(finals) > 2
    assert {segment.language for segment in finals} == {"es"}
    assert await desk.tools.calls.language(work.track.id) == "es"
    assert engine_of(desk).asked[-1] == "es"
    tracks = await desk.tools.calls.tracks(work.call.id)
    assert [track["language"] for track in tracks] == ["es"]


async def test_one_doubtful_segment_is_heard_again_in_the_language_of_its_track(
    desk: Desk, speech: list[AudioChunk]
) -> None:
    engine_of(desk).spoken = [*[SPANISH] * 4, {"es": 0.4, "en": 0.6}, SPANISH]
    work = await desk.whole_track(speech)

    assert [told["language"] for told in await desk.events(work, "language")] == ["es"]
    assert {segment.language for segment in await desk.finals(work)} == {"es"}


async def test_the_next_owner_knows_the_language(desk: Desk, speech: list[AudioChunk]) -> None:
    engine_of(desk).spoken = [SPANISH]
    work = track_work()
    await desk.feed(work, speech)
    transcripts, commit = desk.tools.transcripts, desk.tools.transcripts.commit
    stored = 0

    async def commit_two(*args: object, **named: object) -> object:
        nonlocal stored
        if stored == 2:
            raise CrashError
        stored += 1
        return await commit(*args, **named)  # type: ignore[arg-type]

    falling = type(transcripts)(desk.pool)
    falling.commit = commit_two  # type: ignore[method-assign, assignment]
    assert isinstance(await stops(desk.session(work, transcripts=falling)), CrashError)
    engine_of(desk).spoken = [{"es": 0.5, "en": 0.5}]
    await desk.session(work).run()

    assert [told["language"] for told in await desk.events(work, "language")] == ["es"]
    assert {segment.language for segment in await desk.finals(work)} == {"es"}


async def test_a_stated_language_is_never_judged(desk: Desk, speech: list[AudioChunk]) -> None:
    work = track_work()
    await desk.feed(work, speech)
    await desk.session(work, language="de", languages=None).run()

    assert set(engine_of(desk).asked) == {"de"}
    assert await desk.events(work, "language") == []
    assert {segment.language for segment in await desk.finals(work)} == {"de"}
