"""A true streaming recogniser: online Zipformer transducers through sherpa-onnx (`pip install 'hearline[sherpa]'`).

The weights come from a folder that ASR_MODEL names, as its makers publish them: `tokens.txt` and one `.onnx` file each
for encoder, decoder and joiner. A partial hands on, in `Recognition.state`, the stream that it has come to; the next
call goes on there and pays only for the audio since. A final puts silence behind the audio to hear its last words out,
which spends the stream: where the speaker goes on after all, the next call begins anew, so that nobody hears that
silence. Paper: Yao et al., "Zipformer: A faster and better encoder for automatic speech recognition", 2023.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS, Word
from workers.asr.engines import Capabilities, Context, EngineUnusableError, Recognition, Server, Stretch
from workers.asr.models import ModelMissingError
from workers.asr.text import plausible, tidy

DEFAULT_MODEL: Final = "auto"
"""None: ASR_MODEL has to name a folder."""

TAIL_S: Final = 0.66
"""Silence behind a final: the encoder hears in chunks and looks ahead."""
LAST_TOKEN_MS: Final = 160
"""How long the last piece of a word is taken to sound, where no other word begins before."""
MAX_STREAMS: Final = 16
MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10
MIN_CONFIDENCE: Final = 0.25
UNKNOWN_CONFIDENCE: Final = 0.51
_KINDS: Final = frozenset({"zipformer2", "zipformer", "lstm", "conformer"})
"""Streaming transducers that sherpa-onnx knows; it ends the whole process over a file that is none."""


@dataclass(slots=True, eq=False)
class _Progress:
    """A stream and how much of the audio it has heard."""

    stream: Any
    """None once it is spent."""
    heard: int
    checksum: int
    """Of the samples heard: the same stream serves only the same audio."""

    def fits(self, samples: NDArray[np.float32]) -> bool:
        if self.stream is None or self.heard > samples.size:
            return False
        return zlib.crc32(np.ascontiguousarray(samples[: self.heard]).tobytes()) == self.checksum


class Sherpa:
    """A loaded streaming transducer."""

    def __init__(self, folder: Path, *, language: str, threads: int) -> None:
        """Load the model in `folder`; raises `ModelMissingError` where it holds none."""
        files = _files(folder)
        _check(files["encoder"])
        import sherpa_onnx

        self.name = f"sherpa/{folder.name}"
        self._language = language
        self.capabilities = Capabilities(
            "streaming",
            languages=frozenset({language}),
            longest_ms=20_000,
            batch=MAX_STREAMS,
            partial_ms=400,
            punctuation=_writes_marks(files["tokens"]),
        )
        self._recogniser: Any = sherpa_onnx.OnlineRecognizer.from_transducer(
            **{part: str(path) for part, path in files.items()},
            num_threads=threads,
            sample_rate=SAMPLE_RATE_HZ,
            feature_dim=80,
            decoding_method="greedy_search",
            provider="cpu",
        )

    @classmethod
    def open(
        cls, model: str, *, device: str, language: str, data_dir: Path, threads: int, server: Server | None = None
    ) -> Self:
        """Load the folder that `model` names; raises as `EngineClass.open` does. `auto` as a language means English."""
        folder = Path(model).expanduser()
        if model == "auto" or not folder.is_dir():
            raise ModelMissingError(
                f"{model!r} is no folder: set ASR_MODEL to one with a streaming transducer (tokens.txt, encoder*.onnx, "
                "decoder*.onnx, joiner*.onnx); `hearline models fetch` knows none for this engine"
            )
        if find_spec("sherpa_onnx") is None:
            raise EngineUnusableError("ASR_ENGINE=sherpa needs sherpa-onnx: pip install 'hearline[sherpa]'")
        if device not in {"auto", "", "cpu"}:
            raise EngineUnusableError(f"sherpa-onnx's package runs on the CPU only, not on {device}: ASR_DEVICE=cpu")
        return cls(folder, language="en" if language in {"auto", ""} else language, threads=threads)

    def warm_up(self) -> None:
        """Run once on silence."""
        self.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), language=self._language, final=True)

    def close(self) -> None:
        """Nothing waits for anybody here."""

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
        """Return the words in `samples` (shape (n,), 16 kHz, -1..1); see `Engine.transcribe`."""
        return self.transcribe_batch([Stretch(samples, language, final, earlier)])[0]

    def transcribe_batch(self, stretches: Sequence[Stretch]) -> list[Recognition]:
        """Return the words of each stretch: their chunks go through the network side by side."""
        under_way = [self._resumed(stretch) for stretch in stretches]
        streams = [progress.stream for progress in under_way]
        while ready := [stream for stream in streams if self._recogniser.is_ready(stream)]:
            self._recogniser.decode_streams(ready)
        return [self._result(stretch, progress) for stretch, progress in zip(stretches, under_way, strict=True)]

    def _resumed(self, stretch: Stretch) -> _Progress:
        """Return a stream that has been given all of the stretch, and is nobody else's any more."""
        samples, before = stretch.samples, stretch.earlier.state if stretch.earlier else None
        if isinstance(before, _Progress) and before.fits(samples):
            progress = _Progress(before.stream, before.heard, before.checksum)
            before.stream = None
        else:
            progress = _Progress(self._recogniser.create_stream(), 0, 0)
        fresh = np.ascontiguousarray(samples[progress.heard :])
        if fresh.size:
            progress.stream.accept_waveform(SAMPLE_RATE_HZ, fresh)
        progress.heard = samples.size
        progress.checksum = zlib.crc32(fresh.tobytes(), progress.checksum)
        if stretch.final:
            progress.stream.accept_waveform(SAMPLE_RATE_HZ, np.zeros(round(TAIL_S * SAMPLE_RATE_HZ), np.float32))
            progress.stream.input_finished()
        return progress

    def _result(self, stretch: Stretch, progress: _Progress) -> Recognition:
        found = self._recogniser.get_result_all(progress.stream)
        state = None if stretch.final else progress
        words = _words(found.tokens, found.timestamps, found.ys_probs, stretch.samples.size // SAMPLES_PER_MS)
        text = tidy(" ".join(word.w for word in words))
        confidence = _mean(found.ys_probs)
        duration_s = stretch.samples.size / SAMPLE_RATE_HZ
        if (
            stretch.samples.size < MIN_SAMPLES
            or confidence < MIN_CONFIDENCE
            or not plausible(text, duration_s, confidence)
        ):
            return Recognition("", self._language, 0.0, state=state)
        return Recognition(text, self._language, confidence, tuple(words) if stretch.final else (), state=state)


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of the model in a folder: quantised encoder and joiner where there are any."""
    found = {"tokens": folder / "tokens.txt"}
    encoders = sorted(folder.glob("encoder*.onnx"), key=lambda path: (".int8" not in path.name, path.name))
    if not encoders or not found["tokens"].is_file():
        raise ModelMissingError(f"{folder} holds no streaming transducer: tokens.txt and encoder*.onnx are needed")
    found["encoder"] = encoders[0]
    suffix = encoders[0].name.removeprefix("encoder").removesuffix(".onnx").removesuffix(".int8")
    for part, endings in (("decoder", ("", ".int8")), ("joiner", (".int8", ""))):
        paths = [folder / f"{part}{suffix}{ending}.onnx" for ending in endings]
        paths += sorted(folder.glob(f"{part}*.onnx"))
        there = [path for path in paths if path.is_file()]
        if not there:
            raise ModelMissingError(f"{folder} holds no streaming transducer: {part}*.onnx is missing")
        found[part] = there[0]
    return found


def _writes_marks(table: Path) -> bool:
    """Return whether a full stop is among a model's pieces: most streaming transducers write none."""
    lines = table.read_text(errors="replace").splitlines()
    return any(line.split(" ")[0].lstrip("\u2581") == "." for line in lines)


def _check(encoder: Path) -> None:
    """Look whether a file is a streaming transducer's encoder before sherpa-onnx is given it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        about = ort.InferenceSession(str(encoder), options, providers=["CPUExecutionProvider"]).get_modelmeta()
    except Exception as error:  # ONNX Runtime's own exceptions share no better base
        raise ModelMissingError(f"{encoder} cannot be read: {type(error).__name__}") from error
    kind = about.custom_metadata_map.get("model_type", "")
    if kind not in _KINDS or "T" not in about.custom_metadata_map:
        raise ModelMissingError(f"{encoder} is no streaming transducer (its model_type is {kind or 'not told'!r})")


def _words(tokens: Sequence[str], times_s: Sequence[float], scores: Sequence[float], end_ms: int) -> list[Word]:
    """Put pieces together; a word begins where a piece begins with a space."""
    pieces: list[tuple[str, list[int]]] = []
    for index, token in enumerate(tokens):
        plain = token.replace("\u2581", " ")
        if not pieces or plain.startswith(" "):
            pieces.append((plain, [index]))
        else:
            text, indices = pieces[-1]
            pieces[-1] = (text + plain, [*indices, index])
    pieces = [(text.strip(), indices) for text, indices in pieces if text.strip()]
    shouted = all(text == text.upper() for text, _ in pieces)
    starts = [_ms(times_s, indices[0], end_ms) for _, indices in pieces]
    words = []
    for at, (text, indices) in enumerate(pieces):
        until_ms = starts[at + 1] if at + 1 < len(pieces) else end_ms
        last_ms = min(_ms(times_s, indices[-1], end_ms) + LAST_TOKEN_MS, until_ms)
        chosen = [scores[index] for index in indices] if len(scores) == len(tokens) else []
        words.append(Word(_spoken(text) if shouted else text, starts[at], max(last_ms, starts[at]), _mean(chosen)))
    return words


def _spoken(text: str) -> str:
    """Many models are trained on capitals alone, which says nothing and reads badly."""
    low = text.lower()
    return low.capitalize() if low == "i" or low.startswith("i'") else low


def _ms(times_s: Sequence[float], index: int, end_ms: int) -> int:
    return min(max(round(times_s[index] * 1000), 0), end_ms) if index < len(times_s) else end_ms


def _mean(scores: Sequence[float]) -> float:
    """Return the geometric mean of probabilities whose logarithms are given."""
    if not scores:
        return UNKNOWN_CONFIDENCE
    return round(math.exp(min(sum(scores) / len(scores), 0.0)), 4)
