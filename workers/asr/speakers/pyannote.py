"""pyannote.audio as the diarizer: `pip install 'hearline[pyannote]'`, and a pipeline's folder on this machine.

It hears the last minutes of the track anew with every segment, which wants a GPU. Nothing is fetched and nobody is
told of its use.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from workers.asr.speakers import DiarizerUnusableError, Heard, Labels
from workers.asr.speakers.clustering import keep_numbers

Turns = Sequence[tuple[float, float, str]]
"""Seconds, and the pipeline's own name for who speaks then."""
Pipeline = Callable[[NDArray[np.float32]], Turns]

HEARD_MOST_S: Final = 300.0
PAUSE_MS: Final = 500
"""Silence between two segments as the pipeline hears them."""


class Pyannote:
    """Opens tracks for one pipeline."""

    name = "pyannote"

    def __init__(self, folder: Path, *, most: int = 2) -> None:
        """Load it. Raises DiarizerUnusableError where the package or the pipeline is missing."""
        self._pipeline = _load(folder, most)

    def follow(self, kept: bytes = b"") -> PyannoteTrack:
        """Begin with a track. What an earlier worker kept is another diarizer's."""
        del kept
        return PyannoteTrack(self._pipeline)


class PyannoteTrack:
    """The last minutes of one track."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._heard: deque[Heard] = deque()
        self._labels: dict[Any, tuple[int, ...]] = {}

    def hear(self, heard: Heard) -> Labels:
        """See `TrackDiarizer`."""
        self._heard.append(heard)
        while len(self._heard) > 1 and sum(each.samples.size for each in self._heard) > HEARD_MOST_S * SAMPLE_RATE_HZ:
            self._labels.pop(self._heard.popleft().segment_id, None)
        sound, starts_ms = _joined(self._heard)
        turns = self._pipeline(sound)
        names = sorted({name for _, _, name in turns})
        found, weights, earlier = [], [], []
        for each, at_ms in zip(self._heard, starts_ms, strict=True):
            words = each.words or ((each.start_ms, each.end_ms),)
            known = self._labels.get(each.segment_id, (-1,) * len(words))
            for (start_ms, end_ms), number in zip(words, known, strict=True):
                found.append(_who(turns, names, start_ms - each.audio_ms + at_ms, end_ms - each.audio_ms + at_ms))
                weights.append(max(end_ms - start_ms, 1) / 1000)
                earlier.append(number)
        numbers = keep_numbers(np.array(found, np.intp), np.array(earlier, np.intp), np.array(weights, np.float32))
        place = 0
        for each in self._heard:
            count = max(len(each.words), 1)
            self._labels[each.segment_id] = tuple(int(number) for number in numbers[place : place + count])
            place += count
        return dict(self._labels)

    def keep(self) -> bytes:
        """Nothing: its voices cannot be taken out of it."""
        return b""


def _joined(heard: Sequence[Heard]) -> tuple[NDArray[np.float32], list[int]]:
    """Return all segments one after the other, and where each begins, in milliseconds."""
    pieces: list[NDArray[np.float32]] = []
    starts_ms, length = [], 0
    for each in heard:
        starts_ms.append(length // SAMPLES_PER_MS)
        pieces += [each.samples, np.zeros(PAUSE_MS * SAMPLES_PER_MS, np.float32)]
        length += each.samples.size + PAUSE_MS * SAMPLES_PER_MS
    return np.concatenate(pieces), starts_ms


def _who(turns: Turns, names: Sequence[str], start_ms: int, end_ms: int) -> int:
    """Return the place of whoever speaks most of a stretch, or nearest to it where nobody does."""
    if not turns:
        return 0

    def fits(turn: tuple[float, float, str]) -> float:
        first, last, _ = turn
        return min(last * 1000, end_ms) - max(first * 1000, start_ms)

    return names.index(max(turns, key=fits)[2])


def _load(folder: Path, most: int) -> Pipeline:
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # noqa: TID251  (set, not read: before it is imported, or it reports)
    os.environ["HF_HUB_OFFLINE"] = "1"  # noqa: TID251  (the same: what is missing is not fetched)
    try:
        import torch
        from pyannote.audio import Pipeline as Published
    except ImportError as error:
        raise DiarizerUnusableError("DIARIZER=pyannote needs `pip install 'hearline[pyannote]'`") from error
    try:
        pipeline = Published.from_pretrained(str(folder))
    except Exception as error:
        raise DiarizerUnusableError(f"{folder} holds no pipeline that can be loaded: {type(error).__name__}") from error
    if pipeline is None:
        raise DiarizerUnusableError(f"{folder} holds no pipeline")
    if torch.cuda.is_available():
        pipeline.to(torch.device("cuda"))

    def run(samples: NDArray[np.float32]) -> Turns:
        told = pipeline({"waveform": torch.from_numpy(samples)[None], "sample_rate": SAMPLE_RATE_HZ}, max_speakers=most)
        spoken = getattr(told, "speaker_diarization", told)
        return [(turn.start, turn.end, str(name)) for turn, _, name in spoken.itertracks(yield_label=True)]

    return run
