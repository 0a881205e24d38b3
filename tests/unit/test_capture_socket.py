"""The browser capture socket over a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from infra.model import DEFAULT_TENANT, Call, stable_id, utc_now
from media_gateway.transports.capture import PATH, Capture
from media_gateway.transports.media_socket import SocketLimits
from tests.fakes.gateway import CountingMeter, FakeCall, FakeRegistry, until

Socket = aiohttp.ClientWebSocketResponse

# The guard in front of the handler names the user by a plain string, as handlers everywhere expect it.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")


@dataclass(frozen=True)
class Person:
    id: UUID
    name: str = "Ann"
    role: str = "agent"
    tenant_id: UUID = DEFAULT_TENANT


ANN, BOB = Person(UUID(int=1)), Person(UUID(int=2))


class Office:
    def __init__(self, limits: SocketLimits | None = None) -> None:
        self.registry = FakeRegistry()
        self.meter = CountingMeter()
        limits = limits or SocketLimits(start_deadline_s=0.3, idle_limit_s=2.0, max_message_bytes=256 * 1024)
        self.capture = Capture(self.registry, grace_s=0.5, limits=limits, meter=self.meter)
        self.user: Person | None = ANN

        @web.middleware
        async def log_in(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if self.user is not None:
                request["user"] = self.user
            return await handler(request)

        app = web.Application(middlewares=[log_in])
        app.router.add_get(PATH, self.capture.handle)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    @property
    def call(self) -> FakeCall:
        return self.registry.only

    @asynccontextmanager
    async def socket(self, call_id: str = "demo-1", **more: Any) -> AsyncIterator[tuple[Socket, dict[str, Any]]]:
        """Open a socket and start; yield it with the server's first answer."""
        async with self.client.ws_connect(PATH, max_msg_size=0) as socket:
            await socket.send_json({"call_id": call_id, "agent_id": "ann", "action": "start", **more})
            yield socket, await socket.receive_json(timeout=5)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    async with office.client:
        yield office


async def stop(socket: Socket) -> dict[str, Any]:
    await socket.send_json({"action": "stop"})
    answer: dict[str, Any] = await socket.receive_json(timeout=5)
    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    return answer


async def test_binary_audio_from_start_to_stop(office: Office) -> None:
    async with office.socket() as (socket, answer):
        for _ in range(10):
            await socket.send_bytes(b"\x01\x00" * 1600)
        assert await stop(socket) == {"type": "stopped", "call_id": answer["call_id"]}

    assert answer["type"] == "started"
    assert answer["call_id"] == str(stable_id("capture", DEFAULT_TENANT, "demo-1"))
    assert answer["track_id"] == str(office.call.tracks[0].id)
    assert (answer["sample_rate"], answer["resumed"], answer["role"]) == (16_000, False, "unknown")
    assert office.call.sinks["unknown"].pcm == b"\x01\x00" * 16_000
    assert office.call.log == [
        ("join", "unknown"),
        ("open", "microphone"),
        ("leave", "unknown"),
        ("hang-up", "completed"),
    ]
    assert (office.call.call.door, office.call.call.external_id) == ("browser", "demo-1")


async def test_a_uuid_is_the_calls_id(office: Office) -> None:
    call_id = "11111111-2222-4333-8444-555555555555"
    async with office.socket(call_id) as (_, answer):
        assert answer["call_id"] == call_id


async def test_json_chunks_with_repetitions_and_gaps(office: Office) -> None:
    def chunk(index: int) -> dict[str, Any]:
        data = b64encode(bytes([index, 1]) * 1600).decode()
        return {"type": "audio_chunk", "audio_data": data, "chunk_index": index, "format": "pcm", "sample_rate": 16000}

    async with office.socket(role="customer") as (socket, _):
        for index in (0, 1, 1, 2, 5, 6, 7):
            await socket.send_json(chunk(index))
        await stop(socket)

    chunks = office.call.sinks["customer"].chunks
    start_ms = chunks[0].start_ms
    (hole,) = (hole for chunk in chunks for hole in chunk.holes)
    assert (hole.start_ms - start_ms, hole.end_ms - start_ms, hole.cause) == (300, 500, "missing")
    assert chunks[-1].end_ms - start_ms == 800
    assert office.meter.outcomes["duplicate"] == 1


async def test_the_rate_may_change_from_chunk_to_chunk(office: Office) -> None:
    async with office.socket() as (socket, _):
        for rate_hz in (8000, 16_000, 44_100, 48_000):
            data = b64encode(bytes(2 * rate_hz // 10)).decode()
            await socket.send_json({"type": "audio_chunk", "audio_data": data, "sample_rate": rate_hz})
        await stop(socket)
    chunks = office.call.sinks["unknown"].chunks
    assert chunks[-1].end_ms - chunks[0].start_ms == 400
    assert all(not chunk.holes for chunk in chunks)


async def test_after_a_drop_the_same_track_goes_on(office: Office) -> None:
    async with office.socket() as (socket, first):
        await socket.send_bytes(bytes(32 * 500))
        await until(lambda: office.call.sinks["unknown"].chunks)
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.abort()
    await asyncio.sleep(0.3)

    async with office.socket() as (socket, second):
        assert second["resumed"]
        assert (second["call_id"], second["track_id"]) == (first["call_id"], first["track_id"])
        await socket.send_bytes(bytes(32 * 100))
        await stop(socket)

    chunks = office.call.sinks["unknown"].chunks
    (hole,) = (hole for chunk in chunks for hole in chunk.holes)
    assert hole.cause == "connection-lost"
    assert 150 <= hole.end_ms - hole.start_ms <= 1000
    assert [entry[0] for entry in office.call.log] == ["join", "open", "leave", "hang-up"]


async def test_after_the_grace_the_call_is_over(office: Office) -> None:
    async with office.socket() as (socket, _):
        await socket.send_bytes(bytes(3200))
        await socket.close(code=1001)  # the tab was closed: perhaps reloaded
    await asyncio.sleep(0.2)
    assert office.call.ended is None
    await until(lambda: office.call.ended)
    assert office.call.ended == "connection-lost"


async def test_another_users_call_is_refused(office: Office) -> None:
    async with office.socket():
        office.user = BOB
        async with office.socket() as (socket, answer):
            assert answer == {"type": "error", "code": "call-refused", "message": "this call is another user's"}
            message = await socket.receive()
            assert (message.data, message.extra) == (1008, "this call is another user's")
    assert len(office.registry.calls) == 1


async def test_a_call_that_came_by_another_door_is_refused(office: Office) -> None:
    call_id = UUID(int=99)
    await office.registry.answer(Call(call_id, "twilio", "CA1", utc_now()))
    async with office.socket(str(call_id)) as (_, answer):
        assert (answer["type"], answer["message"]) == ("error", "this call came by another door")
    assert office.call.log == []


async def test_without_a_user_there_is_no_socket(office: Office) -> None:
    office.user = None
    assert (await office.client.get(PATH)).status == 401


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        ("{", "bad-json", 1007),
        (json.dumps({"action": "start", "call_id": "x", "format": "webm"}), "unsupported-audio", 1003),
        (json.dumps({"type": "audio_chunk", "audio_data": ""}), "audio-outside-stream", 1008),
    ],
)
async def test_errors_are_told_in_json_then_the_socket_closes(
    office: Office, message: str, code: str, close: int
) -> None:
    async with office.client.ws_connect(PATH) as socket:
        await socket.send_str(message)
        answer = await socket.receive_json(timeout=5)
        assert (answer["type"], answer["code"]) == ("error", code)
        assert (await socket.receive()).data == close
    assert office.meter.refusals == {code: 1}


async def test_who_does_not_start_is_not_waited_for(office: Office) -> None:
    async with office.client.ws_connect(PATH) as socket:
        assert (await socket.receive_json(timeout=5))["code"] == "no-start"
        assert (await socket.receive()).data == 1008


async def test_a_flood_is_cut_off() -> None:
    office = Office(SocketLimits(max_speed=8.0, burst_s=2.0, idle_limit_s=1.0, max_message_bytes=256 * 1024))
    async with office.client, office.socket() as (socket, _):

        async def flood() -> None:
            for _ in range(2000):
                await socket.send_bytes(bytes(32_000))
                await asyncio.sleep(0.002)

        with pytest.raises((ConnectionError, aiohttp.ClientError)):
            await flood()
        assert office.meter.refusals == {"too-fast": 1}
