"""Recordings brought into a whole installation: told as calls, and nothing lost or twice whatever breaks."""

import asyncio
import hashlib
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
import pytest_asyncio

from infra.importing import Outcome, Wanted, bring_in
from media_gateway.importing import tracks
from tests.bench.score import score
from tests.conftest import until
from tests.recordings import cut
from tests.whole import ROOT, TOKEN, Whole, whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
SAMPLE_MS = 65_300
PIECE = 512 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with whole(tmp_path_factory.mktemp("imports") / "data", HEARLINE_IMPORT_HOURS="1") as running:
        yield running


async def sent(running: Whole, *files: Path, wait: bool = True, **wanted: Any) -> list[Outcome]:
    """Import as the command does."""
    return await bring_in(
        list(files), running.url, TOKEN, Wanted(**wanted), wait=wait, show=lambda _: None, tell=lambda _: None
    )


async def one(running: Whole, file: Path, **wanted: Any) -> Outcome:
    (outcome,) = await sent(running, file, **wanted)
    return outcome


async def settled(running: Whole, call_id: str | None) -> dict[str, Any]:
    """The snapshot of a call whose last insight is stored, and its recording saved."""
    assert call_id is not None

    async def snapshot() -> dict[str, Any] | None:
        found = await running.get(f"/api/v1/calls/{call_id}")
        is_over = found["call"]["settled_at"] and found["recording"]["state"] == "saved"
        return found if is_over else None

    found = await until(snapshot, within_s=90)
    assert found is not None
    return found


def words(snapshot: dict[str, Any], *roles: str) -> str:
    return " ".join(s["text"] for s in snapshot["segments"] if not roles or s["role"] in roles)


def assert_once(snapshot: dict[str, Any]) -> None:
    """No segment twice, none over another of its track, every track closed."""
    for track in snapshot["tracks"]:
        of_track = [s for s in snapshot["segments"] if s["track_id"] == track["id"]]
        for earlier, later in itertools.pairwise(of_track):
            assert earlier["seq"] < later["seq"]
            assert earlier["end_ms"] <= later["start_ms"]
        assert track["closed"]


def assert_alike(found: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    assert_once(found)
    for role in ("customer", "agent"):
        apart = score(words(undisturbed, role), words(found, role))
        assert apart.errors <= max(3, 0.06 * apart.words), (words(undisturbed, role), words(found, role))
    assert found["gaps"] == undisturbed["gaps"]
    assert found["call"]["duration_ms"] == undisturbed["call"]["duration_ms"]


def changed(source: Path, target: Path, *, seconds: float = 65.0, codec: str = "pcm_s16le", **container: Any) -> Path:
    """Write a recording anew in another container; `video`: a picture beside it."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        rate_hz = container.pop("rate_hz", 16_000)
        stream = writing.add_stream(codec, rate=rate_hz, layout="stereo")
        picture = writing.add_stream(container.pop("video"), rate=5) if "video" in container else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        to_rate = av.AudioResampler(format=stream.codec_context.format or "s16", layout="stereo", rate=rate_hz)
        for frame in reading.decode(audio=0):
            if frame.time is not None and frame.time > seconds:
                break
            for plain in to_rate.resample(frame):
                writing.mux(stream.encode(plain))
        if picture is not None:
            for _ in range(int(seconds * 5)):
                black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                writing.mux(picture.encode(black))
            writing.mux(picture.encode(None))
        writing.mux(stream.encode(None))
    return target


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(installation: Whole) -> dict[str, Any]:
    """The sample call as it comes out when nothing breaks; faster than it was spoken."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    outcome = await one(installation, SAMPLE, from_number="+15550123", title="The car")
    took_s = loop.time() - began_s
    assert outcome.status == "done"
    assert took_s < SAMPLE_MS / 1000, "slower than real time"
    return await settled(installation, outcome.call_id)


async def test_a_stereo_file_becomes_a_call(installation: Whole, undisturbed: dict[str, Any]) -> None:
    call = undisturbed["call"]
    assert (call["door"], call["status"], call["end_reason"]) == ("file", "ended", "imported")
    assert (call["title"], call["from_number"], call["duration_ms"]) == ("The car", "+15550123", SAMPLE_MS)
    assert call["external_id"] == f"file:{hashlib.sha256(SAMPLE.read_bytes()).hexdigest()}"
    assert_once(undisturbed)
    assert not undisturbed["gaps"]
    assert "platinum motors" in words(undisturbed, "agent").lower()
    assert "car from your dealership" in words(undisturbed, "customer").lower()
    assert {"summary", "sentiment", "complaint"} <= {insight["kind"] for insight in undisturbed["insights"]}
    assert all(segment["latency_ms"] is None and segment["words"] for segment in undisturbed["segments"])
    assert undisturbed["recording"]["duration_ms"] == SAMPLE_MS
    async with installation.http.get(f"/api/v1/calls/{call['id']}/recording") as reply:
        assert reply.status == 200
    async with installation.http.get(f"/api/v1/calls/{call['id']}/export?format=srt") as reply:
        assert "Platinum Motors" in await reply.text()
