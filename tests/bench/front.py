"""What stands before the recogniser, by word error rate: resampler, gain, pads.

    python -m tests.bench.front [--set calls] [--limit 10] [--model moonshine/base-en] [--json FILE]

The data's audio is sent over a telephone line (8 kHz, 300-3,400 Hz, G.711) and brought back to 16 kHz in several ways.
The pieces are cut once, offline, on the product's own path, so that nothing but the front end differs. Gain is applied
to each piece, with knowledge of all of it, except `levelled`, which follows the voice as a live gain control would. A
difference is worth something where it is larger than its error (bootstrap over tracks, 90 %).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from infra.settings import read_settings
from media_gateway.audio import MULAW, encode
from media_gateway.codecs import MulawDecoder
from tests.bench.score import Score, score
from tests.bench.speech import PHONE_RATE_HZ, Track, load_set, telephone
from tests.bench.wer import OFFLINE_PAD_MS, OFFLINE_PAUSE_MS, SETS, offline_pieces
from workers.asr.engines import Engine, open_engine

Samples = NDArray[np.float32]
Pieces = list[tuple[int, int]]

SPEECH_DBFS: Final = -23.0
FASTEST_DB_PER_S: Final = 20.0
MOST_GAIN_DB: Final = 24.0
PADS_MS: Final = (0, 100, 200, 300, 400, 600)
SAMPLES_PER_WORST: Final = 400
"""Draws of the bootstrap."""


def with_product(codes: bytes) -> Samples:
    return MulawDecoder().decode(codes).astype(np.float32) / 32768


def with_soxr(codes: bytes, *, quality: str) -> Samples:
    narrow = MULAW.take(np.frombuffer(codes, np.uint8)).astype(np.float32) / 32768
    return np.asarray(soxr.resample(narrow, PHONE_RATE_HZ, SAMPLE_RATE_HZ, quality=quality), np.float32)


def linear(codes: bytes) -> Samples:
    narrow = MULAW.take(np.frombuffer(codes, np.uint8)).astype(np.float32) / 32768
    return np.interp(np.arange(2 * narrow.size) / 2, np.arange(narrow.size), narrow).astype(np.float32)


def repeated(codes: bytes) -> Samples:
    return np.repeat(MULAW.take(np.frombuffer(codes, np.uint8)).astype(np.float32) / 32768, 2)


def unchanged(piece: Samples) -> Samples:
    return piece


def to_peak(piece: Samples, *, peak: float = 0.9) -> Samples:
    return piece * np.float32(peak / max(float(np.abs(piece).max()), 1e-4))


def to_rms(piece: Samples, *, dbfs: float) -> Samples:
    level = float(np.sqrt((piece**2).mean()))
    return np.clip(piece * np.float32(10 ** (dbfs / 20) / max(level, 1e-4)), -1, 1)


def levelled(piece: Samples) -> Samples:
    """Follow the level of the voice in 20 ms, up slowly, down at once, as a live gain control does."""
    frames = piece[: piece.size // 320 * 320].reshape(-1, 320)
    gain_db, gains = 0.0, []
    for level in np.sqrt((frames**2).mean(axis=1)):
        wanted_db = float(np.clip(SPEECH_DBFS - 20 * np.log10(max(level, 1e-4)), -MOST_GAIN_DB, MOST_GAIN_DB))
        if level > 0.003:  # between words the gain stays
            gain_db = min(wanted_db, gain_db + FASTEST_DB_PER_S * 0.02)
        gains.append(10 ** (gain_db / 20))
    at = np.arange(piece.size) / 320
    smooth = np.interp(at, np.arange(len(gains)) + 0.5, gains) if gains else np.ones(piece.size)
    return np.clip(piece * smooth, -1, 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Front:
    """One way from the line to the recogniser."""

    kind: str
    name: str
    resample: Callable[[bytes], Samples] = with_product
    gain: Callable[[Samples], Samples] = unchanged
    pad_ms: int = OFFLINE_PAD_MS


FRONTS: Final = (
    Front("as it is", "FIR of 48 taps, no gain, 300 ms"),
    Front("resampler", "soxr VHQ", resample=partial(with_soxr, quality="VHQ")),
    Front("resampler", "soxr quick", resample=partial(with_soxr, quality="QQ")),
    Front("resampler", "linear", resample=linear),
    Front("resampler", "each sample twice", resample=repeated),
    Front("gain", "peak 0.9", gain=to_peak),
    Front("gain", "RMS -23 dB", gain=partial(to_rms, dbfs=-23)),
    Front("gain", "RMS -30 dB", gain=partial(to_rms, dbfs=-30)),
    Front("gain", "levelled", gain=levelled),
    *(Front("pad", f"{pad} ms", pad_ms=pad) for pad in PADS_MS if pad != OFFLINE_PAD_MS),
)


def over_the_line(track: Track) -> bytes:
    """Return the track's mu-law codes, as a telephone network would deliver them."""
    narrow = soxr.resample(telephone(track.samples), SAMPLE_RATE_HZ, PHONE_RATE_HZ)
    return bytes(encode(np.clip(np.rint(narrow * 32768), -32768, 32767).astype(np.int16)))


def heard(track: Track, front: Front, codes: bytes, pieces: Pieces, engine: Engine) -> Score:
    """Recognise the pieces of a track behind a front end."""
    samples = front.resample(codes)
    texts = [engine.transcribe(front.gain(samples[start:end]), language="en", final=True).text for start, end in pieces]
    return score(track.reference, " ".join(filter(None, texts)))


def measure(
    tracks: list[Track], engine: Engine, fronts: tuple[Front, ...]
) -> Iterator[tuple[Front, list[Score], float]]:
    """Yield each front end with the score of each track and its CPU seconds."""
    lines = [(track, over_the_line(track)) for track in tracks]
    cut: dict[int, list[Pieces]] = {}
    for front in fronts:
        if front.pad_ms not in cut:
            cut[front.pad_ms] = [
                offline_pieces(
                    Track(track.name, "en", with_product(codes), ""),
                    pause_ms=OFFLINE_PAUSE_MS,
                    pad_ms=front.pad_ms,
                    longest_ms=engine.capabilities.longest_ms,
                )
                for track, codes in lines
            ]
        began = time.process_time()
        scores = [
            heard(track, front, codes, pieces, engine)
            for (track, codes), pieces in zip(lines, cut[front.pad_ms], strict=True)
        ]
        yield front, scores, time.process_time() - began


def spread(scores: list[Score], against: list[Score]) -> tuple[float, float]:
    """Return the 5th and 95th percentile of the difference in word error rate, by drawing tracks anew."""
    random = np.random.default_rng(0)
    errors = np.array([each.errors for each in scores]) - np.array([each.errors for each in against])
    words = np.array([each.words for each in scores])
    drawn = random.integers(0, len(scores), (SAMPLES_PER_WORST, len(scores)))
    differences = errors[drawn].sum(axis=1) / words[drawn].sum(axis=1)
    return float(np.quantile(differences, 0.05)), float(np.quantile(differences, 0.95))


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=SETS, help="default: all")
    parser.add_argument("--only", default="", help="part of a front end's kind; what stands now is always measured")
    parser.add_argument("--limit", type=int, help="every so manieth track")
    parser.add_argument("--model", default="moonshine/base-en")
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    engine = open_engine("auto", args.model, "cpu", "en", data_dir=read_settings().hearline_data_dir, threads=1)
    engine.warm_up()
    tracks = [track for name in args.set or SETS for track in load_set(args.data, name)][:: args.limit or 1]
    minutes = sum(track.duration_s for track in tracks) / 60
    print(f"{engine.name}, {len(tracks)} tracks, {minutes:.1f} minutes, over the telephone")
    print(f"{'what':10} {'how':32} {'WER':>7} {'against now':>12} {'90 %':>18} {'cpu':>6}")
    rows: list[dict[str, Any]] = []
    now: list[Score] = []
    fronts = tuple(front for front in FRONTS if front is FRONTS[0] or args.only in front.kind)
    for front, scores, cpu_s in measure(tracks, engine, fronts):
        now = now or scores
        total, low_high = sum(scores, Score()), spread(scores, now)
        change = total.wer - sum(now, Score()).wer
        print(
            f"{front.kind:10} {front.name:32} {total.wer:7.2%} {change:+12.2%} "
            f"{low_high[0]:+8.2%} .. {low_high[1]:+.2%} {cpu_s / minutes / 60:6.3f}",
            flush=True,
        )
        rows.append({"kind": front.kind, "name": front.name, "wer": total.wer, "change": change, "spread": low_high})
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"engine": engine.name, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
