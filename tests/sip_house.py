"""The SIP door on loopback: a real switchboard behind it, real sockets and media clock; all else remembers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from media_gateway.listening import Listeners
from media_gateway.media_clock import MediaClock
from media_gateway.switchboard.board import Switchboard
from media_gateway.transports.sip.door import SipDoor
from media_gateway.transports.sip.options import SipOptions
from tests.fakes.gateway import CountingMeter, FakeCall, FakeRegistry
from tests.fakes.house import FakeDirectory
from tests.sipp import Ran, sipp

LOOPBACK = ("127.0.0.0/8",)


class SipHouse:
    """The door, and what came of it."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.scratch = directory
        self.registry = FakeRegistry()
        self.directory = FakeDirectory()
        self.meter = CountingMeter()
        self.clock = MediaClock()
        self.board = Switchboard(self.registry, self.clock, self.directory)
        self.problems: list[str | None] = []
        media = Listeners()
        self.clock.add(media)
        limits = options.pop("limits", None)
        stream_limits = options.pop("stream_limits", None)
        chosen = {"port": 0, "tls_port": 0, "trunks": LOOPBACK, "rtp_ports": range(24_000, 25_000), **options}
        self.door = SipDoor(
            self.registry,
            self.board,
            self.directory,
            media,
            SipOptions(**chosen),
            meter=self.meter,
            limits=limits,
            stream_limits=stream_limits,
            told=self.problems.append,
        )

    @property
    def port(self) -> int:
        return self.door.endpoint.listeners.ports["udp"]

    @property
    def calls(self) -> list[FakeCall]:
        """Return the calls that were answered, in their order."""
        return list(self.registry.calls.values())

    async def sipp(self, scenario: str, **more: Any) -> Ran:
        """Run a scenario against the door."""
        return await sipp(scenario, self.port, self.scratch, **more)

    def is_idle(self) -> bool:
        """Return whether nothing is left of any call."""
        door = self.door
        return not (door.calls or door.endpoint.sessions or door.endpoint.agent.dialogs() or door.ports.in_use)


@contextlib.asynccontextmanager
async def sip_house(directory: Path, **options: Any) -> AsyncIterator[SipHouse]:
    """Open the door for as long as the context lasts."""
    house = SipHouse(directory, **options)
    await house.door.open()
    house.clock.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(house.door.run()), tasks.create_task(house.board.run())]
            try:
                yield house
            finally:
                await house.door.close("server-shutdown")
                for task in running:
                    task.cancel()
    finally:
        await house.clock.stop()
