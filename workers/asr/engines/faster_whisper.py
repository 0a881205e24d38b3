"""Whisper through CTranslate2: many languages, and the choice for a GPU.

On a CPU each stretch is heard alone, in a window not much longer than itself; on a GPU many at once, in the full one.
The encoder, the decoder and the word alignment of CTranslate2 are called here rather than through faster-whisper's
`transcribe`: that one takes a file in turn, this one takes stretches of many tracks at once. The guards are Whisper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, Word
from workers.asr import models
from workers.asr.engines import Capabilities, Context, EngineUnusableError, Recognition, Server, Stretch, choose_device
from workers.asr.engines.biasing import hinted
from workers.asr.text import MAX_COMPRESSION, compression_ratio, plausible

DEFAULT_MODEL: Final = "whisper/base"
GPU_MODEL: Final = "whisper/large-v3-turbo"
"""Taken on a GPU where it has been fetched; else `DEFAULT_MODEL`."""

FINAL_BEAM: Final = 5
PARTIAL_BEAM: Final = 1
BEST_OF: Final = 5
WARMER: Final = (0.2, 0.4)
"""Temperatures for what is not believed at 0; a partial is not asked again."""
MIN_LOG_PROBABILITY: Final = -1.0
NO_SPEECH: Final = 0.6
"""Above this probability of no speech a stretch needs a good log-probability to stay (Whisper's own rule)."""
MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10
LONGEST_MS: Final = 20_000
GPU_BATCH: Final = 16
PARALLEL: Final = 8
"""On a CPU side by side is better than a batch (decision 0009); the weights are shared."""

FRAMES_PER_S: Final = 100
FULL_FRAMES: Final = 30 * FRAMES_PER_S
"""The window that Whisper was trained with."""
PAD_FRAMES: Final = 8 * FRAMES_PER_S
"""On a CPU a stretch gets only so much padding, at half the price of the full window ..."""
BEYOND_DOUBT: Final = -0.5
"""... and is heard again in the full one unless its log-probability is above this (decision 0009)."""
DETECT_S: Final = 4
"""Speech that a language is judged by ..."""
DETECT_PAD_FRAMES: Final = 1 * FRAMES_PER_S
"""... and the padding behind it: the full window costs five times as much and hears no better."""
MOST_TOKENS: Final = 448
TOKENS_PER_S: Final = 25
"""More than anybody says, in any script: a loop ends there and not at `MOST_TOKENS`."""
SPARE_TOKENS: Final = 32
SECONDS_PER_POSITION: Final = 0.02
SHORTEST_WORD_MS: Final = 60
SHORT_WORD_MS: Final = 240

SPACELESS: Final = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
"""Written without spaces between the words: what the tokens say is a word there."""

Mel = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one decoding made of a stretch."""

    tokens: tuple[int, ...]
    text: str
    log_probability: float
    """The mean over the tokens."""
    no_speech: float

    @property
    def believable(self) -> bool:
        return self.log_probability >= MIN_LOG_PROBABILITY and compression_ratio(self.text) <= MAX_COMPRESSION

    @property
    def confidence(self) -> float:
        return round(math.exp(min(self.log_probability, 0.0)), 4)

    @property
    def silence(self) -> bool:
        return self.no_speech > NO_SPEECH and self.log_probability < MIN_LOG_PROBABILITY


class FasterWhisper:
    """A loaded Whisper model."""

    def __init__(self, folder: Path, *, name: str, device: str, threads: int, batch: int | None = None) -> None:
        """Load the CTranslate2 model in `folder`; raises RuntimeError where it holds none.

        `batch` is how many stretches are heard at once; the device's own best where it is not stated.
        """
        from faster_whisper import WhisperModel

        self.name = name
        self._model: Any = WhisperModel(
            str(folder),
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            cpu_threads=threads,
            num_workers=1 if device == "cuda" else PARALLEL,
            local_files_only=True,
        )
        self._tokenizers: dict[str, Any] = {}
        self._batch = batch or (GPU_BATCH if device == "cuda" else 1)
        self.capabilities = Capabilities(
            "utterance",
            languages=frozenset(self._model.supported_languages),
            longest_ms=LONGEST_MS,
            devices=frozenset({"cpu", "cuda"}),
            batch=self._batch,
            parallel=1 if device == "cuda" else PARALLEL,
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

    @property
    def multilingual(self) -> bool:
        """Return whether it can tell languages apart: without that, `detect` raises."""
        return bool(self._model.model.is_multilingual)

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
        return self.transcribe_batch([Stretch(samples, language, final, earlier, before, vocabulary)])[0]

    def transcribe_batch(self, stretches: Sequence[Stretch]) -> list[Recognition]:
        """Return what is heard in each stretch; see `BatchEngine.transcribe_batch`."""
        answers = [Recognition("", _code(stretch.language) or "en", 0.0) for stretch in stretches]
        long_enough = [row for row, stretch in enumerate(stretches) if stretch.samples.size >= MIN_SAMPLES]
        for final in (True, False):
            rows = [row for row in long_enough if stretches[row].final == final]
            for first in range(0, len(rows), self._batch):
                group = rows[first : first + self._batch]
                heard = self._listen([stretches[row] for row in group], final=final)
                for row, recognition in zip(group, heard, strict=True):
                    answers[row] = self._with_hints(stretches[row], recognition) if final else recognition
        return answers

    def detect(self, samples: NDArray[np.float32], *, pad_frames: int = DETECT_PAD_FRAMES) -> dict[str, float]:
        """Return the probability of each language, by the first `DETECT_S` seconds of `samples`; they add up to 1."""
        mel = self._mel(samples[: DETECT_S * SAMPLE_RATE_HZ])
        encoded = self._encode([mel], mel.shape[1] + pad_frames)
        return self._languages(encoded)[0]

    def _with_hints(self, stretch: Stretch, heard: Recognition) -> Recognition:
        """Hear a final once more where phrases of the vocabulary may have been missed in it."""
        again = replace(stretch, language=heard.language)
        return hinted(
            heard, stretch.vocabulary, lambda hotwords: self._listen([again], final=True, hotwords=hotwords)[0]
        )

    def _listen(self, stretches: Sequence[Stretch], *, final: bool, hotwords: str | None = None) -> list[Recognition]:
        mels = [self._mel(stretch.samples) for stretch in stretches]
        frames = FULL_FRAMES if self._batch > 1 else min(mels[0].shape[1] + PAD_FRAMES, FULL_FRAMES)
        encoded = self._encode(mels, frames)
        judged = self._languages(encoded) if any(not _code(stretch.language) for stretch in stretches) else []
        codes = [
            _code(stretch.language) or max(judged[row], key=judged[row].__getitem__)
            for row, stretch in enumerate(stretches)
        ]
        durations_s = [stretch.samples.size / SAMPLE_RATE_HZ for stretch in stretches]
        limit = _most_tokens(max(durations_s))
        beam = FINAL_BEAM if final else PARTIAL_BEAM
        heard = self._decode(encoded, codes, limit, beam=beam, hotwords=hotwords)
        if frames < FULL_FRAMES and final and not _beyond_doubt(heard[0], durations_s[0]):
            encoded = self._encode(mels, FULL_FRAMES)
            heard = self._decode(encoded, codes, limit, beam=beam, hotwords=hotwords)
        alone = encoded if len(stretches) == 1 else None
        for row, duration_s in enumerate(durations_s):
            if final and not heard[row].believable and not heard[row].silence:
                one = alone or self._encode([mels[row]], FULL_FRAMES)
                heard[row] = self._warmer(heard[row], one, codes[row], _most_tokens(duration_s), hotwords)
        spoken = [
            best.believable and not best.silence and plausible(best.text, duration_s, best.confidence)
            for best, duration_s in zip(heard, durations_s, strict=True)
        ]
        words = [list[Word]() for _ in stretches]
        if final and any(spoken):
            words = self._words(encoded, mels, codes, [best.tokens for best in heard])
        return [
            Recognition(best.text, code, best.confidence, _within(said, stretch.samples.size))
            if kept
            else Recognition("", code, 0.0)
            for stretch, code, best, kept, said in zip(stretches, codes, heard, spoken, words, strict=True)
        ]

    def _warmer(self, cold: _Heard, encoded: Any, code: str, limit: int, hotwords: str | None) -> _Heard:
        """Ask again, with more and more chance, until the answer is believable; else the likeliest that is no loop."""
        tried = [cold]
        for temperature in WARMER:
            heard = self._decode(encoded, [code], limit, temperature=temperature, hotwords=hotwords)[0]
            if heard.believable:
                return heard
            tried.append(heard)
        no_loops = [heard for heard in tried if compression_ratio(heard.text) <= MAX_COMPRESSION]
        return max(no_loops or tried, key=lambda heard: heard.log_probability)

    def _mel(self, samples: NDArray[np.float32]) -> Mel:
        """Return the log-mel spectrogram, shape (bands, 10 ms frames)."""
        mel: Mel = self._model.feature_extractor(samples)
        return mel

    def _encode(self, mels: Sequence[Mel], frames: int) -> Any:
        """Return the encoder's output for spectrograms that are padded to `frames`."""
        frames = min(frames + frames % 2, FULL_FRAMES)
        return self._model.encode(
            np.stack([np.pad(mel[:, :frames], ((0, 0), (0, max(0, frames - mel.shape[1])))) for mel in mels])
        )

    def _languages(self, encoded: Any) -> list[dict[str, float]]:
        if not self.multilingual:
            return [{"en": 1.0}] * encoded.shape[0]
        return [{token[2:-2]: p for token, p in found} for found in self._model.model.detect_language(encoded)]

    def _decode(
        self,
        encoded: Any,
        codes: Sequence[str],
        limit: int,
        *,
        beam: int = 1,
        temperature: float = 0.0,
        hotwords: str | None = None,
    ) -> list[_Heard]:
        """Return the best text of each stretch; without time marks in it, which cost tokens and are not needed."""
        prompts = [
            self._model.get_prompt(self._tokenizer(code), [], without_timestamps=True, hotwords=hotwords)
            for code in codes
        ]
        how: dict[str, Any] = {"beam_size": beam}
        if temperature:
            how = {"beam_size": 1, "num_hypotheses": BEST_OF, "sampling_topk": 0, "sampling_temperature": temperature}
        results = self._model.model.generate(
            encoded,
            prompts,
            max_length=min(len(prompts[0]) + limit, MOST_TOKENS),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
            **how,
        )
        heard = []
        for code, result in zip(codes, results, strict=True):
            tokens = tuple(result.sequences_ids[0])
            mean = result.scores[0] * len(tokens) / (len(tokens) + 1)  # the end mark counts, too
            heard.append(_Heard(tokens, self._tokenizer(code).decode(tokens).strip(), mean, result.no_speech_prob))
        return heard

    def _words(
        self, encoded: Any, mels: Sequence[Mel], codes: Sequence[str], texts: Sequence[Sequence[int]]
    ) -> list[list[Word]]:
        """Return the words of each text with their times, at once where all are in one language."""
        if len(set(codes)) > 1:
            ones = [self._encode([mel], FULL_FRAMES) for mel in mels]
            alone = zip(ones, mels, codes, texts, strict=True)
            return [self._words(one, [mel], [code], [tokens])[0] for one, mel, code, tokens in alone]
        tokenizer = self._tokenizer(codes[0])
        spoken = [[token for token in tokens if token < tokenizer.eot] or [0] for tokens in texts]
        frames = [min(mel.shape[1], FULL_FRAMES) for mel in mels]
        found = self._model.model.align(encoded, tokenizer.sot_sequence, spoken, frames)
        return [self._placed(each, tokenizer, tokens) for each, tokens in zip(found, spoken, strict=True)]

    @staticmethod
    def _placed(found: Any, tokenizer: Any, tokens: Sequence[int]) -> list[Word]:
        """Return words with the times at which their tokens were first looked at."""
        pieces, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
        first_seen: dict[int, int] = {}
        for token, position in found.alignments:
            first_seen.setdefault(token, position)
        words, at = [], 0
        for piece, group in zip(pieces[:-1], groups[:-1], strict=True):
            after = at + len(group)
            start_s, end_s = (first_seen[index] * SECONDS_PER_POSITION for index in (at, after))
            probability = sum(found.text_token_probs[at:after]) / len(group)
            words.append(Word(piece, round(start_s * 1000), round(end_s * 1000), round(probability, 4)))
            at = after
        return _stretched(_joined(words, spaced=tokenizer.language_code not in SPACELESS))

    def _tokenizer(self, code: str) -> Any:
        if code not in self._tokenizers:
            from faster_whisper.tokenizer import Tokenizer

            self._tokenizers[code] = Tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=code
            )
        return self._tokenizers[code]

    @cached_property
    def _suppressed(self) -> list[int]:
        """Tokens that are no speech: music notes, speaker marks, and the like."""
        from faster_whisper.transcribe import get_suppressed_tokens

        return list(get_suppressed_tokens(self._tokenizer(min(self.capabilities.languages)), [-1]))


def _default(device: str, data_dir: Path) -> str:
    if device == "cuda":
        try:
            models.resolve(GPU_MODEL, data_dir)
        except models.ModelMissingError:
            return DEFAULT_MODEL
        return GPU_MODEL
    return DEFAULT_MODEL


def _beyond_doubt(heard: _Heard, duration_s: float) -> bool:
    return heard.log_probability >= BEYOND_DOUBT and heard.believable and plausible(heard.text, duration_s)


def _code(language: str) -> str | None:
    """Return the language that was asked for, None where it is left to the model."""
    return None if language in {"auto", ""} else language


def _most_tokens(duration_s: float) -> int:
    return math.ceil(duration_s * TOKENS_PER_S) + SPARE_TOKENS


def _joined(pieces: Sequence[Word], *, spaced: bool) -> list[Word]:
    """Put pieces together into words: one begins with a space or, in a script without, with anything but a mark."""
    words: list[Word] = []
    for piece in pieces:
        text = piece.w.strip()
        spoken = any(letter.isalnum() for letter in text)
        if not words or (piece.w.startswith(" ") if spaced else spoken):
            words.append(Word(text, piece.start_ms, piece.end_ms, piece.p))
        elif spoken:
            words[-1] = Word(words[-1].w + text, words[-1].start_ms, piece.end_ms, min(words[-1].p, piece.p))
        else:
            words[-1] = replace(words[-1], w=words[-1].w + text)
    return [word for word in words if word.w]


def _stretched(words: Sequence[Word]) -> list[Word]:
    """Give a word that was found in no time at all some of the pause before it, which a mark had taken."""
    mended: list[Word] = []
    for word in words:
        start_ms = word.start_ms
        if word.end_ms - start_ms < SHORTEST_WORD_MS:
            start_ms = min(start_ms, max(mended[-1].end_ms if mended else 0, word.end_ms - SHORT_WORD_MS))
        mended.append(replace(word, start_ms=start_ms))
    return mended


def _within(words: Sequence[Word], samples: int) -> tuple[Word, ...]:
    """Clip times to the audio."""
    end_ms = samples * 1000 // SAMPLE_RATE_HZ
    return tuple(
        Word(word.w, min(max(word.start_ms, 0), end_ms), min(max(word.end_ms, word.start_ms), end_ms), word.p)
        for word in words
    )
