"""Concealment: a voice that goes on, fades, and comes back, all without a click."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.audio import Samples
from media_gateway.playout.conceal import FADED, HELD, Concealer
from media_gateway.playout.line import PAST
from tests.speech import loud_frames, sharpness, snr_db, spectral_distance_db, speech


def tone(hertz: float, length: int, peak: float = 8000) -> Samples:
    samples: Samples = np.rint(peak * np.sin(2 * np.pi * hertz * np.arange(length) / 16_000)).astype(np.int16)
    return samples


def voice(hertz: float, length: int) -> Samples:
    """Return a buzz with harmonics and formants, more or less."""
    moments = np.arange(length) / 16_000
    parts = [np.sin(2 * np.pi * hertz * number * moments + number**2) / number for number in range(1, 12)]
    samples: Samples = np.rint(4000 * np.sum(parts, axis=0)).astype(np.int16)
    return samples


def conceal(past: Samples, length: int, fresh: Samples, step: int = 320) -> Samples:
    concealer = Concealer()
    concealer.begin(past)
    parts = [concealer.more(min(step, length - start)).copy() for start in range(0, length, step)]
    return np.concatenate([*parts, concealer.join(fresh)])


@pytest.mark.parametrize("hertz", [80, 100, 120, 171, 230, 333])
def test_a_steady_voice_goes_on_as_it_would_have(hertz: float) -> None:
    whole = voice(hertz, 1600)
    heard = conceal(whole[:PAST], 320, whole[PAST + 320 :])
    wanted = whole[PAST:]
    assert snr_db(wanted[:HELD], heard[:HELD]) > 15
    assert snr_db(wanted[480:], heard[480:]) > 90  # what came is left as it is
    assert sharpness(np.concatenate((whole[:PAST], heard))) < 1.1 * sharpness(whole)


def test_it_fades_and_stays_silent() -> None:
    concealer = Concealer()
    concealer.begin(voice(120, PAST))
    levels = [np.abs(concealer.more(160).astype(int)).max() for _ in range(10)]
    assert levels[0] > 5000
    assert all(later <= sooner * 1.05 for sooner, later in pairwise(levels))
    assert concealer.faded
    assert not concealer.more(160 * 500).any()
    assert FADED == 1600


def test_what_comes_after_silence_is_faded_in() -> None:
    concealer = Concealer()
    concealer.begin(np.zeros(PAST, np.int16))
    assert not concealer.more(3200).any()
    fresh = tone(300, 320)
    heard = concealer.join(fresh)
    assert len(heard) == 320
    assert np.abs(heard[:16].astype(int)).max() < 1500
    assert (heard[160:] == fresh[160:]).all()
    assert not concealer.active


def test_a_packet_shorter_than_the_seam() -> None:
    concealer = Concealer()
    concealer.begin(tone(200, PAST))
    concealer.more(320)
    assert len(concealer.join(tone(200, 40))) == 40


@pytest.mark.parametrize("packets", [1, 3])
def test_lost_speech_is_nearer_to_what_was_said_than_silence_or_a_repeated_frame(packets: int) -> None:
    chance = np.random.default_rng(7)
    distances, repeated, silent, sharper = [], [], [], []
    for channel in (0, 1):
        said = speech(channel)
        for number in chance.choice(loud_frames(said), 60, replace=False):
            start, length = int(number) * 320, 320 * packets
            before, after = said[start - PAST : start], said[start + length : start + length + 320]
            wanted = said[start - 320 : start + length + 320]
            heard = np.concatenate((before[-320:], conceal(before, length, after)))
            distances.append(spectral_distance_db(wanted, heard))
            again = np.concatenate((before[-320:], *packets * [before[-320:]], after))
            repeated.append(spectral_distance_db(wanted, again))
            nothing = np.concatenate((before[-320:], np.zeros(length, np.int16), after))
            silent.append(spectral_distance_db(wanted, nothing))
            sharper.append(sharpness(heard) / sharpness(wanted))
    assert np.mean(distances) < 0.65 * np.mean(repeated)
    assert np.mean(distances) < 0.5 * np.mean(silent)
    assert np.percentile(sharper, 95) <= 1.05
    assert max(sharper) < 2.5


@given(
    st.one_of(
        st.lists(st.integers(-32768, 32767), min_size=PAST, max_size=PAST),
        st.sampled_from([-32768, -1, 1, 32767]).map(lambda level: [level] * PAST),
        st.integers(1, 400).map(lambda period: [32767 if i // period % 2 else -32768 for i in range(PAST)]),
        st.integers(0, PAST - 1).map(lambda place: [32767 if i == place else 0 for i in range(PAST)]),
    ),
    st.lists(st.integers(1, 400), max_size=12),
    st.integers(1, 2000),
)
def test_whatever_was_heard_something_of_the_right_length_follows(
    past: list[int], lengths: list[int], fresh: int
) -> None:
    concealer = Concealer()
    concealer.begin(np.array(past, np.int16))
    for length in lengths:
        made = concealer.more(length)
        assert made.dtype == np.int16
        assert len(made) == length
    joined = concealer.join(np.full(fresh, 32767, np.int16))
    assert joined.dtype == np.int16
    assert len(joined) == fresh
