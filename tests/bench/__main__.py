"""`make bench [NAME ...]`: run the named benchmarks, or all of them; tables on stdout, JSON under build/bench/."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

OUT: Final = Path(__file__).resolve().parents[2] / "build" / "bench"

# Name -> module whose `main(arguments)` prints a table and writes the JSON file it is given with --json.
BENCHES: Final = {
    "calls": "tests.bench.calls",
    "asr": "tests.bench.asr",
    "wer": "tests.bench.wer",
    "memory": "tests.bench.memory",
    "insights": "tests.bench.insights",
    "gateway": "tests.bench.gateway",
    "bridge": "tests.bench.bridge",
    "recording": "tests.bench.recording",
    "import": "tests.bench.importing",
    "webrtc": "tests.bench.webrtc",
    "rtp": "tests.bench.rtp",
    "overload": "tests.bench.overload",
    "vocabulary": "tests.bench.vocabulary",
    "diarization": "tests.bench.diarization",
    "silence": "tests.bench.silence",
    "front": "tests.bench.front",
    "languages": "tests.bench.languages",
    "capacity": "tests.bench.capacity",
    "sip": "tests.bench.sip",
}


def main() -> int:
    """Run what the command line names. Returns the exit code."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no benchmark is called {unknown[0]!r}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(f"\n== {name}", flush=True)
        importlib.import_module(BENCHES[name]).main(["--json", str(OUT / f"{name}.json")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
