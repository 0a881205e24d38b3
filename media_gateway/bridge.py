"""Who hears whom: the parties of one call, mixed every 20 ms. It waits for nothing but the clock.

The bridge knows seats and a plan, not roles: the conversation decides who is muted, held or whispered to, and puts
that into a new plan. Everything here runs in the media thread; a plan is replaced in one assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import numpy as np

from media_gateway.audio import FRAME_SAMPLES, Samples
from media_gateway.media_clock import Errand, Post
from media_gateway.playout.buffer import Frame

SILENCE: Final[Samples] = np.zeros(FRAME_SAMPLES, np.int16)
SILENCE.setflags(write=False)


class Voice(Protocol):
    """A party's connection, as the bridge sees it: 20 ms frames of 16 kHz mono both ways."""

    def hear(self, now_s: float) -> Frame:
        """Return what the party has said in the next 20 ms."""

    def play(self, samples: Samples | None, post: Post) -> None:
        """Let the party hear 20 ms; None is silence that need not be sent."""


class Player(Protocol):
    """A prompt, music or tones."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to play."""

    def frame(self) -> Samples | None:
        """Return the next 20 ms; None at the end."""

    def leave(self) -> list[Samples]:
        """Return the frames that are still to be heard when it is cut off: a fade."""


Keep = Callable[[Samples | None, float], None]


class Seat:
    """One party at the bridge. `keep` is called on the loop with each of its frames, or with None for one that was
    said to nobody, and the time of the beat (time.monotonic()); None: its words are kept elsewhere.
    """

    def __init__(self, voice: Voice, keep: Keep | None = None) -> None:
        self.voice = voice
        self.keep = keep


class Play:
    """A player at work for one listener; `on_end` is called once, on the loop."""

    def __init__(self, player: Player, on_end: Errand | None = None) -> None:
        self._player = player
        self._on_end = on_end

    def frame(self, post: Post) -> Samples | None:
        """Return the next 20 ms, None when it has ended."""
        samples = self._player.frame()
        if self._player.ended and self._on_end is not None:
            post(self._on_end)
            self._on_end = None
        return samples

    def leave(self) -> list[Samples]:
        """Return what is still to be heard when it is cut off."""
        return self._player.leave()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Who hears whom."""

    hears: Mapping[Seat, tuple[Seat, ...]] = field(default_factory=dict)
    """For everyone who is seated, those whom they hear."""
    plays: Mapping[Seat, Play] = field(default_factory=dict)
    """What is played to a party, on top of what it hears."""
    muted: frozenset[Seat] = frozenset()
    """Nobody hears them, and they are kept as silence."""
    apart: frozenset[Seat] = frozenset()
    """What they say is no part of the call now, and is not kept: the record has a hole there."""


class Bridge:
    """The parties of one call."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._played: Mapping[Seat, Play] = {}
        self._fading: dict[Seat, list[Samples]] = {}

    def beat(self, now_s: float, due_s: float, post: Post) -> None:
        """Move 20 ms from everyone's mouth to everyone's ears."""
        plan = self.plan
        for seat, before in self._played.items():
            if plan.plays.get(seat) is not before:
                self._fading[seat] = before.leave()
        self._played = plan.plays
        said: dict[Seat, Samples | None] = {}
        for seat in plan.hears:
            frame = seat.voice.hear(now_s)
            said[seat] = None if frame.kind == "silent" or seat in plan.muted else frame.samples
        for seat, others in plan.hears.items():
            parts = [samples for other in others if (samples := said.get(other)) is not None]
            play = plan.plays.get(seat)
            if play is not None and (samples := play.frame(post)) is not None:
                parts.append(samples)
            if fading := self._fading.get(seat):
                parts.append(fading.pop(0))
            seat.voice.play(mixed(parts), post)
        self._fading = {seat: frames for seat, frames in self._fading.items() if frames and seat in plan.hears}
        for seat, samples in said.items():
            if seat.keep is not None:
                kept = None if seat in plan.apart else SILENCE if samples is None else samples
                post(partial(seat.keep, kept, due_s))


def mixed(parts: list[Samples]) -> Samples | None:
    """Return the sum of the parts, limited to 16 bits; None of nothing."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    total = np.sum(parts, axis=0, dtype=np.int32)
    return np.clip(total, -32768, 32767).astype(np.int16)
