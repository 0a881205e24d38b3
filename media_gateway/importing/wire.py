"""What a decoder's process writes on its standard output: one byte of kind, four of length, then the content."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Final, Literal

import msgspec

HEADER: Final = struct.Struct(">cI")
MOST_BYTES: Final = 8 * 1024 * 1024
"""No content is longer."""

HEAD: Final = b"H"
"""A Head, first."""
AUDIO: Final = b"A"
"""The next samples: 16 kHz s16 little-endian, first all of the first party, then as many of the second."""
MISSING: Final = b"M"
"""A Missing: a stretch that the file leaves out."""
END: Final = b"E"
"""An End, last."""
REFUSAL: Final = b"R"
"""A Refusal instead of an End."""


class Head(msgspec.Struct, frozen=True):
    """What a file says of itself before its first sample."""

    channels: Literal[1, 2]
    alike: bool
    """Two channels that carry the same: one microphone, written twice."""
    duration_ms: int | None
    made_at: datetime | None
    """With its zone."""


class Missing(msgspec.Struct, frozen=True):
    """A stretch without audio, in samples at 16 kHz."""

    samples: int


class End(msgspec.Struct, frozen=True):
    """How the file ended."""

    damaged_packets: int
    broken_off: bool
    """There should have been more."""
    missing_ms: int = 0
    """Audio that the file's own clock says is missing within it."""


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing comes of this file: one short sentence for a person, which goes after the file's name."""

    reason: str


def frame(kind: bytes, content: bytes) -> bytes:
    """Return a frame as it is written."""
    return HEADER.pack(kind, len(content)) + content
