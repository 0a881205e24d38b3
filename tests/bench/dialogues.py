"""Two-party calls of which it is known when each utterance ends: what latency is measured against.

Three of four are put together from read utterances, two readers in turn with pauses between them, a channel each, in
the telephone's band with a little hiss; every fourth is a stretch of the recorded call auto-repairs-40. The same number
gives the same call.
"""

from __future__ import annotations

import re
import wave
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from tests.bench.speech import decode, load_set, telephone

Samples = NDArray[np.float32]

RECORDED: Final = "auto-repairs-40"
RECORDED_EVERY: Final = 4
GAP_S: Final = (0.6, 1.6)
"""Between the end of a turn and the next one."""
LONGEST_S: Final = 11.0
"""Longer read utterances are left out: a round of a minute has to hold several turns."""
AFTER_S: Final = 2.0
"""Silence after the last utterance: people take a moment to hang up."""
HISS_DBFS: Final = -66
ACTIVE_DB: Final = 25
"""So far below its loud parts an utterance has ended."""
SLOWEST_WORDS_PER_S: Final = 1.0
FRAME: Final = SAMPLE_RATE_HZ // 100


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn of one party."""

    channel: int
    start_s: float
    end_s: float
    """When its last word ends."""
    text: str

    @property
    def end_is_known(self) -> bool:
        """Return False where so little was said in the time that something else must have ended it."""
        return len(self.text.split()) >= SLOWEST_WORDS_PER_S * (self.end_s - self.start_s)


@dataclass(frozen=True, slots=True, eq=False)
class Dialogue:
    """A call to be played."""

    name: str
    audio: Samples
    """Shape (2, n), 16 kHz; the customer first."""
    utterances: tuple[Utterance, ...]
    """In order of time."""

    @property
    def duration_s(self) -> float:
        return self.audio.shape[1] / SAMPLE_RATE_HZ

    def of(self, channel: int) -> tuple[Utterance, ...]:
        """Return one party's utterances."""
        return tuple(each for each in self.utterances if each.channel == channel)

    def write(self, path: Path) -> Path:
        """Store the audio as a WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE_HZ)
            file.writeframes(np.clip(np.rint(self.audio.T * 32768), -32768, 32767).astype("<i2").tobytes())
        return path


def dialogue(data: Path, number: int, seconds: float) -> Dialogue:
    """Return a call of about so many seconds, all utterances whole."""
    if number % RECORDED_EVERY == RECORDED_EVERY - 1:
        return _recorded(data, number // RECORDED_EVERY, seconds)
    return _constructed(data, number, seconds)


def active(samples: Samples) -> tuple[int, int]:
    """Return the first sample and the one after the last that are not `ACTIVE_DB` below the loud parts."""
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)
    levels = np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1))
    loud = np.flatnonzero(levels > np.quantile(levels, 0.95) * 10 ** (-ACTIVE_DB / 20))
    return int(loud[0]) * FRAME, int(loud[-1] + 1) * FRAME


@cache
def _readers(data: Path) -> dict[str, list[tuple[str, Samples]]]:
    """Return (text, samples in the telephone's band, cut where the reader begins and ends) by reader."""
    readers: dict[str, list[tuple[str, Samples]]] = defaultdict(list)
    for track in load_set(data, "read"):
        if not (match := re.fullmatch(r"ls-(\d+)-.*", track.name)):
            continue
        first, after = active(track.samples)
        if after - first <= LONGEST_S * SAMPLE_RATE_HZ:
            margin = SAMPLE_RATE_HZ // 10  # faint beginnings and ends stay in; the end that counts is `active`'s
            cut = telephone(track.samples[max(first - margin, 0) : after + margin])
            readers[match[1]].append((track.reference, cut))
    return {name: said for name, said in readers.items() if len(said) >= 4}


def _constructed(data: Path, number: int, seconds: float) -> Dialogue:
    random = np.random.default_rng(number)
    readers = _readers(data)
    pair = random.permutation(sorted(readers))[:2]
    stacks = [[readers[name][index] for index in random.permutation(len(readers[name]))] for name in pair]
    size = round(seconds * SAMPLE_RATE_HZ)
    audio = (random.standard_normal((2, size)) * 10 ** (HISS_DBFS / 20)).astype(np.float32)
    utterances: list[Utterance] = []
    at, channel = round(float(random.uniform(0.5, 1.5)) * SAMPLE_RATE_HZ), 0
    while stacks[channel]:
        text, samples = stacks[channel].pop()
        end = at + samples.size
        if end > size - AFTER_S * SAMPLE_RATE_HZ:
            continue
        audio[channel, at:end] += samples
        first, after = active(samples)
        utterances.append(Utterance(channel, (at + first) / SAMPLE_RATE_HZ, (at + after) / SAMPLE_RATE_HZ, text))
        at, channel = end + round(float(random.uniform(*GAP_S)) * SAMPLE_RATE_HZ), 1 - channel
    return Dialogue(f"readers-{number}", audio, tuple(utterances))


def _recorded(data: Path, part: int, seconds: float) -> Dialogue:
    """Return a part of the recorded call: as many whole turns as fit, from where the part before ended."""
    turns = _turns(data)
    audio = decode(data / "calls" / f"{RECORDED}.wav")[::-1]  # the customer first
    parts: list[list[Utterance]] = [[]]
    for turn in turns:
        if parts[-1] and turn.end_s + AFTER_S - parts[-1][0].start_s > seconds:
            parts.append([])
        parts[-1].append(turn)
    parts = [each for each in parts if each[-1].end_s - each[0].start_s > seconds / 2] or parts
    chosen = parts[part % len(parts)]
    begin_s = max(0.0, chosen[0].start_s - 0.5)
    size = round(seconds * SAMPLE_RATE_HZ)
    cut = np.zeros((2, size), np.float32)
    for channel in (0, 1):
        own = [each for each in chosen if each.channel == channel]
        if own:  # what the turns before and after have on this channel is not to be heard
            first = max(0, round((own[0].start_s - begin_s - 0.4) * SAMPLE_RATE_HZ))
            after = min(size, round((own[-1].end_s - begin_s + 0.4) * SAMPLE_RATE_HZ))
            start = round(begin_s * SAMPLE_RATE_HZ)
            piece = audio[channel, start + first : start + after]
            cut[channel, first : first + piece.size] = piece
    moved = (Utterance(u.channel, u.start_s - begin_s, u.end_s - begin_s, u.text) for u in chosen)
    return Dialogue(f"{RECORDED}-{part % len(parts)}", cut, tuple(moved))


@cache
def _turns(data: Path) -> tuple[Utterance, ...]:
    """Return the recorded call's turns; where each ends is taken from who is loud when, and then from the samples."""
    folder = data / "calls"
    audio = decode(folder / f"{RECORDED}.wav")[::-1]
    roles = ("customer", "agent")
    loud = [line.split() for line in (folder / f"{RECORDED}.rttm").read_text().splitlines()]
    lines = [
        (match[1], float(match[2]), re.sub(r"\{[^}]*\}", "", match[3]).strip())
        for line in (folder / f"{RECORDED}.txt").read_text().splitlines()
        if (match := re.match(r"\[(\w+) ([\d.]+)\] (.*)", line))
    ]
    turns = []
    for index, (role, start_s, text) in enumerate(lines):
        until_s = float("inf")
        if index + 1 < len(lines):
            after_role, after_s, _ = lines[index + 1]
            until_s = after_s + (-0.2 if after_role == role else 0.5)
        ends = [
            float(begin) + float(length)
            for _, _, _, begin, length, _, _, who, *_ in loud
            if who == role and start_s - 0.7 <= float(begin) < until_s
        ]
        if not ends:
            continue
        channel = roles.index(role)
        stretch = audio[channel, round(start_s * SAMPLE_RATE_HZ) : round(max(ends) * SAMPLE_RATE_HZ)]
        _, after = active(stretch)
        turns.append(Utterance(channel, start_s, start_s + after / SAMPLE_RATE_HZ, text))
    return tuple(turns)
