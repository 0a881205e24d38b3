"""Our account at a registrar, as the door keeps it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from media_gateway.protocols.sip.events import RegistrationFailed
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.registration import Registration
from media_gateway.transports.sip import registration
from media_gateway.transports.sip.options import Account
from media_gateway.transports.sip.registration import Registrar
from media_gateway.transports.sip.trust import Trust


class Endpoint:
    """Its listeners find the registrar at another address each time."""

    def __init__(self) -> None:
        self.listeners = self
        self.flows: list[Flow] = []
        self.asked = asyncio.Event()

    async def connect(self, _way: str, _host: str, port: int) -> Flow:
        return Flow("udp", ("192.0.2.1", 5060), (f"198.51.100.{len(self.flows) + 1}", port), 0)

    def register(self, _registration: Registration, flow: Flow) -> None:
        self.flows.append(flow)
        self.asked.set()

    async def has_asked(self) -> None:
        await self.asked.wait()
        self.asked.clear()


async def test_a_registrar_that_does_not_answer_is_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_AGAIN_S", (0.0,))
    endpoint: Any = Endpoint()
    told: list[str | None] = []
    registrar = Registrar(
        endpoint, Trust((), {}), Account("ann", "pbx.example", 5060, "udp", "secret"), told=told.append
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(registrar.run())
        await endpoint.has_asked()
        endpoint.on_registration(RegistrationFailed(registrar.registration, 403, "Forbidden", 60.0))
        endpoint.on_registration(RegistrationFailed(registrar.registration, 408, "Request Timeout", 60.0))
        await endpoint.has_asked()
        running.cancel()
    assert [flow.remote[0] for flow in endpoint.flows] == ["198.51.100.1", "198.51.100.2"]
    assert len(told) == 2
