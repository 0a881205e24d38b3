"""The API of the vocabulary, and what the store makes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from infra.embedded import Services
from infra.store.queues import default_queue
from infra.store.vocabulary import MOST_CHARS, MOST_PHRASES, VocabularyFull, VocabularyStore, normal_phrase
from tests.integration.dashboard_world import World, world_on
from workers.asr.vocabulary import in_display_form

PATH = "/api/v1/vocabulary"


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


async def ask(world: World, method: str, path: str, status: int, body: object = None, role: str = "supervisor") -> Any:
    headers = await world.headers(role)
    async with world.http.request(method, world.url + path, headers=headers, json=body) as answer:
        assert answer.status == status, await answer.text()
        if status == 204:
            return None
        assert answer.content_type == ("application/json" if status < 400 else "application/problem+json")
        return await answer.json(content_type=None)


async def listed(world: World, query: str = "") -> list[tuple[str, str | None]]:
    items = (await ask(world, "GET", PATH + query, 200, role="agent"))["items"]
    return [(item["phrase"], item["queue_id"]) for item in items]


async def test_phrases_are_added_listed_and_removed(world: World) -> None:
    queue = await ask(world, "POST", "/api/v1/queues", 201, {"name": "Sales"}, role="admin")
    assert await listed(world) == []
    added = await ask(world, "POST", PATH, 201, {"phrases": ["  Zyrvana ", "HealthHarbor", "Silverton \t Prime"]})
    assert [item["phrase"] for item in added["items"]] == ["HealthHarbor", "Silverton Prime", "Zyrvana"]
    await ask(world, "POST", PATH, 201, {"phrases": ["zyrvana"], "queue_id": queue["id"]}, role="admin")
    everywhere = [("HealthHarbor", None), ("Silverton Prime", None)]
    assert await listed(world) == [*everywhere, ("Zyrvana", None), ("zyrvana", queue["id"])]
    assert await listed(world, f"?queue_id={queue['id']}") == [("zyrvana", queue["id"])]
    assert await listed(world, f"?queue_id={uuid4()}") == []

    gone = added["items"][2]["id"]
    await ask(world, "DELETE", f"{PATH}/{gone}", 204)
    await ask(world, "DELETE", f"{PATH}/{gone}", 404)
    assert await listed(world) == [*everywhere, ("zyrvana", queue["id"])]
    await ask(world, "DELETE", f"/api/v1/queues/{queue['id']}", 204, role="admin")
    assert await listed(world) == everywhere

    rows = await world.pool.fetch(
        "SELECT act, detail FROM audit_log WHERE tenant_id = $1 AND act LIKE 'vocabulary.%' ORDER BY id", world.tenant
    )
    assert [(row["act"], row["detail"]) for row in rows] == [
        ("vocabulary.add", {"phrases": ["HealthHarbor", "Silverton Prime", "Zyrvana"], "count": 3}),
        ("vocabulary.add", {"phrases": ["zyrvana"], "count": 1}),
        ("vocabulary.delete", {"phrase": "Zyrvana"}),
    ]


async def test_a_phrase_is_there_once_in_whatever_case_and_is_written_as_it_was_told_last(world: World) -> None:
    (first,) = (await ask(world, "POST", PATH, 201, {"phrases": ["healthharbor", "HEALTHHARBOR"]}))["items"]
    (again,) = (await ask(world, "POST", PATH, 201, {"phrases": ["HealthHarbor"]}))["items"]
    assert again == {**first, "phrase": "HealthHarbor"}
    assert await listed(world) == [("HealthHarbor", None)]


async def test_the_default_queue_may_have_its_own_phrases(world: World) -> None:
    queue_id = str(default_queue(world.tenant).id)
    await ask(world, "POST", PATH, 201, {"phrases": ["Zyrvana"], "queue_id": queue_id})
    assert await listed(world, f"?queue_id={queue_id}") == [("Zyrvana", queue_id)]


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"phrases": []}, "phrases"),
        ({"phrases": ["  "]}, "phrases"),
        ({"phrases": ["..."]}, "phrases"),
        ({"phrases": ["Zyr\x00vana"]}, "phrases"),
        ({"phrases": ["x" * (MOST_CHARS + 1)]}, "phrases"),
        ({"phrases": ["Zyrvana"] * (MOST_PHRASES + 1)}, "phrases"),
        ({"phrases": [7]}, "phrases"),
        ({"phrases": ["Zyrvana"], "queue_id": str(uuid4())}, "queue_id"),
        ({"phrases": ["Zyrvana"], "queue": "Sales"}, "queue"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(world: World, body: object, parameter: str) -> None:
    assert (await ask(world, "POST", PATH, 400, body))["parameter"] == parameter
    assert await listed(world) == []


async def test_odd_addresses_are_refused(world: World) -> None:
    assert (await ask(world, "GET", f"{PATH}?queue_id=sales", 400))["parameter"] == "queue_id"
    await ask(world, "DELETE", f"{PATH}/zyrvana", 400)


async def test_a_tenant_has_so_many_phrases_and_no_more(world: World) -> None:
    most = [f"phrase {number}" for number in range(MOST_PHRASES)]
    await ask(world, "POST", PATH, 201, {"phrases": most})
    refusal = await ask(world, "POST", PATH, 409, {"phrases": ["one more"]})
    assert (refusal["parameter"], str(MOST_PHRASES) in refusal["detail"]) == ("phrases", True)
    await ask(world, "POST", PATH, 201, {"phrases": ["Phrase 7"]})
    assert len(await listed(world)) == MOST_PHRASES


async def test_two_who_fill_the_last_places_at_once_do_not_both_get_in(world: World) -> None:
    store = VocabularyStore(world.pool)
    await store.add(world.tenant, [f"phrase {number}" for number in range(MOST_PHRASES - 1)], None)
    results = await asyncio.gather(
        *(store.add(world.tenant, [name], None) for name in ("Zyrvana", "Lumenthal")), return_exceptions=True
    )
    assert sum(isinstance(result, VocabularyFull) for result in results) == 1
    assert len(await store.all(world.tenant)) == MOST_PHRASES


async def test_agents_read_supervisors_write(world: World) -> None:
    (item,) = (await ask(world, "POST", PATH, 201, {"phrases": ["Zyrvana"]}))["items"]
    await ask(world, "POST", PATH, 403, {"phrases": ["Lumenthal"]}, role="agent")
    await ask(world, "DELETE", f"{PATH}/{item['id']}", 403, role="agent")
    assert await listed(world) == [("Zyrvana", None)]


async def test_other_tenants_have_their_own(world: World) -> None:
    store, other = VocabularyStore(world.pool), await world.new_tenant()
    (theirs,) = await store.add(other, ["Zyrvana"], None)
    assert await listed(world) == []
    await ask(world, "DELETE", f"{PATH}/{theirs['id']}", 404)
    assert [row["phrase"] for row in await store.all(other)] == ["Zyrvana"]


async def test_a_letter_and_its_mark_typed_apart_are_the_letter_that_recognisers_write(world: World) -> None:
    apart, together = "Cafe\u0301 Zoe\u0308", "Caf\u00e9 Zo\u00eb"
    await ask(world, "POST", PATH, 201, {"phrases": [apart]})
    await ask(world, "POST", PATH, 201, {"phrases": [together, apart]})
    assert await listed(world) == [(together, None)]
    assert in_display_form("caf\u00e9 zo\u00eb", (), (normal_phrase(apart),))[0] == together
