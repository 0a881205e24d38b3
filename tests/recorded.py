"""Finished recordings, as they sound."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.model import SAMPLE_RATE_HZ
from tests.recordings import read

Samples = npt.NDArray[np.int16]


def heard(path: Path) -> Samples:
    """A recording at 16 kHz: a row a sample, left and right."""
    samples, _ = read(path, SAMPLE_RATE_HZ)
    return samples


def click() -> Samples:
    """4 ms of a sound whose place can be found to the sample."""
    return (20_000 * np.hanning(64) * np.sin(np.arange(64) * 0.8)).astype(np.int16)


def found_at(channel: Samples, sound: Samples, near: int, *, within: int = 400) -> int:
    """Where in a channel a sound begins: the sample at which it fits best."""
    stretch = channel[max(near - within, 0) : near + within + len(sound)].astype(np.float64)
    return int(np.correlate(stretch, sound.astype(np.float64), "valid").argmax()) + max(near - within, 0)
