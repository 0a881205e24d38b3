"""What goes into an analysis and what comes out: turns and findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from uuid import UUID

    from infra.model import Role

BUILTIN: Final = "builtin"
"""The `source` of a finding that no language model had a part in."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A final segment of the call, as the analysers read it."""

    segment_id: UUID
    role: Role
    start_ms: int
    end_ms: int
    text: str
    speaker: str = ""
    """The recogniser's label (SPEAKER_00, ...): tells the parties of a one-track call apart."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an analyser says about a call."""

    kind: str
    key: str
    """Stable within the call: the kind where there can be only one, else what the finding rests on."""
    body: dict[str, Any]
    """In the exact shape of the kind's schema."""
    evidence: tuple[UUID, ...]
    """Segments of the call it rests on, in the order they were spoken."""
    source: str
    """'builtin' or 'llm:<model>'."""
