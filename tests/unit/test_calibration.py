"""Which model `auto` takes, with models whose speed the test says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from workers.asr import calibration
from workers.asr.calibration import KEPT, Measured, candidates, choose, kept, measure_all, sample_speech

BASE, TINY_EN, TINY = "moonshine/base-en", "whisper/tiny.en", "moonshine/tiny-en"


@dataclass
class House:
    """A machine: what is on it, and how fast that runs."""

    folder: Path
    rtf: dict[str, float] = field(default_factory=lambda: {BASE: 0.16, TINY_EN: 0.14, TINY: 0.06})
    takes_s: float = 0.5
    now: float = 0.0
    measured: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def choose(self, tracks: int = 4, *, language: str = "en", may_measure: bool = True) -> str | None:
        choice = choose(
            "cpu",
            language,
            data_dir=self.folder,
            threads=1,
            tracks=tracks,
            may_measure=may_measure,
            clock=lambda: self.now,
        )
        return choice and choice.model


@dataclass
class Opened:
    """All that is asked of an engine here."""

    model: str
    house: House

    def close(self) -> None:
        self.house.closed.append(self.model)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    here = House(tmp_path)

    def resolve(name: str, data_dir: Path) -> Path:
        if name not in here.rtf:
            raise calibration.models.ModelMissingError(name)
        return data_dir

    def measure(model: str, *_: object, **__: object) -> tuple[Opened, Measured]:
        here.measured.append(model)
        here.now += here.takes_s
        return Opened(model, here), Measured(model, here.rtf[model], 0.5)

    monkeypatch.setattr(calibration.models, "resolve", resolve)
    monkeypatch.setattr(calibration, "measure", measure)
    return here


def test_the_most_accurate_that_keeps_up_is_taken_and_no_other_measured(house: House) -> None:
    assert house.choose() == BASE
    assert house.measured == [BASE]
    assert house.closed == [], "it is handed on, loaded"


def test_a_slow_machine_gets_a_lighter_model(house: House) -> None:
    house.rtf = {name: 4 * rtf for name, rtf in house.rtf.items()}
    assert house.choose() == TINY
    assert house.measured == [BASE, TINY_EN, TINY]
    assert house.closed == [BASE, TINY_EN]


def test_more_tracks_need_a_lighter_model(house: House) -> None:
    assert house.choose(tracks=20) == TINY


def test_the_fastest_is_taken_where_none_keeps_up(house: House) -> None:
    assert house.choose(tracks=200) == TINY


def test_a_measurement_is_made_once(house: House) -> None:
    house.choose()
    assert house.choose() == BASE
    assert house.measured == [BASE]
    assert house.choose(may_measure=False) == BASE


def test_nothing_is_measured_where_that_is_not_wanted(house: House) -> None:
    assert house.choose(may_measure=False) is None
    assert house.measured == []


def test_a_start_is_not_held_up(house: House) -> None:
    house.takes_s = 1.6
    house.rtf = {name: 10 * rtf for name, rtf in house.rtf.items()}
    house.choose()
    assert house.measured == [BASE], "a second one would end after three seconds"
    house.choose()
    assert house.measured == [BASE, TINY_EN], "the next start goes on"


def test_a_large_model_is_left_to_the_command(house: House) -> None:
    house.rtf["whisper/small.en"] = 0.1
    assert house.choose() == BASE
    assert house.measured == [BASE]
    assert [each.model for each in measure_all("cpu", "en", data_dir=house.folder, threads=1)] == [
        "whisper/small.en",
        BASE,
        TINY_EN,
        TINY,
    ]
    assert house.choose() == "whisper/small.en"


@pytest.mark.parametrize("change", [{"processor": "another"}, {"packages": {}}, {"threads": 2}, {"form": 0}])
def test_another_machine_or_package_is_measured_anew(house: House, change: dict[str, object]) -> None:
    house.choose()
    told = json.loads((house.folder / KEPT).read_text())
    told["fingerprint"] |= change
    (house.folder / KEPT).write_text(json.dumps(told))

    assert kept(house.folder, device="cpu", threads=1) == {}
    assert house.choose() == BASE
    assert house.measured == [BASE, BASE]


@pytest.mark.parametrize("spoilt", ["", "null", "[]", "{}", '{"fingerprint": 1}', "\x00"])
def test_a_spoilt_file_is_made_anew(house: House, spoilt: str) -> None:
    (house.folder / KEPT).write_text(spoilt)
    assert house.choose() == BASE
    assert set(kept(house.folder, device="cpu", threads=1)) == {BASE}


def test_a_data_directory_that_cannot_be_written_is_no_hindrance(house: House) -> None:
    house.folder /= "file"
    house.folder.touch()
    assert house.choose() == BASE


def test_only_what_writes_the_language_and_runs_there_is_a_candidate(house: House) -> None:
    house.rtf["whisper/base"] = 0.2
    assert candidates("cpu", "de", house.folder) == ["whisper/base"]
    assert candidates("cpu", "auto", house.folder) == [BASE, TINY_EN, TINY]
    assert candidates("cuda", "en", house.folder) == [TINY_EN]


def test_without_a_model_there_is_nothing_to_choose(house: House) -> None:
    house.rtf = {}
    assert house.choose() is None


def test_the_sample_is_speech() -> None:
    pieces = sample_speech()
    assert [round(piece.size / 16_000, 1) for piece in pieces] == [3.0, 4.0]
    assert all(float(np.sqrt(np.mean(piece**2))) > 0.01 for piece in pieces)


def test_the_figures_mean_tracks() -> None:
    assert Measured(BASE, 0.16, 0.7).tracks() == 8
    assert Measured(BASE, 0.0, 0.7).tracks() > 1000
