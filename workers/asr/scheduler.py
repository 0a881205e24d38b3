"""Who is recognised next: finals before speculation before partials, the oldest first, no call at others' cost.

What is imported comes after everything that is said now.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

from infra.model import SAMPLE_RATE_HZ
from infra.telemetry import logger
from workers.asr.engines import BatchEngine, Capabilities, Context, Engine, Recognition, Stretch
from workers.asr.lighter import Pair
from workers.asr.overload import Overload, Step

log = logger(__name__)

Kind = Literal["final", "speculative", "partial", "imported"]

_URGENCY: Final[dict[Kind, int]] = {"final": 0, "speculative": 1, "partial": 2, "imported": 3}
_GUESSES: Final[frozenset[Kind]] = frozenset({"speculative", "partial"})
_BUSY: Final = Counter("hearline_asr_seconds_total", "Seconds spent recognising, by kind", ["kind"])
_AUDIO: Final = Counter("hearline_asr_audio_seconds_total", "Seconds of audio recognised, by kind", ["kind"])
_DROPPED: Final = Counter("hearline_asr_partials_dropped_total", "Partials dropped because finals had to wait")
_WAIT: Final = Histogram("hearline_asr_wait_seconds", "From asking for a recognition to its start", ["kind"])

FAIR_S: Final = 5.0
"""The oldest goes first, unless its call has been given so many more seconds of audio than another that waits."""
REQUEST_COST_S: Final = 0.5
"""What a recognition costs beside the length of its audio."""
IMPORT_QUIET_S: Final = 1.5
"""While calls are live, what is imported waits until nothing of them was asked for so long ..."""
IMPORT_EVERY_S: Final = 10.0
"""... or nothing was imported: a live call's words wait for at most one recognition in this time."""
_IMPORT_LOOK_S: Final = 0.25
BATCH_SPREAD: Final = 1.25
"""A batch holds no audio longer than its shortest times this: what is padded is computed too. A streaming engine pays
for what is new alone: its batches hold what there is."""


class BusyError(RuntimeError):
    """This partial was dropped: there is more urgent work than time."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What an engine heard in a segment when it was shorter; of use to that engine alone."""

    engine: str
    recognition: Recognition


@dataclass(slots=True, eq=False)
class Request:
    """A recognition that was asked for. Await `answer`; `leave` when nobody needs it any more."""

    kind: Kind
    samples: NDArray[np.float32]
    language: str
    caller: Hashable
    due_ms: int
    number: int
    asked_s: float
    earlier: Draft | None
    before: tuple[str, Context] | None
    answer: asyncio.Future[Recognition]
    vocabulary: tuple[str, ...] = ()
    engine: str = ""
    """Which engine answered."""

    def promote(self) -> None:
        """The text that was wanted in case the segment ends is now wanted because it has ended."""
        self.kind = "final"

    def leave(self) -> None:
        """Want no answer any more."""
        self.answer.cancel()

    @property
    def cost_s(self) -> float:
        """Return what its call is charged."""
        size = self.samples.size + (self.before[1].samples.size if self.before else 0)
        return size / SAMPLE_RATE_HZ + REQUEST_COST_S

    def stretch(self, engine: Engine, *, hurry: bool) -> Stretch:
        """Return what `engine` is asked; what another engine heard is no use to it, and context takes time."""
        draft, context = self.earlier, None if hurry else self.before
        earlier = draft.recognition if draft is not None and draft.engine == engine.name else None
        before = context[1] if context is not None and context[0] == engine.name else None
        return Stretch(self.samples, self.language, self.kind != "partial", earlier, before, self.vocabulary)


class Line:
    """The requests that wait, and how much each call has been given."""

    def __init__(self) -> None:
        self._waiting: list[Request] = []
        self._given_s: dict[Hashable, float] = {}
        """Seconds of audio by call; a call that was away starts with what the least served had when it came."""
        self._level_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def urgent_count(self) -> int:
        """Return how many wait that are neither partials nor imported."""
        return sum(request.kind in {"final", "speculative"} for request in self._waiting)

    @property
    def imports_wait(self) -> bool:
        """Return whether anything that is imported waits."""
        return any(request.kind == "imported" for request in self._waiting)

    def add(self, request: Request) -> None:
        """Have a request wait."""
        self._waiting.append(request)

    def tidy(self, *, partials: bool) -> list[Request]:
        """Take out what nobody waits for any more and, unless `partials` may stay, those; return the latter."""
        dropped = [] if partials else [request for request in self._waiting if request.kind == "partial"]
        self._waiting = [
            request
            for request in self._waiting
            if not request.answer.done() and (partials or request.kind != "partial")
        ]
        return dropped

    def next(
        self, among: Iterable[Request] | None = None, *, partials: bool = True, imported: bool = True
    ) -> Request | None:
        """Take out whose turn it is, and charge its call; leave partials and imports unless they may be taken."""
        left: set[Kind] = set()
        if not partials:
            left.add("partial")
        if not imported:
            left.add("imported")
        candidates = [
            request
            for request in (self._waiting if among is None else among)
            if not request.answer.done() and request.kind not in left
        ]
        if not candidates:
            return None
        urgent = min(_URGENCY[request.kind] for request in candidates)
        candidates = [request for request in candidates if _URGENCY[request.kind] == urgent]
        least_s = min(self._given(request) for request in candidates)
        fair = (request for request in candidates if self._given(request) < least_s + FAIR_S)
        chosen = min(fair, key=lambda request: (request.due_ms, request.number))
        self._waiting.remove(chosen)
        self._level_s = max(self._level_s, least_s)
        self._given_s[chosen.caller] = self._given(chosen) + chosen.cost_s
        if len(self._given_s) > 2 * len(self._waiting) + 64:
            self._given_s = {caller: given for caller, given in self._given_s.items() if given > self._level_s}
        return chosen

    def alike(self, first: Request, most: int, spread: float = BATCH_SPREAD) -> list[Request]:
        """Take out, in their turn, up to `most` - 1 requests that fit into a batch with `first`; it comes first.

        They are as urgent, and the longest is at most `spread` times as long as the shortest.
        """
        batch = [first]
        sizes = [first.samples.size, first.samples.size]
        while len(batch) < most:
            fitting = [
                request
                for request in self._waiting
                if request.kind == first.kind
                and request.language == first.language
                and max(*sizes, request.samples.size) <= spread * min(*sizes, request.samples.size)
            ]
            request = self.next(fitting)
            if request is None:
                break
            batch.append(request)
            sizes = [min(sizes[0], request.samples.size), max(sizes[1], request.samples.size)]
        return batch

    def _given(self, request: Request) -> float:
        return max(self._given_s.get(request.caller, 0.0), self._level_s)


class Scheduler:
    """Runs one engine for all tracks of the process: as many calls at once as it takes, a recognition or a batch each.

    A track asks for one final at a time, so that what waits is bounded by the tracks; beyond `capacity` waiting
    requests, and while `overload` says so, partials and speculation are refused. Finals never are.
    """

    def __init__(
        self, engine: Engine | Pair, *, overload: Overload | None = None, capacity: int = 256, lanes: int | None = None
    ) -> None:
        """`lanes` is how many recognitions may run at once; the engine may take fewer, never more."""
        self.overload = overload or Overload()
        self._pair = engine if isinstance(engine, Pair) else Pair(engine)
        parallel = self._pair.capabilities.parallel
        self._lanes = parallel if lanes is None else min(lanes, parallel)
        self._capacity = capacity
        self._line = Line()
        self._number = itertools.count()
        self._news = asyncio.Event()
        self._live_asked_s = self._imported_s = -math.inf
        """When a live call last asked for something, and when something imported was last begun."""

    @property
    def engine_name(self) -> str:
        """Return which engine is in use."""
        return self._pair.name

    @property
    def capabilities(self) -> Capabilities:
        """Return what may be asked for."""
        return self._pair.capabilities

    @property
    def pressed(self) -> bool:
        """Return whether somebody waits already whose words are more than partials."""
        return self._line.urgent_count > 0

    def ask(
        self,
        samples: NDArray[np.float32],
        *,
        language: str,
        kind: Kind,
        caller: Hashable = None,
        due_ms: int = 0,
        earlier: Draft | None = None,
        before: tuple[str, Context] | None = None,
        vocabulary: tuple[str, ...] = (),
    ) -> Request:
        """Ask for the words of `samples` (16 kHz mono, -1..1). Raises BusyError where a guess has to give way.

        `caller` is the call that is charged; `due_ms` (Unix milliseconds) is when the audio could be recognised,
        and decides which is the oldest. `earlier` saves time, and `before` (an engine's name and what it heard) mends
        words, where the engine still is the one that made them; it is left out while more wait than there are lanes.
        `vocabulary` are phrases to listen for.
        """
        if kind in _GUESSES and (len(self._line) >= self._capacity or self.overload.step >= Step.NO_PARTIALS):
            self._drop(kind)
            raise BusyError
        loop = asyncio.get_running_loop()
        if kind != "imported":
            self._live_asked_s = loop.time()
        number, answer = next(self._number), loop.create_future()
        request = Request(
            kind, samples, language, caller, due_ms, number, loop.time(), earlier, before, answer, vocabulary
        )
        self._line.add(request)
        self._news.set()
        return request

    async def recognise(
        self, samples: NDArray[np.float32], *, language: str, kind: Kind, caller: Hashable = None, due_ms: int = 0
    ) -> Recognition:
        """Ask and wait; see `ask`."""
        request = self.ask(samples, language=language, kind=kind, caller=caller, due_ms=due_ms)
        try:
            return await request.answer
        finally:
            request.leave()

    async def run(self) -> None:
        """Recognise for ever. When cancelled it closes the engine, and waits for no peer of the engine's."""
        with ThreadPoolExecutor(self._lanes, thread_name_prefix="asr") as pool:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for lane in range(self._lanes):
                        tasks.create_task(self._serve_on(pool, partials=lane == 0))
            finally:
                self._pair.close()

    async def _serve_on(self, pool: ThreadPoolExecutor, *, partials: bool) -> None:
        """Work on one lane. Partials keep to the first, so that a final never waits for all of them."""
        while True:
            for dropped in self._line.tidy(partials=self.overload.step < Step.NO_PARTIALS):
                self._drop(dropped.kind)
                if not dropped.answer.done():
                    dropped.answer.set_exception(BusyError())
            request = self._line.next(partials=partials, imported=self._may_import(first_lane=partials))
            if request is None:
                self._news.clear()
                await self._any_news()
            else:
                await self._serve(request, pool)

    def _may_import(self, *, first_lane: bool) -> bool:
        """Return whether a lane may take what is imported: never at the cost of what is said now."""
        if self.overload.step > Step.IN_TIME:
            return False
        if not self.overload.watched:
            return True
        now_s = asyncio.get_running_loop().time()
        quiet = now_s - self._live_asked_s >= IMPORT_QUIET_S
        return first_lane and (quiet or now_s - self._imported_s >= IMPORT_EVERY_S)

    async def _any_news(self) -> None:
        """Wait for a request; where one is held back, no longer than until its turn may have come."""
        held_back = self._line.imports_wait
        try:
            async with asyncio.timeout(_IMPORT_LOOK_S if held_back else None):
                await self._news.wait()
        except TimeoutError:
            pass  # look again

    async def _serve(self, first: Request, pool: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        light = self.overload.step >= Step.LIGHTER_MODEL
        try:
            engine = await loop.run_in_executor(pool, lambda: self._pair.fit(light=light))
        except Exception as error:  # noqa: BLE001  (handed to the one who asked)
            _answer(first, error)
            return
        batch, able = [first], engine.capabilities
        if first.kind == "imported":
            self._imported_s = loop.time()
        if able.batch > 1 and not (first.kind == "imported" and self.overload.watched):
            batch = self._line.alike(first, able.batch, math.inf if able.mode == "streaming" else BATCH_SPREAD)
        started_s = loop.time()
        for request in batch:
            _WAIT.labels(request.kind).observe(started_s - request.asked_s)
        hurry = self._line.urgent_count >= self._lanes or self.overload.step >= Step.NO_PARTIALS
        stretches = [request.stretch(engine, hurry=hurry) for request in batch]
        answers = await loop.run_in_executor(pool, _run, engine, stretches)
        _BUSY.labels(first.kind).inc(loop.time() - started_s)
        for request, answer in zip(batch, answers, strict=True):
            _AUDIO.labels(request.kind).inc(request.samples.size / SAMPLE_RATE_HZ)
            request.engine = engine.name
            _answer(request, answer)

    def _drop(self, kind: Kind) -> None:
        if kind == "partial":
            _DROPPED.inc()


def _run(engine: Engine, stretches: Sequence[Stretch]) -> Sequence[Recognition | Exception]:
    """Recognise, on the recogniser's thread; what goes wrong with one does not take the others with it."""
    if len(stretches) > 1:
        try:
            answers = cast("BatchEngine", engine).transcribe_batch(stretches)
            if len(answers) == len(stretches):
                return answers
            log.warning("a batch failed", size=len(stretches), error=f"{len(answers)} answers")
        except Exception as error:  # noqa: BLE001  (asked one by one, whoever is at fault gets the error)
            log.warning("a batch failed", size=len(stretches), error=type(error).__name__)
    return [_run_one(engine, stretch) for stretch in stretches]


def _run_one(engine: Engine, stretch: Stretch) -> Recognition | Exception:
    try:
        return engine.transcribe(
            stretch.samples,
            language=stretch.language,
            final=stretch.final,
            earlier=stretch.earlier,
            before=stretch.before,
            vocabulary=stretch.vocabulary,
        )
    except Exception as error:  # noqa: BLE001  (handed to the one who asked)
        return error


def _answer(request: Request, answer: Recognition | Exception) -> None:
    if request.answer.done():
        return
    if isinstance(answer, Exception):
        request.answer.set_exception(answer)
    else:
        request.answer.set_result(answer)
