"""A bad network between a browser and the server, on this machine: loss, delay, jitter, reordering, or nothing at all.

A `LossyPath` stands in front of the server's UDP ports. It learns of them from the answer, whose candidates it swaps
for its own, and takes the browser's candidates out of the offer, so that the two find no way around it:

    async with LossyPath(loss=0.05, jitter_ms=40) as path:
        answer = path.answer(await peer.answer(path.offer(offer)))

Between a real page and a real server it does the same to the requests, through Playwright:

    await page.route("**/webrtc/**", path.route)

It is bounded: loopback only, a few ports, a limit on packets on their way, and it stops passing on after `lifetime_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
from playwright.async_api import Route

MAX_PORTS: Final = 8
MAX_CLIENTS: Final = 16
MAX_ON_THE_WAY: Final = 2_000
HELD_BACK_MS: Final = 30.0

Address = tuple[str, int]
_CANDIDATE: Final = re.compile(r"a=candidate:(\S+) (\d+) (\S+) (\d+) (\S+) (\d+) (.*)")


@dataclass
class Conditions:
    """What happens to packets; may be changed at any time."""

    loss: float = 0.0
    """Fraction that never arrives."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Up to so much more delay, each packet for itself: they overtake each other if it is more than their spacing."""
    reorder: float = 0.0
    """Fraction that is held back by another `HELD_BACK_MS`, so that the next one or two overtake it."""
    is_cut: bool = False
    """Nothing gets through."""


@dataclass
class Counts:
    """What happened to the packets of one direction."""

    passed: int = 0
    lost: int = 0
    overflowed: int = 0


class LossyPath:
    """The relay. Use it as an async context manager."""

    def __init__(
        self,
        *,
        loss: float = 0.0,
        delay_ms: float = 0.0,
        jitter_ms: float = 0.0,
        reorder: float = 0.0,
        seed: int = 1,
        lifetime_s: float = 120.0,
    ) -> None:
        """The same bad luck every time for the same `seed` and the same packets."""
        self.to_server = Conditions(loss, delay_ms, jitter_ms, reorder)
        self.to_client = Conditions(loss, delay_ms, jitter_ms, reorder)
        self.counts = {"to_server": Counts(), "to_client": Counts()}
        self._random = random.Random(seed)
        self._lifetime_s = lifetime_s
        self._ends_s = 0.0
        self._fronts: dict[Address, _Port] = {}
        """Where the client sends to, by the server's address."""
        self._backs: dict[tuple[Address, Address], _Port] = {}
        """Where the server sends to, by its address and the client's: as a NAT would have it."""
        self._on_the_way = 0

    async def __aenter__(self) -> Self:
        self._ends_s = asyncio.get_running_loop().time() + self._lifetime_s
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for port in [*self._fronts.values(), *self._backs.values()]:
            port.close()

    def cut(self) -> None:
        """Let nothing through any more, in either direction: a cable pulled."""
        self.to_server.is_cut = self.to_client.is_cut = True

    def mend(self) -> None:
        """Undo `cut`."""
        self.to_server.is_cut = self.to_client.is_cut = False

    def rebind(self) -> None:
        """Let the server see every client at a new address, as after a NAT has forgotten the old one."""
        for port in self._backs.values():
            port.close()
        self._backs.clear()

    def offer(self, sdp: str) -> str:
        """Return the browser's offer without its addresses: the server learns them from what comes through here."""
        return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith("a=candidate:"))

    def answer(self, sdp: str) -> str:
        """Return the server's answer with our addresses for its own; those that are not on loopback are left out."""
        lines = []
        for line in sdp.splitlines():
            candidate = _CANDIDATE.fullmatch(line.rstrip())
            if candidate is None:
                lines.append(line.rstrip())
                continue
            foundation, component, transport, priority, host, port, rest = candidate.groups()
            if not ipaddress.ip_address(host).is_loopback or len(self._fronts) >= MAX_PORTS:
                continue
            our_host, our_port = self._front((host, int(port)))
            lines.append(f"a=candidate:{foundation} {component} {transport} {priority} {our_host} {our_port} {rest}")
        return "\r\n".join(lines) + "\r\n"

    async def route(self, route: Route) -> None:
        """Stand between a page and the server's /webrtc addresses (a handler for Playwright's page.route)."""
        request = route.request
        if request.method == "PATCH":
            await route.fulfill(status=204)  # addresses that the server is not to learn
        elif request.method == "POST" and request.url.rstrip("/").endswith("/offer"):
            said: dict[str, Any] = msgspec.json.decode(request.post_data_buffer or b"{}")
            said["sdp"] = self.offer(said["sdp"])
            reply = await route.fetch(post_data=msgspec.json.encode(said))
            body = await reply.body()
            if reply.ok:
                told: dict[str, Any] = msgspec.json.decode(body)
                told["sdp"] = self.answer(told["sdp"])
                body = msgspec.json.encode(told)
            await route.fulfill(response=reply, body=body)
        else:
            await route.continue_()

    def _front(self, server: Address) -> Address:
        if server not in self._fronts:
            self._fronts[server] = _Port(lambda data, client: self._from_client(server, client, data))
        return self._fronts[server].name

    def _from_client(self, server: Address, client: Address, data: bytes) -> None:
        back = self._backs.get((server, client))
        if back is None and len(self._backs) < MAX_CLIENTS:
            front = self._fronts[server]
            back = _Port(lambda data, _: self._carry("to_client", data, front, client))
            self._backs[server, client] = back
        if back is not None:
            self._carry("to_server", data, back, server)

    def _carry(self, way: Literal["to_server", "to_client"], data: bytes, port: _Port, address: Address) -> None:
        loop = asyncio.get_running_loop()
        conditions, counts = getattr(self, way), self.counts[way]
        lost = self._random.random() < conditions.loss
        late_ms = conditions.delay_ms + self._random.random() * conditions.jitter_ms
        late_ms += HELD_BACK_MS if self._random.random() < conditions.reorder else 0
        if lost or conditions.is_cut or loop.time() > self._ends_s:
            counts.lost += 1
        elif self._on_the_way >= MAX_ON_THE_WAY:
            counts.overflowed += 1
        else:
            self._on_the_way += 1
            loop.call_later(late_ms / 1000, self._arrive, counts, data, port, address)

    def _arrive(self, counts: Counts, data: bytes, port: _Port, address: Address) -> None:
        self._on_the_way -= 1
        counts.passed += 1
        port.send(data, address)


class _Port:
    """A UDP socket that hands on what comes; synchronous to open, so that a first packet can open one."""

    def __init__(self, on_packet: Callable[[bytes, Address], None]) -> None:
        self._on_packet = on_packet
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)
        self.name: Address = self._socket.getsockname()

    def send(self, data: bytes, address: Address) -> None:
        if self._socket.fileno() >= 0:
            with contextlib.suppress(OSError):  # nobody there, or no room: lost, as anywhere
                self._socket.sendto(data, address)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(64):
            try:
                data, address = self._socket.recvfrom(2048)
            except OSError:
                return
            self._on_packet(data, address)
