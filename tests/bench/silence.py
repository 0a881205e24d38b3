"""How many words an hour are invented where nobody says anything: `python -m tests.bench silence`.

    python -m tests.bench.silence [--engine moonshine/base-en] [--only music] [--seconds 12] [--json FILE]

More than an hour of sounds without a word (tests/noises: silence, hiss, tones, fax, music, breath, desk, street, each
at several levels) goes through detector, segmenter and engine as in the product, as it is and over the telephone.
Printed for each engine and category: what the detector took for speech, segments, invented words an hour in finals and
in partials, CPU; then every invention with its place, its level and what detector and engine thought of it.

`--past-detector` instead gives each sound straight to the engine, in pieces of 2 and 6 s: the second line of defence.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from infra.settings import read_settings
from tests.bench.speech import Track
from tests.bench.wer import live
from tests.noises import SECONDS, Noise, babble, noises, over_telephone, recorded
from workers.asr.engines import Engine, open_engine
from workers.asr.models import ModelMissingError
from workers.asr.segmenter import policy_for
from workers.asr.vad import WINDOW_MS, SpeechDetector

ENGINES: Final = ("moonshine/base-en", "moonshine/tiny-en", "whisper/base", "whisper/tiny.en")
PIECES_S: Final = (2, 6)
WIDE: Final = "wide"
PHONE: Final = "phone"


@dataclass(frozen=True, slots=True)
class Invention:
    """Words where there were none."""

    category: str
    sound: str
    line: str
    kind: str
    """Decode.kind, or `piece`."""
    start_ms: int
    end_ms: int
    speech: float
    """Mean probability of speech, by the detector."""
    confidence: float
    text: str


@dataclass(slots=True)
class Tally:
    """What became of one category."""

    audio_s: float = 0.0
    speech_s: float = 0.0
    """What the detector took for speech."""
    segments: int = 0
    words: int = 0
    """In finals."""
    shown: int = 0
    """Words of the longest partial of segments that have no final words: on the screen for a moment."""
    cpu_s: float = 0.0
    inventions: list[Invention] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Self:
        self.audio_s += other.audio_s
        self.speech_s += other.speech_s
        self.segments += other.segments
        self.words += other.words
        self.shown += other.shown
        self.cpu_s += other.cpu_s
        self.inventions += other.inventions
        return self


class Witness:
    """A detector of speech that remembers what it thought."""

    def __init__(self) -> None:
        self._detector = SpeechDetector()
        self.thought: list[float] = []

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        probabilities = self._detector.feed(samples)
        self.thought += probabilities.tolist()
        return probabilities

    def reset(self) -> None:
        self._detector.reset()

    def mean(self, start_ms: int, end_ms: int) -> float:
        """Return the mean probability of a stretch."""
        stretch = self.thought[start_ms // WINDOW_MS : max(end_ms // WINDOW_MS, start_ms // WINDOW_MS + 1)]
        return float(np.mean(stretch)) if stretch else 0.0


def through_the_line(noise: Noise, line: str, engine: Engine) -> Tally:
    """Hear a sound as the product does."""
    track, witness, policy = Track(noise.label, "en", noise.samples, ""), Witness(), policy_for(engine.capabilities)
    tally, partial = Tally(audio_s=track.duration_s), dict[int, Invention]()
    began = time.process_time()
    for decode, heard in live(track, engine, policy, detector=witness):
        found = Invention(
            noise.category,
            noise.label,
            line,
            decode.kind,
            decode.start_ms,
            decode.end_ms,
            round(witness.mean(decode.start_ms, decode.end_ms), 3),
            heard.confidence,
            heard.text,
        )
        if decode.kind != "final":
            if len(heard.text) > len(partial[decode.seq].text if decode.seq in partial else ""):
                partial[decode.seq] = found
            continue
        tally.segments += 1
        if heard.text:
            tally.words += len(heard.text.split())
            tally.inventions.append(found)
            partial.pop(decode.seq, None)
    tally.cpu_s = time.process_time() - began
    tally.speech_s = sum(value >= policy.open_probability for value in witness.thought) * WINDOW_MS / 1000
    for found in partial.values():
        tally.shown += len(found.text.split())
        tally.inventions.append(found)
    return tally


def past_the_detector(noise: Noise, line: str, engine: Engine) -> Tally:
    """Give a sound to the engine as if the detector had taken all of it for speech."""
    tally, began = Tally(), time.process_time()
    for seconds in PIECES_S:
        piece = noise.samples[: seconds * SAMPLE_RATE_HZ]
        heard = engine.transcribe(piece, language="en", final=True)
        tally.audio_s += piece.size / SAMPLE_RATE_HZ
        tally.segments += 1
        if heard.text:
            tally.words += len(heard.text.split())
            found = Invention(
                noise.category, noise.label, line, "piece", 0, seconds * 1000, 1.0, heard.confidence, heard.text
            )
            tally.inventions.append(found)
    tally.cpu_s = time.process_time() - began
    return tally


def sounds(data: Path, seconds: float, only: str) -> Iterator[tuple[str, Noise]]:
    """Yield (line, sound): all of them over the telephone, and at two levels as they are."""
    for noise in noises(seconds=seconds, only=only):
        yield PHONE, over_telephone(noise)
    for noise in noises(seconds=seconds, levels_dbfs=(-40, -20), seed=1, only=only):
        yield WIDE, noise
    for noise in (*recorded(data), *babble(data, seconds=2 * seconds)):
        if only in noise.label:
            yield PHONE, over_telephone(noise)
            yield WIDE, noise


def measure(engine: Engine, chosen: Iterable[tuple[str, Noise]], *, past_detector: bool = False) -> dict[str, Tally]:
    """Return what became of each category."""
    hear = past_the_detector if past_detector else through_the_line
    tallies: dict[str, Tally] = {}
    for line, noise in chosen:
        tally = tallies.setdefault(noise.category, Tally())
        tally += hear(noise, line, engine)
    return tallies


def show(tallies: dict[str, Tally]) -> Tally:
    """Print the table and every invention; return the sum."""
    total = Tally()
    for tally in tallies.values():
        total += tally
    print(f"{'sounds':16} {'minutes':>7} {'speech':>7} {'segments':>8} {'words/h':>8} {'shown/h':>8} {'cpu':>6}")
    for name, tally in [*tallies.items(), ("all", total)]:
        hours = tally.audio_s / 3600
        print(
            f"{name:16} {tally.audio_s / 60:7.1f} {tally.speech_s / tally.audio_s:7.2%} {tally.segments:8} "
            f"{tally.words / hours:8.1f} {tally.shown / hours:8.1f} {tally.cpu_s / tally.audio_s:6.3f}"
        )
    for found in total.inventions:
        print(
            f"  {found.sound} ({found.line}) {found.kind} {found.start_ms / 1000:.1f}-{found.end_ms / 1000:.1f} s, "
            f"speech {found.speech:.2f}, confidence {found.confidence:.2f}: {found.text!r}"
        )
    return total


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", choices=ENGINES, help="default: all whose model is here")
    parser.add_argument("--only", default="", help="part of a category's or a sound's name")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each synthesised sound")
    parser.add_argument("--past-detector", action="store_true")
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    result: dict[str, Any] = {}
    for model in args.engine or ENGINES:
        try:
            engine = open_engine("auto", model, "cpu", "en", data_dir=read_settings().hearline_data_dir, threads=1)
        except ModelMissingError:
            print(f"\n{model}: not on this machine")
            continue
        engine.warm_up()
        print(f"\n{engine.name}")
        tallies = measure(engine, sounds(args.data, args.seconds, args.only), past_detector=args.past_detector)
        total = show(tallies)
        engine.close()
        print(f"{total.words / total.audio_s * 3600:.1f} words an hour (aim: 0)")
        result[engine.name] = {name: asdict(tally) for name, tally in tallies.items()}
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
