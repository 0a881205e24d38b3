"""The recording of an imported call: all of its file, written anew by whoever goes on with the import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from infra.model import AudioChunk, Call, side_of
from infra.shelf import Shelf
from infra.telemetry import logger
from media_gateway.importing.call import Party
from media_gateway.recording.live import reason_of
from media_gateway.recording.take import Take, clear, track_name

log = logger(__name__)


class Copy:
    """Writes a call's take. A disk that refuses ends the recording, not the import."""

    def __init__(self, shelf: Shelf | None, call: Call, parties: Sequence[Party]) -> None:
        """None as the shelf: nothing is recorded."""
        self._shelf = shelf
        self._call = call
        self._names = [track_name(side_of(party.role), number) for number, party in enumerate(parties)]
        self._take: Take | None = None
        self._end_ms = 0
        self.damage: tuple[int, str] | None = None
        """From where on nothing could be written, in ms, and why."""

    @property
    def is_kept(self) -> bool:
        """Return whether there is to be a recording."""
        return self._shelf is not None

    async def begin(self) -> None:
        """Begin at the beginning; what an earlier attempt has written goes."""
        await self._try(self._begin)

    async def put(self, chunks: list[list[AudioChunk]]) -> None:
        """Write the next chunks of each track."""
        if self._take is not None:
            await self._try(partial(self._write, chunks))

    async def end(self, duration_ms: int) -> None:
        """All is written."""
        if self._take is not None:
            await self._try(partial(self._take.end, duration_ms))
            self.close()

    def close(self) -> None:
        """Let go of the take."""
        if self._take is not None:
            self._take.close()
            self._take = None

    def _begin(self) -> None:
        if self._shelf is None:
            return
        clear(self._shelf, self._call.id)
        self._take = Take(self._shelf, self._call)
        for name in self._names:
            self._take.open_track(name)

    def _write(self, chunks: list[list[AudioChunk]]) -> None:
        assert self._take is not None
        for name, fresh in zip(self._names, chunks, strict=True):
            for chunk in fresh:
                if chunk.pcm:
                    self._take.write(name, chunk.start_ms, chunk.pcm)
                    self._end_ms = max(self._end_ms, chunk.end_ms)

    async def _try(self, act: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(act)
        except OSError as error:
            log.error("recording of an import broken", call_id=str(self._call.id), reason=reason_of(error))
            self.damage = self._end_ms, reason_of(error)
            self.close()
