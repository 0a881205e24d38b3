"""Who may call: networks, SIP users, and the server that we registered at. Without any of them, nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final, Literal

Origin = Literal["trunk", "registrar", "stranger"]
"""Where a request comes from, as far as its address tells."""

Kind = Literal["udp", "tcp", "tls"]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Trust:
    """What an address, a flow, or a name and password are good for."""

    def __init__(self, networks: Iterable[str] = (), users: Mapping[str, str] | None = None) -> None:
        """`networks`: who calls without a password. `users`: name -> password, for everybody else."""
        self.networks: Final[tuple[_Network, ...]] = tuple(ipaddress.ip_network(network) for network in networks)
        self.users: Final[Mapping[str, str]] = dict(users or {})
        self._registrar: tuple[Kind, int, frozenset[str]] | None = None

    @property
    def is_open(self) -> bool:
        """Return whether anybody at all may call."""
        return bool(self.networks or self.users)

    def origin(self, address: str, kind: Kind, connection: int = 0) -> Origin:
        """Return where a request comes from; `connection`: the number of its connection, 0 for a datagram.

        The registrar's calls come over our own connection to it (RFC 5626), or from its address in the way that we
        registered: a registrar that is asked over TLS is not believed in a datagram.
        """
        if self.covers(address):
            return "trunk"
        if self._registrar is not None:
            way, ours, addresses = self._registrar
            if kind == way and ((connection and connection == ours) or _plain(address) in addresses):
                return "registrar"
        return "stranger"

    def covers(self, address: str) -> bool:
        """Return whether an address is in one of the networks; one that is none is not."""
        try:
            found = ipaddress.ip_address(_plain(address))
        except ValueError:
            return False
        return any(found in network for network in self.networks if network.version == found.version)

    def registered(self, address: str, kind: Kind, connection: int) -> None:
        """Let the registrar's calls in: over this connection (0: datagrams), or from its address."""
        self._registrar = kind, connection, frozenset({_plain(address)})

    def unregistered(self) -> None:
        """Let them in no longer."""
        self._registrar = None

    def described(self) -> str:
        """Return in words who may call."""
        who = []
        if self.networks:
            who.append("without a password " + ", ".join(str(network) for network in self.networks))
        if self.users:
            who.append(f"{len(self.users)} SIP user{'s' if len(self.users) > 1 else ''} by password")
        return "; ".join(who) or "nobody"


def _plain(address: str) -> str:
    """Return an address without the form that a socket of both families gives to IPv4 ones, and without a zone."""
    address = address.partition("%")[0]
    return address.removeprefix("::ffff:") if "." in address else address
