"""UDP ports for calls: pairs of sockets out of RTP_PORTS, read on one timer for all of them."""

from __future__ import annotations


class NoPortsLeft(Exception):
    """Every port pair of the range is in use, or taken by another program; `str(error)` says so."""


class RtpSocket:
    """A pair of UDP sockets: RTP on an even port, RTCP on the odd one above."""

    host: str
    """The address that it is bound to."""
    port: int
    """Of RTP."""

    def close(self) -> None:
        """Give the ports back. Closing again does nothing."""


class RtpPorts:
    """The port pairs of one address. On the event loop."""

    def __init__(self, host: str, ports: range) -> None:
        """`host`: the address that sockets are bound to, IPv4 or IPv6; `ports`: RTP_PORTS."""

    @property
    def in_use(self) -> int:
        """Return how many pairs are open."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Return how many pairs there could be."""
        raise NotImplementedError

    def allocate(self) -> RtpSocket:
        """Open a pair.

        Raises:
            NoPortsLeft: there is none.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""
