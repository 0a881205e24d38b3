"""Real speech in several languages over the telephone: told apart, and written by the recogniser that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from infra.settings import read_settings
from tests.bench.languages import finals, listen
from tests.bench.score import Score, score
from tests.bench.speech import Track, load_set, telephone
from tests.conftest import missing
from tests.noises import noises
from workers.asr import models
from workers.asr.engines import BatchEngine, Engine, EngineUnusableError, Recognition, Stretch, open_engine
from workers.asr.engines.faster_whisper import FasterWhisper
from workers.asr.language_engine import ByLanguage, for_all_languages, multilingual_model
from workers.asr.language_judge import LanguageJudge

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

DATA_DIR = read_settings().hearline_data_dir
SPOKEN = {
    "es": ("es-ivr-confbridge-rest-list-vol-in", "es-ivr-demo-abouttotry", "es-pv-leopard"),
    "de": ("de-livingroom", "de-pv-leopard"),
    "fr": ("fr-ivr-info-about-last-call", "fr-ivr-vm-incorrect-mailbox", "fr-pv-leopard"),
    "en": ("en-ivr-pls-hold-while-try", "en-ivr-vm-review-nonurgent", "short-mountain_view"),
}
"""Of each language some recordings that are no shorter than a sentence, and for English one that is."""


def loaded(name: str, model: str) -> Engine:
    try:
        return open_engine(name, model, "cpu", "auto", data_dir=DATA_DIR, threads=1)
    except models.ModelMissingError as error:
        missing(str(error))


def widened(english: Engine, *asked: str) -> ByLanguage:
    loaded("faster_whisper", "whisper/base").close()
    engine = for_all_languages(english, asked, alone=False, data_dir=DATA_DIR, device="cpu", threads=1)
    assert engine is not None
    return engine


@pytest.fixture(scope="module")
def english() -> Engine:
    return loaded("moonshine", "moonshine/base-en")


@pytest.fixture(scope="module")
def engine(english: Engine) -> Iterator[ByLanguage]:
    opened = widened(english)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def tracks(data_dir: Path) -> dict[str, list[Track]]:
    """Up to 15 s of each recording, in the telephone band."""
    found = {
        language: [
            Track(track.name, language, telephone(track.samples[: 15 * SAMPLE_RATE_HZ]), track.reference)
            for track in load_set(data_dir, "read" if language == "en" else "multilingual", language=language)
            if track.name in names
        ]
        for language, names in SPOKEN.items()
    }
    assert [len(each) for each in found.values()] == [len(names) for names in SPOKEN.values()]
    return found


@pytest.mark.parametrize("language", SPOKEN)
def test_a_track_is_taken_for_what_it_speaks(engine: ByLanguage, tracks: dict[str, list[Track]], language: str) -> None:
    for track in tracks[language]:
        text, languages = listen(finals(track, engine), engine, LanguageJudge(engine.languages))
        assert languages[-1] == language, (track.name, text)
        assert sum(one != other for one, other in pairwise(languages)) <= 1, (track.name, languages)


@pytest.mark.parametrize("language", ["es", "de", "fr"])
def test_it_is_written_in_its_language(engine: ByLanguage, tracks: dict[str, list[Track]], language: str) -> None:
    """As well as where the language is stated. Short recordings alone: a longer one was cut, its reference was not."""
    judged, stated = Score(), Score()
    for track in tracks[language]:
        if track.duration_s < 15:
            segments = finals(track, engine)
            text, _ = listen(segments, engine, LanguageJudge(engine.languages))
            judged += score(track.reference, text, language)
            texts = [engine.transcribe(each.samples, language=language, final=True).text for each in segments]
            stated += score(track.reference, " ".join(texts), language)
    assert judged.words > 5
    assert judged.errors <= stated.errors + 1
    assert judged.wer <= 0.5


def test_english_is_what_its_own_recogniser_writes(
    engine: ByLanguage, english: Engine, tracks: dict[str, list[Track]]
) -> None:
    for track in tracks["en"]:
        for segment in finals(track, engine):
            heard = engine.transcribe(segment.samples, language="auto", final=True)
            alone = english.transcribe(segment.samples, language="en", final=True)
            assert heard == alone
            assert max(heard.languages, key=heard.languages.__getitem__) == "en"


def test_a_speaker_who_changes_language_is_followed(engine: ByLanguage, tracks: dict[str, list[Track]]) -> None:
    pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
    parts: list[NDArray[np.float32]] = []
    for language in ("en", "es", "en"):
        for track in tracks[language][:3] if language == "en" else tracks[language][1:]:
            parts += [track.samples, pause]
    judge = LanguageJudge(engine.languages)
    _, languages = listen(finals(Track("both", "en", np.concatenate(parts), ""), engine), engine, judge)

    changes = [languages[0], *(after for before, after in pairwise(languages) if before != after)]
    assert changes == ["en", "es", "en"]


def test_only_languages_that_may_be_spoken_are_found(english: Engine, tracks: dict[str, list[Track]]) -> None:
    engine = widened(english, "en", "fr")
    for track in tracks["es"]:
        _, languages = listen(finals(track, engine), engine, LanguageJudge(engine.languages))
        assert set(languages) <= {"en", "fr"}
    with pytest.raises(EngineUnusableError, match="xx"):
        widened(english, "en", "xx")


def test_nothing_is_invented_in_any_language(engine: ByLanguage) -> None:
    for noise in list(noises(seconds=3, levels_dbfs=(-24,)))[::3]:
        heard = engine.transcribe(telephone(noise.samples), language="auto", final=True)
        assert heard.text == "", noise
        assert heard.languages == {}


def test_a_stated_language_is_not_judged(engine: ByLanguage, tracks: dict[str, list[Track]]) -> None:
    segment = finals(tracks["es"][0], engine)[0]
    for language in ("es", "en"):
        heard = engine.transcribe(segment.samples, language=language, final=True)
        assert heard.language == language
        assert heard.languages == {}


def test_a_batch_says_what_each_would_alone(engine: ByLanguage, tracks: dict[str, list[Track]]) -> None:
    stretches = [
        Stretch(finals(each[0], engine)[0].samples, asked, final)
        for each, asked, final in zip(
            tracks.values(), ("auto", "de", "auto", "en"), (True, True, False, True), strict=True
        )
    ]
    alone = [engine.transcribe(s.samples, language=s.language, final=s.final) for s in stretches]
    assert engine.transcribe_batch(stretches) == alone


def test_both_are_one_engine(engine: ByLanguage, english: Engine) -> None:
    assert engine.name == "moonshine/base-en+whisper/base"
    able = engine.capabilities
    assert {"en", "es", "de", "fr"} <= able.languages
    assert able.longest_ms == english.capabilities.longest_ms
    assert able.parallel == english.capabilities.parallel
    assert engine.beside(english).name == engine.name


def test_a_draft_in_another_language_is_not_used(engine: ByLanguage, tracks: dict[str, list[Track]]) -> None:
    samples = finals(tracks["en"][0], engine)[0].samples
    foreign = Recognition("", "es", 0.9, tokens=(1, 2, 3), languages={"es": 1.0})
    assert engine.transcribe(samples, language="auto", final=True, earlier=foreign) == engine.transcribe(
        samples, language="auto", final=True
    )


def test_whisper_alone_tells_languages_apart_too(tracks: dict[str, list[Track]]) -> None:
    model = loaded("faster_whisper", "whisper/base")
    engine = for_all_languages(model, (), alone=True, data_dir=DATA_DIR, device="cpu", threads=1)
    assert engine is not None
    assert engine.name == "whisper/base"
    for language in ("en", "fr"):
        segments = finals(tracks[language][0], engine)
        _, languages = listen(segments, engine, LanguageJudge(engine.languages))
        assert languages[-1] == language


def test_an_engine_that_is_asked_for_by_name_stays_alone(english: Engine, tmp_path: Path) -> None:
    assert for_all_languages(english, (), alone=True, data_dir=DATA_DIR, device="cpu", threads=1) is None
    assert for_all_languages(english, (), alone=False, data_dir=tmp_path, device="cpu", threads=1) is None
    assert multilingual_model("cpu", tmp_path, 1) is None


def test_whisper_hears_many_at_once_what_it_hears_alone(data_dir: Path) -> None:
    """In the full window, as on a GPU."""
    try:
        folder = models.resolve("whisper/tiny.en", DATA_DIR)
    except models.ModelMissingError as error:
        missing(str(error))
    engine = FasterWhisper(folder, name="whisper/tiny.en", device="cpu", threads=1, batch=4)
    assert engine.capabilities.batch == 4
    samples = next(track for track in load_set(data_dir, "read") if track.name == "lj-LJ001-0001").samples
    stretches = [Stretch(samples[: s * SAMPLE_RATE_HZ], "en", s != 5) for s in (3, 9, 2, 5, 4, 1)]
    stretches.append(Stretch(np.zeros(SAMPLES_PER_MS, np.float32), "en", True))
    batched = cast("BatchEngine", engine).transcribe_batch(stretches)
    alone = [engine.transcribe(s.samples, language="en", final=s.final) for s in stretches]

    assert [heard.text for heard in batched] == [heard.text for heard in alone]
    assert [len(heard.words) for heard in batched] == [len(heard.words) for heard in alone]
    assert batched[-1].text == ""
