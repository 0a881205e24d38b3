"""Sounds of a telephone line that are no speech, made on the spot: 16 kHz, -1..1, shape (n,)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ

SECONDS = 12
LEVELS = (0.001, 0.01, 0.1, 0.3)

_T = np.arange(SECONDS * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ


def noises(seed: int = 0) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield (name, samples): silence, coloured noise, the tones of the exchange, keys, hum, knocks, music."""
    random = np.random.default_rng(seed)
    for name, samples in _all(random):
        yield name, np.clip(samples, -1, 1).astype(np.float32)


def _all(random: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    yield "digital silence", np.zeros(_T.size)
    yield "last bit", random.integers(-1, 2, _T.size) / 32768
    white = random.standard_normal(_T.size)
    for level in LEVELS:
        yield f"white noise {level}", level * white
        yield f"pink noise {level}", level * _coloured(white, 0.5)
        yield f"brown noise {level}", level * _coloured(white, 1.0)
    yield "dial tone", 0.2 * _tones(350, 440)
    yield "ringback", 0.2 * _tones(440, 480) * _gate(2, 4)
    yield "British ringback", 0.2 * _tones(400, 450) * _gate(0.4, 0.2)
    yield "busy", 0.2 * _tones(480, 620) * _gate(0.5, 0.5)
    yield "fax", 0.2 * _tones(1100) * _gate(0.5, 3)
    yield "recording beep", 0.3 * _tones(1400) * _gate(0.4, 4)
    yield "keys", 0.25 * _keys()
    yield "hum 50 Hz", 0.05 * _tones(50, 100, 150)
    yield "hum 60 Hz and hiss", 0.1 * _tones(60, 120, 180, 240) + 0.003 * white
    yield "clicks", np.where(random.random(_T.size) < 3 / SAMPLE_RATE_HZ, 0.8, 0.0) + 0.001 * white
    yield "knocks", 0.4 * white * np.exp(-40 * (_T % 0.7))
    yield "wind", 0.2 * _coloured(white, 1.0) * (1 + np.sin(2 * np.pi * 0.4 * _T)) / 2
    yield "siren", 0.2 * np.sin(2 * np.pi * (700 * _T - 300 / (2 * np.pi * 0.5) * np.cos(2 * np.pi * 0.5 * _T)))
    yield "music", 0.3 * _music()


def _tones(*frequencies_hz: float) -> NDArray[np.float64]:
    waves = [np.sin(2 * np.pi * frequency * _T) for frequency in frequencies_hz]
    mixed: NDArray[np.float64] = np.mean(waves, axis=0)
    return mixed


def _gate(on_s: float, off_s: float) -> NDArray[np.float64]:
    return (_T % (on_s + off_s) < on_s).astype(float)


def _coloured(white: NDArray[np.float64], slope: float) -> NDArray[np.float64]:
    """Return noise whose amplitude falls as frequency ** slope, at the loudness of white noise."""
    frequency = np.fft.rfftfreq(white.size, 1 / SAMPLE_RATE_HZ)
    shaped = np.fft.irfft(np.fft.rfft(white) / np.maximum(frequency, 20) ** slope, white.size)
    return shaped / shaped.std()


def _keys() -> NDArray[np.float64]:
    """Every key of the keypad in turn, four a second (ITU-T Q.23)."""
    low, high = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
    key = (_T * 4).astype(int) % 16
    pair = np.sin(2 * np.pi * np.take(low, key // 4) * _T) + np.sin(2 * np.pi * np.take(high, key % 4) * _T)
    return pair / 2 * (_T % 0.25 < 0.12)


def _music() -> NDArray[np.float64]:
    """Four chords with a melody above, plucked twice a second."""
    chords = np.array([(261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7)])
    beat = (_T * 2).astype(int)
    notes = [chords[beat // 4 % 4, voice] for voice in range(3)] + [2 * chords[beat // 4 % 4, beat % 3]]
    pluck = np.exp(-4 * (_T % 0.5))
    sound = sum(np.sin(2 * np.pi * note * overtone * _T) / overtone**1.5 for note in notes for overtone in range(1, 6))
    return np.asarray(pluck * sound / 8)
