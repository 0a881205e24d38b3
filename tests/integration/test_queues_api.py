"""The API of queues and callbacks, and the tokens for Twilio's Voice SDK."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from infra.embedded import Services
from infra.store.callbacks import Callback, CallbackStore
from infra.store.queues import QueueStore, default_queue
from tests.integration.dashboard_world import API_TOKEN, BEGAN, World, world_on

KEY_SECRET = "a secret of thirty-two characters"
TWILIO = {"twilio_account_sid": "AC1", "twilio_api_key_sid": "SK1", "twilio_api_key_secret": KEY_SECRET}


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


async def ask(
    world: World, method: str, path: str, status: int, body: object = None, headers: dict[str, str] | None = None
) -> Any:
    """Ask as an admin unless told otherwise; return the answer's JSON, which has to have this status."""
    headers = headers or await world.headers()
    async with world.http.request(method, world.url + path, headers=headers, json=body) as answer:
        assert answer.status == status, await answer.text()
        if status == 204:
            return None
        if status >= 400:
            assert answer.content_type == "application/problem+json"
        return await answer.json(content_type=None)


async def audited(world: World, act: str) -> list[dict[str, Any]]:
    rows = await world.pool.fetch(
        "SELECT object_id, detail FROM audit_log WHERE tenant_id = $1 AND act = $2 ORDER BY id", world.tenant, act
    )
    return [dict(row) for row in rows]


async def test_there_is_always_the_default_queue(world: World) -> None:
    (queue,) = (await world.get("/api/v1/queues", await world.headers("agent")))["items"]
    assert queue == {
        "id": str(default_queue(world.tenant).id),
        "name": "Default",
        "is_default": True,
        "numbers": [],
        "mode": None,
        "dial": None,
        "greeting": None,
        "music": True,
        "consent": False,
        "recorded": True,
        "ring_s": 20,
        "max_wait_s": 300,
        "max_waiting": 50,
        "on_timeout": "voicemail",
        "overflow_to": None,
        "overflow_after_s": 60,
        "agents": [],
    }
    path = f"/api/v1/queues/{queue['id']}"
    told = {**queue, "ring_s": 9}
    del told["id"], told["is_default"]
    assert await ask(world, "PUT", path, 200, told) == {**queue, "ring_s": 9}
    assert (await world.get("/api/v1/queues"))["items"] == [{**queue, "ring_s": 9}]
    await ask(world, "DELETE", path, 409)


async def test_a_queue_is_made_changed_and_removed(world: World) -> None:
    agent = await world.user("agent")
    other = await ask(world, "POST", "/api/v1/queues", 201, {"name": "Overflow"})
    whole = {
        "name": " Sales  desk ",
        "numbers": ["+1 (555) 019-9", "+15550188", "+1555-0199"],
        "mode": "listen",
        "dial": "+1 555 0111, client:ann ,sip:desk@pbx.example;transport=tls",
        "greeting": "  Welcome to <Sales> & friends.\nPlease hold. ",
        "music": False,
        "consent": True,
        "recorded": False,
        "ring_s": 5,
        "max_wait_s": 0,
        "max_waiting": 0,
        "on_timeout": "callback",
        "overflow_to": other["id"],
        "overflow_after_s": 3600,
        "agents": [str(agent.id), str(agent.id)],
    }
    async with world.http.post(f"{world.url}/api/v1/queues", json=whole, headers=await world.headers()) as answer:
        assert answer.status == 201
        made = await answer.json()
        assert answer.headers["Location"] == f"/api/v1/queues/{made['id']}"
    assert made == {
        **whole,
        "id": made["id"],
        "is_default": False,
        "name": "Sales desk",
        "numbers": ["+15550188", "+15550199"],
        "dial": "+15550111,client:ann,sip:desk@pbx.example;transport=tls",
        "greeting": "Welcome to <Sales> & friends.\nPlease hold.",
        "agents": [str(agent.id)],
    }
    names = [queue["name"] for queue in (await world.get("/api/v1/queues"))["items"]]
    assert names == ["Default", "Overflow", "Sales desk"]

    path = f"/api/v1/queues/{made['id']}"
    changed = await ask(world, "PUT", path, 200, {"name": "Sales desk", "greeting": " ", "numbers": ["+15550199"]})
    assert (changed["greeting"], changed["numbers"], changed["ring_s"]) == ("", ["+15550199"], 20)
    assert changed["mode"] is None
    await ask(world, "DELETE", path, 204)
    await ask(world, "DELETE", path, 404)
    await ask(world, "PUT", path, 404, {"name": "Sales desk"})

    assert [row["detail"]["name"] for row in await audited(world, "queue.create")] == ["Overflow", "Sales desk"]
    (row,) = await audited(world, "queue.change")
    assert row["object_id"] == made["id"]
    assert set(row["detail"]["changed"]) >= {"greeting", "numbers", "ring_s"}
    assert "name" not in row["detail"]["changed"]
    assert [row["object_id"] for row in await audited(world, "queue.delete")] == [made["id"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "a\u0007b"),
        ("name", "x" * 81),
        ("name", None),
        ("numbers", "+15550199"),
        ("numbers", ["5550199x"]),
        ("numbers", ["+0155501"]),
        ("numbers", ["client:ann"]),
        ("numbers", [7]),
        ("numbers", ["+15550199"] * 201),
        ("mode", "both"),
        ("dial", "ann"),
        ("dial", "client:"),
        ("dial", "client:an n"),
        ("dial", 'client:"><Hangup/>'),
        ("dial", "sip:desk\n@pbx"),
        ("dial", ",".join(["client:a"] * 11)),
        ("greeting", "x" * 1001),
        ("greeting", "bell \u0007"),
        ("music", "yes"),
        ("ring_s", 4),
        ("ring_s", 301),
        ("ring_s", 20.5),
        ("max_wait_s", -1),
        ("max_waiting", 1001),
        ("on_timeout", "fax"),
        ("overflow_to", "somewhere"),
        ("overflow_to", str(UUID(int=1))),
        ("overflow_after_s", 4000),
        ("agents", [str(UUID(int=1))]),
        ("agents", ["ann"]),
        ("is_default", True),
        ("colour", "red"),
    ],
)
async def test_a_refusal_names_the_field(world: World, field: str, value: object) -> None:
    body = {"name": "Sales", field: value}
    refused = await ask(world, "POST", "/api/v1/queues", 400, body)
    assert refused["parameter"] == field
    assert refused["detail"].startswith(f"{field}: ")
    assert (await ask(world, "POST", "/api/v1/queues", 400, {"numbers": []}))["parameter"] == "name"
    assert (await ask(world, "POST", "/api/v1/queues", 400, []))["parameter"] == "body"
    assert len((await world.get("/api/v1/queues"))["items"]) == 1


async def test_a_number_and_a_name_are_taken_once(world: World) -> None:
    await ask(world, "POST", "/api/v1/queues", 201, {"name": "Sales", "numbers": ["+15550199"]})
    other = await ask(world, "POST", "/api/v1/queues", 201, {"name": "Service", "numbers": ["+15550188"]})
    path = f"/api/v1/queues/{other['id']}"
    for method, address in (("POST", "/api/v1/queues"), ("PUT", path)):
        body = {"name": "Third", "numbers": ["+1 555 01-99", "+15550188"]}
        refused = await ask(world, method, address, 409, body)
        assert refused["parameter"] == "numbers"
        assert "+15550199" in refused["detail"]
        assert (await ask(world, method, address, 409, {"name": " Sales"}))["parameter"] == "name"
    assert (await ask(world, "PUT", path, 400, {"name": "Service", "overflow_to": other["id"]}))[
        "parameter"
    ] == "overflow_to"
    assert (await world.get("/api/v1/queues"))["items"][2] == other


async def test_tenants_do_not_touch_each_others_queues(world: World) -> None:
    ours = await ask(world, "POST", "/api/v1/queues", 201, {"name": "Sales", "numbers": ["+15550199"]})
    stranger = await world.headers(tenant_id=await world.new_tenant())
    path = f"/api/v1/queues/{ours['id']}"
    await ask(world, "PUT", path, 404, {"name": "Stolen"}, stranger)
    await ask(world, "DELETE", path, 404, headers=stranger)
    refused = await ask(world, "POST", "/api/v1/queues", 400, {"name": "x", "overflow_to": ours["id"]}, stranger)
    assert refused["parameter"] == "overflow_to"
    theirs = {"name": "Sales", "numbers": ["+15550199"]}
    await ask(world, "POST", "/api/v1/queues", 201, theirs, stranger)
    assert (await world.get("/api/v1/queues"))["items"][1] == ours


async def wish(world: World, **facts: Any) -> Callback:
    """Store a callback."""
    stored = replace(Callback(uuid4(), "callback", BEGAN, "+15550100", tenant_id=world.tenant), **facts)
    assert await CallbackStore(world.pool).add(stored)
    return stored


async def test_callbacks_are_listed_and_settled(world: World) -> None:
    queue = default_queue(world.tenant)
    await QueueStore(world.pool).put(queue)
    wishes = [await wish(world, requested_at=BEGAN + timedelta(minutes=n), queue_id=queue.id) for n in range(3)]
    message = await wish(world, kind="voicemail", number=None, requested_at=BEGAN + timedelta(hours=1))
    agent = await world.headers("agent")
    me = await world.get("/api/v1/me", agent)

    page = await world.get("/api/v1/callbacks?limit=3", agent)
    assert [item["id"] for item in page["items"]] == [str(w.id) for w in (message, wishes[2], wishes[1])]
    rest = await world.get(f"/api/v1/callbacks?limit=3&after={page['next']}", agent)
    assert ([item["id"] for item in rest["items"]], rest["next"]) == ([str(wishes[0].id)], None)
    assert rest["items"][0] == {
        "id": str(wishes[0].id),
        "call_id": str(wishes[0].call_id),
        "queue_id": str(queue.id),
        "queue": "Default",
        "number": "+15550100",
        "kind": "callback",
        "status": "open",
        "requested_at": "2026-03-02T09:00:00Z",
        "done_by": None,
        "done_by_name": None,
        "done_at": None,
    }

    path = f"/api/v1/callbacks/{message.id}"
    done = await ask(world, "PATCH", path, 200, {"status": "done"}, agent)
    assert (done["status"], done["done_by"], done["done_by_name"]) == ("done", me["id"], me["name"])
    assert done["done_at"] is not None
    assert [item["id"] for item in (await world.get("/api/v1/callbacks?status=done"))["items"]] == [str(message.id)]
    assert len((await world.get("/api/v1/callbacks?status=open"))["items"]) == 3
    again = await ask(world, "PATCH", path, 200, {"status": "open"}, agent)
    assert (again["done_by"], again["done_by_name"], again["done_at"]) == (None, None, None)
    assert [row["detail"]["status"] for row in await audited(world, "callback.status")] == ["done", "open"]


async def test_what_is_asked_wrongly_of_callbacks(world: World) -> None:
    stored = await wish(world)
    path = f"/api/v1/callbacks/{stored.id}"
    assert (await ask(world, "PATCH", path, 400, {"status": "later"}))["parameter"] == "status"
    assert (await ask(world, "PATCH", path, 400, {}))["parameter"] == "status"
    assert (await ask(world, "PATCH", "/api/v1/callbacks/1", 400, {"status": "done"}))["parameter"] == "callback_id"
    await ask(world, "PATCH", f"/api/v1/callbacks/{uuid4()}", 404, {"status": "done"})
    stranger = await world.headers(tenant_id=await world.new_tenant())
    await ask(world, "PATCH", path, 404, {"status": "done"}, stranger)
    assert (await world.get("/api/v1/callbacks", stranger))["items"] == []
    for query, parameter in (("status=later", "status"), ("after=x", "after"), ("limit=0", "limit")):
        assert (await ask(world, "GET", f"/api/v1/callbacks?{query}", 400))["parameter"] == parameter


async def test_a_token_for_the_voice_sdk(services: Services) -> None:
    async with world_on(services, **TWILIO, twilio_app_sid="AP1") as world:
        user = await world.user("agent")
        headers = {"Authorization": f"Bearer {await world.users.issue(user, 'token')}"}
        told = await ask(world, "POST", "/api/v1/twilio/token", 200, headers=headers)
        assert told["identity"] == user.id.hex
        claims = jwt.decode(told["token"], KEY_SECRET, algorithms=["HS256"])
        assert (claims["iss"], claims["sub"]) == ("SK1", "AC1")
        assert claims["grants"] == {
            "identity": user.id.hex,
            "voice": {"incoming": {"allow": True}, "outgoing": {"application_sid": "AP1"}},
        }
        assert 3590 <= claims["exp"] - claims["nbf"] <= 3600
        assert jwt.get_unverified_header(told["token"])["cty"] == "twilio-fpa;v=1"
        assert [row["object_id"] for row in await audited(world, "twilio.token")] == [str(user.id)]
        await ask(world, "POST", "/api/v1/twilio/token", 409, headers={"Authorization": f"Bearer {API_TOKEN}"})
    async with world_on(services, **TWILIO) as world:
        claims = jwt.decode(
            (await ask(world, "POST", "/api/v1/twilio/token", 200))["token"], KEY_SECRET, algorithms=["HS256"]
        )
        assert claims["grants"]["voice"] == {"incoming": {"allow": True}}


@pytest.mark.parametrize("missing", TWILIO)
async def test_without_a_key_it_says_what_is_missing(services: Services, missing: str) -> None:
    async with world_on(services, **{name: value for name, value in TWILIO.items() if name != missing}) as world:
        refused = await ask(world, "POST", "/api/v1/twilio/token", 503)
        assert missing.upper() in refused["detail"]
        assert not any(name.upper() in refused["detail"] for name in TWILIO if name != missing)
