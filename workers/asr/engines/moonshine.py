"""Moonshine: an encoder and decoder whose cost grows with the audio, not with a 30 s window. English.

Only the makers' weights are used, through ONNX Runtime (`moonshine_graphs` prepares them, `moonshine_decoder`
runs them). Paper: Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS, Word
from workers.asr import models
from workers.asr.engines import Capabilities, Context, EngineUnusableError, Recognition, Server
from workers.asr.engines.alignment import spans
from workers.asr.engines.moonshine_bias import Bias
from workers.asr.engines.moonshine_decoder import END, Decoder, Hypothesis, State
from workers.asr.engines.moonshine_graphs import TOKENS
from workers.asr.engines.pieces import Pieces
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
"""The encoder's stride."""
SAMPLES_PER_FRAME: Final = MS_PER_FRAME * SAMPLES_PER_MS
BEAM: Final = 3
DOUBT: Final = math.log(0.97)
"""A final whose mean log-probability is below this is decoded again with a beam."""
REPEATED_TOKENS: Final = 4
"""So many tokens that were just said are a repetition, not chance."""
NOTHING: Final = Recognition("", "en", 0.0)
PARALLEL: Final = 8
"""The graphs may be run by any number of threads; each holds a few tens of MB while it does."""
SURE: Final = 0.86
"""A final whose first guess has less confidence is heard once more together with what was said before it."""
MIN_CONFIDENCE: Final = 0.25
OVERRULING_CONFIDENCE: Final = 0.5
"""What a text needs where the greedy decoder heard nothing: noise made into words reaches 0.35."""
_MARKS: Final = b" .,;:!?-\xe2\x96\x81"
_WITHIN: Final = frozenset({b",", b";", b":"})
_SENTENCE_ENDS: Final = frozenset({b".", b"?", b"!"})
_WORD_START: Final = "\u2581"
_SPACE: Final = _WORD_START.encode()


@dataclass(frozen=True, slots=True)
class _Ready:
    """Audio that the encoder has heard, and what it begins with."""

    state: State
    size: int
    """Samples that are to be recognised, ..."""
    given: int
    """... samples before them, ..."""
    after: tuple[int, ...]
    """... and the tokens of those."""

    @property
    def duration_s(self) -> float:
        return self.size / SAMPLE_RATE_HZ

    @property
    def most_tokens(self) -> int:
        return int(self.duration_s * MAX_TOKENS_PER_S) + SPARE_TOKENS


class Moonshine:
    """A loaded Moonshine model."""

    capabilities: Final = Capabilities(
        "utterance", languages=frozenset({"en"}), longest_ms=12_000, parallel=PARALLEL, context=True
    )

    def __init__(self, folder: Path, *, name: str, threads: int) -> None:
        """Load the graphs from `folder`; raises FileNotFoundError where it holds none."""
        self.name = name
        self._tokens = read_tokens((folder / TOKENS).read_bytes())
        self._decoder = Decoder(folder, threads=threads)
        self._bias = Bias(self._decoder, Pieces(self._tokens))
        self._within, self._ends = (
            tuple(token for token, piece in enumerate(self._tokens) if piece.strip(_SPACE) in marks)
            for marks in (_WITHIN, _SENTENCE_ENDS)
        )

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
        self,
        samples: NDArray[np.float32],
        *,
        language: str,
        final: bool,
        earlier: Recognition | None = None,
        before: Context | None = None,
        vocabulary: tuple[str, ...] = (),
    ) -> Recognition:
        """Return the English words in `samples` (shape (n,), 16 kHz, -1..1); see `Engine.transcribe`."""
        if samples.size < MIN_SAMPLES:
            return NOTHING
        alone = self._ready(samples)
        heard = self._guess(alone, earlier.tokens if earlier else ())
        if final and before is not None and (not heard.tokens or math.exp(heard.score) < SURE):
            going_on = self._ready(samples, before)
            again = self._told(going_on, self._guess(going_on, heard.tokens), final=True, vocabulary=vocabulary)
            least = MIN_CONFIDENCE if heard.tokens else OVERRULING_CONFIDENCE
            if again.confidence >= least and not _repeats(again.tokens, before.tokens):
                return again
        return self._told(alone, heard, final=final, vocabulary=vocabulary)

    def _ready(self, samples: NDArray[np.float32], before: Context | None = None) -> _Ready:
        given = np.zeros(0, np.float32) if before is None else before.samples
        state = self._decoder.encode(np.pad(np.concatenate((given, samples)), MARGIN_MS * SAMPLES_PER_MS))
        return _Ready(state, samples.size, given.size, () if before is None else self._unmarked(before.tokens))

    def _guess(self, audio: _Ready, draft: Sequence[int]) -> Hypothesis:
        return self._decoder.greedy(audio.state, limit=audio.most_tokens, draft=draft, after=audio.after)

    def _told(self, audio: _Ready, heard: Hypothesis, *, final: bool, vocabulary: tuple[str, ...]) -> Recognition:
        """Return what was heard, searched for where it is a doubtful final; its tokens are those before any biasing."""
        least = MIN_CONFIDENCE
        if final and (heard.score < DOUBT or not heard.tokens):
            least = MIN_CONFIDENCE if heard.tokens else OVERRULING_CONFIDENCE
            searched = self._decoder.beam(audio.state, limit=audio.most_tokens, width=BEAM, after=audio.after)
            heard = max(searched, heard, key=lambda hypothesis: (bool(hypothesis.tokens), hypothesis.score))
        words = self._words(heard.tokens)
        text = tidy(" ".join(word for word, _, _ in words))
        confidence = math.exp(heard.score)
        if confidence < least or not plausible(text, audio.duration_s, confidence) or not latin(text):
            return NOTHING
        plain, followed = heard.tokens, None
        if vocabulary:
            heard, followed = self._bias.improved(audio.state, heard, words, vocabulary, after=audio.after)
            words = self._words(heard.tokens)
            text, confidence = tidy(" ".join(word for word, _, _ in words)), math.exp(heard.score)
        if not final:
            return Recognition(text, "en", round(confidence, 4), tokens=plain)
        read = (
            followed.read(heard.tokens)
            if followed
            else self._decoder.read(audio.state, heard.tokens, after=audio.after)
        )
        skipped = audio.given // SAMPLES_PER_FRAME
        places = spans(read.looked[:, skipped:], [(first, after) for _, first, after in words])
        begin_ms, end_ms = audio.given // SAMPLES_PER_MS - skipped * MS_PER_FRAME, audio.size // SAMPLES_PER_MS
        timed = (
            Word(
                tidy(word),
                _place(start, begin_ms, end_ms),
                _place(end, begin_ms, end_ms),
                _mean(read.probabilities[first:after]),
            )
            for (word, first, after), (start, end) in zip(words, places, strict=True)
        )
        more = self._more(heard.tokens[-1], read.last)
        return Recognition(text, "en", round(confidence, 4), tuple(timed), plain, more=more)

    def _more(self, last: int, likely: NDArray[np.float32]) -> float | None:
        """Return how likely the mark at the end of a text is to be one within a sentence; None where there is none."""
        if self._piece(last).strip(_MARKS):
            return None
        within, ends = (float(np.exp(likely[list(marks)]).sum()) for marks in (self._within, self._ends))
        return within / (within + ends) if within + ends > 0 else None

    def _unmarked(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Leave out the mark at the end: a pause made it a sentence, the words after it may tell otherwise."""
        end = len(tokens)
        while end and self._piece(tokens[end - 1]).strip(_MARKS) == b"":
            end -= 1
        return tuple(tokens[:end])

    def _piece(self, token: int) -> bytes:
        return self._tokens[token] if token < len(self._tokens) else b""

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
        whole = [word for word in decoded if word[0]]
        # What goes on from other words may begin with the mark that belongs to them.
        return list(dropwhile(lambda word: not any(map(str.isalnum, word[0])), whole))


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


def _repeats(tokens: Sequence[int], before: Sequence[int]) -> bool:
    """Return True where the decoder tells what it was given once more instead of going on."""
    return len(tokens) >= REPEATED_TOKENS and any(
        tuple(before[at : at + len(tokens)]) == tuple(tokens) for at in range(len(before) - len(tokens) + 1)
    )


def _place(frame: int, begin_ms: int, end_ms: int) -> int:
    """Return the time at which a frame begins, within audio from `begin_ms` into the first frame to `end_ms`."""
    return min(max(frame * MS_PER_FRAME - MARGIN_MS - begin_ms, 0), end_ms)


def _mean(probabilities: NDArray[np.float32]) -> float:
    """Return the geometric mean."""
    return round(float(np.exp(np.log(np.maximum(probabilities, 1e-6)).mean())), 4)
