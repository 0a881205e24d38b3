"""What an RTP packet costs to receive: `python -m tests.bench.rtp [--json FILE] [--tracks N] [--seconds S]`.

Microseconds of CPU per 20 ms packet in a process that receives so many streams over real sockets on loopback, and how
many such tracks a core would carry. In the same run, one after the other and again:

- asyncio, uvloop: a plain DatagramProtocol for each stream that counts its packets and does nothing else;
- asyncio stream, uvloop stream: the same, and RtpStream does with each packet what it does in hearline;
- hearline: RtpPorts and RtpStream: read, parsed, the sender checked, losses and jitter counted;
- hearline SRTP: the same, sealed with AES_CM_128_HMAC_SHA1_80;
- hearline PCMU, G722, opus: the same, then put in order, decoded and cut into 200 ms chunks for the recogniser;
- hearline bridged: the same as PCMU, and the bridge's jitter buffer and 20 ms frames beside it.

The machine may be slow or busy; the ratio to the plain receivers is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import uvloop

from infra.model import AudioChunk
from media_gateway.audio import FRAME_SAMPLES
from media_gateway.listening import Listeners
from media_gateway.media_clock import MediaClock, Post
from media_gateway.protocols.rtp import rtp_packet
from media_gateway.protocols.sdes import KEY_BYTES, SdesPair
from media_gateway.protocols.sdp import Address, Codec
from media_gateway.protocols.sdp_plan import StreamPlan
from media_gateway.transports.rtp import RtpStream
from media_gateway.transports.rtp_ports import OnDatagram, RtpPorts, RtpSocket
from media_gateway.transports.rtp_srtp import Sealed
from media_gateway.voices import PacketVoice, encoder_for, voice_for

CODECS: Final = {
    "PCMU": Codec("PCMU", 0, 8_000),
    "G722": Codec("G722", 9, 8_000),
    "opus": Codec("opus", 96, 48_000, 2),
}
SUITE: Final = "AES_CM_128_HMAC_SHA1_80"
KEY: Final = bytes(range(KEY_BYTES[SUITE]))
PORTS: Final = range(24_000, 32_000)
PATIENCE: Final = 200
"""Tenths of a second that what has come may still be worked on; what that costs is counted."""
PLAIN: Final = frozenset({"asyncio", "uvloop", "asyncio stream", "uvloop stream"})
WAYS: Final = {
    "asyncio": "PCMU",
    "uvloop": "PCMU",
    "asyncio stream": "PCMU",
    "uvloop stream": "PCMU",
    "hearline": "PCMU",
    "hearline SRTP": "PCMU",
    "hearline PCMU": "PCMU",
    "hearline G722": "G722",
    "hearline opus": "opus",
    "hearline bridged": "PCMU",
}


class Counts:
    """What has come."""

    def __init__(self) -> None:
        self.packets = 0
        self.chunks = 0

    def packet(self, timestamp: int, payload: bytes, now_s: float) -> None:
        """Count a packet of a stream."""
        self.packets += 1

    def put(self, chunk: AudioChunk) -> None:
        """Count a chunk of a track."""
        self.chunks += 1


class Plain(asyncio.DatagramProtocol):
    """The plain receiver."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Count a datagram."""
        self._counts.packets += 1


class Ears:
    """Takes each bridged party's 20 ms as the bridge does."""

    def __init__(self) -> None:
        self.voices: list[PacketVoice] = []

    def beat(self, now_s: float, due_s: float, post: Post) -> None:
        """Hear everybody."""
        for voice in self.voices:
            voice.hear(now_s)


def plan(port: int, codec: Codec, remote: int, crypto: SdesPair | None) -> StreamPlan:
    """Return the plan of a stream from a port of this machine."""
    address = ("127.0.0.1", remote)
    return StreamPlan(0, None, "recvonly", codec, 20, port, address, ("127.0.0.1", 9), False, crypto)


class Wrapped(asyncio.DatagramProtocol):
    """A socket of asyncio's in the place of an RtpSocket."""

    on_rtp: OnDatagram

    def listen(self, on_rtp: OnDatagram, on_rtcp: OnDatagram) -> None:
        """Have what comes handed on."""
        self.on_rtp = on_rtp

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Hand a datagram to the stream."""
        self.on_rtp(data, addr, time.monotonic())

    def send_rtcp(self, data: bytes, address: Address) -> bool:
        """Send nothing."""
        return False


async def receive_plain(way: str, tracks: int, remote: int, counts: Counts) -> list[int]:
    """Open a receiver of asyncio's for each track; return their ports."""
    loop, ports = asyncio.get_running_loop(), []
    for _ in range(tracks):
        protocol = Wrapped() if way.endswith("stream") else Plain(counts)
        transport, _ = await loop.create_datagram_endpoint(lambda made=protocol: made, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        ports.append(port)
        if isinstance(protocol, Wrapped):
            agreed = plan(port, CODECS["PCMU"], remote, None)
            RtpStream(cast("RtpSocket", protocol), agreed, on_packet=counts.packet)
    return ports


def receive(way: str, tracks: int, remote: int, counts: Counts) -> list[int]:
    """Open a stream of ours for each track; return their ports."""
    codec = CODECS[WAYS[way]]
    crypto = SdesPair(1, SUITE, KEY, KEY) if way.endswith("SRTP") else None
    ports, listeners, ears, clock = RtpPorts("127.0.0.1", PORTS), Listeners(), Ears(), MediaClock()
    numbers, heard = [], way.rsplit(maxsplit=1)[-1] in {*CODECS, "bridged"}
    if heard:
        clock.add(listeners)
        clock.add(ears)
        clock.start()
    for _ in range(tracks):
        opened = ports.allocate()
        numbers.append(opened.port)
        listener = listeners.open(counts, codec, lambda: 0) if heard else None
        on_packet: Callable[[int, bytes, float], None] = counts.packet
        agreed = plan(opened.port, codec, remote, crypto)
        if way.endswith("bridged"):
            voice = voice_for(agreed)
            ears.voices.append(voice)

            def on_packet(timestamp: int, payload: bytes, now_s: float, voice: PacketVoice = voice) -> None:
                counts.packets += 1
                voice.receive(timestamp, payload, now_s)

        RtpStream(opened, agreed, on_packet=on_packet, listener=listener)
    return numbers


def receiver(way: str, tracks: int, remote: int) -> None:
    """Receive until a line comes on stdin; then tell how many packets came and what they cost."""

    async def run() -> None:
        counts = Counts()
        ports = (
            await receive_plain(way, tracks, remote, counts) if way in PLAIN else receive(way, tracks, remote, counts)
        )
        print(json.dumps(ports), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        began_s = time.process_time()
        print("ready", flush=True)
        wanted = int(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
        for _ in range(PATIENCE):
            if counts.chunks >= wanted:
                break
            await asyncio.sleep(0.1)
        told = {"packets": counts.packets, "chunks": counts.chunks, "cpu_s": time.process_time() - began_s}
        print(json.dumps(told), flush=True)
        os._exit(0)  # streams without an end

    if way.startswith("asyncio"):
        asyncio.run(run())
    else:
        uvloop.run(run())


def packets(way: str, tracks: int, seconds: float) -> list[list[bytes]]:
    """Return what each track sends: a second of something like speech, over and over."""
    codec = CODECS[WAYS[way]]
    at = np.arange(16_000) / 16_000
    sound = (6_000 * np.sin(2 * np.pi * 150 * at) * np.sin(2 * np.pi * 3 * at)).astype(np.int16)
    sound += np.random.default_rng(1).integers(-300, 300, len(sound)).astype(np.int16)
    encoder = encoder_for(codec)
    payloads = [encoder.encode(sound[start : start + FRAME_SAMPLES]) for start in range(0, len(sound), FRAME_SAMPLES)]
    ticks, made = codec.clock_hz // 50, []
    for track in range(tracks):
        sealed = Sealed(SdesPair(1, SUITE, KEY, KEY)) if way.endswith("SRTP") else None
        line = []
        for number in range(int(seconds * 50)):
            data = rtp_packet(
                codec.payload_type, number, number * ticks, track + 1, payloads[number % 50], marker=number == 0
            )
            line.append((sealed.seal(data) or b"") if sealed is not None else data)
        made.append(line)
    return made


def send(lines: list[list[bytes]], ports: list[int], sender: socket.socket) -> int:
    """Send the tracks' packets spread over each 20 ms; return how many."""
    began_s, sent = time.monotonic(), 0
    for number in range(len(lines[0])):
        for part in range(20):
            due_s = began_s + number * 0.02 + part * 0.001
            time.sleep(max(due_s - time.monotonic(), 0))
            for track in range(part, len(lines), 20):
                sender.sendto(lines[track][number], ("127.0.0.1", ports[track]))
                sent += 1
    return sent


def measure(way: str, tracks: int, seconds: float) -> dict[str, float]:
    """Return what one way costs, received in a process of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        lines = packets(way, tracks, seconds)
        command = [sys.executable, "-m", "tests.bench.rtp", "--receive", way, str(tracks), str(sender.getsockname()[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            process.stdin.write("begin\n")
            process.stdin.flush()
            process.stdout.readline()
            sent = send(lines, ports, sender)
            time.sleep(0.3)
            wanted = tracks * (int(seconds * 5) - 1) if set(way.split()) & {*CODECS, "bridged"} else 0
            process.stdin.write(f"{wanted}\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
    return {
        "sent": sent,
        "received": told["packets"],
        "is_done": told["chunks"] >= wanted and told["packets"] == sent,
        "us_per_packet": told["cpu_s"] * 1e6 / max(told["packets"], 1),
    }


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--tracks", type=int, default=200, help="streams at once")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each way is measured, each time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="asyncio is always among them")
    parser.add_argument("--receive", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.receive:
        way, tracks, remote = arguments.receive
        receiver(way, int(tracks), int(remote))
        return
    ways = [way for way in WAYS if way in {"asyncio", *arguments.ways}]
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, each in rounds.items():
            each.append(measure(way, arguments.tracks, arguments.seconds))
    figures: dict[str, Any] = {}
    plain = statistics.median(each["us_per_packet"] for each in rounds["asyncio"])
    print(f"{arguments.tracks} tracks, {arguments.rounds} rounds of {arguments.seconds:g} s each")
    print(f"{'receiver':<18}{'sent':>8}{'received':>10}{'us/packet':>11}{'tracks/core':>13}{'vs asyncio':>12}")
    for way, each in rounds.items():
        cost = statistics.median(one["us_per_packet"] for one in each)
        sent, received = (int(sum(one[what] for one in each)) for what in ("sent", "received"))
        figures[way] = {
            "us_per_packet": round(cost, 2),
            "tracks_per_core": round(1e6 / 50 / cost),
            "sent": sent,
            "received": received,
            "all_done": all(one["is_done"] for one in each),
            "asyncio_over_this": round(plain / cost, 2),
        }
        print(
            f"{way:<18}{sent:>8}{received:>10}{cost:>11.2f}{1e6 / 50 / cost:>13.0f}{plain / cost:>11.2f}x"
            + ("" if figures[way]["all_done"] else "  (not all was done in time)")
        )
    load = os.getloadavg()[0]
    print(f"load of this machine: {load:.1f} on {os.cpu_count()} cores")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"tracks": arguments.tracks, "ways": figures, "load": load, "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
