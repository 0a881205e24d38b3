"""What callers hear while nobody talks to them: recorded prompts, music on hold, tones; and how they are played.

The recordings are the FLAC files of the folder prompts/, whose README.md says where each comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import av
import numpy as np

from media_gateway.audio import FRAME_SAMPLES, Samples

FADE_MS: Final = 40
"""How long music takes to come and go."""

_FOLDER: Final = Path(__file__).with_name("prompts")
_FADE_FRAMES: Final = 2
_RISE: Final = (np.sin(np.linspace(0, np.pi / 2, _FADE_FRAMES * FRAME_SAMPLES)) ** 2).reshape(_FADE_FRAMES, -1)
_FALL: Final = _RISE[::-1, ::-1]


@cache
def prompt(name: str) -> Samples:
    """Return a recording: 16 kHz mono, read-only, decoded once.

    Raises:
        FileNotFoundError: there is none of that name.
    """
    with av.open(str(_FOLDER / f"{name}.flac")) as container:
        blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    samples: Samples = np.concatenate(blocks)
    samples.setflags(write=False)
    return samples


def prompt_names() -> list[str]:
    """Return the name of every recording, in order."""
    return sorted(file.stem for file in _FOLDER.glob("*.flac"))


def decode_prompts() -> None:
    """Decode every recording now (20 to 50 ms of work), so that no call has to wait for it."""
    for name in prompt_names():
        prompt(name)


class Player:
    """Plays clips one after the other in frames of 20 ms, once or over and over. Not for two threads at a time."""

    def __init__(self, clips: Sequence[Samples], *, loop: bool = False) -> None:
        """`clips`: 16 kHz mono, of any length. `loop`: after the last comes the first again, without a gap."""
        self._line = clips[0] if len(clips) == 1 else np.concatenate([np.empty(0, np.int16), *clips])
        self._loop = loop
        self._at = 0
        self._rising = 0 if loop else _FADE_FRAMES
        """Frames since it began to fade in: a loop has no beginning of its own."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to play."""
        return self._at >= len(self._line)

    def frame(self) -> Samples | None:
        """Return the next 20 ms, the last ones filled up with silence; None at the end. Not to be written to."""
        if self.ended:
            return None
        samples = self._next()
        if self._rising < _FADE_FRAMES:
            samples = (samples * _RISE[self._rising]).astype(np.int16)
            self._rising += 1
        return samples

    def leave(self) -> list[Samples]:
        """Return the next FADE_MS in frames that fade out: what is still heard when it is cut off, nothing at the end.

        Asked for a frame later, it goes on from there and fades in.
        """
        fading = [samples for _ in range(_FADE_FRAMES) if (samples := self.frame()) is not None]
        self._rising = 0
        return [(samples * fall).astype(np.int16) for samples, fall in zip(fading, _FALL, strict=False)]

    def _next(self) -> Samples:
        start, end = self._at, self._at + FRAME_SAMPLES
        self._at = end % len(self._line) if self._loop else end
        if end <= len(self._line):
            return self._line[start:end]
        if self._loop:
            return self._line.take(np.arange(start, end), mode="wrap")
        return np.pad(self._line[start:], (0, end - len(self._line)))
