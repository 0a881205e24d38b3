"""What every kind of test may ask for."""

import os
import shutil
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest
import pytest_asyncio

from infra.embedded import Services, embedded_services

REQUIRE_TOOLS = os.environ.get("HEARLINE_REQUIRE_TOOLS", "") not in {"", "0"}  # noqa: TID251  a switch of the tests


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
