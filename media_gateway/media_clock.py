"""The thread in which media is decoded, mixed and encoded: one beat every 20 ms, so that the event loop never is.

Loop -> thread: packets are appended to a deque of their own. Thread -> loop: what a beat wants done there is handed
over in one piece.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from infra.telemetry import logger
from media_gateway.audio import FRAME_MS

log = logger(__name__)

Errand = Callable[[], None]
Post = Callable[[Errand], None]
"""Have something done on the event loop, after this beat."""

_BEAT_S: Final = FRAME_MS / 1000
_GIVE_UP_S: Final = 0.2
"""Behind by more than this (the machine slept), the beats that were missed are left out."""
_WORK: Final = Histogram(
    "hearline_media_beat_seconds",
    "Work of one 20 ms beat of the media thread",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1),
)
_MISSED: Final = Counter("hearline_media_missed_beats_total", "Beats of 20 ms left out because the thread was late")


class Beating(Protocol):
    """Whatever has media work to do every 20 ms."""

    def beat(self, now_s: float, due_s: float, post: Post) -> None:
        """Do 20 ms of work, in the media thread.

        `now_s`: time.monotonic(). `due_s`: when the beat was due on that clock: 20 ms after the last one, or more if
        some were left out.
        """


class MediaClock:
    """Beats for those who were added. `start` it on the loop that its errands run on; `stop` it there too."""

    def __init__(self) -> None:
        self._members: tuple[Beating, ...] = ()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, member: Beating) -> None:
        """Beat for one more, from the next beat on."""
        self._members = (*self._members, member)
        self._woken.set()

    def remove(self, member: Beating) -> None:
        """Beat for it no more; a beat that is under way is finished."""
        self._members = tuple(other for other in self._members if other is not member)

    def start(self) -> None:
        """Start the thread."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="media", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after its beat."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = time.monotonic()
        while not self._stopping.is_set():
            if not self._members:
                self._woken.wait()
                self._woken.clear()
                due_s = time.monotonic()
                continue
            now_s = time.monotonic()
            if due_s > now_s:
                time.sleep(due_s - now_s)
            elif now_s - due_s > _GIVE_UP_S:
                _MISSED.inc(int((now_s - due_s) / _BEAT_S))
                due_s = now_s
            if not self._beat(loop, due_s):
                return
            due_s += _BEAT_S

    def _beat(self, loop: asyncio.AbstractEventLoop, due_s: float) -> bool:
        errands: list[Errand] = []
        now_s = time.monotonic()
        for member in self._members:
            try:
                member.beat(now_s, due_s, errands.append)
            except Exception as error:  # noqa: BLE001  (the outer loop: one call's fault must not silence the others)
                log.error("media beat failed", error=type(error).__name__, detail=str(error)[:200])
        _WORK.observe(time.monotonic() - now_s)
        if errands:
            try:
                loop.call_soon_threadsafe(_carry_out, errands)
            except RuntimeError:  # the loop has been closed
                return False
        return True


def _carry_out(errands: list[Errand]) -> None:
    for errand in errands:
        try:
            errand()
        except Exception as error:  # noqa: BLE001  (the same: the other calls' packets still have to go out)
            log.error("media errand failed", error=type(error).__name__, detail=str(error)[:200])
