"""What every kind of test may ask for."""

import asyncio
import contextlib
import inspect
import os
import random
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
import structlog
from redis.asyncio import Redis

from infra.bus.streams import open_redis
from infra.embedded import Services, embedded_services
from infra.model import DEFAULT_TENANT
from infra.store.database import migrate, open_pool

REQUIRE_TOOLS = os.environ.get("HEARLINE_REQUIRE_TOOLS", "") not in {"", "0"}  # noqa: TID251  a switch of the tests
os.environ.setdefault("ASR_CALIBRATE", "false")  # noqa: TID251  which model runs is not left to this machine's speed
TEST_DATA = Path(
    os.environ.get("HEARLINE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")  # noqa: TID251  the same
)

# A change is judged by the same examples wherever it is; chance finds new ones on the developers' machines.
hypothesis.settings.register_profile("steady", derandomize=True)
if REQUIRE_TOOLS:
    hypothesis.settings.load_profile("steady")

_T = TypeVar("_T")


def require_tool(name: str) -> str:
    """The path of a program that a test drives. Where it is missing the test is skipped; with
    HEARLINE_REQUIRE_TOOLS=1, as in CI, it fails.
    """
    path = shutil.which(name)
    if path is None:
        missing(f"needs the program {name}")
    return path


def missing(reason: str) -> NoReturn:
    """End the running test because this machine lacks something: skipped, or failed where all has to be there."""
    if REQUIRE_TOOLS:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """PostgreSQL and Redis for the whole run, on a directory of their own."""
    async with embedded_services(tmp_path_factory.mktemp("services"), fast=True) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """With structlog's coloured ones, each logged exception takes a third of a second."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_database(services: Services) -> str:
    """The address of a migrated database for the whole run; `pool` empties it for each test."""
    connection = await asyncpg.connect(services.database_url)
    await connection.execute("CREATE DATABASE tests")
    await connection.close()
    address = services.database_url.replace("/postgres?", "/tests?", 1)
    opened = await open_pool(address, max_size=1)
    await migrate(opened)
    await opened.close()
    return address


@pytest.fixture
async def pool(migrated_database: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a migrated database with nothing in it but the default tenant."""
    opened = await open_pool(migrated_database)
    rows = await opened.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = {row["tablename"] for row in rows} - {"schema_migrations", "tenants"}
    await opened.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
    await opened.execute("DELETE FROM tenants WHERE id <> $1", DEFAULT_TENANT)
    yield opened
    opened.terminate()


@pytest.fixture
async def redis(services: Services) -> AsyncIterator[Redis]:
    """A client of an empty Redis; number 1 of its databases, so that nobody else's keys are touched."""
    client = open_redis(f"{services.redis_url}?db=1")
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The recordings that the product is tested and measured with; they are not part of the repository."""
    if not TEST_DATA.is_dir():
        pytest.skip(f"needs the test recordings ({TEST_DATA}; HEARLINE_TEST_DATA names another directory)")
    return TEST_DATA


def free_port() -> int:
    """Return a port on loopback, for TCP and UDP, that nobody has, and that no outgoing connection is given."""
    while True:
        port = random.randrange(14_000, 25_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            return port


async def until(condition: Callable[[], Awaitable[_T] | _T], *, within_s: float = 20.0) -> _T:
    """Return what `condition` says once it is true of it; TimeoutError when it never is."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            said = await found if inspect.isawaitable(found) else found
            if said:
                return said
            await asyncio.sleep(0.01)
