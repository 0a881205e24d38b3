"""Who is recognised next, and who has to give way."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import until
from workers.asr import scheduler as module
from workers.asr.engines import Recognition
from workers.asr.scheduler import BusyError, Kind, Scheduler


class GatedEngine:
    """Answers with the number of samples; holds every answer back while `gate` is closed."""

    name = "gated"
    languages = frozenset({"en"})
    longest_ms = 10_000

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[tuple[int, bool]] = []
        """(samples, final) of each call, in order."""

    def transcribe(
        self, samples: NDArray[np.float32], *, language: str, final: bool, earlier: Recognition | None = None
    ) -> Recognition:
        self.asked.append((samples.size, final))
        assert self.gate.wait(20)
        if samples.size == 0:
            raise ValueError("nothing to hear")
        return Recognition(str(samples.size), language, 1.0)

    def warm_up(self) -> None:
        pass

    @property
    def order(self) -> list[int]:
        return [size for size, _ in self.asked]


class Desk:
    """A running scheduler and the requests that were made of it."""

    def __init__(self, scheduler: Scheduler, engine: GatedEngine, tasks: asyncio.TaskGroup) -> None:
        self.scheduler = scheduler
        self.engine = engine
        self._tasks = tasks

    async def ask(self, size: int, kind: Kind) -> asyncio.Task[str]:
        """Ask for `size` samples; the request is on its way when this returns."""

        async def answer() -> str:
            recognition = await self.scheduler.recognise(np.zeros(size, np.float32), language="en", kind=kind)
            return recognition.text

        task = self._tasks.create_task(answer())
        await asyncio.sleep(0)
        return task

    async def occupy(self) -> asyncio.Task[str]:
        """Give the engine a first request that it works on until the gate opens."""
        task = await self.ask(1, "partial")
        await until(lambda: self.engine.asked)
        return task


@asynccontextmanager
async def desk(capacity: int = 64) -> AsyncIterator[Desk]:
    engine = GatedEngine()
    scheduler = Scheduler(engine, threads=1, capacity=capacity)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(scheduler.run())
        try:
            yield Desk(scheduler, engine, tasks)
        finally:
            engine.gate.set()
            serving.cancel()


async def test_finals_go_before_speculation_before_partials_and_the_oldest_first() -> None:
    async with desk() as at:
        waiting = [await at.occupy()]
        kinds: list[Kind] = ["partial", "speculative", "final"]
        for turn in range(3):
            for rank, kind in enumerate(kinds):
                waiting.append(await at.ask(100 * rank + turn + 10, kind))
        at.engine.gate.set()
        await asyncio.gather(*waiting)
    assert at.engine.order == [1, 210, 211, 212, 110, 111, 112, 10, 11, 12]


async def test_everybody_gets_their_own_answer_and_partials_are_named_as_such() -> None:
    async with desk() as at:
        at.engine.gate.set()
        sizes = range(1, 31)
        kinds: list[Kind] = ["partial", "speculative", "final"]
        asked = [await at.ask(size, kinds[size % 3]) for size in sizes]
        assert await asyncio.gather(*asked) == [str(size) for size in sizes]
    assert dict(at.engine.asked) == {size: size % 3 != 0 for size in sizes}


async def test_a_partial_gives_way_while_a_final_waits_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as at:
        first = await at.occupy()
        assert at.scheduler.waiting_s() == 0.0
        final = await at.ask(2, "final")
        welcome = await at.ask(3, "partial")
        monkeypatch.setattr(module, "PARTIALS_STOP_S", 0.0)
        await until(lambda: at.scheduler.waiting_s() > 0)
        with pytest.raises(BusyError):
            await at.scheduler.recognise(np.zeros(4, np.float32), language="en", kind="partial")
        speculative = await at.ask(5, "speculative")
        at.engine.gate.set()
        assert await asyncio.gather(first, final, speculative, welcome) == ["1", "2", "5", "3"]
        assert at.scheduler.waiting_s() == 0.0
        assert await (await at.ask(6, "partial")) == "6"


async def test_when_nobody_else_can_wait_partials_are_dropped_and_finals_are_not() -> None:
    async with desk(capacity=2) as at:
        waiting = [await at.occupy()]
        waiting += [await at.ask(size, "final") for size in (2, 3, 4, 5)]
        with pytest.raises(BusyError):
            await at.scheduler.recognise(np.zeros(9, np.float32), language="en", kind="partial")
        at.engine.gate.set()
        assert await asyncio.gather(*waiting) == ["1", "2", "3", "4", "5"]


async def test_an_error_reaches_the_one_who_asked_and_nobody_else() -> None:
    async with desk() as at:
        at.engine.gate.set()
        with pytest.raises(ValueError, match="nothing to hear"):
            await at.scheduler.recognise(np.zeros(0, np.float32), language="en", kind="final")
        assert at.scheduler.waiting_s() == 0.0
        assert await (await at.ask(2, "final")) == "2"


async def test_nobody_works_for_those_who_have_left() -> None:
    async with desk() as at:
        first, leaving, staying = await at.occupy(), await at.ask(2, "final"), await at.ask(3, "final")
        leaving.cancel()
        first.cancel()
        at.engine.gate.set()
        assert await staying == "3"
    assert at.engine.order == [1, 3]
    assert first.cancelled()
    assert leaving.cancelled()
