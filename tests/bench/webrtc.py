"""What a browser's audio costs: `python -m tests.bench.webrtc [--tracks 8] [--seconds 6] [--rounds 2] [--json FILE]`.

CPU of one process that serves N browsers in pairs, each hearing the other, as hundredths of a core for one duplex
track: Opus decoded to samples, bridged, and encoded again, 50 packets a second each way, over loopback.

    hearline  RtcPeer, playout, bridge and the media thread, as the gateway runs them
    packets   RtcPeer alone: the same packets passed on undecoded
    aiortc    RTCPeerConnection as it comes (jitter buffer, decoder threads, sender), each sending the other's track

The same generator drives all three from another process: aiortc clients with speech coded beforehand, which count what
comes back. The ways take turns; the machine may be slow or busy, so the ratio is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import uvloop
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription

from infra.model import SAMPLE_RATE_HZ
from media_gateway.audio import FRAME_SAMPLES
from media_gateway.bridge import Bridge, Plan, Seat
from media_gateway.codecs import OpusEncoder
from media_gateway.media_clock import MediaClock
from media_gateway.transports.rtc_peer import RtcPeer
from media_gateway.voices import browser_voice
from tests.recordings import read
from tests.rtc_client import ON_LOOPBACK, Client, on_loopback_only

WAYS: Final = ("hearline", "packets", "aiortc")
WARM_S: Final = 1.5
PATIENCE_S: Final = 30.0
SAMPLE: Final = Path(__file__).resolve().parents[2] / "infra" / "sample" / "call.flac"


class Served(ABC):
    """One way to serve browsers."""

    @abstractmethod
    async def answer(self, offer: str) -> str:
        """Connect one more; the second of each pair hears the first, and the first the second."""

    @abstractmethod
    async def close(self) -> None:
        """Let everybody go."""


class Hearline(Served):
    """The gateway's own way; with `decoded` off, packets are passed on as they are."""

    def __init__(self, tasks: asyncio.TaskGroup, *, decoded: bool) -> None:
        self._tasks = tasks
        self._decoded = decoded
        self._clock = MediaClock()
        self._clock.start()
        self._peers: list[RtcPeer] = []
        self._seats: list[Seat] = []

    async def answer(self, offer: str) -> str:
        voice = browser_voice()
        number = len(self._peers)

        def pass_on(timestamp: int, payload: bytes, now_s: float) -> None:
            other = number ^ 1
            if other < len(self._peers):
                self._peers[other].send(payload)

        peer = RtcPeer(
            on_packet=voice.receive if self._decoded else pass_on, on_state=lambda _: None, network=ON_LOOPBACK
        )
        voice.send = peer.send
        self._peers.append(peer)
        self._seats.append(Seat(voice))
        if number % 2 and self._decoded:
            one, other = self._seats[-2:]
            bridge = Bridge()
            bridge.plan = Plan(hears={one: (other,), other: (one,)})
            self._clock.add(bridge)
        said = await peer.answer(offer)
        self._tasks.create_task(peer.run())
        return said

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self._peers))
        await self._clock.stop()


class Aiortc(Served):
    """The library's own way."""

    def __init__(self) -> None:
        self._pcs: list[RTCPeerConnection] = []
        self._receivers: list[RTCRtpReceiver] = []

    async def answer(self, offer: str) -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._pcs.append(pc)
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        (transceiver,) = pc.getTransceivers()
        transceiver.direction = "sendrecv"
        self._receivers.append(transceiver.receiver)
        if len(self._pcs) % 2 == 0:
            first, second = self._receivers[-2:]
            self._pcs[-2].getTransceivers()[0].sender.replaceTrack(second.track)
            transceiver.sender.replaceTrack(first.track)
        with on_loopback_only():
            await pc.setLocalDescription(await pc.createAnswer())
        return pc.localDescription.sdp

    async def close(self) -> None:
        await asyncio.gather(*(pc.close() for pc in self._pcs))


async def serve(way: str) -> None:
    """Serve what is asked for on stdin, a JSON line each, and answer on stdout."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        served: Served = Aiortc() if way == "aiortc" else Hearline(tasks, decoded=way == "hearline")
        while line := await reader.readline():
            asked = json.loads(line)
            if "offer" in asked:
                told: dict[str, Any] = {"answer": await served.answer(asked["offer"])}
            else:
                cpu_s, began_s = time.process_time(), time.monotonic()
                await asyncio.sleep(asked["measure"])
                told = {"cpu_s": time.process_time() - cpu_s, "took_s": time.monotonic() - began_s}
            print(json.dumps(told), flush=True)
        await served.close()


@contextlib.asynccontextmanager
async def server(way: str) -> AsyncIterator[Any]:
    """Yield a function that asks a server in another process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "tests.bench.webrtc", "--serve", way),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, back = process.stdin, process.stdout

    async def ask(**words: object) -> dict[str, Any]:
        to.write(json.dumps(words).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            told: dict[str, Any] = json.loads(await back.readline())
        return told

    try:
        yield ask
    finally:
        to.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def speech(seconds: float = 20.0) -> list[bytes]:
    """Return the sample call's customer as Opus packets of 20 ms."""
    samples = read(SAMPLE, SAMPLE_RATE_HZ)[0][:, 0]
    encoder = OpusEncoder()
    starts = range(0, int(seconds * SAMPLE_RATE_HZ), FRAME_SAMPLES)
    return [encoder.encode(samples[at : at + FRAME_SAMPLES].copy()) for at in starts]


async def measure(way: str, tracks: int, seconds: float, packets: list[bytes]) -> dict[str, float]:
    """Run one way once; return CPU a track in hundredths of a core, and the share of packets that came through."""
    async with server(way) as ask:
        clients = [Client(packets) for _ in range(tracks)]
        try:
            for client in clients:
                await client.take((await ask(offer=await client.offer()))["answer"])
            async with asyncio.timeout(PATIENCE_S):
                while not all(len(client.heard) > 5 for client in clients):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await asyncio.sleep(WARM_S)
            sent, heard = sum(c.track.sent for c in clients), sum(len(c.heard) for c in clients)
            told = await ask(measure=seconds)
            sent, heard = sum(c.track.sent for c in clients) - sent, sum(len(c.heard) for c in clients) - heard
        finally:
            await asyncio.gather(*(client.close() for client in clients))
    return {"percent": 100 * told["cpu_s"] / told["took_s"] / tracks, "came_through": heard / sent}


async def run(tracks: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure the ways in turn, and return the table."""
    packets = speech()
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    loads = [os.getloadavg()[0]]
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(await measure(way, tracks, seconds, packets))
            loads.append(os.getloadavg()[0])
    rows = {
        way: {
            "percent_of_a_core": statistics.median(each["percent"] for each in runs),
            "rounds": [round(each["percent"], 3) for each in runs],
            "tracks_a_core": 100 / statistics.median(each["percent"] for each in runs),
            "came_through": statistics.mean(each["came_through"] for each in runs),
        }
        for way, runs in found.items()
    }
    return {"tracks": tracks, "seconds": seconds, "load": [loads[0], max(loads)], "ways": rows}


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=8, help="an even number")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.serve:
        uvloop.run(serve(arguments.serve))
        return
    figures = uvloop.run(run(arguments.tracks, arguments.seconds, arguments.rounds))
    ways = figures["ways"]
    print(f"{'way':<10}{'% of a core a track':>20}{'tracks a core':>15}{'came through':>14}")
    for way, row in ways.items():
        percent, many = row["percent_of_a_core"], row["tracks_a_core"]
        print(f"{way:<10}{percent:>20.2f}{many:>15.0f}{row['came_through']:>13.1%}")
    figures["ratio"] = ways["aiortc"]["percent_of_a_core"] / ways["hearline"]["percent_of_a_core"]
    low, high = figures["load"]
    print(f"aiortc costs {figures['ratio']:.1f} times what hearline does (load average {low:.1f} to {high:.1f})")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
