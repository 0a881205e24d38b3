"""Who speaks when on one mono track: diarization error rate and words with the right speaker, beside baselines.

    python -m tests.bench.diarization [--only NAME] [--band clean|phone|both] [--most 2] [--json FILE]

Stereo calls are mixed down; each recording runs through segmenter, recogniser and diarizer as in the product, segment
by segment, and is judged by what is stored at its end. References: the data's own .rttm, or where there is none the
labelled text laid over the recogniser's words. `confusion` is time at the wrong person; misses and false alarms are
the segmenter's (and the reference's own idea of where speech ends). The count of speakers is not given to the
diarizer: it takes `--most` for granted unless two groups sound like one voice.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from tests.bench.speech import Track, decode, telephone
from workers.asr.engines import Engine, open_engine
from workers.asr.segmenter import Decode, Segmenter, policy_for
from workers.asr.speakers import Diarizer, Heard, clustering, roles
from workers.asr.speakers.opening import open_diarizer
from workers.asr.vad import SpeechDetector

FRAME_S: Final = 0.01
COLLAR_S: Final = 0.25
JOINED_S: Final = 0.5
"""Words of one speaker that are no further apart are one turn of the reference."""
SETS: Final = ("calls", "dialogues")
FEW: Final = 12
"""Restarts of the clustering in the baseline."""

Turns = Sequence[tuple[float, float, str]]
Hear = Callable[[NDArray[np.float32]], tuple[list[Heard], list[str]]]
Labels = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One recording as one track, and who is heard on it."""

    name: str
    people: int
    samples: NDArray[np.float32]
    turns: Turns | None
    """Seconds, speaker; None: only the text says who speaks."""
    said: Sequence[tuple[str, str]]
    """(word, speaker) of the labelled text, in order; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; rates are 0..1."""

    name: str
    band: str
    people: int
    found: int
    audio_s: float
    der: float
    confusion: float
    der_no_collar: float
    confusion_no_collar: float
    words: int
    right: float | None
    """Share of the words with the right speaker; None where no text says whose they are."""
    one_for_all: float
    alternating: float
    few_restarts: float
    """The baselines' confusion, with collar."""
    cpu: float
    """Core-seconds of the diarizer a second of audio."""


def recordings(data: Path, only: str | None) -> Iterator[Recording]:
    """Yield the recordings with more than one speaker, and two with one, whose speakers are known."""
    for folder in SETS:
        for path in sorted((data / folder).glob("*.json")):
            item = json.loads(path.read_text())
            turns = _read_rttm(path.with_suffix(".rttm"))
            said = _labelled_words(path.with_suffix(".txt"))
            if (turns is None and not said) or (only and only not in path.stem):
                continue
            audio = decode(path.parent / item["audio"])
            yield Recording(path.stem, item["speakers"], audio.mean(axis=0, dtype=np.float32), turns, said)


def _read_rttm(path: Path) -> Turns | None:
    if not path.is_file():
        return None
    fields = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    return [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in fields]


def _labelled_words(path: Path) -> Sequence[tuple[str, str]]:
    if not path.is_file():
        return []
    lines = [re.match(r"\[([^\]\s]+)[^\]]*\]\s*(.*)", line) for line in path.read_text().splitlines()]
    return [(_plain(word), line[1]) for line in lines if line for word in re.sub(r"\{[^}]*\}", "", line[2]).split()]


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9']", "", word.lower())


def listen(samples: NDArray[np.float32], engine: Engine) -> tuple[list[Heard], list[str]]:
    """Return the finals that the product would store, and all their words."""
    segmenter, finals, texts = Segmenter(SpeechDetector(), policy_for(engine.capabilities)), [], []
    for chunk in Track("", "en", samples, "").chunks():
        for action in segmenter.push(chunk):
            if isinstance(action, Decode) and action.kind == "final":
                heard = engine.transcribe(action.samples, language="en", final=True)
                if not heard.text:
                    continue
                words = tuple((action.audio_ms + w.start_ms, action.audio_ms + w.end_ms) for w in heard.words)
                finals.append(Heard(uuid4(), action.start_ms, action.end_ms, action.audio_ms, action.samples, words))
                texts += [word.w for word in heard.words]
    return finals, texts


def tell_apart(diarizer: Diarizer, finals: Sequence[Heard]) -> tuple[Labels, float]:
    """Return the speakers of each final's words as they stand at the end, and the CPU seconds spent."""
    began, track = time.process_time(), diarizer.follow()
    labels: dict[Any, tuple[int, ...]] = {}
    for heard in finals:
        labels.update(track.hear(heard))
    return [labels.get(heard.segment_id, (0,)) for heard in finals], time.process_time() - began


def stretches(finals: Sequence[Heard], labels: Labels) -> Turns:
    """Return who speaks when: a segment's speech is shared out in the middle between two words."""
    told: list[tuple[float, float, str]] = []
    for heard, numbers in zip(finals, labels, strict=True):
        words = heard.words or ((heard.start_ms, heard.end_ms),)
        cuts = [heard.start_ms, *((one[1] + two[0]) // 2 for one, two in pairwise(words))]
        cuts.append(heard.end_ms)
        each = numbers if len(numbers) == len(words) else numbers[:1] * len(words)
        told += [
            (first / 1000, last / 1000, str(number))
            for (first, last), number in zip(pairwise(cuts), each, strict=True)
            if last > first
        ]
    return told


def error_rate(wanted: Turns, got: Turns, collar_s: float) -> tuple[float, float]:
    """Return (diarization error rate, its share of confusion): frames of 10 ms, best assignment of speakers.

    Frames within `collar_s` of a border of the reference do not count; where two speak at once both are wanted.
    """
    length = int(max(end for _, end, _ in (*wanted, *got)) / FRAME_S) + 1
    reference, heard = _frames(wanted, length), _frames(got, length)
    counted = np.ones(length, bool)
    for start, end, _ in wanted if collar_s else ():
        for border in (start, end):
            counted[max(0, round((border - collar_s) / FRAME_S)) : round((border + collar_s) / FRAME_S)] = False
    reference, heard = reference[:, counted], heard[:, counted]
    size = max(len(reference), len(heard))
    shared = np.zeros((size, size))
    shared[: len(reference), : len(heard)] = reference.astype(int) @ heard.T.astype(int)
    best = max(sum(shared[row, column] for row, column in enumerate(order)) for order in permutations(range(size)))
    wanted_count, got_count = reference.sum(axis=0), heard.sum(axis=0)
    total = max(int(wanted_count.sum()), 1)
    confused = np.minimum(wanted_count, got_count).sum() - best
    return float((np.abs(wanted_count - got_count).sum() + confused) / total), float(confused / total)


def _frames(turns: Turns, length: int) -> NDArray[np.bool_]:
    names = sorted({name for _, _, name in turns})
    frames = np.zeros((len(names), length), bool)
    for start, end, name in turns:
        frames[names.index(name), round(start / FRAME_S) : round(end / FRAME_S)] = True
    return frames


def owners(said: Sequence[tuple[str, str]], words: Sequence[str]) -> list[str | None]:
    """Return who says each recognised word, by laying the labelled text over it; None where that cannot be told."""
    found: list[str | None] = [None] * len(words)
    matcher = SequenceMatcher(None, [word for word, _ in said], [_plain(word) for word in words], autojunk=False)
    for tag, first, last, at, until in matcher.get_opcodes():
        people = {speaker for _, speaker in said[first:last]}
        for place in range(at, until):
            if tag == "equal":
                found[place] = said[first + place - at][1]
            elif tag == "replace" and len(people) == 1:
                found[place] = next(iter(people))
    return found


def right_words(known: Sequence[str | None], numbers: Sequence[int]) -> tuple[int, float | None]:
    """Return how many words have an owner, and the share of them that is given to the right speaker."""
    pairs = Counter((owner, number) for owner, number in zip(known, numbers, strict=True) if owner is not None)
    total = sum(pairs.values())
    people, found = sorted({owner for owner, _ in pairs}), sorted({number for _, number in pairs})
    found += [-1 - place for place in range(len(people) - len(found))]
    orders = permutations(found, len(people))
    best = max((sum(pairs[pair] for pair in zip(people, order, strict=True)) for order in orders), default=0)
    return total, best / total if total else None


def measure(recording: Recording, band: str, diarizer: Diarizer, hear: Hear) -> Row | None:
    """Return one line; None where nothing is heard."""
    samples = telephone(recording.samples) if band == "phone" else recording.samples
    finals, words = hear(samples)
    timed = [heard for heard in finals if heard.words]
    known = owners(recording.said, words) if recording.said else [None] * len(words)
    turns = recording.turns if recording.turns is not None else _turns_of(timed, known)
    if not turns or not finals:
        return None
    labels, cpu_s = tell_apart(diarizer, finals)
    with patch.object(clustering, "RESTARTS", FEW):
        few, _ = tell_apart(diarizer, finals)
    guesses: list[Labels] = [
        [(0,) for _ in finals],
        [(place % 2,) for place, _ in enumerate(finals)],
        few,
    ]
    confusions = [error_rate(turns, stretches(finals, guess), COLLAR_S)[1] for guess in guesses]
    told = stretches(finals, labels)
    der, confusion = error_rate(turns, told, COLLAR_S)
    der_bare, confusion_bare = error_rate(turns, told, 0.0)
    numbers = [number for heard, each in zip(finals, labels, strict=True) if heard.words for number in each]
    count, right = right_words(known, numbers)
    audio_s = samples.size / SAMPLE_RATE_HZ
    found = len({number for each in labels for number in each})
    return Row(
        recording.name,
        band,
        recording.people,
        found,
        audio_s,
        der,
        confusion,
        der_bare,
        confusion_bare,
        count,
        right,
        *confusions,
        cpu_s / audio_s,
    )


def _turns_of(finals: Sequence[Heard], known: Sequence[str | None]) -> Turns:
    """Return the reference's turns by the times of the recogniser's words."""
    turns: list[tuple[float, float, str]] = []
    spans = [span for heard in finals for span in heard.words]
    for (start_ms, end_ms), owner in zip(spans, known, strict=True):
        if owner is None:
            continue
        start, end = start_ms / 1000, end_ms / 1000
        if turns and turns[-1][2] == owner and start - turns[-1][1] < JOINED_S:
            turns[-1] = (turns[-1][0], end, owner)
        else:
            turns.append((start, end, owner))
    return turns


def role_accuracy(data: Path) -> dict[str, dict[str, int]]:
    """Return how often both roles of a call with known speakers are right, unknown or wrong, after so many turns."""
    calls = []
    for path in sorted((data / "text-calls").glob("*/*.json")):
        turns = json.loads(path.read_text()).get("turns") or []
        for wording in ("human", "machine"):
            said = [
                (turn["role"], turn[wording])
                for turn in turns
                if turn.get("role") in {"agent", "customer"} and turn.get(wording)
            ]
            calls.append(said)
    texts = [*sorted((data / "calls").glob("*.txt")), *sorted((data / "text-calls" / "aws").glob("*.txt"))]
    calls += [re.findall(r"\[(agent|customer)[^\]]*\] (.+)", path.read_text()) for path in texts]
    result: dict[str, dict[str, int]] = {}
    for most in (2, 4, 8, 10_000):
        told: Counter[str] = Counter()
        for said in (call[:most] for call in calls if len({role for role, _ in call}) == 2):
            leans = {role: sum(roles.lean(text) for one, text in said if one == role) for role, _ in said}
            cast = roles.cast(leans)
            right = all(role == said_to_be for role, said_to_be in cast.items())
            told["unknown" if "unknown" in cast.values() else "right" if right else "wrong"] += 1
        result["all turns" if most > 1000 else f"{most} turns"] = dict(told)
    return result


def show(rows: Sequence[Row]) -> None:
    """Print the table; rates in per cent."""
    print(
        f"{'recording':26} {'band':5} {'people':>6} {'found':>5} {'DER':>6} {'conf.':>6} "
        f"{'DER, no collar':>14} {'conf.':>6} "
        f"{'words':>5} {'right':>7} | {'one':>5} {'altern.':>7} {f'{FEW} rest.':>8} | {'cpu':>6}"
    )
    for row in rows:
        right = "-" if row.right is None else f"{row.right:.1%}"
        print(
            f"{row.name[:26]:26} {row.band:5} {row.people:6} {row.found:5} {100 * row.der:6.1f} "
            f"{100 * row.confusion:6.1f} {100 * row.der_no_collar:14.1f} {100 * row.confusion_no_collar:6.1f} "
            f"{row.words:5} {right:>7} | {100 * row.one_for_all:5.1f} {100 * row.alternating:7.1f} "
            f"{100 * row.few_restarts:8.1f} | {row.cpu:6.4f}",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/hearline").expanduser())
    parser.add_argument("--only", help="part of a recording's name")
    parser.add_argument("--band", choices=["clean", "phone", "both"], default="both")
    parser.add_argument("--most", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    diarizer = open_diarizer("ge2e", most=args.most, data_dir=args.data_dir)
    assert diarizer is not None
    engine = open_engine("moonshine", "moonshine/base-en", "cpu", "en", data_dir=args.data_dir, threads=1)
    rows = []
    for recording in recordings(args.data, args.only):
        for band in ("clean", "phone") if args.band == "both" else (args.band,):
            row = measure(recording, band, diarizer, lambda samples: listen(samples, engine))
            if row is not None:
                rows.append(row)
    report(rows, role_accuracy(args.data), args.json)


def report(rows: Sequence[Row], cast: dict[str, dict[str, int]], file: Path | None) -> None:
    """Print everything; write it as JSON too."""
    show(rows)
    audio_s = sum(row.audio_s for row in rows)
    cpu_s = sum(row.cpu * row.audio_s for row in rows)
    print(f"\nthe diarizer: {cpu_s / max(audio_s, 1e-9):.4f} core-s a second of audio")
    print("\nroles by the words of labelled calls (both of a call right, unknown, wrong):")
    for after, told in cast.items():
        print(f"  after {after}: " + ", ".join(f"{told.get(name, 0)} {name}" for name in ("right", "unknown", "wrong")))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"rows": [asdict(row) for row in rows], "roles": cast}, indent=1) + "\n")


if __name__ == "__main__":
    main()
