"""Audio without a word in it, made on the spot: the label of every sound here is 'nobody says anything'."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from tests.bench.speech import decode, load_set, telephone
from tests.noises.line import LINE
from tests.noises.music import MUSIC
from tests.noises.room import ROOM
from tests.noises.shapes import Maker, Signal, band, clock
from tests.noises.signals import SIGNALS

CATEGORIES: Final[dict[str, dict[str, Maker]]] = {**LINE, **SIGNALS, **MUSIC, **ROOM}
LIKE_VOICES: Final = ("codec", "voice", "breath")
"""Made as voices are, of a buzz or breath and resonances: what the detector lets through, the recogniser refuses."""
LEVELS_DBFS: Final = (-60, -45, -30, -18)
"""Of the loud parts (the 90th percentile of 20 ms), full scale being a sine of -3; speech on a line has about -20."""
SECONDS: Final = 12.0
PROMPTS: Final = Path(__file__).resolve().parents[2] / "media_gateway" / "prompts"
VOICES: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """One sound at one level."""

    category: str
    name: str
    level_dbfs: int | None
    """None: as it is."""
    samples: NDArray[np.float32]
    """Shape (n,), 16 kHz, -1..1."""

    @property
    def label(self) -> str:
        level = "" if self.level_dbfs is None else f" at {self.level_dbfs} dB"
        return f"{self.category}: {self.name}{level}"


def noises(
    *, seconds: float = SECONDS, levels_dbfs: Sequence[int] = LEVELS_DBFS, seed: int = 0, only: str = ""
) -> Iterator[Noise]:
    """Yield every synthesised sound at every level; `only`: those whose category or name holds it.

    The same arguments give the same samples.
    """
    t = clock(seconds)
    for category, makers in CATEGORIES.items():
        for name, make in makers.items():
            if only not in f"{category}: {name}":
                continue
            made = make(t, np.random.default_rng([seed, zlib.crc32(name.encode())]))
            if category == "silence":
                yield Noise(category, name, None, made.astype(np.float32))
                continue
            for level in levels_dbfs:
                yield Noise(category, name, level, at_level(made, level))


def at_level(samples: Signal, dbfs: float) -> NDArray[np.float32]:
    """Return the samples with their loud parts at a level."""
    frames = samples[: samples.size // 320 * 320].reshape(-1, 320)
    loud = float(np.quantile(np.sqrt((frames**2).mean(axis=1)), 0.9)) or float(np.sqrt((samples**2).mean()))
    return np.clip(samples / loud * 10 ** (dbfs / 20), -1, 1).astype(np.float32)


def recorded(data: Path, *, seconds: float = 60.0) -> Iterator[Noise]:
    """Yield what is played and not spoken: the product's own hold music and tone, and music under `data`."""
    for name in ("music", "beep"):
        played = decode(PROMPTS / f"{name}.flac")[0]
        yield Noise("prompts", name, None, np.resize(played, round(seconds * SAMPLE_RATE_HZ)))
    music = data / "wire" / "rtpengine_opus.1.8k.11k.speech.ogg"
    if music.exists():
        yield Noise("recorded music", "dotjot", None, decode(music)[0])


def babble(data: Path, *, seconds: float = SECONDS, levels_dbfs: Sequence[int] = (-60, -45, -35)) -> Iterator[Noise]:
    """Yield voices in the background of which nobody could write down a word: `VOICES` at once, played backwards."""
    voices = [track.samples for track in load_set(data, "read")][:: max(1, 96 // VOICES)][:VOICES]
    if len(voices) < VOICES:
        return
    size = round(seconds * SAMPLE_RATE_HZ)
    mixed = np.sum([np.resize(voice[::-1] / voice.std(), size) for voice in voices], axis=0)
    for level in levels_dbfs:
        yield Noise("babble", "voices backwards", level, at_level(band(mixed.astype(np.float64), 100, 2500), level))


def over_telephone(noise: Noise) -> Noise:
    """Return a sound as it arrives over a line of 300 to 3,400 Hz and G.711."""
    return Noise(noise.category, noise.name, noise.level_dbfs, telephone(noise.samples))
