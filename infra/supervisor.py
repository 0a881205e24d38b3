"""Keeps the processes of one installation running: started in order, restarted when they fall, stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.telemetry import logger

log = logger(__name__)

STOP_GRACE_S: Final = 15.0
ASKED_AGAIN_S: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1
_LONGEST_PAUSE_S: Final = 10.0
_GOOD_RUN_S: Final = 30.0


class ProcessFailed(RuntimeError):
    """A process ended before the installation was ready."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running: `arguments` follow the `hearline` command."""

    name: str
    arguments: Sequence[str]


class Supervisor:
    """Runs programs as children that end with this process, however it ends (on Linux)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self, programs: Sequence[Program]) -> AsyncIterator[None]:
        """Keep the programs running for as long as the context lasts, then stop them all.

        Raises ProcessFailed, in an ExceptionGroup, from inside the context when one of them cannot be started.
        """
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(self._keep(program)) for program in programs]
            try:
                yield
            finally:
                self._stopping.set()
                await self._stop_all()
                for keeper in keepers:
                    keeper.cancel()

    def pid(self, name: str) -> int | None:
        """Return the process id of a program, None while it is down."""
        process = self._running.get(name)
        return process.pid if process and process.returncode is None else None

    async def _keep(self, program: Program) -> None:
        pause_s, ever_good = 0.5, False
        while True:
            started_s = time.monotonic()
            code = await self._run_once(program)
            if self._stopping.is_set():
                return
            lived_s = time.monotonic() - started_s
            if code == EXIT_UNUSABLE and not ever_good:
                raise ProcessFailed(f"{program.name} could not start (its own message is above)")
            ever_good = ever_good or lived_s > _GOOD_RUN_S
            pause_s = 0.5 if lived_s > _GOOD_RUN_S else min(pause_s * 2, _LONGEST_PAUSE_S)
            log.error("process ended, restarting", program=program.name, exit_code=code, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            if self._stopping.is_set():
                return

    async def _run_once(self, program: Program) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.main",
            *program.arguments,
            "--parent",
            str(os.getpid()),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,  # Ctrl-C is for us; we stop them in order
        )
        self._running[program.name] = process
        return await process.wait()

    async def _stop_all(self) -> None:
        alive = [process for process in self._running.values() if process.returncode is None]
        for process in alive:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await asyncio.sleep(ASKED_AGAIN_S)
                for process in alive:  # the first time a server lets its calls finish, the second time it stops
                    if process.returncode is None:
                        process.terminate()
                await asyncio.gather(*(process.wait() for process in alive))
        except TimeoutError:
            for process in alive:
                if process.returncode is None:
                    log.error("process did not stop in time", pid=process.pid)
                    process.kill()


EXIT_UNUSABLE: Final = 3
"""A child's exit code for 'trying again is no use': a port in use, a model missing, a database that refuses."""


def end_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process when its parent is gone; exit at once if it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if parent_is_gone(parent_pid):
        sys.exit("the process that started this one is gone")


def parent_is_gone(parent_pid: int) -> bool:
    """Return whether the process that started this one has ended."""
    return os.getppid() != parent_pid
