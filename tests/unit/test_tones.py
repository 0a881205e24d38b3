"""Keys as tones: what is sent is what Q.23 says."""

from __future__ import annotations

import numpy as np
import pytest

from media_gateway.audio import FRAME_SAMPLES
from media_gateway.tones import KEYS, dtmf
from tests.speech import sharpness

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)


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
