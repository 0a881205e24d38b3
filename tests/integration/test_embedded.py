"""The servers that come with the product: they start anywhere, keep their data, and never outlive their parent."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from infra.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis, Services, embedded_services

REPOSITORY = Path(__file__).parents[2]

HOLD = """
import asyncio, json, os, sys
from pathlib import Path
from infra.embedded import EmbeddedPostgres, EmbeddedRedis, embedded_services

async def main():
    async with embedded_services(Path(sys.argv[1]), fast=True) as services:
        print(json.dumps([services.database_url, services.redis_url, os.geteuid(), os.getpid()]), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""

AS_ROOT_WITHOUT_NAMESPACES = """
import ctypes, os, sys
from pathlib import Path

entered, mapped = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0
    os.write(entered[1], b".")
    os.read(mapped[0], 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    os.execv(sys.argv[1], sys.argv[1:])
os.read(entered[0], 1)
for name in ("uid_map", "gid_map"):
    Path(f"/proc/{pid}/{name}").write_text("0 0 65536")
os.write(mapped[1], b".")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="embedded servers need a Unix system")


async def count(services: Services) -> tuple[int, int]:
    """Add one row and one key, and say how many there are by now."""
    connection = await asyncpg.connect(services.database_url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS visits (number int); INSERT INTO visits VALUES (1)")
        rows: int = await connection.fetchval("SELECT count(*) FROM visits")
    finally:
        await connection.close()
    async with redis.asyncio.from_url(services.redis_url) as client:
        return rows, await client.incr("visits")


def processes_using(directory: Path) -> set[int]:
    """Everything that works in a directory: a server and what it has forked."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            working_directory = (entry / "cwd").readlink()
        except OSError:
            continue
        if working_directory.is_relative_to(directory):
            found.add(int(entry.name))
    return found


@dataclass(frozen=True)
class Parent:
    """Another process that runs the services: where they answer, and who it thinks it is."""

    services: Services
    uid: int
    pid: int

    def kill(self) -> None:
        """kill -9: no time for last words."""
        os.kill(self.pid, signal.SIGKILL)


@contextmanager
def parent(state_dir: Path, *prefix: str) -> Iterator[Parent]:
    """Run the services in another process, below `prefix`; it ends with the context."""
    command = [*prefix, sys.executable, "-c", HOLD, str(state_dir)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            line = process.stdout.readline()
            if not line:
                pytest.fail(process.stderr.read(), pytrace=False)
            database_url, redis_url, uid, pid = json.loads(line)
            yield Parent(Services(database_url, redis_url), uid, pid)
        finally:
            process.stdin.close()
            process.wait(30)


def works(*command: str) -> bool:
    """Whether a command exists and succeeds."""
    return shutil.which(command[0]) is not None and subprocess.run(command, check=False).returncode == 0


async def test_starts_afresh_and_leaves_nothing_running(tmp_path: Path) -> None:
    async with embedded_services(tmp_path, fast=True) as services:
        assert await count(services) == (1, 1)
    assert processes_using(tmp_path) == set()


async def test_keeps_its_data(tmp_path: Path) -> None:
    for visit in (1, 2):
        async with embedded_services(tmp_path) as services:
            assert await count(services) == (visit, visit)


async def test_starts_only_what_is_asked_for(tmp_path: Path) -> None:
    async with embedded_services(tmp_path, postgres=False) as services:
        assert services.database_url == ""
        assert not (tmp_path / "postgres").exists()


async def test_a_second_start_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with embedded_services(tmp_path, fast=True) as services:
        with pytest.raises(EmbeddedError) as refusal:
            async with embedded_services(tmp_path, fast=True):
                pass
        assert str(refusal.value) == f"{tmp_path} is in use by another Hearline (process {os.getpid()})"
        assert await count(services) == (1, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a server that its parent is gone")
async def test_a_killed_parent_leaves_no_servers_behind(tmp_path: Path) -> None:
    with parent(tmp_path) as other:
        assert await count(other.services) == (1, 1)
        assert len(processes_using(tmp_path)) > 2
        other.kill()
    async with embedded_services(tmp_path, fast=True) as services:  # at once, while the old ones still shut down
        assert await count(services) == (2, 2)
    assert processes_using(tmp_path) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a server that its parent is gone")
async def test_servers_of_a_killed_parent_go_without_a_new_start(tmp_path: Path) -> None:
    with parent(tmp_path) as other:
        other.kill()
    async with asyncio.timeout(20):
        while processes_using(tmp_path):  # noqa: ASYNC110  the kernel has no event for it
            await asyncio.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="the other tests run as an ordinary user")
async def test_an_ordinary_user_can_run_them(tmp_path: Path) -> None:
    prefix = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    if not works(*prefix, "true"):
        pytest.skip("this system does not let root become another user that sees the same files")
    with parent(tmp_path, *prefix) as other:
        assert other.uid == 65534
        assert await count(other.services) == (1, 1)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="about root")
@pytest.mark.parametrize("again", [False, True], ids=["fresh", "on data made with namespaces"])
async def test_root_can_run_them_where_user_namespaces_are_forbidden(tmp_path: Path, again: bool) -> None:
    if not works("unshare", "--user", "true"):
        pytest.skip("user namespaces are forbidden here: all the other tests are this one")
    if again:
        async with embedded_services(tmp_path, fast=True) as services:
            assert await count(services) == (1, 1)
    with parent(tmp_path, sys.executable, "-c", AS_ROOT_WITHOUT_NAMESPACES) as other:
        assert other.uid == 0
        assert (tmp_path / "postgres/data").stat().st_uid == 65534
        assert (await count(other.services))[0] == 1 + again
        other.kill()
    async with embedded_services(tmp_path, fast=True) as services:
        assert (await count(services))[0] == 2 + again


@pytest.mark.parametrize("name", ["a path with spaces, 'quotes\" and 100 %", "long" * 40], ids=["odd", "long"])
async def test_any_directory_will_do(tmp_path: Path, name: str) -> None:
    async with embedded_services(tmp_path / name, fast=True) as services:
        assert await count(services) == (1, 1)


async def test_redis_comes_back_at_the_same_address_with_its_data(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, fast=True)
    await server.start()
    try:
        address = server.url
        async with redis.asyncio.from_url(address) as client:
            for end in (server.stop, server.kill, server.restart):
                before = await client.incr("visits")
                await end()
                await server.start()
                assert await client.incr("visits") == before + 1
        assert server.url == address
    finally:
        await server.stop()


async def test_postgres_comes_back_after_a_crash(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    await server.start()
    try:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept (number int); INSERT INTO kept VALUES (42)")
        await server.kill()
        connection.terminate()
        await server.start()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT number FROM kept") == 42
        await connection.close()
    finally:
        await server.stop()


async def test_an_interrupted_first_start_does_no_harm(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", fast=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await server.start()
    assert not server.data_dir.exists()
    async with embedded_services(tmp_path, fast=True) as services:
        assert await count(services) == (1, 1)


async def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    async with embedded_services(tmp_path, fast=True):
        pass
    (tmp_path / "postgres/data/PG_VERSION").write_text("9.6\n")
    began = time.monotonic()
    with pytest.raises(EmbeddedError, match=r"PostgreSQL ended with exit code 1; .*server.log ends in:\n.*FATAL"):
        async with embedded_services(tmp_path, fast=True):
            pass
    assert time.monotonic() - began < 10
    assert processes_using(tmp_path) == set()


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"/file/below: Not a directory"):
        async with embedded_services(tmp_path / "file/below"):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of another user's")
async def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / "postgres", 12345, 12345)
    with pytest.raises(EmbeddedError, match="/postgres belongs to another user"):
        async with embedded_services(tmp_path):
            pass


async def test_what_was_said_does_not_reach_the_log(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, fast=True)
    await server.start()
    try:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE segments (text text CHECK (length(text) < 5))")
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("INSERT INTO segments VALUES ('my card number is')")
        await connection.close()
    finally:
        await server.stop()
    log = server.log_path.read_text()
    assert "violates check constraint" in log
    assert "card" not in log


async def test_ctrl_c_in_the_terminal_is_left_to_the_parent(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, fast=True)
    await server.start()
    try:
        assert server.pid is not None
        assert os.getpgid(server.pid) != os.getpgid(0)
    finally:
        await server.stop()
