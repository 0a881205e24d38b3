"""What streaming costs in accuracy: the same engine on whole files and on 200 ms chunks.

    python -m tests.bench.wer [--set calls] [--band clean|phone|both] [--model moonshine/base-en] [--json FILE]

Offline sees the whole file, cuts it at its pauses with knowledge of what follows, and decodes each piece once.
Streamed is Segmenter + Engine as in the product, driven as fast as the machine goes. The tax is the relative
rise of the pooled word error rate (aim: at most 5 %). CPU is process time a second of audio, all threads.

Of the partials: `every` is the median time of speech between two changes of what is shown; `flicker` the share of all
words shown that a later partial of the segment takes back or writes otherwise; `mended` the share that its final does.
Without --model every model that is on this machine has its turn, Whisper's at many times Moonshine's CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.bench.score import Score, score
from tests.bench.speech import Track, load_set
from workers.asr.engines import Engine, Recognition, open_engine
from workers.asr.history import History
from workers.asr.models import ModelMissingError
from workers.asr.pace import more_to_come
from workers.asr.partials import Growing
from workers.asr.scheduler import Draft
from workers.asr.segmenter import Decode, Detector, Policy, Segmenter, policy_for
from workers.asr.vad import WINDOW, WINDOW_MS, SpeechDetector
from workers.asr.written import write_words

SETS: Final = ("calls", "dialogues", "read")
MODELS: Final = ("moonshine/base-en", "moonshine/tiny-en", "whisper/base", "whisper/tiny.en")
TAX: Final = 0.05
OFFLINE_PAUSE_MS: Final = 2000
OFFLINE_PAD_MS: Final = 300
"""The best of pauses of 300 to 2000 ms and pads of 200 to 400 ms, by the pooled offline word error rate."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one way of listening made of a track."""

    text: str
    cpu_s: float
    segments: int
    partials: Partials | None = None


@dataclass(slots=True)
class Partials:
    """How what the screen shows of the segments comes and goes."""

    words: int = 0
    """That were ever shown before the final."""
    flickered: int = 0
    """Of these: gone from the next partial, or another word there."""
    mended: int = 0
    """The same of the final."""
    gaps_ms: list[int] = field(default_factory=list)
    """Speech between two changes, the first counted from where the segment starts."""

    def __add__(self, other: Partials) -> Partials:
        return Partials(
            self.words + other.words,
            self.flickered + other.flickered,
            self.mended + other.mended,
            self.gaps_ms + other.gaps_ms,
        )


class Shown:
    """Watches the partials of a track as the product shows them."""

    def __init__(self) -> None:
        self.partials = Partials()
        self._growing: dict[int, Growing] = {}
        self._text: dict[int, str] = {}
        self._changed_ms: dict[int, int] = {}

    def see(self, decode: Decode, heard: Recognition) -> None:
        """Take the next answer of the recogniser."""
        text = write_words(heard.text.strip(), (), heard.language)[0]
        before = self._text.get(decode.seq, "")
        if decode.kind == "final":
            self.partials.mended += _lost(before, text)
            return
        growing = self._growing.setdefault(decode.seq, Growing())
        if not text or not growing.hear(text) or growing.text == before:
            return
        lost = _lost(before, growing.text)
        self.partials.flickered += lost
        self.partials.words += len(growing.text.split()) - len(before.split()) + lost
        self.partials.gaps_ms.append(decode.end_ms - self._changed_ms.get(decode.seq, decode.start_ms))
        self._text[decode.seq], self._changed_ms[decode.seq] = growing.text, decode.end_ms


def _lost(before: str, after: str) -> int:
    """Return how many words of a text are not in the next one, whatever their marks and capitals."""
    old, new = ([word.strip(".,;:!?").lower() for word in text.split()] for text in (before, after))
    same = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return len(old) - sum(block.size for block in same)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    audio_s: float
    offline: Score
    offline_cpu_s: float
    streamed: Score
    streamed_cpu_s: float
    segments: int = 0
    partials: Partials = field(default_factory=Partials)

    @property
    def tax(self) -> float | None:
        """Relative rise of the word error rate, or None where there was no error offline."""
        if self.offline.errors == 0:
            return None if self.streamed.errors else 0.0
        return self.streamed.wer / self.offline.wer - 1


def listen_offline(
    track: Track, engine: Engine, *, pause_ms: int = OFFLINE_PAUSE_MS, pad_ms: int = OFFLINE_PAD_MS
) -> Heard:
    """Decode the whole file: it is cut with knowledge of all of it, and nothing is decoded twice."""
    began = time.process_time()
    pieces = offline_pieces(track, pause_ms=pause_ms, pad_ms=pad_ms, longest_ms=engine.capabilities.longest_ms)
    texts = [
        engine.transcribe(track.samples[start:end], language=track.language, final=True).text for start, end in pieces
    ]
    return Heard(" ".join(filter(None, texts)), time.process_time() - began, len(texts))


def offline_pieces(track: Track, *, pause_ms: int, pad_ms: int, longest_ms: int) -> list[tuple[int, int]]:
    """Return (first sample, sample after the last) of each piece of speech.

    Speech is one piece until it pauses for `pause_ms`; a piece too long is cut in the middle of its longest pause,
    away from its ends, and again if need be. Every piece gets `pad_ms` of what surrounds it, up to its neighbour.
    """
    pcm = np.frombuffer(b"".join(chunk.pcm for chunk in track.chunks()), "<i2")
    probabilities = SpeechDetector().feed(pcm)
    spoken, inside = np.zeros(probabilities.size, bool), False
    for index, probability in enumerate(probabilities):
        inside = probability >= (0.35 if inside else 0.5)
        spoken[index] = inside
    runs = [
        (int(run[0]), int(run[-1]) + 1) for run in np.split(np.arange(spoken.size), _edges(spoken)) if spoken[run[0]]
    ]
    longest = (longest_ms - 2 * pad_ms) // WINDOW_MS
    pieces: list[list[tuple[int, int]]] = []
    for run in runs:
        if pieces and (run[0] - pieces[-1][-1][1]) * WINDOW_MS < pause_ms:
            pieces[-1].append(run)
        else:
            pieces.append([run])
    cut = [piece for whole in pieces for piece in _no_longer_than(whole, longest)]
    pad = pad_ms // WINDOW_MS
    bounds = []
    for index, (start, end) in enumerate(cut):
        before = cut[index - 1][1] if index else 0
        after = cut[index + 1][0] if index + 1 < len(cut) else spoken.size
        bounds.append(
            (max(start - pad, (before + start) // 2, 0) * WINDOW, min(end + pad, (end + after + 1) // 2) * WINDOW)
        )
    return bounds


def _edges(spoken: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.flatnonzero(np.diff(spoken)) + 1


def _no_longer_than(runs: list[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """Cut runs of speech, (first window, window after the last), into pieces of at most `longest` windows."""
    start, end = runs[0][0], runs[-1][1]
    if end - start <= longest:
        return [(start, end)]
    gaps = [
        (after[0] - before[1], index)
        for index, (before, after) in enumerate(pairwise(runs), start=1)
        if before[1] - start >= longest // 4 and end - after[0] >= longest // 4
    ]
    if not gaps:
        middle = min(longest, (end - start) // 2) + start
        left = [(first, min(after, middle)) for first, after in runs if first < middle]
        right = [(max(first, middle), after) for first, after in runs if after > middle]
    else:
        _, index = max(gaps)
        left, right = runs[:index], runs[index:]
    return _no_longer_than(left, longest) + _no_longer_than(right, longest)


def listen_streaming(track: Track, engine: Engine, policy: Policy, *, partials: bool = True) -> Heard:
    """Do what the worker does with a track, without waiting for real time."""
    began, finals, shown = time.process_time(), list[str](), Shown()
    for decode, heard in live(track, engine, policy, partials=partials):
        shown.see(decode, heard)
        if decode.kind == "final":
            finals.append(heard.text)
    return Heard(" ".join(filter(None, finals)), time.process_time() - began, len(finals), shown.partials)


def live(
    track: Track, engine: Engine, policy: Policy, *, partials: bool = True, detector: Detector | None = None
) -> Iterator[tuple[Decode, Recognition]]:
    """Yield every decode that the segmenter asks for, in its order, with what the engine answers."""
    segmenter = Segmenter(detector or SpeechDetector(), policy)
    history = History()
    earlier: tuple[int, Recognition] | None = None
    for chunk in track.chunks():
        for action in segmenter.push(chunk):
            if not isinstance(action, Decode) or (action.kind == "partial" and not partials):
                continue
            known = earlier[1] if earlier is not None and earlier[0] == action.seq else None
            if action.reuse and known is not None:
                heard = known
            else:
                before = history.before(action)
                heard = engine.transcribe(
                    action.samples,
                    language=track.language,
                    final=action.kind != "partial",
                    earlier=known,
                    before=before[1] if before else None,
                )
            earlier = (action.seq, heard)
            more = more_to_come(heard, punctuation=engine.capabilities.punctuation)
            if action.kind == "speculative" and more is not None:
                segmenter.expect(action.seq, action.end_ms, more)
            if action.kind == "final":
                history.add(action, Draft(engine.name, heard))
            yield action, heard


def measure(
    tracks: Iterable[Track], offline: Callable[[Track], Heard], streamed: Callable[[Track], Heard]
) -> tuple[list[Row], list[dict[str, str]]]:
    """Return a row a track and the texts behind it."""
    rows, texts = [], []
    for track in tracks:
        whole, chunked = offline(track), streamed(track)
        rows.append(
            Row(
                track.name,
                track.duration_s,
                score(track.reference, whole.text, track.language),
                whole.cpu_s,
                score(track.reference, chunked.text, track.language),
                chunked.cpu_s,
                chunked.segments,
                chunked.partials or Partials(),
            )
        )
        texts.append(
            {"name": track.name, "offline": whole.text, "streamed": chunked.text, "reference": track.reference}
        )
    return rows, texts


def pool(name: str, rows: list[Row]) -> Row:
    """Add up rows: word error rates weigh as their words, CPU as its seconds."""
    return Row(
        name,
        sum(row.audio_s for row in rows),
        sum((row.offline for row in rows), Score()),
        sum(row.offline_cpu_s for row in rows),
        sum((row.streamed for row in rows), Score()),
        sum(row.streamed_cpu_s for row in rows),
        sum(row.segments for row in rows),
        sum((row.partials for row in rows), Partials()),
    )


def show(rows: list[Row]) -> None:
    """Print rows as a table."""
    print(
        f"{'track':36} {'s':>6} {'words':>5} {'offline':>8} {'streamed':>8} {'tax':>7} {'cpu off':>7} {'cpu str':>7} "
        f"{'every':>6} {'flicker':>7} {'mended':>6}"
    )
    for row in rows:
        tax, shown = "-" if row.tax is None else f"{row.tax:+.1%}", row.partials
        words, every_s = max(shown.words, 1), float(np.median(shown.gaps_ms or [0])) / 1000
        print(
            f"{row.name[:36]:36} {row.audio_s:6.1f} {row.offline.words:5} {row.offline.wer:8.2%} "
            f"{row.streamed.wer:8.2%} {tax:>7} {row.offline_cpu_s / row.audio_s:7.3f} "
            f"{row.streamed_cpu_s / row.audio_s:7.3f} {every_s:5.2f}s {shown.flickered / words:7.1%} "
            f"{shown.mended / words:6.1%}"
        )


def verdict(name: str, rows: list[Row]) -> str:
    """Return what to make of the pooled rows of one model."""
    tax = pool("", rows).tax or 0.0
    return f"{name}: streaming tax {tax:+.1%}, aim at most {TAX:.0%}: {'kept' if tax <= TAX else 'MISSED'}"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=[*SETS, "multilingual"], help="default: all English sets")
    parser.add_argument("--band", choices=["clean", "phone", "both"], default="both")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--model", action="append", help="default: all that are on this machine")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--language", default="en", help="'all' takes every language of the set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/hearline").expanduser())
    parser.add_argument("--offline-pause-ms", type=int, default=OFFLINE_PAUSE_MS)
    parser.add_argument("--offline-pad-ms", type=int, default=OFFLINE_PAD_MS)
    parser.add_argument("--no-partials", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    results: dict[str, Any] = {}
    verdicts: list[str] = []
    for model in args.model or MODELS:
        language = None if args.language == "all" else args.language
        try:
            engine = open_engine(
                args.engine, model, args.device, language or "auto", data_dir=args.data_dir, threads=args.threads
            )
        except ModelMissingError:
            print(f"\n{model}: not on this machine")
            continue
        engine.warm_up()
        results[engine.name] = result = measure_engine(engine, args, language)
        verdicts += result.pop("verdicts")
        engine.close()
    print("", *verdicts, sep="\n")
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def measure_engine(engine: Engine, args: argparse.Namespace, language: str | None) -> dict[str, Any]:
    """Print one engine's tables; return what is in them."""
    policy = policy_for(engine.capabilities)
    result: dict[str, Any] = {"policy": asdict(policy), "sets": {}, "verdicts": []}
    pooled: list[Row] = []
    for band in ("clean", "phone") if args.band == "both" else (args.band,):
        of_band: list[Row] = []
        for name in args.set or SETS:
            tracks = load_set(args.data, name, language=language, phone=band == "phone")
            rows, texts = measure(
                tracks,
                lambda track: listen_offline(track, engine, pause_ms=args.offline_pause_ms, pad_ms=args.offline_pad_ms),
                lambda track: listen_streaming(track, engine, policy, partials=not args.no_partials),
            )
            of_band.append(pool(f"{name} ({band})", rows))
            show([*rows, of_band[-1]])
            result["sets"][f"{name}/{band}"] = {"rows": [_plain(row) for row in [*rows, of_band[-1]]], "texts": texts}
        pooled += [*of_band, pool(f"all ({band})", of_band)]
        result["verdicts"].append(verdict(f"{engine.name}, {band}", of_band))
    print(f"\n{engine.name}")
    show(pooled)
    return result


def _plain(row: Row) -> dict[str, Any]:
    return {**asdict(row), "offline_wer": row.offline.wer, "streamed_wer": row.streamed.wer, "tax": row.tax}


if __name__ == "__main__":
    main()
