"""From mouth to ear through the gateway: `python -m tests.bench.bridge [--seconds N] [--json FILE]`.

A Twilio stream and an aiortc browser talk through a running server: each says a chirp now and then, and finds the
other's by correlation in what arrives. The delay counts from the moment a packet is sent to the moment at which the
same sound could be heard at the other end, so the 20 ms that fill a packet are not in it; both codecs, the jitter
buffer, the bridge and the sockets are. No recogniser runs; the machine's load is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
from pathlib import Path

import aiohttp
import numpy as np
import numpy.typing as npt

from media_gateway.caller import new_call_sid
from tests.conftest import until
from tests.peers import LINE_HZ, RTP_HZ, AgentBrowser, Heard, Samples, Source, calling, phone_page
from tests.whole import TWILIO_TOKEN, Whole, whole

CHIRP_S = 0.06
EVERY_FRAMES = 27
"""540 ms: chirps lie everywhere within the server's 20 ms beat."""
AIM_P50_MS, AIM_P95_MS = 60, 100
SURE = 0.5
"""Correlation above which a chirp was found."""


def chirp(rate_hz: int, number: int) -> npt.NDArray[np.float64]:
    """Return a chirp of the telephone band; odd ones go down, so that neighbours are not taken for each other."""
    at = np.arange(int(CHIRP_S * rate_hz)) / rate_hz
    low, high = (400, 3000) if number % 2 == 0 else (3000, 400)
    phase = 2 * np.pi * (low * at + (high - low) / (2 * CHIRP_S) * at**2)
    return np.sin(phase) * np.hanning(len(at))


def chirping(rate_hz: int) -> Source:
    """Return a voice that says a chirp every `EVERY_FRAMES` frames."""
    length = rate_hz // 50

    def frame(index: int) -> Samples:
        number, part = divmod(index, EVERY_FRAMES)
        wave = chirp(rate_hz, number)[part * length : (part + 1) * length] * 9000
        return np.pad(wave, (0, length - len(wave))).astype(np.int16)

    return frame


def delays_ms(sent_s: list[float], heard: Heard) -> list[float]:
    """Return, for each chirp that was found, from sent to audible."""
    samples = heard.samples.astype(np.float64)
    delays = []
    for number in range(3, (len(sent_s) - 30) // EVERY_FRAMES):
        spoken_s = sent_s[number * EVERY_FRAMES]
        begin, position = None, 0
        for arrived_s, packet in heard.packets:
            if begin is None and arrived_s >= spoken_s:
                begin = position
            position += len(packet)
            if arrived_s > spoken_s + 0.45:
                break
        if begin is None:
            continue
        needle = chirp(heard.rate_hz, number)
        region = samples[begin:position]
        if len(region) < len(needle):
            continue
        energy = np.sqrt(np.convolve(region**2, np.ones(len(needle)), "valid") * np.sum(needle**2))
        likeness = np.correlate(region, needle, "valid") / np.maximum(energy, 1)
        best = int(np.argmax(likeness))
        if likeness[best] > SURE:
            delays.append((heard.moment_s(begin + best) - spoken_s) * 1000)
    return delays


async def measure(seconds: float) -> dict[str, list[float]]:
    """Let both talk for a while; return the delays of each direction."""
    with tempfile.TemporaryDirectory() as folder:
        async with whole(Path(folder) / "data", without=("asr", "insights")) as server:
            await _alive(server)
            async with phone_page(server.http, server.url) as page:
                await page.do(do="status", status="online")
                sid = new_call_sid()
                async with calling(server.http, server.url, TWILIO_TOKEN, sid, chirping(LINE_HZ)) as caller:
                    await until(lambda: page.call)
                    agent = AgentBrowser(chirping(RTP_HZ))
                    try:
                        await agent.connect(server.http, server.url)
                        await asyncio.sleep(seconds)
                        await caller.hang_up()
                    finally:
                        await agent.close()
                return {
                    "caller -> agent": delays_ms(caller.sent_s, agent.heard),
                    "agent -> caller": delays_ms(agent.microphone.sent_s, caller.heard),
                }


async def _alive(server: Whole) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with server.http.get("/healthz") as reply:
                    if reply.status == 200:
                        return
            await asyncio.sleep(0.1)


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(words)
    found = asyncio.run(measure(arguments.seconds))
    figures = {}
    print(f"{'way':<18}{'chirps':>8}{'p50 ms':>9}{'p95 ms':>9}{'most ms':>9}")
    for way, delays in {**found, "both": [*found["caller -> agent"], *found["agent -> caller"]]}.items():
        if not delays:
            raise SystemExit(f"{way}: nothing was heard")
        p50, p95 = np.percentile(delays, [50, 95])
        figures[way] = {"chirps": len(delays), "p50_ms": p50, "p95_ms": p95, "most_ms": max(delays)}
        print(f"{way:<18}{len(delays):>8}{p50:>9.1f}{p95:>9.1f}{max(delays):>9.1f}")
    print(
        f"aim: p50 <= {AIM_P50_MS} ms, p95 <= {AIM_P95_MS} ms; load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores"
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"delays": figures, "load": os.getloadavg()[0]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
