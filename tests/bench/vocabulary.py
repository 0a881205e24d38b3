"""What a vocabulary does: phrases found with and without, phrases invented, word errors, CPU. Telephone band.

    python -m tests.bench.vocabulary [--engine moonshine] [--model auto] [--phrases 0 100 1000] [--json FILE]

Two kinds of audio: sentences with a product, a person or a place (tests/bench/names, a synthetic voice), and recorded
calls and read sentences, where the phrases are the rare words of their references (`rare_words`). A vocabulary holds
the phrases of all items of a kind, filled up to its size with some that nobody says in any. The constants of
workers/asr/engines/biasing.py were chosen on the even sentences; the odd ones were held out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

from infra.model import SAMPLES_PER_MS
from infra.settings import read_settings
from tests.bench.score import Score, normalise, score
from tests.bench.speech import Track, decode, load_set, telephone
from tests.bench.wer import offline_pieces
from workers.asr.engines import Engine, open_engine
from workers.asr.engines.moonshine import DEFAULT_MODEL, read_tokens
from workers.asr.engines.moonshine_graphs import TOKENS
from workers.asr.engines.pieces import Pieces
from workers.asr.models import resolve
from workers.asr.vocabulary import Vocabulary, in_display_form

NAMES: Final = Path(__file__).parent / "names"
SIZES: Final = (0, 100, 1000)
RARE_PIECES: Final = 3
"""A word that a table of 32,000 pieces, made of text by frequency, holds only in so many parts is rare."""

_GIVEN: Final = """
Adaeze Alistair Anouk Bartosz Beatriz Callum Chiara Dagny Eamonn Esperanza Fionn Freya Giorgos Hamid Imogen Ingrid
Joaquin Katarzyna Lars Leocadia Magnus Nadia Oluwaseun Paolo Quentin Rashida Sanjay Tamsin Ulrich Vasilis Winifred
Xiomara Yusuf Zainab
""".split()
_FAMILY: Final = """
Abernathy Bianchi Castellanos Dimitriou Eklund Fitzgerald Grabowski Hashimoto Iyer Jankovic Kaczmarek Lindqvist Moreau
Nakamura Okonkwo Petrov Quintero Rasmussen Szymanski Takahashi Underwood Vandermeer Whitcombe Yilmaz Zielinski
""".split()
_HEADS: Final = """
Aero Arc Blue Bright Care Clear Data Deep Ever Fast First Gold Green Home Insta Juno Key Life Luma Med Nova Path Pulse
Quick Safe Sky Solar Spark Sure Swift True Ultra Vita Volt Zen
""".split()
_TAILS: Final = """
Beam Bond Box Cast Core Desk Dock Field Flow Force Gate Guard Hub Lane Line Link Loop Mart Mind Nest Point Port Ridge
Shield Stack Track Trust View Wave Well
""".split()


@dataclass(frozen=True, slots=True)
class Item:
    """A track with the phrases that are said in it."""

    track: Track
    phrases: tuple[str, ...]


@dataclass(slots=True)
class Row:
    """One line of the table."""

    kind: str
    half: str
    size: int
    said: int = 0
    """How often a phrase of the vocabulary is said."""
    found: int = 0
    invented: list[str] = field(default_factory=list)
    """Those that are written where they are neither said nor written without a vocabulary, and in which item."""
    score: Score = field(default_factory=Score)
    audio_s: float = 0.0
    cpu_s: float = 0.0


def fillers(count: int, taken: Sequence[str]) -> list[str]:
    """Return made-up phrases, the same each time: agents' names, first names, last names and products."""
    rng = random.Random(4)
    people = [f"{given} {family}" for given, family in product(_GIVEN, _FAMILY)]
    products = ["".join(parts) for parts in product(_HEADS, _TAILS)]
    rng.shuffle(people)
    rng.shuffle(products)
    mixed = [*_FAMILY, *_GIVEN, *(phrase for pair in zip(people, products, strict=False) for phrase in pair)]
    known = {_plain(phrase) for phrase in taken}
    return [phrase for phrase in mixed if _plain(phrase) not in known][:count]


def names() -> list[Item]:
    """Return the sentences of tests/bench/names."""
    (samples,) = decode(NAMES / "names.ogg")
    items = []
    for number, line in enumerate((NAMES / "names.txt").read_text().splitlines()):
        start, end, phrase, sentence = line.split("|")
        piece = samples[int(start) * SAMPLES_PER_MS : (int(end) + 300) * SAMPLES_PER_MS]
        items.append(Item(Track(f"names-{number:02d}", "en", telephone(piece), sentence), (phrase,)))
    return items


def recordings(data: Path, pieces: Pieces) -> list[Item]:
    """Return the calls and the read sentences, the phrases being their rare words."""
    tracks = [track for name in ("calls", "read") for track in load_set(data, name, phone=True)]
    return [Item(track, tuple(rare_words(track.reference, pieces))) for track in tracks]


def rare_words(reference: str, pieces: Pieces) -> Iterator[str]:
    """Yield each rare word of a text once: six letters or more, in no case a word or two of the table."""
    for word in dict.fromkeys(re.findall(r"[^\W\d_]{6,}", reference)):
        spelt = (word.lower(), word.capitalize())
        if all(len(pieces.encode(spelling)) >= RARE_PIECES for spelling in spelt):
            yield word.capitalize() if word.isupper() else word


def measure(
    engine: Engine, kind: str, items: Sequence[Item], vocabulary: Vocabulary, plain: dict[str, str]
) -> list[Row]:
    """Hear all items with a vocabulary; `plain` are their texts without, and is filled where there is none."""
    halves = [Row(kind, half, len(vocabulary)) for half in ("chosen on", "held out")]
    for number, item in enumerate(items):
        row, track = halves[number % 2], item.track
        began_s = time.process_time()
        texts = [
            engine.transcribe(track.samples[start:end], language="en", final=True, vocabulary=vocabulary).text
            for start, end in offline_pieces(track, pause_ms=600, pad_ms=200, longest_ms=engine.capabilities.longest_ms)
        ]
        row.cpu_s += time.process_time() - began_s
        row.audio_s += track.duration_s
        text = " ".join(filter(None, texts))
        shown, _ = in_display_form(text, (), vocabulary)
        before, _ = in_display_form(plain.setdefault(track.name, text), (), vocabulary)
        row.score += score(_spoken(track.reference), _spoken(shown))
        said = _spoken(track.reference)
        for phrase in item.phrases:
            row.said += 1
            row.found += min(_times(phrase, shown), 1)
        for phrase in vocabulary:
            if _times(phrase, shown) > max(_times(phrase, said), _times(phrase, before)):
                row.invented.append(f"{phrase} ({track.name})")
    return halves


def _spoken(text: str) -> str:
    """Return a text with the parts of product names as words of their own: HealthHarbor is no error for two words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)


def _times(phrase: str, text: str) -> int:
    return _padded(text).count(_padded(phrase)) if _plain(phrase) in _plain(text) else 0


def _padded(text: str) -> str:
    return f" {' '.join(normalise(_spoken(text)))} "


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text; CPU is that of the same audio without a vocabulary times so much."""
    base = {(row.kind, row.half): row.cpu_s for row in rows if row.size == 0 and row.cpu_s}
    lines = [f"{'audio':22} {'half':9} {'phrases':>7} {'found':>14} {'invented':>8} {'WER %':>6} {'CPU x':>6}"]
    for row in rows:
        found = f"{row.found}/{row.said} {row.found / row.said:4.0%}" if row.said else "-"
        ratio = row.cpu_s / base[row.kind, row.half] if (row.kind, row.half) in base else 1.0
        told = f"{row.kind:22} {row.half:9} {row.size:7} {found:>14} {len(row.invented):8}"
        lines.append(f"{told} {100 * row.score.wer:6.2f} {ratio:6.2f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--engine", default="moonshine")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--phrases", type=int, nargs="*", default=SIZES)
    parser.add_argument("--kind", choices=("names", "recordings"), nargs="*", default=["names", "recordings"])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    data_dir = read_settings().hearline_data_dir
    engine = open_engine(chosen.engine, chosen.model, "cpu", "en", data_dir=data_dir, threads=1)
    engine.warm_up()
    rows: list[Row] = []
    spoken = names()
    if "names" in chosen.kind:
        said = [phrase for item in spoken for phrase in item.phrases]
        rows += _measured(engine, "names", spoken, said, chosen.phrases)
    if "recordings" in chosen.kind:
        pieces = Pieces(read_tokens((resolve(DEFAULT_MODEL, data_dir) / TOKENS).read_bytes()))
        recorded = recordings(chosen.data, pieces)
        counted = Counter(phrase for item in recorded for phrase in item.phrases)
        said = [*counted, *(phrase for item in spoken for phrase in item.phrases)]
        rows += _measured(engine, "recordings", recorded, said, chosen.phrases)
    print(engine.name)
    print(table(rows))
    engine.close()
    if chosen.json:
        chosen.json.write_text(json.dumps({"engine": engine.name, "rows": [_as_json(row) for row in rows]}, indent=2))


def _measured(engine: Engine, kind: str, items: Sequence[Item], own: Sequence[str], sizes: Sequence[int]) -> list[Row]:
    plain: dict[str, str] = {}
    rows = []
    for size in sizes:
        vocabulary = (*own, *fillers(size, own))[:size]
        rows += measure(engine, kind, items, tuple(vocabulary), plain)
    return rows


def _as_json(row: Row) -> dict[str, Any]:
    return {**asdict(row), "wer": row.score.wer}


if __name__ == "__main__":
    main()
