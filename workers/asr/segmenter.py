"""Cuts one track into segments and says what to decode, and when. No I/O, no clock: chunks in, actions out.

A segment opens with speech and closes after a pause. While it grows, partial decodes keep the screen moving.
When a pause begins, a speculative decode is asked for at once, so that by the time the pause is long enough to
end the segment its text is mostly there already. A monologue is cut at breaths: the longer a segment gets, the
shorter the pause that ends it, and at the limit it is cut at the quietest place. The same chunks always give
the same actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLES_PER_MS, AudioChunk
from workers.asr.engines import Capabilities
from workers.asr.pace import Pace
from workers.asr.vad import WINDOW, WINDOW_MS

BYTES_PER_MS: Final = 2 * SAMPLES_PER_MS
LONGEST_MS: Final = 20_000
"""A segment is never longer than this, whatever the engine takes: people want to see it end."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers behind the cuts; how they were chosen: docs/decisions/0003-end-pointing.md."""

    open_probability: float = 0.5
    """Speech probability of a window from which it counts as speech."""
    stay_probability: float = 0.35
    """Inside a segment a window counts as speech from here on: word ends are faint."""
    open_windows: int = 3
    """So many of the last `open_span` windows must be speech before a segment opens."""
    open_span: int = 8
    min_speech_ms: int = 128
    """A segment with less speech than this was a click or a cough: it is dropped."""
    pre_roll_ms: int = 250
    """Audio given to the engine before the first speech window: the network needs a moment to notice."""
    tail_ms: int = 200
    """Audio given to the engine after the last speech window, where there is so much."""
    speculative_ms: int = 96
    """Pause after which the text is decoded, in the hope that it is complete."""
    hang_over_ms: int = 320
    """Pause that ends a segment of up to `relax_after_ms`, of a speaker whose own pauses are not known yet."""
    least_hang_over_ms: int = 288
    most_hang_over_ms: int = 640
    """Where they are, it lies in these bounds; where the words ask for more, it is the longest of them."""
    likely_more: float = 0.3
    """Words that go on so likely ask for the longest pause ..."""
    hardly_more: float = 0.05
    """... and those that hardly do for the shortest."""
    relax_after_ms: int = 8_000
    """From this length on, shorter and shorter pauses end the segment ..."""
    breath_ms: int = 250
    """... down to this one at `longest_ms`."""
    longest_ms: int = 12_000
    """Never give the engine more than this at once, context included."""
    context_ms: int = 0
    """A segment shorter than this is given to the engine together with the audio before it, so much in all."""
    partial_ms: int = 900
    """New audio that is worth a new partial ..."""
    partial_growth: float = 0.15
    """... or this share of the segment's length, where that is more: partials decode from the start each time."""
    hole_ms: int = 300
    """Missing audio longer than this ends a segment; shorter is bridged with silence."""


def policy_for(engine: Capabilities) -> Policy:
    """Return the policy that suits an engine: how much it takes at once, and what its partials cost."""
    usual = Policy()
    growth = 0.0 if engine.mode == "streaming" else usual.partial_growth  # only what is new is decoded
    longest_ms = min(engine.longest_ms, LONGEST_MS)
    return Policy(
        longest_ms=longest_ms,
        context_ms=longest_ms if engine.context else 0,
        partial_ms=engine.partial_ms,
        partial_growth=growth,
    )


def patient(policy: Policy) -> Policy:
    """Return the policy for what nobody waits for: segments end where a live one would that asks for more."""
    return replace(policy, hang_over_ms=policy.most_hang_over_ms, least_hang_over_ms=policy.hang_over_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """Ask the engine for the words in `samples`."""

    kind: Literal["partial", "speculative", "final"]
    seq: int
    """The segment's number within the track."""
    start_ms: int
    end_ms: int
    """First and last speech on the call's clock, without context. For a partial: all that was heard so far."""
    audio_ms: int
    """Where `samples` begins on the call's clock: add it to the engine's word times."""
    samples: NDArray[np.float32]
    """Shape (n,), 16 kHz mono, -1..1: the speech with a little context on both sides."""
    context: NDArray[np.float32]
    """Shape (n,): the audio that ends where `samples` begin. Empty for a partial, and after a hole."""
    first_seq: int
    """The first chunk that `samples` was cut from: needed until the segment is stored."""
    reuse: bool = False
    """A final whose samples are just those of the last speculative decode: its text may be taken as it is."""
    early: bool = False
    """A speculative decode that may well be in vain: the pause is short yet."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Segment `seq` turned out to be no speech: take its partial off the screen."""

    seq: int


Action = Decode | Drop


class Detector(Protocol):
    """What `workers.asr.vad.SpeechDetector` offers."""

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]: ...

    def reset(self) -> None: ...


@dataclass(slots=True)
class _Open:
    """The segment that is being heard; times on the call's clock."""

    seq: int
    start_ms: int
    audio_ms: int
    end_ms: int
    spoken_windows: int
    decoded_ms: int
    """How far the last partial reached."""
    speculated_ms: int | None = None
    """The `end_ms` of the last speculative decode that somebody had time for."""
    guessed: tuple[int, int] = (-1, 0)
    """The `end_ms` of the last one that was asked for, and how far its samples went."""
    more: tuple[int, float] | None = None
    """How likely its words up to an `end_ms` are to go on."""
    shown: bool = False
    """Something about it was decoded, so it has to be finished or dropped."""


class Segmenter:
    """The segments of one track. Feed it every chunk in order; `push` and `finish` return what to do."""

    def __init__(
        self, detector: Detector, policy: Policy | None = None, *, next_seq: int = 0, resume_ms: int = 0
    ) -> None:
        """`next_seq` and `resume_ms` continue a track whose segments before are stored: audio before is ignored."""
        self.policy = policy or Policy()
        self._detector = detector
        self._next_seq = next_seq
        self._resume_ms = resume_ms
        self._last_chunk = -1
        self._audio = bytearray()
        self._audio_ms: int | None = None
        """Where `_audio` begins; None before the first chunk."""
        self._past = bytearray()
        """The audio before that, `Policy.context_ms` at most."""
        self._window_ms = 0
        """Where the next window of the detector begins."""
        self._probabilities: deque[float] = deque(maxlen=2 * self.policy.longest_ms // WINDOW_MS)
        """Of the latest windows; the last one ends at `_window_ms`."""
        self._chunks: deque[tuple[int, int]] = deque()
        """(seq, end_ms) of the chunks that `_audio` holds."""
        self._floor_ms = resume_ms
        """No segment may reach back before this: what lies there belongs to the one before."""
        self._segment: _Open | None = None
        self._spoken_ms: int | None = None
        """When speech last ended, in or after a segment."""
        self._pace = Pace()
        self._finished = False

    @property
    def safe_seq(self) -> int:
        """The first chunk that is still needed: all before it may be trimmed, once their segments are stored."""
        return self._chunks[0][0] if self._chunks else self._last_chunk + 1

    @property
    def safe_ms(self) -> int:
        """No segment will begin before this, in milliseconds on the call's clock."""
        if self._segment is not None:
            return self._segment.start_ms
        return self._floor_ms if self._audio_ms is None else max(self._audio_ms, self._floor_ms)

    def push(self, chunk: AudioChunk) -> list[Action]:
        """Take the next chunk of the track. One that was seen already is ignored."""
        if chunk.seq <= self._last_chunk or self._finished:
            return []
        self._last_chunk = chunk.seq
        actions: list[Action] = []
        for start_ms, pcm in _stretches(chunk, self.policy.hole_ms):
            actions += self._take(start_ms, pcm, chunk.seq)
        if chunk.last:
            actions += self.finish()
        return _without_stale(actions)

    def _take(self, start_ms: int, pcm: bytes, seq: int) -> list[Action]:
        """Hear audio that begins at `start_ms`, whatever lies between it and what was heard before."""
        actions: list[Action] = []
        if self._audio_ms is not None:
            missing_ms = start_ms - self._heard_ms
            if missing_ms > self.policy.hole_ms:
                actions += self._close()
                self._restart(start_ms)
            elif missing_ms > 0:
                actions += self._hear(bytes(missing_ms * BYTES_PER_MS), seq)
        skip_ms = max((self._resume_ms if self._audio_ms is None else self._heard_ms) - start_ms, 0)
        pcm = pcm[skip_ms * BYTES_PER_MS :]
        if pcm:
            if self._audio_ms is None:
                self._restart(start_ms + skip_ms)
            actions += self._hear(pcm, seq)
        return actions

    def expect(self, seq: int, end_ms: int, more: float) -> None:
        """The words of segment `seq` up to `end_ms` are so likely, 0..1, to go on: its pause is waited for accordingly.

        Late news are ignored.
        """
        if self._segment is not None and self._segment.seq == seq:
            self._segment.more = end_ms, more

    def ask_again(self, seq: int, end_ms: int) -> None:
        """Nobody had time for the guess at segment `seq` up to `end_ms`: ask once more if the pause lasts."""
        if self._segment is not None and self._segment.seq == seq and self._segment.speculated_ms == end_ms:
            self._segment.speculated_ms = None

    def finish(self) -> list[Action]:
        """The track has ended: close what is open. A second call returns nothing."""
        if self._finished:
            return []
        self._finished = True
        return self._close()

    @property
    def _heard_ms(self) -> int:
        assert self._audio_ms is not None
        return self._audio_ms + len(self._audio) // BYTES_PER_MS

    def _restart(self, start_ms: int) -> None:
        """Begin a stretch of audio that has nothing to do with what was before."""
        self._detector.reset()
        self._audio.clear()
        self._past.clear()
        self._spoken_ms = None
        self._chunks.clear()
        self._probabilities.clear()
        self._audio_ms = self._window_ms = start_ms
        self._floor_ms = max(self._floor_ms, start_ms)

    def _hear(self, pcm: bytes, seq: int) -> list[Action]:
        self._audio += pcm
        self._chunks.append((seq, self._heard_ms))
        actions: list[Action] = []
        probabilities = self._detector.feed(np.frombuffer(pcm, "<i2").astype(np.int16, copy=False))
        spoken = np.flatnonzero(probabilities >= self.policy.stay_probability)
        last_spoken = int(spoken[-1]) if spoken.size else -1
        for index, probability in enumerate(probabilities):
            self._window_ms += WINDOW_MS
            self._probabilities.append(float(probability))
            actions += self._advance(float(probability), goes_on=index < last_spoken)
        self._trim()
        return actions

    def _advance(self, probability: float, *, goes_on: bool) -> list[Action]:
        """Judge the window that ends at `_window_ms`; `goes_on`: there is more speech in what has arrived with it."""
        policy = self.policy
        if self._segment is None:
            if probability >= policy.open_probability:
                self._try_to_open()
            return []
        segment = self._segment
        if probability >= policy.stay_probability:
            self._spoke(self._window_ms - WINDOW_MS)
            segment.end_ms = self._window_ms
            segment.spoken_windows += probability >= policy.open_probability
        pause_ms = self._window_ms - segment.end_ms
        length_ms = self._window_ms - segment.audio_ms
        if pause_ms >= self._needed_pause_ms(segment, goes_on=goes_on):
            return self._close()
        if length_ms + WINDOW_MS > policy.longest_ms:
            return self._cut()
        if pause_ms >= policy.speculative_ms and not goes_on:
            if segment.speculated_ms == segment.end_ms or not self._is_speech(segment):
                return []
            segment.speculated_ms = segment.decoded_ms = segment.end_ms
            if segment.guessed[0] != segment.end_ms:
                segment.guessed = segment.end_ms, min(self._heard_ms, segment.end_ms + policy.tail_ms)
            early = self._heard_ms < segment.end_ms + policy.tail_ms
            return [self._decode("speculative", segment, *segment.guessed, early=early)]
        fresh_ms = segment.end_ms - segment.decoded_ms
        if pause_ms == 0 and fresh_ms >= max(policy.partial_ms, policy.partial_growth * length_ms):
            segment.decoded_ms = segment.end_ms
            return [self._decode("partial", segment, self._window_ms, self._window_ms)]
        return []

    def _spoke(self, from_ms: int) -> None:
        """Take note of speech in the window that ended just now; it may end a pause."""
        if self._spoken_ms is not None:
            self._pace.paused(from_ms - self._spoken_ms)
        self._spoken_ms = self._window_ms

    def _needed_pause_ms(self, segment: _Open, *, goes_on: bool) -> float:
        """Return the pause that ends the segment.

        Where its speaker is known to go on nobody would have the text sooner for a cut, so that it needs a long pause;
        what is long already is cut where it can be.
        """
        policy = self.policy
        wanted = self._pace.pause_ms(policy.least_hang_over_ms, policy.hang_over_ms, policy.most_hang_over_ms)
        length_ms = segment.end_ms - segment.audio_ms
        end_ms, more = segment.more or (None, 0.0)
        if (end_ms == segment.end_ms and more >= policy.likely_more) or (
            goes_on and length_ms <= policy.relax_after_ms
        ):
            wanted = policy.most_hang_over_ms
        elif end_ms == segment.end_ms and more <= policy.hardly_more:
            wanted = policy.least_hang_over_ms
        if length_ms <= policy.relax_after_ms:
            return wanted
        share = (length_ms - policy.relax_after_ms) / (policy.longest_ms - policy.relax_after_ms)
        return wanted - share * (wanted - policy.breath_ms)

    def _try_to_open(self) -> None:
        policy = self.policy
        recent = list(self._probabilities)[-policy.open_span :]
        spoken = [index for index, value in enumerate(recent) if value >= policy.open_probability]
        if len(spoken) < policy.open_windows:
            return
        start_ms = max(self._window_ms - (len(recent) - spoken[0]) * WINDOW_MS, self._floor_ms)
        self._spoke(start_ms)
        assert self._audio_ms is not None
        audio_ms = max(start_ms - policy.pre_roll_ms, self._floor_ms, self._audio_ms)
        self._segment = _Open(self._next_seq, start_ms, audio_ms, self._window_ms, len(spoken), start_ms)
        self._next_seq += 1

    def _is_speech(self, segment: _Open) -> bool:
        return segment.spoken_windows * WINDOW_MS >= self.policy.min_speech_ms

    def _close(self) -> list[Action]:
        """End the open segment, if any, at its last speech."""
        segment = self._segment
        if segment is None:
            return []
        self._segment = None
        self._floor_ms = segment.end_ms
        if not self._is_speech(segment):
            return [Drop(segment.seq)] if segment.shown else []
        reuse = segment.speculated_ms == segment.end_ms
        asked_ms, until_ms = segment.guessed
        if asked_ms != segment.end_ms:
            until_ms = segment.end_ms + self.policy.tail_ms
        return [self._decode("final", segment, segment.end_ms, until_ms, reuse=reuse)]

    def _cut(self) -> list[Action]:
        """End the open segment at its best pause and go on with the rest as the next one."""
        segment = self._segment
        assert segment is not None
        cut_ms = self._best_cut_ms(segment)
        final = self._decode("final", segment, min(cut_ms, segment.end_ms), cut_ms)
        self._floor_ms = cut_ms
        after = [
            value
            for index, value in enumerate(reversed(self._probabilities))
            if self._window_ms - index * WINDOW_MS > cut_ms
        ]
        spoken = sum(value >= self.policy.open_probability for value in after)
        self._segment = _Open(self._next_seq, cut_ms, cut_ms, max(segment.end_ms, cut_ms), spoken, cut_ms)
        self._next_seq += 1
        return [final]

    def _best_cut_ms(self, segment: _Open) -> int:
        """Return the middle of the least speech-like, quietest place in the segment's second half."""
        policy = self.policy
        windows = (self._window_ms - segment.audio_ms) // (2 * WINDOW_MS)
        probabilities = np.array(self._probabilities)[-windows:]
        start_ms = self._window_ms - probabilities.size * WINDOW_MS
        assert self._audio_ms is not None
        offset = (start_ms - self._audio_ms) * SAMPLES_PER_MS
        audio = np.frombuffer(bytes(self._audio), "<i2")[offset : offset + probabilities.size * WINDOW]
        levels = np.sqrt((audio.reshape(-1, WINDOW).astype(np.float32) ** 2).mean(axis=1) + 1)
        # Both on a scale of about 0..1, smoothed over 96 ms so that a stop consonant does not pass for a breath.
        cost = probabilities + np.log(levels / levels.min()) / max(float(np.log(levels.max() / levels.min())), 1e-6)
        smooth = np.convolve(np.pad(cost, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
        latest = smooth.size - max(policy.tail_ms // WINDOW_MS, 1)
        return int(start_ms + int(smooth[:latest].argmin()) * WINDOW_MS + WINDOW_MS // 2)

    def _decode(
        self,
        kind: Literal["partial", "speculative", "final"],
        segment: _Open,
        end_ms: int,
        until_ms: int,
        *,
        reuse: bool = False,
        early: bool = False,
    ) -> Decode:
        segment.shown = True
        assert self._audio_ms is not None
        begin, end = ((at - self._audio_ms) * BYTES_PER_MS for at in (segment.audio_ms, until_ms))
        context = b"" if kind == "partial" else self._context(begin, end - begin)
        first_seq = next((seq for seq, after_ms in self._chunks if after_ms > segment.audio_ms), self._last_chunk)
        start_ms, audio_ms = segment.start_ms, segment.audio_ms
        heard, said = _samples(self._audio[begin:end]), _samples(context)
        return Decode(kind, segment.seq, start_ms, end_ms, audio_ms, heard, said, first_seq, reuse, early)

    def _context(self, begin: int, length: int) -> bytes:
        """Return what comes before byte `begin` of the audio, with `length` bytes after it no more than is wanted."""
        wanted = max(self.policy.context_ms * BYTES_PER_MS - length, 0)
        recent = bytes(self._audio[max(begin - wanted, 0) : begin])
        missing = wanted - len(recent)
        return bytes(self._past[-missing:]) + recent if missing else recent

    def _trim(self) -> None:
        """Let go of audio that no segment can need any more."""
        policy = self.policy
        assert self._audio_ms is not None
        if self._segment is not None:
            keep_ms = self._segment.audio_ms
        else:
            keep_ms = self._window_ms - policy.pre_roll_ms - policy.open_span * WINDOW_MS
        if keep_ms > self._audio_ms:
            gone = (keep_ms - self._audio_ms) * BYTES_PER_MS
            self._past += self._audio[:gone]
            del self._past[: max(len(self._past) - policy.context_ms * BYTES_PER_MS, 0)]
            del self._audio[:gone]
            self._audio_ms = keep_ms
        while self._chunks and self._chunks[0][1] <= self._audio_ms:
            self._chunks.popleft()


def _samples(pcm: bytes | bytearray) -> NDArray[np.float32]:
    return np.frombuffer(bytes(pcm), "<i2").astype(np.float32) / np.float32(32768)


def _stretches(chunk: AudioChunk, hole_ms: int) -> Iterator[tuple[int, bytes]]:
    """Yield (start_ms, pcm) for what was really heard: holes longer than `hole_ms` are left out, filled or not."""
    at_ms = chunk.start_ms
    for hole in sorted(chunk.holes, key=lambda hole: hole.start_ms):
        if hole.end_ms - hole.start_ms <= hole_ms or hole.end_ms <= at_ms or hole.start_ms >= chunk.end_ms:
            continue
        if hole.start_ms > at_ms:
            yield (
                at_ms,
                chunk.pcm[(at_ms - chunk.start_ms) * BYTES_PER_MS : (hole.start_ms - chunk.start_ms) * BYTES_PER_MS],
            )
        at_ms = hole.end_ms
    rest = chunk.pcm[(at_ms - chunk.start_ms) * BYTES_PER_MS : len(chunk.pcm) // 2 * 2]
    if rest:
        yield at_ms, rest


def _without_stale(actions: list[Action]) -> list[Action]:
    """Leave out decodes that a later action on the same segment makes pointless, speculation for reuse excepted."""
    last = {action.seq: index for index, action in enumerate(actions)}
    return [
        action
        for index, action in enumerate(actions)
        if last[action.seq] == index or (isinstance(action, Decode) and action.kind == "speculative")
    ]
