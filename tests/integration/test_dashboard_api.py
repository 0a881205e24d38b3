"""The API: the shapes it promises, the lists it pages, and what it refuses."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from dashboard import views
from dashboard.operations import OPERATIONS
from infra.bus import keys
from infra.embedded import EmbeddedRedis, Services
from infra.inbox import Inbox
from infra.model import Call, Insight, Track, Word
from infra.store.callbacks import Callback, CallbackStore
from infra.store.imports import ImportStore, NewImport
from infra.store.queues import Queue, QueueStore
from infra.store.speakers import SpeakerStore
from infra.store.users import User
from infra.store.vocabulary import VocabularyStore
from tests.integration.dashboard_world import BEGAN, World, world_on

PROBLEM = "application/problem+json"
NASTY = "<img src=x onerror=alert(1)> \" ' & \\ \u202e 100% _ =cmd()"


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


async def problem(world: World, path: str, status: int, **request: Any) -> dict[str, Any]:
    """Ask for something that has to be refused; return the problem."""
    method = request.pop("method", "GET")
    headers = {**await world.headers(), **request.pop("headers", {})}
    if "data" in request:
        request["data"] = io.BytesIO(request["data"])
    async with world.http.request(method, world.url + path, headers=headers, **request) as answer:
        assert answer.status == status, await answer.text()
        assert answer.content_type == PROBLEM
        body: dict[str, Any] = await answer.json(content_type=PROBLEM)
        assert body["status"] == status
        return body


async def full_call(world: World) -> tuple[Call, Track, list[Insight]]:
    """Store a call with some of everything."""
    call = await world.call(
        external_id="CAfull", title=NASTY, from_number="+15550100", to_number="+15550199", door="twilio"
    )
    track = await world.track(call)
    await world.track(call, "agent", "SPEAKER_01")
    words = (Word("good", 0, 300, 0.98765), Word("morning", 300, 900, 0.5))
    await world.say(call, track, 0, "good morning", words=words, latency_ms=420)
    await world.say(call, track, 1, NASTY)
    await world.gap(call, track, 5000, 5600)
    insights = [
        await world.find(call, "summary", {"text": "They greet each other."}),
        await world.find(call, "intent", {"label": "billing", "confidence": 0.8}),
        await world.find(
            call, "sentiment", {"label": "negative", "score": -0.5, "per_role": {"customer": {"score": -0.7}}}
        ),
        await world.find(
            call, "complaint", {"is_complaint": True, "category": "delay", "severity": "high", "reason": "late"}
        ),
        await world.find(call, "action_item", {"text": "send form", "status": "open"}, key="1"),
        await world.find(call, "action_item", {"text": "call back", "status": "open"}, key="2"),
        await world.find(call, "key_topic", {"topics": ["delivery"]}),
    ]
    return call, track, insights


async def test_a_call_in_the_list(world: World) -> None:
    call, *_ = await full_call(world)
    page = await world.get("/api/v1/calls")
    assert page.keys() == {"items", "next", "cursor"}
    assert page["next"] is None
    assert page["cursor"] == "0-0"
    (item,) = page["items"]
    msgspec.convert(item, views.CallSummary)
    assert item == {
        "id": str(call.id),
        "external_id": "CAfull",
        "door": "twilio",
        "title": NASTY,
        "status": "live",
        "end_reason": None,
        "from_number": "+15550100",
        "to_number": "+15550199",
        "started_at": "2026-03-02T09:00:00Z",
        "ended_at": None,
        "duration_ms": None,
        "settled_at": None,
        "stage": None,
        "queue": None,
        "agent": None,
        "summary": "They greet each other.",
        "intent": {"label": "billing", "confidence": 0.8},
        "sentiment": {"label": "negative", "score": -0.5, "per_role": {"customer": {"score": -0.7}}},
        "complaint": {"is_complaint": True, "category": "delay", "severity": "high", "reason": "late"},
        "segment_count": 2,
        "open_action_items": 2,
        "last_line": {
            "segment_id": item["last_line"]["segment_id"],
            "role": "customer",
            "text": NASTY,
            "start_ms": item["last_line"]["start_ms"],
            "is_final": True,
        },
    }
    (board,) = (await world.get("/api/v1/live"))["items"]
    assert board["last_line"] == item["last_line"]


async def test_a_bare_call_has_nulls(world: World) -> None:
    await world.call()
    (item,) = (await world.get("/api/v1/calls"))["items"]
    for name in ("title", "summary", "intent", "sentiment", "complaint", "from_number", "ended_at", "last_line"):
        assert item[name] is None
    assert item["segment_count"] == item["open_action_items"] == 0


async def test_odd_insight_bodies_break_no_list(world: World) -> None:
    call = await world.call()
    for kind in ("summary", "intent", "sentiment", "complaint", "action_item"):
        await world.find(call, kind, {"text": ["not", "text"], "label": 7, "score": "high", "status": None})
    page = await world.get("/api/v1/calls")
    (item,) = msgspec.convert(page, views.CallPage).items
    assert item.open_action_items == 0
    assert item.intent == views.Intent(None, None)
    assert item.sentiment == views.Sentiment(None, None, None)
    await world.get("/api/v1/analytics")
    async with world.http.get(
        f"{world.url}/api/v1/calls/{call.id}/export?format=txt", headers=await world.headers()
    ) as answer:
        assert answer.status == 200


async def test_the_snapshot(world: World) -> None:
    call, track, insights = await full_call(world)
    cursor = await world.tell_insight(call, insights[0])
    snapshot = await world.get(f"/api/v1/calls/{call.id}")
    parts = {"call", "legs", "tracks", "segments", "speakers", "gaps", "insights", "recording", "cursor"}
    assert snapshot.keys() == parts
    msgspec.convert(snapshot, views.Snapshot)
    assert snapshot["cursor"] == cursor
    assert snapshot["call"]["id"] == str(call.id)
    assert [leg["role"] for leg in snapshot["legs"]] == ["customer", "agent"]
    assert {"id", "role", "name", "joined_at", "left_at"} <= snapshot["legs"][0].keys()
    assert [known["speaker"] for known in snapshot["tracks"]] == ["SPEAKER_00", "SPEAKER_01"]
    assert snapshot["tracks"][0] == {
        "id": str(track.id),
        "leg_id": str(track.leg_id),
        "role": "customer",
        "label": "inbound",
        "speaker": "SPEAKER_00",
        "mixed": False,
        "language": None,
        "speakers_revision": 0,
        "closed": False,
        "close_reason": None,
        "side": "left",
    }
    first, second = snapshot["segments"]
    assert first["text"] == "good morning"
    assert first["words"] == [
        {"w": "good", "start_ms": 0, "end_ms": 300, "p": 0.988},
        {"w": "morning", "start_ms": 300, "end_ms": 900, "p": 0.5},
    ]
    assert first["is_final"]
    assert second["text"] == NASTY
    assert snapshot["gaps"] == [{"track_id": str(track.id), "start_ms": 5000, "end_ms": 5600, "cause": "packet loss"}]
    assert {insight["kind"]: insight["revision"] for insight in snapshot["insights"]} == dict.fromkeys(
        ("summary", "intent", "sentiment", "complaint", "action_item", "key_topic"), 1
    )
    assert await world.get("/api/v1/calls/CAfull") == snapshot


async def test_the_parts_of_a_call(world: World) -> None:
    call, _, insights = await full_call(world)
    transcript = await world.get(f"/api/v1/calls/{call.id}/transcript")
    assert [segment["text"] for segment in transcript["items"]] == ["good morning", NASTY]
    assert transcript["next"] is None
    found = await world.get("/api/v1/calls/CAfull/insights")
    assert {insight["insight_id"] for insight in found["items"]} == {str(insight.id) for insight in insights}


async def test_the_cursor_is_never_ahead_of_what_is_shown(world: World) -> None:
    call = await world.call()
    track = await world.track(call)
    headers = await world.headers()
    stop = asyncio.Event()

    async def speak() -> None:
        seq = 0
        while not stop.is_set():
            await world.tell_segment(call, await world.say(call, track, seq, f"line {seq}"))
            seq += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        for _ in range(25):
            snapshot = await world.get(f"/api/v1/calls/{call.id}", headers)
            page = await world.streams.page(keys.events(call.id), after="0-0", count=5000)
            told = [event for event in page.events if _order(event.id) <= _order(snapshot["cursor"])]
            shown = {segment["segment_id"] for segment in snapshot["segments"]}
            assert {event.data["segment_id"] for event in told} <= shown
        stop.set()


def _order(cursor: str) -> tuple[int, ...]:
    return tuple(int(part) for part in cursor.split("-"))


async def test_pages_hold_every_call_once(world: World) -> None:
    calls = [await world.call(started_at=BEGAN + timedelta(minutes=number // 3)) for number in range(23)]
    for call in calls[::2]:
        await world.calls.end(call.id, "completed", BEGAN + timedelta(hours=1), 1000)
    for limit in (1, 5, 22, 23, 24):
        seen: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await world.get(f"/api/v1/calls?limit={limit}&after={after}")
            assert len(page["items"]) <= limit
            seen += page["items"]
            after = page["next"]
            if after is None:
                break
        assert [item["id"] for item in seen] == list(dict.fromkeys(item["id"] for item in seen))
        assert {item["id"] for item in seen} == {str(call.id) for call in calls}
        assert [item["status"] for item in seen] == ["live"] * 11 + ["ended"] * 12
        for status in ("live", "ended"):
            moments = [item["started_at"] for item in seen if item["status"] == status]
            assert moments == sorted(moments, reverse=True)


async def test_a_page_of_a_transcript_goes_on_where_the_last_ended(world: World) -> None:
    call = await world.call()
    one, two = await world.track(call), await world.track(call, "agent", "SPEAKER_01")
    for seq in range(7):
        for track in (one, two):
            await world.say(call, track, seq, f"{track.id} {seq}")
    seen = []
    after = ""
    while after is not None:
        page = await world.get(f"/api/v1/calls/{call.id}/transcript?limit=3&after={after}")
        seen += page["items"]
        after = page["next"]
    assert len({segment["segment_id"] for segment in seen}) == len(seen) == 14
    assert [segment["start_ms"] for segment in seen] == sorted(segment["start_ms"] for segment in seen)


@pytest.mark.parametrize("limit", ["200", "201", "1000000", "999999999999999999"])
async def test_a_huge_limit_gives_as_much_as_there_may_be(world: World, limit: str) -> None:
    await world.call()
    assert len((await world.get(f"/api/v1/calls?limit={limit}"))["items"]) == 1


async def test_filters(world: World) -> None:
    early = await world.call(external_id="CAearly", from_number="+15550111")
    late = await world.call(external_id="CAlate", started_at=BEGAN + timedelta(days=1), title="50% off_er \\o/")
    track = await world.track(late)
    await world.say(late, track, 0, "Where is my REFUND?")
    await world.calls.end(early.id, "completed", BEGAN + timedelta(minutes=5), 300_000)

    async def ids(query: str) -> set[UUID]:
        return {UUID(item["id"]) for item in (await world.get(f"/api/v1/calls?{query}"))["items"]}

    assert await ids("status=live") == {late.id}
    assert await ids("status=ended") == {early.id}
    assert await ids("external_id=CAearly") == {early.id}
    assert await ids("external_id=CAear") == set()
    assert await ids("q=refund") == {late.id}
    assert await ids("q=0111") == {early.id}
    assert await ids("from=2026-03-03T00:00:00Z") == {late.id}
    assert await ids("to=2026-03-03T00:00:00%2B00:00") == {early.id}
    assert await ids("to=2026-03-03T00:00:00+00:00") == {early.id}  # unescaped
    assert await ids("from=2026-03-02&to=2026-03-03") == {early.id}
    assert await ids("from=2026-03-02T10:00:00%2B01:00&to=2026-03-02T09:00:01Z") == {early.id}
    # What means something to SQL means nothing here.
    for literal in ("50%25", "off_er", "%5Co"):
        assert await ids(f"q={literal}") == {late.id}
    for pattern in ("%25", "_"):
        assert await ids(f"q={pattern}") == {late.id}
    assert await ids("q=5_%25off") == set()
    assert await ids("q='%3B DROP TABLE calls%3B--") == set()
    assert await ids("status=live&q=refund&from=2026-03-03") == {late.id}
    assert await ids("status=&q=&from=&to=&after=&unknown=1") == {early.id, late.id}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("status=dead", "status"),
        ("from=yesterday", "from"),
        ("from=2026-13-01", "from"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("to=9999-12-31T23:59:59-14:00", "to"),
        ("from=2026-03-03&to=2026-03-02", "to"),
        ("after=nonsense", "after"),
        ("after=WzEsMl0=", "after"),
        ("after=bnVsbA==", "after"),
        ("after=" + "A" * 4000, "after"),
        ("after=WyJ4Il0", "after"),
        ("q=" + "x" * 201, "q"),
        ("q=a%00b", "q"),
        ("q=a%0D%0Ab", "q"),
        ("external_id=a%00b", "external_id"),
    ],
)
async def test_a_bad_parameter_is_named(world: World, query: str, parameter: str) -> None:
    body = await problem(world, f"/api/v1/calls?{query}", 400)
    assert body["parameter"] == parameter
    assert body["detail"].startswith(parameter)


async def test_places_of_other_lists_do_not_fit(world: World) -> None:
    call = await world.call()
    track = await world.track(call)
    for seq in range(3):
        await world.say(call, track, seq, "x")
    await world.call()
    of_calls = (await world.get("/api/v1/calls?limit=1"))["next"]
    of_transcript = (await world.get(f"/api/v1/calls/{call.id}/transcript?limit=1"))["next"]
    assert (await problem(world, f"/api/v1/calls?after={of_transcript}", 400))["parameter"] == "after"
    assert (await problem(world, f"/api/v1/calls/{call.id}/transcript?after={of_calls}", 400))["parameter"] == "after"


async def test_what_is_not_there(world: World) -> None:
    for path in (f"/api/v1/calls/{uuid4()}", "/api/v1/calls/CAnobody", "/api/v1/calls/%2e%2e", "/api/v1/nothing"):
        await problem(world, path, 404)
    for path in ("/transcript", "/insights", "/export"):
        await problem(world, f"/api/v1/calls/CAnobody{path}", 404)
    assert (await problem(world, "/api/v1/calls/a%00b", 400))["parameter"] == "call_id"
    assert (await problem(world, "/api/v1/calls/" + "x" * 300, 400))["parameter"] == "call_id"
    refused = await problem(world, "/api/v1/calls", 405, method="DELETE")
    assert "GET" in refused["detail"]


async def test_other_tenants_see_none_of_it(world: World) -> None:
    call, _, insights = await full_call(world)
    tenant = await world.new_tenant()
    stranger = await world.headers("admin", tenant)
    item = next(insight for insight in insights if insight.kind == "action_item")
    for name in (str(call.id), "CAfull"):
        for part in ("", "/transcript", "/insights", "/export?format=csv"):
            await world.get(f"/api/v1/calls/{name}{part}", stranger, status=404)
    assert (await world.get("/api/v1/calls", stranger))["items"] == []
    assert (await world.get("/api/v1/calls?external_id=CAfull", stranger))["items"] == []
    assert (await world.get("/api/v1/calls?q=morning", stranger))["items"] == []
    board = await world.get("/api/v1/live", stranger)
    assert board["items"] == []
    assert set(board["counts"].values()) == {0}
    assert (await world.get("/api/v1/analytics", stranger))["calls"] == 0
    assert [agent["name"] for agent in (await world.get("/api/v1/agents", stranger))["items"]] == [
        (await world.get("/api/v1/me", stranger))["name"]
    ]
    async with world.http.patch(
        f"{world.url}/api/v1/action-items/{item.id}", headers=stranger, json={"status": "done"}
    ) as answer:
        assert answer.status == 404
    same = await world.call(tenant_id=tenant, external_id="CAfull")
    assert (await world.get("/api/v1/calls/CAfull", stranger))["call"]["id"] == str(same.id)
    after = (await world.get("/api/v1/calls?limit=1"))["next"]
    assert after is None


async def test_an_agent_settles_an_action_item(world: World) -> None:
    call, _, insights = await full_call(world)
    item = next(insight for insight in insights if insight.kind == "action_item")
    agent = await world.headers("agent")
    me = await world.get("/api/v1/me", agent)
    for revision, status in enumerate(("done", "dismissed", "open"), 2):
        async with world.http.patch(
            f"{world.url}/api/v1/action-items/{item.id}", headers=agent, json={"status": status}
        ) as answer:
            assert answer.status == 200
            changed = await answer.json()
        assert changed["body"] == {"text": item.body["text"], "status": status}
        assert (changed["insight_id"], changed["revision"]) == (str(item.id), revision)
        event = (await world.streams.page(keys.events(call.id), after="0-0")).events[-1]
        assert (event.type, event.data) == ("insight", changed)
        assert (await world.streams.page(keys.feed(world.tenant), after="0-0")).events[-1].data == changed
    rows = await world.pool.fetch("SELECT * FROM audit_log WHERE object_id = $1 ORDER BY id", str(item.id))
    assert [row["detail"]["status"] for row in rows] == ["done", "dismissed", "open"]
    assert {(str(row["user_id"]), row["act"], row["tenant_id"]) for row in rows} == {
        (me["id"], "action_item.status", world.tenant)
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"status": "finished"}', 400),
        (b'{"status": null}', 400),
        (b'{"status": "done", "text": "other words"}', 400),
        (b'{"status": NaN}', 400),
        (b'{"status": "d\xff"}', 400),
        (b"[" * 100_000, 400),
        (b'{"status": "done", "x": "' + b"x" * 1_048_550 + b'"}', 413),
    ],
)
async def test_a_malformed_change_is_refused(world: World, body: bytes, status: int) -> None:
    _, _, insights = await full_call(world)
    item = next(insight for insight in insights if insight.kind == "action_item")
    path = f"/api/v1/action-items/{item.id}"
    json = {"Content-Type": "application/json"}
    await problem(world, path, status, method="PATCH", data=body, headers=json)
    assert (await world.insights.of_call(item.call_id))[1].revision == 1


async def test_only_action_items_change_and_only_by_json(world: World) -> None:
    _, _, insights = await full_call(world)
    summary = next(insight for insight in insights if insight.kind == "summary")
    for insight_id in (summary.id, uuid4()):
        await problem(world, f"/api/v1/action-items/{insight_id}", 404, method="PATCH", json={"status": "done"})
    refused = await problem(world, "/api/v1/action-items/1", 400, method="PATCH", json={"status": "done"})
    assert refused["parameter"] == "insight_id"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"):
        await problem(
            world,
            f"/api/v1/action-items/{uuid4()}",
            415,
            method="PATCH",
            data=b'{"status": "done"}',
            headers={"Content-Type": kind},
        )


async def test_while_redis_is_away_calls_are_shown_and_changes_are_told_later(
    services: Services, tmp_path: Any
) -> None:
    redis = EmbeddedRedis(tmp_path / "redis", fast=True)
    await redis.start()
    try:
        async with world_on(Services(services.database_url, redis.url)) as world:
            call, _, insights = await full_call(world)
            await redis.stop()
            assert (await world.get("/api/v1/calls"))["cursor"] == "0-0"
            assert (await world.get(f"/api/v1/calls/{call.id}"))["cursor"] == "0-0"
            system = await world.get("/api/v1/system")
            assert system["asr"] == []
            checks = (await world.get("/readyz", status=503))["checks"]
            assert not checks["redis"]["ok"]
            assert checks["postgres"]["ok"]
            item = next(insight for insight in insights if insight.kind == "action_item")
            async with world.http.patch(
                f"{world.url}/api/v1/action-items/{item.id}", headers=await world.headers(), json={"status": "done"}
            ) as answer:
                assert answer.status == 200
            await redis.start()
            async with asyncio.timeout(10):
                while not (events := await world.streams.read(keys.events(call.id), after="0-0", block_ms=300)):
                    pass
            assert [event.data["body"]["status"] for event in events] == ["done"]
    finally:
        await redis.stop()


async def export(world: World, call: Call, kind: str) -> tuple[aiohttp.ClientResponse, str]:
    """Return an export and its text."""
    async with world.http.get(
        f"{world.url}/api/v1/calls/{call.id}/export?format={kind}", headers=await world.headers("agent")
    ) as answer:
        assert answer.status == 200
        return answer, (await answer.read()).decode()


async def test_exports(world: World) -> None:
    call, *_ = await full_call(world)
    for kind, media_type in {
        "json": "application/json",
        "csv": "text/csv",
        "srt": "application/x-subrip",
        "vtt": "text/vtt",
        "txt": "text/plain",
    }.items():
        answer, text = await export(world, call, kind)
        assert answer.content_type == media_type
        assert answer.headers["Content-Disposition"] == f'attachment; filename="call-CAfull.{kind}"'
        assert "good morning" in text
    msgspec.json.decode((await export(world, call, "json"))[1], type=views.Snapshot)
    rows = list(csv.DictReader(io.StringIO((await export(world, call, "csv"))[1])))
    assert [row["text"] for row in rows] == ["good morning", NASTY]
    rows = await world.pool.fetch(
        "SELECT detail FROM audit_log WHERE act = 'call.export' AND object_id = $1", str(call.id)
    )
    assert {row["detail"]["format"] for row in rows} == {"json", "csv", "srt", "vtt", "txt"}


async def test_an_unknown_format_is_answered_with_the_known_ones(world: World) -> None:
    call, *_ = await full_call(world)
    refused = await problem(world, f"/api/v1/calls/{call.id}/export?format=docx", 400)
    assert refused["parameter"] == "format"
    assert all(name in refused["detail"] for name in ("json", "csv", "srt", "vtt", "txt", "pdf"))


async def test_a_pdf_is_made_of_what_its_fonts_can_show(world: World) -> None:
    call, track, _ = await full_call(world)
    headers = await world.headers()
    path = f"/api/v1/calls/{call.id}/export?format=pdf"
    async with world.http.get(world.url + path, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/pdf"
        assert (await answer.read()).startswith(b"%PDF-1.4")
    await world.say(call, track, 2, "通話")
    refused = await problem(world, path, 400)
    assert refused["parameter"] == "format"
    assert "U+901A" in refused["detail"]


async def test_a_hostile_external_id_makes_a_harmless_file_name(world: World) -> None:
    call = await world.call(external_id='../../etc/"passwd\r\nSet-Cookie: a=b; ü 通話')
    answer, _ = await export(world, call, "txt")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="call-etc-passwd-Set-Cookie-a-b.txt"'
    assert "Set-Cookie" not in answer.headers


async def test_the_wallboard(world: World) -> None:
    call, *_ = await full_call(world)
    over = await world.call(started_at=datetime.now(UTC))
    await world.calls.end(over.id, "completed", datetime.now(UTC), 60_000)
    cursor = await world.tell(call, "alert", {})
    board = await world.get("/api/v1/live", await world.headers("agent"))
    msgspec.convert(board, views.Board)
    assert [item["id"] for item in board["items"]] == [str(call.id)]
    assert board["counts"] == {
        "live": 1,
        "live_complaints": 1,
        "live_negative": 1,
        "open_action_items": 2,
        "ended_today": 1,
    }
    assert abs(_order(board["cursor"])[0] - _order(cursor)[0]) < 1000


async def test_the_figures(world: World) -> None:
    call, *_ = await full_call(world)
    await world.calls.end(call.id, "completed", BEGAN + timedelta(minutes=2), 120_000)
    other = await world.call(started_at=BEGAN + timedelta(days=1))
    await world.find(other, "sentiment", {"label": "positive", "score": 0.5})
    await world.find(other, "intent", {"label": "billing", "confidence": 0.5})
    await world.calls.end(other.id, "completed", BEGAN + timedelta(days=1, minutes=1), 60_002)
    await world.call(started_at=BEGAN + timedelta(days=1))
    figures = await world.get("/api/v1/analytics", await world.headers("supervisor"))
    msgspec.convert(figures, views.Analytics)
    assert figures == {
        "calls": 3,
        "live": 1,
        "ended": 2,
        "mean_duration_ms": 90_001,
        "complaints": 1,
        "complaint_rate": pytest.approx(1 / 3),
        "intents": [{"label": "billing", "calls": 2}],
        "sentiments": {"negative": 1, "positive": 1},
        "days": [
            {"day": "2026-03-03", "calls": 2, "complaints": 0, "mean_sentiment": 0.5},
            {"day": "2026-03-02", "calls": 1, "complaints": 1, "mean_sentiment": -0.5},
        ],
    }
    assert (await world.get("/api/v1/analytics?from=2026-03-03"))["calls"] == 2
    empty = await world.get("/api/v1/analytics?to=2020-01-01")
    assert (empty["calls"], empty["mean_duration_ms"], empty["complaint_rate"]) == (0, None, None)
    assert (await problem(world, "/api/v1/analytics?from=x", 400))["parameter"] == "from"


async def test_who_may_come_in_and_what_runs(world: World) -> None:
    user = await world.user("agent")
    agents = await world.get("/api/v1/agents")
    assert any((agent["id"], agent["role"]) == (str(user.id), "agent") for agent in agents["items"])
    assert agents["next"] is None
    await world.workers_present()
    system = await world.get("/api/v1/system", await world.headers("agent"))
    msgspec.convert(system, views.System)
    assert {"worker": "test", "engine": "fake", "model": "tiny"} in system["asr"]
    assert (system["version"], system["language"]) == ("1.2.3", "auto")
    assert system["llm"] == {"provider": "none", "model": None, "state": "off"}


class AnyCall:
    """Takes every act for done (infra.control.CallControl)."""

    async def pause_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None: ...

    async def resume_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None: ...


async def test_the_description_is_served_and_true(services: Services, tmp_path: Path) -> None:
    twilio = {"twilio_account_sid": "AC1", "twilio_api_key_sid": "SK1", "twilio_api_key_secret": "x" * 32}
    async with world_on(services, control=AnyCall(), hearline_data_dir=tmp_path, **twilio) as world:
        await check_description(world)


async def check_description(world: World) -> None:
    description = await world.get("/api/openapi.json")
    assert description["openapi"].startswith("3.1")
    headers = await world.headers()
    call, track, insights = await full_call(world)
    await world.record(call)
    await SpeakerStore(world.pool).assign(track.id, [], {"SPEAKER_00": "unknown"})
    item = next(insight for insight in insights if insight.kind == "action_item")
    queue = Queue(uuid4(), "Sales", world.tenant)
    await QueueStore(world.pool).put(queue)
    wish = Callback(call.id, "callback", BEGAN, tenant_id=world.tenant)
    await CallbackStore(world.pool).add(wish)
    ids = {"call_id": call.id, "insight_id": item.id, "queue_id": queue.id, "callback_id": wish.id}
    (phrase,) = await VocabularyStore(world.pool).add(world.tenant, ["Contoso"], None)
    file = NewImport("call.wav", 3, "a" * 64)
    place = Inbox(world.shelf.root.parent).place
    announced, _ = await ImportStore(world.pool).add(world.tenant, None, place, file, again=False)
    ids |= {"speaker": "SPEAKER_00", "phrase_id": phrase["id"], "import_id": announced["id"]}
    bodies = {
        "add_queue": {"name": "Service"},
        "change_queue": {"name": "Desk"},
        "change_speaker": {"role": "customer"},
        "add_vocabulary": {"phrases": ["Chromecast"]},
        "add_import": {"name": "other.wav", "size_bytes": 3, "sha256": "b" * 64},
    }
    for operation in OPERATIONS:
        if operation.id == "leave":
            continue
        path = operation.path.format_map(ids)
        sent: dict[str, Any] = {
            "json": None if operation.body is None else bodies.get(operation.id, {"status": "done"})
        }
        if operation.body is bytes:
            path, sent = f"{path}?offset=0", {"data": b"abc"}
        async with world.http.request(operation.method, world.url + path, headers=headers, **sent) as answer:
            assert answer.status == operation.status, operation
            if answer.status == 204:
                continue
            assert answer.content_type in operation.media_types
            described = description["paths"][operation.path][operation.method.lower()]["responses"]
            assert answer.content_type in described[str(answer.status)]["content"]
            if operation.answer is not None:
                msgspec.json.decode(await answer.read(), type=operation.answer)
