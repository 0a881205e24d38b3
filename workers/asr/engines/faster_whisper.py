"""Whisper through CTranslate2: many languages, and the choice for a GPU. Needs the whole 30 s window each time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, Word
from workers.asr import models
from workers.asr.engines import Capabilities, Context, EngineUnusableError, Recognition, Server, choose_device
from workers.asr.engines.biasing import hinted
from workers.asr.text import MAX_COMPRESSION, plausible

DEFAULT_MODEL: Final = "whisper/base"
GPU_MODEL: Final = "whisper/large-v3-turbo"
"""Taken on a GPU where it has been fetched; else `DEFAULT_MODEL`."""

FINAL_BEAM: Final = 5
PARTIAL_BEAM: Final = 1
MIN_LOG_PROBABILITY: Final = -1.0
NO_SPEECH: Final = 0.6
"""Above this probability of no speech a segment needs a good log-probability to stay (Whisper's own rule)."""
MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10


class FasterWhisper:
    """A loaded Whisper model."""

    def __init__(self, folder: Path, *, name: str, device: str, threads: int) -> None:
        """Load the CTranslate2 model in `folder`; raises RuntimeError where it holds none."""
        from faster_whisper import WhisperModel

        self.name = name
        self._model: Any = WhisperModel(
            str(folder),
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
        self.capabilities = Capabilities(
            "utterance",
            languages=frozenset(self._model.supported_languages),
            longest_ms=20_000,
            devices=frozenset({"cpu", "cuda"}),
        )

    @classmethod
    def open(
        cls, model: str, *, device: str, language: str, data_dir: Path, threads: int, server: Server | None = None
    ) -> Self:
        """Load a model that is on this machine; raises as `EngineClass.open` does."""
        device = choose_device(device)
        name = _default(device, data_dir) if model == "auto" else model
        folder = models.resolve(name, data_dir)
        shown = f"whisper/{folder.name}" if Path(name).expanduser().is_dir() else models.look_up(name).name
        engine = cls(folder, name=shown, device=device, threads=threads)
        if language not in {"auto", ""} and language not in engine.capabilities.languages:
            raise EngineUnusableError(
                f"{shown} does not write {language!r}: take a multilingual model such as whisper/base"
            )
        return engine

    def warm_up(self) -> None:
        """Run once on silence."""
        self.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), language=min(self.capabilities.languages), final=True)

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
        known = None if language in {"auto", ""} else language
        if samples.size < MIN_SAMPLES:
            return Recognition("", known or "en", 0.0)
        heard = self._transcribe(samples, known, final=final, hotwords=None)
        if not final:
            return heard
        return hinted(
            heard,
            vocabulary,
            lambda hotwords: self._transcribe(samples, heard.language, final=True, hotwords=hotwords),
        )

    def _transcribe(
        self, samples: NDArray[np.float32], language: str | None, *, final: bool, hotwords: str | None
    ) -> Recognition:
        segments, info = self._model.transcribe(
            samples,
            language=language,
            hotwords=hotwords,
            beam_size=FINAL_BEAM if final else PARTIAL_BEAM,
            temperature=(0.0, 0.2, 0.4) if final else 0.0,
            condition_on_previous_text=False,
            word_timestamps=final,
            without_timestamps=not final,
            vad_filter=False,
            compression_ratio_threshold=MAX_COMPRESSION,
            log_prob_threshold=MIN_LOG_PROBABILITY,
            no_speech_threshold=NO_SPEECH,
        )
        kept = [segment for segment in segments if _believable(segment)]
        text = " ".join(segment.text.strip() for segment in kept).strip()
        if not plausible(text, samples.size / SAMPLE_RATE_HZ):
            return Recognition("", info.language, 0.0)
        weights = [max(len(segment.tokens), 1) for segment in kept]
        mean = sum(s.avg_logprob * w for s, w in zip(kept, weights, strict=True)) / sum(weights)
        words = [
            Word(word.word.strip(), round(word.start * 1000), round(word.end * 1000), round(word.probability, 4))
            for segment in kept
            for word in segment.words or ()
        ]
        return Recognition(text, info.language, round(math.exp(min(mean, 0.0)), 4), _within(words, samples.size))


def _default(device: str, data_dir: Path) -> str:
    if device == "cuda":
        try:
            models.resolve(GPU_MODEL, data_dir)
        except models.ModelMissingError:
            return DEFAULT_MODEL
        return GPU_MODEL
    return DEFAULT_MODEL


def _believable(segment: Any) -> bool:
    """Apply Whisper's guards once more, to what its last fallback temperature still got wrong."""
    if segment.compression_ratio > MAX_COMPRESSION:
        return False
    return bool(segment.avg_logprob >= MIN_LOG_PROBABILITY)


def _within(words: list[Word], samples: int) -> tuple[Word, ...]:
    """Clip times to the audio: Whisper places words in its 30 s window, of which most is padding."""
    end_ms = samples * 1000 // SAMPLE_RATE_HZ
    return tuple(
        Word(word.w, min(max(word.start_ms, 0), end_ms), min(max(word.end_ms, word.start_ms), end_ms), word.p)
        for word in words
        if word.w
    )
