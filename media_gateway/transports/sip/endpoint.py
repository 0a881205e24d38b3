"""The SIP endpoint at work: the user agent, its sockets, and one timer; who owns which call.

The agent does no I/O. Here every datagram, connection and timer becomes one of its methods, what it wants sent goes
out, and what it tells goes to the call that it is about.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from infra.telemetry import logger
from media_gateway.protocols.sip.agent import UserAgent
from media_gateway.protocols.sip.dialog import Dialog
from media_gateway.protocols.sip.events import (
    Cancelled,
    Ended,
    Event,
    Invite,
    Registered,
    RegistrationFailed,
    Reinvite,
    Unregistered,
)
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.registration import Registration
from media_gateway.transports.sip.listeners import Listeners

log = logger(__name__)

_GOODBYE_S: Final = 2.0
"""How long peers may take to answer when the door closes."""

Headers = Iterable[tuple[str, str]]
RegistrationEvent = Registered | RegistrationFailed | Unregistered


class SipSession(Protocol):
    """Whoever owns a call: told of all that happens to its dialog after the INVITE."""

    def on_event(self, event: Event) -> None:
        """Take notice. `Ended` or `Cancelled` is the last, unless the call was refused: then nothing comes."""


class Endpoint:
    """One user agent, its sockets and its calls. On the event loop."""

    def __init__(self, agent: UserAgent, refused: Callable[[str], None], trusts: Callable[[str], bool]) -> None:
        """`refused`: told the reason, a word, when a connection is closed because of what its peer did.

        `trusts`: whether an address may hold as many connections as it likes.
        """
        self.agent = agent
        self.listeners = Listeners(self._received, self._lost, refused=refused, trusts=trusts)
        self.on_invite: Callable[[Invite], None] = lambda _invite: None
        self.on_registration: Callable[[RegistrationEvent], None] = lambda _event: None
        self.on_lost: Callable[[Flow], None] = lambda _flow: None
        self.sessions: dict[Dialog, SipSession] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._empty = asyncio.Event()

    async def open(self, host: str, port: int, tls_port: int, tls: ssl.SSLContext | None) -> None:
        """Open the sockets.

        Raises:
            OSError: a port cannot be had.
        """
        await self.listeners.open(host, port, tls_port=tls_port, tls=tls)

    async def run(self) -> None:
        """Own the background work, for ever; the sockets close at the end."""
        try:
            await self.listeners.run()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def quiet(self) -> None:
        """Wait until no call and no registration is left, for as long as peers may take to say so."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                while not self.agent.is_idle:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            log.info("not every sip peer has answered our goodbye")

    # what a call's owner may do

    def ring(self, invite: Invite) -> bool:
        """Say that it rings. False: the caller has gone."""
        return self._done(self.agent.ring(invite, time.monotonic()))

    def accept(self, invite: Invite | Reinvite, body: bytes | None, headers: Headers = ()) -> bool:
        """Answer with 200 and a session description, if there is one to give. False: the caller has gone."""
        return self._done(self.agent.accept(invite, body, time.monotonic(), headers=headers))

    def refuse(self, invite: Invite | Reinvite, status: int, reason: str, headers: Headers = ()) -> bool:
        """Answer with an error. Of a call refused nothing more is heard. False: the caller has gone."""
        if isinstance(invite, Invite):
            self.sessions.pop(invite.dialog, None)
        return self._done(self.agent.refuse(invite, status, reason, time.monotonic(), headers=headers))

    def bye(self, dialog: Dialog, reason: str = "") -> None:
        """Hang up."""
        self.agent.bye(dialog, time.monotonic(), reason=reason)
        self._work()

    def reinvite(self, dialog: Dialog, sdp: bytes) -> bool:
        """Offer something else in a running call. False: not now."""
        return self._done(self.agent.reinvite(dialog, sdp, time.monotonic()))

    def update(self, dialog: Dialog, body: bytes, content_type: str, headers: Headers = ()) -> bool:
        """Send something beside the media in a running call. False: not now."""
        return self._done(self.agent.update(dialog, body, content_type, time.monotonic(), headers=headers))

    def probe(self, dialog: Dialog) -> bool:
        """Ask whether the peer of a running call is still there. False: not now, or a session timer finds out."""
        return self._done(self.agent.probe(dialog, time.monotonic()))

    def register(self, registration: Registration, flow: Flow) -> None:
        """Register over `flow`, or go on there."""
        self.agent.register(registration, flow, time.monotonic())
        self._work()

    def unregister(self, registration: Registration) -> None:
        """Take the registration back."""
        self.agent.unregister(registration, time.monotonic())
        self._work()

    # what drives the agent

    def _received(self, data: bytes, flow: Flow) -> None:
        self.agent.receive(data, flow, time.monotonic())
        self._work()

    def _lost(self, flow: Flow) -> None:
        self.agent.flow_lost(flow, time.monotonic())
        self._work()
        self.on_lost(flow)

    def _due(self) -> None:
        self._timer = None
        try:
            self.agent.tick(time.monotonic())
            self._work()
        finally:
            if self._timer is None:  # whatever went wrong with one call, the others' timers go on
                self._arm()

    def _done(self, result: bool) -> bool:
        self._work()
        return result

    def _work(self) -> None:
        """Send what is to be sent, tell what has happened, and be back when something is due."""
        self._send()
        if self._busy:  # whoever is told of something acts on it: the rest is done out there
            return
        self._busy = True
        try:
            while events := self.agent.take_events():
                for event in events:
                    self._tell(event)
                self._send()
        finally:
            self._busy = False
        self._arm()

    def _send(self) -> None:
        for flow, data in self.agent.take_outgoing():
            self.listeners.send(flow, data)

    def _tell(self, event: Event) -> None:
        try:
            if isinstance(event, Invite):
                self.on_invite(event)
            elif isinstance(event, Registered | RegistrationFailed | Unregistered):
                self.on_registration(event)
            else:
                over = isinstance(event, Ended | Cancelled)
                find = self.sessions.pop if over else self.sessions.get
                session = find(event.dialog, None)
                if session is not None:
                    session.on_event(event)
        except Exception:
            log.exception("sip event failed", event_type=type(event).__name__)
        if self.agent.is_idle:
            self._empty.set()

    def _arm(self) -> None:
        due_s = self.agent.next_due_s
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_s is not None:
            delay_s = max(due_s - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._due)
