"""The /webrtc addresses over a real server on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from media_gateway.transports.webrtc import MAX_LEGS_A_USER, OFFER_PATH
from tests.conftest import until
from tests.rtc_office import ADMIN, ANN, BOB, STRANGER, Line, Office, Person

# The guard in front of the handlers names the user by a plain string, as handlers everywhere expect it.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@pytest_asyncio.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    async with office.http, asyncio.TaskGroup() as tasks:
        tasks.create_task(office.webrtc.run())
        await asyncio.sleep(0)
        yield office
        await office.webrtc.close()
        for client in office.clients:
            await client.close()


async def is_problem(reply: Any, status: int, words: str) -> None:
    assert reply.status == status
    assert reply.content_type == "application/problem+json"
    assert words in (await reply.json())["detail"]


async def test_an_offer_is_answered_and_audio_flows(office: Office) -> None:
    call_id = uuid4()
    client, told, line = await office.call(call_id=str(call_id))
    assert office.asked == [(ANN, call_id)]
    assert (told["type"], told["call_id"], told["leg_id"]) == ("answer", str(call_id), str(line.leg_id))
    assert line.states == ["connecting", "connected"]
    assert line.peer is not None
    line.peer.send(b"\x48hello")
    await until(lambda: client.heard)


async def test_without_a_call_id_the_line_decides(office: Office) -> None:
    _, told, line = await office.call()
    assert office.asked == [(ANN, None)]
    assert told["call_id"] == str(line.call_id)


async def test_a_whip_client_gets_what_it_expects(office: Office) -> None:
    client, call_id = office.client(), uuid4()
    offer = await client.offer()
    reply = await office.http.post(f"{OFFER_PATH}?call_id={call_id}", data=offer, headers=SDP)
    assert (reply.status, reply.content_type) == (201, "application/sdp")
    assert reply.headers["Location"] == f"/webrtc/{office.lines[0].leg_id}"
    assert reply.headers["Accept-Patch"] == FRAGMENT["Content-Type"]
    assert office.asked == [(ANN, call_id)]
    await client.take(await reply.text())
    await until(lambda: office.lines[0].packets)

    ufrag = re.findall("a=ice-ufrag:(.*)\r", offer)[0]
    assert reply.headers["ETag"] == f'"{ufrag}"'
    fragment = f"a=ice-ufrag:{ufrag}\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
    leg = reply.headers["Location"]
    for tag, status in ((f'"{ufrag}"', 204), ("*", 204), ('"another"', 412)):
        patched = await office.http.patch(leg, data=fragment, headers={**FRAGMENT, "If-Match": tag})
        assert patched.status == status
    old = fragment.replace(ufrag, "older")
    await is_problem(await office.http.patch(leg, data=old, headers=FRAGMENT), 409, "new offer")
    assert (await office.http.delete(leg)).status == 204


async def test_candidates_may_come_later(office: Office) -> None:
    client = office.client()
    offer = await client.offer()
    bare = "".join(line for line in offer.splitlines(keepends=True) if not line.startswith("a=candidate"))
    told = await (await office.http.post(OFFER_PATH, json={"sdp": bare, "type": "offer"})).json()
    hidden = "".join(line for line in told["sdp"].splitlines(keepends=True) if "candidate" not in line)
    await client.take(hidden)
    candidates = [
        {"candidate": found, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": None}
        for found in re.findall("a=(candidate:.*)\r", offer)
    ]
    leg = f"/webrtc/{told['leg_id']}"
    for body in ({"candidates": candidates}, candidates[0], {"candidate": None}, {"candidate": ""}):
        assert (await office.http.patch(leg, json=body)).status == 204
    await until(lambda: office.lines[0].packets)


async def test_hanging_up(office: Office) -> None:
    client, told, line = await office.call()
    leg = f"/webrtc/{told['leg_id']}"
    assert (await office.http.delete(leg)).status == 204
    await until(lambda: client.pc.connectionState == "closed")
    assert line.hung_up == 1
    assert (await office.http.delete(leg)).status == 404
    assert (await office.http.patch(leg, json={"candidate": None})).status == 404


async def test_the_browser_leaves(office: Office) -> None:
    client, told, line = await office.call()
    await client.close()
    await until(lambda: line.states[-1] == "closed")
    assert (await office.http.delete(f"/webrtc/{told['leg_id']}")).status == 404
    assert line.hung_up == 0


async def test_a_new_connection_takes_the_place_of_the_one_before(office: Office) -> None:
    office.next = Line()
    first, told, _ = await office.call()
    second, again, line = await office.call()
    assert told["leg_id"] == again["leg_id"]
    await until(lambda: first.pc.connectionState == "closed")
    await until(lambda: len(office.webrtc._carried) == 1)
    await until(lambda: line.peer.send(b"\x48hello") or second.heard)  # type: ignore[union-attr]
    assert (await office.http.delete(f"/webrtc/{told['leg_id']}")).status == 204
    await until(lambda: second.pc.connectionState == "closed")


@pytest.mark.parametrize(("user", "status"), [(BOB, 403), (STRANGER, 404), (None, 401), (ADMIN, 204), (ANN, 204)])
async def test_a_connection_is_its_users(office: Office, user: Person | None, status: int) -> None:
    _, told, line = await office.call()
    leg = f"/webrtc/{told['leg_id']}"
    office.user = user
    assert (await office.http.patch(leg, json={"candidate": None})).status == status
    assert (await office.http.delete(leg)).status == status
    assert line.hung_up == (status == 204)


@pytest.mark.parametrize("leg", ["nonsense", str(UUID(int=7))])
async def test_connections_that_are_not_there(office: Office, leg: str) -> None:
    await is_problem(await office.http.delete(f"/webrtc/{leg}"), 404, "no such connection")
    await is_problem(await office.http.patch(f"/webrtc/{leg}", json={}), 404, "no such connection")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400, "not an offer"),
        ({"json": {"type": "offer"}}, 400, "not an offer"),
        ({"json": {"sdp": "v=0", "type": "answer"}}, 400, "not an offer"),
        ({"json": {"sdp": "v=0", "call_id": "7"}}, 400, "not an offer"),
        ({"json": {"sdp": "v=0"}}, 422, "no audio"),
        ({"json": {"sdp": "hello"}}, 422, "not a session description"),
        ({"data": b"\xff\xfe", "headers": SDP}, 400, "not an offer"),
        ({"data": "v=0", "headers": {"Content-Type": "text/plain"}}, 415, "application/json"),
        ({"json": {"sdp": "v" * 200_000}}, 413, "too large"),
    ],
)
async def test_bad_offers_reach_no_line(office: Office, body: dict[str, Any], status: int, words: str) -> None:
    await is_problem(await office.http.post(OFFER_PATH, **body), status, words)
    assert not office.asked


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"candidate": "nonsense"}},
        {"json": {"candidate": 7}},
        {"json": []},
        {"json": {"candidates": [{"candidate": "1 1 udp 1 127.0.0.1 9 typ host"}] * 40}},
        {"data": "nonsense", "headers": FRAGMENT},
        {"data": b"\xff", "headers": FRAGMENT},
    ],
)
async def test_bad_candidates(office: Office, body: dict[str, Any]) -> None:
    client, told, line = await office.call()
    reply = await office.http.patch(f"/webrtc/{told['leg_id']}", **body)
    await is_problem(reply, 400, "not candidates")
    heard = len(line.packets)
    await until(lambda: len(line.packets) > heard + 2)
    assert client.pc.connectionState == "connected"


async def test_too_long_a_trickle(office: Office) -> None:
    _, told, _ = await office.call()
    reply = await office.http.patch(f"/webrtc/{told['leg_id']}", data="a" * 20_000, headers=FRAGMENT)
    await is_problem(reply, 413, "too large")


async def test_a_refused_call(office: Office) -> None:
    office.refuses = "that call does not wait for you"
    reply = await office.http.post(OFFER_PATH, json={"sdp": await office.client().offer()})
    await is_problem(reply, 409, "does not wait")
    assert office.meter.refusals == {"call-refused": 1}
    assert not office.webrtc._carried


async def test_nobody_takes_all_the_connections(office: Office) -> None:
    for _ in range(MAX_LEGS_A_USER):
        await office.call()
    reply = await office.http.post(OFFER_PATH, json={"sdp": await office.client().offer()})
    await is_problem(reply, 429, "too many")
    office.user = BOB
    await office.call()


async def test_when_the_server_stops_everybody_is_let_go(office: Office) -> None:
    client, _, line = await office.call()
    await office.webrtc.close()
    await until(lambda: client.pc.connectionState == "closed")
    assert line.states[-1] == "closed"
    reply = await office.http.post(OFFER_PATH, json={"sdp": await office.client().offer()})
    await is_problem(reply, 503, "stopping")


async def test_a_line_that_stumbles_harms_nobody_else(office: Office) -> None:
    _, _, good = await office.call()

    class Bad(Line):
        def on_state(self, state: Any) -> None:
            if state == "connected":
                raise RuntimeError("a fault of ours")

    office.next = Bad()
    client = office.client()
    reply = await office.http.post(OFFER_PATH, json={"sdp": await client.offer()})
    await client.take((await reply.json())["sdp"])
    await until(lambda: len(office.webrtc._carried) == 1)
    heard = len(good.packets)
    await until(lambda: len(good.packets) > heard + 5)
