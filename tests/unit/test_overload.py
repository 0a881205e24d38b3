"""What is left out when words come late, and when it comes back: a slow engine on a clock that the test turns."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from workers.asr.cores import memory_left_bytes, recogniser_threads, usable_cores
from workers.asr.engines import Capabilities, Context, Recognition
from workers.asr.lighter import LIGHTER, Pair, lighter_model
from workers.asr.models import CATALOGUE, MANIFEST, stored_at
from workers.asr.overload import CALM, CONFIRM_S, HOLD_MOST_S, HOLD_S, LOOK_S, UP_S, Ladder, Overload, Step


class World:
    """A worker whose engine takes `cost` seconds for a second of audio; the light one takes `light_cost`.

    A second of speech is due each second from each of `tracks`; everything is recognised in order.
    """

    def __init__(self, *, cost: float, light_cost: float = 0.1) -> None:
        self.now_s = 1000.0
        self.tracks = 1
        self.cost, self.light_cost = cost, light_cost
        self.due: deque[float] = deque()
        self.steps: list[Step] = []
        self.overload = Overload(clock=lambda: self.now_s)
        self._busy_until_s = 0.0
        self._watching = self.overload.watching(self._lag_ms)
        self._watching.__enter__()

    def _lag_ms(self) -> int:
        return int((self.now_s - self.due[0]) * 1000) if self.due else 0

    def run(self, seconds: float) -> list[Step]:
        """Let time pass; return the steps that were seen, each once in a row."""
        before = len(self.steps)
        for _ in range(int(seconds / LOOK_S)):
            self.now_s += LOOK_S
            if self.now_s % 1 == 0:
                self.due.extend([self.now_s] * self.tracks)
            while self.due and self._busy_until_s <= self.now_s:
                self.due.popleft()
                light = self.overload.step >= Step.LIGHTER_MODEL
                self._busy_until_s = max(self._busy_until_s, self.now_s - LOOK_S) + (
                    self.light_cost if light else self.cost
                )
            self.steps.append(self.overload.look())
        seen = self.steps[before:]
        return [step for index, step in enumerate(seen) if index == 0 or step != seen[index - 1]]


def climb(ladder: Ladder, lag_s: float, *, from_s: float, for_s: float) -> Iterator[tuple[float, Step]]:
    for tick in range(int(for_s / LOOK_S) + 1):
        now_s = from_s + tick * LOOK_S
        yield now_s, ladder.observe(lag_s, now_s)


@pytest.mark.parametrize("step", list(Step)[1:])
def test_each_step_begins_above_its_lag_and_not_before(step: Step) -> None:
    begins_s = UP_S[step - 1]
    below, above = Ladder(), Ladder()
    assert [seen for _, seen in climb(below, begins_s, from_s=0, for_s=30)][-1] == step - 1
    seen = list(climb(above, begins_s + 0.1, from_s=0, for_s=30))
    first_s = next(now_s for now_s, now in seen if now == step)
    assert first_s == (0 if step == Step.NO_PARTIALS else CONFIRM_S)
    assert max(now for _, now in seen) == step


@pytest.mark.parametrize("step", list(Step)[1:])
def test_each_step_ends_one_at_a_time_once_it_has_been_calm_for_a_while(step: Step) -> None:
    ladder = Ladder()
    assert [seen for _, seen in climb(ladder, UP_S[step - 1] + 1, from_s=0, for_s=5)][-1] == step
    not_calm_s = CALM * UP_S[step - 1]
    assert {seen for _, seen in climb(ladder, not_calm_s, from_s=10, for_s=60)} == {step}
    left = [now_s for now_s, seen in climb(ladder, not_calm_s - 0.1, from_s=100, for_s=60) if seen == step - 1]
    assert left[0] == 100 + HOLD_S
    down = [seen for _, seen in climb(ladder, 0.0, from_s=200, for_s=100)]
    assert down == sorted(down, reverse=True)
    assert down[-1] == Step.IN_TIME


def test_a_moment_of_trouble_starts_the_calm_anew() -> None:
    ladder = Ladder()
    list(climb(ladder, 3, from_s=0, for_s=1))
    list(climb(ladder, 0, from_s=1, for_s=HOLD_S - LOOK_S))
    ladder.observe(CALM * 2, 6)
    assert {seen for _, seen in climb(ladder, 0, from_s=6.5, for_s=HOLD_S - LOOK_S)} == {Step.NO_PARTIALS}


def test_a_backlog_that_shrinks_by_itself_costs_no_more_than_partials() -> None:
    """After an outage the audio is old, and the engine quick enough."""
    ladder = Ladder()
    steps = {ladder.observe(max(0.0, 90 - 4 * tick * LOOK_S), tick * LOOK_S) for tick in range(120)}
    assert steps == {Step.IN_TIME, Step.NO_PARTIALS}


def test_a_step_that_is_needed_again_at_once_is_held_longer_each_time() -> None:
    ladder, now_s, held_s = Ladder(), 0.0, []
    for _ in range(7):
        while ladder.step < Step.LIGHTER_MODEL:
            now_s += LOOK_S
            ladder.observe(6, now_s)
        began_s = now_s
        while ladder.step >= Step.LIGHTER_MODEL:
            now_s += LOOK_S
            ladder.observe(0, now_s)
        held_s.append(now_s - began_s - LOOK_S)
    assert held_s == [HOLD_S, 10, 20, 40, 80, HOLD_MOST_S, HOLD_MOST_S]
    list(climb(ladder, 0, from_s=now_s, for_s=100))
    now_s += 100
    list(climb(ladder, 6, from_s=now_s, for_s=5))
    assert [seen for _, seen in climb(ladder, 0, from_s=now_s + 6, for_s=HOLD_S)][-1] == Step.NO_PARTIALS


def test_a_slow_engine_climbs_the_steps_and_a_lighter_one_brings_it_back() -> None:
    world = World(cost=1.4, light_cost=0.5)
    assert world.run(5) == [Step.IN_TIME]
    world.run(60)
    assert max(world.steps) == Step.LIGHTER_MODEL
    world.tracks = 0
    world.run(120)
    assert world.steps[-1] == Step.IN_TIME
    assert not world.due


def test_three_times_too_much_climbs_every_step_and_all_of_it_is_recognised_in_the_end() -> None:
    world = World(cost=3.0, light_cost=2.0)
    seen = world.run(200)
    assert seen == list(Step)
    world.tracks = 0
    down = world.run(900)
    assert down == sorted(down, reverse=True)
    assert world.steps[-1] == Step.IN_TIME
    assert not world.due


def test_each_change_is_logged_once_with_its_meaning() -> None:
    world = World(cost=3.0, light_cost=2.0)
    with capture_logs() as logged:
        world.run(200)
        world.tracks = 0
        world.run(900)
    told = [entry["step"] for entry in logged if entry["event"] == "overload step"]
    assert told == [1, 2, 3, 4, 3, 2, 1, 0]
    assert {entry["means"] for entry in logged} == {step.name.lower() for step in Step}


def test_who_has_left_is_not_waited_for() -> None:
    overload = Overload(clock=lambda: 0.0)
    with overload.watching(lambda: 9000):
        assert overload.look() == Step.NO_PARTIALS
        assert overload.lag_s == 9
    overload.look()
    assert overload.lag_s == 0


class Named:
    """An engine that only is one."""

    def __init__(self, name: str, longest_ms: int = 12_000) -> None:
        self.name = name
        self.closed = False
        self.capabilities = Capabilities("utterance", languages=frozenset({"en"}), longest_ms=longest_ms)

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
        raise NotImplementedError

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Rack:
    """Opens engines, and says which are loaded."""

    def __init__(self, *, room: bool, lighter: bool = True) -> None:
        self.opened: list[str] = []
        self.loaded = [Named("base")]
        self.broken: set[str] = set()
        self.pair = Pair(
            self.loaded[0],
            lighter=(lambda: self.open("tiny")) if lighter else None,
            again=lambda: self.open("base"),
            room=lambda: room,
        )

    def open(self, name: str) -> Named:
        if name in self.broken:
            raise OSError("gone")
        self.opened.append(name)
        self.loaded.append(Named(name))
        return self.loaded[-1]

    def fit(self, *, light: bool) -> str:
        return self.pair.fit(light=light).name


def test_the_lighter_engine_is_loaded_when_it_is_first_needed_and_stays_where_there_is_room() -> None:
    rack = Rack(room=True)
    assert rack.opened == []
    assert [rack.fit(light=light) for light in (False, True, True, False, True)] == [
        "base",
        "tiny",
        "tiny",
        "base",
        "tiny",
    ]
    assert rack.opened == ["tiny"]
    assert rack.pair.name == "tiny"


def test_without_room_one_is_let_go_before_the_other_is_loaded() -> None:
    rack = Rack(room=False)
    assert [rack.fit(light=light) for light in (True, False, True)] == ["tiny", "base", "tiny"]
    assert rack.opened == ["tiny", "base", "tiny"]
    assert [engine.closed for engine in rack.loaded] == [True, True, True, False]


@pytest.mark.parametrize("room", [True, False])
def test_a_lighter_engine_that_cannot_be_had_is_asked_for_once(room: bool) -> None:
    rack = Rack(room=room)
    rack.broken.add("tiny")
    with capture_logs() as logged:
        assert [rack.fit(light=True) for _ in range(3)] == ["base"] * 3
    assert [entry["event"] for entry in logged] == ["no lighter recogniser"]


def test_when_the_engine_is_gone_for_good_the_lighter_one_stays() -> None:
    rack = Rack(room=False)
    rack.fit(light=True)
    rack.broken.add("base")
    assert [rack.fit(light=False) for _ in range(3)] == ["tiny"] * 3


def test_an_engine_that_takes_less_at_once_is_no_replacement() -> None:
    pair = Pair(Named("base"), lighter=lambda: Named("tiny", 5000))
    assert pair.fit(light=True).name == "base"


def test_only_a_model_that_is_here_stands_in(tmp_path: Path) -> None:
    assert lighter_model("moonshine/base-en", tmp_path) is None
    tiny = CATALOGUE["moonshine/tiny-en"]
    folder = stored_at(tiny, tmp_path)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(f'{{"recipe": {tiny.recipe}}}')
    assert lighter_model("moonshine/base-en", tmp_path) == "moonshine/tiny-en"
    assert lighter_model("moonshine/tiny-en", tmp_path) is None
    assert lighter_model("openai/base-en", tmp_path) is None
    assert lighter_model("sherpa/base-en", tmp_path) is None


def test_every_stand_in_is_in_the_catalogue_and_smaller() -> None:
    for name, lighter in LIGHTER.items():
        assert all(CATALOGUE[other].size_mb < CATALOGUE[name].size_mb for other in lighter if "moonshine" not in name)


def test_threads_follow_what_the_machine_lets_us_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores(tmp_path) == 8
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == 8
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert usable_cores(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert usable_cores(tmp_path) == 3
    assert [recogniser_threads(0, cores) for cores in (1, 2, 3, 5, 64)] == [1, 1, 2, 4, 4]
    assert [recogniser_threads(asked, 2) for asked in (1, 2, 8)] == [1, 2, 2]


def test_memory_is_what_both_the_machine_and_the_cgroup_leave(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert memory_left_bytes(tmp_path, meminfo) == 0
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert memory_left_bytes(tmp_path, meminfo) == 4000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory_left_bytes(tmp_path, meminfo) == 4000 * 1024
    (tmp_path / "memory.max").write_text("51000\n")
    assert memory_left_bytes(tmp_path, meminfo) == 50_000
