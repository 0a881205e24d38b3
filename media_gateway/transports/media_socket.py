"""What every media WebSocket does alike: messages in turn, a watch over silence and floods, one way to end."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import WebSocketError, WSMsgType, web

from infra.telemetry import logger
from media_gateway.open_calls import OpenCall, OpenCalls, Stream
from media_gateway.ports import Meter
from media_gateway.protocols.errors import CloseCode, ProtocolError

log = logger(__name__)

_TICK_S: Final = 1.0
_OUTGOING: Final = 250
"""Messages that wait to be sent: 5 s of audio."""
_CLEAN_CODES: Final = frozenset({int(CloseCode.NORMAL), 0, 1005})
"""Closed on purpose: as 'normal', or with no code at all (RFC 6455, section 7.1.5)."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What a peer may do."""

    start_deadline_s: float = 5.0
    """From the handshake to the message that starts the stream."""
    idle_limit_s: float = 30.0
    """Without audio; then the stream counts as lost."""
    heartbeat_s: float = 20.0
    """Between pings; one unanswered for half as long ends the connection."""
    max_message_bytes: int = 64 * 1024
    max_speed: float | None = None
    """Seconds of each party's audio a second, over the whole stream; None for no limit."""
    burst_s: float = 20.0
    """Audio that may come at any speed, before `max_speed` counts."""


class MediaDoor:
    """The sockets and calls of one door, and the limits that hold there."""

    def __init__(self, name: str, calls: OpenCalls, limits: SocketLimits, meter: Meter) -> None:
        self.name = name
        self.calls = calls
        self.limits = limits
        self.meter = meter
        self.sockets: set[MediaSocket] = set()

    async def close(self, reason: str) -> None:
        """Send the peers away (code 1001) and end the calls that are left."""
        await asyncio.gather(*(socket.go_away(reason) for socket in list(self.sockets)))
        self.calls.close(reason)


class MediaSocket(ABC):
    """One peer's socket, from its handshake to its end."""

    def __init__(self, door: MediaDoor, protocols: tuple[str, ...] = ()) -> None:
        """`protocols`: the subprotocols that the handshake may agree on (RFC 6455, section 1.9)."""
        self.door = door
        self.socket: web.WebSocketResponse[Literal[False]] = web.WebSocketResponse(
            protocols=protocols,
            timeout=2.0,  # for the peer's answer to our close
            compress=False,
            decode_text=False,  # JSON is decoded from bytes, and checked there
            heartbeat=door.limits.heartbeat_s,
            max_msg_size=door.limits.max_message_bytes,
        )
        self.call: OpenCall | None = None
        """Known once the stream has started."""
        self.stream: Stream | None = None
        self.farewell_s = 0.0
        """How long the peer may take to close the socket itself once the stream has ended, in seconds."""
        self._ended = False
        self.unsent = 0
        """Messages that the peer had no room for."""
        self._outgoing: deque[str | bytes | None] = deque(maxlen=_OUTGOING)
        self._outgoing_wake = asyncio.Event()
        self._outgoing_empty = asyncio.Event()
        self._outgoing_empty.set()

    @abstractmethod
    async def on_text(self, data: bytes) -> None:
        """Take a text message. Raises ProtocolError."""

    @abstractmethod
    async def on_binary(self, data: bytes) -> None:
        """Take a binary message. Raises ProtocolError."""

    async def on_refused(self, error: ProtocolError) -> None:  # noqa: B027  (most have nothing to say)
        """Tell the peer in its own language why it is cut off, before its socket is closed."""

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Carry the socket until it ends, then let go of its call."""
        await self.socket.prepare(request)
        self.door.sockets.add(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(self._watch()), tasks.create_task(self._write())]
                try:
                    await self._read()
                finally:
                    for task in beside:
                        task.cancel()
        finally:
            self.door.sockets.discard(self)
            self.end("connection-lost", lost=True)
        return self.socket

    def _has_ended(self) -> bool:
        return self._ended

    def end(self, reason: str, *, lost: bool = False) -> None:
        """The stream has ended, in good order or not: leave the call. Only the first end counts."""
        if self._ended:
            return
        self._ended = True
        if self.unsent:
            self.door.meter.frames(self.door.name, "unsent", self.unsent)
        if self.call is not None and self.stream is not None:
            self.door.calls.detach(self.call, self.stream, reason, lost=lost)

    async def go_away(self, reason: str) -> None:
        """Close the socket because this server stops; the call stays joinable."""
        self.end(reason, lost=True)
        await self.socket.close(code=CloseCode.GOING_AWAY, message=b"server shutdown")

    def post(self, message: str | bytes) -> None:
        """Send a message, after those before it. Never blocks; a peer that does not read loses the oldest."""
        self.unsent += len(self._outgoing) == _OUTGOING
        self._outgoing.append(message)
        self._outgoing_empty.clear()
        self._outgoing_wake.set()

    async def sent(self, within_s: float) -> None:
        """Wait until everything posted has been sent, or cannot be, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._outgoing_empty.wait()

    def hang_up(self, reason: str) -> None:
        """End the stream in good order, and close the socket once everything is sent."""
        self.end(reason)
        self._outgoing.append(None)
        self._outgoing_wake.set()

    async def _write(self) -> None:
        try:
            await self._write_until_end()
            with contextlib.suppress(TimeoutError):  # what the peer says to its end may be answered
                async with asyncio.timeout(self.farewell_s):
                    while True:
                        await self._write_until_end()
            await self.socket.close()
        except ConnectionError:
            pass  # the end of the socket will show in the reading
        finally:
            self._outgoing_empty.set()

    async def _write_until_end(self) -> None:
        """Send what there is and what comes, up to where we hang up."""
        while True:
            await self._outgoing_wake.wait()
            self._outgoing_wake.clear()
            while self._outgoing:
                message = self._outgoing.popleft()
                if message is None:
                    self._outgoing_wake.set()
                    return
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    await self.socket.send_str(message)
            self._outgoing_empty.set()

    async def _read(self) -> None:
        try:
            try:
                async with asyncio.timeout(self.door.limits.start_deadline_s):
                    while self.call is None and await self._read_one():
                        pass
            except TimeoutError:
                raise ProtocolError(CloseCode.POLICY, "no-start", "no start in time") from None
            while await self._read_one():
                pass
            if self._has_ended() and self.farewell_s:
                await self._last_words()
        except ProtocolError as error:
            await self.refuse(error)
        else:
            await self.socket.close()

    async def _last_words(self) -> None:
        """Listen on, after the end, until the peer closes the socket or its time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.farewell_s):
                while True:
                    message = await self.socket.receive()
                    if message.type is WSMsgType.TEXT:
                        await self.on_text(message.data)
                    elif message.type is not WSMsgType.BINARY:
                        return

    async def _read_one(self) -> bool:
        """Take one message; False when there is none to come."""
        if self._has_ended():
            return False
        message = await self.socket.receive()
        if self._has_ended() and not self.farewell_s:
            return False
        kind = message.type
        if kind is WSMsgType.TEXT:
            await self.on_text(message.data)
            return True
        if kind is WSMsgType.BINARY:
            await self.on_binary(message.data)
            return True
        if kind is WSMsgType.CLOSE and message.data in _CLEAN_CODES:
            self.end("closed")
        elif kind is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
            too_big = message.data.code == CloseCode.TOO_BIG
            self._count_refused("message-too-big" if too_big else "bad-frame")
        return False

    async def _watch(self) -> None:
        """Every second: count the peer's frames; cut it off if it fell silent or floods us."""
        limits = self.door.limits
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while not self._has_ended():
            await asyncio.sleep(min(_TICK_S, limits.idle_limit_s / 4))
            stream, call = self.stream, self.call
            if stream is None or call is None:
                began_s = loop.time()
                continue
            self.door.calls.report(call, stream)
            now_s = loop.time()
            if now_s - stream.last_ms / 1000 > limits.idle_limit_s:
                await self.refuse(ProtocolError(CloseCode.POLICY, "idle", "no audio for too long"))
            elif limits.max_speed and stream.audio_s > limits.burst_s + limits.max_speed * (now_s - began_s):
                await self.refuse(ProtocolError(CloseCode.POLICY, "too-fast", "too fast"))

    async def refuse(self, error: ProtocolError) -> None:
        """Cut the peer off, and tell it why."""
        self._count_refused(error.reason)
        self.end(error.reason, lost=True)
        await self.on_refused(error)
        await self.socket.close(code=error.code, message=str(error).encode("ascii", "replace")[:123])

    def _count_refused(self, reason: str) -> None:
        self.door.meter.refused(self.door.name, reason)
        if self.call is not None:
            self.call.handle.note("stream-error", {"reason": reason})
        else:
            log.info("media socket refused", door=self.door.name, reason=reason)
