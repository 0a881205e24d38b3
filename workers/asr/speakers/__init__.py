"""Who says what on a track that several people share.

`Diarizer` is the border: one small protocol, behind it the built-in one (`voices`, GE2E embeddings) and pyannote.audio.
`assignment.SpeakerService` is what the worker uses: it stores what comes of it and tells the screens. docs/speakers.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Labels = Mapping[UUID, tuple[int, ...]]
"""Segment -> a speaker's number for each of its words; for one without words a single number."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A final segment as a diarizer gets it. Times are milliseconds on the call's clock."""

    segment_id: UUID
    start_ms: int
    end_ms: int
    """First and last speech."""
    audio_ms: int
    """Where `samples` begins."""
    samples: NDArray[np.float32]
    """Shape (n,), 16 kHz mono, -1..1."""
    words: tuple[tuple[int, int], ...]
    """Start and end of each word; empty where the recogniser tells no times."""


class TrackDiarizer(Protocol):
    """Follows one track. Blocks; one call at a time, from any thread."""

    def hear(self, heard: Heard) -> Labels:
        """Take the next segment in; return the labels of every segment that may read differently now.

        A number means the same person for as long as the track lasts.
        """
        ...

    def keep(self) -> bytes:
        """Return what another worker needs to go on with the same numbers; empty: nothing helps."""
        ...


class Diarizer(Protocol):
    """A way of telling voices apart, loaded once for all tracks."""

    @property
    def name(self) -> str:
        """As the log and the dashboard show it."""
        ...

    def follow(self, kept: bytes = b"") -> TrackDiarizer:
        """Begin with a track, or go on with one from what an earlier worker kept."""
        ...


class DiarizerUnusableError(ValueError):
    """The settings ask for a diarizer that cannot work here; the message says what to do."""


MOST_SPEAKERS: Final = 4


def speaker_name(number: int) -> str:
    """Return how a speaker is called on screens and in the database."""
    return f"SPEAKER_{number:02d}"
