"""The thread that writes recordings, and the bounded queue before it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from prometheus_client import Gauge

from infra.telemetry import logger

log = logger(__name__)

SPOOL_BYTES: Final = 64 * 1024 * 1024
"""What may wait for a slow disk: half an hour of one party, or 20 s of a hundred."""
EVERY_S: Final = 0.25
"""How often the queue is emptied: what a killed gateway has not written yet is no more than that."""

_SPOOLED: Final = Gauge("hearline_recording_spool_bytes", "Audio that waits for the disk", multiprocess_mode="livesum")

Act = Callable[[], None]


class Writer:
    """Carries out acts in their order. Acts with a size are refused while too much waits; others never are."""

    def __init__(self, *, spool_bytes: int = SPOOL_BYTES, every_s: float = EVERY_S) -> None:
        self._most = spool_bytes
        self._every_s = every_s
        self._acts: deque[tuple[Act, int]] = deque()
        self._lock = threading.Lock()
        self._bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording-writer", daemon=True)

    def put(self, act: Act, size_bytes: int = 0) -> bool:
        """Have something done soon; False when the queue is full. From any thread; never blocks."""
        with self._lock:
            if size_bytes and self._bytes + size_bytes > self._most:
                return False
            self._bytes += size_bytes
            self._acts.append((act, size_bytes))
        return True

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Do what is queued and end; False when the disk takes longer than that. Blocks."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(self._every_s)
            while self._acts:
                act, size_bytes = self._acts.popleft()
                try:
                    act()
                except Exception:
                    log.exception("a recording could not be written")
                with self._lock:
                    self._bytes -= size_bytes
            _SPOOLED.set(self._bytes)
