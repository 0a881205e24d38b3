"""Which language is heard: the language head by seconds of speech, and whole tracks as the worker judges them.

    python -m tests.bench.languages [--part head|tracks|both] [--every N] [--json FILE]

Telephone band throughout. `head` asks for the language of the first 1 to 4 s of speech, with the full 30 s window and
with the short one of the product. `tracks` is Segmenter + ByLanguage + LanguageJudge as in a session: how often the
language is right in the end, at once and how often it changed; and what it costs in CPU beside the language being
stated, with the word error rate of both.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from tests.bench.score import Score, score
from tests.bench.speech import Track, load_set
from workers.asr.engines import AUTO, Engine, open_engine
from workers.asr.engines import faster_whisper as whisper
from workers.asr.language_engine import ByLanguage, for_all_languages
from workers.asr.language_judge import LanguageJudge
from workers.asr.segmenter import Decode, Segmenter, policy_for
from workers.asr.vad import SpeechDetector

LANGUAGES: Final = ("en", "es", "de", "fr")
SETS: Final = (("multilingual", ("es", "de", "fr")), ("read", ("en",)), ("calls", ("en",)))
HEAD_S: Final = (1, 2, 3, 4)


@dataclass(slots=True)
class Tally:
    """What became of the tracks of one language."""

    tracks: int = 0
    right: int = 0
    at_once: int = 0
    changes: int = 0
    audio_s: float = 0.0
    auto_cpu_s: float = 0.0
    stated_cpu_s: float = 0.0
    auto: Score = field(default_factory=Score)
    stated: Score = field(default_factory=Score)


def finals(track: Track, engine: Engine) -> list[Decode]:
    """Return what the worker would have recognised of a track."""
    segmenter = Segmenter(SpeechDetector(), policy_for(engine.capabilities))
    actions = [action for chunk in track.chunks() for action in segmenter.push(chunk)] + segmenter.finish()
    return [action for action in actions if isinstance(action, Decode) and action.kind == "final"]


def listen(segments: Sequence[Decode], engine: Engine, judge: LanguageJudge) -> tuple[str, list[str]]:
    """Recognise as a session does; return the text and the track's language after each segment."""
    texts, languages = [], []
    for segment in segments:
        heard = engine.transcribe(segment.samples, language=judge.ask(), final=True)
        spoken_ms = segment.end_ms - segment.start_ms
        judge.hear(segment.seq, spoken_ms, heard)
        if judge.doubts(heard):
            heard = engine.transcribe(segment.samples, language=AUTO, final=True)
            judge.hear(segment.seq, spoken_ms, heard)
        if not judge.accepts(heard, spoken_ms):
            heard = engine.transcribe(segment.samples, language=judge.language, final=True)
        texts.append(heard.text)
        languages.append(judge.language)
    return " ".join(filter(None, texts)), languages


def tell_tracks(tracks: Iterable[Track], engine: ByLanguage) -> dict[str, Tally]:
    """Judge whole tracks; state the language of each, too, and compare."""
    tallies: dict[str, Tally] = {}
    for track in tracks:
        segments = finals(track, engine)
        if not segments:
            continue
        tally = tallies.setdefault(track.language, Tally())
        began = time.process_time()
        text, heard = listen(segments, engine, LanguageJudge(engine.languages))
        between = time.process_time()
        stated = [engine.transcribe(s.samples, language=track.language, final=True).text for s in segments]
        tally.stated_cpu_s += time.process_time() - between
        tally.auto_cpu_s += between - began
        tally.tracks += 1
        tally.right += heard[-1] == track.language
        tally.at_once += heard[0] == track.language
        before = [engine.languages.main, *heard[:-1]]
        tally.changes += sum(one != other for one, other in zip(before, heard, strict=True))
        tally.audio_s += track.duration_s
        tally.auto += score(track.reference, text, track.language)
        tally.stated += score(track.reference, " ".join(filter(None, stated)), track.language)
        if heard[-1] != track.language:
            print(f"  {track.name}: taken for {heard[-1]}", flush=True)
    return tallies


def tell_head(tracks: Iterable[Track], engine: ByLanguage, model: whisper.FasterWhisper) -> dict[str, Any]:
    """Return, for each window and length, how often the language head is right, and what it costs."""
    found: dict[str, Any] = {}
    for track in tracks:
        segments = finals(track, engine)
        if not segments:
            continue
        speech: NDArray[np.float32] = np.concatenate([segment.samples for segment in segments])
        for seconds in HEAD_S:
            if speech.size < (seconds - 1) * SAMPLE_RATE_HZ * 1.05:
                break
            for window, pad in (("short", whisper.DETECT_PAD_FRAMES), ("30 s", whisper.FULL_FRAMES)):
                if window == "30 s" and seconds != 2:
                    continue
                began = time.process_time()
                told = model.detect(speech[: seconds * SAMPLE_RATE_HZ], pad_frames=pad)
                cpu_s = time.process_time() - began
                row = found.setdefault(f"{window}, {seconds} s", {"cpu_s": 0.0, "count": 0, "right": {}, "of": {}})
                row["cpu_s"] += cpu_s
                row["count"] += 1
                row["of"][track.language] = row["of"].get(track.language, 0) + 1
                guess = max(LANGUAGES, key=lambda code: told.get(code, 0.0))
                row["right"][track.language] = row["right"].get(track.language, 0) + (guess == track.language)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["head", "tracks", "both"], default="both")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th English track")
    parser.add_argument("--candidates", default="", help="as ASR_LANGUAGES")
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/hearline").expanduser())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    english = open_engine("moonshine", "auto", "cpu", "en", data_dir=args.data_dir, threads=1)
    asked = [code for code in args.candidates.split(",") if code]
    engine = for_all_languages(english, asked, alone=False, data_dir=args.data_dir, device="cpu", threads=1)
    model = whisper.FasterWhisper.open("whisper/base", device="cpu", language="auto", data_dir=args.data_dir, threads=1)
    if engine is None:
        raise SystemExit("no multilingual model is here: run `hearline models fetch whisper/base`")
    engine.warm_up()
    tracks = [
        track
        for name, languages in SETS
        for language in languages
        for track in load_set(args.data, name, language=language, phone=True)[:: args.every if language == "en" else 1]
    ]
    result: dict[str, Any] = {"engine": engine.name}
    if args.part != "tracks":
        result["head"] = tell_head(tracks, engine, model)
        print(f"{'window, speech':16} {'cpu s':>6}  right of those four")
        for name, row in result["head"].items():
            each = "  ".join(f"{code} {row['right'][code]}/{row['of'][code]}" for code in sorted(row["of"]))
            print(f"{name:16} {row['cpu_s'] / row['count']:6.3f}  {each}", flush=True)
    if args.part != "head":
        tallies = tell_tracks(tracks, engine)
        print(
            f"{'':4} {'tracks':>6} {'right':>6} {'at once':>8} {'changes':>8} {'WER':>8} {'stated':>8} {'cpu/s':>7} "
            "stated"
        )
        for code, tally in sorted(tallies.items()):
            print(
                f"{code:4} {tally.tracks:6} {tally.right:6} {tally.at_once:8} {tally.changes:8} {tally.auto.wer:8.2%} "
                f"{tally.stated.wer:8.2%} {tally.auto_cpu_s / tally.audio_s:7.4f} "
                f"{tally.stated_cpu_s / tally.audio_s:.4f}"
            )
        result["tracks"] = {
            code: {
                "tracks": tally.tracks,
                "right": tally.right,
                "at_once": tally.at_once,
                "changes": tally.changes,
                "wer": tally.auto.wer,
                "wer_stated": tally.stated.wer,
                "cpu_per_s": tally.auto_cpu_s / tally.audio_s,
                "cpu_per_s_stated": tally.stated_cpu_s / tally.audio_s,
            }
            for code, tally in tallies.items()
        }
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
