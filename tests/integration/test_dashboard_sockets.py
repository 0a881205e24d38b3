"""The live feed: in order, nothing lost, nothing twice, whatever happens to Redis and to the screens."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from dashboard import hub as hub_module
from dashboard import sockets as sockets_module
from dashboard import state
from infra.bus import keys
from infra.bus.streams import open_redis
from infra.embedded import EmbeddedRedis, Services
from infra.model import Call, Event, stable_id
from tests.integration.dashboard_world import World, until, world_on

PATIENCE_S = 15


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


class Screen:
    """One socket and what came through it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.heartbeats: list[dict[str, Any]] = []
        self.close_code: int | None = None

    async def message(self) -> dict[str, Any]:
        """Return the next message of any kind."""
        received = await asyncio.wait_for(self.socket.receive(), PATIENCE_S)
        if received.type is not WSMsgType.TEXT:
            self.close_code = received.data if received.type is WSMsgType.CLOSE else self.socket.close_code
            raise EOFError(self.close_code)
        body: dict[str, Any] = msgspec.json.decode(received.data)
        return body

    async def event(self) -> dict[str, Any]:
        """Return the next message that is no heartbeat."""
        while (message := await self.message())["type"] == "heartbeat":
            self.heartbeats.append(message)
        return message

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next so many."""
        return [await self.event() for _ in range(count)]

    async def all_events(self) -> list[dict[str, Any]]:
        """Return the events until the server closes the socket."""
        found = []
        try:
            while True:
                found.append(await self.event())
        except EOFError:
            return found

    async def until_degraded(self, parts: list[str]) -> None:
        """Wait for a heartbeat that names these parts."""
        while True:
            message = await self.message()
            if message["type"] == "heartbeat" and message["data"]["degraded"] == parts:
                return

    async def is_silent(self, seconds: float = 0.4) -> None:
        """Fail when an event comes within this time."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                pytest.fail(f"unexpected {await self.event()}")


@asynccontextmanager
async def screen(world: World, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Screen]:
    """Open a socket, and wait until it has said where it is."""
    headers = await world.headers("agent") if headers is None else headers
    async with world.http.ws_connect(world.url + path, headers=headers) as socket:
        yield Screen(socket)


async def watch(world: World, call: str | Call, after: str | None = None) -> Any:
    """Return the feed of a call, or of all ('*')."""
    name = call if isinstance(call, str) else str(call.id)
    return screen(world, f"/ws/events?call={name}" + ("" if after is None else f"&after={after}"))


async def tell(world: World, call: Call, numbers: range) -> list[str]:
    """Publish numbered events; return their cursors."""
    return [await world.tell(call, "alert", {"n": number}) for number in numbers]


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["n"] for event in events]


async def joined(world: World) -> None:
    """Wait until no subscription catches up any more."""
    await until(lambda: not any(tail.joining for tail in world.dashboard.hub._tails.values()))


async def test_an_event_looks_as_the_contract_says(world: World) -> None:
    call = await world.call()
    async with await watch(world, call) as one, await watch(world, "*") as all_calls:
        for each in (one, all_calls):
            beat = await each.message()
            assert beat.keys() == {"id", "type", "call_id", "at", "data"}
            assert (beat["type"], beat["call_id"]) == ("heartbeat", None)
            assert set(beat["data"]["degraded"]) <= {"asr", "insights"}
        await joined(world)  # "now" has begun
        cursor = await world.tell(call, "alert", {"text": "<script>alert(1)</script>"})
        event = await one.event()
        assert event.keys() == {"id", "type", "call_id", "at", "data"}
        assert event["id"] == cursor
        assert event["type"] == "alert"
        assert event["call_id"] == str(call.id)
        assert event["at"].endswith("Z")
        assert event["data"] == {"text": "<script>alert(1)</script>"}
        same = await all_calls.event()
        assert {**same, "id": cursor} == event


async def test_without_a_cursor_the_feed_begins_now(world: World) -> None:
    call = await world.call()
    await tell(world, call, range(5))
    async with await watch(world, call) as one, await watch(world, "*") as all_calls:
        await one.is_silent()
        await all_calls.is_silent(0.1)
        await tell(world, call, range(5, 8))
        assert numbers(await one.events(3)) == [5, 6, 7]
        assert numbers(await all_calls.events(3)) == [5, 6, 7]


async def test_with_a_cursor_the_feed_goes_on_behind_it(world: World) -> None:
    call = await world.call()
    cursors = await tell(world, call, range(1300))  # more than two pages
    for after, expected in (("0-0", 0), (cursors[9], 10), (cursors[-1], 1300)):
        async with await watch(world, call, after) as one:
            await tell(world, call, range(1300, 1301))
            got = numbers(await one.events(1301 - expected))
            assert got[: 1301 - expected] == list(range(expected, 1301))
        await world.redis.xdel(keys.events(call.id), await world.streams.newest(keys.events(call.id)))


@pytest.mark.parametrize("star", [False, True], ids=["one call", "all calls"])
async def test_joining_in_full_flow_loses_and_repeats_nothing(world: World, star: bool) -> None:
    call = await world.call()
    other = await world.call()
    total = 1500
    stream = keys.feed(world.tenant) if star else keys.events(call.id)

    async def flow() -> None:
        for number in range(total):
            await world.tell(call, "alert", {"n": number})
            if number % 3 == 0:
                await world.tell(other, "lag", {"n": -1})

    async def join(delay_s: float) -> tuple[str, list[dict[str, Any]]]:
        await asyncio.sleep(delay_s)
        after = await world.streams.newest(stream)
        async with await watch(world, "*" if star else call, after) as one:
            events = []
            while not events or events[-1]["data"]["n"] != total - 1:
                event = await one.event()
                if event["call_id"] == str(call.id):
                    events.append(event)
            return after, events

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        joining = [group.create_task(join(0.02 * number)) for number in range(8)]
        group.create_task(flow())
    for task in joining:
        after, events = task.result()
        got = numbers(events)
        assert got == list(range(got[0], total))
        assert hub_module._order(events[0]["id"]) > hub_module._order(after)
        ids = [hub_module._order(event["id"]) for event in events]
        assert ids == sorted(set(ids))


async def test_each_call_hears_only_its_own(world: World) -> None:
    one, two = await world.call(), await world.call()
    async with await watch(world, one, "0-0") as first, await watch(world, two, "0-0") as second:
        for number in range(20):
            await tell(world, one if number % 2 else two, range(number, number + 1))
        assert numbers(await first.events(10)) == list(range(1, 20, 2))
        assert numbers(await second.events(10)) == list(range(0, 20, 2))


async def test_a_call_can_be_watched_by_its_external_id(world: World) -> None:
    call = await world.call(external_id="CAfeed")
    await tell(world, call, range(1))
    async with await watch(world, "CAfeed", "0-0") as one:
        assert numbers([await one.event()]) == [0]


async def test_a_screen_is_told_when_its_cursor_is_too_old(world: World) -> None:
    call = await world.call()
    cursors = await tell(world, call, range(10))
    await world.redis.xtrim(keys.events(call.id), minid=cursors[5], approximate=False)
    async with await watch(world, call, cursors[2]) as one:
        resync = await one.event()
        assert resync["type"] == "resync"
        assert resync["id"] == cursors[-1]
        await tell(world, call, range(10, 12))
        assert numbers(await one.events(2)) == [10, 11]
    async with await watch(world, call, cursors[5]) as one:
        assert numbers(await one.events(6)) == [6, 7, 8, 9, 10, 11]


async def test_a_screen_is_told_when_its_cursor_is_of_a_lost_stream(world: World) -> None:
    call = await world.call()
    for after in ("9999999999999-0", "1700000000000-5"):
        async with await watch(world, call, after) as one:
            assert (await one.event())["type"] == "resync"
            await tell(world, call, range(1))
            assert numbers([await one.event()]) == [0]
        await world.redis.delete(keys.events(call.id))


async def test_an_event_that_nobody_can_read_is_left_out(world: World) -> None:
    call = await world.call()
    async with await watch(world, call, "0-0") as one, await watch(world, "*", "0-0") as all_calls:
        for number in range(3):
            await tell(world, call, range(number, number + 1))
            for stream in (keys.events(call.id), keys.feed(world.tenant)):
                await world.redis.xadd(stream, {"e": b'{"type": "from the future"}'})
                await world.redis.xadd(stream, {"other": b""})
        assert numbers(await one.events(3)) == [0, 1, 2]
        assert numbers(await all_calls.events(3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("call=", 400),
        ("call=nonsense", 400),
        ("call=" + "x" * 300, 400),
        ("call=a%00b", 400),
        (f"call={UUID(int=1)}", 404),
        ("call=*&after=", 400),
        ("call=*&after=yesterday", 400),
        ("call=*&after=5", 400),
        ("call=*&after=-1-0", 400),
        ("call=*&after=1-2-3", 400),
        ("call=*&after=%2B", 400),
        ("call=*&after=" + "9" * 30 + "-0", 400),
        ("call=*&after=18446744073709551616-0", 400),
        ("call=*&after=٣-0", 400),
    ],
)
async def test_a_malformed_subscription_is_refused_before_the_upgrade(world: World, query: str, status: int) -> None:
    with pytest.raises(WSServerHandshakeError) as refusal:
        await world.http.ws_connect(f"{world.url}/ws/events?{query}", headers=await world.headers())
    assert refusal.value.status == status


async def test_a_plain_request_is_told_to_upgrade(world: World) -> None:
    async with world.http.get(f"{world.url}/ws/events?call=*", headers=await world.headers()) as answer:
        assert answer.status == 426
        assert answer.headers["Upgrade"] == "websocket"


async def test_another_tenants_calls_do_not_exist(world: World) -> None:
    stranger = await world.headers("admin", await world.new_tenant())
    call = await world.call(external_id="CAsecret")
    await tell(world, call, range(3))
    for path in (f"/ws/events?call={call.id}", f"/ws/llm-updates/{call.id}"):
        with pytest.raises(WSServerHandshakeError) as refusal:
            await world.http.ws_connect(world.url + path, headers=stranger)
        assert refusal.value.status == 404
    with pytest.raises(WSServerHandshakeError) as refusal:
        await world.http.ws_connect(f"{world.url}/ws/events?call=CAsecret", headers=stranger)
    assert refusal.value.status == 400
    async with screen(world, "/ws/events?call=*&after=0-0", stranger) as foreign:
        await tell(world, call, range(3, 5))
        await foreign.is_silent()


async def test_a_slow_screen_is_cut_off_and_holds_up_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_MESSAGES", 50)
    monkeypatch.setattr(sockets_module, "SEND_TIMEOUT_S", 1.0)
    call = await world.call()
    headers = await world.headers()
    host, port = world.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    request = (
        f"GET /ws/events?call={call.id}&after=0-0 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Authorization: {headers['Authorization']}\r\n\r\n"
    )
    total = 200
    with sockets.create_connection((host, int(port))) as slow:
        slow.setblocking(False)
        await loop.sock_sendall(slow, request.encode())
        assert b"101" in await loop.sock_recv(slow, 64)
        async with await watch(world, call, "0-0") as quick:
            filler = "x" * 100_000
            for number in range(total):
                await world.tell(call, "alert", {"n": number, "filler": filler})
                assert numbers([await quick.event()]) == [number]  # not held up
        await until(lambda: not world.dashboard.guard._sockets)
        received = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            while data := await _read(loop, slow):  # the server has let go
                received += data
    assert received.count(b'"type":"alert"') < total


async def _read(loop: asyncio.AbstractEventLoop, socket: sockets.socket) -> bytes:
    try:
        return await loop.sock_recv(socket, 65536)
    except ConnectionError:
        return b""


async def test_the_one_who_is_too_slow_hears_it_and_resumes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_MESSAGES", 20)
    call = await world.call()
    async with await watch(world, call, "0-0") as one:
        await tell(world, call, range(1))
        events = [await one.event()]
        await joined(world)
        # A burst that is handed out in one go, before the sender's turn.
        async with world.redis.pipeline(transaction=True) as burst:
            for number in range(1, 60):
                event = Event("alert", call.id, {"n": number})
                body = msgspec.json.encode({"type": event.type, "call_id": call.id, "at": event.at, "data": event.data})
                burst.xadd(keys.events(call.id), {"e": body})
            burst.xadd(keys.feed(world.tenant), {"e": body})
            await burst.execute()
        events += await one.all_events()
        assert one.close_code == 4008
    async with await watch(world, call, events[-1]["id"]) as again:
        events += await again.events(60 - len(events))
    assert numbers(events) == list(range(60))


async def test_heartbeats_come_and_carry_the_cursor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.2)
    call = await world.call()
    async with await watch(world, call, "0-0") as one:
        cursor = (await tell(world, call, range(1)))[0]
        await one.event()
        for _ in range(3):
            beat = await one.message()
            assert (beat["type"], beat["id"]) == ("heartbeat", cursor)


async def test_a_change_of_what_is_away_is_told_at_once(world: World) -> None:
    async with await watch(world, "*") as one:
        await world.workers_present()
        async with asyncio.timeout(4):
            await one.until_degraded([])
        await world.redis.delete(keys.worker("asr", "test"))
        async with asyncio.timeout(4):
            await one.until_degraded(["asr"])


@pytest.mark.parametrize("loses", [False, True], ids=["keeps its data", "loses its data"])
async def test_when_redis_comes_back_the_feed_goes_on(services: Services, tmp_path: Path, loses: bool) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    await redis.start()
    try:
        async with world_on(Services(services.database_url, redis.url)) as world:
            call = await world.call()
            async with await watch(world, call, "0-0") as one, await watch(world, "*", "0-0") as all_calls:
                await tell(world, call, range(5))
                for each in (one, all_calls):
                    assert numbers(await each.events(5)) == [0, 1, 2, 3, 4]
                await redis.stop()
                for each in (one, all_calls):
                    async with asyncio.timeout(4):
                        await each.until_degraded(["redis"])
                late = await watch(world, call)
                async with late as third:
                    assert (await third.message())["type"] == "heartbeat"  # the socket opens and waits
                    if loses:
                        for file in redis.data_dir.rglob("*"):
                            if file.is_file():
                                file.unlink()
                    await redis.start()
                    async with open_redis(redis.url):
                        await tell(world, call, range(5, 10))
                    for each in (one, all_calls):
                        if loses:
                            assert (await each.event())["type"] == "resync"
                        else:
                            assert numbers(await each.events(5)) == [5, 6, 7, 8, 9]
                    await asyncio.sleep(1)
                    await tell(world, call, range(10, 11))
                    for each in (one, all_calls, third):
                        while (await each.event())["data"].get("n") != 10:
                            pass
    finally:
        await redis.stop()


async def test_when_the_server_stops_the_screens_are_told(services: Services) -> None:
    async with world_on(services) as world, await watch(world, "*") as one:
        await one.message()
        world.dashboard.hub.close()
        with pytest.raises(EOFError):
            await one.event()
        assert one.close_code == 1001


async def test_what_a_screen_says_is_ignored_unless_it_is_too_much(world: World) -> None:
    call = await world.call()
    async with await watch(world, call, "0-0") as one:
        await one.socket.send_str("hello")
        await one.socket.send_bytes(b"\0" * 100)
        await tell(world, call, range(1))
        assert numbers([await one.event()]) == [0]
        await one.socket.send_str("x" * 10_000)
        with pytest.raises(EOFError):
            await one.event()
        assert one.close_code == 1009


async def test_leaving_screens_leave_nothing_behind(world: World) -> None:
    call = await world.call()
    for _ in range(3):
        async with await watch(world, call, "0-0") as one, await watch(world, "*") as two:
            await one.message()
            await two.message()
    await until(lambda: not (world.dashboard.hub._tails or world.dashboard.guard._sockets))


async def test_a_screen_that_goes_without_a_word_is_forgotten(world: World) -> None:
    async with await watch(world, "*") as one:
        await one.message()
        transport = one.socket._writer.transport
        assert transport is not None
        transport.abort()
        await until(lambda: not world.dashboard.hub._tails)


async def test_old_state_and_events_equal_fresh_state(world: World) -> None:
    call = await world.call()
    track = await world.track(call)
    headers = await world.headers()
    old = await world.get(f"/api/v1/calls/{call.id}", headers)
    async with screen(world, f"/ws/events?call={call.id}&after={old['cursor']}", headers) as one:
        for seq in range(4):
            await world.tell_segment(call, await world.say(call, track, seq, f"line {seq}"))
            if seq == 2:
                middle = await world.get(f"/api/v1/calls/{call.id}", headers)
        for text in ("first", "second"):
            await world.tell_insight(call, await world.find(call, "summary", {"text": text}))
        events = [msgspec.convert(await one.event(), Event) for _ in range(6)]
    fresh = state.from_snapshot(await world.get(f"/api/v1/calls/{call.id}", headers))
    assert state.apply_all(state.from_snapshot(old), events) == fresh
    assert state.apply_all(state.from_snapshot(middle), events) == fresh
    assert state.apply_all(fresh, events) == fresh


async def test_the_prototypes_socket_tells_all_insights_after_each_change(world: World) -> None:
    call = await world.call(external_id="capture-7")
    await world.find(call, "summary", {"text": "a first summary"})
    for name in ("capture-7", str(call.id)):
        async with screen(world, f"/ws/llm-updates/{name}") as one:
            update = await one.message()
            assert update["type"] == "llm_update"
            assert update["call_id"] == name
            assert update["data"]["summary"] == "a first summary"
            assert update["data"]["action_items"] == []
            item = {"text": "send the form", "owner": "agent", "priority": "high", "status": "open"}
            stored = await world.find(call, "action_item", item, key=f"item of {name}")
            await world.tell_insight(call, stored)
            await world.tell(call, "alert", {"n": 1})
            update = await one.message()
            assert update["data"]["action_items"][-1] == {**item, "insight_id": str(stored.id)}
            await world.tell_insight(call, await world.find(call, "intent", {"label": name, "confidence": 0.5}))
            assert (await one.message())["data"]["intent"] == {"label": name, "confidence": 0.5}
        await world.pool.execute("DELETE FROM insights WHERE call_id = $1 AND kind = 'action_item'", call.id)


async def test_the_prototypes_socket_may_be_there_before_the_call(world: World) -> None:
    uuid = uuid4()
    for name, call_id in (("tab-1", stable_id("capture", world.tenant, "tab-1")), (str(uuid), uuid)):
        async with screen(world, f"/ws/llm-updates/{name}") as one:
            assert (await one.message())["data"]["summary"] is None
            call = await world.call(id=call_id, external_id=name, door="browser")
            await world.tell_insight(call, await world.find(call, "summary", {"text": "hello"}))
            update = await one.message()
            assert (update["call_id"], update["data"]["summary"]) == (name, "hello")


async def test_a_call_that_becomes_another_tenants_is_not_shown(world: World) -> None:
    uuid = uuid4()
    async with screen(world, f"/ws/llm-updates/{uuid}") as one:
        assert (await one.message())["data"]["summary"] is None
        stranger = await world.new_tenant()
        call = await world.call(id=uuid, tenant_id=stranger)
        insight = await world.find(call, "summary", {"text": "not yours"})
        await world.tell_insight(call, insight)
        # Even the bell of one's own feed does not open it.
        await world.streams.publish(world.tenant, Event("insight", uuid, {"insight_id": "x", "revision": 1}))
        await one.is_silent(1)
