"""What a crash may cost: nothing that was said, nothing twice, and every hole marked."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from media_gateway.caller import CallerError
from tests.bench.score import score
from tests.recordings import cut
from tests.whole import ROOT, Whole, whole

CALL_S = 30
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with whole(tmp_path_factory.mktemp("faults") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample call's first half minute."""
    source = ROOT / "infra" / "sample" / "call.flac"
    return cut(source, tmp_path_factory.mktemp("recording") / "call.wav", 0, CALL_S)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(installation: Whole, recording: Path) -> dict[str, Any]:
    """The call as it comes out when nothing breaks."""
    return await installation.settled(await installation.place(recording))


def words(snapshot: dict[str, Any], role: str) -> str:
    return " ".join(s["text"] for s in snapshot["segments"] if s["role"] == role)


def assert_complete(snapshot: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    """Every stretch of speech of the undisturbed call is there once (cuts may differ by a word at their edges)."""
    for role in ("customer", "agent"):
        whole_text = words(undisturbed, role)
        apart = score(whole_text, words(snapshot, role))
        assert apart.errors <= max(4, 0.15 * apart.words), (whole_text, words(snapshot, role))
    for track in snapshot["tracks"]:
        of_track = [s for s in snapshot["segments"] if s["track_id"] == track["id"]]
        assert len({s["seq"] for s in of_track}) == len(of_track)
        for earlier, later in itertools.pairwise(of_track):
            assert earlier["seq"] < later["seq"]
            assert earlier["end_ms"] <= later["start_ms"], "the same words twice"
        assert track["closed"]


async def test_a_call_is_transcribed_and_understood(undisturbed: dict[str, Any]) -> None:
    assert "platinum motors" in words(undisturbed, "agent").lower()
    assert "car from your dealership" in words(undisturbed, "customer").lower()
    assert undisturbed["call"]["status"] == "ended"
    assert undisturbed["call"]["door"] == "twilio"
    assert not undisturbed["gaps"]
    kinds = {insight["kind"] for insight in undisturbed["insights"]}
    assert {"summary", "sentiment", "complaint"} <= kinds
    spoken = {s["segment_id"] for s in undisturbed["segments"]}
    for insight in undisturbed["insights"]:
        assert spoken.issuperset(insight["evidence"])
    for segment in undisturbed["segments"]:
        assert segment["latency_ms"] is not None
        assert segment["words"]


async def test_asr_and_insight_workers_killed_in_mid_call(
    installation: Whole, recording: Path, undisturbed: dict[str, Any]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(installation.place(recording))
        await asyncio.sleep(9)  # the agent has spoken, the customer is in mid-sentence
        await installation.kill("asr")
        await asyncio.sleep(1)
        await installation.start("asr")
        await asyncio.sleep(5)
        await installation.kill("insights")
        await installation.start("insights")
    snapshot = await installation.settled(call.result())
    assert_complete(snapshot, undisturbed)
    assert not snapshot["gaps"]
    kinds = [(i["kind"], i["insight_id"]) for i in snapshot["insights"]]
    assert len(set(kinds)) == len(kinds)
    assert {"summary", "sentiment", "complaint"} <= {kind for kind, _ in kinds}


async def test_redis_away_for_ten_seconds(installation: Whole, recording: Path, undisturbed: dict[str, Any]) -> None:
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(installation.place(recording))
        await asyncio.sleep(8)
        await installation.redis.kill()
        async with installation.http.get("/readyz") as reply:
            assert reply.status == 503
            assert not (await reply.json())["checks"]["redis"]["ok"]
        await asyncio.sleep(10)
        await installation.redis.start()
    snapshot = await installation.settled(call.result())
    assert_complete(snapshot, undisturbed)
    assert not snapshot["gaps"]


async def test_gateway_killed_in_mid_call(installation: Whole, recording: Path) -> None:
    """Audio that nobody could take is gone: what was said before stays, the call ends, the loss is marked."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_place_and_lose(installation, recording))
        await asyncio.sleep(12)
        await installation.kill("serve")
    await installation.start("serve")
    await installation.ready()
    sid = await installation.pool.fetchval("SELECT external_id FROM calls ORDER BY started_at DESC LIMIT 1")
    snapshot = await installation.settled(sid)
    assert snapshot["call"]["status"] == "ended"
    assert "platinum motors" in words(snapshot, "agent").lower()
    assert {gap["cause"] for gap in snapshot["gaps"]} == {"gateway-lost"}


async def _place_and_lose(installation: Whole, recording: Path) -> None:
    with pytest.raises(CallerError):
        await installation.place(recording)
