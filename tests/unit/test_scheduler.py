"""Who is recognised next, and who has to give way."""

import asyncio
import threading
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import until
from workers.asr import scheduler as scheduler_module
from workers.asr.engines import Capabilities, Context, Recognition, Stretch
from workers.asr.lighter import Pair
from workers.asr.overload import Ladder, Overload, Step
from workers.asr.scheduler import BusyError, Draft, Kind, Request, Scheduler


class GatedEngine:
    """Answers with the number of samples; holds every answer back while `gate` is closed."""

    name: str = "gated"
    capabilities = Capabilities("utterance", languages=frozenset({"en"}), longest_ms=10_000)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.closed = False
        self.asked: list[tuple[int, bool]] = []
        """(samples, final) of each call, in order."""
        self.earlier: list[Recognition | None] = []
        self.before: list[Context | None] = []

    def transcribe(
        self,
        samples: NDArray[np.float32],
        *,
        language: str,
        final: bool,
        earlier: Recognition | None = None,
        before: Context | None = None,
        vocabulary: tuple[str, ...] = (),
    ) -> Recognition:
        self.asked.append((samples.size, final))
        self.earlier.append(earlier)
        self.before.append(before)
        assert self.gate.wait(20)
        if samples.size == 0:
            raise ValueError("nothing to hear")
        return Recognition(str(samples.size), language, 1.0)

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    @property
    def order(self) -> list[int]:
        return [size for size, _ in self.asked]


class BatchingEngine(GatedEngine):
    """Takes up to four at once."""

    name = "batching"
    capabilities = replace(GatedEngine.capabilities, batch=4)

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def transcribe_batch(self, stretches: Sequence[Stretch]) -> list[Recognition]:
        self.batches.append([stretch.samples.size for stretch in stretches])
        return [
            self.transcribe(each.samples, language=each.language, final=each.final, earlier=each.earlier)
            for each in stretches
        ]


class StreamingEngine(BatchingEngine):
    """Pays only for what is new."""

    name = "streaming"
    capabilities = replace(BatchingEngine.capabilities, mode="streaming")


class ParallelEngine(GatedEngine):
    """May be called by three at once."""

    name = "parallel"
    capabilities = replace(GatedEngine.capabilities, parallel=3)


class Desk:
    """A running scheduler and the requests that were made of it."""

    def __init__(self, scheduler: Scheduler, engine: GatedEngine, tasks: asyncio.TaskGroup) -> None:
        self.scheduler = scheduler
        self.engine = engine
        self._tasks = tasks

    async def ask(self, size: int, kind: Kind, *, caller: Hashable = None, due_ms: int = 0) -> asyncio.Task[str]:
        """Ask for `size` samples; the request is on its way when this returns."""

        async def answer() -> str:
            samples = np.zeros(size, np.float32)
            said = await self.scheduler.recognise(samples, language="en", kind=kind, caller=caller, due_ms=due_ms)
            return said.text

        task = self._tasks.create_task(answer())
        await asyncio.sleep(0)
        return task

    def request(
        self, size: int, kind: Kind, earlier: Draft | None = None, before: tuple[str, Context] | None = None
    ) -> Request:
        return self.scheduler.ask(np.zeros(size, np.float32), language="en", kind=kind, earlier=earlier, before=before)

    async def occupy(self) -> asyncio.Task[str]:
        """Give the engine a first request that it works on until the gate opens."""
        task = await self.ask(1, "final", caller="first")
        await until(lambda: self.engine.asked)
        return task


class Dial(Overload):
    """An overload whose step the test sets."""

    def __init__(self) -> None:
        self.ladder = Ladder()
        super().__init__(self.ladder)


@asynccontextmanager
async def desk(
    capacity: int = 64,
    engine: GatedEngine | None = None,
    lighter: GatedEngine | None = None,
    dial: Dial | None = None,
    lanes: int | None = None,
) -> AsyncIterator[Desk]:
    engine = engine or GatedEngine()
    pair = Pair(engine, lighter=(lambda: lighter) if lighter else None)
    scheduler = Scheduler(pair, overload=dial, capacity=capacity, lanes=lanes)
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


async def test_while_words_come_late_guesses_are_refused_and_waiting_partials_dropped() -> None:
    dial = Dial()
    async with desk(dial=dial) as at:
        first = await at.occupy()
        waiting = at.request(3, "partial")
        final = await at.ask(2, "final")
        dial.ladder.step = Step.NO_PARTIALS
        kinds: list[Kind] = ["partial", "speculative"]
        for kind in kinds:
            with pytest.raises(BusyError):
                at.request(4, kind)
        at.engine.gate.set()
        with pytest.raises(BusyError):
            await waiting.answer
        assert await asyncio.gather(first, final) == ["1", "2"]
        dial.ladder.step = Step.IN_TIME
        assert await (await at.ask(6, "partial")) == "6"


async def test_when_nobody_else_can_wait_guesses_are_refused_and_finals_are_not() -> None:
    async with desk(capacity=2) as at:
        waiting = [await at.occupy()]
        waiting += [await at.ask(size, "final") for size in (2, 3, 4, 5)]
        with pytest.raises(BusyError):
            at.request(9, "partial")
        at.engine.gate.set()
        assert await asyncio.gather(*waiting) == ["1", "2", "3", "4", "5"]


async def test_the_oldest_audio_goes_first_whoever_asked_first() -> None:
    async with desk() as at:
        waiting = [await at.occupy()]
        waiting += [await at.ask(size, "final", caller=size, due_ms=50 - size) for size in (11, 12, 13)]
        at.engine.gate.set()
        await asyncio.gather(*waiting)
    assert at.engine.order == [1, 13, 12, 11]


async def test_a_call_with_hours_of_backlog_does_not_make_others_wait() -> None:
    """An import's audio always is the oldest; yet calls that speak now and then are served between its segments."""
    long, short = 12 * 16_000, 16_000
    async with desk() as at:
        waiting = [await at.occupy()]
        waiting += [await at.ask(long + number, "final", caller="import", due_ms=number) for number in range(6)]
        callers = [f"call {number % 2}" for number in range(6)]
        waiting += [await at.ask(short, "final", caller=caller, due_ms=900) for caller in callers]
        at.engine.gate.set()
        await asyncio.gather(*waiting)
    after_first_import = at.engine.order[2:]
    assert at.engine.order[1] == long
    assert all(size < long for size in after_first_import[:6])
    assert after_first_import[6:] == [long + number for number in range(1, 6)]


async def test_a_call_that_was_silent_gets_no_credit_for_it() -> None:
    async with desk() as at:
        waiting = [await at.occupy()]
        waiting += [await at.ask(160_000 + number, "final", caller="talker") for number in range(4)]
        at.engine.gate.set()
        await asyncio.gather(*waiting)
        at.engine.gate.clear()
        held = await at.ask(160_000, "final", caller="talker")
        await until(lambda: len(at.engine.asked) == 6)
        late = [await at.ask(160_100 + number, "final", caller="newcomer", due_ms=9) for number in range(4)]
        late += [await at.ask(160_200 + number, "final", caller="talker", due_ms=9) for number in range(2)]
        at.engine.gate.set()
        await asyncio.gather(held, *late)
    # The newcomer starts level with the talker before the one in hand: one turn ahead, not four.
    turns = [size // 100 % 10 for size in at.engine.order[6:]]
    assert turns == [1, 1, 2, 1, 2, 1]


async def test_a_guess_that_came_true_is_as_urgent_as_a_final() -> None:
    async with desk() as at:
        first = await at.occupy()
        guess = at.request(10, "speculative")
        final = at.request(20, "final")
        guess.promote()
        at.engine.gate.set()
        await asyncio.gather(first, guess.answer, final.answer)
    assert at.engine.order == [1, 10, 20]


async def test_engines_that_gain_nothing_by_it_are_asked_one_by_one_and_others_in_batches() -> None:
    engine = BatchingEngine()
    async with desk(engine=engine) as at:
        waiting = [await at.occupy()]
        sizes = [100, 101, 300, 102, 103, 104, 110]
        waiting += [await at.ask(size, "final", caller=size) for size in sizes]
        waiting.append(await at.ask(105, "partial"))
        at.engine.gate.set()
        answers = await asyncio.gather(*waiting)
    assert answers == ["1", *map(str, sizes), "105"]
    assert engine.batches == [[100, 101, 102, 103], [104, 110]]


async def test_a_streaming_engine_gets_batches_of_any_lengths_with_what_it_heard_before() -> None:
    engine = StreamingEngine()
    async with desk(engine=engine) as at:
        first = await at.occupy()
        drafts = [Draft("streaming", Recognition("so far", "en", 1.0, state=object())), None]
        waiting = [at.request(size, "partial", draft) for size, draft in zip((100, 900), drafts, strict=True)]
        at.engine.gate.set()
        await asyncio.gather(first, *(request.answer for request in waiting))
    assert engine.batches == [[100, 900]]
    assert engine.earlier[1:] == [draft and draft.recognition for draft in drafts]


@pytest.mark.parametrize("bad", [None, 51])
async def test_a_batch_that_fails_is_recognised_one_by_one_and_a_bad_stretch_harms_no_other(bad: int | None) -> None:
    class Picky(BatchingEngine):
        def transcribe(self, samples: NDArray[np.float32], **asked: Any) -> Recognition:
            if samples.size == bad:
                raise ValueError("nothing to hear")
            return super().transcribe(samples, **asked)

        def transcribe_batch(self, stretches: Sequence[Stretch]) -> list[Recognition]:
            raise RuntimeError("out of memory")

    async with desk(engine=Picky()) as at:
        first = await at.occupy()
        waiting = [at.request(size, "final") for size in (50, 51, 52)]
        at.engine.gate.set()
        await first
        answers = await asyncio.gather(*(request.answer for request in waiting), return_exceptions=True)
    assert [answer.text if isinstance(answer, Recognition) else type(answer) for answer in answers] == [
        ValueError if size == bad else str(size) for size in (50, 51, 52)
    ]


async def test_an_engine_that_takes_calls_in_parallel_gets_them() -> None:
    engine = ParallelEngine()
    async with desk(engine=engine) as at:
        under_way = [await at.ask(size, "final") for size in (1, 2, 3)]
        await until(lambda: len(engine.asked) == 3)
        waiting = [await at.ask(20, "partial"), await at.ask(10, "final"), await at.ask(11, "final")]
        await asyncio.sleep(0.05)
        assert sorted(engine.order) == [1, 2, 3]
        engine.gate.set()
        assert await asyncio.gather(*under_way, *waiting) == ["1", "2", "3", "20", "10", "11"]
    assert sorted(engine.order[3:]) == [10, 11, 20]


async def test_a_final_never_waits_for_partials_where_there_is_more_than_one_lane() -> None:
    engine = ParallelEngine()
    async with desk(engine=engine) as at:
        partials = [await at.ask(size, "partial") for size in (1, 2, 3)]
        await until(lambda: engine.asked)
        await asyncio.sleep(0.05)
        assert engine.order == [1]
        finals = [await at.ask(size, "final") for size in (10, 11)]
        await until(lambda: len(engine.asked) == 3)
        assert sorted(engine.order) == [1, 10, 11]
        engine.gate.set()
        assert await asyncio.gather(*partials, *finals) == ["1", "2", "3", "10", "11"]


async def test_no_more_lanes_than_were_allowed() -> None:
    engine = ParallelEngine()
    async with desk(engine=engine, lanes=2) as at:
        waiting = [await at.ask(size, "final") for size in (1, 2, 3)]
        await until(lambda: len(engine.asked) == 2)
        await asyncio.sleep(0.05)
        assert sorted(engine.order) == [1, 2]
        engine.gate.set()
        assert await asyncio.gather(*waiting) == ["1", "2", "3"]


async def test_all_lanes_go_over_to_the_lighter_engine() -> None:
    dial, engine, lighter = Dial(), ParallelEngine(), ParallelEngine()
    lighter.name = "lighter"
    async with desk(engine=engine, lighter=lighter, dial=dial) as at:
        dial.ladder.step = Step.LIGHTER_MODEL
        waiting = [await at.ask(size, "final") for size in (1, 2, 3)]
        await until(lambda: len(lighter.asked) == 3)
        assert not engine.asked
        lighter.gate.set()
        assert await asyncio.gather(*waiting) == ["1", "2", "3"]


async def test_the_engines_are_closed_when_the_work_ends() -> None:
    dial, lighter = Dial(), GatedEngine()
    lighter.name = "lighter"
    lighter.gate.set()
    async with desk(lighter=lighter, dial=dial) as at:
        dial.ladder.step = Step.LIGHTER_MODEL
        assert await (await at.ask(1, "final")) == "1"
        assert not at.engine.closed
        assert not lighter.closed
    assert at.engine.closed
    assert lighter.closed


async def test_far_behind_a_lighter_engine_answers_until_all_is_well_again() -> None:
    dial, lighter = Dial(), GatedEngine()
    lighter.name = "lighter"
    lighter.gate.set()
    async with desk(lighter=lighter, dial=dial) as at:
        at.engine.gate.set()
        one = at.request(10, "final")
        draft = Draft(one.engine or "gated", await one.answer)
        dial.ladder.step = Step.LIGHTER_MODEL
        two = at.request(11, "final", earlier=draft)
        await two.answer
        assert (two.engine, at.scheduler.engine_name) == ("lighter", "lighter")
        assert lighter.earlier == [None]  # a stranger's draft is no use to it
        dial.ladder.step = Step.NO_PARTIALS
        three = at.request(12, "final", earlier=draft)
        await three.answer
        assert (three.engine, at.engine.earlier[-1]) == ("gated", draft.recognition)


async def test_what_was_said_before_goes_to_the_engine_that_heard_it_while_there_is_time() -> None:
    dial, context = Dial(), Context(np.zeros(3, np.float32), (1, 2))
    async with desk(dial=dial) as at:
        first = await at.occupy()
        at.engine.gate.set()
        await first
        ours, strangers = (at.request(10, "final", before=(name, context)) for name in ("gated", "other"))
        await asyncio.gather(ours.answer, strangers.answer)
        # `ours` began while the other one waited for the only lane.
        assert at.engine.before[1:] == [None, None]
        await at.request(10, "final", before=("other", context)).answer
        await at.request(10, "final", before=("gated", context)).answer
        assert at.engine.before[3:] == [None, context]
        partial = at.request(11, "final", before=("gated", context)), at.request(12, "partial")
        await asyncio.gather(*(request.answer for request in partial))
        assert at.engine.before[5:] == [context, None]
        dial.ladder.step = Step.NO_PARTIALS
        await at.request(10, "final", before=("gated", context)).answer
        assert at.engine.before[7:] == [None]


async def test_an_error_reaches_the_one_who_asked_and_nobody_else() -> None:
    async with desk() as at:
        at.engine.gate.set()
        with pytest.raises(ValueError, match="nothing to hear"):
            await at.scheduler.recognise(np.zeros(0, np.float32), language="en", kind="final")
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


async def test_what_is_imported_comes_after_everything_that_is_said_now() -> None:
    async with desk() as at:
        waiting = [await at.occupy()]
        kinds: list[Kind] = ["imported", "partial", "speculative", "final"]
        waiting += [await at.ask(10 * rank + 10, kind) for rank, kind in enumerate(kinds)]
        at.engine.gate.set()
        await asyncio.gather(*waiting)
    assert at.engine.order == [1, 40, 30, 20, 10]


async def test_an_import_waits_for_the_pauses_of_live_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "IMPORT_QUIET_S", 0.2)
    monkeypatch.setattr(scheduler_module, "IMPORT_EVERY_S", 60.0)
    monkeypatch.setattr(scheduler_module, "_IMPORT_LOOK_S", 0.01)
    async with desk() as at:
        at.engine.gate.set()
        with at.scheduler.overload.watching(lambda: 0):
            assert await (await at.ask(10, "imported")) == "10", "the first may begin at once"
            await (await at.ask(20, "final"))
            imported = await at.ask(30, "imported")
            for turn in range(5):
                await asyncio.sleep(0.05)
                await (await at.ask(40 + turn, "partial"))
            assert not imported.done(), "somebody is speaking"
            assert await imported == "30"


async def test_an_import_is_not_put_off_for_ever_and_keeps_to_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "IMPORT_QUIET_S", 60.0)
    monkeypatch.setattr(scheduler_module, "IMPORT_EVERY_S", 0.1)
    monkeypatch.setattr(scheduler_module, "_IMPORT_LOOK_S", 0.01)
    async with desk(engine=ParallelEngine()) as at:
        with at.scheduler.overload.watching(lambda: 0):
            imports = [await at.ask(size, "imported") for size in (10, 20, 30)]
            await until(lambda: at.engine.asked)
            await asyncio.sleep(0.3)
            assert len(at.engine.asked) == 1, "the other lanes are for those who speak"
            final = await at.ask(99, "final")
            await until(lambda: len(at.engine.asked) == 2)
            at.engine.gate.set()
            assert await final == "99"
            assert await asyncio.gather(*imports) == ["10", "20", "30"]


async def test_where_nobody_speaks_imports_take_all_lanes() -> None:
    async with desk(engine=ParallelEngine()) as at:
        imports = [await at.ask(size, "imported") for size in (10, 20, 30)]
        await until(lambda: len(at.engine.asked) == 3)
        at.engine.gate.set()
        await asyncio.gather(*imports)


async def test_while_words_come_late_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "_IMPORT_LOOK_S", 0.01)
    dial = Dial()
    async with desk(dial=dial) as at:
        at.engine.gate.set()
        dial.ladder.step = Step.NO_PARTIALS
        imported = await at.ask(10, "imported")
        await (await at.ask(20, "final"))
        await asyncio.sleep(0.1)
        assert not imported.done()
        dial.ladder.step = Step.IN_TIME
        assert await imported == "10"
