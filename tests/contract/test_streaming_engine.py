"""How the streaming engine drives the real sherpa-onnx, with a toy model that hears tones instead of words.

Skipped where sherpa-onnx is not installed. Speech is asked of it in test_engines.py, where there are weights.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.toy_transducer import tone, write_toy
from workers.asr.engines import EngineUnusableError, Recognition, Stretch, choose_engine, open_engine
from workers.asr.engines import sherpa as module
from workers.asr.engines.sherpa import Sherpa
from workers.asr.models import ModelMissingError
from workers.asr.segmenter import policy_for

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="needs sherpa-onnx: pip install 'hearline[sherpa]'")

SPOKEN = np.concatenate(
    [tone(word, s) for word, s in (("", 0.5), ("ONE", 0.6), ("", 0.3), ("TWO", 0.5), ("THREE", 0.5), ("", 0.4))]
    + [tone("FOUR", 0.4)]
)
TEXT = "one two three four"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("weights") / "toy-zipformer")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Sherpa:
    return Sherpa.open(str(folder), device="cpu", language="en", data_dir=folder, threads=1)


@pytest.fixture
def streams(engine: Sherpa, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every stream that the engine opens."""
    opened: list[object] = []
    create = engine._recogniser.create_stream

    def remember() -> object:
        opened.append(create())
        return opened[-1]

    monkeypatch.setattr(engine._recogniser, "create_stream", remember)
    return opened


def hear(
    engine: Sherpa, samples: NDArray[np.float32], *, final: bool = True, earlier: Recognition | None = None
) -> Recognition:
    return engine.transcribe(samples, language="en", final=final, earlier=earlier)


def test_the_last_words_of_a_final_are_heard_out(engine: Sherpa) -> None:
    heard = hear(engine, SPOKEN)

    assert heard.text == TEXT
    assert [word.w for word in heard.words] == TEXT.split()
    begun_ms = (500, 1400, 1900, 2800)
    assert all(abs(word.start_ms - at) < 120 for word, at in zip(heard.words, begun_ms, strict=True))
    assert all(0 <= word.start_ms <= word.end_ms <= 3200 for word in heard.words)
    assert 0.25 < heard.confidence < 1


@pytest.mark.parametrize("step", [160, 1000, 6400, 16_001])
def test_partials_go_on_where_the_last_one_ended_and_change_nothing(
    engine: Sherpa, streams: list[object], step: int
) -> None:
    earlier = None
    texts = []
    for end in range(step, SPOKEN.size, step):
        earlier = hear(engine, SPOKEN[:end], final=False, earlier=earlier)
        texts.append(earlier.text)
    final = hear(engine, SPOKEN, earlier=earlier)

    assert len(streams) == 1, "one stream from the first partial to the final"
    assert all(after.startswith(before) for before, after in pairwise(texts)), "no flicker"
    assert final == hear(engine, SPOKEN)


def test_a_speaker_who_goes_on_after_a_pause_is_heard_anew(engine: Sherpa, streams: list[object]) -> None:
    speculative = hear(engine, SPOKEN[:24_000], earlier=hear(engine, SPOKEN[:20_000], final=False))
    final = hear(engine, SPOKEN, earlier=speculative)

    assert len(streams) == 2
    assert final == hear(engine, SPOKEN)


def test_two_requests_with_the_same_draft_do_not_disturb_each_other(engine: Sherpa) -> None:
    draft = hear(engine, SPOKEN[:16_000], final=False)
    final = hear(engine, SPOKEN, earlier=draft)
    partial = hear(engine, SPOKEN[:40_000], final=False, earlier=draft)

    assert final.text == TEXT
    assert partial.text == hear(engine, SPOKEN[:40_000], final=False).text


def test_a_draft_of_other_audio_is_not_gone_on_with(engine: Sherpa) -> None:
    other = hear(engine, tone("FOUR", 1.0), final=False)
    assert hear(engine, SPOKEN, earlier=other).text == TEXT
    assert hear(engine, SPOKEN[:8000], final=False, earlier=hear(engine, SPOKEN, final=False)).text == ""
    assert hear(engine, SPOKEN, earlier=Recognition("", "en", 0.0, tokens=(1, 2), state=object())).text == TEXT


def test_a_batch_hears_what_one_by_one_is_heard(engine: Sherpa) -> None:
    draft = hear(engine, SPOKEN[:16_000], final=False)
    stretches = [
        Stretch(SPOKEN, "en", True),
        Stretch(SPOKEN[:30_000], "en", False),
        Stretch(tone("TWO", 1.0), "en", True),
        Stretch(tone("", 1.0), "en", True),
        Stretch(SPOKEN[:0], "en", True),
        Stretch(SPOKEN[:40_000], "en", False, draft),
    ]
    alone = [hear(engine, stretch.samples, final=stretch.final) for stretch in stretches]
    assert engine.transcribe_batch(stretches) == alone
    assert len(stretches) <= engine.capabilities.batch


def test_a_partial_pays_only_for_what_is_new(engine: Sherpa, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = 0
    decode = engine._recogniser.decode_streams

    def count(streams: list[object]) -> None:
        nonlocal chunks
        chunks += len(streams)
        decode(streams)

    monkeypatch.setattr(engine._recogniser, "decode_streams", count)
    draft = hear(engine, SPOKEN[:32_000], final=False)
    assert chunks == 5
    chunks = 0
    hear(engine, SPOKEN[:37_120], final=False, earlier=draft)
    assert chunks == 1


def test_a_steady_cadence_is_its_policy(engine: Sherpa) -> None:
    policy = policy_for(engine.capabilities)
    assert (policy.partial_ms, policy.partial_growth) == (400, 0.0)


def test_english_is_what_is_meant_where_no_language_is_told(folder: Path) -> None:
    opened = Sherpa.open(str(folder), device="auto", language="auto", data_dir=folder, threads=1)
    assert opened.capabilities.languages == {"en"}
    assert opened.name == "sherpa/toy-zipformer"


def test_a_folder_of_that_kind_is_known_by_its_contents(folder: Path) -> None:
    assert choose_engine("auto", str(folder), "cpu", "en") == "sherpa"
    assert isinstance(open_engine("auto", str(folder), "cpu", "en", data_dir=folder, threads=1), Sherpa)


@pytest.mark.parametrize("gone", ["tokens.txt", "encoder*", "decoder*", "joiner*"])
def test_an_incomplete_folder_is_refused(tmp_path: Path, gone: str) -> None:
    write_toy(tmp_path)
    next(tmp_path.glob(gone)).unlink()
    with pytest.raises(ModelMissingError, match=gone.rstrip("*")):
        Sherpa.open(str(tmp_path), device="cpu", language="en", data_dir=tmp_path, threads=1)


def test_a_file_that_is_no_encoder_does_not_end_the_process(tmp_path: Path) -> None:
    write_toy(tmp_path)
    encoder, joiner = next(tmp_path.glob("encoder*")), next(tmp_path.glob("joiner*"))
    encoder.write_bytes(joiner.read_bytes())
    with pytest.raises(ModelMissingError, match="no streaming transducer"):
        Sherpa.open(str(tmp_path), device="cpu", language="en", data_dir=tmp_path, threads=1)
    encoder.write_bytes(b"\x08\x08truncated")
    with pytest.raises(ModelMissingError, match="cannot be read"):
        Sherpa.open(str(tmp_path), device="cpu", language="en", data_dir=tmp_path, threads=1)


def test_quantised_files_are_preferred_where_they_save_most(tmp_path: Path) -> None:
    write_toy(tmp_path)
    for path in list(tmp_path.glob("*.onnx")):
        (tmp_path / path.name.replace(".onnx", ".int8.onnx")).write_bytes(path.read_bytes())
    files = module._files(tmp_path)
    assert {part: ".int8" in path.name for part, path in files.items()} == {
        "tokens": False,
        "encoder": True,
        "decoder": False,
        "joiner": True,
    }


def test_a_gpu_is_refused(folder: Path) -> None:
    with pytest.raises(EngineUnusableError, match="ASR_DEVICE=cpu"):
        Sherpa.open(str(folder), device="cuda", language="en", data_dir=folder, threads=1)


def test_it_lives_beside_the_other_engines_runtime(folder: Path) -> None:
    """Two builds of ONNX Runtime in one process, whichever comes first."""
    for first, second in (("onnxruntime", "sherpa_onnx"), ("sherpa_onnx", "onnxruntime")):
        code = (
            f"import {first}, {second}\n"
            "from pathlib import Path\n"
            "from workers.asr.engines.sherpa import Sherpa\n"
            f"e = Sherpa.open({str(folder)!r}, device='cpu', language='en', data_dir=Path('.'), threads=1)\n"
            "e.warm_up()\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
