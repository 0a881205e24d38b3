"""An engine for `ASR_LANGUAGE=auto`: English goes to its own recogniser, every other language to a multilingual one.

The English recogniser is asked first: it is the cheaper one, and its confidence tells whether it hears English at
all. Only where it doubts is the multilingual one's language head asked, which costs about 0.07 s of CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLES_PER_MS
from infra.telemetry import logger
from workers.asr.calibration import OTHER, candidates, kept
from workers.asr.engines import AUTO, BatchEngine, Context, Engine, Recognition, Stretch, choose_device
from workers.asr.engines.faster_whisper import DEFAULT_MODEL, FasterWhisper
from workers.asr.language_judge import ENGLISH, Languages, languages_for

log = logger(__name__)


# How much the confidence of Moonshine says about whether it heard English; from the table in decision 0009.
EVEN: Final = 0.68
"""At this confidence it says nothing, ..."""
NATS: Final = 20.0
"""... and so much more for English, or against it, with each 1.0 above or below."""
MOST_FOR: Final = 4.0
MOST_AGAINST: Final = 2.0
EMPTY: Final = 0.5
"""Nonsense that its guards refused counts like this confidence."""
SURE: Final = 0.8
"""With this confidence it is English, and nobody else is asked."""
CLEAR: Final = 0.5
"""Where the English recogniser heard no words at all, the language head has to be so sure that there are any."""
NOISE: Final = "nn"
"""What Whisper's language head takes hiss for, at 0.6 to 0.9; Norwegian is `no` to it."""
LEAST_MS: Final = 300
"""A stretch shorter than this says nothing about its language."""


class Multilingual(BatchEngine, Protocol):
    """A recogniser of many languages that can tell them apart."""

    def detect(self, samples: NDArray[np.float32]) -> dict[str, float]:
        """Return the probability of each language that it knows."""
        ...


class ByLanguage:
    """Two recognisers as one. See `Engine`; `transcribe` with `auto` says what speaks for which language."""

    def __init__(
        self, multilingual: Multilingual, languages: Languages, *, english: Engine | None = None, wary: bool = False
    ) -> None:
        """Without `english` the multilingual one writes all. `wary`: the confidence of `english` tells something."""
        self._multilingual = multilingual
        self._english = english if ENGLISH in languages.all else None
        self._wary = wary and self._english is not None
        self.languages = languages
        both: list[Engine] = [engine for engine in (self._english, multilingual) if engine is not None]
        self.name = "+".join(engine.name for engine in both)
        able = [engine.capabilities for engine in both]
        self.capabilities = replace(
            able[0],
            mode="utterance",
            languages=languages.all,
            longest_ms=min(each.longest_ms for each in able),
            word_times=all(each.word_times for each in able),
            devices=frozenset[str]().union(*(each.devices for each in able)),
            batch=max(each.batch for each in able),
            parallel=min(each.parallel for each in able),
            punctuation=all(each.punctuation for each in able),
        )

    def beside(self, engine: Engine) -> ByLanguage:
        """Return the same with another recogniser in place of the first: a lighter one, or that one opened again."""
        if self._english is None:
            return ByLanguage(cast("Multilingual", engine), self.languages)
        return ByLanguage(self._multilingual, self.languages, english=engine, wary=self._wary)

    def warm_up(self) -> None:
        """Run both once on silence."""
        for engine in (self._english, self._multilingual):
            if engine is not None:
                engine.warm_up()

    def close(self) -> None:
        """Let go of both."""
        for engine in (self._english, self._multilingual):
            if engine is not None:
                engine.close()

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
        """Return the words in `samples`; see `Engine.transcribe`."""
        return self.transcribe_batch([Stretch(samples, language, final, earlier, before, vocabulary)])[0]

    def transcribe_batch(self, stretches: Sequence[Stretch]) -> list[Recognition]:
        """Return what is heard in each stretch; see `BatchEngine.transcribe_batch`."""
        codes = [stretch.language for stretch in stretches]
        evidence: dict[int, Mapping[str, float]] = {}
        in_english = [row for row, code in enumerate(codes) if code == AUTO] if self._wary else []
        answers = dict(zip(in_english, self._ask(ENGLISH, [stretches[row] for row in in_english]), strict=True))
        for row, stretch in enumerate(stretches):
            if codes[row] == AUTO:
                evidence[row] = self._judge(stretch.samples, answers.get(row))
                codes[row] = self.languages.likeliest(evidence[row], stretch.samples.size // SAMPLES_PER_MS)
        for code in sorted(set(codes)):
            rows = [row for row, wanted in enumerate(codes) if wanted == code]
            if code == ENGLISH:
                rows = [row for row in rows if row not in answers]
            answers |= zip(rows, self._ask(code, [stretches[row] for row in rows]), strict=True)
        return [
            replace(answers[row], languages=evidence.get(row, {}) if answers[row].text else {})
            for row in range(len(stretches))
        ]

    def _judge(self, samples: NDArray[np.float32], heard: Recognition | None) -> dict[str, float]:
        """Return what the sound, and what was made of it in English, say for each language."""
        if samples.size < LEAST_MS * SAMPLES_PER_MS:
            return {}
        if heard is not None and heard.text and heard.confidence >= SURE:
            return {ENGLISH: 1.0}
        evidence = dict(self._multilingual.detect(samples))
        likeliest = max(evidence, key=evidence.__getitem__)
        if likeliest == NOISE or (heard is not None and not heard.text and evidence[likeliest] < CLEAR):
            return {}
        if heard is not None and ENGLISH in evidence:
            evidence[ENGLISH] *= _for_english(heard.confidence if heard.text else EMPTY)
        return evidence

    def _ask(self, code: str, stretches: Sequence[Stretch]) -> list[Recognition]:
        """Ask the recogniser of a language, for as many at once as it takes."""
        engine: Engine = self._multilingual
        if code == ENGLISH and self._english is not None:
            engine = self._english
        asked = [replace(each, language=code, earlier=_draft(each.earlier, code)) for each in stretches]
        if engine is not self._english:
            asked = [replace(each, before=None) for each in asked]
        if engine.capabilities.batch > 1:
            return cast("BatchEngine", engine).transcribe_batch(asked) if asked else []
        return [
            engine.transcribe(
                s.samples,
                language=code,
                final=s.final,
                earlier=s.earlier,
                before=s.before,
                vocabulary=s.vocabulary,
            )
            for s in asked
        ]


def _for_english(confidence: float) -> float:
    """Return how many times as likely a confidence is where English is spoken."""
    return float(np.exp(np.clip(NATS * (confidence - EVEN), -MOST_AGAINST, MOST_FOR)))


def _draft(earlier: Recognition | None, language: str) -> Recognition | None:
    """Return an earlier answer where it is one in this language: another recogniser's is no use."""
    return earlier if earlier is not None and earlier.language == language else None


def for_all_languages(
    engine: Engine, asked: Sequence[str], *, alone: bool, data_dir: Path, device: str, threads: int
) -> ByLanguage | None:
    """Return an engine that judges which of the languages `asked` (none named: all) it hears, if this machine can.

    None where `engine` cannot be helped: it is no English one or is to be `alone`, or no multilingual model is here.
    Raises `EngineUnusableError` for languages that nobody here writes.
    """
    if isinstance(engine, FasterWhisper) and engine.multilingual:
        return ByLanguage(engine, languages_for(asked, engine.capabilities.languages))
    if alone or engine.capabilities.languages != {ENGLISH}:
        return None
    model = multilingual_model(device, data_dir, threads)
    if model is None:
        log.warning("all calls are taken for English", until=f"`hearline models fetch {DEFAULT_MODEL}` has been run")
        return None
    other = FasterWhisper.open(model, device=device, language=AUTO, data_dir=data_dir, threads=threads)
    other.warm_up()
    wary = engine.name.startswith("moonshine/")
    languages = languages_for(asked, other.capabilities.languages)
    return ByLanguage(other, languages, english=engine, wary=wary)


def multilingual_model(device: str, data_dir: Path, threads: int) -> str | None:
    """Return the model for languages other than English: the best that keeps up, as far as it was measured."""
    here = candidates(device, OTHER, data_dir)
    known = kept(data_dir, device=choose_device(device), threads=threads)
    able = [model for model in here if model in known and known[model].tracks() >= 1]
    if able:
        return able[0]
    return DEFAULT_MODEL if DEFAULT_MODEL in here else here[-1] if here else None
