"""How late one track's words are: since when its audio is here, and what of it still waits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from infra.bus.presence import Presence
from infra.bus.streams import BusError
from infra.model import AudioChunk

CLOCK_AGAIN_S: Final = 15.0
CLOCK_NOISE_MS: Final = 300
"""Clocks of two machines that differ by less are taken for one."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """When a chunk's stretch of the call reached the gateway."""

    seq: int
    start_ms: int
    end_ms: int
    received_at_ms: int


class Lateness:
    """Knows of each chunk that may still be asked for when it reached the gateway, and which finals are due."""

    def __init__(self) -> None:
        self._arrivals: deque[_Arrival] = deque()
        self._due_ms: deque[int] = deque()
        """The finals that are not stored yet: when the chunk arrived that ended each of them."""
        self._nothing_due = asyncio.Event()
        self._nothing_due.set()
        self._reading_ms: int | None = None
        """When the chunk in hand arrived; None while there is none."""
        self._storing = False
        self._ahead_ms = 0
        """How far this machine's clock is ahead of the gateway's."""
        self.received_ms = 0
        """When the newest chunk arrived (Unix milliseconds)."""

    def arrived(self, chunk: AudioChunk) -> None:
        """Take note of the chunk that is now in hand."""
        self._reading_ms = self.received_ms = chunk.received_at_ms
        self._arrivals.append(_Arrival(chunk.seq, chunk.start_ms, chunk.end_ms, chunk.received_at_ms))

    def nothing_to_read(self) -> None:
        """All that has arrived was read."""
        self._reading_ms = None

    def final_due(self) -> None:
        """The newest chunk has ended a segment: its final is waited for."""
        self._due_ms.append(self.received_ms)
        self._nothing_due.clear()

    def storing(self) -> None:
        """The oldest final is recognised: what it waits for now is the store."""
        self._storing = True

    def final_done(self) -> None:
        """The oldest final waits no longer."""
        self._storing = False
        self._due_ms.popleft()
        if not self._due_ms:
            self._nothing_due.set()

    async def until_nothing_is_due(self) -> None:
        """Wait until no final waits."""
        await self._nothing_due.wait()

    @property
    def anything_due(self) -> bool:
        return bool(self._due_ms)

    @property
    def oldest_due_ms(self) -> int:
        """Return when the audio of the oldest final that waits could be recognised (Unix milliseconds)."""
        return self._due_ms[0] if self._due_ms else self.received_ms

    def lag_ms(self) -> int:
        """Return the age of the oldest audio that could have its final, and has none.

        A final is waited for from the moment the chunk arrived that ended its segment; audio that was not read yet
        from its own arrival. Wordless audio that was read waits for nothing, nor does a segment that still grows.
        """
        if self._due_ms:
            oldest_ms = self._due_ms[0]
        elif self._reading_ms is not None:
            oldest_ms = self._reading_ms
        else:
            return 0
        return max(0, self._gateway_now_ms() - oldest_ms)

    def behind_ms(self) -> int:
        """Return the part of `lag_ms` that recognising less would mend: none while a store is waited for."""
        return 0 if self._storing else self.lag_ms()

    def since_ms(self, spoken_ms: int) -> int | None:
        """Return milliseconds since the moment `spoken_ms` of the call reached the gateway."""
        for arrival in reversed(self._arrivals):
            if arrival.start_ms <= spoken_ms:
                return max(0, self._gateway_now_ms() - arrival.received_at_ms + max(0, arrival.end_ms - spoken_ms))
        return None

    def chunk_at(self, moment_ms: int) -> int | None:
        """Return the number of the first chunk that reaches beyond a moment; None where all end before."""
        return next((arrival.seq for arrival in self._arrivals if arrival.end_ms > moment_ms), None)

    def forget(self, before_seq: int) -> None:
        """Nothing before that chunk will be asked for any more."""
        while self._arrivals and self._arrivals[0].seq < before_seq:
            self._arrivals.popleft()

    async def follow_clock(self, presence: Presence, gateway_id: str) -> None:
        """Compare this machine's clock with the gateway's for ever."""
        while True:
            try:
                ahead_ms = await presence.ahead_of_gateway_ms(gateway_id)
            except BusError:
                ahead_ms = None
            if ahead_ms is not None:
                self._ahead_ms = ahead_ms if abs(ahead_ms) > CLOCK_NOISE_MS else 0
            await asyncio.sleep(CLOCK_AGAIN_S)

    def _gateway_now_ms(self) -> int:
        return int(time.time() * 1000) - self._ahead_ms
