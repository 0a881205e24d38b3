"""One person's part in a call: a leg, a seat at the bridge, and the browser that carries the audio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import numpy as np

from infra.model import SAMPLES_PER_MS, Leg, SupervisionMode, utc_now
from media_gateway.audio import FRAME_MS, Samples
from media_gateway.bridge import SILENCE, Seat
from media_gateway.chunker import Chunker
from media_gateway.intake import unix_ms
from media_gateway.ports import CallHandle, Peer, PeerState
from media_gateway.voices import browser_voice

if TYPE_CHECKING:
    from media_gateway.switchboard.conversation import Conversation
    from media_gateway.switchboard.phones import Phone

Part = Literal["agent", "supervisor"]
Media = Literal["wanted", "connecting", "connected", "lost"]

_TRACK: Final = "microphone"
FINISHED_MS: Final = 1_000
"""Silence after which whatever somebody said counts as said to the end, although nothing more comes."""
_DRIFT_MS: Final = 100
"""How far the record may lag behind the call's clock before that becomes a hole."""


class Record:
    """What a person says in the call, written down: frames -> chunks of one track, on the call's clock."""

    def __init__(self, handle: CallHandle, leg: Leg, label: str, start_ms: int, *, recorded: bool) -> None:
        self.track, sink = handle.open_track(leg, label, recorded=recorded)
        self._chunker = Chunker(max(start_ms, 0), sink.put)
        self._pausing_ms = 0

    def keep(self, samples: Samples | None, start_ms: int) -> None:
        """Take 20 ms from this moment of the call on; None: they are not part of it."""
        chunker = self._chunker
        behind_ms = start_ms - chunker.position_ms
        if samples is None:
            self._pausing_ms += FRAME_MS
            if self._pausing_ms <= FINISHED_MS:
                chunker.push(SILENCE, unix_ms())
            else:
                chunker.skip(max(behind_ms + FRAME_MS, 0) * SAMPLES_PER_MS, "hold", unix_ms())
            return
        self._pausing_ms = 0
        if behind_ms > _DRIFT_MS:
            chunker.skip(behind_ms * SAMPLES_PER_MS, "connection-lost", unix_ms())
        chunker.push(samples, unix_ms())

    def fall_silent(self, until_ms: int) -> None:
        """Nothing comes any more: let what was said last be finished."""
        missing_ms = min(until_ms - self._chunker.position_ms, FINISHED_MS)
        if missing_ms > 0:
            self._chunker.push(np.zeros(missing_ms * SAMPLES_PER_MS, np.int16), unix_ms())

    def close(self) -> None:
        """Send the track's closing chunk."""
        self._chunker.close(unix_ms())


class Party:
    """A person in a call. It outlives the browser's connection, which may be lost and made anew."""

    def __init__(self, conversation: Conversation, phone: Phone, part: Part) -> None:
        self.conversation = conversation
        self.phone = phone
        self.part: Part = part
        self.leg = conversation.handle.join(part, phone.name, phone.id)
        self.voice = browser_voice()
        self.seat = Seat(self.voice, self._keep)
        self.media: Media = "wanted"
        self.muted = False
        self.mode: SupervisionMode | None = None if part == "agent" else "listen"
        self.joined_at: datetime = utc_now()
        self.grace: asyncio.TimerHandle | None = None
        self._peer: Peer | None = None
        self._line: BrowserLine | None = None
        self._has_left = False
        self._kept_as: tuple[str, bool] | None = None
        self._record: Record | None = None

    def line(self) -> BrowserLine:
        """Return a line for a browser's connection; it takes the place of the one before once it is connected."""
        return BrowserLine(self)

    def connect(self, line: BrowserLine, peer: Peer) -> None:
        """Take a browser's connection, unless it comes too late."""
        if self._has_left:
            peer.disconnect()
            return
        self._let_go()
        self._line, self._peer = line, peer
        self.voice.send = peer.send
        self._set_media("connecting")

    def on_state(self, line: BrowserLine, state: PeerState) -> None:
        """Take notice of a connection's state, if it is still the one in use."""
        if line is not self._line:
            return
        if state == "connected":
            self.voice.catch_up()
            self._set_media("connected")
        elif state in {"lost", "closed"}:
            self.lose()

    def lose(self) -> None:
        """Whatever connection there was is of no use any more."""
        self._let_go()
        if self.media != "wanted":
            self._set_media("lost")
            asyncio.get_running_loop().call_later(FINISHED_MS / 1000, self._fall_silent)

    def _fall_silent(self) -> None:
        if self._record is not None and self.media != "connected":
            self._record.fall_silent(self.conversation.handle.clock_ms())

    def speak(self, *, recorded: bool, label: str = _TRACK) -> None:
        """Have the words kept from the next one on, on a new track."""
        self.be_silent()
        self._kept_as = label, recorded

    def be_silent(self) -> None:
        """Have no more words kept."""
        self._kept_as = None
        if self._record is not None:
            self._record.close()
            self._record = None

    def leave(self, reason: str) -> None:
        """Take the person out of the call."""
        self._has_left = True
        if self.grace is not None:
            self.grace.cancel()
        self.be_silent()
        self._let_go()
        self.conversation.handle.leave(self.leg, reason)
        phone = self.phone
        phone.party, phone.carrier = None, None
        phone.idle_since_s = time.monotonic()
        phone.show()

    def view(self, *, here: bool) -> dict[str, Any]:
        """Return this part in the call as its phone's screens show it."""
        quality = self._peer.quality() if self._peer is not None and self.media == "connected" else None
        return {
            "part": self.part,
            "mode": self.mode,
            "leg_id": self.leg.id,
            "joined_at": self.joined_at,
            "muted": self.muted,
            "here": here,
            "media": self.media,
            "network": None
            if quality is None
            else {
                "loss_pct": round(quality.loss_fraction * 100, 1),
                "jitter_ms": round(quality.jitter_ms),
                "rtt_ms": None if quality.rtt_ms is None else round(quality.rtt_ms),
            },
            **self.conversation.view(self),
        }

    def _keep(self, samples: Samples | None, beat_s: float) -> None:
        handle = self.conversation.handle
        late_ms = round((time.monotonic() - beat_s) * 1000)  # the loop may be behind the media thread
        start_ms = handle.clock_ms() - late_ms - FRAME_MS
        if self._record is None and self._kept_as is not None and samples is not None:
            label, recorded = self._kept_as
            self._record = Record(handle, self.leg, label, start_ms, recorded=recorded)
        if self._record is not None:
            self._record.keep(samples, start_ms)

    def _set_media(self, media: Media) -> None:
        if media != self.media:
            self.media = media
            self.conversation.media_changed(self)

    def _let_go(self) -> None:
        peer, self._peer, self._line = self._peer, None, None
        self.voice.send = None
        if peer is not None:
            peer.disconnect()


class BrowserLine:
    """One browser's connection to a party (media_gateway.ports.PhoneLine)."""

    def __init__(self, party: Party) -> None:
        self._party = party
        self.on_packet: Callable[[int, bytes, float], None] = party.voice.receive

    @property
    def call_id(self) -> UUID:
        """Return the id of the call."""
        return self._party.conversation.call.id

    @property
    def leg_id(self) -> UUID:
        """Return the id of the party's leg."""
        return self._party.leg.id

    def connect(self, peer: Peer) -> None:
        """Take the connection that is being set up."""
        self._party.connect(self, peer)

    def on_state(self, state: PeerState) -> None:
        """Take notice of the connection's state."""
        self._party.on_state(self, state)

    def hang_up(self) -> None:
        """The browser hangs up."""
        self._party.conversation.hang_up(self._party)
