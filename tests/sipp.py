"""sipp as a peer: scenarios of tests/vectors/sipp on loopback, with audio from captures.

sipp 3.6 sends captured packets through a raw socket (so it needs root) from the port that `[media_port]` put into the
SDP, and binds that port and the one two above for each process: processes that run beside each other get ports of
their own here. Debian's sipp has no TLS; `tls_relay` lends it some.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from media_gateway.audio import Samples, encode
from media_gateway.protocols.rtp import rtp_packet
from tests.conftest import TEST_DATA, free_port, missing, require_tool

SCENARIOS = Path(__file__).parent / "vectors" / "sipp"
CAPTURE = TEST_DATA / "wire" / "sipp_g711a.pcap"
"""7 s of speech in G.711 A-law, packets of 30 ms."""
_places = itertools.count()

Transport = Literal["udp", "tcp"]


@dataclass(frozen=True)
class Ran:
    """What became of it."""

    code: int
    messages: str
    errors: str
    calls: dict[str, int]
    """sipp's own counters at the end, such as SuccessfulCall and FailedCall."""
    times_ms: tuple[float, ...] = ()
    """How long what the scenario measures took, each time."""

    def check(self) -> Ran:
        """Fail the test unless every call went as its scenario says."""
        assert self.code == 0, f"sipp ended with {self.code}\n{self.errors[-3000:]}\n{self.messages[-6000:]}"
        return self


async def sipp(
    name: str,
    port: int,
    directory: Path,
    *,
    transport: Transport = "udp",
    calls: int = 1,
    rate: float | None = None,
    to: str = "+15550199",
    local_port: int | None = None,
    within_s: float = 60,
    user: tuple[str, str] | None = None,
    trace: bool = True,
    **words: str | Path | int,
) -> Ran:
    """Run one scenario against 127.0.0.1:`port` and wait for its end; `words` go into the scenario as @word@."""
    program = require_tool("sipp")
    directory = directory / f"{name}-{next(_places)}"
    directory.mkdir(parents=True)
    text = (SCENARIOS / f"{name}.xml").read_text()
    defaults: dict[str, object] = {"pcap": CAPTURE, "ms": 7500}
    if user is not None:
        defaults |= {"user": user[0], "password": user[1]}
    for word, value in {**defaults, **words}.items():
        text = text.replace(f"@{word}@", str(value))
    scenario = directory / f"{name}.xml"
    scenario.write_text(text)
    arguments = [
        *("-sf", str(scenario), "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", str(_media_port())),
        *("-t", "u1" if transport == "udp" else "t1", "-s", to, "-m", str(calls), "-nostdin"),
        *("-timeout", f"{within_s:.0f}s", "-timeout_error", "-trace_err", "-error_file", str(directory / "errors")),
        *("-p", str(local_port if local_port is not None else free_port())),
        *("-trace_stat", "-stf", str(directory / "stat"), "-fd", "1", "-trace_rtt", "-rtt_freq", "1"),
        *(("-r", str(rate), "-rp", "1000") if rate is not None else ()),
        *(("-trace_msg", "-message_file", str(directory / "messages")) if trace else ()),
        f"127.0.0.1:{port}",
    ]
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, cwd=directory
    )
    try:
        async with asyncio.timeout(within_s + 15):
            _, stderr = await process.communicate()
    finally:
        await ended(process)
    errors = stderr.decode(errors="replace") + _text(directory / "errors")
    if "can't create raw" in errors.lower() or "Operation not permitted" in errors:
        missing("sipp may not send captured packets here (it needs root)")
    assert process.returncode is not None
    counters, times_ms = _counters(directory / "stat"), _times_ms(directory)
    return Ran(process.returncode, _text(directory / "messages"), errors, counters, times_ms)


async def ended(process: asyncio.subprocess.Process, within_s: float = 5.0) -> None:
    """End a program, politely at first."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _media_port() -> int:
    """Return a port that sipp can have for audio, with the three above it."""
    while True:
        port = random.randrange(28_000, 32_900, 10)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for each in range(port, port + 4):
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", each))
            return port


def write_capture(path: Path, samples: Samples, *, packet_ms: int = 20) -> Path:
    """Write 8 kHz samples as a capture of RTP in G.711 A-law (payload type 8), as sipp plays them."""
    length = 8 * packet_ms
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        for number in range(len(samples) // length):
            payload = encode(samples[number * length :][:length], "alaw")
            data = rtp_packet(8, number & 0xFFFF, number * length, 0x5155, payload, marker=number == 0)
            frame = _ethernet(data)
            at_us = number * packet_ms * 1000
            file.write(struct.pack("<IIII", 1_000_000 + at_us // 1_000_000, at_us % 1_000_000, len(frame), len(frame)))
            file.write(frame)
    return path


def _ethernet(data: bytes) -> bytes:
    """Return UDP data within IPv4 within Ethernet; checksums are left out, as captures on loopback do."""
    udp = struct.pack("!HHHH", 6000, 6000, 8 + len(data), 0) + data
    local = bytes((127, 0, 0, 1))
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, local, local) + udp
    return bytes(12) + b"\x08\x00" + ip


@contextlib.asynccontextmanager
async def tls_relay(port: int, trusted: Path) -> AsyncIterator[int]:
    """Yield a TCP port on which what comes goes on over TLS to 127.0.0.1:`port`, whose certificate is `trusted`."""
    context = ssl.create_default_context(cafile=str(trusted))
    context.check_hostname = False

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(copy(reader, there_writer))
            tasks.create_task(copy(there_reader, writer))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _counters(path: Path) -> dict[str, int]:
    lines = _text(path).splitlines()
    if len(lines) < 2:
        return {}
    pairs = zip(lines[0].split(";"), lines[-1].split(";"), strict=False)
    return {name.removesuffix("(C)"): int(value) for name, value in pairs if name.endswith("(C)") and value.isdigit()}


def _times_ms(directory: Path) -> tuple[float, ...]:
    lines = [line for path in directory.glob("*_rtt.csv") for line in _text(path).splitlines()[1:]]
    return tuple(float(line.split(";")[1]) for line in lines)


def heard_level(samples: Samples) -> float:
    """Return how loud it is: the root of the mean square."""
    return float(np.sqrt(np.mean(samples.astype(float) ** 2))) if len(samples) else 0.0
