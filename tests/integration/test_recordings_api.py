"""Recordings over HTTP: as much of them as is asked for, to whom they belong, and never another file."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from dashboard import views
from infra.control import CallNotLive, ControlError, NotAllowed, NotRecorded
from infra.embedded import Services
from infra.model import Call
from infra.shelf import peaks_path
from infra.store.recordings import Recorded, recording_id
from infra.store.users import User
from tests.integration.dashboard_world import BEGAN, World, world_on

CONTENT = bytes(range(256)) * 4000


class Line:
    """The calls on the line, as far as they can be paused."""

    def __init__(self) -> None:
        self.paused: dict[UUID, bool] = {}
        self.users: list[User] = []
        self.refuse: ControlError | None = None

    async def pause_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None:
        self._do(tenant_id, call_id, user, True)

    async def resume_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None:
        self._do(tenant_id, call_id, user, False)

    def _do(self, tenant_id: UUID, call_id: UUID, user: User, pause: bool) -> None:
        if self.refuse is not None:
            raise self.refuse
        assert tenant_id == user.tenant_id
        self.paused[call_id] = pause
        self.users.append(user)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def world(services: Services, tmp_path: Path, line: Line) -> AsyncIterator[World]:
    async with world_on(services, control=line, hearline_data_dir=tmp_path) as running:
        yield running


async def ask(
    world: World, path: str, *, method: str = "GET", role: Any = "agent", tenant_id: UUID | None = None, **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """Ask for something under /api/v1/calls; a header's _ is a -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= await world.headers(role, tenant_id)
    async with world.http.request(method, f"{world.url}/api/v1/calls/{path}", headers=sent) as answer:
        return answer, await answer.read()


async def saved(world: World, **facts: Any) -> tuple[Call, Path]:
    call = await world.call(**facts)
    return call, await world.record(call, CONTENT)


async def audited(world: World, call: Call) -> list[str]:
    rows = await world.pool.fetch("SELECT act FROM audit_log WHERE object_id = $1 ORDER BY id", str(call.id))
    return [row["act"] for row in rows]


async def test_the_whole_of_it(world: World) -> None:
    call, _ = await saved(world, external_id="CAwhole")
    for name in (str(call.id), "CAwhole"):
        answer, body = await ask(world, f"{name}/recording")
        assert (answer.status, body) == (200, CONTENT)
        assert answer.headers["Content-Type"] == "audio/ogg; codecs=opus"
        assert answer.headers["Content-Disposition"] == 'inline; filename="call-CAwhole.opus"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer, _ = await ask(world, "CAwhole/recording?download=1")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="call-CAwhole.opus"'
    assert await audited(world, call) == ["recording.play", "recording.play", "recording.download"]  # three people


async def test_flac_is_called_flac(world: World) -> None:
    call = await world.call()
    await world.record(call, CONTENT, "flac")
    answer, body = await ask(world, f"{call.id}/recording")
    assert (answer.headers["Content-Type"], body) == ("audio/flac", CONTENT)


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, len(CONTENT)),
        ("bytes=0-99", 0, 100),
        ("bytes=1000-700000", 1000, 700_001),
        (f"bytes={len(CONTENT) - 1}-", len(CONTENT) - 1, len(CONTENT)),
        ("bytes=-500", len(CONTENT) - 500, len(CONTENT)),
        ("bytes=-99999999", 0, len(CONTENT)),
        ("bytes=5-99999999", 5, len(CONTENT)),
    ],
)
async def test_a_part_of_it(world: World, asked: str, begin: int, end: int) -> None:
    call, _ = await saved(world)
    answer, body = await ask(world, f"{call.id}/recording", Range=asked)
    assert (answer.status, body) == (206, CONTENT[begin:end])
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(end - begin)
    answer, body = await ask(world, f"{call.id}/recording", method="HEAD", Range=asked)
    assert (answer.status, answer.headers["Content-Length"], body) == (206, str(end - begin), b"")


@pytest.mark.parametrize("asked", ["bytes=", "bytes=9-1", "bytes=0-1,5-6", "frames=0-1", "bytes=x-y", "0-5"])
async def test_what_is_no_range_is_passed_over(world: World, asked: str) -> None:
    call, _ = await saved(world)
    answer, body = await ask(world, f"{call.id}/recording", Range=asked)
    assert (answer.status, body) == (200, CONTENT)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=99999999-99999999", "bytes=-0"])
async def test_bytes_that_it_does_not_have(world: World, asked: str) -> None:
    call, _ = await saved(world)
    answer, body = await ask(world, f"{call.id}/recording", Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
    assert answer.content_type == "application/problem+json"
    assert msgspec.json.decode(body)["status"] == 416


async def test_a_part_of_another_version_is_all_of_this_one(world: World) -> None:
    call, _ = await saved(world)
    answer, _ = await ask(world, f"{call.id}/recording", method="HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(CONTENT)))
    for version in (answer.headers["ETag"], answer.headers["Last-Modified"]):
        part, body = await ask(world, f"{call.id}/recording", Range="bytes=5-6", If_Range=version)
        assert (part.status, body) == (206, CONTENT[5:7])
    for version in ('"another"', "Mon, 02 Mar 2026 09:00:00 GMT"):
        part, body = await ask(world, f"{call.id}/recording", Range="bytes=5-6", If_Range=version)
        assert (part.status, body) == (200, CONTENT)


async def test_a_player_that_asks_piece_by_piece_is_written_down_once(world: World) -> None:
    call, _ = await saved(world)
    headers = await world.headers("agent")
    for begin in range(0, 5000, 1000):
        part = {**headers, "Range": f"bytes={begin}-{begin + 999}"}
        async with world.http.get(f"{world.url}/api/v1/calls/{call.id}/recording", headers=part) as answer:
            assert answer.status == 206
    assert await audited(world, call) == ["recording.play"]


async def test_a_download_that_takes_its_time_is_not_cut_off(services: Services, tmp_path: Path) -> None:
    from dashboard.limits import Limits

    async with world_on(services, hearline_data_dir=tmp_path, limits=Limits(answer_s=0.3)) as world:
        call = await world.call()
        content = CONTENT * 30
        await world.record(call, content)
        headers = await world.headers()
        async with world.http.get(f"{world.url}/api/v1/calls/{call.id}/recording", headers=headers) as answer:
            body = await answer.content.readexactly(1000)
            await asyncio.sleep(0.8)
            body += await answer.read()
        assert body == content


async def test_peaks(world: World) -> None:
    call, path = await saved(world)
    peaks = await world.get(f"/api/v1/calls/{call.id}/recording/peaks")
    assert peaks == {"duration_ms": 4000, "step_ms": 2000, "left": [0.5, 0.25], "right": [0.0, 1.0]}
    for content in (b"{", b'{"duration_ms": "no"}'):
        peaks_path(path).write_bytes(content)
        await world.get(f"/api/v1/calls/{call.id}/recording/peaks", status=404)
    peaks_path(path).unlink()
    await world.get(f"/api/v1/calls/{call.id}/recording/peaks", status=404)


async def test_what_is_not_there_yet_or_never_was(world: World) -> None:
    call = await world.call()
    of = Recorded(call.tenant_id, call.id, world.shelf.name(call.id, BEGAN, "opus"), "opus")
    parts = ("", "/peaks")

    async def statuses() -> list[int]:
        return [(await ask(world, f"{call.id}/recording{part}"))[0].status for part in parts]

    assert await statuses() == [404, 404]
    await world.recordings.open(of)
    assert await statuses() == [409, 409]
    await world.recordings.fail(of, "disk-full")
    assert await statuses() == [404, 404]
    await world.recordings.save(of, size_bytes=1, duration_ms=1)
    assert await statuses() == [404, 404]  # the row without its file
    for name in ("CAnobody", str(uuid4()), "%2e%2e", "..%2f..%2fetc%2fpasswd"):
        assert (await ask(world, f"{name}/recording"))[0].status == 404


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "2026/03/02/{other}.opus", "2026/03/02/{own}.opus"])
async def test_no_row_leads_to_another_file(world: World, tmp_path: Path, name: str) -> None:
    other, path = await saved(world)
    call = await world.call(external_id="../../../etc/passwd")
    (tmp_path / "secret").write_bytes(b"secret")
    name = name.format(other=other.id, own=call.id)
    if name.endswith(f"{call.id}.opus"):
        path.with_name(f"{call.id}.opus").symlink_to(tmp_path / "secret")
    await world.recordings.save(Recorded(call.tenant_id, call.id, name, "opus"), size_bytes=6, duration_ms=1)
    answer, body = await ask(world, f"{call.id}/recording")
    assert answer.status == 404
    assert b"secret" not in body
    assert (await ask(world, "..%2F..%2F..%2Fetc%2Fpasswd/recording"))[0].status == 404


async def test_other_tenants_hear_none_of_it(world: World, line: Line) -> None:
    call, _ = await saved(world)
    stranger = await world.new_tenant()
    for method, part in (("GET", ""), ("HEAD", ""), ("GET", "/peaks"), ("POST", "/pause"), ("POST", "/resume")):
        answer, _ = await ask(world, f"{call.id}/recording{part}", method=method, tenant_id=stranger, role="admin")
        assert answer.status == 404
    assert line.paused == {}
    assert await audited(world, call) == []


async def test_a_live_recording_is_paused_and_resumed(world: World, line: Line) -> None:
    call = await world.call(external_id="CAlive")
    for act, state, name in (
        ("pause", "paused", "CAlive"),
        ("pause", "paused", "CAlive"),
        ("resume", "on", str(call.id)),
    ):
        answer, body = await ask(world, f"{name}/recording/{act}", method="POST")
        assert (answer.status, msgspec.json.decode(body)) == (200, {"state": state})
        assert line.paused == {call.id: act == "pause"}
    assert [user.role for user in line.users] == ["agent"] * 3


@pytest.mark.parametrize(
    ("refusal", "status"), [(CallNotLive(), 409), (NotRecorded(), 409), (NotAllowed("not your call"), 403)], ids=str
)
async def test_what_cannot_be_paused(world: World, line: Line, refusal: ControlError, status: int) -> None:
    call = await world.call()
    line.refuse = refusal
    for act in ("pause", "resume"):
        answer, body = await ask(world, f"{call.id}/recording/{act}", method="POST")
        assert answer.status == status
        assert msgspec.json.decode(body)["detail"] == str(refusal)
        assert (await ask(world, f"{uuid4()}/recording/{act}", method="POST"))[0].status == 404
    assert await audited(world, call) == []


async def test_where_no_calls_are_on_the_line_nothing_is_paused(services: Services, tmp_path: Path) -> None:
    async with world_on(services, hearline_data_dir=tmp_path) as world:
        call = await world.call()
        assert (await ask(world, f"{call.id}/recording/pause", method="POST"))[0].status == 503


async def test_the_snapshot_tells_how_the_recording_stands(world: World) -> None:
    call = await world.call()
    of = Recorded(call.tenant_id, call.id, world.shelf.name(call.id, BEGAN, "opus"), "opus")

    async def told() -> views.RecordingView:
        snapshot = await world.get(f"/api/v1/calls/{call.id}")
        return msgspec.convert(snapshot, views.Snapshot).recording

    assert await told() == views.RecordingView("off")
    await world.recordings.open(of)
    on = await told()
    assert (on.state, on.recording_id, on.format, on.duration_ms) == ("on", recording_id(call.id), "opus", None)
    await world.recordings.add_pause(of, 3000, None)
    await world.recordings.add_pause(of, 3000, None)
    await world.recordings.add_pause(of, 1000, 1200, "slow-disk")
    assert (await told()).state == "paused"
    await world.recordings.end_pause(of, 4000)
    paused = await told()
    assert paused.state == "on"
    holes = [views.PauseView(1000, 1200, "slow-disk"), views.PauseView(3000, 4000, "asked")]
    assert paused.pauses == holes
    await world.recordings.add_pause(of, 5000, None)
    await world.calls.end(call.id, "completed", BEGAN, 6000)
    assert (await told()).state == "writing"
    await world.recordings.save(of, size_bytes=77, duration_ms=6000, reason="disk-full")
    end = await told()
    assert (end.state, end.bytes, end.duration_ms, end.reason) == ("saved", 77, 6000, "disk-full")
    assert end.pauses == [*holes, views.PauseView(5000, 6000, "asked")]
    await world.recordings.fail(of, "encoder")
    assert ((await told()).state, (await told()).reason) == ("failed", "encoder")
