"""One stream over one WebSocket, whatever its dialect: parties and their audio, and a caller's line both ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from infra.model import Call
from media_gateway.audio import AudioFormatError, PayloadError, Samples
from media_gateway.follow_clock import FollowClock
from media_gateway.open_calls import Line, Stream
from media_gateway.ports import CallRefused
from media_gateway.protocols.dialects.dialect import (
    Codec,
    Dialect,
    Event,
    Flow,
    Held,
    Key,
    Media,
    Message,
    Missing,
    Opened,
    Played,
    Resumed,
    Send,
    Start,
    Stop,
    Track,
    duration_ms,
    unsupported,
)
from media_gateway.protocols.errors import CloseCode, ProtocolError
from media_gateway.switchboard.board import Switchboard
from media_gateway.switchboard.conversation import Conversation
from media_gateway.transports.media_socket import MediaDoor, MediaSocket
from media_gateway.voices import PacketVoice
from media_gateway.wire_audio import line_voice, packet_decoder, read_format, voice_packets

_LINE_DELAY_S: Final = 0.3
"""How long after it was sent audio has been heard, where the sender does not say."""
_FAREWELL_S: Final = 2.0
"""For the sender to take what says why it is cut off."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a stream that was let in."""

    call: Call
    tracks: tuple[Track, ...]
    """Those that `Start` announced, whosever they turned out to be."""
    answered: bool = False
    """Whether the caller is put through to us; only where `Start.plays` says how to reply."""
    returning: bool = False
    """Whether the call has been here before and its stream broke."""
    alone: Track | None = None
    """What the first track that `Start` did not announce is taken for."""


Admit = Callable[[Start], Awaitable[Admission]]
"""Says which call a stream carries. Raises ProtocolError: it is not let in."""


@dataclass(slots=True)
class _Track:
    """One track's way into its line."""

    line: Line
    clock: FollowClock
    decode: Callable[[bytes], Samples] | None


class DialectSocket(MediaSocket):
    """One sender's socket. `new_voice`, `play`, `clear`, `mark` and `hang_up` make it a CallerLine."""

    def __init__(
        self,
        door: MediaDoor,
        dialect: Dialect,
        admit: Admit,
        *,
        board: Switchboard | None,
        protocols: tuple[str, ...] = (),
    ) -> None:
        super().__init__(door, protocols)
        self.farewell_s = dialect.farewell_s
        self._dialect = dialect
        self._admit = admit
        self._board = board
        self._tracks: dict[str, _Track] = {}
        self._codec = Codec("mulaw", 8_000)
        self._plays: Codec | None = None
        self._time = asyncio.get_running_loop().time
        self._alone: Track | None = None
        self._caller: str | None = None
        """The track on which the caller of a conversation is heard."""
        self._conversation: Conversation | None = None
        self._voice: PacketVoice | None = None
        self._may_send = True
        self._is_held = False

    async def on_text(self, data: bytes) -> None:
        await self._take(self._dialect.feed_text(data))

    async def on_binary(self, data: bytes) -> None:
        await self._take(self._dialect.feed_binary(data))

    async def on_refused(self, error: ProtocolError) -> None:
        self._post(self._dialect.refused(error))
        await self.sent(_FAREWELL_S)  # a peer that does not read must not hold us up

    async def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self.post(event.message)
            elif self._has_ended():
                continue
            elif type(event) is Media:
                self._on_media(event)
            elif isinstance(event, Start):
                await self._on_start(event)
            elif isinstance(event, Stop):
                self.end(event.reason)
            else:
                self._on_rare(event)
        if self._is_held and self.stream is not None:
            self.stream.last_ms = self._time() * 1000  # as long as it says anything, it is there

    def _on_rare(self, event: Event) -> None:
        call, caller = self.call, self._conversation.caller if self._conversation is not None else None
        if call is None:
            return
        if isinstance(event, Opened):
            self._open(event.track)
        elif isinstance(event, Key):
            call.handle.note("dtmf", {"digit": event.digit})
            if caller is not None:
                caller.key(event.digit)
        elif isinstance(event, Played):
            call.handle.note("mark", {"name": event.mark})
            if caller is not None:
                caller.heard(event.mark)
        elif isinstance(event, Missing):
            for track in self._tracks.values():
                track.clock.skip(event.duration_ms)
        elif isinstance(event, Held | Resumed):
            self._is_held = isinstance(event, Held)
            for track in self._tracks.values():
                track.clock.hold()
        elif isinstance(event, Flow):
            self._may_send = event.may_send

    # what a conversation does with the line (media_gateway.ports.CallerLine)

    def new_voice(self) -> PacketVoice:
        """Return a voice of the codecs that this stream speaks."""
        assert self._plays is not None
        return line_voice(self._codec, self._plays)

    def play(self, samples: bytes) -> None:
        """Send 20 ms, unless the sender has no room for more."""
        if self._may_send:
            self._post(self._dialect.media(samples))
        else:
            self.unsent += 1

    def clear(self) -> None:
        """Throw away what the caller has not heard yet."""
        self._post(self._dialect.clear())

    def mark(self, name: str) -> None:
        """Ask to be told when what was sent so far has been heard; say so ourselves where the sender does not."""
        messages = self._dialect.mark(name)
        if messages is None:
            asyncio.get_running_loop().call_later(_LINE_DELAY_S, self._heard, name)
        else:
            self._post(messages)

    def hang_up(self, reason: str) -> None:
        """End the call in the sender's own words, and close the socket once everything is sent."""
        if not self._has_ended():
            self._post(self._dialect.hang_up())
        super().hang_up(reason)

    def end(self, reason: str, *, lost: bool = False) -> None:
        """The stream has ended; a caller who was lost may come back to those they talked to."""
        if self._conversation is not None:
            self._voice = None
            if lost:
                self._conversation.caller.lost(self)
        super().end(reason, lost=lost)

    def _post(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.post(message)

    def _heard(self, name: str) -> None:
        if self._conversation is not None and not self._has_ended():
            self._conversation.caller.heard(name)

    # the caller's words

    async def _on_start(self, start: Start) -> None:
        try:
            audio_format = read_format(start.codec)
        except AudioFormatError as error:
            raise unsupported(str(error)) from None
        admission = await self._admit(start)
        self._codec, self._plays, self._alone = start.codec, start.plays, admission.alone
        stream = Stream(audio_format, {track.role for track in admission.tracks})
        stream.last_ms = self._time() * 1000
        try:
            open_call = await self.door.calls.attach(admission.call, stream)
        except CallRefused as error:
            raise ProtocolError(CloseCode.POLICY, "call-refused", str(error)) from None
        self.stream = stream
        self.call = open_call
        for track in admission.tracks:
            self._join(track.name, track)
        self._post(self._dialect.started())
        if self._board is not None and admission.answered and start.plays is not None:
            self._caller = admission.tracks[0].name if admission.tracks else None
            self._conversation, self._voice = await self._board.receive(
                open_call.handle, self, returning=admission.returning
            )

    def _open(self, track: Track) -> None:
        """Take in a track that was not announced. Beside a caller who talks to us it is our own voice: left aside."""
        if track.name in self._tracks:
            return
        if self._conversation is not None:
            if self._caller is not None or track.role != "customer":
                return
            self._caller = track.name
        if self._alone is not None and not self._tracks:
            track = replace(self._alone, name=track.name)
        assert self.stream is not None
        self.stream.roles.add(track.role)
        self._join(track.name, track)

    def _join(self, name: str, track: Track) -> None:
        assert self.call is not None
        line = self.call.line(track.role, track.name, mixed=track.mixed)
        self._tracks[name] = _Track(line, FollowClock(), packet_decoder(self._codec))

    def _on_media(self, media: Media) -> None:
        stream = self.stream
        track = self._tracks.get(media.track)
        if stream is None:
            return
        now_ms = self._time() * 1000
        stream.last_ms = now_ms
        if track is None:
            stream.spare += 1
            return
        length_ms = duration_ms(media.payload, self._codec)
        at_ms = media.timestamp_ms
        if at_ms is None:
            at_ms = track.clock.place(length_ms, now_ms)
        if self._voice is not None and media.track == self._caller:
            now_s = time.monotonic()
            for timestamp, packet in voice_packets(media.payload, at_ms, self._codec):
                self._voice.receive(timestamp, packet, now_s)
        payload = media.payload
        if track.decode is not None:
            try:
                payload = track.decode(payload).tobytes()
            except PayloadError:
                return
        stream.audio_bytes += len(payload)
        line = track.line
        if line.is_fed_by(stream) or line.claim(stream, at_ms, int(length_ms), now_ms):
            line.put(at_ms, payload, now_ms)
        else:
            stream.spare += 1
