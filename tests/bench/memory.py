"""Does a recogniser's memory stay flat? An hour of speech in pieces of every length goes through it.

    python -m tests.bench.memory [--minutes 60] [--engine auto] [--model auto] [--json FILE]

The pieces are cut at random (seeded) from the recordings, 0.3 s to the engine's longest, partials and finals mixed
as in a call. Resident memory is read from /proc after each tenth of the way; after the first tenth it should not grow.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from pathlib import Path

import numpy as np

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from tests.bench.speech import load_set
from workers.asr.engines import open_engine

SHORTEST_MS = 300


def resident_mb() -> float:
    """Return this process's resident memory in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio, partials counted too")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/hearline").expanduser())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    speech = np.concatenate([track.samples for track in load_set(args.data, "read", language="en")])
    engine = open_engine(args.engine, args.model, "cpu", "en", data_dir=args.data_dir, threads=args.threads)
    engine.warm_up()
    random = np.random.default_rng(0)
    marks: list[dict[str, float]] = []
    heard_s, pieces, lengths, began = 0.0, 0, set(), time.process_time()
    print(f"{engine.name}: {resident_mb():.0f} MB with the model and {speech.size / SAMPLE_RATE_HZ:.0f} s of speech")
    while heard_s < args.minutes * 60:
        size = int(random.integers(SHORTEST_MS, engine.capabilities.longest_ms)) * SAMPLES_PER_MS + int(
            random.integers(SAMPLES_PER_MS)
        )
        start = int(random.integers(speech.size - size))
        piece = speech[start : start + size]
        partial = engine.transcribe(piece[: size // 2], language="en", final=False)
        engine.transcribe(piece, language="en", final=True, earlier=partial)
        heard_s += 1.5 * size / SAMPLE_RATE_HZ
        pieces += 1
        lengths.add(size)
        if heard_s >= args.minutes * 6 * (len(marks) + 1):
            gc.collect()
            marks.append({"minutes": heard_s / 60, "rss_mb": resident_mb(), "cpu_s": time.process_time() - began})
            print(
                f"{marks[-1]['minutes']:6.1f} min of audio, {pieces:5} pieces: {marks[-1]['rss_mb']:7.1f} MB",
                flush=True,
            )
    growth = marks[-1]["rss_mb"] - marks[0]["rss_mb"]
    print(f"{growth:+.1f} MB from the first tenth to the last, {len(lengths)} different lengths")
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        result = {"engine": engine.name, "growth_mb": growth, "lengths": len(lengths), "marks": marks}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
