"""Frames placed by their timestamps: out of order in, contiguous audio and gaps out.

No I/O, no decoding, and never more work or memory than the frames themselves: a gap is a number, however long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without audio, `samples` long at the source's rate."""

    samples: int
    cause: str
    """'missing': frames did not come; 'clock-restart': the sender's clock jumped, its length is a guess."""


Piece = bytes | Gap


class _Frame(NamedTuple):
    start: int
    """Samples on the sender's clock."""
    samples: int
    payload: bytes
    now_ms: float


class Timeline:
    """One source's frames in the order of their timestamps.

    - The first frame sets the origin, whatever its timestamp.
    - A frame that begins within `snap_ms` of the expected place (and within its own length) is taken as contiguous.
    - A frame ahead of its place waits for those before it until `reorder_ms` of audio have gone by; then what is
      missing becomes a gap.
    - A frame that is behind is a duplicate or late: dropped and counted. So many in a row as `restart_frames` mean
      that the sender's clock began anew: they follow on after a gap as long as the time since the last good frame.
    - A leap ahead of more than `max_leap_ms` is a clock that was set, unless that much time did pass.

    Times are milliseconds. `now_ms` is any monotonic clock; it only measures how long nothing came.
    """

    __slots__ = (
        "_calm",
        "_last",
        "_last_now_ms",
        "_leap",
        "_next",
        "_odd",
        "_rate_hz",
        "_recent",
        "_reorder",
        "_restart_frames",
        "_sample_bytes",
        "_snap",
        "_waiting",
        "duplicate",
        "late",
        "placed",
        "stray",
    )

    def __init__(
        self,
        rate_hz: int,
        sample_bytes: int = 1,
        *,
        reorder_ms: int = 100,
        snap_ms: int = 20,
        restart_frames: int = 5,
        max_leap_ms: int = 30_000,
    ) -> None:
        """`sample_bytes`: bytes of one sample of all channels."""
        self._rate_hz = rate_hz
        self._sample_bytes = sample_bytes
        self._reorder = reorder_ms * rate_hz // 1000
        self._snap = snap_ms * rate_hz // 1000
        self._leap = max_leap_ms * rate_hz // 1000
        self._restart_frames = restart_frames
        self._next = 0
        """Where the next contiguous frame begins, in samples on the sender's clock."""
        self._last = -1
        """Where the last placed frame said that it begins; -1 before the first."""
        self._last_now_ms = 0.0
        self._waiting: dict[int, _Frame] = {}
        self._odd: list[_Frame] = []
        """Consecutive frames that fit nowhere: late ones, or a clock that began anew."""
        self._recent: deque[tuple[int, int]] = deque(maxlen=32)
        self._calm = False
        """Nothing waits, nothing is odd, the origin is known."""
        self.placed = 0
        self.duplicate = 0
        self.late = 0
        self.stray = 0
        """Frames far ahead that nothing confirmed."""

    def put(self, timestamp_ms: int, payload: bytes, now_ms: float) -> Sequence[Piece]:
        """Take a frame; return the pieces that are now in order, oldest first."""
        start = timestamp_ms * self._rate_hz // 1000
        samples = len(payload) // self._sample_bytes
        if self._calm:
            ahead = start - self._next
            snap = samples if samples < self._snap else self._snap  # noqa: FURB136  (the hot path: min() costs 80 ns)
            if -snap < ahead < snap and start > self._last and len(payload) == samples * self._sample_bytes:
                self._next += samples
                self._last = start
                self._last_now_ms = now_ms
                self._recent.append((start, hash(payload)))
                self.placed += 1
                return (payload,)
        if not samples:
            return ()
        if len(payload) != samples * self._sample_bytes:
            payload = payload[: samples * self._sample_bytes]
        pieces: list[Piece] = []
        self._put_unusual(_Frame(start, samples, payload, now_ms), pieces)
        self._calm = self._last >= 0 and not self._waiting and not self._odd
        return pieces

    def flush(self) -> Sequence[Piece]:
        """Return what still waits: the source has ended."""
        pieces: list[Piece] = []
        self._drain(pieces, 0)
        # So close to where the clock stands, few frames are late ones rather than the first of a new clock.
        if len(self._odd) > 1 and abs(self._odd[0].start - self._next) > self._reorder:
            self._restart(pieces)
        else:
            self._dismiss()
        self._calm = self._last >= 0
        return pieces

    def _put_unusual(self, frame: _Frame, pieces: list[Piece]) -> None:
        if self._last < 0:
            self._next = frame.start
            self._place(frame, pieces)
            return
        ahead = frame.start - self._next
        if (frame.start, hash(frame.payload)) in self._recent or self._is_waiting(frame):
            self.duplicate += 1
        elif ahead + frame.samples <= 0 or frame.start <= self._last or self._is_leap(ahead, frame):
            self._put_odd(frame, pieces)
        else:
            self._dismiss()
            other = self._waiting.get(frame.start)
            if other is not None:  # two of one timestamp, not alike: the longer one is heard
                self.duplicate += 1
            if other is None or other.samples < frame.samples:
                self._waiting[frame.start] = frame
            self._drain(pieces, self._reorder)

    def _is_waiting(self, frame: _Frame) -> bool:
        other = self._waiting.get(frame.start)
        return other is not None and other.payload == frame.payload

    def _is_leap(self, ahead: int, frame: _Frame) -> bool:
        passed = (frame.now_ms - self._last_now_ms) * self._rate_hz / 1000
        return ahead > self._leap and ahead > 2 * passed

    def _drain(self, pieces: list[Piece], patience: int) -> None:
        """Place waiting frames, giving up on what is missing once more than `patience` samples lie beyond it."""
        while self._waiting:
            first = self._waiting[min(self._waiting)]
            ahead = first.start - self._next
            if ahead >= min(first.samples, self._snap):
                newest = self._waiting[max(self._waiting)]
                if newest.start + newest.samples - self._next <= patience:
                    return
                pieces.append(Gap(ahead, "missing"))
                self._next = first.start
            del self._waiting[first.start]
            if ahead + first.samples <= 0:
                self.late += 1
            else:
                self._place(first, pieces)

    def _place(self, frame: _Frame, pieces: list[Piece]) -> None:
        behind = self._next - frame.start
        payload = frame.payload
        if behind >= min(frame.samples, self._snap):  # its head was heard already
            payload = payload[behind * self._sample_bytes :]
        self._next += len(payload) // self._sample_bytes
        self._last = frame.start
        self._last_now_ms = frame.now_ms
        self._recent.append((frame.start, hash(frame.payload)))
        self.placed += 1
        pieces.append(payload)

    def _put_odd(self, frame: _Frame, pieces: list[Piece]) -> None:
        if self._odd:
            step = frame.start - self._odd[-1].start
            if not 0 < step <= self._odd[-1].samples + self._rate_hz:  # does not follow on: not one clock
                self._dismiss()
        self._odd.append(frame)
        if len(self._odd) >= self._restart_frames:
            self._restart(pieces)

    def _restart(self, pieces: list[Piece]) -> None:
        frames, self._odd = self._odd, []
        self._drain(pieces, 0)
        first = frames[0]
        passed = int((first.now_ms - self._last_now_ms) * self._rate_hz / 1000) - first.samples
        pieces.append(Gap(min(max(passed, first.samples), self._leap), "clock-restart"))
        self._recent.clear()
        self._next = first.start
        for frame in frames:
            ahead = frame.start - self._next
            if ahead >= min(frame.samples, self._snap):
                pieces.append(Gap(ahead, "missing"))
                self._next = frame.start
            if ahead + frame.samples <= 0:
                self.late += 1
            else:
                self._place(frame, pieces)

    def _dismiss(self) -> None:
        for frame in self._odd:
            if frame.start < self._next:
                self.late += 1
            else:
                self.stray += 1
        self._odd.clear()
