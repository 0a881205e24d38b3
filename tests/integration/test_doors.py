"""Who comes in, who is turned away, and what every answer carries."""

import asyncio
import re
import socket as sockets
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import WSServerHandshakeError

from dashboard.auth import ACCESS, GUARDED
from dashboard.limits import Limits
from infra.embedded import EmbeddedPostgres, EmbeddedRedis, Services
from tests.integration.dashboard_world import API_TOKEN, World, until, world_on

PROBLEM = "application/problem+json"


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


async def refused(answer: aiohttp.ClientResponse, status: int) -> dict[str, object]:
    """The answer is a problem of this status; its JSON."""
    assert answer.status == status, await answer.text()
    assert answer.content_type == PROBLEM
    body: dict[str, object] = await answer.json(content_type=PROBLEM)
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_login_link_works_once(world: World) -> None:
    user = await world.user("supervisor")
    link = await world.users.issue(user, "login", life=timedelta(minutes=5))
    address = f"{world.url}/login?token={link}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(address, allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["Location"] == "/"
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith("hearline_session=")
            assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
            assert "Secure" not in cookie
        async with browser.get(f"{world.url}/api/v1/me") as answer:
            assert await answer.json() == {
                "id": str(user.id),
                "name": user.name,
                "role": "supervisor",
                "tenant_id": str(world.tenant),
            }
    for again in (address, f"{world.url}/login", f"{world.url}/login?token=%00", f"{world.url}/login?token=no"):
        async with world.http.get(again, allow_redirects=False) as answer:
            assert answer.status == 403
            assert answer.content_type == "text/html"
            assert "does not work" in await answer.text()
            assert "Set-Cookie" not in answer.headers


async def test_looking_at_a_login_link_does_not_use_it_up(world: World) -> None:
    link = await world.users.issue(await world.user(), "login", life=timedelta(minutes=5))
    async with world.http.head(f"{world.url}/login?token={link}") as answer:
        assert answer.status == 405
    async with world.http.get(f"{world.url}/login?token={link}", allow_redirects=False) as answer:
        assert answer.status == 303


async def test_a_login_link_runs_out(world: World) -> None:
    link = await world.users.issue(await world.user(), "login", life=timedelta(milliseconds=1))
    await asyncio.sleep(0.01)
    async with world.http.get(f"{world.url}/login?token={link}", allow_redirects=False) as answer:
        assert answer.status == 403


async def test_behind_https_the_cookie_is_bound_to_the_host(services: Services) -> None:
    async with world_on(services, public_base_url="https://calls.example.org") as world:
        link = await world.users.issue(await world.user(), "login", life=timedelta(minutes=5))
        async with world.http.get(f"{world.url}/login?token={link}", allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith("__Host-hearline_session=")
            assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
            assert "Domain" not in cookie
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        async with world.http.get(
            f"{world.url}/api/v1/me", headers={"Cookie": cookie.split(";")[0].removeprefix("__Host-")}
        ) as answer:
            await refused(answer, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": f"Basic {API_TOKEN}"},
        {"Authorization": f"Bearer {API_TOKEN}x"},
        {"Cookie": "hearline_session=wrong"},
        {"Cookie": f"hearline_session={API_TOKEN}"},
        {"Cookie": "hearline_session="},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/me", "/api/docs", "/api/v1/nowhere", "/ws/events?call=*"])
async def test_without_a_valid_secret_nobody_comes_in(world: World, path: str, headers: dict[str, str]) -> None:
    async with world.http.get(world.url + path, headers=headers) as answer:
        await refused(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_browser_without_a_session_is_led_from_the_docs_to_the_login_page(world: World) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with world.http.get(f"{world.url}/api/docs", headers=browser, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/login-help")
    async with world.http.get(f"{world.url}/api/v1/me", headers=browser) as answer:
        await refused(answer, 401)
    async with world.http.get(f"{world.url}/api/docs", headers={**await world.headers(), **browser}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


async def test_the_kinds_of_secret_are_not_interchangeable(world: World) -> None:
    user = await world.user()
    session, token, login = [await world.users.issue(user, kind) for kind in ("session", "token", "login")]
    for headers in (
        {"Authorization": f"Bearer {session}"},
        {"Authorization": f"Bearer {login}"},
        {"Cookie": f"hearline_session={token}"},
        {"Cookie": f"hearline_session={login}"},
    ):
        async with world.http.get(f"{world.url}/api/v1/me", headers=headers) as answer:
            await refused(answer, 401)


async def test_the_api_token_is_an_admin(world: World) -> None:
    me = await world.get("/api/v1/me", {"Authorization": f"bearer {API_TOKEN}"})
    assert me["role"] == "admin"
    assert me["name"] == "HEARLINE_API_TOKEN"


async def test_every_guarded_route_says_who_may_use_it(world: World) -> None:
    router = world.app.router
    routes = {
        (route.method, route.resource.canonical)
        for route in router.routes()
        if route.resource is not None and route.resource.canonical.startswith(GUARDED) and route.method != "HEAD"
    }
    assert routes <= ACCESS.keys()
    elsewhere = {path for _, path in ACCESS.keys() - routes}
    assert elsewhere == {"/ws/call", "/ws/phone", "/webrtc/offer", "/webrtc/{leg_id}"}
    open_routes = {
        route.resource.canonical
        for route in router.routes()
        if route.resource is not None and not route.resource.canonical.startswith(GUARDED)
    }
    assert open_routes == {"/healthz", "/readyz", "/metrics", "/login"}


@pytest.mark.parametrize("role", ["agent", "supervisor", "admin"])
async def test_each_role_may_do_what_the_table_says(world: World, role: str) -> None:
    headers = await world.headers(role)  # type: ignore[arg-type]
    for (method, path), roles in ACCESS.items():
        if path.startswith(("/ws/call", "/webrtc")):
            continue
        address = re.sub(r"{\w+}", str(uuid4()), path.replace("{call_id}", "nobody"))
        async with world.http.request(method, world.url + address, headers=headers) as answer:
            if role in roles:
                assert answer.status not in {401, 403}, (method, path)
            else:
                await refused(answer, 403)


FOREIGN = ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://", "http://[", ""]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ["/ws/events?call=*", "/ws/llm-updates/one"])
async def test_a_socket_from_another_sites_page_is_refused(world: World, origin: str, path: str) -> None:
    browser = await world.logged_in(await world.user())
    async with browser:
        for headers in ({}, {"Authorization": f"Bearer {API_TOKEN}"}):
            with pytest.raises(WSServerHandshakeError) as refusal:
                await browser.ws_connect(world.url + path, headers={**headers, "Origin": origin})
            assert refusal.value.status == 403


@pytest.mark.parametrize("origin", FOREIGN)
async def test_another_sites_page_changes_nothing(world: World, origin: str) -> None:
    async with await world.logged_in(await world.user()) as browser:
        async with browser.post(f"{world.url}/api/v1/logout", headers={"Origin": origin}) as answer:
            await refused(answer, 403)
        async with browser.post(f"{world.url}/api/v1/logout", headers={"Sec-Fetch-Site": "cross-site"}) as answer:
            await refused(answer, 403)
        async with browser.get(f"{world.url}/api/v1/me", headers={"Origin": origin}) as answer:
            assert answer.status == 200
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_our_own_page_opens_sockets(services: Services) -> None:
    async with world_on(services, public_base_url="https://calls.example.org") as world:
        token = await world.token()
        good = [world.url, "https://calls.example.org", "https://calls.example.org:443"]
        bad = ["http://calls.example.org", "https://calls.example.org:8443", world.url.replace("http:", "https:")[:-1]]
        for origin in good:
            async with world.http.ws_connect(
                f"{world.url}/ws/events?call=*", headers={"Authorization": f"Bearer {token}", "Origin": origin}
            ) as socket:
                assert (await socket.receive_json())["type"] == "heartbeat"
        for origin in bad:
            with pytest.raises(WSServerHandshakeError) as refusal:
                await world.http.ws_connect(
                    f"{world.url}/ws/events?call=*", headers={"Authorization": f"Bearer {token}", "Origin": origin}
                )
            assert refusal.value.status == 403


async def test_a_socket_may_bring_its_token_as_subprotocol(world: World) -> None:
    protocol = f"bearer.{await world.token('agent')}"
    async with world.http.ws_connect(f"{world.url}/ws/events?call=*", protocols=("other", protocol)) as socket:
        assert socket.protocol == protocol
        assert (await socket.receive_json())["type"] == "heartbeat"
    with pytest.raises(WSServerHandshakeError) as refusal:
        await world.http.ws_connect(f"{world.url}/ws/events?call=*", protocols=("bearer.wrong",))
    assert refusal.value.status == 401
    async with world.http.get(f"{world.url}/api/v1/me", headers={"Sec-WebSocket-Protocol": protocol}) as answer:
        await refused(answer, 401)


async def test_logging_out_closes_this_sessions_sockets_and_no_others(world: World) -> None:
    user = await world.user()
    mine, other = await world.logged_in(user), await world.logged_in(user)
    async with mine, other:
        sockets = [await mine.ws_connect(f"{world.url}/ws/events?call=*") for _ in range(2)]
        sockets.append(await mine.ws_connect(f"{world.url}/ws/llm-updates/one"))
        staying = await other.ws_connect(f"{world.url}/ws/events?call=*")
        for socket in [*sockets, staying]:
            await socket.receive_json()
        began = time.monotonic()
        async with mine.post(f"{world.url}/api/v1/logout", headers={"Origin": world.url}) as answer:
            assert answer.status == 204
        for socket in sockets:
            closing = await asyncio.wait_for(socket.receive(), 2)
            assert closing.type == aiohttp.WSMsgType.CLOSE
            assert closing.data == 4001
        assert time.monotonic() - began < 2
        for path in ("/api/v1/me", "/ws/events?call=*"):
            async with mine.get(world.url + path) as answer:
                await refused(answer, 401)
        async with other.get(f"{world.url}/api/v1/me") as answer:
            assert answer.status == 200
        with pytest.raises(TimeoutError):
            await staying.receive(timeout=1.5)


async def test_what_is_revoked_elsewhere_loses_its_sockets_too(world: World) -> None:
    token = await world.token()
    socket = await world.http.ws_connect(f"{world.url}/ws/events?call=*", headers={"Authorization": f"Bearer {token}"})
    await socket.receive_json()
    automation = await world.http.ws_connect(
        f"{world.url}/ws/events?call=*", headers={"Authorization": f"Bearer {API_TOKEN}"}
    )
    await automation.receive_json()
    await world.users.revoke(token)
    closing = await asyncio.wait_for(socket.receive(), 3)
    assert closing.data == 4001
    async with world.http.get(f"{world.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"}) as answer:
        await refused(answer, 401)
    with pytest.raises(TimeoutError):
        await automation.receive(timeout=1.5)


async def test_a_burst_of_sockets_asks_the_database_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await world.token()
    asked = 0
    find = world.dashboard.guard.users.find

    async def counting(secret: str, kind: str) -> object:
        nonlocal asked
        asked += 1
        return await find(secret, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(world.dashboard.guard.users, "find", counting)
    address = f"{world.url}/ws/events?call=*"
    headers = {"Authorization": f"Bearer {token}"}
    sockets = await asyncio.gather(*(world.http.ws_connect(address, headers=headers) for _ in range(30)))
    assert asked == 1
    for socket in sockets:
        await socket.close()


async def test_every_answer_is_hardened(world: World) -> None:
    browser_pages = ["/", "/calls/1", "/nothing.js", "/login?token=x", "/healthz", "/api/v1/me", "/api/docs"]
    for path in browser_pages:
        for headers in ({}, {"Authorization": f"Bearer {API_TOKEN}"}):
            async with world.http.get(world.url + path, headers=headers) as answer:
                policy = answer.headers["Content-Security-Policy"]
                directives = dict(part.split(" ", 1) for part in policy.split("; "))
                place = world.url.removeprefix("http://")
                assert directives["default-src"] == "'self'"
                assert directives["script-src"] == "'self'"
                assert directives["connect-src"] == f"'self' ws://{place} wss://{place}"
                assert directives["object-src"] == directives["frame-ancestors"] == "'none'"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert "microphone=(self)" in answer.headers["Permissions-Policy"]
                assert "Strict-Transport-Security" not in answer.headers
    async with world.http.get(world.url, headers={"Host": "evil.example; script-src *"}) as answer:
        assert "evil" not in answer.headers["Content-Security-Policy"]


async def test_metrics_are_for_this_machine_or_with_a_token(world: World) -> None:
    address = f"{world.url}/metrics"
    async with world.http.get(address) as answer:
        assert answer.status == 200
        assert "hearline_dashboard_sockets" in await answer.text()
    through_a_proxy = {"X-Forwarded-For": "203.0.113.9"}
    async with world.http.get(address, headers=through_a_proxy) as answer:
        await refused(answer, 401)
    async with world.http.get(address, headers={**through_a_proxy, "Authorization": f"Bearer {API_TOKEN}"}) as answer:
        assert answer.status == 200


async def test_readiness_names_each_part(world: World) -> None:
    await world.workers_present()
    async with world.http.get(f"{world.url}/healthz") as answer:
        assert answer.status == 200
    ready = await world.get("/readyz", {})
    assert ready["status"] == "ready"
    assert {part: check["ok"] for part, check in ready["checks"].items()} == dict.fromkeys(
        ("postgres", "redis", "asr", "insights"), True
    )
    world.drain.draining = True
    assert (await world.get("/readyz", {}, status=503))["status"] == "draining"


async def test_while_the_database_is_away_the_server_says_so(tmp_path: Path) -> None:
    postgres, redis = EmbeddedPostgres(tmp_path / "pg"), EmbeddedRedis(tmp_path / "redis", fast=True)
    await postgres.start()
    await redis.start()
    try:
        async with world_on(Services(postgres.url, redis.url)) as world:
            known, unknown = await world.token(), await world.token()
            await world.workers_present()
            link = await world.users.issue(await world.user(), "login", life=timedelta(minutes=5))
            await world.get("/api/v1/me", {"Authorization": f"Bearer {known}"})
            await postgres.kill()
            for path, token in (("/api/v1/me", unknown), ("/api/v1/calls", known), ("/ws/events?call=*", unknown)):
                began = time.monotonic()
                async with world.http.get(world.url + path, headers={"Authorization": f"Bearer {token}"}) as answer:
                    await refused(answer, 503)
                    assert answer.headers["Retry-After"]
                assert time.monotonic() - began < 5
            async with world.http.get(f"{world.url}/login?token={link}") as answer:
                assert answer.status == 503
                assert answer.content_type == "text/html"
            checks = (await world.get("/readyz", {}, status=503))["checks"]
            assert not checks["postgres"]["ok"]
            assert checks["redis"]["ok"]
            await postgres.start()
            async with asyncio.timeout(10):
                while True:
                    async with world.http.get(
                        f"{world.url}/api/v1/me", headers={"Authorization": f"Bearer {unknown}"}
                    ) as answer:
                        if answer.status == 200:
                            break
                    await asyncio.sleep(0.1)
    finally:
        await postgres.stop()
        await redis.stop()


async def test_an_error_shows_nothing_of_the_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret FROM inside")

    monkeypatch.setattr(world.dashboard.guard.users, "find", broken)
    async with world.http.get(f"{world.url}/api/v1/me", headers={"Authorization": "Bearer x"}) as answer:
        body = await refused(answer, 500)
        assert body["error_id"]
        assert "secret" not in await answer.text()


async def test_pages_come_from_the_built_front_end(services: Services, tmp_path: Path) -> None:
    (tmp_path / "dist/assets").mkdir(parents=True)
    (tmp_path / "dist/index.html").write_text("<!doctype html><title>front end</title>")
    (tmp_path / "dist/assets/app-1f.js").write_text("export {}")
    (tmp_path / "dist/favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "secret.txt").write_text("secret")
    async with world_on(services, web_root=tmp_path / "dist") as world:
        for path in ("/", "/calls/CA123", "/live", "/analytics/2026"):
            async with world.http.get(world.url + path) as answer:
                assert answer.status == 200
                assert "front end" in await answer.text()
                assert answer.headers["Cache-Control"] == "no-cache"
        async with world.http.get(f"{world.url}/assets/app-1f.js") as answer:
            assert answer.content_type in {"text/javascript", "application/javascript"}
            assert "immutable" in answer.headers["Cache-Control"]
        async with world.http.get(f"{world.url}/favicon.svg") as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
        for path in ("/assets/gone.js", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "/a%00.txt", "/.env"):
            async with world.http.get(aiohttp.client.URL(world.url + path, encoded=True)) as answer:
                await refused(answer, 404)
        for path in ("/twilio/nothing", "/media/nothing", "/healthz/deeper", "/ws", "/api"):
            async with world.http.get(world.url + path) as answer:
                assert answer.status in {401, 404}
                assert answer.content_type == PROBLEM
        async with world.http.post(f"{world.url}/calls") as answer:
            await refused(answer, 404)


async def test_without_a_built_front_end_the_page_says_how_to_build_it(services: Services, tmp_path: Path) -> None:
    async with world_on(services, web_root=tmp_path) as world, world.http.get(world.url) as answer:
        assert answer.status == 503
        assert "make setup" in await answer.text()


STALLED = {
    "silent": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: a\r\n",
    "half a body": b"POST /api/v1/logout HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nAuthorization: Bearer "
    + API_TOKEN.encode()
    + b"\r\n\r\nhalf",
}


@pytest.mark.parametrize("drip", [False, True], ids=["still", "dripping"])
@pytest.mark.parametrize("kind", STALLED)
async def test_a_peer_that_stalls_is_let_go(services: Services, kind: str, drip: bool) -> None:
    async with world_on(services, limits=Limits(first_request_s=0.5, body_s=0.5)) as world:
        host, port = world.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(STALLED[kind])
        async with asyncio.timeout(5):
            while True:
                if drip:
                    writer.write(b"x")
                try:
                    data = await asyncio.wait_for(reader.read(4096), 0.1)
                except TimeoutError:
                    continue
                except ConnectionError:
                    data = b""
                if not data:
                    break
                assert data.startswith((b"HTTP/1.1 408", b"HTTP/1.0 400"))
        writer.close()


async def test_a_peer_that_takes_nothing_is_let_go(services: Services) -> None:
    async with world_on(services, limits=Limits(unread_s=1.0)) as world:
        call = await world.call()
        track = await world.track(call)
        for seq in range(40):
            await world.say(call, track, seq, "x" * 500_000)
        host, port = world.url.removeprefix("http://").split(":")
        with sockets.create_connection((host, int(port))) as peer:
            peer.sendall(
                f"GET /api/v1/calls/{call.id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n".replace(
                    API_TOKEN, await world.token()
                ).encode()
            )
            await until(lambda: world.dashboard.limits._connections != {})
            await until(lambda: world.dashboard.limits._connections == {})


async def test_a_socket_that_is_quiet_is_not_taken_for_stalled(services: Services) -> None:
    limits = Limits(first_request_s=0.3, unread_s=0.3, answer_s=0.3)
    async with world_on(services, limits=limits) as world, aiohttp.ClientSession() as other:
        socket = await world.http.ws_connect(f"{world.url}/ws/events?call=*", headers=await world.headers())
        await socket.receive_json()
        async with other.get(f"{world.url}/healthz") as answer:
            assert answer.status == 200
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=1.5)
        async with other.get(f"{world.url}/healthz") as answer:  # the same connection, kept alive
            assert answer.status == 200
