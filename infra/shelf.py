"""Where recordings lie: finished ones by the day on which their call began, those being written in one place.

Under `<data directory>/recordings`, readable by its owner alone:

    2026/03/02/<call id>.opus         a finished recording (or .flac)
    2026/03/02/<call id>.peaks.json   what it looks like
    writing/<take>/                   what media_gateway/recording/take.py is about

No name comes from a peer: they are made of UUIDs, dates and numbers, and checked again when they come back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from infra.settings import RecordingFormat

FOLDER: Final = "recordings"
DIR_MODE: Final = 0o700
FILE_MODE: Final = 0o600
MEDIA_TYPES: Final[Mapping[RecordingFormat, str]] = {"opus": "audio/ogg; codecs=opus", "flac": "audio/flac"}

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FINISHED: Final = re.compile(rf"\d{{4}}/\d{{2}}/\d{{2}}/({_UUID})\.(?:{'|'.join(MEDIA_TYPES)})")
_OF_A_CALL: Final = re.compile(rf"({_UUID})\.(?:{'|'.join(MEDIA_TYPES)}|peaks\.json)")
_DAY: Final = re.compile(r"\d{4}/\d{2}/\d{2}")


class Shelf:
    """The recordings of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / FOLDER
        self.writing = self.root / "writing"

    def name(self, call_id: UUID, started_at: datetime, codec: RecordingFormat) -> str:
        """Return the name of a call's finished recording, as the database keeps it: relative to `root`."""
        return f"{started_at.astimezone(UTC):%Y/%m/%d}/{call_id}.{codec}"

    def path(self, name: str, call_id: UUID) -> Path:
        """Return where the recording of that name lies. Raises ValueError when it is no name of this call's."""
        found = _FINISHED.fullmatch(name)
        if found is None or found[1] != str(call_id):
            raise ValueError("not the name of this call's recording")
        return self.root / name

    def finished(self, call_id: UUID, started_at: datetime) -> Path | None:
        """Return the call's finished recording, if it has one."""
        paths = (self.root / self.name(call_id, started_at, codec) for codec in MEDIA_TYPES)
        return next((path for path in paths if path.is_file()), None)

    def days(self) -> Iterator[tuple[date, Path]]:
        """Return the days with recordings, in any order."""
        for path in self.root.glob("*/*/*"):
            day = path.relative_to(self.root).as_posix()
            if _DAY.fullmatch(day) and path.is_dir() and not path.is_symlink():
                try:
                    yield date.fromisoformat(day.replace("/", "-")), path
                except ValueError:
                    continue  # the 30th of February is none of ours


def peaks_path(recording: Path) -> Path:
    """Return where the peaks of a finished recording lie."""
    return recording.with_suffix(".peaks.json")


def call_of(path: Path) -> UUID | None:
    """Return whose file this is, None when it is not one of a finished recording's."""
    found = _OF_A_CALL.fullmatch(path.name)
    return UUID(found[1]) if found else None
