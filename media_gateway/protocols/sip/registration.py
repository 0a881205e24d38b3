"""Being registered at a PBX or a trunk, as a client (RFC 3261, section 10; RFC 5626)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Registration:
    """An account of ours at a registrar."""

    registrar: str
    """The domain's URI, without a user: `sip:pbx.example`."""
    aor: str
    """The address of record: `sip:hearline@pbx.example`."""
    user: str
    """For digest; often the AOR's."""
    password: str = field(repr=False)
    expires_s: int = 600
    """How long a binding is asked for."""
    keep_alive: Literal["crlf", "options", "none"] = "crlf"
    """What keeps a NAT open: empty lines, or OPTIONS to the registrar."""
