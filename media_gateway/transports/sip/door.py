"""The SIP door: who is let in, and the calls that came."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

from infra.model import DEFAULT_TENANT
from infra.telemetry import logger
from media_gateway.listening import Listeners as MediaListeners
from media_gateway.ports import CallRegistry, Meter, NoMeter
from media_gateway.protocols.sip.agent import Decision, UserAgent
from media_gateway.protocols.sip.events import Invite
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request
from media_gateway.switchboard.board import Directory, Switchboard
from media_gateway.transports.rtp import StreamLimits
from media_gateway.transports.rtp_ports import RtpPorts
from media_gateway.transports.sip.call import DOOR, LATER, Rooms, SipCall, call_id
from media_gateway.transports.sip.endpoint import Endpoint
from media_gateway.transports.sip.identity import is_plain, parties
from media_gateway.transports.sip.options import SipOptions, SipUnusable
from media_gateway.transports.sip.registration import Registrar
from media_gateway.transports.sip.trust import Trust

log = logger(__name__)


_ALGORITHMS: Final = ("MD5", "SHA-256")
"""Many clients read the first challenge alone, and know MD5 alone; those that know both take either."""
_TOLD_MOST: Final = 10
_TOLD_FOR_S: Final = 60.0
"""So many addresses that are turned away are logged in that time, each once."""


class Recorder(Protocol):
    """Takes the calls of session recording clients (SIPREC, RFC 7866)."""

    def takes(self, invite: Invite) -> bool:
        """Return whether this INVITE is one of theirs."""

    async def answer(self, invite: Invite) -> None:
        """Answer it, and own its dialog: put the owner into `endpoint.sessions` before anything is awaited."""

    def end_all(self, reason: str) -> None:
        """End the recordings, each with a BYE."""


class SipDoor:
    """The sockets, the policy and the calls. `open` it, own `run`, `close` it when the server stops."""

    def __init__(
        self,
        registry: CallRegistry,
        board: Switchboard,
        directory: Directory,
        media: MediaListeners,
        options: SipOptions,
        *,
        meter: Meter | None = None,
        tenant_id: UUID = DEFAULT_TENANT,
        limits: Limits | None = None,
        stream_limits: StreamLimits | None = None,
        told: Callable[[str | None], None] = lambda _problem: None,
    ) -> None:
        """`media`: beats on the media clock. `told`: what is wrong with the registration; None: nothing."""
        self.options = options
        self.trust = Trust(options.trunks, options.users)
        self.recorder: Recorder | None = None
        """None: recording clients are refused."""
        self.calls: dict[UUID, SipCall] = {}
        self.draining = False
        self._told_of: set[str] = set()
        self._told_since_s = 0.0
        self.ports = RtpPorts(options.host, options.rtp_ports)
        self._meter = meter or NoMeter()
        self._public_host = options.public_host
        agent = UserAgent(
            limits,
            authenticate=self._decide,
            password_of=self.trust.users.get,
            contact=self._contact,
            algorithms=_ALGORITHMS,
            refused=self._count_refused,
            failed=self._tell_of_failed,
        )
        self.endpoint = Endpoint(agent, self._count_refused, self.trust.covers)
        self.endpoint.on_invite = self._on_invite
        self.registrar: Registrar | None = None
        if options.account is not None:
            self.registrar = Registrar(self.endpoint, self.trust, options.account, told=told)
        self._registry = registry
        self._board = board
        self._directory = directory
        self._media = media
        self._tenant_id = tenant_id
        self._stream_limits = stream_limits or StreamLimits()
        self._tasks: asyncio.TaskGroup | None = None

    async def open(self) -> None:
        """Open the sockets.

        Raises:
            SipUnusable: they cannot be had.
        """
        options = self.options
        try:
            if self._public_host is not None:
                family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
                self._public_host = await _address(self._public_host, family)
            await self.endpoint.open(options.host, options.port, options.tls_port, options.tls)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise SipUnusable(f"SIP at {options.host}:{options.port} ({why}): set SIP_HOST or SIP_PORT") from error
        log.info("sip door open", host=options.host, ports=self.endpoint.listeners.ports, **self.described())

    def public_host(self) -> str | None:
        """Return the address that peers reach us under; None: the one that their requests come to."""
        return self._public_host

    def described(self) -> dict[str, str]:
        """Return in words for whom it is open."""
        account = self.options.account
        return {"may_call": self.trust.described(), "registers_at": account.place if account else "nowhere"}

    async def run(self) -> None:
        """Own the background work, for ever; the sockets close at the end."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self.endpoint.run())
            if self.registrar is not None:
                self._tasks.create_task(self.registrar.run())

    def refuse_calls(self) -> None:
        """Take no more calls; those on the line go on."""
        self.draining = True
        if self.registrar is not None:
            self.registrar.leave()

    async def close(self, reason: str) -> None:
        """End the calls that are left, each with a BYE."""
        self.refuse_calls()
        for call in list(self.calls.values()):
            call.hang_up(reason)
        if self.recorder is not None:
            self.recorder.end_all(reason)
        await self.endpoint.quiet()
        self.ports.close()

    # -- who may

    def _decide(self, _request: Request, flow: Flow) -> Decision:
        if self.trust.origin(flow.remote[0], flow.kind, flow.id) != "stranger":
            return Decision.TRUST
        if self.trust.users:
            return Decision.CHALLENGE
        if self._tells_of(flow.remote[0]):  # so that a PBX that SIP_TRUNKS lacks is found
            log.info("sip stranger refused", address=flow.remote[0], why="in no network of SIP_TRUNKS")
        return Decision.REFUSE

    def _tell_of_failed(self, user: str, address: str) -> None:
        if self._tells_of(address):  # a name that is none of ours may be anybody's number
            log.warning("sip password refused", address=address, user=user if user in self.trust.users else "unknown")

    def _tells_of(self, address: str) -> bool:
        """Return whether it is logged that this address is turned away: few lines, however many knock."""
        now_s = time.monotonic()
        if now_s - self._told_since_s > _TOLD_FOR_S:
            self._told_since_s = now_s
            self._told_of.clear()
        if address in self._told_of or len(self._told_of) >= _TOLD_MOST:
            return False
        self._told_of.add(address)
        return True

    def _contact(self, flow: Flow) -> tuple[str, int]:
        """Return what peers are told to reach us under: where we listen for their kind of flow."""
        return self._public_host or flow.local[0], self.endpoint.listeners.ports.get(flow.kind, flow.local[1])

    def _count_refused(self, reason: str) -> None:
        self._meter.refused(DOOR, reason)

    # -- calls

    def _on_invite(self, invite: Invite) -> None:
        if self.draining or self._tasks is None:
            self._count_refused("draining")
            self.endpoint.refuse(invite, 503, "Service Unavailable", LATER)
            return
        if not is_plain(invite.request):
            self._count_refused("bad-name")
            self.endpoint.refuse(invite, 400, "Bad Call-ID")
            return
        if self.recorder is not None and self.recorder.takes(invite):
            self._tasks.create_task(self._record(self.recorder, invite))
            return
        if call_id(self._tenant_id, invite) in self.calls:  # the same INVITE by another way (RFC 3261, 8.2.2.2)
            self.endpoint.refuse(invite, 482, "Loop Detected")
            return
        rooms = Rooms(
            endpoint=self.endpoint,
            registry=self._registry,
            board=self._board,
            directory=self._directory,
            media=self._media,
            ports=self.ports,
            meter=self._meter,
            tenant_id=self._tenant_id,
            public_host=self._public_host,
            srtp=self.options.srtp,
            limits=self._stream_limits,
        )
        account = self.options.account
        who = parties(invite.request, ours=account.user if account else None)
        call = SipCall(rooms, invite, who, on_over=self._forget)
        self.calls[call.call.id] = call
        self.endpoint.sessions[invite.dialog] = call
        self._tasks.create_task(self._answer(call))

    async def _answer(self, call: SipCall) -> None:
        try:
            await call.answer()
        except Exception:
            log.exception("sip call failed", call_id=str(call.call.id))
            call.hang_up("internal error")

    async def _record(self, recorder: Recorder, invite: Invite) -> None:
        try:
            await recorder.answer(invite)
        except Exception:
            log.exception("recording session failed")
            self.endpoint.refuse(invite, 500, "Server Internal Error")

    def _forget(self, call: SipCall) -> None:
        self.calls.pop(call.call.id, None)


async def _address(host: str, family: socket.AddressFamily) -> str:
    """Return a host's IP address."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
        return str(found[0][4][0])
