"""aioice's ICE connection behind a filter: nothing from a stranger gets past it, nothing that comes can stop it.

aioice takes every datagram that is not STUN for the peer's, whoever sent it, so that one forged packet ends a call or
its set-up. Here a datagram gets through if its sender is on the ICE check list: signalled by the peer over HTTP, or
seen in a check that was signed with this connection's password. Media go straight to a callback, past aioice's queue.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from aioice import Candidate, ice, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCIceServer
from aiortc.rtcicetransport import connection_kwargs

from infra.telemetry import logger

MAX_DATAGRAM_BYTES: Final = 1500
"""What libsrtp's buffer takes; a path's MTU is hardly ever more."""
MAX_PAIRS: Final = 100
"""Of candidates (RFC 8445, section 19.5.1)."""
MAX_BACKLOG_BYTES: Final = 64 * 1024
"""Waiting in a socket that does not send; beyond it datagrams are dropped, as the network would."""
GATHER_WITHIN_S: Final = 1.5
"""For STUN and TURN servers to answer; without them the answer goes out with what there is."""
CONSENT_EVERY_S: Final = 2.0
TRIES: Final = 64
"""Ports of a range that are tried for a free one."""
CLOSE_WITHIN_S: Final = 2.0

_COMPONENT: Final = 1
_UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error)
"""What aioice raises on hostile STUN messages."""

_log = logger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """Where media sockets are opened."""

    on_loopback: bool = False
    """Also on 127.0.0.1: the server is one that only this machine's browsers reach."""
    addresses: tuple[str, ...] = ()
    """These IP addresses and no others; empty: all that the machine has."""
    ports: range | None = None
    """UDP ports to choose from; None: any."""

    def chosen(self) -> list[str]:
        """Return the addresses, the likeliest first."""
        if self.addresses:
            return list(self.addresses)
        found = ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
        return [*found, "127.0.0.1"] if self.on_loopback or not found else found


class GuardedConnection(ice.Connection):
    """The answering side of ICE. `gather_candidates`, set the remote credentials, `connect`, `close`."""

    def __init__(self, servers: Sequence[IceServer], network: Network, on_datagram: Callable[[bytes], None]) -> None:
        """`on_datagram` takes what is not STUN; by its first byte 20..63 is DTLS, 128..191 SRTP (RFC 7983)."""
        known = [RTCIceServer(list(server.urls), server.username, server.credential) for server in servers]
        super().__init__(ice_controlling=False, **connection_kwargs(known))
        self.strays = 0
        """Datagrams that were thrown away."""
        self.heard_s = time.monotonic()
        """When the peer last proved to be there."""
        self.consented_s = self.heard_s
        """When it last agreed to be sent to."""
        self.rtt_s: float | None = None
        self._network = network
        self._on_datagram = on_datagram

    def arrived(self, door: _Door, data: bytes, address: tuple[str, int]) -> None:
        """Take a datagram from a socket. Never raises."""
        first = data[0] if 0 < len(data) <= MAX_DATAGRAM_BYTES else 255
        if first < 4:
            try:
                ice.StunProtocol.datagram_received(door, data, address)
            except _UNREADABLE:
                self.strays += 1
        elif (127 < first < 192 or 19 < first < 64) and self.knows(address):
            self._on_datagram(data)
        else:
            self.strays += 1

    def knows(self, address: tuple[str, int]) -> bool:
        """Return whether the peer may send from there."""
        chosen = self._nominated.get(_COMPONENT)
        if chosen is not None and chosen.remote_addr == address:
            return True
        return any(pair.remote_addr == address for pair in self._check_list)

    def send_now(self, data: bytes) -> bool:
        """Send a datagram over the chosen pair; False if there is none or its socket is stuffed."""
        pair = self._nominated.get(_COMPONENT)
        if pair is None:
            return False
        return cast("_Door", pair.protocol).send_now(data, pair.remote_addr)

    def data_received(self, data: bytes, component: int) -> None:
        """Throw away what looked like STUN and is not."""
        self.strays += 1

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol) -> None:
        """Handle a check that was signed with our password."""
        if "PRIORITY" not in message.attributes or (len(self._check_list) >= MAX_PAIRS and not self.knows(addr)):
            self.strays += 1
            return
        self.heard_s = time.monotonic()
        super().check_incoming(message, addr, protocol)

    def respond_error(
        self, request: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol, error_code: tuple[int, str]
    ) -> None:
        """Answer only those who know the password: nobody is sent anything because of a forged request."""
        if error_code[0] in {400, 401}:
            self.strays += 1
        else:
            super().respond_error(request, addr, protocol, error_code)

    async def query_consent(self) -> None:
        """Ask for ever whether the peer still wants to be sent to (RFC 7675); who is silent is not cut off here."""
        assert self.remote_password is not None
        while True:
            await asyncio.sleep(CONSENT_EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311  (spread, not secret)
            pair = self._nominated.get(_COMPONENT)
            if pair is None:
                continue
            asked_s = time.monotonic()
            try:
                await pair.protocol.request(
                    self.build_request(pair, nominate=False),
                    pair.remote_addr,
                    integrity_key=self.remote_password.encode(),
                    retransmissions=1,
                )
            except stun.TransactionError:
                continue
            self.heard_s = self.consented_s = time.monotonic()
            self.rtt_s = self.heard_s - asked_s

    async def gather_candidates(self) -> None:
        """Open the sockets; ask STUN and TURN servers for what the world sees of them."""
        self._local_candidates_start = True
        doors = [door for address in self._network.chosen() if (door := await self._open(address)) is not None]
        for rank, door in enumerate(doors):
            host, port = door.transport.get_extra_info("sockname")[:2]
            priority = candidate_priority(_COMPONENT, "host", 65535 - rank)
            foundation = candidate_foundation("host", "udp", host)
            door.local_candidate = Candidate(foundation, _COMPONENT, "udp", priority, host, port, "host")
            self._local_candidates.append(door.local_candidate)
        self._protocols += doors
        asked: list[Coroutine[Any, Any, tuple[Candidate, ice.StunProtocol | None]]] = []
        if self.stun_server is not None:
            reach_it = [door for door in doors if ":" not in door.local_candidate.host]
            reach_it = [door for door in reach_it if not door.local_candidate.host.startswith("127.")] or reach_it
            asked += [ice.server_reflexive_candidate(door, self.stun_server) for door in reach_it]
        if self.turn_server is not None:
            asked.append(
                ice.relayed_candidate(
                    component=_COMPONENT,
                    hide_related_address=False,
                    protocol_factory=lambda: _Door(self),
                    turn_server=self.turn_server,
                    turn_username=self.turn_username,
                    turn_password=self.turn_password,
                    turn_ssl=self.turn_ssl,
                    turn_transport=self.turn_transport,
                )
            )
        hosts = {(candidate.host, candidate.port) for candidate in self._local_candidates}
        for found in await asyncio.gather(*(_in_time(asking) for asking in asked)):
            if found is None:
                continue
            candidate, relay = found
            if relay is not None:
                self._protocols.append(relay)
            if (candidate.host, candidate.port) not in hosts:
                self._local_candidates.append(candidate)
        self._local_candidates_end = True

    async def close(self) -> None:
        """Close the sockets and end every check; a TURN server that does not answer is not waited for."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await super().close()
        except TimeoutError:
            _log.debug("ICE closed without its TURN server's consent")

    async def _open(self, address: str) -> _Door | None:
        opened = _bound(address, self._network.ports)
        if opened is None:
            return None
        _, door = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Door(self), sock=opened)
        return door


class _Door(ice.StunProtocol):
    """A socket of the connection."""

    def __init__(self, guarded: GuardedConnection) -> None:
        super().__init__(guarded)
        self._guarded = guarded
        self._backlog_bytes: Callable[[], int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._backlog_bytes = getattr(transport, "get_write_buffer_size", None)  # a TURN allocation has none

    def send_now(self, data: bytes, address: tuple[str, int]) -> bool:
        if self._backlog_bytes is not None and self._backlog_bytes() > MAX_BACKLOG_BYTES:
            return False
        self.transport.sendto(data, address)
        return True

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        assert isinstance(data, bytes)
        self._guarded.arrived(self, data, (addr[0], addr[1]))


def _bound(address: str, ports: range | None) -> socket.socket | None:
    """Return a UDP socket on one of the ports, None if none of those that were tried is free."""
    try:
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        _log.error("no socket for media", error=type(error).__name__)
        return None
    for port in [0] if ports is None else random.sample(ports, min(len(ports), TRIES)):
        try:
            opened.bind((address, port))
        except OSError as error:
            _log.debug("no media socket", error=type(error).__name__)
        else:
            opened.setblocking(False)
            return opened
    opened.close()
    return None


async def _in_time(asking: Coroutine[Any, Any, _T]) -> _T | None:
    try:
        async with asyncio.timeout(GATHER_WITHIN_S):
            return await asking
    except (TimeoutError, OSError, ValueError, LookupError, stun.TransactionError) as error:
        _log.info("an ICE server did not help", error=type(error).__name__)
        return None
