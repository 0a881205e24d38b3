"""Hold music in several styles, composed by chance from a few chords. No voice sings words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from infra.model import SAMPLE_RATE_HZ
from tests.noises.shapes import VOWELS, Maker, Random, Signal, band, note_hz, pulses, resonant, swept

PROGRESSIONS: Final = (
    ((60, 64, 67, 71), (57, 60, 64, 67), (53, 57, 60, 64), (55, 59, 62, 65)),
    ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62)),
    ((62, 65, 69, 72), (55, 59, 62, 65), (60, 64, 67, 71), (57, 61, 64, 67)),
)
Voice = Callable[[float, float, Random], Signal]
"""From a frequency in Hz and a length in seconds to a note."""


def _time(seconds: float) -> Signal:
    return np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def plucked(hz: float, seconds: float, random: Random) -> Signal:
    """Guitar or piano: overtones that die away, the high ones first."""
    t = _time(seconds)
    parts = [np.sin(2 * np.pi * hz * n * t) * np.exp(-(1.5 + n) * t) / n for n in range(1, 9) if n * hz < 7500]
    return np.asarray(sum(parts)) * np.minimum(t / 0.004, 1)


def bowed(hz: float, seconds: float, random: Random) -> Signal:
    """Strings: a saw with vibrato that swells."""
    t = _time(seconds)
    phase = swept(t, hz * (1 + 0.006 * np.sin(2 * np.pi * 5.5 * t + random.uniform(0, 6))))
    saw = sum(np.sin(n * phase) / n for n in range(1, 12) if n * hz < 7500)
    return np.asarray(saw) * np.minimum(t / 0.15, 1) * np.minimum((seconds - t) / 0.1, 1)


def blown(hz: float, seconds: float, random: Random) -> Signal:
    """A flute: little but the fundamental, breath and vibrato."""
    t = _time(seconds)
    phase = swept(t, hz * (1 + 0.01 * np.sin(2 * np.pi * 5 * t)))
    breath = 0.05 * random.standard_normal(t.size)
    return (
        (np.sin(phase) + 0.2 * np.sin(2 * phase) + breath)
        * np.minimum(t / 0.06, 1)
        * np.minimum((seconds - t) / 0.08, 1)
    )


def reed(hz: float, seconds: float, random: Random) -> Signal:
    """A saxophone: clicks of the reed through a resonance that opens, bent into the note."""
    t = _time(seconds)
    pitch = hz * (1 - 0.05 * np.exp(-12 * t)) * (1 + 0.008 * np.sin(2 * np.pi * 5 * t))
    return resonant(pulses(t, pitch), [(600, 1.0), (1400, 0.7), (2600, 0.3)], 250) * np.sin(
        np.pi * np.minimum(t / seconds, 1)
    )


def sung(hz: float, seconds: float, random: Random) -> Signal:
    """A choir on one vowel."""
    t = _time(seconds)
    vowel = VOWELS[str(random.choice(list("aou")))]
    line = np.zeros(t.size)
    for _ in range(4):
        pitch = hz * random.normal(1, 0.004) * (1 + 0.012 * np.sin(2 * np.pi * random.uniform(4.5, 6) * t))
        line += resonant(pulses(t, pitch), vowel)
    return line * np.minimum(t / 0.2, 1) * np.minimum((seconds - t) / 0.2, 1)


def organ(hz: float, seconds: float, random: Random) -> Signal:
    t = _time(seconds)
    stops = sum(np.sin(2 * np.pi * hz * n * t) for n in (0.5, 1, 2, 3, 4) if n * hz < 7500)
    return np.asarray(stops) * np.minimum(t / 0.02, 1)


def synthesised(hz: float, seconds: float, random: Random) -> Signal:
    t = _time(seconds)
    return np.sign(np.sin(2 * np.pi * hz * t)) * 0.5 * np.minimum((seconds - t) / 0.02, 1)


def drum(kind: str, random: Random) -> Signal:
    t = _time(0.25)
    if kind == "bass":
        return np.sin(swept(t, 50 + 100 * np.exp(-30 * t))) * np.exp(-12 * t)
    noise = random.standard_normal(t.size)
    if kind == "snare":
        return (noise + np.sin(2 * np.pi * 190 * t)) * np.exp(-22 * t) * 0.6
    return band(noise, 5000, 8000) * np.exp(-50 * t) * 0.5


def played(
    t: Signal,
    random: Random,
    *,
    chords: Voice,
    melody: Voice | None = None,
    bass: Voice | None = None,
    drums: bool = False,
    beat_s: float = 0.5,
    arpeggio: bool = False,
) -> Signal:
    """Return a piece: a chord a bar of four beats, over it a melody that walks through the chord."""
    line = np.zeros(t.size)

    def put(at_s: float, sound: Signal, gain: float = 1.0) -> None:
        start = int(at_s * SAMPLE_RATE_HZ)
        end = min(start + sound.size, t.size)
        if start < t.size:
            line[start:end] += gain * sound[: end - start] / (np.abs(sound).max() + 1e-9)

    progression = PROGRESSIONS[random.integers(len(PROGRESSIONS))]
    for bar in range(int(t[-1] / (4 * beat_s)) + 1):
        chord, at_s = progression[bar % len(progression)], bar * 4 * beat_s
        if arpeggio:
            for eighth in range(8):
                put(at_s + eighth * beat_s / 2, chords(note_hz(chord[eighth % len(chord)]), beat_s * 1.5, random), 0.6)
        else:
            for note in chord:
                put(at_s, chords(note_hz(note), 4 * beat_s, random), 0.4)
        for beat in range(4):
            if bass is not None:
                put(at_s + beat * beat_s, bass(note_hz(chord[beat % len(chord)] - 24), beat_s, random), 0.8)
            if melody is not None and random.random() < 0.8:
                held = float(random.choice([0.5, 1, 1, 2])) * beat_s
                put(at_s + beat * beat_s, melody(note_hz(random.choice(chord) + 12), held, random))
            if drums:
                put(at_s + beat * beat_s, drum("bass" if beat % 2 == 0 else "snare", random))
                put(at_s + beat * beat_s, drum("hat", random), 0.5)
                put(at_s + (beat + 0.5) * beat_s, drum("hat", random), 0.5)
    return line


MUSIC: Final[dict[str, dict[str, Maker]]] = {
    "music": {
        "guitar": partial(played, chords=plucked, arpeggio=True, beat_s=0.55),
        "piano and flute": partial(played, chords=plucked, melody=blown, beat_s=0.6),
        "strings": partial(played, chords=bowed, melody=bowed, beat_s=0.8),
        "organ": partial(played, chords=organ, beat_s=0.9),
        "dance": partial(played, chords=synthesised, melody=synthesised, bass=synthesised, drums=True, beat_s=0.23),
        "rock": partial(played, chords=bowed, bass=plucked, drums=True, beat_s=0.42),
        "jazz": partial(played, chords=plucked, melody=reed, bass=plucked, drums=True, beat_s=0.38),
        "saxophone": partial(played, chords=bowed, melody=reed, beat_s=0.7),
        "music box": partial(played, chords=plucked, melody=plucked, arpeggio=True, beat_s=0.3),
        "drums alone": partial(played, chords=lambda hz, s, _: np.zeros(1), drums=True, beat_s=0.4),
    },
    "singing": {
        "choir": partial(played, chords=sung, beat_s=0.8),
        "choir and strings": partial(played, chords=bowed, melody=sung, beat_s=0.6),
    },
}
"""By category and name."""
