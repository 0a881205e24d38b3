"""WS /ws/phone: a page shows its user's phone and says what its user wants. Messages: media_gateway/protocols/phone.py.

The state is sent whole whenever it changes, so a page that comes back knows all; the audio goes by /webrtc/offer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Literal, cast
from uuid import UUID

from aiohttp import WSMsgType, web

from infra.model import utc_now
from infra.problem import problem
from infra.telemetry import logger
from media_gateway.ports import UserLike
from media_gateway.protocols.errors import CloseCode
from media_gateway.protocols.phone import (
    Answer,
    CancelTransfer,
    Command,
    CompleteTransfer,
    Digits,
    HangUp,
    Here,
    Hold,
    Leave,
    Mute,
    PhoneCommandError,
    RecordCall,
    Reject,
    SetStatus,
    Supervise,
    TakeOver,
    Transfer,
    done_message,
    heartbeat_message,
    read_command,
    refused_message,
    state_message,
)
from media_gateway.switchboard.board import Switchboard
from media_gateway.switchboard.party import Party
from media_gateway.switchboard.phones import CommandRefused, Phone
from media_gateway.transports.rtc_guard import IceServer

log = logger(__name__)

PATH: Final = "/ws/phone"
_HEARTBEAT_S: Final = 10.0
_MAX_MESSAGE_BYTES: Final = 8 * 1024
_ANSWERS: Final = 50
_AGAIN_S: Final = 2.0
"""How often the network's figures are sent anew."""
_SETTLE_S: Final = 0.03
"""Changes that come together are shown together."""

IceServers = Callable[[], Sequence[IceServer]]


class PhoneDoor:
    """The route and what it needs. Await `close` when the server stops."""

    def __init__(self, board: Switchboard, ice_servers: IceServers) -> None:
        """`ice_servers`: what a browser may use to find its way to us, asked anew each time: credentials run out."""
        self.board = board
        self.ice_servers = ice_servers
        self._sockets: set[_PhoneSocket] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one page."""
        user = request.get("user")
        if user is None:
            return problem(HTTPStatus.UNAUTHORIZED, "Log in first.")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return problem(HTTPStatus.UPGRADE_REQUIRED, "This address speaks WebSocket.", {"Upgrade": "websocket"})
        page = _PhoneSocket(self, tuple(request.get("ws_protocols", ())))
        self._sockets.add(page)
        try:
            return await page.run(request, cast("UserLike", user))
        finally:
            self._sockets.discard(page)

    async def close(self, reason: str) -> None:
        """Send all pages away; they come back to the next server."""
        del reason
        await asyncio.gather(*(page.go_away() for page in list(self._sockets)))


class _PhoneSocket:
    def __init__(self, door: PhoneDoor, protocols: tuple[str, ...]) -> None:
        self._door = door
        self._board = door.board
        self._phone: Phone
        """Known once the page is open."""
        self._socket: web.WebSocketResponse[Literal[True]] = web.WebSocketResponse(
            protocols=protocols, timeout=2.0, heartbeat=_HEARTBEAT_S, max_msg_size=_MAX_MESSAGE_BYTES
        )
        self._answers: deque[str] = deque(maxlen=_ANSWERS)
        self._changed = True
        self._wake = asyncio.Event()

    def show(self) -> None:
        """Have the phone's state sent again, soon."""
        self._changed = True
        self._wake.set()

    def tell(self, detail: str) -> None:
        """Say one sentence to the person."""
        self._answers.append(refused_message(None, detail))
        self._wake.set()

    async def run(self, request: web.Request, user: UserLike) -> web.StreamResponse:
        """Carry the page until it goes."""
        await self._socket.prepare(request)
        self._phone = await self._board.phone_of(user)  # a phone without a page is forgotten: nothing may come between
        self._board.connect(self._phone, self)
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write())
                try:
                    await self._read()
                finally:
                    writing.cancel()
        finally:
            self._board.disconnect(self._phone, self)
        return self._socket

    async def go_away(self) -> None:
        """The server stops."""
        await self._socket.close(code=CloseCode.GOING_AWAY, message=b"server shutdown")

    async def _write(self) -> None:
        self._wake.set()
        beat_s = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(_AGAIN_S if self._phone.party is not None else _HEARTBEAT_S):
                    await self._wake.wait()
                await asyncio.sleep(_SETTLE_S)
            except TimeoutError:
                self._changed = self._changed or self._phone.party is not None
            self._wake.clear()
            try:
                if time.monotonic() >= beat_s:
                    beat_s = time.monotonic() + _HEARTBEAT_S
                    await self._socket.send_str(heartbeat_message(utc_now()))
                while self._answers:
                    await self._socket.send_str(self._answers.popleft())
                if self._changed:
                    self._changed = False
                    await self._socket.send_str(state_message(self._state()))
            except ConnectionError:
                return  # the end of the socket will show in the reading

    def _state(self) -> Mapping[str, object]:
        servers = [_ice(server) for server in self._door.ice_servers()]
        return {**self._board.view(self._phone, self), "ice_servers": servers}

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                await self._socket.close(code=CloseCode.UNSUPPORTED, message=b"text messages only")
                return
            self._obey(message.data)

    def _obey(self, text: str) -> None:
        command_id: str | None = None
        try:
            command = read_command(text)
            command_id = command.id
            self._do(command)
        except (CommandRefused, PhoneCommandError) as error:
            self._answers.append(refused_message(command_id, str(error)))
        else:
            if command_id is not None:
                self._answers.append(done_message(command_id))
        self.show()

    def _do(self, command: Command) -> None:
        board, phone = self._board, self._phone
        match command:
            case SetStatus(status=status):
                board.set_status(phone, status)
            case Answer(call_id=call_id):
                self._check_offer(call_id)
                board.answer(phone, self)
            case Reject(call_id=call_id):
                self._check_offer(call_id)
                phone.refuse("rejected")
            case Transfer(call_id=call_id, to=to, kind=kind):
                self._party(call_id)
                board.transfer(phone, to, attended=kind == "attended")
            case Supervise(call_id=call_id, mode=mode):
                board.supervise(phone, self, call_id, mode)
            case Here(call_id=call_id):
                self._party(call_id)
                board.carry(phone, self)
            case _:
                self._do_in_call(command)

    def _do_in_call(self, command: Command) -> None:
        assert not isinstance(command, SetStatus)
        party = self._party(command.call_id)
        conversation = party.conversation
        match command:
            case HangUp() | Leave():
                conversation.hang_up(party)
            case Hold(on=on):
                conversation.hold(party, on=on)
            case Mute(on=on):
                conversation.mute(party, on=on)
            case Digits(digits=digits):
                conversation.send_digits(party, digits)
            case CompleteTransfer():
                conversation.complete_transfer(party)
            case CancelTransfer():
                conversation.cancel_transfer(party)
            case TakeOver():
                conversation.take_over(party)
            case RecordCall(on=on):
                conversation.record(party, on=on)

    def _check_offer(self, call_id: UUID) -> None:
        offer = self._phone.offer
        if offer is None or offer.conversation.call.id != call_id:
            raise CommandRefused("the call rings no longer")

    def _party(self, call_id: UUID) -> Party:
        party = self._phone.party
        if party is None or party.conversation.call.id != call_id:
            raise CommandRefused("you are not in that call")
        return party


def _ice(server: IceServer) -> dict[str, object]:
    """Return a server as the browser's RTCIceServer (W3C WebRTC, section 4.2.2)."""
    secret = {"username": server.username, "credential": server.credential} if server.username else {}
    return {"urls": server.urls, **secret}
