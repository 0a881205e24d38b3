"""TCP: Asterisk's AudioSocket, a caller per connection, heard and spoken to.

The protocol has no credentials. A connection is let in from the networks of AUDIOSOCKET_TRUNKS, or by a UUID that was
given out for one call before (`media_gateway.call_grants`); nobody else is, and nothing is kept of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from uuid import UUID

from infra.bus.streams import BusError
from infra.model import DEFAULT_TENANT, Call, stable_id, utc_now
from infra.settings import Settings
from infra.store.queues import Queue
from infra.telemetry import logger
from media_gateway.call_grants import CallGrant, CallGrants
from media_gateway.open_calls import OpenCalls
from media_gateway.ports import CallRegistry, Meter, NoMeter
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.switchboard.board import Switchboard
from media_gateway.transports.audiosocket_line import DOOR, READ_BYTES, AudioSocketLine, Way
from media_gateway.transports.media_socket import SocketLimits

log = logger(__name__)

_MAX_CONNECTIONS: Final = 2_000
_MAX_STRANGERS: Final = 64
"""Connections at once from outside the trunks that have yet to name their call."""
_LIMITS: Final = SocketLimits(max_speed=64.0)

Network = IPv4Network | IPv6Network
QueueFor = Callable[[UUID, str | None], Awaitable[Queue]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the door listens."""

    host: str
    port: int


def address_of(settings: Settings) -> Address | None:
    """Return where the door is to listen; None: nowhere."""
    return Address(settings.audiosocket_host, settings.audiosocket_port) if settings.audiosocket_host else None


class AudioSocketDoor:
    """The listener and its calls; `run` for as long as the server does."""

    def __init__(
        self,
        registry: CallRegistry,
        grants: CallGrants,
        *,
        address: Address | None,
        trunks: Sequence[Network] = (),
        tenant_id: UUID = DEFAULT_TENANT,
        grace_s: float = 15.0,
        limits: SocketLimits = _LIMITS,
        meter: Meter | None = None,
        board: Switchboard | None = None,
        queue_for: QueueFor | None = None,
    ) -> None:
        """`address`: None for a door that stays shut. `trunks`: who needs no grant; their calls are `tenant_id`'s.

        `board`: finds callers somebody to talk to; None: all are only listened to. `queue_for`: whose number it is,
        for whether its calls may be recorded.
        """
        self.meter = meter or NoMeter()
        self.calls = OpenCalls(registry, DOOR, grace_s=grace_s, meter=self.meter)
        self._way = Way(self.calls, limits, self.meter, board, self._admit)
        self.address = address
        """Where it listens; with the port that it got, once it does."""
        self.lines: set[AudioSocketLine] = set()
        self._server: asyncio.Server | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._grants = grants
        self._trunks = tuple(trunks)
        self._tenant_id = tenant_id
        self._queue_for = queue_for

    async def open(self) -> None:
        """Take the address, if there is one.

        Raises:
            OSError: it cannot be had.
        """
        if self.address is None:
            return
        self._server = await asyncio.start_server(
            self._connected, self.address.host, self.address.port, limit=READ_BYTES, start_serving=False
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = Address(host, port)
        log.info("audiosocket is open", host=host, port=port, trunks=len(self._trunks))

    @property
    def is_open(self) -> bool:
        """Return whether it takes connections."""
        return self._server is not None and self._server.is_serving()

    async def run(self) -> None:
        """Take connections and carry them, for ever; `open` before."""
        if self._server is None:
            return
        async with asyncio.TaskGroup() as self._tasks:
            try:
                await self._server.start_serving()
                await asyncio.get_running_loop().create_future()  # until somebody cancels this
            finally:
                self._server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tasks is None:
            writer.close()
        else:
            self._tasks.create_task(self._serve(reader, writer))

    async def close(self, reason: str = "server-shutdown") -> None:
        """Hang up on every caller and end the calls that are left."""
        for line in list(self.lines):
            line.hang_up(reason)
        self.calls.close(reason)

    def is_trunk(self, host: str) -> bool:
        """Return whether an address needs no grant."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in trunk for trunk in self._trunks)

    async def _admit(self, call_id: UUID, is_trusted: bool) -> Call:
        """Return the call that a connection carries.

        Raises:
            ProtocolError: nobody has announced it, or another connection carries it.
        """
        try:
            grant = await self._grants.take(call_id)
        except BusError as error:
            log.warning("grants cannot be looked up", error=type(error).__name__)
            grant = None
        if grant is None:
            if not is_trusted:
                raise ProtocolError(CloseCode.POLICY, "bad-token", "nobody announced a call of this UUID")
            grant = CallGrant(self._tenant_id)
        recorded = self._queue_for is None or (await self._queue_for(grant.tenant_id, grant.to_number)).recorded
        own_id = stable_id(DOOR, grant.tenant_id, str(call_id))
        if any(line.carries(own_id) for line in self.lines):
            raise ProtocolError(CloseCode.POLICY, "call-twice", "a call of this UUID is on the line")
        return Call(
            id=own_id,
            door=DOOR,
            external_id=str(call_id),
            started_at=utc_now(),
            from_number=grant.from_number,
            to_number=grant.to_number,
            recorded=recorded,
            tenant_id=grant.tenant_id,
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        is_trusted = peer is not None and self.is_trunk(str(peer[0]))
        strangers = sum(not (line.is_trusted or line.is_named) for line in self.lines)
        if len(self.lines) >= _MAX_CONNECTIONS or (not is_trusted and strangers >= _MAX_STRANGERS):
            self.meter.refused(DOOR, "too-many")
            writer.close()
            return
        line = AudioSocketLine(self._way, reader, writer, is_trusted=is_trusted)
        self.lines.add(line)
        try:
            await line.run()
        except Exception as error:  # noqa: BLE001  (the outer loop: one connection's fault must not end the others)
            log.error("audiosocket failed", error=type(error).__name__, detail=str(error)[:200])
        finally:
            self.lines.discard(line)
