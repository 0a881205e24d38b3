"""Recordings that are kept for some days only."""

from __future__ import annotations

import contextlib
from datetime import UTC, date
from uuid import UUID

from infra.shelf import Shelf, call_of
from media_gateway.recording.take import TakenError, claim, look, takes


def old_calls(shelf: Shelf, before: date) -> set[UUID]:
    """Return whose finished recordings are of calls that began before that day (UTC)."""
    files = (path for day, folder in shelf.days() if day < before for path in folder.iterdir())
    return {call_id for path in files if (call_id := call_of(path)) is not None}


def forget_days(shelf: Shelf, before: date) -> None:
    """Remove all recordings of calls that began before that day, also those that nobody could finish.

    Raises OSError for the first that stays.
    """
    for day, folder in list(shelf.days()):
        if day < before:
            for path in list(folder.iterdir()):
                if call_of(path) is not None:
                    path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()
    for about in look(shelf, takes(shelf)):
        if about.started_at.astimezone(UTC).date() < before:
            with contextlib.suppress(TakenError):
                for take in claim(shelf, about.call_id):
                    try:
                        take.remove()
                    finally:
                        take.release()
