"""GE2E: what a voice sounds like, as 256 numbers. Resemblyzer's weights in onnxruntime, with a front end of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from workers.asr.speakers.ge2e_graph import GRAPH, MELS

_FFT: Final = 400
_HOP: Final = 160
_LOUDNESS_DB: Final = -30.0
"""Quieter speech is raised to this level (RMS, relative to full scale)."""
_QUIET: Final = 1e-12


class Ge2e:
    """Turns windows of speech into embeddings. One call at a time; blocks."""

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        self._network = ort.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])

    def embed(self, windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return one embedding a window, shape (windows, 256), length 1.

        A window is 16 kHz mono, -1..1; all of one call have the same length. 1.6 s is what the network knows best.
        """
        mels = np.stack([_mel(_raised(window)) for window in windows], axis=1)
        embeddings: NDArray[np.float32] = self._network.run(None, {"mels": mels})[0]
        return embeddings


def _raised(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    level_db = 10 * np.log10(float(np.mean(samples.astype(np.float64) ** 2)) + _QUIET)
    return samples * np.float32(10 ** (max(_LOUDNESS_DB - level_db, 0.0) / 20))


def _mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power of 40 bands every 10 ms, shape (frames, 40)."""
    padded = np.pad(samples, _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP]
    power = np.abs(np.fft.rfft(frames * _HANN, axis=1)) ** 2
    mels: NDArray[np.float32] = power.astype(np.float32) @ _BANDS
    return mels


def _mel_bands() -> NDArray[np.float32]:
    """Return triangles of equal area over the FFT's bins, shape (201, 40): linear to 1 kHz, logarithmic above."""
    edges = _hertz(np.linspace(0.0, _mels(SAMPLE_RATE_HZ / 2), MELS + 2))
    bins = np.linspace(0, SAMPLE_RATE_HZ / 2, _FFT // 2 + 1)
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    bands = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return bands.astype(np.float32)


_LINEAR_HZ: Final = 200 / 3
_TURN_HZ: Final = 1000.0
_TURN_MEL: Final = _TURN_HZ / _LINEAR_HZ
_LOG_STEP: Final = np.log(6.4) / 27


def _mels(hertz: float) -> float:
    if hertz < _TURN_HZ:
        return hertz / _LINEAR_HZ
    return float(_TURN_MEL + np.log(hertz / _TURN_HZ) / _LOG_STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _TURN_HZ * np.exp(_LOG_STEP * (mels - _TURN_MEL))
    return np.where(mels < _TURN_MEL, mels * _LINEAR_HZ, above)


_HANN: Final = np.hanning(_FFT + 1)[:-1].astype(np.float32)
_BANDS: Final = _mel_bands()
