"""The guard's judgement of origins and secrets, without a server."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from dashboard import auth
from dashboard.auth import ACCESS, EVERYBODY, GUARDED, Guard, IdentityCache
from dashboard.headers import content_security_policy
from dashboard.problem import problems
from infra.model import DEFAULT_TENANT
from infra.settings import Settings
from infra.store.users import User


class Users:
    """Knows one secret, and counts how often it is asked."""

    def __init__(self, secret: str = "good", delay_s: float = 0.0) -> None:
        self.secret = secret
        self.delay_s = delay_s
        self.asked = 0

    async def find(self, secret: str, kind: str) -> User | None:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        return User(uuid4(), DEFAULT_TENANT, kind, "agent") if secret == self.secret else None


def guard(url: str | None = None, token: str | None = None) -> Guard:
    users: Any = Users()
    secret = SecretStr(token) if token else None
    return Guard(users, Settings(_env_file=None, public_base_url=url, hearline_api_token=secret))


def cache(users: Users) -> IdentityCache:
    wanted: Any = users
    return IdentityCache(wanted)


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://localhost:8080", "127.0.0.1:8080", False),
        ("http://hearline", "hearline", True),
        ("http://hearline:80", "hearline", True),
        ("http://hearline", "hearline:80", True),
        ("https://hearline", "hearline", True),  # TLS ends in front of us
        ("https://hearline:444", "hearline", False),
        ("http://HEARLINE", "hearline", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://hearline.evil.example", "hearline", False),
        ("http://evil.example", "hearline", False),
        ("http://hearline@evil.example", "hearline", False),
        ("null", "hearline", False),
        ("", "hearline", False),
        ("file://", "hearline", False),
        ("ftp://hearline", "hearline", False),
        ("http://", "", False),
        ("http://hearline", "", False),
        ("http://hearline:99999", "hearline:99999", False),
        ("http://hearline", "hearline:x", False),
        ("http://[", "[", False),
    ],
)
def test_own_origins(origin: str, host: str, own: bool) -> None:
    assert guard()._is_own_origin(origin, host) is own


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("https://calls.example.org", "10.0.0.5:8080", True),
        ("https://calls.example.org:443", "10.0.0.5:8080", True),
        ("https://calls.example.org", "calls.example.org", True),
        ("http://calls.example.org", "calls.example.org", False),
        ("http://calls.example.org:443", "calls.example.org", False),
        ("https://calls.example.org:8443", "10.0.0.5:8080", False),
        ("http://10.0.0.5:8080", "10.0.0.5:8080", True),
        ("https://evil.example", "calls.example.org", False),
    ],
)
def test_own_origins_behind_a_public_address(origin: str, host: str, own: bool) -> None:
    assert guard("https://calls.example.org/")._is_own_origin(origin, host) is own


def test_the_api_token_is_compared_whole() -> None:
    known = guard(token="tökén-1")
    assert known._is_api_token("tökén-1")
    for wrong in ("", "t", "tökén-", "tökén-11", "TÖKÉN-1", "t\udcf6k"):
        assert not known._is_api_token(wrong)
    assert not guard()._is_api_token("")


def test_without_an_api_token_nothing_is_one() -> None:
    assert not guard(token=None)._is_api_token("")
    assert not guard(token=None)._is_api_token("None")


async def test_many_at_once_ask_once() -> None:
    users = Users(delay_s=0.01)
    known = cache(users)
    found = await asyncio.gather(*(known.find("good", "session") for _ in range(50)))
    assert users.asked == 1
    assert len({identity.user.id for identity in found if identity}) == 1
    assert await known.find("good", "token") is not None  # another kind is another question
    assert users.asked == 2


async def test_what_is_known_is_soon_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users()
    known = cache(users)
    now = [0.0]
    monkeypatch.setattr(auth.time, "monotonic", lambda: now[0])
    for now[0], asked in ((0.0, 1), (4.9, 1), (5.1, 2), (9.0, 2)):
        assert await known.find("good", "session") is not None
        assert users.asked == asked
    assert auth.CACHE_S <= 5


async def test_what_was_refused_is_not_remembered() -> None:
    users = Users(secret="later")
    known = cache(users)
    assert await known.find("soon", "token") is None
    users.secret = "soon"
    assert await known.find("soon", "token") is not None


async def test_what_is_revoked_is_forgotten_at_once() -> None:
    users = Users()
    known = cache(users)
    identity = await known.find("good", "session")
    assert identity is not None
    users.secret = "other"
    known.forget({identity.digest})
    assert await known.find("good", "session") is None


async def test_the_cache_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CACHE_ENTRIES", 10)
    users = Users()
    known = cache(users)
    for number in range(100):
        users.secret = str(number)
        await known.find(str(number), "token")
    assert len(known._known) == 10


async def test_a_database_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOKUP_TIMEOUT_S", 0.05)
    known = cache(Users(delay_s=5))
    async with asyncio.timeout(2):
        answers = await asyncio.gather(*(known.find("good", "session") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, TimeoutError) for answer in answers)


def test_the_table_covers_guarded_routes_only_and_shuts_nobody_out_by_accident() -> None:
    for (method, path), roles in ACCESS.items():
        assert path.startswith(GUARDED)
        assert method in {"GET", "POST", "PUT", "PATCH", "DELETE"}
        assert "admin" in roles
        assert roles <= EVERYBODY


async def test_a_route_that_nobody_listed_is_closed_to_all() -> None:
    async def inside(request: web.Request) -> web.Response:
        return web.Response(text=request["user"].name)

    async def outside(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[problems, guard(token="master").middleware])
    for path in ("/api/v1/me", "/api/v1/unlisted", "/webrtc/unlisted", "/open"):
        app.router.add_get(path, outside if path == "/open" else inside)
    app.router.add_post("/api/v1/me", inside)
    master = {"Authorization": "Bearer master"}
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/api/v1/me", headers=master)).status == 200
        assert (await client.head("/api/v1/me", headers=master)).status == 200
        assert (await client.get("/open")).status == 200
        for method, path in (("GET", "/api/v1/unlisted"), ("GET", "/webrtc/unlisted"), ("POST", "/api/v1/me")):
            assert (await client.request(method, path, headers=master)).status == 403
        assert (await client.delete("/api/v1/me", headers=master)).status == 405
        assert (await client.get("/api/v1/nowhere", headers=master)).status == 404
        assert (await client.get("/api/v1/nowhere")).status == 401


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "calls.example.org", "[::1]:8080"])
def test_the_policy_names_the_pages_own_sockets(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host};" in content_security_policy(host)


@pytest.mark.parametrize("host", ["", "a; script-src *", "a b", "*", "x'y", "a,b", "[::1", "a" * 300])
def test_the_policy_repeats_no_odd_host(host: str) -> None:
    assert "connect-src 'self';" in content_security_policy(host)
