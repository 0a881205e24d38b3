"""How likely is it that somebody speaks, in each 32 ms of a track.

The judge is Silero's network, the ONNX file that faster-whisper ships, loaded once a process; each track keeps its
own small state. It is asked about all windows of a chunk in one run, which costs 1.6 ms of CPU a second of audio.
WebRTC's detector in front of it, to spare it the silence, cost more than it saved and lost speech
(docs/decisions/0003-end-pointing.md).
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ

WINDOW: Final = 512
"""Samples a window: 32 ms, what the network was trained on."""
WINDOW_MS: Final = 1000 * WINDOW // SAMPLE_RATE_HZ
_CONTEXT: Final = 64
"""Samples of the window before that the network sees again."""
_STATE: Final = (1, 1, 128)


class SpeechDetector:
    """The speech probability of one track, window by window. Feed every sample, in order."""

    def __init__(self) -> None:
        self._network = _network()
        self._rest: NDArray[np.int16]
        self._h: NDArray[np.float32]
        self._c: NDArray[np.float32]
        self._before: NDArray[np.float32]
        self.reset()

    def reset(self) -> None:
        """Forget the past: after a hole the audio before it tells nothing about what comes."""
        self._rest = np.zeros(0, np.int16)
        self._h = np.zeros(_STATE, np.float32)
        self._c = np.zeros(_STATE, np.float32)
        self._before = np.zeros((1, _CONTEXT), np.float32)

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return the speech probability, 0..1, of each window of 512 samples completed by `samples`.

        `samples` has shape (n,), 16 kHz mono, any n; what does not fill a window waits for the next call. How
        the audio is cut into calls makes no difference.
        """
        audio = np.concatenate((self._rest, samples))
        count = audio.size // WINDOW
        windows = audio[: count * WINDOW].reshape(count, WINDOW)
        self._rest = audio[count * WINDOW :]
        if count == 0:
            return np.zeros(0, np.float32)
        scaled = windows.astype(np.float32) / np.float32(32768)
        before = np.concatenate((self._before, scaled[:-1, -_CONTEXT:]))
        self._before = scaled[-1:, -_CONTEXT:]
        feeds = {"input": np.concatenate((before, scaled), axis=1), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._network.run(None, feeds)
        found: NDArray[np.float32] = probabilities.reshape(count)
        return found


@cache
def _network() -> ort.InferenceSession:
    spec = find_spec("faster_whisper")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("Silero's network comes with the package faster-whisper, which is not installed")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    path = Path(spec.submodule_search_locations[0], "assets", "silero_vad_v6.onnx")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
