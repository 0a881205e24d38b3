"""Whole calls through the whole product: `hearline demo FILE --once --json` for every call of the data folder.

    python -m tests.bench.calls [--only NAME] [--json FILE]

Each call is played in real time through the signed Twilio door. Printed for each party: the word error rate of the
stored finals beside the same model's offline rate on the same 8 kHz mu-law audio, and the streaming tax, which is the
relative rise. Latency is from the end of a segment's last word, on the wall clock that began when the call was
answered, to the arrival of its final on /ws/events.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from numpy.typing import NDArray

from media_gateway.audio import AudioFormat, encode
from media_gateway.audio import decode as decode_g711
from tests.bench.score import Score, score
from tests.bench.speech import Track, decode, split
from tests.bench.wer import listen_offline
from tests.conftest import free_port
from workers.asr.engines import Engine, open_engine

ROOT: Final = Path(__file__).resolve().parents[2]
PHONE_HZ: Final = 8000


@dataclass(slots=True)
class Played:
    """What came out of one call."""

    finals: list[dict[str, Any]] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def play(file: Path, left: str, data_dir: Path) -> Played:
    """Run one demo and read its events as they come."""
    port = free_port()
    command = [sys.executable, "-m", "infra.main", "demo", str(file), "--once", "--json", "--left", left]
    command += ["--port", str(port), "--data-dir", str(data_dir)]
    played, started_s = Played(), None
    environment = {**os.environ, "HEARLINE_LOG_LEVEL": "error"}  # noqa: TID251  (handed on to the product)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        for line in demo.stdout:
            arrived_s, event = time.time(), json.loads(line)
            if event["type"] == "call.started":
                started_s = datetime.fromisoformat(event["data"]["started_at"]).timestamp()
            elif event["type"] == "segment.final":
                assert started_s is not None
                played.finals.append(event["data"])
                played.latencies_s.append(arrived_s - started_s - event["data"]["end_ms"] / 1000)
        if demo.wait() != 0:
            raise RuntimeError(f"{file.name}: {demo.stderr.read().decode(errors='replace')[-500:]}")
    played.problems = _disorder(played.finals)
    return played


def _disorder(finals: list[dict[str, Any]]) -> list[str]:
    """Return what breaks 'every final once, in order'."""
    problems, last = [], {}
    for final in finals:
        track = final["track_id"]
        if final["seq"] <= last.get(track, -1):
            problems.append(f"segment {final['seq']} of track {track} came again or out of order")
        last[track] = final["seq"]
    return problems


def over_the_phone(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 16 kHz audio after the G.711 channel that the played call went through."""
    narrow = soxr.resample(samples, 16_000, PHONE_HZ)
    pcm = np.clip(np.rint(narrow * 32768), -32768, 32767).astype(np.int16)
    heard = decode_g711(encode(pcm), AudioFormat("mulaw", PHONE_HZ))
    return soxr.resample(heard.astype(np.float32) / 32768, PHONE_HZ, 16_000)


def measure(path: Path, engine: Engine, scratch: Path) -> tuple[list[dict[str, Any]], Played]:
    """Play one call and score each of its parties; where both channels carry the same mix it is played as mono."""
    item = json.loads(path.read_text())
    audio_path = path.parent / item["audio"]
    audio = decode(audio_path)
    parties = split(item, (path.parent / item["reference"]["file"]).read_text())
    roles = [suffix.removeprefix(":") for suffix, _, _ in parties]
    if len(parties) == 1:
        roles = ["customer"]
        if audio.shape[0] > 1:
            audio_path = scratch / f"{item['name']}.wav"
            _write_mono(audio_path, audio[0])
    played = play(audio_path, roles[0], scratch)
    rows = []
    for role, (_, channel, reference) in zip(roles, parties, strict=True):
        track = Track(item["name"], "en", over_the_phone(audio[channel]), reference)
        offline = listen_offline(track, engine)
        spoken = " ".join(final["original_text"] for final in played.finals if final["role"] == role)
        whole, live = score(reference, offline.text), score(reference, spoken)
        rows.append({"call": item["name"], "party": role, "words": whole.words, "offline": whole, "streamed": live})
    return rows, played


def _write_mono(path: Path, samples: NDArray[np.float32]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())


def quantile(values: list[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.local/share/hearline").expanduser())
    parser.add_argument("--only", help="part of a call's name")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)

    engine = open_engine("auto", "auto", "cpu", "en", data_dir=args.data_dir, threads=1)
    rows: list[dict[str, Any]] = []
    latencies: list[float] = []
    problems: list[str] = []
    print(f"{'call':28} {'party':9} {'words':>5} {'offline':>8} {'streamed':>8} {'finals p50':>10} {'p95':>6}")
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as scratch:
        (Path(scratch) / "models").symlink_to(args.data_dir / "models")
        for path in sorted((args.data / "calls").glob("*.json")):
            if args.only and args.only not in path.stem:
                continue
            measured, played = measure(path, engine, Path(scratch))
            rows += measured
            latencies += played.latencies_s
            problems += played.problems
            for row in measured:
                print(
                    f"{row['call']:28} {row['party']:9} {row['words']:5} {row['offline'].wer:8.2%} "
                    f"{row['streamed'].wer:8.2%} {statistics.median(played.latencies_s):9.2f}s "
                    f"{quantile(played.latencies_s, 0.95):5.2f}s",
                    flush=True,
                )
    offline = sum((row["offline"] for row in rows), Score())
    streamed = sum((row["streamed"] for row in rows), Score())
    tax = streamed.wer / offline.wer - 1 if offline.errors else float("nan")
    p50, p95 = quantile(latencies, 0.5), quantile(latencies, 0.95)
    load = os.getloadavg()[0]
    print(f"\n{engine.name}: offline {offline.wer:.2%}, streamed {streamed.wer:.2%}, streaming tax {tax:+.1%}")
    print(f"{len(latencies)} finals, last word -> /ws/events p50 {p50:.2f} s, p95 {p95:.2f} s; load {load:.1f}")
    print("every final once, in order" if not problems else "\n".join(problems))
    if args.json is not None:
        result = {
            "engine": engine.name,
            "offline_wer": offline.wer,
            "streamed_wer": streamed.wer,
            "tax": tax,
            "p50_s": p50,
            "p95_s": p95,
            "finals": len(latencies),
            "problems": problems,
            "load": load,
            "rows": [{**row, "offline": row["offline"].wer, "streamed": row["streamed"].wer} for row in rows],
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
