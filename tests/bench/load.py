"""Many calls at once: how long after the last word of a segment its final is on /ws/events.

    python -m tests.bench.load [--calls 1,2,4] [--json FILE]

Each round plays the sample call N times, two tracks each, paced in real time and started 3 s apart, into one
installation. Time runs on the wall clock from the moment the call was answered. CPU is what the installation's programs
used in the round, in cores; a call is 'late' when a final of it took more than 2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from infra.kept import twilio_token
from infra.launch import Installation, installation
from infra.main import SAMPLE
from infra.settings import read_settings
from media_gateway.caller import new_call_sid, place_call
from tests.bench.calls import quantile

APART_S: Final = 3.0
LATE_S: Final = 2.0


async def hear(running: Installation, sids: set[str], ready: asyncio.Event) -> dict[str, list[float]]:
    """Return the latencies in seconds of every final of these calls, by CallSid, once they have all settled."""
    latencies: dict[str, list[float]] = {sid: [] for sid in sids}
    calls: dict[str, tuple[str, float]] = {}
    settled = 0
    async with aiohttp.ClientSession(headers=running.headers) as session:
        async with session.get(f"{running.url}/api/v1/calls?limit=1") as reply:
            after = (await reply.json())["cursor"]
        async with session.ws_connect(f"{running.url}/ws/events?call=*&after={after}", max_msg_size=0) as socket:
            ready.set()
            async for message in socket:
                arrived_s, event = time.time(), json.loads(message.data)
                if event["type"] == "call.started" and event["data"]["external_id"] in sids:
                    started_s = datetime.fromisoformat(event["data"]["started_at"]).timestamp()
                    calls[event["call_id"]] = (event["data"]["external_id"], started_s)
                elif event["type"] == "segment.final" and event["call_id"] in calls:
                    sid, started_s = calls[event["call_id"]]
                    latencies[sid].append(arrived_s - started_s - event["data"]["end_ms"] / 1000)
                elif event["type"] == "call.settled" and event["call_id"] in calls:
                    settled += 1
                    if settled == len(sids):
                        return latencies
    raise RuntimeError("the feed ended early")


def cpu_s(running: Installation) -> float:
    """Return the CPU seconds that the installation's programs have used."""
    ticks = 0
    for name in ("serve", "asr", "insights"):
        pid = running.supervisor.pid(name)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def play(running: Installation, count: int) -> dict[str, Any]:
    """Run one round."""
    sids, ready = [new_call_sid() for _ in range(count)], asyncio.Event()
    began_s, cpu_before = time.monotonic(), cpu_s(running)

    async def place(sid: str, delay_s: float) -> None:
        await ready.wait()
        await asyncio.sleep(delay_s)
        await place_call(SAMPLE, running.media_url, twilio_token(running.settings), call_sid=sid)

    async with asyncio.TaskGroup() as tasks:
        heard = tasks.create_task(hear(running, set(sids), ready))
        for number, sid in enumerate(sids):
            tasks.create_task(place(sid, number * APART_S))
    took_s = time.monotonic() - began_s
    latencies = heard.result()
    every = [value for values in latencies.values() for value in values]
    finals = {len(values) for values in latencies.values()}
    return {
        "calls": count,
        "finals": len(every),
        "finals_a_call": sorted(finals),
        "p50_s": quantile(every, 0.5),
        "p95_s": quantile(every, 0.95),
        "worst_s": max(every),
        "late_calls": sum(max(values) > LATE_S for values in latencies.values()),
        "cores": (cpu_s(running) - cpu_before) / took_s,
        "load": os.getloadavg()[0],
    }


async def run(counts: list[int], models: Path) -> list[dict[str, Any]]:
    """Run every round in one installation."""
    rows = []
    print(f"{'calls':>5} {'finals':>6} {'p50':>7} {'p95':>7} {'worst':>7} {'late':>4} {'cores':>6} {'load':>5}")
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as scratch:
        (Path(scratch) / "models").symlink_to(models)
        settings = read_settings(hearline_data_dir=scratch, hearline_port=18_180, hearline_log_level="error")
        async with installation(settings, lambda _: None) as running:
            for count in counts:
                row = await play(running, count)
                rows.append(row)
                print(
                    f"{row['calls']:5} {row['finals']:6} {row['p50_s']:6.2f}s {row['p95_s']:6.2f}s "
                    f"{row['worst_s']:6.2f}s {row['late_calls']:4} {row['cores']:6.2f} {row['load']:5.1f}",
                    flush=True,
                )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default="1,2,4")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    models = read_settings().hearline_data_dir / "models"
    rows = asyncio.run(run([int(count) for count in args.calls.split(",")], models))
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
