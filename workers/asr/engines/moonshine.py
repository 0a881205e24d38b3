"""Moonshine: an encoder and decoder whose cost grows with the audio, not with a 30 s window. English.

Only the makers' weights are used, through ONNX Runtime (`moonshine_graphs` prepares them, `moonshine_decoder`
runs them). Paper: Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS, Word
from workers.asr import models
from workers.asr.engines import Capabilities, EngineUnusableError, Recognition, Server
from workers.asr.engines.alignment import spans
from workers.asr.engines.moonshine_decoder import END, Decoder
from workers.asr.engines.moonshine_graphs import TOKENS
from workers.asr.text import latin, plausible, tidy

DEFAULT_MODEL: Final = "moonshine/base-en"

FIRST_CONTROL: Final = 32_000
"""Tokens from here on are markers, never text."""
MAX_TOKENS_PER_S: Final = 6.5
"""The makers' limit; above it the decoder is inventing."""
SPARE_TOKENS: Final = 8
"""Allowed on top: a short answer is denser than that."""
MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10
MARGIN_MS: Final = 100
"""Silence put on both sides: words cut close are heard better."""
MS_PER_FRAME: Final = 24
"""The encoder's stride: 384 samples."""
BEAM: Final = 3
DOUBT: Final = math.log(0.97)
"""A final whose mean log-probability is below this is decoded again with a beam."""
PARALLEL: Final = 8
"""The graphs may be run by any number of threads; each holds a few tens of MB while it does."""
MIN_CONFIDENCE: Final = 0.25
_WORD_START: Final = "\u2581"


class Moonshine:
    """A loaded Moonshine model."""

    capabilities: Final = Capabilities("utterance", languages=frozenset({"en"}), longest_ms=12_000, parallel=PARALLEL)

    def __init__(self, folder: Path, *, name: str, threads: int) -> None:
        """Load the graphs from `folder`; raises FileNotFoundError where it holds none."""
        self.name = name
        self._tokens = read_tokens((folder / TOKENS).read_bytes())
        self._decoder = Decoder(folder, threads=threads)

    @classmethod
    def open(
        cls, model: str, *, device: str, language: str, data_dir: Path, threads: int, server: Server | None = None
    ) -> Self:
        """Load a model that is on this machine; raises as `EngineClass.open` does."""
        if language not in {"auto", "", "en"}:
            raise EngineUnusableError(
                f"Moonshine writes English only, not {language!r}: take ASR_ENGINE=faster_whisper"
            )
        name = DEFAULT_MODEL if model == "auto" else model
        folder = models.resolve(name, data_dir)
        shown = f"moonshine/{folder.name}" if Path(name).expanduser().is_dir() else name
        return cls(folder, name=shown, threads=threads)

    def warm_up(self) -> None:
        """Run the graphs once on silence."""
        self.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), language="en", final=True)

    def close(self) -> None:
        """Nothing waits for anybody here."""

    def transcribe(
        self, samples: NDArray[np.float32], *, language: str, final: bool, earlier: Recognition | None = None
    ) -> Recognition:
        """Return the English words in `samples` (shape (n,), 16 kHz, -1..1); see `Engine.transcribe`."""
        nothing = Recognition("", "en", 0.0)
        if samples.size < MIN_SAMPLES:
            return nothing
        duration_s = samples.size / SAMPLE_RATE_HZ
        limit = int(duration_s * MAX_TOKENS_PER_S) + SPARE_TOKENS
        state = self._decoder.encode(np.pad(samples, MARGIN_MS * SAMPLES_PER_MS))
        heard = self._decoder.greedy(state, limit=limit, draft=earlier.tokens if earlier else ())
        if final and heard.score < DOUBT:
            heard = max(
                heard, self._decoder.beam(state, limit=limit, width=BEAM), key=lambda hypothesis: hypothesis.score
            )
        words = self._words(heard.tokens)
        text = tidy(" ".join(word for word, _, _ in words))
        confidence = math.exp(heard.score)
        if confidence < MIN_CONFIDENCE or not plausible(text, duration_s) or not latin(text):
            return nothing
        if not final:
            return Recognition(text, "en", round(confidence, 4), tokens=heard.tokens)
        probabilities, attention = self._decoder.read(state, heard.tokens)
        places = spans(attention, [(first, after) for _, first, after in words])
        end_ms = samples.size // SAMPLES_PER_MS
        timed = (
            Word(tidy(word), _place(start, end_ms), _place(end, end_ms), _mean(probabilities[first:after]))
            for (word, first, after), (start, end) in zip(words, places, strict=True)
        )
        return Recognition(text, "en", round(confidence, 4), tuple(timed), heard.tokens)

    def _words(self, tokens: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return (word, first token, token after the last); a word begins where a token begins with a space."""
        words: list[tuple[bytes, int, int]] = []
        for index, token in enumerate(tokens):
            if token <= END or token >= FIRST_CONTROL or token >= len(self._tokens):
                continue
            piece = self._tokens[token]
            if not words or piece.startswith(_WORD_START.encode()):
                words.append((piece, index, index + 1))
            else:
                text, first, _ = words[-1]
                words[-1] = (text + piece, first, index + 1)
        decoded = ((raw.decode(errors="ignore").replace(_WORD_START, " ").strip(), a, b) for raw, a, b in words)
        return [word for word in decoded if word[0]]


def read_tokens(table: bytes) -> list[bytes]:
    """Return the text of each token from Moonshine's `tokenizer.bin`.

    Each entry is its length (one byte; from 128 on, two: low part + 128, then high part) and that many bytes
    of UTF-8. Raises ValueError on a table that is cut short.
    """
    tokens: list[bytes] = []
    at = 0
    while at < len(table):
        length = table[at]
        at += 1
        if length >= 0x80:
            if at == len(table):
                raise ValueError("the token table ends within a length")
            length += table[at] * 0x80 - 0x80
            at += 1
        if at + length > len(table):
            raise ValueError("the token table ends within a token")
        tokens.append(table[at : at + length])
        at += length
    return tokens


def _place(frame: int, end_ms: int) -> int:
    """Return the time at which a frame begins, within the audio that was given."""
    return min(max(frame * MS_PER_FRAME - MARGIN_MS, 0), end_ms)


def _mean(probabilities: NDArray[np.float32]) -> float:
    """Return the geometric mean."""
    return round(float(np.exp(np.log(np.maximum(probabilities, 1e-6)).mean())), 4)
