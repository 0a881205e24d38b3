"""What comes through the doors, counted for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

_REFUSED: Final = Counter(
    "hearline_sockets_refused_total", "Media sockets refused or closed for what the peer did", ["door", "reason"]
)
_FRAMES: Final = Counter(
    "hearline_frames_total", "Audio frames by outcome: placed, duplicate, late, stray, spare", ["door", "outcome"]
)


class PrometheusMeter:
    """`media_gateway.ports.Meter` over two counters."""

    def refused(self, door: str, reason: str) -> None:
        """Count one socket that was refused or closed because of what its peer did."""
        _REFUSED.labels(door, reason).inc()

    def frames(self, door: str, outcome: str, count: int) -> None:
        """Count audio frames."""
        _FRAMES.labels(door, outcome).inc(count)
