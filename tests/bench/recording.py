"""What a call's recording costs: `python -m tests.bench.recording [--minutes N] [--json FILE]`.

The sample call said over and over as two tracks: written chunk by chunk as the gateway writes them, then mixed and
encoded. CPU seconds of this process for each hour of call, and by how much its memory grew.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from infra.model import CHUNK_BYTES, CHUNK_MS, SAMPLE_RATE_HZ, Call, utc_now
from infra.settings import RecordingFormat
from infra.shelf import Shelf
from media_gateway.recording.finish import finish
from media_gateway.recording.take import Take, track_name
from tests.recordings import read
from tests.whole import ROOT

FORMATS: tuple[RecordingFormat, ...] = ("opus", "flac")


def record(shelf: Shelf, call: Call, minutes: float) -> float:
    """Write a call as it comes in; return the CPU seconds."""
    samples, _ = read(ROOT / "infra" / "sample" / "call.flac", SAMPLE_RATE_HZ)
    tracks = {track_name(side, 0): samples[:, index].tobytes() for index, side in enumerate(("left", "right"))}
    take, began_s = Take(shelf, call), time.process_time()
    for name, pcm in tracks.items():
        take.open_track(name)
        pieces = [pcm[at : at + CHUNK_BYTES] for at in range(0, len(pcm) - CHUNK_BYTES, CHUNK_BYTES)]
        for index in range(int(minutes * 60_000) // CHUNK_MS):
            take.write(name, index * CHUNK_MS, pieces[index % len(pieces)])
    take.end(int(minutes * 60_000))
    take.close()
    return time.process_time() - began_s


def measure(minutes: float) -> dict[str, dict[str, float]]:
    """Return the costs of an hour for each format."""
    hours, found = minutes / 60, {}
    for codec in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            shelf, call = Shelf(Path(folder)), Call(uuid4(), "bench", "bench", utc_now())
            writing_s = record(shelf, call, minutes)
            before_kb, began_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            done = finish(shelf, call.id, codec, int(minutes * 60_000), stopped=lambda: False)
            assert done is not None
            grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
            found[codec] = {
                "writing_s": writing_s / hours,
                "finishing_s": (time.process_time() - began_s) / hours,
                "megabytes": done.size_bytes / 1e6 / hours,
                "memory_mb": grown_kb / 1000,
            }
            done.release()
    return found


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(words)
    found = measure(arguments.minutes)
    print(f"{'an hour of call':<18}{'writing':>12}{'finishing':>12}{'size':>12}{'memory':>12}")
    for codec, cost in found.items():
        print(
            f"{codec:<18}{cost['writing_s']:>10.2f} s{cost['finishing_s']:>10.1f} s"
            f"{cost['megabytes']:>9.1f} MB{cost['memory_mb']:>9.1f} MB"
        )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
