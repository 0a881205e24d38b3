"""Real speech as 16 kHz samples, and figures that say what became of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from media_gateway.audio import Samples, resampler

SAMPLE_CALL = Path(__file__).parents[1] / "infra" / "sample" / "call.flac"


@lru_cache(maxsize=2)
def speech(channel: int = 0) -> Samples:
    """Return 65 s of the sample call: channel 0 or 1."""
    with av.open(str(SAMPLE_CALL)) as container:
        stream = container.streams.audio[0]
        packed = av.AudioResampler(format="s16")
        blocks = [block.to_ndarray() for frame in container.decode(stream) for block in packed.resample(frame)]
    sound = np.ascontiguousarray(np.concatenate(blocks, axis=1).reshape(-1, 2)[:, channel])
    to_16_khz = resampler(stream.rate)
    samples: Samples = np.concatenate((to_16_khz.process(sound), to_16_khz.flush()))
    samples.setflags(write=False)
    return samples


def loud_frames(samples: Samples, peak: int = 1000, length: int = 320) -> list[int]:
    """Return the numbers of the frames that somebody speaks in, the first and last few left out."""
    count = len(samples) // length
    peaks = np.abs(samples[: count * length].reshape(count, length).astype(int)).max(axis=1)
    return [number for number in range(5, count - 8) if peaks[number] > peak]


def sharpness(samples: Samples) -> float:
    """Return the largest second difference: a click makes it leap."""
    return float(np.abs(np.diff(samples.astype(float), 2)).max())


def clicks(samples: Samples, length: int = 160) -> float:
    """Return the largest ratio of a 10 ms stretch's sharpness to that of its sharpest neighbours, 80 ms either side."""
    second = np.abs(np.diff(samples.astype(float), 2))
    count = len(second) // length
    sharp = second[: count * length].reshape(count, length).max(axis=1)
    around = [np.sort(sharp[max(0, number - 8) : number + 9])[-4:].mean() for number in range(count)]
    return float((sharp / np.maximum(around, 30)).max())


def spectral_distance_db(one: Samples, other: Samples, length: int = 320) -> float:
    """Return how far the spectra of two sounds are from each other, in dB, mean over 20 ms windows."""
    window = np.hanning(length)
    distances = []
    for start in range(0, len(one) - length + 1, length // 2):
        first, second = (np.abs(np.fft.rfft(sound[start : start + length] * window)) + 100 for sound in (one, other))
        distances.append(np.sqrt(np.mean((20 * np.log10(first / second)) ** 2)))
    return float(np.mean(distances))


def snr_db(wanted: Samples, got: Samples) -> float:
    """Return the power of what was wanted over that of the difference, in dB."""
    reference = wanted.astype(float)
    return float(10 * np.log10((reference**2).sum() / (((got - reference) ** 2).sum() + 1e-9)))
