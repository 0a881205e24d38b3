"""Who is recognised next: finals before speculation before partials, the oldest first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

from workers.asr.engines import Engine, Recognition

Kind = Literal["final", "speculative", "partial"]

_URGENCY: Final[dict[Kind, int]] = {"final": 0, "speculative": 1, "partial": 2}
_BUSY: Final = Counter("hearline_asr_seconds_total", "Seconds spent recognising, by kind", ["kind"])
_AUDIO: Final = Counter("hearline_asr_audio_seconds_total", "Seconds of audio recognised, by kind", ["kind"])
_DROPPED: Final = Counter("hearline_asr_partials_dropped_total", "Partials dropped because finals had to wait")
_WAIT: Final = Histogram("hearline_asr_wait_seconds", "From asking for a recognition to its start", ["kind"])

PARTIALS_STOP_S: Final = 2.0
"""Partials are dropped while the oldest waiting request is older than this."""


class BusyError(RuntimeError):
    """This partial was dropped: there is more urgent work than time."""


class Scheduler:
    """Runs one engine on `threads` threads for all tracks of the process.

    At most `capacity` requests wait; finals beyond that make their track wait, which leaves its audio in Redis.
    """

    def __init__(self, engine: Engine, *, threads: int, capacity: int = 256) -> None:
        self.engine = engine
        self._threads = threads
        self._queue: asyncio.PriorityQueue[tuple[int, float, int, _Request]] = asyncio.PriorityQueue(capacity)
        self._number = itertools.count()
        self._finals_since: dict[int, float] = {}

    def waiting_s(self) -> float:
        """Return the age in seconds of the oldest final that waits."""
        oldest = next(iter(self._finals_since.values()), None)
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest

    async def recognise(
        self, samples: NDArray[np.float32], *, language: str, kind: Kind, earlier: Recognition | None = None
    ) -> Recognition:
        """Return the words of `samples` (16 kHz mono, -1..1). Raises BusyError for a partial that has to give way.

        `earlier` is what was recognised in the same segment when it was shorter: a draft that saves time.
        """
        loop = asyncio.get_running_loop()
        if kind == "partial" and (self._queue.full() or self.waiting_s() > PARTIALS_STOP_S):
            _DROPPED.inc()
            raise BusyError
        request = _Request(samples, language, kind, earlier, loop.create_future())
        number, asked = next(self._number), loop.time()
        if kind == "final":
            self._finals_since[number] = asked
        try:
            await self._queue.put((_URGENCY[kind], asked, number, request))
            return await request.answer
        finally:
            self._finals_since.pop(number, None)
            request.answer.cancel()  # whoever stopped waiting needs no answer any more

    async def run(self) -> None:
        """Recognise for ever."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="asr") as pool:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._threads):
                    tasks.create_task(self._serve(pool))

    async def _serve(self, pool: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            _, asked, _, request = await self._queue.get()
            if request.answer.done():
                continue
            started = loop.time()
            _WAIT.labels(request.kind).observe(started - asked)
            try:
                recognition = await loop.run_in_executor(pool, request.run(self.engine))
            except Exception as error:  # noqa: BLE001  (handed to the one who asked)
                if not request.answer.done():
                    request.answer.set_exception(error)
                continue
            _BUSY.labels(request.kind).inc(loop.time() - started)
            _AUDIO.labels(request.kind).inc(len(request.samples) / 16_000)
            if not request.answer.done():
                request.answer.set_result(recognition)


@dataclass(slots=True, eq=False)
class _Request:
    samples: NDArray[np.float32]
    language: str
    kind: Kind
    earlier: Recognition | None
    answer: asyncio.Future[Recognition]

    def run(self, engine: Engine) -> Callable[[], Recognition]:
        final = self.kind != "partial"
        return lambda: engine.transcribe(self.samples, language=self.language, final=final, earlier=self.earlier)
