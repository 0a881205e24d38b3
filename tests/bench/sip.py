"""How soon a SIP call is set up beside a flood: `python -m tests.bench.sip [--calls N] [--options N] [--json FILE]`.

sipp calls a running server (gateway, PostgreSQL, Redis; no recogniser) twice a second, first alone, then beside OPTIONS
requests. Set-up is from the INVITE to its 200, as sipp's clock has it. sipp itself runs on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path

import aiohttp
import numpy as np

from tests.bench.processes import cpu_of_s
from tests.conftest import free_port, until
from tests.sipp import Ran, sipp
from tests.whole import Whole, whole

AIM_MS = 500
CALLS_A_SECOND = 2


async def measure(calls: int, options: int) -> dict[str, dict[str, float]]:
    """Return the figures, alone and beside `options` requests a second."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        settings = {"sip_port": str(port), "sip_trunks": "127.0.0.0/8"}
        async with whole(scratch / "data", without=("asr", "insights"), **settings) as server:
            await until(lambda: _is_there(server), within_s=60)
            alone = await _calls(server, scratch, port, calls)
            async with asyncio.TaskGroup() as tasks:
                seconds = calls // CALLS_A_SECOND + 6
                flood = tasks.create_task(
                    sipp("options", port, scratch, calls=seconds * options, rate=options, trace=False, within_s=300)
                )
                await asyncio.sleep(2)
                beside = await _calls(server, scratch, port, calls)
            beside["options answered"] = _done(flood.result())
    return {"alone": alone, f"beside {options} OPTIONS/s": beside}


async def _is_there(server: Whole) -> bool:
    try:
        async with server.http.get("/healthz") as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False


async def _calls(server: Whole, scratch: Path, port: int, calls: int) -> dict[str, float]:
    pid = server.processes["serve"].pid
    before_s, began_s = cpu_of_s(pid), asyncio.get_running_loop().time()
    ran = await sipp("set_up", port, scratch, calls=calls, rate=CALLS_A_SECOND, trace=False, within_s=300)
    cpu = (cpu_of_s(pid) - before_s) / (asyncio.get_running_loop().time() - began_s)
    p50, p95 = np.percentile(ran.times_ms, [50, 95])
    return {
        "calls": _done(ran),
        "p50 ms": float(p50),
        "p95 ms": float(p95),
        "most ms": max(ran.times_ms),
        "core %": cpu * 100,
    }


def _done(ran: Ran) -> int:
    ran.check()
    return ran.calls["SuccessfulCall"]


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--options", type=int, default=500, help="requests a second")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(words)
    found = asyncio.run(measure(arguments.calls, arguments.options))
    columns = ("calls", "p50 ms", "p95 ms", "most ms", "core %")
    print(f"{'set-up':<24}" + "".join(f"{column:>10}" for column in columns))
    for name, figures in found.items():
        print(f"{name:<24}" + "".join(f"{figures[column]:>10.1f}" for column in columns))
    print(f"aim: at most {AIM_MS} ms; load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"set_up": found, "load": os.getloadavg()[0]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
