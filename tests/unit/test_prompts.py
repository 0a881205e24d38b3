"""What callers hear while nobody talks to them: the recordings themselves, and how they are played."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from infra.model import SAMPLE_RATE_HZ
from infra.settings import read_settings
from media_gateway.audio import FRAME_SAMPLES, Samples
from media_gateway.prompts import Player, decode_prompts, prompt, prompt_names
from tests.bench.score import Score, score
from tests.bench.speech import telephone
from tests.conftest import missing
from workers.asr import models
from workers.asr.engines import open_engine

FOLDER = Path(__file__).parents[2] / "media_gateway" / "prompts"
WORDS = {name: spoken["words"] for name, spoken in json.loads((FOLDER / "spoken.json").read_text()).items()}
TONES = {"music", "beep"}


def dbfs(samples: Samples) -> float:
    return float(10 * np.log10(np.mean((samples / 32768) ** 2)))


def peak_dbfs(samples: Samples) -> float:
    return float(20 * np.log10(np.abs(samples.astype(float)).max() / 32768))


def played(player: Player, frames: int = 10_000) -> list[Samples]:
    """Return at most that many frames, each of the right length."""
    heard = []
    while len(heard) < frames and (samples := player.frame()) is not None:
        assert samples.dtype == np.int16
        assert samples.shape == (FRAME_SAMPLES,)
        heard.append(samples)
    return heard


def clip(length: int, first: int = 1) -> Samples:
    """Return first, first + 1, ..."""
    return np.arange(first, first + length).astype(np.int16)


# -- the recordings


def test_there_is_a_recording_for_every_occasion() -> None:
    assert set(prompt_names()) == set(WORDS) | TONES
    assert {
        *("greeting", "consent", "waiting", "callback_offer", "callback_confirmed"),
        *("voicemail", "voicemail_saved", "nobody"),
    } == set(WORDS)


def test_the_readme_says_what_each_recording_says() -> None:
    readme = (FOLDER / "README.md").read_text()

    for name, words in WORDS.items():
        assert f"| `{name}.flac` | {words} |" in readme
    for name in TONES:
        assert f"| `{name}.flac` |" in readme


def test_together_they_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.flac")) < 600_000


@pytest.mark.parametrize("name", sorted(WORDS.keys() | TONES))
def test_a_recording_is_16_khz_mono(name: str) -> None:
    with av.open(str(FOLDER / f"{name}.flac")) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.codec_context.channels, stream.format.name) == (SAMPLE_RATE_HZ, 1, "s16")


@pytest.mark.parametrize("name", sorted(WORDS))
def test_a_spoken_prompt_is_loud_enough_short_and_has_quiet_ends(name: str) -> None:
    samples = prompt(name)
    sounding = np.flatnonzero(samples)

    assert 1.5 < len(samples) / SAMPLE_RATE_HZ < 8
    assert -23.5 < dbfs(samples) < -19
    assert peak_dbfs(samples) < -2.5
    for silence in (sounding[0], len(samples) - 1 - sounding[-1]):
        assert 0.09 < silence / SAMPLE_RATE_HZ < 0.2
    assert np.abs(samples[sounding[[0, -1]]]).max() < 200, "it starts or ends with a click"


def test_music_is_calm_and_made_for_the_telephone() -> None:
    music = prompt("music")
    power = np.abs(np.fft.rfft(music)) ** 2
    frequency_hz = np.fft.rfftfreq(len(music), 1 / SAMPLE_RATE_HZ)
    levels = [dbfs(part) for part in music.reshape(-1, SAMPLE_RATE_HZ)]

    assert 30 <= len(music) / SAMPLE_RATE_HZ <= 45
    assert -25.5 < dbfs(music) < -22.5
    assert peak_dbfs(music) < -6
    assert max(levels) - min(levels) < 8, "a bar is much louder than another"
    assert power[(frequency_hz > 300) & (frequency_hz < 3400)].sum() > 0.8 * power.sum()


def test_the_music_has_no_seam() -> None:
    twice = np.tile(prompt("music").astype(float), 2)
    bend = np.abs(np.diff(twice, 2))  # a click is a corner in the wave
    seam = len(twice) // 2

    assert bend[seam - 4 : seam + 4].max() < np.quantile(bend, 0.99)
    assert abs(dbfs(twice[seam - 800 : seam]) - dbfs(twice[seam : seam + 800])) < 12


def test_the_beep_has_its_frequency() -> None:
    samples = prompt("beep")
    spectrum = np.abs(np.fft.rfft(samples, SAMPLE_RATE_HZ * 6))
    frequency_hz = np.fft.rfftfreq(SAMPLE_RATE_HZ * 6, 1 / SAMPLE_RATE_HZ)

    assert {round(hz / 10) * 10 for hz in frequency_hz[spectrum > 0.5 * spectrum.max()]} == {1000}
    assert peak_dbfs(samples) < -12


def test_a_recording_is_decoded_once_and_cannot_be_changed() -> None:
    decode_prompts()
    samples = prompt("greeting")

    assert prompt("greeting") is samples
    with pytest.raises(ValueError, match="read-only"):
        samples[0] = 1


def test_there_is_no_other_recording() -> None:
    with pytest.raises(FileNotFoundError):
        prompt("elevator")


@pytest.mark.models
@pytest.mark.timeout(600)
def test_the_recogniser_gets_the_words_back_over_the_telephone() -> None:
    try:
        engine = open_engine(
            "moonshine", "moonshine/base-en", "cpu", "en", data_dir=read_settings().hearline_data_dir, threads=1
        )
    except models.ModelMissingError as error:
        missing(str(error))
    total = Score()
    for name, words in WORDS.items():
        line = telephone(np.pad(prompt(name) / np.float32(32768), SAMPLE_RATE_HZ // 5))
        heard = engine.transcribe(line, language="en", final=True).text.replace("Good-bye", "Goodbye")
        total += score(words, heard)

    assert total.words > 100
    assert total.wer < 0.03


# -- playing them


def test_clips_are_played_one_after_the_other_without_a_gap() -> None:
    heard = played(Player([clip(500), clip(300, 501), clip(160, 801)]))

    assert np.array_equal(np.concatenate(heard), clip(960))


def test_the_last_frame_is_filled_up_with_silence() -> None:
    heard = np.concatenate(played(Player([clip(400)])))

    assert np.array_equal(heard, np.concatenate((clip(400), np.zeros(240))))


@pytest.mark.parametrize("length", [1, 320, 639, 640])
def test_it_has_ended_with_the_last_frame(length: int) -> None:
    player = Player([clip(length)])
    for _ in range(-(-length // FRAME_SAMPLES)):
        assert not player.ended
        assert player.frame() is not None

    assert player.ended
    assert player.frame() is None
    assert player.leave() == []


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("clips", [[], [clip(0)]])
def test_nothing_has_ended_before_it_begins(clips: list[Samples], loop: bool) -> None:
    player = Player(clips, loop=loop)

    assert player.ended
    assert player.frame() is None


@pytest.mark.parametrize("length", [100, 320, 1000, 1280])
def test_a_loop_goes_on_without_a_gap_and_never_ends(length: int) -> None:
    player = Player([clip(length)], loop=True)
    heard = np.concatenate(played(player, frames=50))

    assert len(heard) == 50 * FRAME_SAMPLES
    assert np.array_equal(heard[640:], np.resize(clip(length), len(heard))[640:])
    assert not player.ended


def test_a_loop_fades_in_and_a_prompt_does_not() -> None:
    loud = np.full(3200, 10_000, np.int16)
    loop = np.concatenate(played(Player([loud], loop=True), frames=3))

    assert loop[0] == 0
    assert np.all(np.diff(loop[:640]) >= 0)
    assert np.all(loop[640:] == 10_000)
    assert played(Player([loud]))[0][0] == 10_000


def test_what_is_cut_off_fades_out_and_comes_back_where_it_was() -> None:
    steady = Player([np.full(32_000, 10_000, np.int16)], loop=True)
    played(steady, frames=10)
    tail = np.concatenate(steady.leave())

    assert len(tail) == 2 * FRAME_SAMPLES
    assert tail[0] > 9_990
    assert tail[-1] == 0
    assert np.abs(np.diff(tail)).max() < 40

    place = Player([clip(32_000)], loop=True)
    played(place, frames=10)
    place.leave()
    back = np.concatenate(played(place, frames=3))
    assert back[0] == 0
    assert np.array_equal(back[640:], clip(320, 14 * FRAME_SAMPLES + 1))


def test_what_is_cut_off_in_its_last_frame_fades_as_far_as_it_goes() -> None:
    player = Player([np.full(640, 10_000, np.int16)])
    player.frame()
    (tail,) = player.leave()

    assert tail[0] > 9_990
    assert tail[-1] < 5_100
    assert player.ended
