"""Moonshine: an encoder and decoder whose cost grows with the audio, not with a 30 s window. English.

Only the makers' weights are used, through ONNX Runtime (see `moonshine_graphs` for the three graphs). Paper:
Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, Word
from workers.asr import models
from workers.asr.engines import Recognition
from workers.asr.engines.alignment import spans
from workers.asr.engines.moonshine_graphs import ALIGNMENT, CROSS, ENCODER, STEP, TOKENS
from workers.asr.text import loop_length, plausible

DEFAULT_MODEL: Final = "moonshine/base-en"

START: Final = 1
END: Final = 2
FIRST_CONTROL: Final = 32_000
"""Tokens from here on are markers, never text."""
MAX_TOKENS_PER_S: Final = 6.5
"""The makers' limit; above it the decoder is inventing."""
MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10
MS_PER_FRAME: Final = 24
"""The encoder's stride: 384 samples."""
MIN_CONFIDENCE: Final = 0.25
_WORD_START: Final = "\u2581"


@dataclass(slots=True)
class _Heard:
    """What the decoder wrote: three lists of one length (attention is empty where it was not asked for)."""

    tokens: list[int]
    probabilities: list[float]
    attention: list[NDArray[np.float32]]

    def keep_one_round(self, cycle: int) -> None:
        """Shorten an ending that repeats every `cycle` tokens to its first round."""
        keep = len(self.tokens)
        while keep > cycle and self.tokens[keep - 1] == self.tokens[keep - 1 - cycle]:
            keep -= 1
        del self.tokens[keep:], self.probabilities[keep:], self.attention[keep:]


class Moonshine:
    """A loaded Moonshine model."""

    languages: Final = frozenset({"en"})
    longest_ms: Final = 12_000

    def __init__(self, folder: Path, *, name: str, threads: int) -> None:
        """Load the graphs from `folder`; raises FileNotFoundError where it holds none."""
        self.name = name
        self._tokens = read_tokens((folder / TOKENS).read_bytes())
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Both keep buffers for every length of audio ever seen: resident memory would grow for hours.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # No busy waiting: the cores are shared with the tracks.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._encoder, self._cross, self._step = (
            ort.InferenceSession(str(folder / graph), options, providers=["CPUExecutionProvider"])
            for graph in (ENCODER, CROSS, STEP)
        )
        self._heard_by_encoder = [value.name for value in self._encoder.get_inputs()]
        self._inputs = {value.name: value.shape for value in self._step.get_inputs()}
        self._outputs = [value.name for value in self._step.get_outputs()]
        self._outputs_without_alignment = [name for name in self._outputs if name != ALIGNMENT]
        self._caches = [_past(value.name) for value in self._cross.get_outputs()]

    @classmethod
    def open(cls, model: str, *, device: str, language: str, data_dir: Path, threads: int) -> Self:
        """Load a model that is on this machine; raises `ModelMissingError`, or ValueError for another language."""
        if language not in {"auto", "", "en"}:
            raise ValueError(f"Moonshine writes English only, not {language!r}: take ASR_ENGINE=faster_whisper")
        name = DEFAULT_MODEL if model == "auto" else model
        return cls(models.resolve(name, data_dir), name=name, threads=threads)

    def warm_up(self) -> None:
        """Run both graphs once on silence."""
        self.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), language="en", final=True)

    def transcribe(
        self, samples: NDArray[np.float32], *, language: str, final: bool, earlier: Recognition | None = None
    ) -> Recognition:
        """Return the English words in `samples` (shape (n,), 16 kHz, -1..1); see `Engine.transcribe`."""
        nothing = Recognition("", "en", 0.0)
        if samples.size < MIN_SAMPLES:
            return nothing
        duration_s = samples.size / SAMPLE_RATE_HZ
        heard = self._decode(samples, draft=earlier.tokens if earlier else (), align=final)
        words = self._words(heard.tokens)
        text = " ".join(text for text, _, _ in words)
        confidence = _mean(heard.probabilities)
        if confidence < MIN_CONFIDENCE or not plausible(text, duration_s):
            return nothing
        if not final:
            return Recognition(text, "en", confidence, tokens=tuple(heard.tokens))
        places = spans(np.stack(heard.attention), [(first, after) for _, first, after in words])
        end_ms = round(duration_s * 1000)
        timed = (
            Word(
                text,
                min(start * MS_PER_FRAME, end_ms),
                min(end * MS_PER_FRAME, end_ms),
                _mean(heard.probabilities[a:b]),
            )
            for (text, a, b), (start, end) in zip(words, places, strict=True)
        )
        return Recognition(text, "en", confidence, tuple(timed), tuple(heard.tokens))

    def _decode(self, samples: NDArray[np.float32], *, draft: Sequence[int], align: bool) -> _Heard:
        """Decode greedily. `draft` is a guess at the first tokens: one run checks them all at once."""
        state = self._encode(samples)
        frames = state[self._caches[0]].shape[2]
        limit = min(int(samples.size / SAMPLE_RATE_HZ * MAX_TOKENS_PER_S) + 8, frames)
        heard = _Heard([], [], [])
        fed = [START, *draft[: limit - 1]]
        while len(heard.tokens) < limit:
            logits, attention = self._run_step(state, fed, align=align)
            best = logits.argmax(axis=-1)
            guessed = fed[1:]
            right = next((i for i, token in enumerate(guessed) if best[i] != token), len(guessed))
            for row in range(right + 1):
                if best[row] == END:
                    return heard
                heard.tokens.append(int(best[row]))
                heard.probabilities.append(float(1 / np.exp(logits[row] - logits[row, best[row]]).sum()))
                if align:
                    heard.attention.append(attention[row])
            if right < len(guessed):
                _shorten(state, len(heard.tokens))
            cycle = loop_length(heard.tokens)
            if cycle:
                heard.keep_one_round(cycle)
                return heard
            fed = heard.tokens[-1:]
        return heard

    def _encode(self, samples: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the decoder's state before the first token."""
        audio = samples[np.newaxis]
        mask = np.ones(audio.shape, np.int64)
        offered = {"input_values": audio, "attention_mask": mask}
        (hidden,) = self._encoder.run(None, {name: offered[name] for name in self._heard_by_encoder})
        state = dict(zip(self._caches, self._cross.run(None, {"encoder_hidden_states": hidden}), strict=True))
        for name, shape in self._inputs.items():
            if ".decoder." in name:
                state[name] = np.zeros((1, shape[1], 0, shape[3]), np.float32)
        if "encoder_hidden_states" in self._inputs:
            state["encoder_hidden_states"] = hidden
        if "encoder_attention_mask" in self._inputs:
            state["encoder_attention_mask"] = mask
        return state

    def _run_step(
        self, state: dict[str, NDArray[Any]], tokens: Sequence[int], *, align: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Feed tokens, add them to the cache in `state`, return logits (tokens, vocabulary) and attention."""
        state["input_ids"] = np.array([tokens], np.int64)
        wanted = self._outputs if align else self._outputs_without_alignment
        outputs = dict(zip(wanted, self._step.run(wanted, state), strict=True))
        logits = outputs.pop("logits")[0]
        attention = outputs.pop(ALIGNMENT)[0] if align else np.zeros((0, 0), np.float32)
        state.update((_past(name), value) for name, value in outputs.items())
        return logits, attention

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


def _past(output: str) -> str:
    return output.replace("present", "past_key_values")


def _shorten(state: dict[str, NDArray[Any]], length: int) -> None:
    """Forget all but the first `length` positions of the decoder's cache."""
    for name in state:
        if ".decoder." in name:
            state[name] = state[name][:, :, :length]


def _mean(probabilities: Sequence[float]) -> float:
    """Return the geometric mean, rounded to what a screen can use; 0 for none."""
    if not probabilities:
        return 0.0
    return round(math.exp(sum(math.log(max(value, 1e-6)) for value in probabilities) / len(probabilities)), 4)
