"""Three times what the machine carries, for a minute: does every final arrive, is the lag shown, when is it over?

    python -m tests.bench.overload [--times 3] [--seconds 60] [--calls N] [--json FILE]

First two calls are played, and what they cost says how many this machine carries: as many as its one recogniser thread
has time for, or its cores, whichever is less (--calls states the number of calls instead). Then `--times` as many are
placed at once, `--seconds` long each, in real time. A final is expected wherever one of the calls played first had
one; lag arises on a track when a final is 2 s later than its segment's end and hang-over. The calls are played by
this same machine, which costs it something too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from infra.bus.streams import open_redis
from infra.kept import twilio_token
from infra.launch import Installation, installation
from infra.main import SAMPLE
from infra.settings import read_settings
from media_gateway.caller import new_call_sid, place_call
from tests.bench.calls import quantile
from tests.bench.processes import cpu_s
from tests.bench.speech import decode
from workers.asr.cores import usable_cores
from workers.asr.segmenter import Policy

WARM_CALLS: Final = 2
WARM_S: Final = 30.0
MOST_CALLS: Final = 32
"""A worker holds 64 tracks."""
GIVE_UP_S: Final = 240.0
LATE_S: Final = 2.0
SHORT_MS: Final = 8000
"""Longer segments may have been cut: they end before anybody could know it."""

Span = tuple[str, int, int]


@dataclass(slots=True)
class Heard:
    """What the feed told of some calls; times on this machine's clock."""

    sids: set[str]
    started_s: dict[str, float] = field(default_factory=dict)
    finals: dict[str, list[tuple[Span, str, float]]] = field(default_factory=dict)
    """By call: (role, start, end), track and arrival."""
    lags: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """By track: arrival and lag in ms."""
    steps: list[tuple[float, int]] = field(default_factory=list)
    gaps: int = 0
    settled_s: dict[str, float] = field(default_factory=dict)

    def take(self, event: dict[str, Any], at_s: float) -> None:
        kind, call_id, data = event["type"], event["call_id"], event["data"]
        if kind == "heartbeat":
            step = max(
                (int(part.split("-")[1]) for part in data["degraded"] if part.startswith("overload-")), default=0
            )
            if step != (self.steps[-1][1] if self.steps else 0):
                self.steps.append((at_s, step))
        elif kind == "call.started" and data["external_id"] in self.sids:
            self.started_s[call_id] = datetime.fromisoformat(data["started_at"]).timestamp()
            self.finals[call_id] = []
        elif call_id not in self.finals:
            return
        elif kind == "segment.final":
            span = data["role"], data["start_ms"], data["end_ms"]
            self.finals[call_id].append((span, data["track_id"], at_s))
        elif kind == "lag":
            self.lags.setdefault(data["track_id"], []).append((at_s, data["lag_ms"]))
        elif kind == "gap":
            self.gaps += 1
        elif kind == "call.settled":
            self.settled_s[call_id] = at_s

    @property
    def over(self) -> bool:
        return len(self.settled_s) == len(self.sids) and not (self.steps and self.steps[-1][1])


async def listen(running: Installation, heard: Heard, ready: asyncio.Event) -> bool:
    """Take the feed until the calls are settled and nothing is left out any more; False when that takes too long."""
    try:
        async with asyncio.timeout(GIVE_UP_S), aiohttp.ClientSession(headers=running.headers) as session:
            async with session.get(f"{running.url}/api/v1/calls?limit=1") as reply:
                after = (await reply.json())["cursor"]
            async with session.ws_connect(f"{running.url}/ws/events?call=*&after={after}", max_msg_size=0) as socket:
                ready.set()
                while not heard.over:
                    heard.take(json.loads((await socket.receive()).data), time.time())
    except TimeoutError:
        return False
    return True


async def watch(running: Installation, most: dict[str, float]) -> None:
    """Note the highest memory use of the recogniser and of Redis, in MB, for ever."""
    assert running.settings.redis_url is not None
    redis: Any = open_redis(running.settings.redis_url)
    while True:
        status = Path(f"/proc/{running.supervisor.pid('asr')}/status").read_text()
        rss_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        used = (await redis.info("memory"))["used_memory"]
        most["asr_mb"] = max(most.get("asr_mb", 0), rss_kb / 1024)
        most["redis_mb"] = max(most.get("redis_mb", 0), used / 2**20)
        await asyncio.sleep(1)


async def recogniser_s(running: Installation) -> float:
    """Return the seconds that the recogniser has spent on all kinds of requests."""
    session = aiohttp.ClientSession(headers=running.headers)
    async with session, session.get(f"{running.url}/metrics") as reply:
        families = text_string_to_metric_families(await reply.text())
    return sum(
        sample.value for family in families for sample in family.samples if sample.name == "hearline_asr_seconds_total"
    )


async def play(running: Installation, file: Path, count: int, heard: Heard) -> tuple[bool, float]:
    """Play a file in so many calls at once; return whether all came to an end, and when the last call did."""
    ready = asyncio.Event()
    heard.sids |= {new_call_sid() for _ in range(count)}

    async def place(sid: str) -> float:
        await place_call(file, running.media_url, twilio_token(running.settings), call_sid=sid)
        return time.time()

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen(running, heard, ready))
        await ready.wait()
        ends = await asyncio.gather(*(place(sid) for sid in heard.sids))
    return listening.result(), max(ends)


def cut(seconds: float, target: Path) -> Path:
    """Write the beginning of the sample call, both channels; from the start again where it is shorter."""
    audio = decode(SAMPLE)
    samples = int(seconds * 16_000)
    audio = np.tile(audio, -(-samples // audio.shape[1]))[:, :samples]
    with wave.open(str(target), "wb") as file:
        file.setnchannels(audio.shape[0])
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.clip(np.rint(audio.T * 32768), -32768, 32767).astype("<i2").tobytes())
    return target


def missing(expected: Sequence[Span], found: Sequence[Span]) -> int:
    """Return how many of the expected finals no final overlaps."""
    return sum(
        not any(role == other and start < after and before < end for other, before, after in found)
        for role, start, end in expected
    )


def shown_after_s(heard: Heard) -> list[float]:
    """Return, for each track that fell behind, how long after that it was told."""
    hang_over_s, late = Policy().hang_over_ms / 1000, dict[str, float]()
    for call_id, finals in heard.finals.items():
        for (_, start_ms, end_ms), track, at_s in finals:
            arises_s = heard.started_s[call_id] + end_ms / 1000 + hang_over_s + LATE_S
            if end_ms - start_ms < SHORT_MS and at_s > arises_s + 1:
                late[track] = min(late.get(track, arises_s), arises_s)
    first_told = {track: told[0][0] for track, told in heard.lags.items()}
    return [max(0.0, first_told.get(track, float("inf")) - arises_s) for track, arises_s in late.items()]


async def run(times: float, seconds: float, calls: int | None, models: Path) -> dict[str, Any]:
    """Find out what the machine carries, then ask `times` as much of it."""
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as scratch:
        (Path(scratch) / "models").symlink_to(models)
        warm, long = cut(WARM_S, Path(scratch, "warm.wav")), cut(seconds, Path(scratch, "long.wav"))
        settings = read_settings(hearline_data_dir=scratch, hearline_port=18_181, hearline_log_level="error")
        async with installation(settings, lambda _: None) as running:
            reference, before_s = Heard(set()), (await recogniser_s(running), cpu_s(running))
            await play(running, warm, WARM_CALLS, reference)
            recogniser_share = (await recogniser_s(running) - before_s[0]) / (WARM_CALLS * WARM_S)
            cores_a_call = (cpu_s(running) - before_s[1]) / (WARM_CALLS * WARM_S)
            carries = max(1, int(min(1 / recogniser_share, usable_cores() / cores_a_call)))
            count = calls or min(MOST_CALLS, round(times * carries))
            print(
                f"a call takes {recogniser_share:.2f} of the recogniser, {cores_a_call:.2f} cores in all: "
                f"{carries} carried, {count} placed for {seconds:.0f} s; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
            heard, most = Heard(set()), dict[str, float]()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(running, most))
                began_s = time.time()
                complete, ended_s = await play(running, long, count, heard)
                watching.cancel()
    expected = [span for span, _, _ in max(reference.finals.values(), key=len)]
    expected = [span for span in expected if span[2] < min(WARM_S, seconds) * 1000 - 2000]
    found = {call_id: [span for span, _, _ in finals] for call_id, finals in heard.finals.items()}
    longest = max(found.values(), key=len)
    shown = shown_after_s(heard)
    latencies = [
        at_s - heard.started_s[call_id] - span[2] / 1000
        for call_id, finals in heard.finals.items()
        for span, _, at_s in finals
    ]
    return {
        "recogniser_share_a_call": recogniser_share,
        "cores_a_call": cores_a_call,
        "carries": carries,
        "calls": count,
        "seconds": seconds,
        "complete": complete,
        "finals": len(latencies),
        "finals_expected": len(expected) * count,
        "finals_missing": sum(missing(expected, spans) for spans in found.values()),
        "finals_missing_beside_best_call": sum(missing(longest, spans) for spans in found.values()),
        "finals_twice": sum(len(spans) - len(set(spans)) for spans in found.values()),
        "gaps": heard.gaps,
        "tracks_late": len(shown),
        "lag_shown_after_p50_s": quantile(shown, 0.5),
        "lag_shown_after_worst_s": max(shown, default=0.0),
        "lag_worst_s": max((lag for told in heard.lags.values() for _, lag in told), default=0) / 1000,
        "lag_closed_with_0": sum(told[-1][1] == 0 for told in heard.lags.values()),
        "latency_p50_s": quantile(latencies, 0.5),
        "latency_worst_s": max(latencies),
        "steps": [(round(at_s - began_s, 1), step) for at_s, step in heard.steps],
        "all_finals_after_s": max(at_s for finals in heard.finals.values() for *_, at_s in finals) - ended_s,
        "recovered_after_s": heard.steps[-1][0] - ended_s if heard.steps else 0.0,
        "settled_after_s": max(heard.settled_s.values(), default=float("nan")) - ended_s,
        **most,
        "load": os.getloadavg()[0],
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    models = read_settings().hearline_data_dir / "models"
    result = asyncio.run(run(args.times, args.seconds, args.calls, models))
    for name, value in result.items():
        print(f"{name:32} {value:.2f}" if isinstance(value, float) else f"{name:32} {value}")
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
