"""What people and their surroundings do near a telephone without saying a word."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from infra.model import SAMPLE_RATE_HZ
from tests.noises.shapes import (
    VOWELS,
    Maker,
    Random,
    Signal,
    band,
    clock,
    coloured,
    gate,
    pulses,
    resonant,
    scattered,
    swell,
    swept,
    tones,
)


def breathing(t: Signal, random: Random, *, per_minute: float = 18) -> Signal:
    """In through the nose, out through the mouth."""
    line, at_s, inward = np.zeros(t.size), 0.3, True
    while at_s < t[-1] - 2:
        length_s = random.uniform(0.5, 0.9) * 30 / per_minute
        peaks = [(1800, 1.0), (3200, 0.8)] if inward else [(500, 1.0), (1300, 0.7), (2500, 0.3)]
        breath = resonant(random.standard_normal(int(length_s * SAMPLE_RATE_HZ)), peaks, 500)
        breath *= swell(length_s, 0.6 if inward else 0.2)[: breath.size]
        start = int(at_s * SAMPLE_RATE_HZ)
        line[start : start + breath.size] += breath[: line.size - start]
        at_s, inward = at_s + length_s + random.uniform(0.1, 0.5) * 30 / per_minute, not inward
    return line


def into_microphone(t: Signal, random: Random) -> Signal:
    """Breath that hits the microphone: thumps below 200 Hz."""
    puff = coloured(random.standard_normal(t.size), 1.0)
    return band(puff, 20, 400) * np.maximum(np.sin(2 * np.pi * 0.35 * t), 0) ** 2 + 0.1 * breathing(t, random)


def cough(random: Random) -> Signal:
    """A burst, a breath, and now and then a voice at the end of it."""
    burst = resonant(random.standard_normal(1600), [(600, 1.0), (1500, 0.8), (2800, 0.4)], 300) * swell(0.1, 0.05)
    rest = resonant(random.standard_normal(4000), [(900, 1.0), (1800, 0.5)], 400) * swell(0.25, 0.1)
    t = clock(0.15)
    voiced = resonant(pulses(t, 180 - 300 * t), VOWELS["a"]) * swell(0.15, 0.2) * (random.random() < 0.5)
    parts = [part / (np.abs(part).max() + 1e-9) * gain for part, gain in ((burst, 1.0), (rest, 0.4), (voiced, 0.5))]
    return np.concatenate(parts)


def coughing(t: Signal, random: Random) -> Signal:
    return scattered(
        t, random, 0.5, lambda: np.concatenate([cough(random) for _ in range(random.integers(1, 4))]), apart_s=1.0
    )


def throat(t: Signal, random: Random) -> Signal:
    """Clearing it: a low, rough voice without a vowel."""

    def ahem() -> Signal:
        s = clock(random.uniform(0.3, 0.6))
        rough = pulses(s, np.abs(70 + 25 * random.standard_normal(s.size)))
        return resonant(rough + 0.05 * random.standard_normal(s.size), [(400, 1.0), (1100, 0.4)], 200) * swell(
            s.size / SAMPLE_RATE_HZ
        )

    return scattered(t, random, 0.4, ahem, apart_s=1.0)


def sneezing(t: Signal, random: Random) -> Signal:
    def sneeze() -> Signal:
        return band(random.standard_normal(6400), 900, 6000) * swell(0.4, 0.08)

    return scattered(t, random, 0.25, sneeze, apart_s=2.0)


def humming(t: Signal, random: Random) -> Signal:
    """A tune through closed lips."""
    line = np.zeros(t.size)
    for start in np.arange(0, t[-1] - 0.6, 0.6):
        if start % 6 > 4.5:
            continue
        s = clock(0.55)
        pitch = 140 * 2 ** (random.integers(0, 8) / 12) * (1 + 0.01 * np.sin(2 * np.pi * 5 * s))
        note = resonant(pulses(s, pitch), [(250, 1.0), (1000, 0.1), (2200, 0.05)]) * swell(0.55, 0.15)
        line[int(start * SAMPLE_RATE_HZ) :][: note.size] += note
    return line


def laughing(t: Signal, random: Random) -> Signal:
    """Bursts of voice and breath, five a second, that fall in pitch."""

    def laugh() -> Signal:
        bursts, top = [], random.uniform(180, 320)
        for number in range(random.integers(3, 9)):
            s = clock(0.12)
            voice = resonant(pulses(s, top * (1 - 0.05 * number) * (1 - s)), VOWELS["a"], 150) * swell(0.12, 0.3)
            breath = 0.02 * resonant(random.standard_normal(1280), [(900, 1.0), (1900, 0.6)], 400) * swell(0.08)
            bursts += [voice, breath]
        return np.concatenate(bursts)

    return scattered(t, random, 0.4, laugh, apart_s=2.0)


def groaning(t: Signal, random: Random) -> Signal:
    """A long open vowel that sinks, as in a yawn."""

    def groan() -> Signal:
        s = clock(random.uniform(0.8, 1.6))
        pitch = random.uniform(110, 200) * (1 - 0.35 * s / s[-1])
        voice = resonant(pulses(s, pitch), VOWELS["a"]) + 0.01 * random.standard_normal(s.size)
        return voice * swell(s.size / SAMPLE_RATE_HZ, 0.3)

    return scattered(t, random, 0.25, groan, apart_s=2.5)


def snoring(t: Signal, random: Random) -> Signal:
    rough = pulses(t, np.maximum(35 + 8 * random.standard_normal(t.size), 5))
    noise = 0.05 * random.standard_normal(t.size)
    return resonant(rough + noise, [(300, 1.0), (800, 0.4), (1700, 0.2)], 200) * np.maximum(
        np.sin(2 * np.pi * 0.25 * t), 0
    )


def smacking(t: Signal, random: Random) -> Signal:
    """Lips and tongue: short resonant clicks."""

    def click() -> Signal:
        s = clock(0.03)
        return np.sin(2 * np.pi * random.uniform(900, 2500) * s) * np.exp(-150 * s)

    return scattered(t, random, 1.5, click)


def typing(t: Signal, random: Random) -> Signal:
    def key() -> Signal:
        s = clock(0.09)
        down = random.standard_normal(s.size) * np.exp(-180 * s)
        up = np.roll(down, 900) * 0.5
        return resonant(down + up, [(random.uniform(1500, 4000), 1.0), (250, 0.4)], 800) * random.uniform(0.4, 1)

    return scattered(t, random, 7, key, apart_s=0.05) * gate(t, 3.0, 0.8, 1.2, 1.5)


def knocking(t: Signal, random: Random) -> Signal:
    def knock() -> Signal:
        s = clock(0.2)
        return resonant(random.standard_normal(s.size) * np.exp(-50 * s), [(180, 1.0), (500, 0.5)])

    return scattered(t, random, 2, knock, apart_s=0.15)


def rustling(t: Signal, random: Random) -> Signal:
    """Paper, or a hand over the microphone."""
    return scattered(
        t, random, 1, lambda: band(random.standard_normal(9600), 700, 7000) * swell(0.6) * random.random(9600) ** 4
    )


def footsteps(t: Signal, random: Random) -> Signal:
    return band(random.standard_normal(t.size), 50, 900) * np.exp(-25 * (t % 0.52))


def wind(t: Signal, random: Random) -> Signal:
    gusts = 1 + np.sin(2 * np.pi * 0.4 * t) * np.sin(2 * np.pi * 0.13 * t + 1)
    return coloured(random.standard_normal(t.size), 1.0) * gusts


def whistling_wind(t: Signal, random: Random) -> Signal:
    """Wind in a gap: a resonance that wanders through the band of speech."""
    phase = swept(t, 700 + 300 * np.sin(2 * np.pi * 0.21 * t) + 150 * np.sin(2 * np.pi * 0.57 * t))
    rough = np.repeat(random.standard_normal(t.size // 160 + 1), 160)[: t.size]
    return np.sin(phase + 2 * np.cumsum(rough) / 160) + 0.2 * wind(t, random)


def traffic(t: Signal, random: Random) -> Signal:
    """Cars that pass."""
    passing = scattered(t, random, 0.3, lambda: coloured(random.standard_normal(64000), 0.7) * swell(4.0, 0.5))
    return passing + 0.2 * coloured(random.standard_normal(t.size), 1.0)


def engine(t: Signal, random: Random) -> Signal:
    """A car's from inside: firing at 40 to 80 Hz through the body's resonances."""
    pitch = 55 + 20 * np.sin(2 * np.pi * 0.15 * t)
    return resonant(pulses(t, pitch), [(120, 1.0), (300, 0.5), (700, 0.2)]) + 0.02 * random.standard_normal(t.size)


def siren(t: Signal, _: Random) -> Signal:
    return np.sin(swept(t, 900 + 400 * np.sin(2 * np.pi * 0.3 * t)))


def barking(t: Signal, random: Random) -> Signal:
    def bark() -> Signal:
        s = clock(0.2)
        pitch = 350 + 250 * np.sin(np.pi * s / 0.2)
        voice = resonant(pulses(s, pitch) + 0.1 * random.standard_normal(s.size), [(800, 1.0), (1600, 0.6)], 200)
        return voice * swell(0.2, 0.1)

    return scattered(
        t, random, 0.7, lambda: np.concatenate([np.pad(bark(), (0, 2400)) for _ in range(random.integers(1, 4))])
    )


def crying(t: Signal, random: Random) -> Signal:
    """A baby's: a voice of 450 Hz that rises and falls for a second."""

    def wail() -> Signal:
        s = clock(random.uniform(0.7, 1.3))
        pitch = 380 + 140 * np.sin(np.pi * s / s[-1]) + 10 * np.sin(2 * np.pi * 7 * s)
        return resonant(pulses(s, pitch), [(1100, 1.0), (2800, 0.6)], 300) * swell(s.size / SAMPLE_RATE_HZ, 0.15)

    return scattered(t, random, 0.6, wail, apart_s=1.3)


def birds(t: Signal, random: Random) -> Signal:
    def chirp() -> Signal:
        s = clock(random.uniform(0.05, 0.2))
        return np.sin(swept(s, random.uniform(2000, 3500) + random.uniform(-8000, 8000) * s)) * swell(s.size / 16_000)

    return scattered(t, random, 3, chirp)


def water(t: Signal, random: Random) -> Signal:
    """A tap: drops that ring."""

    def drop() -> Signal:
        s = clock(0.06)
        return np.sin(swept(s, random.uniform(500, 2500) * (1 + 3 * s))) * np.exp(-80 * s) * random.random() ** 2

    return scattered(t, random, 60, drop) + 0.1 * random.standard_normal(t.size)


def dishes(t: Signal, random: Random) -> Signal:
    def clink() -> Signal:
        s = clock(0.3)
        return tones(s, *random.uniform(1500, 6000, 4)) * np.exp(-20 * s) * random.random()

    return scattered(t, random, 2.5, clink)


def applause(t: Signal, random: Random) -> Signal:
    def clap() -> Signal:
        s = clock(0.02)
        return resonant(random.standard_normal(s.size) * np.exp(-200 * s), [(random.uniform(800, 2500), 1.0)], 400)

    return scattered(t, random, 70, clap) * np.minimum(1, 0.2 + np.sin(np.pi * (t % 6) / 6))


def vacuum_cleaner(t: Signal, random: Random) -> Signal:
    motor = tones(t, 210, 420, 630, 1260)
    return coloured(random.standard_normal(t.size), 0.5) + motor * (1 + 0.1 * np.sin(2 * np.pi * 0.2 * t))


def alarm_clock(t: Signal, _: Random) -> Signal:
    return np.sign(np.sin(2 * np.pi * 2048 * t)) * gate(t, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.6)


ROOM: Final[dict[str, dict[str, Maker]]] = {
    "breath": {
        "breathing": breathing,
        "breathing, fast": partial(breathing, per_minute=40),
        "breath on the microphone": into_microphone,
        "coughing": coughing,
        "clearing the throat": throat,
        "sneezing": sneezing,
        "lips": smacking,
        "snoring": snoring,
    },
    "voice": {"humming": humming, "laughing": laughing, "groaning": groaning},
    "desk": {"typing": typing, "knocking": knocking, "paper": rustling, "footsteps": footsteps, "dishes": dishes},
    "outside": {
        "wind": wind,
        "wind in a gap": whistling_wind,
        "traffic": traffic,
        "engine": engine,
        "siren": siren,
        "barking": barking,
        "crying baby": crying,
        "birds": birds,
        "water": water,
        "applause": applause,
        "vacuum cleaner": vacuum_cleaner,
        "alarm clock": alarm_clock,
    },
}
"""By category and name."""
