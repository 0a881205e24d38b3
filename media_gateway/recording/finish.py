"""From a call's takes to its finished recording: on a thread, once, whichever gateway does it.

A recording that was finished already takes part again when its call has come back. The file names the takes that it
holds: a gateway that is killed between the file's completion and the takes' removal does not mix them in twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from infra.settings import RecordingFormat
from infra.shelf import DIR_MODE, FILE_MODE, Shelf, peaks_path
from media_gateway.recording.file import (
    Encoder,
    FileSource,
    PeakMeter,
    Peaks,
    Source,
    TrackSource,
    length_ms,
    mixed,
    read_tags,
)
from media_gateway.recording.take import LONGEST_MS, FoundTake, claim, pauses_of

_TAKES: Final = "HEARLINE_TAKES"
_DURATION: Final = "HEARLINE_DURATION_MS"


class NothingRecorded(Exception):
    """The call's takes hold no audio; they are gone."""


class Abandoned(Exception):
    """The process is about to stop: the next one finishes the recording."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished recording, and the takes that can go once that is stored."""

    call_id: UUID
    tenant_id: UUID
    started_at: datetime
    name: str
    """infra.shelf.Shelf.name"""
    codec: RecordingFormat
    size_bytes: int
    duration_ms: int
    takes: tuple[FoundTake, ...]

    def release(self) -> None:
        """Leave the takes to whoever finishes the recording again."""
        for take in self.takes:
            take.release()

    def remove_takes(self) -> None:
        """Remove the takes: the recording is stored. Raises OSError."""
        try:
            _remove(self.takes)
        finally:
            self.release()


def finish(
    shelf: Shelf, call_id: UUID, codec: RecordingFormat, duration_ms: int, *, stopped: Callable[[], bool]
) -> Finished | None:
    """Write a call's recording from all of its takes, at least `duration_ms` long; None when there are none.

    Raises:
        TakenError: a living gateway is still at it.
        NothingRecorded: there was no audio.
        Abandoned: `stopped` said so.
        OSError, av.FFmpegError: it could not be written; the takes stay.
    """
    takes = claim(shelf, call_id)
    try:
        return _Finishing(shelf, takes, codec, duration_ms).finished(stopped) if takes else None
    except BaseException:
        for take in takes:
            take.release()
        raise


class _Finishing:
    """What is known of a recording on its way from takes to file."""

    def __init__(self, shelf: Shelf, takes: list[FoundTake], codec: RecordingFormat, duration_ms: int) -> None:
        """Look at what there is. A call that comes back goes on in the codec that it has."""
        self._shelf = shelf
        self._takes = takes
        self._call_id = takes[0].about.call_id
        self._zero = zero = min(take.about.started_at for take in takes)
        self._earlier = shelf.finished(self._call_id, zero)
        tags = read_tags(self._earlier) if self._earlier else {}
        held = tags.get(_TAKES, "").split(",")
        self._new = new = [take for take in takes if take.path.name not in held]
        self._tracks = [(take.zero_ms(zero), side, path) for take in new for side, path in take.tracks()]
        ends_ms = [int(tags.get(_DURATION, 0))]
        if self._tracks or not self._earlier:
            ends_ms.append(duration_ms)
            ends_ms += [act.at_ms + take.zero_ms(zero) for take in new for act in take.acts if act.what == "ended"]
            ends_ms += [length_ms(path) + zero_ms for zero_ms, _, path in self._tracks]
        self._duration_ms = min(max(ends_ms), LONGEST_MS)
        self._target = self._earlier or shelf.root / shelf.name(self._call_id, zero, codec)
        self._codec: RecordingFormat = "flac" if self._target.suffix == ".flac" else "opus"

    def finished(self, stopped: Callable[[], bool]) -> Finished:
        """Return the recording, written if it has to be."""
        if self._tracks and self._duration_ms:
            fresh = self._takes[0].path / "finished"
            peaks = self._write(fresh, stopped)
            self._publish(fresh, msgspec.json.encode(peaks))
        elif self._earlier is None:
            _remove(self._takes)
            raise NothingRecorded
        return Finished(
            self._call_id,
            self._takes[0].about.tenant_id,
            self._zero,
            self._shelf.name(self._call_id, self._zero, self._codec),
            self._codec,
            self._target.stat().st_size,
            self._duration_ms,
            tuple(self._takes),
        )

    def _write(self, fresh: Path, stopped: Callable[[], bool]) -> Peaks:
        tags = {
            "HEARLINE_CALL_ID": str(self._call_id),
            "DATE": self._zero.isoformat(),
            _DURATION: str(self._duration_ms),
            _TAKES: ",".join(take.path.name for take in self._takes),
        }
        meter = PeakMeter(self._duration_ms)
        with contextlib.ExitStack() as open_files:
            sources: list[Source] = []
            for zero_ms, side, path in self._tracks:
                sources.append(TrackSource(path, side, zero_ms))
                open_files.callback(sources[-1].close)
            if self._earlier is not None:
                sources.append(FileSource(self._earlier))
                open_files.callback(sources[-1].close)
            file = open_files.enter_context(os.fdopen(_create(fresh), "w+b"))
            encoder = open_files.enter_context(Encoder(file, self._codec, tags))
            for block in mixed(sources, pauses_of(self._new, self._zero), self._duration_ms):
                if stopped():
                    raise Abandoned
                encoder.put(block)
                meter.put(block)
            encoder.finish()
            file.flush()
            os.fsync(file.fileno())
        return meter.peaks()

    def _publish(self, fresh: Path, peaks: bytes) -> None:
        """Give the finished file its name, at once and for good."""
        self._target.parent.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        drawn = fresh.with_name("peaks")
        with os.fdopen(_create(drawn), "wb") as file:
            file.write(peaks)
        drawn.replace(peaks_path(self._target))
        fresh.replace(self._target)
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def _remove(takes: list[FoundTake] | tuple[FoundTake, ...]) -> None:
    for take in takes:
        with contextlib.suppress(FileNotFoundError):
            take.remove()
