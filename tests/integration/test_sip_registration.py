"""Staying registered at a registrar, and what everybody sees when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from dashboard.health import Drain, Health
from infra.bus.presence import Presence
from media_gateway.transports.sip.options import Account, Way
from tests.certificates import write_certificate
from tests.conftest import free_port, until
from tests.sip_house import SipHouse, sip_house
from tests.sip_peers import Kamailio, kamailio
from tests.sipp import sipp

pytestmark = [pytest.mark.sipp, pytest.mark.timeout(120)]

USERS = {"hearline": "right"}


@contextlib.asynccontextmanager
async def registering(
    scratch: Path, port: int, *, password: str = "right", way: Way = "udp", user: str = "hearline"
) -> AsyncIterator[SipHouse]:
    account = Account(user, "127.0.0.1", port, way, password)
    async with sip_house(scratch / "house", trunks=(), account=account) as house:
        yield house


@contextlib.asynccontextmanager
async def proxy_at(scratch: Path, port: int | None = None) -> AsyncIterator[Kamailio]:
    async with kamailio(scratch / f"kamailio-{free_port()}", users=USERS, port=port) as proxy:
        yield proxy


@pytest.mark.parametrize("way", ["udp", "tcp"])
async def test_calls_come_in_over_a_registration_and_from_nobody_else(tmp_path: Path, way: Way) -> None:
    async with proxy_at(tmp_path) as proxy, registering(tmp_path, proxy.port, way=way) as house:
        await until(lambda: house.door.registrar and house.door.registrar.state == "registered")
        assert house.problems == []
        assert proxy.said("registered hearline")
        assert not proxy.said("left hearline")
        (await sipp("short", proxy.port, tmp_path, to="hearline")).check()
        (call,) = house.calls
        assert (call.call.to_number, call.ended) == ("hearline", "completed")
        if way == "tcp":  # a datagram from the same machine is nobody's whom we know
            (await house.sipp("stranger")).check()
        house.door.refuse_calls()
        await until(lambda: proxy.said("left hearline"))
        (await sipp("not_found", proxy.port, tmp_path, to="hearline")).check()


async def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    async with proxy_at(tmp_path) as proxy, registering(tmp_path, proxy.port, password="wrong") as house:
        await until(lambda: house.problems)
        (problem,) = house.problems
        assert problem is not None
        assert "401" in problem or "403" in problem
        assert "wrong" not in problem


async def test_nobody_there_is_told_and_tried_again(tmp_path: Path) -> None:
    port = free_port()
    async with registering(tmp_path, port, way="tcp") as house:
        await until(lambda: house.problems)
        assert "cannot be reached" in str(house.problems[0])
        async with proxy_at(tmp_path, port):
            await until(lambda: house.problems[-1] is None)
            assert house.door.registrar is not None
            assert house.door.registrar.state == "registered"
        await until(lambda: house.problems[-1] is not None)
        async with proxy_at(tmp_path, port):
            await until(lambda: house.problems[-1] is None)


async def test_a_registrars_certificate_has_to_be_good(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    async with registering(tmp_path, server.sockets[0].getsockname()[1], way="tls") as house:
        await until(lambda: house.problems)
        assert "cannot be reached" in str(house.problems[0])
    server.close()


async def test_every_gateways_trouble_is_known_until_it_is_over(pool: asyncpg.Pool, redis: Redis) -> None:
    presence = Presence(redis)
    assert await presence.sip_problems() == []
    await presence.sip_problem("one", "pbx.test:5060 (udp) answered 403 Forbidden")
    await presence.sip_problem("two", "pbx.test:5060 (udp) answered 403 Forbidden")
    assert await presence.sip_problems() == ["pbx.test:5060 (udp) answered 403 Forbidden"]
    health = Health(pool, redis, Drain())
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(health.watch())
        await until(lambda: "sip" in health.degraded)
        watching.cancel()
    await presence.sip_problem("one", None)
    await presence.sip_problem("two", None)
    assert await presence.sip_problems() == []
