"""One AudioSocket connection: a caller's line both ways."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from infra.model import Call
from infra.telemetry import logger
from media_gateway.audio import FRAME_MS, AudioFormat, AudioFormatError
from media_gateway.follow_clock import FollowClock
from media_gateway.open_calls import Line, OpenCall, OpenCalls, Stream
from media_gateway.ports import CallRefused, Meter
from media_gateway.protocols.audiosocket import (
    Audio,
    AudioSocketStream,
    Event,
    Failed,
    HungUp,
    Key,
    Opened,
    audio_packet,
    hang_up_packet,
)
from media_gateway.protocols.dialects.dialect import Codec, duration_ms
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.switchboard.board import Switchboard
from media_gateway.switchboard.conversation import Conversation
from media_gateway.transports.media_socket import SocketLimits
from media_gateway.voices import PacketVoice
from media_gateway.wire_audio import PcmDecoder, PcmEncoder, voice_packets

log = logger(__name__)

DOOR: Final = "audiosocket"
READ_BYTES: Final = 16 * 1024

_USUAL_HZ: Final = 8_000
"""What AudioSocket() speaks; taken for granted when a caller is silent from the start."""
_SILENT_START_S: Final = 1.0
_OUTGOING: Final = 50
"""Frames that wait to be sent: 1 s; beyond it the oldest go."""
_FAREWELL_S: Final = 2.0
"""For the sender to take what is still to be sent."""
_LINE_DELAY_S: Final = 0.3
"""How long after it was sent audio has been heard."""


@dataclass(frozen=True, slots=True)
class Way:
    """What a connection finds behind the door."""

    calls: OpenCalls
    limits: SocketLimits
    meter: Meter
    board: Switchboard | None
    admit: Callable[[UUID, bool], Awaitable[Call]]
    """Says which call a UUID is; the flag: whether the connection is trusted. Raises ProtocolError."""


class AudioSocketLine:
    """One connection, from its first byte to its end. `new_voice`, `play`, `clear`, `mark` and `hang_up` make it a
    CallerLine.
    """

    def __init__(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_trusted: bool
    ) -> None:
        """`is_trusted`: it needs no grant."""
        self.is_trusted = is_trusted
        self._way = way
        self._reader = reader
        self._writer = writer
        self._protocol = AudioSocketStream()
        self._time = asyncio.get_running_loop().time
        self._admitted: Call | None = None
        self._codec: Codec | None = None
        self._call: OpenCall | None = None
        self._stream: Stream | None = None
        self._line: Line | None = None
        self._clock = FollowClock()
        self._conversation: Conversation | None = None
        self._voice: PacketVoice | None = None
        self._ended = False
        self._outgoing: deque[bytes] = deque(maxlen=_OUTGOING)
        self._last: bytes | None = None
        """What is sent at the very end, after which the connection is closed."""
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        """Set once nothing more will be sent."""
        self._dropped = 0

    @property
    def is_named(self) -> bool:
        """Return whether its call is known."""
        return self._admitted is not None

    def carries(self, call_id: UUID) -> bool:
        """Return whether this is a call's connection, now."""
        return self._admitted is not None and self._admitted.id == call_id and not self._ended

    async def run(self) -> None:
        """Carry the connection until it ends, then let go of its call."""
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(self._watch()), tasks.create_task(self._write())]
                try:
                    await self._read()
                    if self._last is not None:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(_FAREWELL_S):
                                await self._sent.wait()
                finally:
                    for task in beside:
                        task.cancel()
        finally:
            self.end("connection-lost", lost=True)
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._writer.wait_closed()

    # what a conversation does with the line (media_gateway.ports.CallerLine)

    def new_voice(self) -> PacketVoice:
        """Return a voice of the line's rate. Asterisk plays what comes when it comes, so silence is sent too."""
        assert self._codec is not None
        wire = _wire_format(self._codec)
        return PacketVoice(PcmDecoder(wire).decode, PcmEncoder(wire).encode, wire.rate_hz, gapless=True)

    def play(self, samples: bytes) -> None:
        """Send 20 ms; a sender that does not read loses the oldest."""
        if self._codec is None or self._ended:
            return
        self._dropped += len(self._outgoing) == _OUTGOING
        self._outgoing.append(audio_packet(samples, self._codec.rate_hz))
        self._wake.set()

    def clear(self) -> None:
        """Throw away what has not been sent yet; Asterisk keeps nothing."""
        self._outgoing.clear()

    def mark(self, name: str) -> None:
        """Say that what was sent so far has been heard when its time has gone by: the protocol cannot be asked."""
        delay_s = len(self._outgoing) * FRAME_MS / 1000 + _LINE_DELAY_S
        asyncio.get_running_loop().call_later(delay_s, self._heard, name)

    def hang_up(self, reason: str) -> None:
        """End the call, once everything is sent."""
        self.end(reason)
        self._last = hang_up_packet()
        self._wake.set()

    def _heard(self, name: str) -> None:
        if self._conversation is not None and not self._ended:
            self._conversation.caller.heard(name)

    # the connection

    def end(self, reason: str, *, lost: bool = False) -> None:
        """The stream has ended, in good order or not: leave the call. Only the first end counts."""
        if self._ended:
            return
        self._ended = True
        # A sender that neither reads nor closes must not hold the connection.
        asyncio.get_running_loop().call_later(2 * _FAREWELL_S, self._writer.transport.abort)
        self._voice = None
        if self._conversation is not None and lost:
            self._conversation.caller.lost(self)
        if self._call is not None and self._stream is not None:
            self._way.calls.detach(self._call, self._stream, reason, lost=lost)
        if self._dropped:
            self._way.meter.frames(DOOR, "unsent", self._dropped)

    async def _read(self) -> None:
        limits = self._way.limits
        try:
            try:
                until_s = self._time() + limits.start_deadline_s
                while self._admitted is None and await self._read_some(until_s):
                    pass
            except TimeoutError:
                raise ProtocolError(CloseCode.POLICY, "no-start", "no UUID in time") from None
            with contextlib.suppress(TimeoutError):
                until_s = self._time() + _SILENT_START_S
                while self._call is None and await self._read_some(until_s):
                    pass
            if self._call is None and not self._ended:
                await self._begin(_USUAL_HZ)
            while await self._read_some():
                pass
        except ProtocolError as error:
            self._refuse(error)

    async def _read_some(self, until_s: float | None = None) -> bool:
        """Take what has come; False when nothing more will.

        Raises:
            TimeoutError: nothing came until then, on the loop's clock.
        """
        if self._ended:
            return False
        try:
            async with asyncio.timeout_at(until_s):
                data = await self._reader.read(READ_BYTES)
        except ConnectionError:
            return False
        if not data:
            self.end("closed")  # as good as hanging up, says the protocol
            return False
        for event in self._protocol.feed(data):
            await self._take(event)
        return not self._ended

    async def _take(self, event: Event) -> None:
        if isinstance(event, Audio):
            await self._on_audio(event)
        elif isinstance(event, Opened):
            self._admitted = await self._way.admit(event.call_id, self.is_trusted)
        elif isinstance(event, Key) and self._call is not None:
            self._call.handle.note("dtmf", {"digit": event.digit})
            if self._conversation is not None:
                self._conversation.caller.key(event.digit)
        elif isinstance(event, HungUp):
            self.end("completed")
        elif isinstance(event, Failed) and self._call is not None:
            self._call.handle.note("stream-error", {"reason": "sender-error", "code": event.code})

    async def _begin(self, rate_hz: int) -> None:
        """Answer the call: its audio's rate is known."""
        call = self._admitted
        if call is None:  # the connection is closed before it said anything
            return
        codec = Codec("l16le", rate_hz)
        try:
            PcmDecoder(_wire_format(codec))
        except AudioFormatError as error:
            raise ProtocolError(CloseCode.UNSUPPORTED, "unsupported-audio", str(error)) from None
        stream = Stream(_wire_format(codec), {"customer"})
        stream.last_ms = self._time() * 1000
        try:
            open_call = await self._way.calls.attach(call, stream)
        except CallRefused as error:
            raise ProtocolError(CloseCode.POLICY, "call-refused", str(error)) from None
        self._codec, self._stream, self._call = codec, stream, open_call
        self._line = open_call.line("customer", "channel")
        if self._way.board is not None:
            self._conversation, self._voice = await self._way.board.receive(open_call.handle, self, returning=False)

    async def _on_audio(self, audio: Audio) -> None:
        if self._call is None:
            await self._begin(audio.rate_hz)
        stream, line, codec = self._stream, self._line, self._codec
        if stream is None or line is None or codec is None or self._ended:
            return
        if audio.rate_hz != codec.rate_hz:
            raise ProtocolError(CloseCode.UNSUPPORTED, "unsupported-audio", "the sample rate changed")
        now_ms = self._time() * 1000
        length_ms = duration_ms(audio.payload, codec)
        at_ms = self._clock.place(length_ms, now_ms)
        stream.last_ms = now_ms
        stream.audio_bytes += len(audio.payload)
        if self._voice is not None:
            now_s = time.monotonic()
            for timestamp, packet in voice_packets(audio.payload, at_ms, codec):
                self._voice.receive(timestamp, packet, now_s)
        if line.is_fed_by(stream) or line.claim(stream, at_ms, int(length_ms), now_ms):
            line.put(at_ms, audio.payload, now_ms)
        else:
            stream.spare += 1

    async def _write(self) -> None:
        """Send what there is, and at the end hang up. Asterisk's buffer is the kernel's: we wait for it here."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outgoing:
                    self._writer.write(self._outgoing.popleft())
                    await self._writer.drain()
                if self._last is not None:
                    self._writer.write(self._last)
                    await self._writer.drain()
                    self._writer.close()
                    return
        except OSError:
            pass  # the end of the connection will show in the reading
        finally:
            self._sent.set()

    async def _watch(self) -> None:
        """Every second: count the sender's frames; cut it off if it fell silent or floods us."""
        limits = self._way.limits
        began_s = self._time()
        while not self._ended:
            await asyncio.sleep(min(1.0, limits.idle_limit_s / 4))
            stream, call = self._stream, self._call
            if stream is None or call is None:
                began_s = self._time()
                continue
            self._way.calls.report(call, stream)
            now_s = self._time()
            if now_s - stream.last_ms / 1000 > limits.idle_limit_s:
                self._refuse(ProtocolError(CloseCode.POLICY, "idle", "no audio for too long"))
            elif limits.max_speed and stream.audio_s > limits.burst_s + limits.max_speed * (now_s - began_s):
                self._refuse(ProtocolError(CloseCode.POLICY, "too-fast", "too fast"))

    def _refuse(self, error: ProtocolError) -> None:
        """Cut the sender off; all that it can be told is that the call is over."""
        self._way.meter.refused(DOOR, error.reason)
        if self._call is not None:
            self._call.handle.note("stream-error", {"reason": error.reason})
        else:
            log.info("audiosocket refused", door=DOOR, reason=error.reason)
        self.end(error.reason, lost=self._call is not None)
        self._last = hang_up_packet()
        self._wake.set()


def _wire_format(codec: Codec) -> AudioFormat:
    return AudioFormat("l16le", codec.rate_hz)
