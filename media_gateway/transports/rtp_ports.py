"""UDP ports for calls: pairs of sockets out of RTP_PORTS, read on one timer for all of them.

A wake-up of the event loop for every packet costs several times what reading it does. So the loop wakes up every 10 ms,
asks the kernel once which sockets have something, and reads just those.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from prometheus_client import Gauge

from infra.telemetry import logger
from media_gateway.protocols.rtp_source import canonical
from media_gateway.protocols.sdp import Address

_DATAGRAM_BYTES: Final = 2048
"""What is read of one; a path's MTU is hardly ever more than 1500."""
_DRAIN_S: Final = 0.01
_MAX_ROUNDS: Final = 16
"""Datagrams read of one socket at a time; a flood waits in the kernel, and is lost there."""
_BUSY_PORTS: Final = Gauge("hearline_rtp_port_pairs_in_use", "Pairs of UDP ports of calls", multiprocess_mode="livesum")

log = logger(__name__)

OnDatagram = Callable[[bytes, Address, float], None]
"""Takes a datagram, its sender, and time.monotonic() at its arrival."""


class NoPortsLeft(Exception):
    """Every port pair of the range is in use, by calls or by another program; `str(error)` says so."""


class _Poll(Protocol):
    """What epoll and poll have in common."""

    def register(self, fd: int, events: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def poll(self, timeout: int) -> list[tuple[int, int]]: ...


_new_poll: Callable[[], _Poll] = getattr(select, "epoll", getattr(select, "poll", None))  # type: ignore[assignment]


class RtpSocket:
    """A pair of UDP sockets: RTP on an even port, RTCP on the odd one above."""

    def __init__(self, ports: RtpPorts, rtp: socket.socket, rtcp: socket.socket) -> None:
        self.host, self.port = rtp.getsockname()[:2]
        """The address that it is bound to, and RTP's port."""
        self._ports, self._rtp, self._rtcp = ports, rtp, rtcp

    def listen(self, on_rtp: OnDatagram, on_rtcp: OnDatagram) -> None:
        """Have what comes handed on from now on; what came before is thrown away."""
        self._ports.listen(self._rtp, on_rtp)
        self._ports.listen(self._rtcp, on_rtcp)

    def send_rtp(self, data: bytes, address: Address) -> bool:
        """Send from the RTP port; False if it cannot be sent now."""
        return _send(self._rtp, data, address)

    def send_rtcp(self, data: bytes, address: Address) -> bool:
        """Send from the RTCP port; False if it cannot be sent now."""
        return _send(self._rtcp, data, address)

    def close(self) -> None:
        """Give the ports back. Closing again does nothing."""
        self._ports.release(self)

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """Return both sockets."""
        return self._rtp, self._rtcp


def _send(opened: socket.socket, data: bytes, address: Address) -> bool:
    try:
        opened.sendto(data, address)
    except OSError:  # no room, no way there: lost, as anywhere on the way
        return False
    return True


class RtpPorts:
    """The port pairs of one address. On the event loop."""

    def __init__(self, host: str, ports: range) -> None:
        """`host`: the IP address that sockets are bound to; `ports`: RTP_PORTS, an even one and the next to a pair."""
        self.host = host
        self._range = ports
        self._pairs = range(ports.start + ports.start % 2, ports.stop - 1, 2)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._next = random.randrange(len(self._pairs)) if self._pairs else 0  # noqa: S311  (spread, not secret)
        self._open: dict[int, RtpSocket] = {}
        self._readers: dict[int, tuple[Callable[[int], tuple[bytes, Any]], OnDatagram]] = {}
        self._poll = _new_poll()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    @property
    def in_use(self) -> int:
        """Return how many pairs are open."""
        return len(self._open)

    @property
    def size(self) -> int:
        """Return how many pairs there could be."""
        return len(self._pairs)

    def allocate(self) -> RtpSocket:
        """Open a pair, one that has not been in use for as long as possible: late packets go to nobody.

        Raises:
            NoPortsLeft: there is none.
        """
        for _ in range(len(self._pairs)):
            port = self._pairs[self._next]
            self._next = (self._next + 1) % len(self._pairs)
            if port in self._open:
                continue
            pair = self._bound(port)
            if pair is not None:
                opened = self._open[port] = RtpSocket(self, *pair)
                for each in pair:
                    self.listen(each, _ignore)
                    self._poll.register(each.fileno(), select.POLLIN)
                _BUSY_PORTS.inc()
                self._wake()
                return opened
        log.warning("no RTP ports left", in_use=self.in_use, pairs=self.size)
        raise NoPortsLeft(
            f"no RTP port pair is free: {self.in_use} of {self.size} in {self._range.start}-{self._range.stop - 1}"
            " are in use by calls, the others by other programs; widen RTP_PORTS"
        )

    def listen(self, opened: socket.socket, take: OnDatagram) -> None:
        """Have one socket's datagrams handed on."""
        if self._family == socket.AF_INET6:
            self._readers[opened.fileno()] = (opened.recvfrom, _in_one_form(take))
        else:
            self._readers[opened.fileno()] = (opened.recvfrom, take)

    def release(self, opened: RtpSocket) -> None:
        """Close a pair's sockets. Once is enough."""
        if self._open.get(opened.port) is not opened:
            return
        del self._open[opened.port]
        _BUSY_PORTS.dec()
        for each in opened.sockets:
            del self._readers[each.fileno()]
            self._poll.unregister(each.fileno())
            each.close()

    def close(self) -> None:
        """Close what is open."""
        for opened in list(self._open.values()):
            opened.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _bound(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        with contextlib.ExitStack() as stack:
            pair = []
            for number in (port, port + 1):
                opened = stack.enter_context(socket.socket(self._family, socket.SOCK_DGRAM))
                opened.setblocking(False)
                try:
                    opened.bind((self.host, number))
                except OSError:
                    return None
                pair.append(opened)
            stack.pop_all()
            return pair[0], pair[1]

    def _wake(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due_s = loop.time() + _DRAIN_S
            self._timer = loop.call_at(self._due_s, self._drain)

    def _drain(self) -> None:
        now_s = time.monotonic()
        readers = self._readers
        for _ in range(_MAX_ROUNDS):
            ready = self._poll.poll(0)
            if not ready:
                break
            for fd, _ in ready:
                reader = readers.get(fd)
                if reader is None:  # closed by what another one brought
                    continue
                receive, take = reader
                try:
                    data, address = receive(_DATAGRAM_BYTES)
                except OSError:  # an ICMP error of a packet that we sent; or another process was faster
                    continue
                try:
                    take(data, address, now_s)
                except Exception as error:  # noqa: BLE001  (the outer loop: one call's fault must not silence others)
                    log.error("RTP packet failed", error=type(error).__name__, detail=str(error)[:200])
        if not self._open:
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        self._due_s = max(self._due_s + _DRAIN_S, loop.time())
        self._timer = loop.call_at(self._due_s, self._drain)


def _ignore(data: bytes, address: Address, now_s: float) -> None:
    """Throw away what nobody listens to."""


def _in_one_form(take: OnDatagram) -> OnDatagram:
    def taking(data: bytes, address: Address, now_s: float) -> None:
        take(data, (canonical(address[0]) or address[0], address[1]), now_s)

    return taking
