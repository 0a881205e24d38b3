"""The two diarizers behind the protocol: the built-in one on real voices, pyannote without its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.settings import read_settings
from tests.bench.speech import decode, telephone
from tests.conftest import missing
from workers.asr.models import ModelMissingError, resolve
from workers.asr.speakers import DiarizerUnusableError, Heard
from workers.asr.speakers.ge2e import Ge2e
from workers.asr.speakers.opening import MODEL, open_diarizer
from workers.asr.speakers.pyannote import HEARD_MOST_S, PyannoteTrack

WINDOW = 25_600


@pytest.fixture(scope="module")
def encoder() -> Ge2e:
    try:
        return Ge2e(resolve(MODEL, read_settings().hearline_data_dir))
    except ModelMissingError as error:
        missing(str(error))


@pytest.mark.models
@pytest.mark.parametrize("band", ["clean", "phone"])
def test_one_voice_is_closer_to_itself_than_to_another(encoder: Ge2e, data_dir: Path, band: str) -> None:
    means = []
    for reader in ("2033-164914", "3005-163389"):
        halves = []
        for number in ("0000", "0004"):
            samples = decode(data_dir / "read" / f"ls-{reader}-{number}.flac")[0]
            samples = telephone(samples) if band == "phone" else samples
            windows = [samples[at : at + WINDOW] for at in range(0, min(samples.size, 160_000) - WINDOW, WINDOW // 2)]
            mean = encoder.embed(windows).mean(axis=0)
            halves.append(mean / np.linalg.norm(mean))
        means.append(halves)
    (one, one_again), (other, other_again) = means
    assert min(one @ one_again, other @ other_again) > max(one @ other, one_again @ other_again)


@pytest.mark.models
def test_embeddings_are_unit_vectors_whatever_the_level(encoder: Ge2e, data_dir: Path) -> None:
    samples = decode(data_dir / "read" / "ls-2033-164914-0000.flac")[0][16_000 : 16_000 + WINDOW]
    loud, quiet, none = encoder.embed([samples, samples * np.float32(0.01), np.zeros(WINDOW, np.float32)])
    assert np.linalg.norm(loud) == pytest.approx(1.0, abs=1e-4)
    assert loud @ quiet > 0.95
    assert np.isfinite(none).all()


def test_weights_that_are_not_here_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="hearline models fetch speakers/ge2e"):
        open_diarizer("ge2e", most=2, data_dir=tmp_path)
    assert open_diarizer("off", most=2, data_dir=tmp_path) is None


def test_pyannote_wants_a_folder_and_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DiarizerUnusableError, match="DIARIZER_MODEL"):
        open_diarizer("pyannote", most=2, data_dir=tmp_path, checkpoint=tmp_path / "nowhere")
    with pytest.raises(DiarizerUnusableError, match=r"hearline\[pyannote\]"):
        open_diarizer("pyannote", most=2, data_dir=tmp_path, checkpoint=tmp_path)


class Pipeline:
    """Names who speaks by the level of the samples, under other names each time, as pyannote does."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest_s = 0.0

    def __call__(self, samples: NDArray[np.float32]) -> list[tuple[float, float, str]]:
        self.calls += 1
        self.longest_s = max(self.longest_s, samples.size / 16_000)
        names = ("B", "A") if self.calls % 2 else ("A", "B")
        steps = samples[::1600]
        return [(at / 10, (at + 1) / 10, names[int(level > 0.5)]) for at, level in enumerate(steps) if level > 0]


def says(level: float, start_ms: int, length_ms: int = 2000) -> Heard:
    words = ((start_ms, start_ms + 900), (start_ms + 1000, start_ms + 1900))
    return Heard(uuid4(), start_ms, start_ms + length_ms, start_ms, np.full(length_ms * 16, level, np.float32), words)


def test_pyannotes_speakers_keep_their_numbers() -> None:
    track, labels, who = PyannoteTrack(Pipeline()), {}, {}
    for turn, level in enumerate([0.2, 0.8, 0.8, 0.2, 0.2]):
        heard = says(level, turn * 3000)
        who[heard.segment_id] = int(level > 0.5)
        labels.update(track.hear(heard))
        assert {key: who[key] for key in labels} == {key: numbers[0] for key, numbers in labels.items()}
    assert track.keep() == b""


def test_pyannote_hears_the_last_minutes_only() -> None:
    pipeline = Pipeline()
    track = PyannoteTrack(pipeline)
    last: dict[UUID, tuple[int, ...]] = {}
    for turn in range(20):
        last = dict(track.hear(says(0.2, turn * 40_000, 30_000)))
    assert pipeline.longest_s <= HEARD_MOST_S * 1.1
    assert len(last) == 10


def test_silence_has_some_speaker() -> None:
    heard = says(0.0, 0)
    assert PyannoteTrack(lambda samples: []).hear(heard) == {heard.segment_id: (0, 0)}
