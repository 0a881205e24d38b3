"""A live call's recording: what the loop and the media thread ask for, queued for the writing thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, Protocol

from prometheus_client import Counter

from infra.model import AudioChunk, Call, Role, Track, side_of
from infra.shelf import Shelf
from infra.store.recordings import Recorded
from media_gateway.ports import TrackSink
from media_gateway.recording.take import Take, track_name
from media_gateway.recording.writer import Writer

RecordingState = Literal["off", "on", "paused"]

_LOST: Final = Counter("hearline_recording_lost_chunks_total", "Chunks left out because the disk was too slow")
_CHUNK_COST_BYTES: Final = 500
"""What a queued chunk costs beside its samples."""
_REASONS: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "disk-full"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST), "not-writable"),
    **dict.fromkeys((errno.ENOENT, errno.ESTALE), "file-lost"),
}


class Listener(Protocol):
    """Who is told what becomes of a recording; on the event loop."""

    def paused(self, recording: CallRecording, at_ms: int) -> None:
        """Nothing is kept from here on."""

    def resumed(self, recording: CallRecording, at_ms: int) -> None:
        """What follows is kept."""

    def left_out(self, recording: CallRecording, start_ms: int, end_ms: int) -> None:
        """The disk was too slow for a stretch of a track."""

    def broken(self, recording: CallRecording, at_ms: int, reason: str) -> None:
        """Nothing more can be written."""

    def ending(self, recording: CallRecording) -> None:
        """The call is over."""

    def written(self, recording: CallRecording, duration_ms: int) -> None:
        """All of it is written: it can be finished."""


class CallRecording:
    """A live call's recording. All but the sinks of its tracks is for the event loop; nothing blocks or raises."""

    def __init__(self, call: Call, of: Recorded, shelf: Shelf, writer: Writer, listener: Listener) -> None:
        self.call = call
        self.of = of
        self.damage: tuple[int, str] | None = None
        """From where on nothing could be written, in ms, and why."""
        self._writer = writer
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._sinks: list[_Sink] = []
        self._is_paused = False
        self._is_over = False
        self._broken = False
        """Set by the writing thread, seen by all."""
        self._take: Take | None = None
        """The writing thread's own."""
        writer.put(partial(self._begin, shelf))

    @property
    def state(self) -> RecordingState:
        """Whether what is said now is kept."""
        if self._is_over or self._broken:
            return "off"
        return "paused" if self._is_paused else "on"

    def track(self, track: Track, role: Role) -> TrackSink:
        """Return where a track's chunks go, from any thread: the customer's to the left, all others to the right."""
        del track  # its file has a number of its own
        sink = _Sink(self, track_name(side_of(role), next(self._numbers)))
        self._sinks.append(sink)
        self._do(sink.open)
        return sink

    def pause(self, at_ms: int) -> None:
        """Keep nothing from this moment of the call on. A second time does nothing."""
        if self.state == "on":
            self._is_paused = True
            self._do(lambda take: take.pause(at_ms), at_ms)
            self._listener.paused(self, at_ms)

    def resume(self, at_ms: int) -> None:
        """Keep what follows this moment of the call. A second time does nothing."""
        if self.state == "paused":
            self._is_paused = False
            self._do(lambda take: take.resume(at_ms), at_ms)
            self._listener.resumed(self, at_ms)

    def finish(self, duration_ms: int) -> None:
        """The call is over: have the recording finished. A second time does nothing."""
        if self._is_over:
            return
        self._is_over = True
        for sink in self._sinks:
            sink.tell_lost()
        self._listener.ending(self)
        self._writer.put(partial(self._end, duration_ms))

    def write(self, act: Callable[[Take], None], at_ms: int, size_bytes: int) -> bool:
        """Have a sink's chunk written; False when the queue is full."""
        return self._broken or self._writer.put(partial(self._try, act, at_ms), size_bytes)

    def left_out(self, start_ms: int, end_ms: int) -> None:
        """Tell of a stretch that the queue could not take. From any thread."""
        self._post(self._listener.left_out, self, start_ms, end_ms)

    def _do(self, act: Callable[[Take], None], at_ms: int = 0) -> None:
        self._writer.put(partial(self._try, act, at_ms))

    def _begin(self, shelf: Shelf) -> None:
        try:
            self._take = Take(shelf, self.call)
        except OSError as error:
            self._break(error, 0)
            return
        if (since_ms := self._take.pauses.since_ms) is not None:
            self._post(self._go_on_paused, since_ms)

    def _try(self, act: Callable[[Take], None], at_ms: int) -> None:
        if self._take is not None:
            try:
                act(self._take)
            except OSError as error:
                self._break(error, at_ms)

    def _break(self, error: OSError, at_ms: int) -> None:
        self._broken = True
        if self._take is not None:
            self._take.close()
            self._take = None
        self._post(self._be_broken, at_ms, reason_of(error))

    def _end(self, duration_ms: int) -> None:
        self._try(lambda take: take.end(duration_ms), duration_ms)
        if self._take is not None:
            self._take.close()
            self._take = None
        self._post(self._listener.written, self, duration_ms)

    def _go_on_paused(self, since_ms: int) -> None:
        if not self._is_paused and not self._is_over:
            self._is_paused = True
            self._listener.paused(self, since_ms)

    def _be_broken(self, at_ms: int, reason: str) -> None:
        self.damage = at_ms, reason
        self._listener.broken(self, at_ms, reason)

    def _post(self, act: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended; the next gateway finishes what is written
            self._loop.call_soon_threadsafe(act, *arguments)


class _Sink:
    """A track's way into the recording."""

    def __init__(self, recording: CallRecording, name: str) -> None:
        self._recording = recording
        self._name = name
        self._lost: tuple[int, int] | None = None
        """What the queue could not take, as far as nobody knows of it."""

    def open(self, take: Take) -> None:
        take.open_track(self._name)

    def put(self, chunk: AudioChunk) -> None:
        """Queue the track's next chunk. Never blocks."""
        if chunk.pcm:
            write = partial(_write, self._name, chunk.start_ms, chunk.pcm)
            if self._recording.write(write, chunk.start_ms, len(chunk.pcm) + _CHUNK_COST_BYTES):
                self.tell_lost()
            else:
                self._lose(chunk)
        if chunk.last:
            self._recording.write(partial(_close, self._name), chunk.end_ms, 0)

    def _lose(self, chunk: AudioChunk) -> None:
        _LOST.inc()
        if self._lost is not None and self._lost[1] == chunk.start_ms:
            self._lost = self._lost[0], chunk.end_ms
        else:
            self.tell_lost()
            self._lost = chunk.start_ms, chunk.end_ms

    def tell_lost(self) -> None:
        if self._lost is not None:
            self._recording.left_out(*self._lost)
            self._lost = None


def reason_of(error: Exception) -> str:
    """Return in a word why a recording could not be written."""
    otherwise = "disk-error" if isinstance(error, OSError) else "encoder"
    return _REASONS.get(getattr(error, "errno", None) or 0, otherwise)


def _write(name: str, start_ms: int, pcm: bytes, take: Take) -> None:
    take.write(name, start_ms, pcm)


def _close(name: str, take: Take) -> None:
    take.close_track(name)
