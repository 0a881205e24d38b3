"""SIP's sockets: one for datagrams, listeners for TCP and TLS, and connections that we make (RFC 3261, section 18).

Bytes in and bytes out; what they mean is the user agent's business. Nothing here waits: what a peer does not take in
time is dropped (datagrams) or ends its connection (streams).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

from infra.telemetry import logger
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.stream import PING, PONG, StreamReader

log = logger(__name__)

_DATAGRAM_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""What the kernel may keep for us while a beat of work is done: some thousand requests."""

FlowKind = Literal["udp", "tcp", "tls"]
_BACKLOG: Final = 128
"""Connections that the kernel holds until they are accepted."""
_NO_FILE_S: Final = 1.0
"""How long nothing is accepted after that has failed: mostly there is no file descriptor left."""
_SWEEP_S: Final = 2.0
"""Between two looks for connections that say nothing."""
_LOCALS: Final = 256
"""Peers of whom it is remembered which of our addresses leads to them."""

Received = Callable[[bytes, Flow], None]
Lost = Callable[[Flow], None]
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """What peers may do to the sockets."""

    connections: int = 2048
    """All TCP and TLS connections that peers have made; one more is closed at once."""
    strangers: int = 512
    """The same, from addresses that are not trusted."""
    per_stranger: int = 16
    """The same, from one such address."""
    handshake_s: float = 4.0
    """For a TLS handshake, in which a connection counts already."""
    message_s: float = 10.0
    """For the first message, and for the rest of one that has begun."""
    idle_s: float = 900.0
    """Without a byte; a keep-alive counts (RFC 5626, section 4.4.1)."""
    unsent_bytes: int = 256 * 1024
    """What a peer may leave unread before its connection is ended."""
    connect_s: float = 5.0
    """How long making a connection may take."""
    dialled: int = 32
    """Connections being made, and names looked up, for messages that have no way to go yet."""
    waiting: int = 8
    """Messages that wait for one of them."""


class Listeners:
    """The open sockets. `received` gets each whole message, `lost` each connection that is gone."""

    def __init__(
        self,
        received: Received,
        lost: Lost,
        *,
        refused: Callable[[str], None],
        trusts: Callable[[str], bool] = lambda _address: False,
        limits: ListenerLimits | None = None,
    ) -> None:
        """`refused`: told the reason, a word, when a connection is closed because of what its peer did.

        `trusts`: whether an address may hold as many connections as it likes.
        """
        self.limits = limits or ListenerLimits()
        self.received = received
        self.lost = lost
        self.refused = refused
        self.trusts = trusts
        self.tasks: asyncio.TaskGroup | None = None
        """Owns the connections that are being made; without it, none are."""
        self.connections: dict[int, Connection] = {}
        """Those in their TLS handshake as well."""
        self.strangers: Counter[str] = Counter()
        """Their connections by address."""
        self.ports: dict[FlowKind, int] = {}
        """The ports that are listened on."""
        self._datagrams: asyncio.DatagramTransport | None = None
        self._servers: list[asyncio.Server] = []
        self._tls: tuple[socket.socket, ssl.SSLContext] | None = None
        self._dialling: dict[tuple[FlowKind, Address], list[bytes]] = {}
        self._locals: dict[str, Address] = {}
        self._last_id = 0

    async def open(self, host: str, port: int, *, tls_port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen on UDP and TCP at one port, with `tls` on `tls_port` too; port 0 takes any.

        Raises:
            OSError: a port cannot be had; nothing is left open.
        """
        loop = asyncio.get_running_loop()
        try:
            opened = await _bound_socket(host, port, socket.SOCK_DGRAM)
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=opened)
            self.ports["udp"] = opened.getsockname()[1]
            server = await loop.create_server(lambda: Connection(self, "tcp"), host, port or self.ports["udp"])
            self._servers.append(server)
            self.ports["tcp"] = server.sockets[0].getsockname()[1]
            if tls is not None:
                listening = await _bound_socket(host, tls_port, socket.SOCK_STREAM)
                listening.listen(_BACKLOG)
                self._tls = listening, tls
                self.ports["tls"] = listening.getsockname()[1]
        except OSError:
            await self.close()
            raise

    async def run(self) -> None:
        """Own the background work, for ever; the sockets close at the end."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as self.tasks:
                if self._tls is not None:
                    self.tasks.create_task(self._accept(self.tasks, *self._tls))
                while True:
                    await asyncio.sleep(_SWEEP_S)
                    self.sweep(loop.time())
        finally:
            self.tasks = None
            await self.close()

    async def _accept(self, tasks: asyncio.TaskGroup, listening: socket.socket, tls: ssl.SSLContext) -> None:
        """Take TLS connections in before their handshakes: what asyncio accepts with TLS it tells of after them."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, remote = await loop.sock_accept(listening)
                connection = Connection(self, "tls")
                if connection.enter(accepted.getsockname(), remote):
                    tasks.create_task(self._shake_hands(connection, accepted, tls))
                else:
                    accepted.close()
            except OSError as error:
                log.warning("no sip connection could be accepted", error=type(error).__name__)
                await asyncio.sleep(_NO_FILE_S)

    async def _shake_hands(self, connection: Connection, accepted: socket.socket, tls: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=self.limits.handshake_s
            )
        except OSError:
            self.refused("no-handshake")
        except Exception as error:  # noqa: BLE001  (the outer loop: one connection must not close the door)
            log.error("sip connection failed", error=type(error).__name__)
        finally:
            if not connection.is_open:
                connection.leave()

    async def connect(self, kind: FlowKind, host: str, port: int) -> Flow:
        """Return a way to a peer: a connection that is made for it, or our datagrams.

        Over TLS the peer's certificate has to be good for `host`.

        Raises:
            OSError: the name is unknown or none at all, or nobody answers there in time (TimeoutError is one).
        """
        try:
            return await self._connected(kind, host, port)
        except (ValueError, OverflowError) as error:  # peers name hosts that no look-up takes
            raise OSError(errno.EINVAL, "no name of a host") from error

    async def _connected(self, kind: FlowKind, host: str, port: int) -> Flow:
        tls = ssl.create_default_context() if kind == "tls" else None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.limits.connect_s):
            if kind == "udp":
                assert self._datagrams is not None
                opened = self._datagrams.get_extra_info("socket")
                found = await loop.getaddrinfo(host, port, family=opened.family, type=socket.SOCK_DGRAM)
                remote = cast("Address", found[0][4][:2])
                return Flow("udp", self.local_for(remote), remote, 0)
            _, connection = await loop.create_connection(
                lambda: Connection(self, kind, ours=True),
                host,
                port,
                ssl=tls,
                server_hostname=host if tls is not None else None,
            )
        return connection.flow

    def local_for(self, remote: Address) -> Address:
        """Return the address that our datagrams to a peer come from: where we listen on all, the routes tell."""
        assert self._datagrams is not None
        opened = self._datagrams.get_extra_info("socket")
        host, port = opened.getsockname()[:2]
        if host not in {"0.0.0.0", "::"}:  # noqa: S104  (read, not listened on)
            return host, port
        known = self._locals.get(remote[0])
        if known is None:
            try:
                with socket.socket(opened.family, socket.SOCK_DGRAM) as probe:
                    probe.connect(remote)
                    known = probe.getsockname()[0], port
            except OSError:
                return host, port
            if len(self._locals) >= _LOCALS:
                self._locals.clear()
            self._locals[remote[0]] = known
        return known

    def send(self, flow: Flow, data: bytes) -> None:
        """Send one message on its way. Never blocks; what cannot be sent is dropped."""
        if flow.kind == "udp" and _is_address(flow.remote[0]):
            if self._datagrams is not None and not self._datagrams.is_closing():
                try:
                    self._datagrams.sendto(data, flow.remote)
                except ValueError:  # uvloop's word for an address of the other family: no way leads there
                    self.refused("no-way")
            return
        connection = self.connections.get(flow.id)
        if connection is None and not flow.id:
            connection = next((found for found in self.connections.values() if found.leads_to(flow)), None)
        if connection is not None:
            connection.send(data)
        elif not flow.id:
            self._dial(flow, data)

    def _dial(self, flow: Flow, data: bytes) -> None:
        place = flow.kind, flow.remote
        waiting = self._dialling.get(place)
        if waiting is not None:
            if len(waiting) < self.limits.waiting:
                waiting.append(data)
        elif self.tasks is not None and len(self._dialling) < self.limits.dialled:
            self._dialling[place] = [data]
            self.tasks.create_task(self._reach(flow))

    async def _reach(self, flow: Flow) -> None:
        place = flow.kind, flow.remote
        try:
            made = await self.connect(flow.kind, *flow.remote)
        except OSError as error:
            log.info("no sip connection could be made", error=type(error).__name__)
            del self._dialling[place]
            self.lost(flow)
            return
        for data in self._dialling.pop(place):
            self.send(made, data)

    def sweep(self, now_s: float) -> None:
        """End connections on which nothing has come for too long; `now_s` is the loop's time."""
        for connection in list(self.connections.values()):
            if not connection.ours and connection.is_idle(now_s):
                self.refused("idle")
                connection.end()

    async def close(self) -> None:
        """Close all that is open; what was handed over before is still sent."""
        for server in self._servers:
            server.close()
        if self._tls is not None:
            self._tls[0].close()
        for connection in list(self.connections.values()):
            connection.close()
        if self._datagrams is not None:
            self._datagrams.close()
        self._servers.clear()
        self._tls = None
        self._datagrams = None
        await asyncio.sleep(0)

    def has_room(self, address: str, *, stranger: bool) -> bool:
        """Return whether one connection more may come from there."""
        limits = self.limits
        if len(self.connections) >= limits.connections:
            return False
        if not stranger:
            return True
        return self.strangers.total() < limits.strangers and self.strangers[address] < limits.per_stranger

    def next_id(self) -> int:
        """Return a number that no connection has had; 0 is the datagrams'."""
        self._last_id += 1
        return self._last_id


async def _bound_socket(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of our own making: of one that it cannot bind, uvloop does not say why."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    family, _, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        if kind == socket.SOCK_DGRAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAM_BUFFER_BYTES)
        else:  # as asyncio does: a port is to be had again at once
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # as asyncio does for TCP: an address is of one family
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        remote = addr[:2]
        self._listeners.received(data, Flow("udp", self._listeners.local_for(remote), remote, 0))

    def error_received(self, exc: Exception) -> None:
        """A peer's port was shut; its transaction ends by its own timer."""


class Connection(asyncio.Protocol):
    """One TCP or TLS connection: bytes -> whole messages (RFC 3261, section 18.3)."""

    def __init__(self, listeners: Listeners, kind: FlowKind, *, ours: bool = False) -> None:
        self.ours = ours
        self.flow = Flow(kind, ("", 0), ("", 0), 0)
        self._listeners = listeners
        self._kind: FlowKind = kind
        self._reader = StreamReader()
        self._transport: asyncio.Transport | None = None
        self._whole_s = self._last_s = asyncio.get_running_loop().time()
        self._has_spoken = False
        self._is_stranger = False

    @property
    def is_open(self) -> bool:
        """Return whether messages come and go: not in a handshake, nor when it is gone."""
        return self._transport is not None

    def enter(self, local: Address, remote: Address) -> bool:
        """Take a place; False: there is none left."""
        listeners = self._listeners
        self._is_stranger = not self.ours and not listeners.trusts(remote[0])
        if not listeners.has_room(remote[0], stranger=self._is_stranger):
            listeners.refused("too-many-connections")
            return False
        self.flow = Flow(self._kind, local[:2], remote[:2], listeners.next_id())
        listeners.connections[self.flow.id] = self
        if self._is_stranger:
            listeners.strangers[remote[0]] += 1
        return True

    def leave(self) -> bool:
        """Give the place back; False: it had none."""
        listeners = self._listeners
        if listeners.connections.pop(self.flow.id, None) is None:
            return False
        address = self.flow.remote[0]
        if self._is_stranger:
            listeners.strangers[address] -= 1
            if not listeners.strangers[address]:
                del listeners.strangers[address]
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room for it."""
        transport = cast("asyncio.Transport", transport)  # uvloop's are, but do not say so
        local, remote = (transport.get_extra_info(name) or ("", 0) for name in ("sockname", "peername"))
        if not self.flow.id and not self.enter(local, remote):
            transport.abort()
            return
        self._transport = transport
        self._whole_s = self._last_s = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        """Hand on what has become whole, keep-alives too (RFC 5626, section 4.4.1)."""
        if self._transport is None:
            return
        self._last_s = asyncio.get_running_loop().time()
        alive = set()
        for message in self._reader.feed(data):
            if message in {PING, PONG}:
                if message in alive:  # a flood of them is answered once
                    continue
                alive.add(message)
            else:
                self._has_spoken = True
            if self._has_spoken or not self._is_stranger:  # a stranger who sends nothing but keep-alives has to go
                self._whole_s = self._last_s
            self._listeners.received(message, self.flow)
        if self._reader.broken is not None:
            self._listeners.refused("unframed")
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the connection is gone."""
        self._transport = None
        if self.leave():
            self._listeners.lost(self.flow)

    def leads_to(self, flow: Flow) -> bool:
        """Return whether this is a way to where the flow leads."""
        return self.is_open and self._kind == flow.kind and self.flow.remote == flow.remote

    def is_idle(self, now_s: float) -> bool:
        """Return whether it has had its time."""
        limits = self._listeners.limits
        if not self.is_open:  # in its handshake, which has its own time
            return False
        if not self._has_spoken or self._reader.is_inside_message:
            return now_s - self._whole_s > limits.message_s
        return now_s - self._last_s > limits.idle_s

    def send(self, data: bytes) -> None:
        """Send; a peer that does not read loses the connection."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > self._listeners.limits.unsent_bytes:
            self._listeners.refused("unread")
            self.end()
            return
        transport.write(data)

    def close(self) -> None:
        """End it once everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def end(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()
