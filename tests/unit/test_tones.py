"""Keys as tones: what is sent is what Q.23 says, and what is heard is keys and never speech (Q.24)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_gateway.audio import FRAME_SAMPLES, Samples
from media_gateway.codecs import MulawDecoder, MulawEncoder
from media_gateway.tones import KEYS, KeyListener, dtmf
from tests.noises import noises
from tests.speech import sharpness, speech

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)


def listen(samples: Samples) -> str:
    listener = KeyListener()
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    return "".join(listener.put(samples[start : start + FRAME_SAMPLES]) for start in range(0, whole, FRAME_SAMPLES))


def pressed(
    key: str,
    length_ms: float,
    *,
    after_ms: float = 100,
    low_peak: float = 3000,
    high_peak: float = 3000,
    off: float = 0.0,
    off_hz: float = 0.0,
) -> Samples:
    """Return a key's tones between silence, not made by our own generator."""
    place = KEYS.index(key)
    moments = np.arange(int(length_ms * 16)) * 2 * np.pi / 16_000
    low, high = (hertz * (1 + off) + off_hz for hertz in (LOW_HZ[place // 4], HIGH_HZ[place % 4]))
    tones = low_peak * np.sin(low * moments + 1) + high_peak * np.sin(high * moments + 2)
    samples: Samples = np.rint(np.pad(tones, (int(after_ms * 16), 1600))).astype(np.int16)
    return samples


def test_each_key_is_its_two_tones_and_a_pause() -> None:
    for place, key in enumerate(KEYS):
        samples = dtmf(key)
        assert len(samples) == 9 * FRAME_SAMPLES
        tones, pause = samples[:1600], samples[1600:]
        assert not pause.any()
        spectrum = np.abs(np.fft.rfft(tones * np.hanning(1600)))
        strongest = np.sort(np.argsort(spectrum)[-30:] * 10)
        assert abs(strongest - LOW_HZ[place // 4]).min() <= 5
        assert abs(strongest - HIGH_HZ[place % 4]).min() <= 5
        assert 10_000 < np.abs(tones.astype(int)).max() < 16_000
        assert sharpness(samples) < 1.2 * sharpness(tones[200:-200])  # no click at either end


def test_keys_follow_each_other() -> None:
    assert len(dtmf("12#")) == 3 * 9 * FRAME_SAMPLES
    assert len(dtmf("")) == 0
    assert (dtmf("a") == dtmf("A")).all()


def test_an_unknown_key() -> None:
    with pytest.raises(ValueError, match="substring"):
        dtmf("1x")


def test_what_is_sent_is_heard_also_over_a_telephone_line() -> None:
    sent = dtmf(KEYS + "1100##")
    encoder, decoder = MulawEncoder(), MulawDecoder()
    frames = [sent[start : start + 320] for start in range(0, len(sent), 320)]
    line = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in frames])
    assert listen(sent) == listen(line) == KEYS + "1100##"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("after_ms", [100, 103, 109, 116])
def test_keys_of_40_ms_are_heard_and_shorter_than_23_ms_are_not(key: str, after_ms: float) -> None:
    assert listen(pressed(key, 40, after_ms=after_ms)) == key
    assert listen(pressed(key, 500, after_ms=after_ms)) == key
    assert listen(pressed(key, 23, after_ms=after_ms)) == ""


@pytest.mark.parametrize("key", ["1", "5", "D", "#"])
def test_frequencies_may_be_off_as_far_as_the_standard_says(key: str) -> None:
    for sign in (1, -1):
        assert listen(pressed(key, 60, off=sign * 0.015, off_hz=sign * 2)) == key
        assert listen(pressed(key, 60, off=sign * 0.035)) == ""


@pytest.mark.parametrize(("low_peak", "high_peak", "heard"), [
    (3000, 4700, True),
    (7000, 2900, True),
    (12_000, 12_000, True),
    (800, 800, True),
    (200, 200, False),
    (3000, 9000, False),
    (9000, 1500, False),
])  # fmt: skip
def test_levels_and_twist(low_peak: float, high_peak: float, *, heard: bool) -> None:
    assert (listen(pressed("5", 80, low_peak=low_peak, high_peak=high_peak)) == "5") is heard


def test_one_tone_alone_is_no_key() -> None:
    assert listen(pressed("5", 200, low_peak=8000, high_peak=0)) == ""
    assert listen(pressed("5", 200, low_peak=0, high_peak=8000)) == ""


def test_a_short_break_does_not_press_a_key_twice_and_a_pause_does() -> None:
    samples = pressed("7", 200)
    broken = samples.copy()
    broken[1600 + 1500 : 1600 + 1660] = 0
    assert listen(broken) == "7"
    assert listen(np.concatenate((pressed("7", 60)[:-960], pressed("7", 60, after_ms=0)))) == "77"


def test_keys_in_noise() -> None:
    samples = pressed("3", 80).astype(float)
    noise = np.random.default_rng(1).normal(0, 500, len(samples))  # 15 dB below
    assert listen(np.rint(samples + noise).astype(np.int16)) == "3"


@pytest.mark.parametrize("channel", [0, 1])
def test_speech_is_no_key(channel: int) -> None:
    assert listen(speech(channel)) == ""


def test_the_noises_of_a_line_are_no_keys() -> None:
    for noise in noises(seconds=6, levels_dbfs=(-20,)):
        if noise.category != "keys":
            assert listen(np.rint(noise.samples * 32767).astype(np.int16)) == "", noise.label


def test_a_listener_takes_frames() -> None:
    with pytest.raises(ValueError, match="320"):
        KeyListener().put(np.zeros(160, np.int16))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0, 1, -32768, 32767]), st.integers(1, 320)), max_size=20))
def test_any_samples_may_come(steps: list[tuple[int, int]]) -> None:
    listener = KeyListener()
    for level, period in steps:
        wave = np.where(np.arange(320) // period % 2, level, -level).clip(-32768, 32767)
        assert set(listener.put(wave.astype(np.int16))) <= set(KEYS)
