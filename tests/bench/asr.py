"""Live calls: how long after a word its partial and its final are on /ws/events, against WhisperLive on the same audio.

    python -m tests.bench asr
    python -m tests.bench.asr [--calls 1,2,4,8,16] [--seconds 60] [--no-peer] [--peer-calls 1,2,4] [--json FILE]

Each round plays N two-party calls at once, in real time, through the signed Twilio door of a running installation. When
the last word of an utterance ends is known from the reference (tests/bench/dialogues.py), not from our own segments.
`missed` are utterances of whose last words nothing ever became final. CPU is of all programs, database and Redis
included, a second of audio of one track; `asr` is the recogniser's alone. Then WhisperLive gets the same tracks, as
they come out of the telephone line, each as a client with its detector of speech on. A ratio of latencies is printed
only where our word error rate is at most a point above the peer's. CPU is told twice: a second of audio, and a hundred
words that were got right, for a server that leaves out what it has no time for is cheap by the second.

Below the table stands what the finals' latency consists of, as means over all finals of a round, by the recogniser's
own clock: until the pause that ends a segment was there (detector's afterglow and the chunk included), until the text
was there, until it was stored, until it was told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from infra.bus.presence import Presence
from infra.bus.streams import open_redis
from infra.kept import twilio_token
from infra.launch import Installation, installation
from infra.settings import read_settings
from media_gateway.caller import new_call_sid, place_call, read_parties
from media_gateway.codecs import MulawDecoder
from tests.bench.calls import quantile
from tests.bench.dialogues import Dialogue, dialogue
from tests.bench.lateness import NOTHING, Lateness, Piece, Transcript, lateness
from tests.bench.processes import cpu_by_program_s
from tests.bench.whisperlive import MODEL, PeerMissingError, whisperlive
from workers.asr import models
from workers.asr.cores import usable_cores

CALLS: Final = "1,2,4,8,16"
PEER_CALLS: Final = "1,2,4"
"""At four calls it is far behind already."""
SECONDS: Final = 60.0
APART_S: Final = 0.37
"""Calls of a round begin so far apart."""
WARM_S: Final = 12.0
GIVE_UP_S: Final = 180.0
ROLES: Final = ("customer", "agent")
AIM_P50_S, AIM_P90_S, AIM_16_P90_S = 0.7, 1.2, 2.0
AIM_SOONER, AIM_LESS_CPU = 10.0, 5.0
SAME_WER: Final = 0.01
STAGES: Final = ("pause", "words", "stored", "told")
"""Of workers.asr.session."""


@dataclass(slots=True)
class Row:
    """One round of one server."""

    server: str
    calls: int
    utterances: int
    missed: int
    wer: float
    final_s: dict[str, float]
    partial_s: dict[str, float]
    cpu: float
    """Core-seconds a second of audio, all programs of the server."""
    cpu_by_program: dict[str, float]
    load: float
    """Of the machine, before the round."""
    cpu_a_word: float = 0.0
    """Core-seconds a word of the reference that was heard."""
    stages_s: dict[str, float] = field(default_factory=dict)
    """What the mean final waited for; of our own server."""

    @property
    def cores(self) -> float:
        return sum(self.cpu_by_program.values())


@dataclass(slots=True)
class Feed:
    """What /ws/events told of the calls of one round."""

    began_s: dict[str, float] = field(default_factory=dict)
    """By CallSid: when its first frame was sent."""
    heard: dict[tuple[str, str], Transcript] = field(default_factory=dict)
    """By CallSid and role."""
    settled: set[str] = field(default_factory=set)
    _sids: dict[str, str] = field(default_factory=dict)
    _partials: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)
    _finals: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)

    def take(self, event: dict[str, Any], at_s: float) -> None:
        kind, call_id, data = event["type"], event["call_id"], event["data"]
        if kind == "call.started" and data["external_id"] in self.began_s:
            self._sids[call_id] = data["external_id"]
        if (sid := self._sids.get(call_id)) is None:
            return
        if kind == "call.settled":
            self.settled.add(sid)
        elif kind in {"segment.partial", "segment.final"}:
            key, since_s = (sid, data["role"]), at_s - self.began_s[sid]
            finals, partials = self._finals.setdefault(key, {}), self._partials.setdefault(key, {})
            transcript = self.heard.setdefault(key, Transcript())
            if kind == "segment.final":
                finals[data["seq"]] = data["original_text"]
                partials.pop(data["seq"], None)
                transcript.finals.append(Piece(since_s, data["original_text"]))
            else:
                partials[data["seq"]] = data["text"]
            both = {**partials, **finals}
            transcript.shown.append(Piece(since_s, " ".join(both[seq] for seq in sorted(both))))


async def follow(running: Installation, feed: Feed, calls: int, ready: asyncio.Event) -> None:
    """Take the feed until all calls of the round have settled."""
    async with asyncio.timeout(GIVE_UP_S), aiohttp.ClientSession(headers=running.headers) as session:
        async with session.get(f"{running.url}/api/v1/calls?limit=1") as reply:
            after = (await reply.json())["cursor"]
        async with session.ws_connect(f"{running.url}/ws/events?call=*&after={after}", max_msg_size=0) as socket:
            ready.set()
            while len(feed.settled) < calls:
                message = await socket.receive()
                feed.take(json.loads(message.data), time.monotonic())


async def play(running: Installation, dialogues: Sequence[Dialogue], scratch: Path) -> Row:
    """Place all calls of a round, hear them out, and see what came when."""
    load, feed, ready = os.getloadavg()[0], Feed(), asyncio.Event()
    files = [each.write(scratch / f"{number}.wav") for number, each in enumerate(dialogues)]
    sids = [str(new_call_sid()) for _ in dialogues]
    before, stages = cpu_by_program_s(), await stages_so_far(running)

    def begin(sid: str) -> None:
        feed.began_s[sid] = time.monotonic()

    async def place(number: int) -> None:
        await asyncio.sleep(number * APART_S)
        token, sid = twilio_token(running.settings), sids[number]
        feed.began_s[sid] = float("inf")  # until the first frame
        await place_call(files[number], running.media_url, token, call_sid=sid, on_first_frame=lambda: begin(sid))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(running, feed, len(dialogues), ready))
        await ready.wait()
        for number in range(len(dialogues)):
            tasks.create_task(place(number))
    after, audio_s = cpu_by_program_s(), sum(2 * each.duration_s for each in dialogues)
    spent = {name: (after[name] - before.get(name, 0.0)) / audio_s for name in after}
    found = NOTHING
    for sid, each in zip(sids, dialogues, strict=True):
        for channel, role in enumerate(ROLES):
            found += lateness(each.of(channel), feed.heard.get((sid, role), Transcript()))
    name = f"hearline {await engine(running)}"
    return row(name, len(dialogues), found, spent, load, audio_s, means(stages, await stages_so_far(running)))


async def stages_so_far(running: Installation) -> dict[str, tuple[float, float]]:
    """Return (seconds, how many) by stage of a final, since the start."""
    async with (
        aiohttp.ClientSession(headers=running.headers) as session,
        session.get(f"{running.url}/metrics") as reply,
    ):
        text = await reply.text()
    found = re.findall(r'^hearline_final_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)', text, re.MULTILINE)
    values = {(stage, what): float(value) for what, stage, value in found}
    return {stage: (values[stage, "sum"], values[stage, "count"]) for stage in STAGES if (stage, "sum") in values}


def means(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Return the mean seconds by stage between two moments."""
    result = {}
    for stage, (total_s, count) in after.items():
        old_s, old_count = before.get(stage, (0.0, 0.0))
        if count > old_count:
            result[stage] = (total_s - old_s) / (count - old_count)
    return result


async def engine(running: Installation) -> str:
    """Return the recogniser's name."""
    assert running.settings.redis_url is not None
    redis = open_redis(running.settings.redis_url)
    try:
        return str((await Presence(redis).workers("asr"))[0]["engine"])
    finally:
        await redis.aclose()


def row(
    server: str,
    calls: int,
    found: Lateness,
    spent: dict[str, float],
    load: float,
    audio_s: float,
    stages_s: dict[str, float] | None = None,
) -> Row:
    """Make a line of the table. `spent`: core-seconds a second of audio; what the bench itself used does not count."""
    cpu = sum(value for name, value in spent.items() if name != "bench")
    return Row(
        server,
        calls,
        found.utterances,
        found.missed,
        found.score.wer,
        quantiles(found.final_s),
        quantiles(found.partial_s),
        cpu,
        spent,
        load,
        cpu * audio_s / max(found.score.right, 1),
        stages_s or {},
    )


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p90 and p99."""
    return {f"p{share}": quantile(list(seconds), share / 100) for share in (50, 90, 99)}


def line(file: Path) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Return both tracks as they come out of the telephone line: what the product's recogniser is given."""
    parties = read_parties(file)
    return [MulawDecoder().decode(b"".join(party.frames)).astype(np.float32) / 32768 for party in parties]


async def ours(counts: Sequence[int], seconds: float, data: Path, model: str | None) -> list[Row]:
    """Play every round into one installation, after a short call that warms everything up."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as folder:
        scratch = Path(folder)
        (scratch / "models").symlink_to(read_settings().hearline_data_dir / "models")
        chosen = {} if model is None else {"asr_model": model}
        settings = read_settings(hearline_data_dir=folder, hearline_port=18_180, hearline_log_level="error", **chosen)
        async with installation(settings, lambda _: None) as running:
            await play(running, [dialogue(data, 0, WARM_S)], scratch)
            for count in counts:
                rows.append(await play(running, [dialogue(data, number, seconds) for number in range(count)], scratch))
                show(rows[-1])
    return rows


async def theirs(counts: Sequence[int], seconds: float, data: Path) -> list[Row]:
    """Play the rounds into WhisperLive. Raises PeerMissingError."""
    data_dir = read_settings().hearline_data_dir
    try:
        model = models.resolve(MODEL, data_dir)
    except models.ModelMissingError as error:
        raise PeerMissingError(str(error)) from None
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as scratch:
        for count in counts:
            dialogues = [dialogue(data, number, seconds) for number in range(count)]
            tracks = [track for each in dialogues for track in line(each.write(Path(scratch, "call.wav")))]
            folder = data_dir / "bench" / "whisperlive"
            async with whisperlive(folder, model, clients=len(tracks), threads=usable_cores()) as peer:
                load, before_s = os.getloadavg()[0], peer.cpu_s()
                heard = await peer.play(tracks)
                audio_s = sum(track.size / 16_000 for track in tracks)
                spent = {"whisperlive": (peer.cpu_s() - before_s) / audio_s}
            found, each_channel = NOTHING, [each.of(channel) for each in dialogues for channel in (0, 1)]
            for utterances, (transcript, rest) in zip(each_channel, heard, strict=True):
                found += lateness(utterances, transcript, rest=rest)
            rows.append(row(f"whisperlive {MODEL}", count, found, spent, load, audio_s))
            show(rows[-1])
    return rows


def head() -> None:
    """Print the head of the table."""
    print(
        f"{'server':28} {'calls':>5} {'final p50':>9} {'p90':>6} {'p99':>6} {'partial p50':>11} {'p90':>6} {'p99':>6} "
        f"{'missed':>8} {'WER':>6} {'cpu':>6} {'asr':>6} {'a 100 words':>11} {'load':>5}"
    )


def show(each: Row) -> None:
    """Print a line of the table."""
    finals, partials = each.final_s, each.partial_s
    alone = each.cpu_by_program.get("asr", each.cpu)
    missed = f"{each.missed}/{each.utterances}"
    print(
        f"{each.server:28} {each.calls:5} {finals['p50']:8.2f}s {finals['p90']:5.2f}s {finals['p99']:5.2f}s "
        f"{partials['p50']:10.2f}s {partials['p90']:5.2f}s {partials['p99']:5.2f}s {missed:>8} {each.wer:6.1%} "
        f"{each.cpu:6.3f} {alone:6.3f} {100 * each.cpu_a_word:10.2f}s {each.load:5.1f}",
        flush=True,
    )


def compare(ours: Sequence[Row], theirs: Sequence[Row]) -> list[str]:
    """Return a line for each number of calls that both served."""
    lines = []
    for peer in theirs:
        own = next((each for each in ours if each.calls == peer.calls), None)
        if own is None:
            continue
        cpu = (
            f"{peer.cpu / own.cpu:.1f} times less CPU a second of audio (aim {AIM_LESS_CPU:.0f}), "
            f"{peer.cpu_a_word / own.cpu_a_word:.1f} times less a word got right"
        )
        if own.wer > peer.wer + SAME_WER:
            lines.append(f"{peer.calls} calls: our WER is worse, so no ratio of latencies; {cpu}")
            continue
        p50, p90 = (peer.final_s[share] / own.final_s[share] for share in ("p50", "p90"))
        lines.append(
            f"{peer.calls} calls: finals {p50:.1f} times sooner at p50 (aim {AIM_SOONER:.0f}), {p90:.1f} at p90; "
            f"{cpu}; WER {own.wer:.1%} against {peer.wer:.1%}"
        )
    return lines


def aims(ours: Sequence[Row]) -> list[str]:
    """Return a line for each aim that was put to the test."""
    lines = []
    for each in ours:
        p50, p90 = each.final_s["p50"], each.final_s["p90"]
        if each.calls == 4:
            kept = p50 <= AIM_P50_S and p90 <= AIM_P90_S
            lines.append(f"4 calls, p50 <= {AIM_P50_S} s and p90 <= {AIM_P90_S} s: {'kept' if kept else 'MISSED'}")
        elif each.calls == 16:
            lines.append(f"16 calls, p90 <= {AIM_16_P90_S} s: {'kept' if p90 <= AIM_16_P90_S else 'MISSED'}")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default=CALLS, help="how many at once, round by round")
    parser.add_argument("--peer-calls", default=PEER_CALLS, help="the same for WhisperLive; no more than --calls has")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each call is")
    parser.add_argument("--model", help="ASR_MODEL; default: what the product takes by itself")
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    counts = [int(count) for count in args.calls.split(",")]
    peer_counts = [int(count) for count in args.peer_calls.split(",") if int(count) in counts]

    head()
    rows, peers = asyncio.run(ours(counts, args.seconds, args.data, args.model)), list[Row]()
    if not args.no_peer:
        try:
            peers = asyncio.run(theirs(peer_counts, args.seconds, args.data))
        except PeerMissingError as error:
            print(f"WhisperLive left out: {error}")
    print()
    for each in rows:
        shares = ", ".join(
            f"{name} {value * 2 * each.calls:.2f}" for name, value in sorted(each.cpu_by_program.items())
        )
        print(f"{each.calls} calls, cores: {shares}")
    for each in rows:
        parts = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in each.stages_s.items())
        print(f"{each.calls} calls, the mean final, seconds: {parts}; in all {sum(each.stages_s.values()):.3f}")
    verdict = [*compare(rows, peers), *aims(rows)]
    print("\n".join(verdict))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        result = {"seconds": args.seconds, "rows": [asdict(each) for each in [*rows, *peers]], "verdict": verdict}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
