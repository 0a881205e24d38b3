"""What a 20 ms Twilio frame costs: `python -m tests.bench.gateway [--json FILE]`.

Microseconds of CPU per frame from JSON text to 200 ms chunks, in this process, without a socket. Beside it, in the
same run and interleaved with it, what tutorials do for each frame: json.loads, b64decode, ulaw2lin, ratecv. The
machine may be slow or busy; the ratio of the two is what counts.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from infra.model import AudioChunk
from media_gateway.audio import AudioFormat, encode
from media_gateway.intake import Intake
from media_gateway.protocols.twilio import Media, TwilioStream

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

FRAMES = 3_000
START = b'{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","tracks":["inbound"]}}'


class CountingSink:
    """Takes chunks and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def put(self, chunk: AudioChunk) -> None:
        """Count a chunk."""
        self.count += 1


def messages() -> list[bytes]:
    """Return a minute of one track as Twilio sends it."""
    noise = np.random.default_rng(1).integers(-9000, 9000, 160 * FRAMES).astype(np.int16)
    coded = encode(noise)
    return [
        json.dumps(
            {
                "event": "media",
                "sequenceNumber": str(index + 2),
                "media": {
                    "track": "inbound",
                    "chunk": str(index + 1),
                    "timestamp": str(155 + 20 * index),
                    "payload": base64.b64encode(coded[160 * index : 160 * (index + 1)]).decode(),
                },
                "streamSid": "MZ1",
            },
            separators=(",", ":"),
        ).encode()
        for index in range(FRAMES)
    ]


def hearline(texts: list[bytes]) -> int:
    """Run the gateway's own path; return the number of chunks."""
    sink = CountingSink()
    stream = TwilioStream()
    stream.feed(START)
    intake = Intake(sink)
    intake.begin(AudioFormat("mulaw", 8000), at_ms=0)
    for index, text in enumerate(texts):
        event = stream.feed(text)
        if type(event) is Media:
            intake.put(event.timestamp, event.payload, 20.0 * index)
    intake.close()
    return sink.count


def parse_only(texts: list[bytes]) -> int:
    """Run the protocol alone."""
    stream = TwilioStream()
    stream.feed(START)
    return sum(type(stream.feed(text)) is Media for text in texts)


def naive(texts: list[bytes]) -> int:
    """Run what tutorials show; its resampler loses 4 dB at 3.4 kHz."""
    state = None
    buffer, chunks = b"", 0
    for text in texts:
        message = json.loads(text)
        if message["event"] == "media":
            pcm = audioop.ulaw2lin(base64.b64decode(message["media"]["payload"]), 2)
            wide, state = audioop.ratecv(pcm, 2, 1, 8000, 16000, state)
            buffer += wide
            while len(buffer) >= 6400:
                buffer = buffer[6400:]
                chunks += 1
    return chunks


def cpu_us(work: Callable[[list[bytes]], int], texts: list[bytes]) -> float:
    """Return microseconds of this thread's CPU time per frame."""
    began_ns = time.thread_time_ns()
    work(texts)
    return (time.thread_time_ns() - began_ns) / 1000 / len(texts)


def measure(rounds: int = 7) -> dict[str, float]:
    """Return the median cost of each way, taken in turn."""
    texts = messages()
    ways = {"hearline": hearline, "protocol only": parse_only, "json + audioop": naive}
    for work in ways.values():
        work(texts[:300])
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            costs[name].append(cpu_us(work, texts))
    return {name: statistics.median(values) for name, values in costs.items()}


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(words)
    costs = measure()
    ratio = costs["json + audioop"] / costs["hearline"]
    print(f"{'path':<16}{'us CPU per 20 ms frame':>24}")
    for name, cost in costs.items():
        print(f"{name:<16}{cost:>24.2f}")
    print(f"json + audioop costs {ratio:.2f} times what hearline's path does")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        figures = {"us_per_frame": costs, "naive_over_hearline": ratio}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
