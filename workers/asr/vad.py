"""How likely is it that somebody speaks, in each 32 ms of a track.

Two judges. WebRTC's detector costs next to nothing and hardly misses speech, but calls most noise speech too: it
only decides whether the second one need be asked. Silero's network (the ONNX file that faster-whisper ships)
decides. The network is loaded once a process; each track keeps its own small state.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from itertools import groupby
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
_STATE: Final = (1, 1, 128)
_GATE_MODE: Final = 1
"""0 lets most through, 3 least."""
_GATE_BYTES: Final = 2 * SAMPLE_RATE_HZ // 100
"""10 ms, the shortest frame that the gate takes; three lie in each window."""
_GATE_LINGER: Final = 16
"""Windows for which the network is still asked after the gate last opened: it has to see speech end by itself."""


class SpeechDetector:
    """The speech probability of one track, window by window. Feed every sample, in order."""

    def __init__(self, *, gate: bool = True) -> None:
        """`gate=False` asks the network about every window."""
        self._network = _network()
        self._gate = webrtcvad.Vad(_GATE_MODE) if gate else None
        self._h: NDArray[np.float32]
        self._c: NDArray[np.float32]
        self._before: NDArray[np.float32]
        self.reset()

    def reset(self) -> None:
        """Forget the past: after a hole the audio before it tells nothing about what comes."""
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)
        self._linger = 0
        self._forget()

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return the speech probability, 0..1, of each window of 512 samples completed by `samples`.

        `samples` has shape (n,), 16 kHz mono, any n; what does not fill a window waits for the next call. How
        the audio is cut into calls makes no difference.
        """
        audio = np.concatenate((self._rest, samples))
        count = audio.size // WINDOW
        windows = audio[: count * WINDOW].reshape(count, WINDOW)
        self._rest = audio[count * WINDOW :]
        probabilities = np.zeros(count, np.float32)
        for asked, run in groupby(range(count), key=lambda index: self._passes(windows[index])):
            indices = list(run)
            if asked:
                probabilities[indices] = self._ask(windows[indices])
            else:
                self._forget()
        return probabilities

    def _passes(self, window: NDArray[np.int16]) -> bool:
        """Say whether the network should hear this window."""
        if self._gate is None:
            return True
        raw = window.tobytes()
        for start in range(0, 3 * _GATE_BYTES, _GATE_BYTES):
            if self._gate.is_speech(raw[start : start + _GATE_BYTES], SAMPLE_RATE_HZ):
                self._linger = _GATE_LINGER
                return True
        self._linger = max(self._linger - 1, 0)
        return self._linger > 0

    def _ask(self, windows: NDArray[np.int16]) -> NDArray[np.float32]:
        scaled = windows.astype(np.float32) / np.float32(32768)
        before = np.concatenate((self._before, scaled[:-1, -_CONTEXT:]))
        self._before = scaled[-1:, -_CONTEXT:]
        feeds = {"input": np.concatenate((before, scaled), axis=1), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._network.run(None, feeds)
        found: NDArray[np.float32] = probabilities.reshape(len(windows))
        return found

    def _forget(self) -> None:
        self._h = np.zeros(_STATE, np.float32)
        self._c = np.zeros(_STATE, np.float32)
        self._before = np.zeros((1, _CONTEXT), np.float32)


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
