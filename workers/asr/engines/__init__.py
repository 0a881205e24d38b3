"""Speech recognisers behind one small protocol.

To add an engine: write one module here whose class has the members of `Engine` and an `open` class method, and
add one line to `REGISTRY`. The module is imported only when the engine is chosen; the contract suite
(tests/contract/test_engines.py) runs over every line and holds each engine to its `Capabilities`. A page for it:
docs/engines.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from infra.model import Word

REGISTRY: Final[dict[str, str]] = {
    "moonshine": "workers.asr.engines.moonshine:Moonshine",
    "faster_whisper": "workers.asr.engines.faster_whisper:FasterWhisper",
    "sherpa": "workers.asr.engines.sherpa:Sherpa",
    "openai": "workers.asr.engines.openai:OpenAiTranscriptions",
}

AUTO: Final = "auto"

Mode = Literal["utterance", "streaming"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do with the model that it has loaded. The contract suite checks that it is so."""

    mode: Mode
    """`utterance`: pays for all of `samples` each time. `streaming`: with `earlier` it pays only for what is new."""
    languages: frozenset[str]
    """The ISO 639-1 codes that it can write."""
    longest_ms: int
    """The longest audio, in milliseconds, that it should be given at once."""
    word_times: bool = True
    """Finals come with the times of their words."""
    devices: frozenset[str] = frozenset({"cpu"})
    """Where it can run: `cpu`, `cuda`; `remote` where the audio leaves this machine."""
    batch: int = 1
    """How many stretches one call should take. Above 1 the engine has `transcribe_batch` (see `BatchEngine`)."""
    parallel: int = 1
    """How many calls may be under way at once, each in a thread of its own."""
    partial_ms: int = 900
    """New audio that makes a partial worth its price."""
    context: bool = False
    """It makes use of `before`, as long as that and the new audio are `longest_ms` in all at most."""
    punctuation: bool = True
    """It writes marks: that none stands at the end tells something."""


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
    state: object | None = field(default=None, compare=False, repr=False)
    """The same for what cannot be told in numbers: where a streaming engine has come to."""
    more: float | None = field(default=None, compare=False)
    """Of a final: how likely, 0..1, its last mark stands within a sentence. None: the engine cannot tell."""
    languages: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    """Where it was asked with `auto` and can tell: how likely the sound is in each language; only ratios count."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where an engine finds a recogniser that does not run in this process."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What the same party said just before, as this engine heard it."""

    samples: NDArray[np.float32]
    """Shape (n,): the audio from its beginning to where the audio to be recognised begins."""
    tokens: tuple[int, ...]
    """Its `Recognition.tokens`."""


class Engine(Protocol):
    """A recogniser with its model loaded. At most `capabilities.parallel` calls at a time."""

    @property
    def name(self) -> str:
        """Engine and model, as the log and the dashboard show them: `moonshine/base-en`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as it is known yet: a server may turn out to lack what was hoped for."""
        ...

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
        """Return the words in `samples`.

        `samples` has shape (n,), 16 kHz mono, -1..1. `language` is an ISO 639-1 code or `auto`. A partial
        (`final=False`) may be cheaper and comes without word times. `earlier` is this engine's answer for the
        same audio when there was less of it: a guess to start from, which saves time and changes no words.
        `before` helps it to go on in mid-sentence; its words are not told again. An engine may do without either.
        `vocabulary` are phrases to listen for, as they are to be written: an engine without means ignores them, none
        writes one that was not said.
        Blocks. Only an engine on the device `remote` touches the network; it raises `RemoteError` where that fails.
        """
        ...

    def warm_up(self) -> None:
        """Run once on silence, so that the first caller does not pay for lazy initialisation."""
        ...

    def close(self) -> None:
        """Let go of everything. Comes from another thread; a `transcribe` that waits for a peer ends at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """One stretch of a batch; its members are the arguments of `Engine.transcribe`."""

    samples: NDArray[np.float32]
    language: str
    final: bool
    earlier: Recognition | None = None
    before: Context | None = None
    vocabulary: tuple[str, ...] = ()


class BatchEngine(Engine, Protocol):
    """An engine whose `capabilities.batch` is above 1."""

    def transcribe_batch(self, stretches: Sequence[Stretch]) -> list[Recognition]:
        """Return for each of at most `capabilities.batch` stretches what `transcribe` would, in less time."""
        ...


class EngineClass(Protocol):
    """What a line of `REGISTRY` names."""

    def open(
        self, model: str, *, device: str, language: str, data_dir: Path, threads: int, server: Server | None = None
    ) -> Engine:
        """Load a model that is on this machine (`auto`: the engine's own choice).

        Raises `workers.asr.models.ModelMissingError` where it is not, and `EngineUnusableError` for settings that
        it cannot serve; never downloads. `server` is for engines on the device `remote`.
        """
        ...


class EngineUnusableError(ValueError):
    """The settings ask for something that this engine cannot do; the message says what to set."""


class UnknownEngineError(EngineUnusableError):
    """No recogniser has that name."""


class RemoteError(RuntimeError):
    """A recogniser outside this process gave no usable answer; the message says why, without a word of speech."""


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
    """Return the registry name to use. Pure, apart from looking for a GPU and into a folder that `model` names.

    `auto` takes Moonshine for English on a CPU, where it is both the most accurate and the cheapest of what
    was measured (docs/decisions/0002-recogniser.md), and Whisper for everything else. Which of their models: see
    `workers.asr.calibration`.
    """
    if engine not in {AUTO, ""}:
        return engine.replace("-", "_")
    if model.startswith("moonshine/"):
        return "moonshine"
    if model not in {AUTO, ""}:
        return _by_contents(Path(model).expanduser())
    if language not in {AUTO, "", "en"}:
        return "faster_whisper"
    return "faster_whisper" if choose_device(device) == "cuda" else "moonshine"


def _by_contents(folder: Path) -> str:
    if (folder / "tokens.txt").is_file():
        return "sherpa"
    return "moonshine" if (folder / "tokenizer.bin").is_file() else "faster_whisper"


def choose_device(device: str) -> str:
    """Return `cpu` or `cuda`; `auto` means `cuda` where CTranslate2 can see a GPU."""
    if device not in {AUTO, ""}:
        return device
    ctranslate2 = import_module("ctranslate2")
    return "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"


def open_engine(
    engine: str,
    model: str,
    device: str,
    language: str,
    *,
    data_dir: Path,
    threads: int,
    server: Server | None = None,
) -> Engine:
    """Load the recogniser that the settings ask for.

    `model` is a catalogue name (`moonshine/base-en`), a Whisper size, a hub name, a folder, a server's model or `auto`;
    `language` an ISO 639-1 code or `auto`; `threads` the CPU threads one call may use.
    Raises `EngineUnusableError`, or `workers.asr.models.ModelMissingError` with the command that fetches the model.
    """
    opener = load_class(choose_engine(engine, model, device, language))
    return opener.open(
        model or AUTO, device=device, language=language, data_dir=data_dir, threads=threads, server=server
    )
