"""The built-in diarizer: windows of speech as embeddings, grouped anew with every segment.

What is older than `MOST_WINDOWS` windows is settled: its words keep their speakers, and of its voices only their sums
stay, so that a call of any length takes the same memory and time.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLES_PER_MS
from workers.asr.speakers import Heard, Labels
from workers.asr.speakers.clustering import centres_of, group, keep_numbers
from workers.asr.speakers.words import Span, reach, speakers_of

Floats = NDArray[np.float32]
Embed = Callable[[Sequence[Floats]], Floats]

WINDOW_MS: Final = 1600
STEP_MS: Final = 400
EDGE_MS: Final = 100
"""So much of what surrounds the speech belongs to its windows."""
CLEAR_MS: Final = 800
"""A shorter window says little about a voice ..."""
UNCLEAR: Final = 0.05
"""... and counts this share."""
MOST_WINDOWS: Final = 1500
"""Ten minutes of speech, 1.5 MB."""
PAST_MOST_S: Final = 120.0
"""What is settled counts like this much speech a speaker at most."""
SHORTEST_MS: Final = 100


@dataclass(slots=True, eq=False)
class _Segment:
    id: UUID
    words: tuple[Span, ...]
    reach: Floats
    embeddings: Floats
    weights: Floats
    numbers: NDArray[np.intp]
    """Of the windows, as they were grouped last."""


class VoiceDiarizer:
    """Opens tracks for one encoder."""

    name = "ge2e"

    def __init__(self, embed: Embed, *, most: int = 2) -> None:
        """`most`: the number of people that one track is taken to have, at most."""
        self._embed = embed
        self._most = most

    def follow(self, kept: bytes = b"") -> TrackVoices:
        """Begin with a track, or go on with one."""
        return TrackVoices(self._embed, most=self._most, kept=kept)


class TrackVoices:
    """The voices of one track."""

    def __init__(self, embed: Embed, *, most: int = 2, kept: bytes = b"") -> None:
        self._embed = embed
        self._most = most
        self._segments: deque[_Segment] = deque()
        self._past: dict[int, Floats] = _unpack(kept)
        """Speaker -> the sum of the settled windows, weighted by their seconds."""

    def hear(self, heard: Heard) -> Labels:
        """Take a segment in and group all windows anew; see `TrackDiarizer`."""
        segment = self._listen(heard)
        if segment is None:
            return {}
        self._segments.append(segment)
        self._settle()
        return self._regroup()

    def keep(self) -> bytes:
        """Return the voices as they are known now."""
        sums = dict(self._past)
        for segment in self._segments:
            _add(sums, segment)
        return _pack(sums)

    def _listen(self, heard: Heard) -> _Segment | None:
        first = max(heard.start_ms - EDGE_MS, heard.audio_ms)
        last = min(heard.end_ms + EDGE_MS, heard.audio_ms + heard.samples.size // SAMPLES_PER_MS)
        if last - first < SHORTEST_MS:
            return None
        windows = cut(first, last)
        size = (windows[0][1] - windows[0][0]) * SAMPLES_PER_MS
        starts = [(start - heard.audio_ms) * SAMPLES_PER_MS for start, _ in windows]
        embeddings = self._embed([heard.samples[start : start + size] for start in starts])
        length_ms = windows[0][1] - windows[0][0]
        # Windows overlap: each stands for its own step, or for all of a segment that is no longer than one.
        each_s = min(length_ms, STEP_MS) / 1000 if len(windows) > 1 else length_ms / 1000
        weight = each_s if length_ms >= CLEAR_MS else each_s * UNCLEAR
        words = heard.words or ((heard.start_ms, heard.end_ms),)
        return _Segment(
            heard.segment_id,
            words,
            reach(words, windows),
            embeddings,
            np.full(len(windows), weight, np.float32),
            np.full(len(windows), -1, np.intp),
        )

    def _settle(self) -> None:
        while len(self._segments) > 1 and sum(len(one.weights) for one in self._segments) > MOST_WINDOWS:
            _add(self._past, self._segments.popleft())

    def _regroup(self) -> Labels:
        known = sorted(self._past)
        anchors = [self._past[number] for number in known]
        points = np.concatenate([*(_unit(anchor)[None] for anchor in anchors), *(s.embeddings for s in self._segments)])
        mass = np.array([min(_seconds(anchor), PAST_MOST_S) for anchor in anchors], np.float32)
        weights = np.concatenate([mass, *(s.weights for s in self._segments)])
        earlier = np.concatenate([np.array(known, np.intp), *(s.numbers for s in self._segments)])
        numbers = keep_numbers(group(points, weights, self._most), earlier, weights)
        count = int(numbers.max()) + 1
        centres = centres_of(points, weights, numbers, count)
        present = np.isin(np.arange(count), numbers)
        labels: dict[UUID, tuple[int, ...]] = {}
        place = len(known)
        for segment in self._segments:
            segment.numbers = numbers[place : place + len(segment.weights)]
            place += len(segment.weights)
            likeness = np.where(present, segment.reach @ (segment.embeddings @ centres.T), -1.0)
            labels[segment.id] = speakers_of(segment.words, likeness)
        return labels


def cut(first_ms: int, last_ms: int) -> list[Span]:
    """Return windows of one length, about `STEP_MS` apart, that cover a stretch from end to end."""
    if last_ms - first_ms <= WINDOW_MS:
        return [(first_ms, last_ms)]
    room = last_ms - first_ms - WINDOW_MS
    count = -(-room // STEP_MS) + 1
    starts = [first_ms + room * number // (count - 1) for number in range(count)]
    return [(start, start + WINDOW_MS) for start in starts]


# A sum of unit vectors weighted by seconds, with the seconds behind it: 257 numbers.


def _add(sums: dict[int, Floats], segment: _Segment) -> None:
    for number in {int(number) for number in segment.numbers if number >= 0}:
        chosen = np.where(segment.numbers == number, segment.weights, np.float32(0))
        told = np.append(chosen @ segment.embeddings, chosen.sum()).astype(np.float32)
        sums[number] = sums[number] + told if number in sums else told


def _unit(anchor: Floats) -> Floats:
    vector = anchor[:-1]
    length = float(np.linalg.norm(vector))
    unit: Floats = vector / np.float32(length) if length > 0 else vector
    return unit


def _seconds(anchor: Floats) -> float:
    return float(anchor[-1])


def _pack(sums: dict[int, Floats]) -> bytes:
    if not sums:
        return b""
    file = io.BytesIO()
    numbers = sorted(sums)
    np.savez(file, numbers=np.array(numbers, np.int64), sums=np.stack([sums[number] for number in numbers]))
    return file.getvalue()


def _unpack(kept: bytes) -> dict[int, Floats]:
    if not kept:
        return {}
    with np.load(io.BytesIO(kept), allow_pickle=False) as told:
        return {int(number): row.astype(np.float32) for number, row in zip(told["numbers"], told["sums"], strict=True)}
