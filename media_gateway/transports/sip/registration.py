"""Being registered somewhere: the way there is found and found again, and whether it worked is for all to see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

from prometheus_client import Gauge

from infra.telemetry import logger
from media_gateway.protocols.sip.events import Registered, RegistrationFailed
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.registration import Registration
from media_gateway.transports.sip.endpoint import Endpoint, RegistrationEvent
from media_gateway.transports.sip.options import Account
from media_gateway.transports.sip.trust import Trust

log = logger(__name__)

_REGISTERED: Final = Gauge(
    "hearline_sip_registered",
    "Whether the SIP registration holds (1) or not (0)",
    ["registrar"],
    multiprocess_mode="livemin",
)
_AGAIN_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between two tries to reach the registrar."""

_NO_ANSWER: Final = 408
_PHRASE: Final = 60
"""Characters of a registrar's own words that are shown."""

State = Literal["trying", "registered", "failed"]


class Registrar:
    """Our account at a registrar: keeps it registered, and lets its calls in."""

    def __init__(
        self, endpoint: Endpoint, trust: Trust, account: Account, *, told: Callable[[str | None], None]
    ) -> None:
        """`told`: called with what is wrong, in words for a person, whenever that changes; None: all is well."""
        self.account = account
        self.state: State = "trying"
        self.registration = Registration(
            registrar=f"sip:{account.domain}",
            aor=f"sip:{account.user}@{account.domain}",
            user=account.user,
            password=account.password,
        )
        self._endpoint = endpoint
        self._trust = trust
        self._told = told
        self._flow: Flow | None = None
        self._lost = asyncio.Event()
        self._leaving = False
        self._until_s = 0.0
        self._registered = _REGISTERED.labels(account.place)
        self._problem: str | None = None
        endpoint.on_registration = self._on_event
        endpoint.on_lost = self._on_lost

    async def run(self) -> None:
        """Stay registered, until we leave."""
        self._registered.set(0)
        tries = 0
        while not self._leaving:
            try:
                flow = await self._endpoint.listeners.connect(self.account.way, self.account.host, self.account.port)
            except OSError as error:
                self._fail(f"{self.account.place} cannot be reached ({error.strerror or type(error).__name__})")
                await asyncio.sleep(_AGAIN_S[min(tries, len(_AGAIN_S) - 1)])
                tries += 1
                continue
            self._flow = flow
            self._lost.clear()
            self._endpoint.register(self.registration, flow)
            await self._lost.wait()
            await asyncio.sleep(_AGAIN_S[0])
            tries = 1

    def leave(self) -> None:
        """Take the registration back: no more calls from there."""
        if not self._leaving and self._flow is not None:
            self._endpoint.unregister(self.registration)
        self._leaving = True

    def _on_lost(self, flow: Flow) -> None:
        if flow == self._flow:
            self._flow = None
            if self._leaving:
                return
            self._fail(f"the connection to {self.account.place} was lost")
            self._lost.set()

    def _on_event(self, event: RegistrationEvent) -> None:
        if isinstance(event, Registered):
            self._until_s = event.until_s
            if self._flow is not None:
                self._trust.registered(self._flow.remote[0], self._flow.kind, self._flow.id)
            if self.state != "registered":
                log.info("sip registered", registrar=self.account.place)
            self.state = "registered"
            self._registered.set(1)
            self._tell(None)
        elif isinstance(event, RegistrationFailed):
            self._fail(f"{self.account.place} answered {event.status} {event.reason[:_PHRASE]}")
            if time.monotonic() >= self._until_s:
                self._trust.unregistered()
            if event.status == _NO_ANSWER and self.account.way == "udp":  # its name may lead elsewhere by now
                self._lost.set()
        else:
            self._trust.unregistered()
            self._registered.set(0)

    def _fail(self, problem: str) -> None:
        if self._problem != problem:
            log.error("sip registration failed", problem=problem)
        self.state = "failed"
        self._registered.set(0)
        self._tell(problem)

    def _tell(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._told(problem)
