"""Which model `auto` takes: the most accurate one that this machine can run fast enough.

Measured once, with a few seconds of the sample call, on the models that are on this machine; kept in the data
directory until the machine or the packages change. What is measured is CPU time on a CPU, so that a busy machine is
not taken for a slow one, and wall time on a GPU.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from infra.telemetry import logger
from workers.asr import models
from workers.asr.engines import AUTO, Engine, choose_device, choose_engine, load_class

log = logger(__name__)

KEPT: Final = "calibration.json"
FORM: Final = 2

ENGLISH: Final = (
    "whisper/large-v3-turbo",
    "whisper/large-v3",
    "whisper/medium.en",
    "whisper/small.en",
    "moonshine/base-en",
    "whisper/base.en",
    "whisper/tiny.en",
    "moonshine/tiny-en",
)
"""The most accurate first: Moonshine and tiny.en as measured on telephone speech (decision 0002), the rest by size."""
OTHERS: Final = (
    "whisper/large-v3",
    "whisper/large-v3-turbo",
    "whisper/medium",
    "whisper/small",
    "whisper/base",
    "whisper/tiny",
)

OTHER: Final = "de"
"""Any language but English: with `auto` a call may be in one of them, too."""

SPOKEN_SHARE: Final = 0.5
"""Of a call a party speaks about half the time; silence costs next to nothing."""
WORK_PER_SPEECH: Final = 1.25
"""Partials and guesses go on top of a final, beams only into some. `make bench asr` used 0.1 cores a track, all told,
with Moonshine base, which measures 0.16 here."""
MOST_BUSY: Final = 0.8
"""Share of its time that the recogniser may be busy: words have to wait for each other above that."""

START_BUDGET_S: Final = 3.0
"""How long measuring may take at a start; the rest is left for `hearline models measure`."""
START_MOST_MB: Final = 200
"""Larger models are not measured at a start on a CPU: one alone would take longer."""
PIECES_S: Final = ((1.0, 4.0), (5.0, 9.0))
"""Where in the sample call the two pieces of speech lie."""
_PACKAGES: Final = ("ctranslate2", "faster-whisper", "numpy", "onnxruntime", "hearline")


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast one model ran here."""

    model: str
    rtf: float
    """Seconds of work a second of speech."""
    load_s: float

    def tracks(self) -> int:
        """Return how many tracks it keeps up with."""
        return int(MOST_BUSY / (max(self.rtf, 1e-6) * SPOKEN_SHARE * WORK_PER_SPEECH))


@dataclass(frozen=True, slots=True)
class Choice:
    """What `auto` came to."""

    model: str
    why: str
    engine: Engine | None = None
    """Loaded, where it was just measured."""


def candidates(device: str, language: str, data_dir: Path) -> list[str]:
    """Return the models that are on this machine and suit, the most accurate first."""
    order = ENGLISH if language in {AUTO, "", "en"} else OTHERS
    found = []
    for name in order:
        if device == "cuda" and name.startswith("moonshine/"):
            continue
        try:
            models.resolve(name, data_dir)
        except models.ModelMissingError:
            continue
        found.append(name)
    return found


def kept(data_dir: Path, *, device: str, threads: int) -> dict[str, Measured]:
    """Return what was measured on this machine with these packages; empty where that was elsewhere or never."""
    try:
        told = json.loads((data_dir / KEPT).read_text())
        if told["fingerprint"] != fingerprint(device, threads):
            return {}
        return {
            model: Measured(model, float(row["rtf"]), float(row["load_s"])) for model, row in told["models"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        log.warning("the calibration cannot be read, it is made anew", error=type(error).__name__)
        return {}


def choose(
    device: str,
    language: str,
    *,
    data_dir: Path,
    threads: int,
    tracks: int,
    may_measure: bool = True,
    budget_s: float = START_BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> Choice | None:
    """Return the model for `tracks` tracks; None where nothing is known, or no model is here.

    What is not known yet is measured, the most accurate model first, while less than `budget_s` seconds have been
    spent: in most cases that is one model, and it is the one that is then used. None is begun that would not be
    through by then if it took as long as the one before.
    """
    device = choose_device(device)
    offered = candidates(device, language, data_dir)
    known = kept(data_dir, device=device, threads=threads)
    until, took_s, fresh = clock() + budget_s, 0.0, False
    chosen: Choice | None = None
    for model in offered:
        engine = None
        if model not in known:
            too_large = device == "cpu" and models.look_up(model).size_mb > START_MOST_MB
            began = clock()
            if not may_measure or too_large or began + took_s >= until:
                continue
            engine, known[model] = measure(model, device, language, data_dir=data_dir, threads=threads)
            took_s, fresh = clock() - began, True
        able = known[model].tracks()
        if able >= tracks:
            chosen = Choice(model, f"the most accurate here that keeps up with {tracks} tracks (up to {able})", engine)
            break
        if engine is not None:
            engine.close()
    if fresh:
        _keep(data_dir, known, device, threads)
    if chosen is None and (measured := [known[model] for model in offered if model in known]):
        fastest = min(measured, key=lambda each: each.rtf)
        chosen = Choice(fastest.model, f"the fastest here; it keeps up with {fastest.tracks()} of {tracks} tracks")
    return chosen


def measure_all(device: str, language: str, *, data_dir: Path, threads: int) -> list[Measured]:
    """Measure every candidate, whatever it takes, and keep the result."""
    device = choose_device(device)
    known = {}
    models_here = candidates(device, language, data_dir)
    if language in {AUTO, ""}:
        models_here += [model for model in candidates(device, OTHER, data_dir) if model not in models_here]
    for model in models_here:
        engine, known[model] = measure(model, device, language, data_dir=data_dir, threads=threads)
        engine.close()
    _keep(data_dir, known, device, threads)
    return list(known.values())


def measure(model: str, device: str, language: str, *, data_dir: Path, threads: int) -> tuple[Engine, Measured]:
    """Load a model, let it hear two pieces of the sample call, and return it with its speed."""
    began = time.monotonic()
    opener = load_class(choose_engine(AUTO, model, device, language))
    engine = opener.open(model, device=device, language=language, data_dir=data_dir, threads=threads)
    engine.warm_up()
    loaded = time.monotonic()
    spoken = "en" if "en" in engine.capabilities.languages else language
    rates = [_rtf(engine, piece, spoken, device, threads) for piece in sample_speech()]
    found = Measured(model, round(sum(rates) / len(rates), 4), round(loaded - began, 2))
    log.info("measured", model=model, rtf=found.rtf, tracks=found.tracks())
    return engine, found


def _rtf(engine: Engine, piece: NDArray[np.float32], language: str, device: str, threads: int) -> float:
    began, worked = time.monotonic(), time.process_time()
    engine.transcribe(piece, language=language, final=True)
    took_s, worked_s = time.monotonic() - began, time.process_time() - worked
    spent_s = took_s if device == "cuda" else min(took_s, worked_s / min(threads, len(_processors())))
    return spent_s / (piece.size / SAMPLE_RATE_HZ)


@cache
def sample_speech() -> Sequence[NDArray[np.float32]]:
    """Return pieces of the sample call, both parties together, shape (n,), 16 kHz, -1..1."""
    import av

    resampler = av.AudioResampler(format="s16p", layout="mono", rate=SAMPLE_RATE_HZ)
    blocks, until = [], max(end for _, end in PIECES_S) * SAMPLE_RATE_HZ
    with av.open(str(Path(__file__).parents[2] / "infra" / "sample" / "call.flac")) as container:
        for frame in container.decode(audio=0):
            blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
            if sum(block.size for block in blocks) >= until:
                break
    mixed = np.concatenate(blocks).astype(np.float32) / np.float32(32768)
    return [mixed[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)] for start, end in PIECES_S]


def fingerprint(device: str, threads: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "form": FORM,
        "machine": platform.machine(),
        "processor": _processor(),
        "processors": len(_processors()),
        "python": platform.python_version(),
        "device": device,
        "threads": threads,
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _processors() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # not on macOS
        return set(range(os.cpu_count() or 1))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _keep(data_dir: Path, known: dict[str, Measured], device: str, threads: int) -> None:
    """Replace the kept figures in one step; other processes may be doing the same."""
    told = {
        "fingerprint": fingerprint(device, threads),
        "models": {model: asdict(measured) for model, measured in known.items()},
    }
    scratch = data_dir / f".{KEPT}.{os.getpid()}"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(told, indent=1) + "\n")
        scratch.replace(data_dir / KEPT)
    except OSError as error:
        log.warning("the calibration could not be kept", error=type(error).__name__)
