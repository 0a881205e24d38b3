"""The engine behind an OpenAI-compatible server, against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.model import Word
from tests.conftest import until
from tests.fakes.openai_server import Behaviour
from tests.fakes.transcriptions_server import FakeTranscriptions, says, transcribing
from workers.asr.engines import EngineUnusableError, Recognition, RemoteError, Server, open_engine
from workers.asr.engines.openai import OpenAiTranscriptions
from workers.asr.scheduler import Scheduler

SAMPLES = np.linspace(-0.5, 0.5, 32_000, dtype=np.float32)
WORDS = (Word("Hello", 100, 400, 0.9), Word("there.", 450, 900, 0.9))


@pytest.fixture
def server() -> Iterator[FakeTranscriptions]:
    with transcribing() as fake:
        fake.hear = lambda samples, language: Recognition("Hello there.", "en", 0.9, WORDS)
        yield fake


@pytest.fixture
def engine(server: FakeTranscriptions) -> Iterator[OpenAiTranscriptions]:
    opened = OpenAiTranscriptions(Server(server.base_url, server.key), model="whisper-1", final_s=5, partial_s=2)
    yield opened
    opened.close()


def hear(
    engine: OpenAiTranscriptions, *, final: bool = True, language: str = "en", samples: NDArray[np.float32] = SAMPLES
) -> Recognition:
    return engine.transcribe(samples, language=language, final=final)


def test_a_request_is_what_the_protocol_asks_for(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    heard = hear(engine)

    assert heard.text == "Hello there."
    assert [(word.w, word.start_ms, word.end_ms) for word in heard.words] == [("Hello", 100, 400), ("there.", 450, 900)]
    assert heard.confidence == pytest.approx(0.9, abs=0.001)
    assert server.requests == [
        {
            "file": ["segment.wav"],
            "model": ["whisper-1"],
            "response_format": ["verbose_json"],
            "temperature": ["0"],
            "language": ["en"],
            "timestamp_granularities[]": ["word", "segment"],
        }
    ]
    assert server.recordings[0].size == SAMPLES.size
    assert np.abs(server.recordings[0] - SAMPLES).max() < 2 / 32768


@pytest.mark.parametrize("by_name", [True, False])
def test_the_language_is_the_servers_where_it_is_left_open(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, by_name: bool
) -> None:
    server.language_by_name = by_name
    server.hear = lambda samples, language: Recognition("Guten Tag.", "de", 0.9)
    heard = hear(engine, language="auto")

    assert heard.language == "de"
    assert "language" not in server.requests[0]


class TestVocabulary:
    """The server is asked once more, with what its first answer sounds like as the prompt."""

    PLAIN, BETTER = "The doctor prescribed sirvana.", "The doctor prescribed Zyrvana."

    def hear(self, server: FakeTranscriptions, engine: OpenAiTranscriptions, *, again: str, final: bool = True) -> str:
        server.hear = lambda samples, language: Recognition(
            again if "prompt" in server.requests[-1] else self.PLAIN, "en", 0.9
        )
        return engine.transcribe(SAMPLES, language="en", final=final, vocabulary=("Kowalczyk", "Zyrvana")).text

    def test_a_phrase_that_was_misheard_is_found(
        self, server: FakeTranscriptions, engine: OpenAiTranscriptions
    ) -> None:
        assert self.hear(server, engine, again=self.BETTER) == self.BETTER
        assert [request.get("prompt") for request in server.requests] == [None, ["Zyrvana"]]

    def test_a_prompt_that_is_repeated_is_not_believed(
        self, server: FakeTranscriptions, engine: OpenAiTranscriptions
    ) -> None:
        assert self.hear(server, engine, again="Zyrvana, Zyrvana, Zyrvana.") == self.PLAIN

    def test_where_the_second_request_fails_the_first_answer_stands(
        self, server: FakeTranscriptions, engine: OpenAiTranscriptions
    ) -> None:
        server.script.extend([Behaviour(), Behaviour(status=500)])
        assert self.hear(server, engine, again=self.BETTER) == self.PLAIN
        server.refuse = frozenset({"prompt"})
        assert self.hear(server, engine, again=self.BETTER) == self.PLAIN
        assert engine.capabilities.word_times

    def test_nothing_is_asked_twice_for_a_partial_or_where_nothing_sounds_like_a_phrase(
        self, server: FakeTranscriptions, engine: OpenAiTranscriptions
    ) -> None:
        assert self.hear(server, engine, again=self.BETTER, final=False) == self.PLAIN
        assert engine.transcribe(SAMPLES, language="en", final=True, vocabulary=("Lumenthal",)).text == self.PLAIN
        assert len(server.requests) == 2


def test_a_partial_has_no_words(engine: OpenAiTranscriptions) -> None:
    assert hear(engine, final=False).words == ()


def test_a_server_without_word_times_is_asked_for_less_and_not_again_for_more(
    server: FakeTranscriptions, engine: OpenAiTranscriptions
) -> None:
    assert engine.capabilities.word_times
    server.refuse = frozenset({"timestamp_granularities[]"})
    heard = hear(engine)

    assert (heard.text, heard.words) == ("Hello there.", ())
    assert not engine.capabilities.word_times
    hear(engine)
    assert [("timestamp_granularities[]" in request) for request in server.requests] == [True, False, False]


@pytest.mark.parametrize("also", [frozenset(), frozenset({"include[]"})])
def test_a_server_that_only_writes_text_is_taken_as_it_is(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, also: frozenset[str]
) -> None:
    server.refuse = frozenset({"verbose_json"}) | also
    heard = hear(engine)

    assert heard.text == "Hello there."
    assert heard.confidence == pytest.approx(0.51 if also else 0.9, abs=0.001)
    assert server.requests[-1]["response_format"] == ["json"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_when_it_says(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, status: int
) -> None:
    server.script.append(Behaviour(status=status, headers={"Retry-After": "1"}))
    began = time.monotonic()

    assert hear(engine).text == "Hello there."
    assert 0.9 < time.monotonic() - began < 3


def test_a_date_to_come_back_at_is_understood(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    server.script.append(Behaviour(status=503, headers={"Retry-After": soon}))
    assert hear(engine).text == "Hello there."


@pytest.mark.parametrize("after", ["3600", "inf", "nonsense", "-5"])
def test_no_server_makes_a_call_wait_for_long(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, after: str
) -> None:
    server.always = Behaviour(status=429, headers={"Retry-After": after})
    began = time.monotonic()
    with pytest.raises(RemoteError, match="429"):
        hear(engine)
    assert time.monotonic() - began < 5.5


def test_a_partial_is_asked_for_once(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    server.always = Behaviour(status=503)
    with pytest.raises(RemoteError, match="503"):
        hear(engine, final=False)
    assert len(server.requests) == 1


def test_a_dropped_connection_is_tried_again(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    server.script.extend([Behaviour(drop=True), Behaviour(drop=True)])
    assert hear(engine).text == "Hello there."


def test_an_answer_that_does_not_come_is_given_up(server: FakeTranscriptions) -> None:
    server.always = Behaviour(delay_s=30)
    engine = OpenAiTranscriptions(Server(server.base_url, server.key), model="whisper-1", final_s=0.5)
    began = time.monotonic()
    with pytest.raises(RemoteError, match=r"no answer within 0\.5 s"):
        hear(engine)
    assert time.monotonic() - began < 2
    engine.close()


@pytest.mark.parametrize("cut_at", [0, 1, 40, 200])
def test_a_truncated_answer_is_asked_for_again(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, cut_at: int
) -> None:
    server.script.append(Behaviour(cut_at=cut_at))
    assert hear(engine).text == "Hello there."


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b"[]",
        b'{"text": 5}',
        b'{"text": "a", "words": [{"word": "a", "start": "soon", "end": null}]}',
        b'{"words": []}',
        b"<html>Bad gateway</html>",
        b'{"text": "\xff"}',
        b'{"text": "' + b"a" * 5_000_000,
    ],
)
def test_nonsense_is_an_error_and_not_a_text(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, raw: bytes
) -> None:
    server.raw = raw
    with pytest.raises(RemoteError) as raised:
        hear(engine, final=False)
    assert len(str(raised.value)) < 100


def test_times_of_nonsense_are_put_into_the_audio(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    server.raw = (
        b'{"text": "one two three", "words": [{"word": "one", "start": -4, "end": 1e300},'
        b'{"word": "two", "start": 1e9, "end": 0}, {"word": "three", "start": 0.5, "end": 0.6}]}'
    )
    words = hear(engine).words
    assert [word.w for word in words] == ["one", "two", "three"]
    assert all(0 <= word.start_ms <= word.end_ms <= 2000 for word in words)


@pytest.mark.parametrize(("status", "says_so"), [(401, "ASR_API_KEY"), (403, "ASR_API_KEY"), (404, "ASR_MODEL")])
def test_what_no_retry_mends_is_told_at_once(
    server: FakeTranscriptions, engine: OpenAiTranscriptions, status: int, says_so: str
) -> None:
    server.always = Behaviour(status=status)
    with pytest.raises(RemoteError, match=says_so):
        hear(engine)
    assert len(server.requests) == 1


def test_no_word_of_speech_is_in_an_error(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    server.always = Behaviour(status=422, message="could not make sense of 'my card number is'")
    with pytest.raises(RemoteError) as raised:
        hear(engine)
    assert "card" not in str(raised.value)


def test_a_doubtful_segment_and_a_phantom_are_no_words(
    server: FakeTranscriptions, engine: OpenAiTranscriptions
) -> None:
    server.hear = says("Hello there.", confidence=0.2)
    assert hear(engine).text == ""
    server.hear = says("Thanks for watching!")
    assert hear(engine).text == ""


def test_a_server_that_is_away_at_the_start_does_not_keep_the_worker_from_starting(
    server: FakeTranscriptions,
) -> None:
    engine = OpenAiTranscriptions(Server("http://127.0.0.1:9/v1", None), model="whisper-1")
    engine.warm_up()
    engine.close()


def test_closing_ends_what_is_under_way(server: FakeTranscriptions, engine: OpenAiTranscriptions) -> None:
    server.always = Behaviour(delay_s=30)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            hear(engine)
        except RemoteError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(server.requests) < 3:
        time.sleep(0.01)
    began = time.monotonic()
    engine.close()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - began < 2
    assert len(errors) == 3
    with pytest.raises(RemoteError, match="closed"):
        hear(engine)
    engine.close()


async def test_a_silent_server_does_not_hold_up_the_workers_end(
    server: FakeTranscriptions, engine: OpenAiTranscriptions
) -> None:
    server.always = Behaviour(delay_s=30)
    scheduler = Scheduler(engine)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(scheduler.run())
        asking = [
            tasks.create_task(scheduler.recognise(SAMPLES, language="en", kind="final"))
            for _ in range(engine.capabilities.parallel)
        ]
        await until(lambda: len(server.requests) == len(asking))
        began = time.monotonic()
        for task in (serving, *asking):
            task.cancel()
    assert time.monotonic() - began < 3


def test_as_many_calls_as_declared_are_under_way_at_once(
    server: FakeTranscriptions, engine: OpenAiTranscriptions
) -> None:
    together = threading.Barrier(engine.capabilities.parallel, timeout=5)

    def hear_together(samples: NDArray[np.float32], language: str) -> Recognition:
        together.wait()
        return Recognition("Hello there.", "en", 0.9)

    server.hear = hear_together
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(hear(engine).text)) for _ in range(engine.capabilities.parallel)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert texts == ["Hello there."] * engine.capabilities.parallel


def test_without_an_address_the_settings_are_named(tmp_path: object) -> None:
    with pytest.raises(EngineUnusableError, match="ASR_BASE_URL"):
        open_engine("openai", "auto", "auto", "en", data_dir=None, threads=1)  # type: ignore[arg-type]


def test_the_key_is_not_shown() -> None:
    assert "sk-1" not in repr(Server("http://x/v1", "sk-1"))
    assert replace(Server("http://x/v1", "sk-1"), base_url="y").api_key == "sk-1"
