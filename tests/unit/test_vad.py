"""The speech detector on made-up and on real sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ
from tests.bench.speech import load_set, telephone
from tests.noises import LIKE_VOICES, noises, over_telephone
from workers.asr.vad import WINDOW, SpeechDetector


def as_pcm(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def speech(data_dir: Path) -> NDArray[np.float32]:
    """A minute of readers, one after the other."""
    tracks = [track.samples for track in load_set(data_dir, "read") if track.name.startswith("ls-")]
    return np.concatenate(tracks)[: 60 * SAMPLE_RATE_HZ]


def test_every_full_window_is_judged_once() -> None:
    detector = SpeechDetector()

    assert detector.feed(np.zeros(0, np.int16)).shape == (0,)
    assert detector.feed(np.zeros(WINDOW - 1, np.int16)).shape == (0,)
    assert detector.feed(np.zeros(1, np.int16)).shape == (1,)
    assert detector.feed(np.zeros(5 * WINDOW + 7, np.int16)).shape == (5,)


def test_how_the_audio_is_cut_makes_no_difference(speech: NDArray[np.float32]) -> None:
    pcm = as_pcm(speech[: 10 * SAMPLE_RATE_HZ])
    whole = SpeechDetector().feed(pcm)
    for size in (160, 1000, 3200):
        detector = SpeechDetector()
        pieces = [detector.feed(pcm[start : start + size]) for start in range(0, pcm.size, size)]
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_tracks_do_not_disturb_each_other(speech: NDArray[np.float32]) -> None:
    pcm = as_pcm(speech[: 4 * SAMPLE_RATE_HZ])
    alone = SpeechDetector().feed(pcm)
    one, other = SpeechDetector(), SpeechDetector()
    halves = []
    for half in (pcm[: pcm.size // 2], pcm[pcm.size // 2 :]):
        halves.append(one.feed(half))
        other.feed(as_pcm(np.random.default_rng(0).standard_normal(half.size).astype(np.float32)))
    np.testing.assert_allclose(np.concatenate(halves), alone, atol=1e-4)


def test_a_reset_forgets(speech: NDArray[np.float32]) -> None:
    pcm = as_pcm(speech[: 4 * SAMPLE_RATE_HZ + 100])
    detector = SpeechDetector()
    first = detector.feed(pcm)
    detector.reset()
    np.testing.assert_array_equal(detector.feed(pcm), first)


def test_speech_is_heard_on_a_wide_and_on_a_telephone_line(speech: NDArray[np.float32]) -> None:
    wide = SpeechDetector().feed(as_pcm(speech)) >= 0.5
    narrow = SpeechDetector().feed(as_pcm(telephone(speech))) >= 0.5

    assert wide.mean() > 0.6, "readers speak most of the time"
    assert narrow[wide].mean() > 0.9, "a line without anything below 300 Hz must not make them mute"


def test_speech_is_heard_whatever_its_level(speech: NDArray[np.float32]) -> None:
    loud = SpeechDetector().feed(as_pcm(speech)) >= 0.5
    for gain in (0.1, 3.0):
        assert (SpeechDetector().feed(as_pcm(speech * gain)) >= 0.5)[loud].mean() > 0.9


def test_the_sounds_of_a_line_are_no_speech() -> None:
    for noise in noises(seconds=6, levels_dbfs=(-24,)):
        for line, heard in (("wide", noise), ("telephone", over_telephone(noise))):
            spoken = SpeechDetector().feed(as_pcm(heard.samples)) >= 0.5
            assert spoken.mean() < 0.05 or noise.category in LIKE_VOICES, (noise.label, line)
