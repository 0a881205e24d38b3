"""The supervisor with real processes: they are restarted, stopped together, and never outlive their parent."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra import supervisor as module
from infra.settings import child_environment
from infra.supervisor import EXIT_UNUSABLE, ProcessFailed, Program, Supervisor
from tests.conftest import until

ROOT = Path(__file__).parents[2]

PACKAGE = """
__path__ = [{here!r}, {product!r}]
"""
MAIN = """
import json, os, signal, sys, time
from pathlib import Path
from infra.supervisor import end_with_parent

name, how, *_ = sys.argv[1:]
end_with_parent(int(sys.argv[sys.argv.index("--parent") + 1]))
runs = Path(os.environ["RUNS"], name)
runs.mkdir(parents=True, exist_ok=True)
number = len(list(runs.iterdir()))

def stop(*_):
    Path(os.environ["RUNS"], f"{name} was asked to stop").touch()
    if how != "stubborn":
        sys.exit(0)

signal.signal(signal.SIGTERM, stop)
(runs / "new").write_text(json.dumps({"pid": os.getpid(), "mark": os.environ.get("MARK")}))
(runs / "new").rename(runs / str(number))
if how.isdigit():
    sys.exit(int(how))
while True:
    time.sleep(60)
"""
PARENT = """
import asyncio, os, sys
from pathlib import Path
from infra.supervisor import Program, Supervisor

async def main():
    programs = [Program(name, [name, "stays"]) for name in ("one", "two")]
    async with Supervisor(dict(os.environ)).running(programs):
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Yard:
    """A directory in which `python -m infra.main NAME HOW` is a program that stays, falls or will not stop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs_dir = directory / "runs"
        package = directory / "infra"
        package.mkdir()
        self.runs_dir.mkdir()
        (package / "__init__.py").write_text(PACKAGE.format(here=str(package), product=str(ROOT / "infra")))
        (package / "main.py").write_text(MAIN)
        self.supervisor = Supervisor(child_environment() | {"RUNS": str(self.runs_dir), "MARK": "ours"})

    def runs(self, name: str) -> list[int]:
        """The process ids of a program's runs so far."""
        done = [path for path in (self.runs_dir / name).glob("*") if path.name.isdigit()]
        return [json.loads(path.read_text())["pid"] for path in sorted(done, key=lambda path: int(path.name))]

    def was_asked_to_stop(self, name: str) -> bool:
        return (self.runs_dir / f"{name} was asked to stop").exists()

    @asynccontextmanager
    async def running(self, **programs: str) -> AsyncIterator[None]:
        async with self.supervisor.running([Program(name, (name, how)) for name, how in programs.items()]):
            yield


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.chdir(tmp_path)
    return Yard(tmp_path)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before a restart."""
    sleep = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", lambda seconds: sleep(min(seconds, 0.02)))


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_programs_run_until_the_context_ends_and_are_asked_to_stop(yard: Yard) -> None:
    async with yard.running(one="stays", two="stays"):
        await until(lambda: yard.runs("one") and yard.runs("two"))
        (one,), (two,) = yard.runs("one"), yard.runs("two")
        assert (yard.supervisor.pid("one"), yard.supervisor.pid("two")) == (one, two)
        assert lives(one)
        assert lives(two)
        assert json.loads((yard.runs_dir / "one" / "0").read_text())["mark"] == "ours"
        assert os.getsid(one) != os.getsid(0), "Ctrl-C in the terminal is for the parent alone"
    assert not lives(one)
    assert not lives(two)
    assert yard.was_asked_to_stop("one")
    assert yard.was_asked_to_stop("two")
    assert (yard.supervisor.pid("one"), yard.supervisor.pid("three")) == (None, None)


@pytest.mark.usefixtures("_quick")
async def test_a_program_that_is_killed_comes_back_and_the_others_stay(yard: Yard) -> None:
    async with yard.running(one="stays", two="stays"):
        await until(lambda: yard.runs("one") and yard.runs("two"))
        for expected in (2, 3):
            os.kill(yard.runs("one")[-1], signal.SIGKILL)
            await until(lambda expected=expected: len(yard.runs("one")) == expected)
        assert len(yard.runs("two")) == 1
        assert not lives(yard.runs("one")[0])
        assert await until(lambda: yard.supervisor.pid("one") == yard.runs("one")[-1])
    assert not any(lives(pid) for pid in (*yard.runs("one"), *yard.runs("two")))


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("code", [0, 1, 2])
async def test_a_program_that_ends_by_itself_is_started_again(yard: Yard, code: int) -> None:
    async with yard.running(one=str(code)):
        await until(lambda: len(yard.runs("one")) >= 3)


async def test_a_program_that_can_not_work_fails_the_start_and_takes_the_others_along(yard: Yard) -> None:
    async def start() -> None:
        async with yard.running(one="stays", two=str(EXIT_UNUSABLE)):
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as fall:
        await start()
    known, rest = fall.value.split(ProcessFailed)
    assert rest is None
    assert known is not None
    assert "two could not start" in str(known.exceptions[0])
    assert len(yard.runs("two")) == 1
    assert not any(lives(pid) for pid in yard.runs("one"))


async def test_an_error_in_the_context_stops_everything_too(yard: Yard) -> None:
    async def start() -> None:
        async with yard.running(one="stays"):
            await until(lambda: yard.runs("one"))
            raise LookupError("of the caller's")

    with pytest.raises(ExceptionGroup) as fall:
        await start()
    assert fall.value.split(LookupError)[1] is None
    assert not lives(yard.runs("one")[0])


async def test_a_program_that_will_not_stop_is_stopped(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.3)
    async with yard.running(one="stubborn", two="stays"):
        await until(lambda: yard.runs("one") and yard.runs("two"))
    assert yard.was_asked_to_stop("one")
    await until(lambda: not lives(yard.runs("one")[0]))
    assert not lives(yard.runs("two")[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
async def test_programs_end_with_a_parent_that_is_killed(yard: Yard) -> None:
    environment = child_environment() | {"RUNS": str(yard.runs_dir)}
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, cwd=yard.directory, env=environment)
    try:
        await until(lambda: yard.runs("one") and yard.runs("two"))
        pids = [*yard.runs("one"), *yard.runs("two")]
        assert all(map(lives, pids))
    finally:
        parent.kill()
        await parent.wait()
    await until(lambda: not any(map(lives, pids)))
    assert yard.was_asked_to_stop("one")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
async def test_a_program_whose_parent_is_gone_already_does_not_begin(yard: Yard) -> None:
    environment = child_environment() | {"RUNS": str(yard.runs_dir)}
    command = [sys.executable, "-m", "infra.main", "one", "stays", "--parent", "1073741824"]
    orphan = await asyncio.create_subprocess_exec(
        *command, cwd=yard.directory, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, told = await orphan.communicate()
    assert orphan.returncode == 1
    assert b"the process that started this one is gone" in told
    assert yard.runs("one") == []
