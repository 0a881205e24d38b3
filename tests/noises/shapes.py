"""What the sounds are built of. Each function returns shape (n,), float64, about -1..1; n is that of its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ

Signal = NDArray[np.float64]
Random = np.random.Generator
Maker = Callable[[Signal, Random], Signal]
"""From a clock (seconds, one value a sample at 16 kHz) and a source of chance to a sound; the level is set later."""

VOWELS: Final = {  # formant frequencies in Hz, and their gains
    "a": ((730, 1.0), (1090, 0.6), (2440, 0.25)),
    "o": ((450, 1.0), (800, 0.5), (2500, 0.1)),
    "e": ((530, 1.0), (1840, 0.5), (2480, 0.3)),
    "i": ((280, 1.0), (2250, 0.5), (2890, 0.3)),
    "u": ((310, 1.0), (870, 0.3), (2240, 0.1)),
}


def clock(seconds: float) -> Signal:
    """Return the time of each sample in seconds."""
    return np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def tones(t: Signal, *frequencies_hz: float) -> Signal:
    """Return sines of equal strength."""
    mixed: Signal = np.mean([np.sin(2 * np.pi * frequency * t) for frequency in frequencies_hz], axis=0)
    return mixed


def swept(t: Signal, frequency_hz: Signal) -> Signal:
    """Return the phase in radians of a tone whose frequency is given for each sample."""
    return 2 * np.pi * np.cumsum(frequency_hz) * (t[1] - t[0])


def gate(t: Signal, *spans_s: float) -> Signal:
    """Return 1 and 0 in turn, each for the next of the spans, over and over."""
    edges = np.cumsum(spans_s)
    return (np.searchsorted(edges, t % edges[-1], side="right") % 2 == 0).astype(float)


def coloured(white: Signal, slope: float) -> Signal:
    """Return noise whose amplitude falls as frequency ** slope, at the loudness of white noise."""
    frequency = np.fft.rfftfreq(white.size, 1 / SAMPLE_RATE_HZ)
    shaped = np.fft.irfft(np.fft.rfft(white) / np.maximum(frequency, 20) ** slope, white.size)
    return shaped / shaped.std()


def band(samples: Signal, low_hz: float, high_hz: float) -> Signal:
    """Return what lies between two frequencies."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE_HZ)
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    return np.fft.irfft(spectrum, samples.size)


def resonant(samples: Signal, peaks: Sequence[tuple[float, float]], width_hz: float = 100) -> Signal:
    """Return the samples through resonances (frequency in Hz, gain), as a room, a mouth or a box has them."""
    frequency = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE_HZ)
    gains = sum(gain / (1 + ((frequency - centre) / width_hz) ** 2) for centre, gain in peaks)
    return np.fft.irfft(np.fft.rfft(samples) * gains, samples.size)


def pulses(t: Signal, pitch_hz: Signal) -> Signal:
    """Return what vocal cords give: one click a period of the pitch, which is given for each sample."""
    turns = np.floor(np.cumsum(pitch_hz) * (t[1] - t[0]))
    return np.diff(turns, prepend=0.0)


def scattered(t: Signal, random: Random, per_s: float, piece: Callable[[], Signal], *, apart_s: float = 0.0) -> Signal:
    """Return pieces at random moments: about `per_s` a second, each at least `apart_s` after the one before."""
    line = np.zeros(t.size)
    at_s = float(random.exponential(1 / per_s)) / 2
    while at_s < t[-1]:
        start, sound = int(at_s * SAMPLE_RATE_HZ), piece()
        end = min(start + sound.size, t.size)
        line[start:end] += sound[: end - start]
        at_s += apart_s + float(random.exponential(max(1 / per_s - apart_s, 0.01)))
    return line


def swell(seconds: float, rise: float = 0.3) -> Signal:
    """Return an envelope that rises for a share of its length and falls for the rest."""
    x = np.linspace(0, 1, round(seconds * SAMPLE_RATE_HZ))
    return np.where(x < rise, np.sin(np.pi / 2 * x / rise) ** 2, np.cos(np.pi / 2 * (x - rise) / (1 - rise)) ** 2)


def note_hz(midi: float) -> float:
    """Return the frequency of a MIDI note: 69 is 440 Hz."""
    return 440 * 2 ** ((midi - 69) / 12)
