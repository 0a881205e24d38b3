"""What every recogniser of the registry promises, on real speech. Skipped where its model is not on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from infra.settings import read_settings
from tests.bench.score import score
from tests.bench.speech import Track, load_set, telephone
from tests.bench.vocabulary import names
from tests.bench.wer import listen_streaming
from tests.conftest import missing
from tests.fakes.transcriptions_server import FakeTranscriptions, transcribing
from tests.noises import LIKE_VOICES, noises, over_telephone
from workers.asr import models
from workers.asr.engines import (
    REGISTRY,
    BatchEngine,
    Context,
    Engine,
    EngineUnusableError,
    Recognition,
    Server,
    Stretch,
    choose_engine,
    load_class,
    open_engine,
)
from workers.asr.engines.faster_whisper import FasterWhisper
from workers.asr.engines.moonshine import DEFAULT_MODEL, Moonshine
from workers.asr.engines.pieces import Pieces
from workers.asr.segmenter import policy_for

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

SHERPA_MODEL = os.environ.get("HEARLINE_SHERPA_MODEL", "")  # noqa: TID251  a switch of the tests
"""The folder of an English streaming Zipformer; no package carries one. tests/contract/test_streaming_engine.py does
without."""
MODELS = [
    ("moonshine", "moonshine/base-en"),
    ("moonshine", "moonshine/tiny-en"),
    ("faster_whisper", "whisper/tiny.en"),
    ("faster_whisper", "whisper/base"),
    ("openai", "moonshine-base-en"),
]
if SHERPA_MODEL:
    MODELS.append(("sherpa", SHERPA_MODEL))


@pytest.fixture(scope="module", params=MODELS, ids=[model or name for name, model in MODELS])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine with every model that can be had without a hub; behind the server sits Moonshine."""
    name, model = request.param
    with contextlib.ExitStack() as stack:
        server = None
        if name == "openai":
            behind = local_engine("moonshine", "moonshine/base-en")
            fake = stack.enter_context(transcribing(FakeTranscriptions(models=(model,))))
            fake.hear = partial(_hear_behind, behind, threading.Lock())
            server = Server(fake.base_url, fake.key)
        try:
            opened = local_engine(name, model, server=server)
        except EngineUnusableError as error:
            pytest.skip(str(error))
        opened.warm_up()
        yield opened
        opened.close()


def local_engine(name: str, model: str, *, server: Server | None = None) -> Engine:
    data_dir = read_settings().hearline_data_dir
    try:
        return open_engine(name, model, "cpu", "en", data_dir=data_dir, threads=1, server=server)
    except models.ModelMissingError as error:
        missing(str(error))


def _hear_behind(behind: Engine, turn: threading.Lock, samples: NDArray[np.float32], language: str) -> Recognition:
    """As servers do: what is too long for the model is cut, and requests that come side by side wait."""
    longest = behind.capabilities.longest_ms * SAMPLES_PER_MS
    count = max(1, -(-samples.size // longest))
    heard, words, start = [], [], 0
    for piece in np.array_split(samples, count):
        with turn:
            heard.append(behind.transcribe(piece, language="en", final=True))
        at_ms = start // SAMPLES_PER_MS
        words += [replace(w, start_ms=w.start_ms + at_ms, end_ms=w.end_ms + at_ms) for w in heard[-1].words]
        start += piece.size
    text = " ".join(each.text for each in heard if each.text)
    return Recognition(text, "en", min(each.confidence for each in heard), tuple(words))


@pytest.fixture(scope="module")
def sentence(data_dir: Path) -> Track:
    """A read sentence of ten seconds."""
    return next(track for track in load_set(data_dir, "read") if track.name == "lj-LJ001-0001")


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def hear(engine: Engine, samples: NDArray[np.float32], *, final: bool = True) -> Recognition:
    return engine.transcribe(samples, language="en", final=final)


def test_every_engine_of_the_registry_is_tested() -> None:
    assert {name for name, _ in MODELS} | {"sherpa"} == set(REGISTRY)


def test_it_says_what_it_is(engine: Engine) -> None:
    assert re.fullmatch(r"[a-z]+/[\w.-]+", engine.name)
    able = engine.capabilities
    assert able.mode in {"utterance", "streaming"}
    assert "en" in able.languages
    assert all(re.fullmatch(r"[a-z]{2,3}", code) for code in able.languages)
    assert 8_000 <= able.longest_ms <= 30_000
    assert able.devices
    assert able.devices <= {"cpu", "cuda", "remote"}
    assert able.parallel >= 1
    assert 200 <= able.partial_ms <= 5_000


def test_it_takes_audio_as_long_as_it_says(engine: Engine, data_dir: Path) -> None:
    longest = engine.capabilities.longest_ms * SAMPLES_PER_MS
    spoken: list[Track] = []
    for track in sorted(load_set(data_dir, "read"), key=lambda track: track.samples.size):
        if sum(each.samples.size for each in spoken) + track.samples.size <= longest:
            spoken.append(track)
    samples = np.concatenate([track.samples for track in spoken])
    assert samples.size > longest / 2
    heard = engine.transcribe(samples, language="en", final=True)

    assert score(" ".join(track.reference for track in spoken), heard.text).wer < 0.25


def test_it_hears_as_many_at_once_as_it_says(engine: Engine, sentence: Track) -> None:
    able = engine.capabilities
    batches = hasattr(engine, "transcribe_batch")
    assert batches or able.batch == 1
    pieces = [sentence.samples[: s * SAMPLE_RATE_HZ] for s in (3, 6, 2, 4)]
    alone = [hear(engine, piece).text for piece in pieces]
    if batches:
        batch = cast("BatchEngine", engine).transcribe_batch([Stretch(piece, "en", True) for piece in pieces])
        assert [heard.text for heard in batch] == alone
    if able.parallel > 1:
        with ThreadPoolExecutor(able.parallel) as pool:
            assert list(pool.map(lambda piece: hear(engine, piece).text, pieces)) == alone


def test_a_streaming_engine_pays_only_for_what_is_new(engine: Engine, sentence: Track) -> None:
    if engine.capabilities.mode != "streaming":
        pytest.skip("it declares `utterance`")
    most, all_of_it = sentence.samples[: -SAMPLE_RATE_HZ // 2], sentence.samples
    earlier = hear(engine, most, final=False)
    began = time.process_time()
    engine.transcribe(all_of_it, language="en", final=False, earlier=earlier)
    new_s = time.process_time() - began
    began = time.process_time()
    hear(engine, all_of_it, final=False)
    assert new_s < (time.process_time() - began) / 3


def test_it_hears_a_sentence(engine: Engine, sentence: Track) -> None:
    heard = hear(engine, sentence.samples)

    assert score(sentence.reference, heard.text).wer < 0.15
    assert heard.language == "en"
    assert 0.5 < heard.confidence <= 1


def test_it_hears_the_sentence_over_the_telephone(engine: Engine, sentence: Track) -> None:
    assert score(sentence.reference, hear(engine, telephone(sentence.samples)).text).wer < 0.3


def test_the_words_of_a_final_are_its_text_in_order_and_in_time(engine: Engine, sentence: Track) -> None:
    heard = hear(engine, sentence.samples)

    if not engine.capabilities.word_times:
        assert heard.words == ()
        return
    assert " ".join(word.w for word in heard.words) == heard.text
    assert all(0 <= word.start_ms <= word.end_ms <= round(sentence.duration_s * 1000) for word in heard.words)
    assert all(before.start_ms <= after.start_ms for before, after in pairwise(heard.words))
    assert all(0 <= word.p <= 1 for word in heard.words)


def test_word_times_follow_the_voice(engine: Engine, sentence: Track) -> None:
    if not engine.capabilities.word_times:
        pytest.skip("it declares no word times")
    pause_s = 1.5
    half = sentence.samples[: 4 * SAMPLE_RATE_HZ]
    first = hear(engine, half).words
    both = hear(engine, np.concatenate((silence(pause_s), half))).words

    shifts_ms = {
        word.w.lower(): moved.start_ms - word.start_ms
        for word in first[1:]
        for moved in both
        if moved.w.lower() == word.w.lower()
    }
    assert len(shifts_ms) >= 4
    assert abs(float(np.median(list(shifts_ms.values()))) - 1000 * pause_s) < 120


def test_a_partial_reads_like_the_final_and_has_no_words(engine: Engine, sentence: Track) -> None:
    partial = hear(engine, sentence.samples, final=False)

    assert partial.words == ()
    assert score(sentence.reference, partial.text).wer < 0.2


def test_an_earlier_partial_changes_nothing(engine: Engine, sentence: Track) -> None:
    for heard_s in (2, 5, 8):
        earlier = hear(engine, sentence.samples[: heard_s * SAMPLE_RATE_HZ], final=False)
        again = engine.transcribe(sentence.samples, language="en", final=True, earlier=earlier)
        assert again.text == hear(engine, sentence.samples).text
    nonsense = Recognition("", "en", 0.0, tokens=(1500, 1, 2, 31_999, 7))
    again = engine.transcribe(sentence.samples, language="en", final=True, earlier=nonsense)
    assert again.text == hear(engine, sentence.samples).text


def test_what_was_said_before_is_not_told_again(engine: Engine, sentence: Track) -> None:
    """The sentence cut at the worst of places: in words."""
    for cut_s in (3.1, 5.4, 7.3):
        cut = int(cut_s * SAMPLE_RATE_HZ)
        first = hear(engine, sentence.samples[:cut])
        rest = engine.transcribe(
            sentence.samples[cut:],
            language="en",
            final=True,
            before=Context(sentence.samples[:cut], first.tokens),
        )
        assert score(sentence.reference, f"{first.text} {rest.text}").wer < 0.25
        end_ms = (sentence.samples.size - cut) // SAMPLES_PER_MS
        assert all(0 <= word.start_ms <= word.end_ms <= end_ms for word in rest.words)
        assert rest.words == () or " ".join(word.w for word in rest.words) == rest.text
        times = {word.w.lower(): word.start_ms for word in hear(engine, sentence.samples[cut:]).words}
        apart = [abs(word.start_ms - times[word.w.lower()]) for word in rest.words if word.w.lower() in times]
        assert not rest.words or float(np.median(apart)) < 100


def test_a_wrong_account_of_what_was_said_before_does_no_harm(engine: Engine, sentence: Track) -> None:
    half = sentence.samples.size // 2
    for tokens in ((), (1500, 1, 2, 31_999, 7), hear(engine, sentence.samples).tokens):
        before = Context(sentence.samples[:half], tokens)
        told = engine.transcribe(sentence.samples[half:], language="en", final=True, before=before)
        assert set(told.text.lower().split()) & set(hear(engine, sentence.samples[half:]).text.lower().split())


def test_the_same_audio_gives_the_same_answer(engine: Engine, sentence: Track) -> None:
    untouched = sentence.samples.copy()
    untouched.flags.writeable = False

    assert hear(engine, untouched) == hear(engine, sentence.samples)


@pytest.mark.parametrize("samples", [0, 1, 159, 1599, 1600, 1601, 4000, 16_001])
def test_any_length_is_taken(engine: Engine, sentence: Track, samples: int) -> None:
    heard = hear(engine, sentence.samples[:samples])
    assert all(word.end_ms <= samples // SAMPLES_PER_MS for word in heard.words)


def test_the_language_may_be_left_to_the_engine(engine: Engine, sentence: Track) -> None:
    heard = engine.transcribe(sentence.samples, language="auto", final=True)
    assert heard.language == "en"
    assert score(sentence.reference, heard.text).wer < 0.15


def test_no_words_are_invented_where_nobody_speaks(engine: Engine) -> None:
    """As in the product: what the detector lets through, the engine must not turn into words."""
    for number, noise in enumerate(noises(seconds=3, levels_dbfs=(-24,))):
        if noise.category in LIKE_VOICES and engine.name != DEFAULT_MODEL:
            continue  # the one that is used by itself refuses these, too
        line = noise if number % 4 == 0 else over_telephone(noise)
        track = Track(noise.label, "en", line.samples, "")
        assert listen_streaming(track, engine, policy_for(engine.capabilities)).text == "", noise.label


VOCABULARY = (
    "Zyrvana",
    "HealthHarbor",
    "Anneliese Krueger",
    "Kowalczyk",
    "Silverton Prime",
    "Lumenthal",
    "Huawei",
    "Hum",
)


def test_a_vocabulary_is_not_heard_where_nobody_says_it(engine: Engine, sentence: Track) -> None:
    for noise in list(noises(seconds=3, levels_dbfs=(-24,)))[::6]:
        heard = engine.transcribe(noise.samples, language="en", final=True, vocabulary=VOCABULARY)
        assert not any(phrase.lower() in heard.text.lower() for phrase in VOCABULARY)
    telephoned = telephone(sentence.samples)
    plain = hear(engine, telephoned)
    heard = engine.transcribe(telephoned, language="en", final=True, vocabulary=VOCABULARY)
    assert (heard.text, heard.tokens) == (plain.text, plain.tokens)
    assert [word.w for word in heard.words] == [word.w for word in plain.words]


def test_with_a_vocabulary_too_an_earlier_partial_changes_nothing(engine: Engine) -> None:
    samples = next(item.track.samples for item in names() if item.phrases == ("Kaito Yamamoto",))
    fresh = engine.transcribe(samples, language="en", final=True, vocabulary=("Kaito Yamamoto",))
    for heard_s in (1, 2):
        part = samples[: heard_s * SAMPLE_RATE_HZ]
        earlier = engine.transcribe(part, language="en", final=False, vocabulary=("Kaito Yamamoto",))
        again = engine.transcribe(samples, language="en", final=True, earlier=earlier, vocabulary=("Kaito Yamamoto",))
        assert (again.text, again.words) == (fresh.text, fresh.words)


@pytest.mark.parametrize("name", ["digital silence", "white noise", "pink noise", "hum 50 Hz", "ringback"])
def test_noise_given_straight_to_the_engine_is_no_text(engine: Engine, name: str) -> None:
    samples = next(noises(seconds=8, levels_dbfs=(-40,), only=name)).samples
    for seconds in (1, 3, 8):
        assert hear(engine, samples[: seconds * SAMPLE_RATE_HZ]).text == "", f"{seconds} s"


@pytest.mark.parametrize("engine_name", sorted(set(REGISTRY) - {"openai"}))
def test_a_missing_model_is_named_with_the_command_that_fetches_it(engine_name: str, tmp_path: Path) -> None:
    known = {"moonshine": "moonshine/base-en", "faster_whisper": "whisper/tiny.en", "sherpa": "auto"}
    opener = load_class(engine_name)
    with pytest.raises(models.ModelMissingError, match="hearline models fetch"):
        opener.open(known[engine_name], device="cpu", language="en", data_dir=tmp_path, threads=1)


def test_english_on_a_cpu_is_moonshines_and_the_rest_is_whispers() -> None:
    assert choose_engine("auto", "auto", "cpu", "en") == "moonshine"
    assert choose_engine("auto", "auto", "cpu", "auto") == "moonshine"
    assert choose_engine("auto", "auto", "cpu", "de") == "faster_whisper"
    assert choose_engine("auto", "auto", "cuda", "en") == "faster_whisper"
    assert choose_engine("auto", "small", "cpu", "en") == "faster_whisper"
    assert choose_engine("auto", "moonshine/tiny-en", "cpu", "auto") == "moonshine"
    assert choose_engine("faster-whisper", "auto", "cpu", "en") == "faster_whisper"


def test_an_unknown_engine_is_refused_with_the_names_of_those_that_exist() -> None:
    with pytest.raises(ValueError, match="moonshine"):
        load_class("parakeet")


def test_moonshine_refuses_another_language(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="faster_whisper"):
        Moonshine.open("auto", device="cpu", language="de", data_dir=tmp_path, threads=1)


def test_an_english_whisper_refuses_another_language() -> None:
    data_dir = read_settings().hearline_data_dir
    try:
        models.resolve("whisper/tiny.en", data_dir)
    except models.ModelMissingError as error:
        missing(str(error))
    with pytest.raises(ValueError, match="whisper/base"):
        FasterWhisper.open("whisper/tiny.en", device="cpu", language="de", data_dir=data_dir, threads=1)


def test_whisper_names_the_language_it_hears(data_dir: Path) -> None:
    try:
        engine = open_engine(
            "faster_whisper", "whisper/base", "cpu", "auto", data_dir=read_settings().hearline_data_dir, threads=1
        )
    except models.ModelMissingError as error:
        missing(str(error))
    track = load_set(data_dir, "multilingual", language="de")[0]
    heard = engine.transcribe(track.samples[: 20 * SAMPLE_RATE_HZ], language="auto", final=True)

    assert heard.language == "de"


@pytest.fixture(scope="module")
def moonshine() -> Iterator[Moonshine]:
    opened = local_engine("moonshine", "moonshine/base-en")
    assert isinstance(opened, Moonshine)
    yield opened
    opened.close()


def test_moonshine_finds_the_phrases_of_a_vocabulary(moonshine: Moonshine) -> None:
    said = {item.phrases[0]: item.track.samples for item in names()}
    vocabulary = tuple(said)
    for phrase in ("Kaito Yamamoto", "Lisinopril", "Tesoro Verde"):
        plain = moonshine.transcribe(said[phrase], language="en", final=True)
        helped = moonshine.transcribe(said[phrase], language="en", final=True, vocabulary=vocabulary)
        assert phrase not in plain.text
        assert phrase in helped.text
        assert helped.tokens == plain.tokens
        assert " ".join(word.w for word in helped.words) == helped.text
        assert 0 < helped.confidence <= 1
        part = moonshine.transcribe(said[phrase], language="en", final=False, vocabulary=vocabulary)
        assert phrase in part.text


def test_words_are_encoded_as_moonshine_writes_them(moonshine: Moonshine) -> None:
    pieces = Pieces(moonshine._tokens)
    alike = []
    for item in names()[:20]:
        heard = moonshine.transcribe(item.track.samples, language="en", final=False)
        alike.append(pieces.encode(heard.text) == heard.tokens)
    assert sum(alike) >= 18  # of a word that it does not know it may write other pieces
