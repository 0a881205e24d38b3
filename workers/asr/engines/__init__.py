"""Speech recognisers behind one small protocol.

To add an engine: write one module here whose class has the members of `Engine` and an `open` class method, and
add one line to `REGISTRY`. The module is imported only when the engine is chosen; the contract suite
(tests/contract/test_engines.py) runs over every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from infra.model import Word

REGISTRY: Final[dict[str, str]] = {
    "moonshine": "workers.asr.engines.moonshine:Moonshine",
    "faster_whisper": "workers.asr.engines.faster_whisper:FasterWhisper",
}

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Recognition:
    """What an engine heard in one stretch of audio; `text` is empty where it heard no words."""

    text: str
    language: str
    """ISO 639-1 code."""
    confidence: float
    """0..1: the geometric mean of the token probabilities."""
    words: tuple[Word, ...] = ()
    """In order, with milliseconds counted from the first sample; empty for a partial."""
    tokens: tuple[int, ...] = ()
    """The engine's own; see `earlier` in `Engine.transcribe`. Means nothing to another engine."""


class Engine(Protocol):
    """A recogniser with its model loaded. Not thread-safe: one call at a time."""

    @property
    def name(self) -> str:
        """Engine and model, as the log and the dashboard show them: `moonshine/base-en`."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """The ISO 639-1 codes that it can write."""
        ...

    @property
    def longest_ms(self) -> int:
        """The longest audio, in milliseconds, that it should be given at once."""
        ...

    def transcribe(
        self, samples: NDArray[np.float32], *, language: str, final: bool, earlier: Recognition | None = None
    ) -> Recognition:
        """Return the words in `samples`.

        `samples` has shape (n,), 16 kHz mono, -1..1. `language` is an ISO 639-1 code or `auto`. A partial
        (`final=False`) may be cheaper and comes without word times. `earlier` is this engine's answer for the
        same audio when there was less of it: a guess to start from, which saves time and changes no words.
        Blocks; never touches the network.
        """
        ...

    def warm_up(self) -> None:
        """Run once on silence, so that the first caller does not pay for lazy initialisation."""
        ...


class EngineClass(Protocol):
    """What a line of `REGISTRY` names."""

    def open(self, model: str, *, device: str, language: str, data_dir: Path, threads: int) -> Engine:
        """Load a model that is on this machine (`auto`: the engine's own choice).

        Raises `workers.asr.models.ModelMissingError` where it is not; never downloads.
        """
        ...


class UnknownEngineError(ValueError):
    """No recogniser has that name."""


def load_class(engine: str) -> EngineClass:
    """Import and return the class behind a name of `REGISTRY` (hyphens count as underscores)."""
    target = REGISTRY.get(engine.replace("-", "_"))
    if target is None:
        raise UnknownEngineError(
            f"no ASR engine is called {engine!r}; there are: {AUTO}, {', '.join(sorted(REGISTRY))}"
        )
    module, _, name = target.partition(":")
    loaded: EngineClass = getattr(import_module(module), name)
    return loaded


def choose_engine(engine: str, model: str, device: str, language: str) -> str:
    """Return the registry name to use. Pure, apart from looking for a GPU where device is `auto`.

    `auto` takes Moonshine for English on a CPU, where it is both the most accurate and the cheapest of what
    was measured (docs/decisions/0002-recogniser.md), and Whisper for everything else.
    """
    if engine not in {AUTO, ""}:
        return engine.replace("-", "_")
    if model.startswith("moonshine/"):
        return "moonshine"
    if model not in {AUTO, ""} or language not in {AUTO, "", "en"}:
        return "faster_whisper"
    return "faster_whisper" if choose_device(device) == "cuda" else "moonshine"


def choose_device(device: str) -> str:
    """Return `cpu` or `cuda`; `auto` means `cuda` where CTranslate2 can see a GPU."""
    if device not in {AUTO, ""}:
        return device
    ctranslate2 = import_module("ctranslate2")
    return "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"


def open_engine(engine: str, model: str, device: str, language: str, *, data_dir: Path, threads: int) -> Engine:
    """Load the recogniser that the settings ask for.

    `model` is a catalogue name (`moonshine/base-en`), a Whisper size, a hub name, a folder, or `auto`;
    `language` an ISO 639-1 code or `auto`; `threads` the CPU threads one call may use.
    Raises `UnknownEngineError`, or `workers.asr.models.ModelMissingError` with the command that fetches the model.
    """
    chosen = choose_engine(engine, model, device, language)
    return load_class(chosen).open(model or AUTO, device=device, language=language, data_dir=data_dir, threads=threads)
