"""What every command shares: settings, one-line errors, signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn, TypeVar

import typer

from infra.settings import Settings, SettingsError, read_settings
from infra.supervisor import EXIT_UNUSABLE, end_with_parent
from infra.telemetry import configure_logging

_T = TypeVar("_T")


class UnusableError(RuntimeError):
    """This cannot work as things are; the message is one clear line."""


def settings_for(parent: int | None, **flags: Any) -> Settings:
    if parent is not None:
        end_with_parent(parent)
    try:
        settings = read_settings(**flags)
    except SettingsError as error:
        fail(str(error))
    configure_logging(settings.hearline_log_level)
    return settings


def carry_out(work: Coroutine[Any, Any, _T], *, many_sockets: bool = False) -> _T:
    """Run until done; anything known to be in the way becomes one line and an exit code.

    `many_sockets` takes uvloop where there is one: a frame's way through the gateway costs less there.
    """
    uvloop = find_spec("uvloop") if many_sockets else None
    new_loop = import_module("uvloop").new_event_loop if uvloop else None
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work)
    except UnusableError as error:
        fail(str(error))
    except BaseExceptionGroup as errors:
        known, rest = errors.split(UnusableError)
        if rest is not None or known is None:
            raise
        fail(str(next(_leaves(known))))


def _leaves(errors: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def say(line: str) -> None:
    typer.echo(line, err=True)


def fail(message: str) -> NoReturn:
    typer.echo(f"hearline: {message}", err=True)
    raise typer.Exit(EXIT_UNUSABLE)


async def stop_signal() -> signal.Signals:
    """Return the next SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return await stopped


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run until SIGINT or SIGTERM, then cancel the work and let it give its leases back."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work)
        await stop_signal()
        running.cancel()
