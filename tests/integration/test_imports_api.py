"""The API of imports: who may, what is taken, where a file goes on, what the runner finds."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.embedded import Services
from infra.inbox import Inbox
from infra.store.imports import ImportStore, NewImport
from tests.integration.dashboard_world import World, world_on

PATH = "/api/v1/imports"
FILE: dict[str, Any] = {"name": "call.wav", "size_bytes": 6, "sha256": "a" * 64}


@pytest.fixture
async def world(services: Services, tmp_path: Path) -> AsyncIterator[World]:
    async with world_on(services, hearline_data_dir=tmp_path, hearline_import_mb=1) as running:
        running.tenant = await running.new_tenant()
        yield running


async def ask(
    world: World, method: str, path: str, status: int, *, role: Any = "supervisor", tenant: Any = None, **sent: Any
) -> Any:
    headers = await world.headers(role, tenant)
    if "data" in sent:
        headers["Content-Type"] = sent.pop("kind", "application/octet-stream")
    async with world.http.request(method, world.url + path, headers=headers, **sent) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def put(world: World, import_id: str, offset: Any, data: bytes | BytesIO, status: int, **more: Any) -> Any:
    return await ask(world, "PUT", f"{PATH}/{import_id}/content?offset={offset}", status, data=data, **more)


async def test_a_file_is_announced_sent_in_pieces_and_waits_for_its_turn(world: World, tmp_path: Path) -> None:
    begun = await ask(world, "POST", PATH, 201, json={**FILE, "title": " Ms Keller ", "left": "agent"})
    assert (begun["status"], begun["title"], begun["left"], begun["is_new"]) == (
        "uploading",
        "Ms Keller",
        "agent",
        True,
    )
    assert (await put(world, begun["id"], 0, b"abc", 200))["received_bytes"] == 3
    assert (await ask(world, "POST", PATH, 200, json=FILE))["received_bytes"] == 3
    whole = await put(world, begun["id"], 3, b"def", 200)
    assert whole["status"] == "waiting"
    inbox = Inbox(tmp_path)
    assert inbox.file(begun["id"]).read_bytes() == b"abcdef"
    assert [str(job.id) for job in await ImportStore(world.pool).waiting(inbox.place)] == [begun["id"]]
    assert await ImportStore(world.pool).waiting("another directory") == []
    listed = await ask(world, "GET", f"{PATH}?limit=5", 200)
    assert [one["id"] for one in listed["items"]] == [begun["id"]]
    assert listed["max_bytes"] == 1_000_000


async def test_bytes_go_where_they_belong_or_nowhere(world: World, tmp_path: Path) -> None:
    begun = await ask(world, "POST", PATH, 201, json=FILE)
    assert (await put(world, begun["id"], 3, b"def", 409))["received_bytes"] == 0
    await put(world, begun["id"], 0, b"abc", 200)
    assert (await put(world, begun["id"], 0, b"abc", 409))["received_bytes"] == 3
    for offset, data, parameter in (
        (3, b"defg", "offset"),
        (3, b"", "offset"),
        ("x", b"def", "offset"),
        (-1, b"d", "offset"),
    ):
        assert (await put(world, begun["id"], offset, data, 400))["parameter"] == parameter
    await put(world, begun["id"], 3, b"def", 415, kind="application/json")
    await put(world, begun["id"], 3, BytesIO(b"x" * (1024 * 1024 + 1)), 413)
    await put(world, begun["id"], 3, b"def", 200)
    await put(world, begun["id"], 6, b"g", 409)
    assert Inbox(tmp_path).file(begun["id"]).read_bytes() == b"abcdef"


async def test_only_those_who_lead_import_and_only_their_own(world: World) -> None:
    begun = await ask(world, "POST", PATH, 201, json=FILE)
    await ask(world, "POST", PATH, 403, json=FILE, role="agent")
    await ask(world, "GET", PATH, 403, role="agent")
    await put(world, begun["id"], 0, b"abc", 403, role="agent")
    stranger = await world.new_tenant()
    for method, path in (("GET", ""), ("POST", "/cancel")):
        await ask(world, method, f"{PATH}/{begun['id']}{path}", 404, tenant=stranger)
    await put(world, begun["id"], 0, b"abc", 404, tenant=stranger)
    assert (await ask(world, "GET", PATH, 200, tenant=stranger))["items"] == []
    own = await ask(world, "POST", PATH, 201, json=FILE, tenant=stranger)
    assert own["id"] != begun["id"]


@pytest.mark.parametrize(
    ("change", "status", "parameter"),
    [
        ({"size_bytes": 0}, 400, "size_bytes"),
        ({"size_bytes": 1_000_001}, 413, None),
        ({"sha256": "A" * 64}, 400, "sha256"),
        ({"name": "///"}, 400, "name"),
        ({"parties": "three"}, 400, "parties"),
        ({"title": "a\u0000b"}, 400, "title"),
        ({"started_at": "2300-01-01T00:00:00Z"}, 400, "started_at"),
        ({"path": "/etc/passwd"}, 400, "path"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    world: World, change: dict[str, Any], status: int, parameter: str | None
) -> None:
    refusal = await ask(world, "POST", PATH, status, json={**FILE, **change})
    assert refusal.get("parameter") == parameter


async def test_names_are_kept_for_people_only(world: World, tmp_path: Path) -> None:
    begun = await ask(world, "POST", PATH, 201, json={**FILE, "name": "../../C:\\calls\\Ms\u202e Keller.wav"})
    assert begun["name"] == "Ms Keller.wav"
    await put(world, begun["id"], 0, b"abc", 200)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imports"]


async def test_cancelling_and_what_comes_after_it(world: World) -> None:
    begun = await ask(world, "POST", PATH, 201, json=FILE)
    cancelled = await ask(world, "POST", f"{PATH}/{begun['id']}/cancel", 200)
    assert cancelled["status"] == "cancelled"
    await ask(world, "POST", f"{PATH}/{begun['id']}/cancel", 200)
    await put(world, begun["id"], 0, b"abc", 409)
    assert (await ask(world, "POST", PATH, 201, json=FILE))["id"] != begun["id"], "it may be brought in after all"


async def test_the_same_file_is_one_import_however_many_ask_at_once(world: World) -> None:
    store, new = ImportStore(world.pool), NewImport("call.wav", 6, "c" * 64)
    first, is_new = await store.add(world.tenant, None, "here", new, again=True)
    again, is_new_again = await store.add(world.tenant, uuid4(), "here", new, again=True)
    assert (first["id"] == again["id"], is_new, is_new_again) == (True, True, False)
    await world.pool.execute("UPDATE imports SET status = 'done' WHERE id = $1", first["id"])
    found, is_new = await store.add(world.tenant, None, "here", new, again=False)
    assert (found["id"], is_new) == (first["id"], False)
    more, is_new = await store.add(world.tenant, None, "here", new, again=True)
    assert (more["number"], is_new) == (2, True)


async def test_uploads_that_nobody_goes_on_with_are_given_up(world: World) -> None:
    store = ImportStore(world.pool)
    begun = await ask(world, "POST", PATH, 201, json=FILE)
    await store.give_up_uploads(72)
    assert (await ask(world, "GET", f"{PATH}/{begun['id']}", 200))["status"] == "uploading"
    await world.pool.execute(
        "UPDATE imports SET updated_at = now() - interval '73 hours' WHERE id::text = $1", begun["id"]
    )
    await store.give_up_uploads(72)
    failed = await ask(world, "GET", f"{PATH}/{begun['id']}", 200)
    assert (failed["status"], failed["problem"]) == ("failed", "the upload was never completed")
