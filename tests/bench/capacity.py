"""How many two-party calls a machine carries with a given engine, model, device and batch.

    python -m tests.bench.capacity [--engine auto] [--model auto] [--device cpu|cuda] [--batch N] [--json FILE]

The sample call is cut into segments once. Then N copies of it, two tracks each and every one at another moment of it,
ask the product's Scheduler in real time for what a worker would ask: partials, guesses at the end of a pause, finals.
N doubles while 90 % of the finals come within 2 s of their last word; then the largest such N is searched for.
The call's network, its store and the cutting itself are left out; what the cutting costs is printed. A worker process
holds 64 tracks: for more calls than 32, start more of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.main import SAMPLE
from tests.bench.calls import quantile
from tests.bench.speech import Track, decode
from workers.asr import models
from workers.asr.cores import recogniser_lanes, recogniser_threads, usable_cores
from workers.asr.engines import Engine, open_engine
from workers.asr.engines.faster_whisper import FasterWhisper
from workers.asr.scheduler import BusyError, Request, Scheduler
from workers.asr.segmenter import Decode, Policy, Segmenter, policy_for
from workers.asr.vad import SpeechDetector

LIMIT_S: Final = 2.0
DRAIN_S: Final = 60.0
"""A level that has not answered so long after its last chunk is given up: it is far beyond the limit."""


@dataclass(frozen=True, slots=True)
class Cue:
    """Something to recognise, and when in the track's time that becomes known."""

    at_s: float
    behind_s: float
    """How long after its last word that is."""
    decode: Decode


@dataclass(slots=True)
class Level:
    """What became of so many calls."""

    calls: int
    finals: int = 0
    unanswered: int = 0
    partials: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    cores: float = 0.0
    latencies_s: list[float] = field(default_factory=list, repr=False)

    @property
    def carried(self) -> bool:
        return self.unanswered == 0 and self.p90_s <= LIMIT_S


def cues(track: Track, policy: Policy) -> list[Cue]:
    """Return all that the worker would ask for in a track, in order."""
    segmenter = Segmenter(SpeechDetector(), policy)
    return [
        Cue(chunk.end_ms / 1000, (chunk.end_ms - action.end_ms) / 1000, action)
        for chunk in track.chunks()
        for action in segmenter.push(chunk)
        if isinstance(action, Decode)
    ]


class Caller:
    """One track of one call, played from `from_s` on and from its beginning again."""

    def __init__(self, scheduler: Scheduler, timeline: Sequence[Cue], length_s: float, *, call: int) -> None:
        self._scheduler = scheduler
        self._timeline = timeline
        self._length_s = length_s
        self._call = call
        self._waiting: set[asyncio.Task[None]] = set()
        self._partial: asyncio.Task[None] | None = None
        self._guess: tuple[Decode, Request] | None = None

    async def play(self, from_s: float, seconds: float, level: Level) -> None:
        """Ask for what falls into `seconds` of the track, each at its time, and wait for the answers."""
        loop = asyncio.get_running_loop()
        began_s = loop.time() - from_s
        rounds = [
            replace(cue, at_s=cue.at_s + turn * self._length_s)
            for turn in range(int((from_s + seconds) / self._length_s) + 1)
            for cue in self._timeline
        ]
        for cue in rounds:
            if not from_s <= cue.at_s < from_s + seconds:
                continue
            await asyncio.sleep(max(0.0, began_s + cue.at_s - loop.time()))
            self._ask(cue.decode, began_s + cue.at_s - cue.behind_s, level)
        if self._waiting:
            _, late = await asyncio.wait(self._waiting, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            level.unanswered += len(late)

    def _ask(self, decode: Decode, ended_s: float, level: Level) -> None:
        if decode.kind == "partial" and self._partial is not None and not self._partial.done():
            return
        guess, self._guess = self._guess, None
        if decode.kind == "final" and decode.reuse and guess is not None and guess[0].seq == decode.seq:
            request = guess[1]
            request.promote()
        else:
            if guess is not None:
                guess[1].leave()
            try:
                request = self._scheduler.ask(
                    decode.samples,
                    language="en",
                    kind=decode.kind,
                    caller=self._call,
                    due_ms=int(asyncio.get_running_loop().time() * 1000),
                )
            except BusyError:
                return
        if decode.kind == "speculative":
            self._guess = decode, request
            return
        task = asyncio.get_running_loop().create_task(self._take(request, decode, ended_s, level))
        if decode.kind == "partial":
            self._partial = task
        else:
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _take(self, request: Request, decode: Decode, ended_s: float, level: Level) -> None:
        try:
            await request.answer
        except BusyError:
            return
        if decode.kind == "partial":
            level.partials += 1
            return
        level.finals += 1
        level.latencies_s.append(asyncio.get_running_loop().time() - ended_s)


async def carry(calls: int, engine: Engine, timelines: Sequence[list[Cue]], length_s: float, args: Any) -> Level:
    """Play so many calls at once."""
    level = Level(calls)
    scheduler = Scheduler(engine, lanes=args.lanes)
    running = asyncio.get_running_loop().create_task(scheduler.run())
    worked_s, began_s = time.process_time(), time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for call in range(calls):
            for timeline in timelines:
                caller = Caller(scheduler, timeline, length_s, call=call)
                tasks.create_task(caller.play(call * length_s / calls, args.seconds, level))
    level.cores = (time.process_time() - worked_s) / (time.monotonic() - began_s)
    running.cancel()
    await asyncio.wait((running,))
    level.p50_s, level.p90_s, level.p99_s = (quantile(level.latencies_s, share) for share in (0.5, 0.9, 0.99))
    print(
        f"{calls:5} {level.finals:7} {level.partials:8} {level.p50_s:7.2f} {level.p90_s:7.2f} {level.p99_s:7.2f} "
        f"{level.cores:6.2f}  {'carried' if level.carried else 'too many'}",
        flush=True,
    )
    return level


async def search(measure: Any, *, first: int, most: int) -> list[Level]:
    """Double the calls until they are too many, then halve the step; return every level that was tried."""
    levels: list[Level] = []
    carried, refused, calls = 0, most + 1, min(first, most)
    while refused - carried > 1:
        levels.append(await measure(calls))
        if levels[-1].carried:
            carried = calls
        else:
            refused = calls
        calls = min(calls * 2, most) if refused > most else (carried + refused) // 2
        if refused > most and carried == most:
            break
    return levels


class Lasting:
    """An engine that the levels share: a scheduler closes what it was given."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return (lambda: None) if name == "close" else getattr(self._engine, name)


def opened(args: Any) -> Engine:
    """Return the engine that the command line asks for."""
    if args.batch is not None:
        name = "whisper/base" if args.model == "auto" else args.model
        folder = models.resolve(name, args.data_dir)
        return FasterWhisper(folder, name=name, device=args.device, threads=args.threads, batch=args.batch)
    return open_engine(args.engine, args.model, args.device, "en", data_dir=args.data_dir, threads=args.threads)


def machine(device: str) -> str:
    """Return what the figures were measured on."""
    if device == "cuda":
        asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return f"{platform.machine()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="Whisper only: how many stretches at once (default: the device's)")
    parser.add_argument("--threads", type=int, default=recogniser_threads(0, usable_cores()))
    parser.add_argument("--lanes", type=int, help="recognitions at once (default: as the product)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of every level")
    parser.add_argument("--first", type=int, default=1, help="calls to begin with")
    parser.add_argument("--most", type=int, default=256)
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/hearline").expanduser())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    if args.lanes is None and args.device == "cpu":
        args.lanes = recogniser_lanes(args.threads, usable_cores())

    engine = opened(args)
    engine.warm_up()
    audio = decode(SAMPLE)
    length_s, policy = audio.shape[1] / 16_000, policy_for(engine.capabilities)
    worked_s = time.process_time()
    timelines = [cues(Track(f"party {number}", "en", party, ""), policy) for number, party in enumerate(audio)]
    cutting = (time.process_time() - worked_s) / length_s / len(timelines)
    print(
        f"{engine.name} on {args.device} ({machine(args.device)}); batch {engine.capabilities.batch}, "
        f"{args.threads} threads, {args.lanes or engine.capabilities.parallel} at once; "
        f"cutting: {cutting:.4f} cores a track"
    )
    print(f"{'calls':>5} {'finals':>7} {'partials':>8} {'p50 s':>7} {'p90 s':>7} {'p99 s':>7} {'cores':>6}")
    lasting: Any = Lasting(engine)
    measure = partial(carry, engine=lasting, timelines=timelines, length_s=length_s, args=args)
    levels = asyncio.run(search(measure, first=args.first, most=args.most))
    best = max((level.calls for level in levels if level.carried), default=0)
    print(f"{best} two-party calls ({2 * best} tracks) with p90 within {LIMIT_S:.0f} s")
    engine.close()
    if args.json is not None:
        result = {
            "engine": engine.name,
            "device": args.device,
            "machine": machine(args.device),
            "batch": engine.capabilities.batch,
            "threads": args.threads,
            "carried": best,
            "cutting_cores_a_track": cutting,
            "levels": [{**asdict(level), "latencies_s": None} for level in levels],
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
