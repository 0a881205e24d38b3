"""Where a message comes from and goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FlowKind = Literal["udp", "tcp", "tls"]

HostPort = tuple[str, int]
"""An address (IPv6 without brackets) or a name, and a port."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A datagram path or one connection (RFC 5626, section 3.1)."""

    kind: FlowKind
    local: HostPort
    """Our own end, never the wildcard address."""
    remote: HostPort
    id: int = 0
    """Which socket or connection. 0 with TCP or TLS: none is open yet; open one to `remote`."""

    @property
    def is_reliable(self) -> bool:
        """Whether what is sent arrives or the flow breaks: nothing is sent twice."""
        return self.kind != "udp"
