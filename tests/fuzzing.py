"""Bounded runs of atheris on the parsers of the wire: bytes in, and nothing but what a parser may raise.

`fuzz("tests.unit.test_dialects:fuzz_telnyx", seeds)` runs a function of one bytes argument in a process of its own,
with coverage of the code below media_gateway.protocols.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from tests.conftest import missing

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 120
MEMORY_BYTES = 4 << 30


def fuzz(target: str, seeds: Iterable[bytes], *, runs: int = 20_000, max_len: int = 4_096) -> None:
    """Run a target on `runs` inputs grown from the seeds; an input that breaks it fails the test, and is shown."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        missing("needs atheris")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.fuzzing",
                target,
                str(corpus),
                f"-runs={runs}",
                f"-max_len={max_len}",
                "-seed=1",
                "-timeout=10",
                "-rss_limit_mb=0",  # it would count the peak of the tests' own process, which a child inherits
                f"-artifact_prefix={folder}/",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        broken = [path.read_bytes() for path in Path(folder).iterdir() if path.is_file()]
    assert done.returncode == 0, f"{broken}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def main() -> None:
    """Instrument the parsers, import the target, run it."""
    import atheris

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    module, _, name = sys.argv.pop(1).partition(":")
    with atheris.instrument_imports(include=["media_gateway.protocols"]):
        target = getattr(import_module(module), name)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
