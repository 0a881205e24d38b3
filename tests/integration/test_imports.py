"""Recordings brought into a whole installation: told as calls, and nothing lost or twice whatever breaks."""

import asyncio
import hashlib
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio

from infra.bus.streams import open_redis
from infra.importing import Outcome, Wanted, bring_in
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
    assert abs(found["call"]["duration_ms"] - undisturbed["call"]["duration_ms"]) < 20


def changed(source: Path, target: Path, *, seconds: float = 66.0, codec: str = "pcm_s16le", **container: Any) -> Path:
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
        for plain in to_rate.resample(None):
            writing.mux(stream.encode(plain))
        if picture is not None:
            for _ in range(int(min(seconds, SAMPLE_MS / 1000) * 5)):
                black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                writing.mux(picture.encode(black))
            writing.mux(picture.encode(None))
        writing.mux(stream.encode(None))
    return target


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(installation: Whole) -> dict[str, Any]:
    """The sample call as it comes out when nothing breaks. How fast: `make bench import`."""
    outcome = await one(installation, SAMPLE, from_number="+15550123", title="The car")
    assert outcome.status == "done"
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


async def test_the_same_file_is_found_again_and_brought_in_anew_only_when_asked(
    installation: Whole, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    other_name = tmp_path / "copy of call.flac"
    other_name.write_bytes(SAMPLE.read_bytes())
    outcome = await one(installation, other_name)
    assert (outcome.status, outcome.is_new, outcome.call_id) == ("done", False, undisturbed["call"]["id"])
    again = await one(installation, other_name, again=True, left="agent")
    assert again.call_id not in {None, undisturbed["call"]["id"]}
    found = await settled(installation, again.call_id)
    assert found["call"]["title"] == "copy of call"
    assert found["call"]["external_id"] == undisturbed["call"]["external_id"] + ":2"
    assert "platinum motors" in words(found, "customer").lower(), "the left channel is the agent's now"


async def test_a_gateway_killed_in_mid_import_goes_on(
    installation: Whole, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file = changed(SAMPLE, tmp_path / "killed.wav", seconds=66)
    outcome = await one(installation, file, wait=False)
    await _under_way(installation, outcome)
    await installation.kill("serve")
    await asyncio.sleep(1)
    await installation.start("serve")
    await installation.ready()
    assert (await one(installation, file)).call_id == await _call_of(installation, outcome)
    found = await settled(installation, await _call_of(installation, outcome))
    assert_alike(found, undisturbed)
    assert found["recording"]["duration_ms"] == found["call"]["duration_ms"]
    assert not await installation.pool.fetchval("SELECT count(*) FROM calls WHERE end_reason = 'gateway lost'")


async def test_a_recogniser_killed_in_mid_import_goes_on(
    installation: Whole, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file = changed(SAMPLE, tmp_path / "killed.flac", codec="flac")
    outcome = await one(installation, file, wait=False)
    await _under_way(installation, outcome)
    await installation.kill("asr")
    await installation.start("asr")
    assert (await one(installation, file)).status == "done"
    assert_alike(await settled(installation, await _call_of(installation, outcome)), undisturbed)


@pytest.mark.parametrize("emptied", [False, True])
async def test_redis_away_in_mid_import(
    installation: Whole, undisturbed: dict[str, Any], tmp_path: Path, *, emptied: bool
) -> None:
    file = changed(SAMPLE, tmp_path / f"away{emptied}.mkv", codec="flac")
    outcome = await one(installation, file, wait=False)
    await _under_way(installation, outcome)
    if emptied:
        client = open_redis(installation.redis.url)
        await client.flushall()
        await client.aclose()
    else:
        await installation.redis.stop()
        await asyncio.sleep(10)
        await installation.redis.start()
    assert (await one(installation, file)).status == "done"
    assert_alike(await settled(installation, await _call_of(installation, outcome)), undisturbed)


async def test_an_interrupted_upload_goes_on_where_it_stopped(installation: Whole, tmp_path: Path) -> None:
    file = changed(SAMPLE, tmp_path / "half.wav", seconds=30)
    content = file.read_bytes()
    body = {"name": file.name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    begun = await _post(installation, body)
    assert (begun["status"], begun["received_bytes"], begun["is_new"]) == ("uploading", 0, True)
    await _put(installation, begun["id"], 0, content[:PIECE], status=200)
    refused = await _put(installation, begun["id"], 0, content[:PIECE], status=409)
    assert refused["received_bytes"] == PIECE
    await installation.kill("serve")
    await installation.start("serve")
    await installation.ready()
    assert (await _post(installation, body))["received_bytes"] == PIECE
    outcome = await one(installation, file)
    assert (outcome.status, outcome.import_id) == ("done", begun["id"])
    assert not list((Path(installation.environment["HEARLINE_DATA_DIR"]) / "imports" / begun["id"]).glob("*"))


async def test_what_arrives_is_compared_with_what_was_announced(installation: Whole, tmp_path: Path) -> None:
    content = changed(SAMPLE, tmp_path / "other.wav", seconds=3).read_bytes()
    body = {"name": "other.wav", "size_bytes": len(content), "sha256": "0" * 64}
    begun = await _post(installation, body)
    for at in range(0, len(content), PIECE):
        await _put(installation, begun["id"], at, content[at : at + PIECE], status=200)
    failed = await _ended(installation, begun["id"])
    assert (failed["status"], failed["problem"]) == ("failed", "did not arrive as it was sent; send it again")


@pytest.mark.parametrize(
    ("name", "codec", "more"),
    [
        ("call.mp3", "libmp3lame", {}),
        ("call.ogg", "libopus", {"rate_hz": 48_000}),
        ("call.m4a", "aac", {"rate_hz": 44_100}),
        ("call.webm", "libopus", {"rate_hz": 48_000, "video": "libvpx"}),
        ("call.mp4", "aac", {"rate_hz": 48_000, "video": "mpeg4"}),
    ],
)
async def test_containers(
    installation: Whole, undisturbed: dict[str, Any], tmp_path: Path, name: str, codec: str, more: dict[str, Any]
) -> None:
    file = changed(SAMPLE, tmp_path / name, seconds=20, codec=codec, **more)
    outcome = await one(installation, file)
    assert (outcome.status, outcome.problem) == ("done", None)
    found = await installation.get(f"/api/v1/calls/{outcome.call_id}")
    assert "platinum motors" in words(found, "agent").lower()
    assert "dealership" in words(found, "customer").lower()
    assert 19_500 < found["call"]["duration_ms"] < 21_500
    assert not found["gaps"]


async def test_mono_is_one_track_of_several_people_or_one(installation: Whole, tmp_path: Path) -> None:
    file = cut(SAMPLE, tmp_path / "mono.wav", 0, 15, channel=1)
    outcome = await one(installation, file)
    found = await installation.get(f"/api/v1/calls/{outcome.call_id}")
    ((leg,), (track,)) = (found["legs"], found["tracks"])
    assert leg["joined_at"] == found["call"]["started_at"] < leg["left_at"] == found["call"]["ended_at"]
    assert (track["role"], track["mixed"]) == ("unknown", True)
    outcome = await one(installation, file, again=True, parties="one", left="agent")
    (track,) = (await installation.get(f"/api/v1/calls/{outcome.call_id}"))["tracks"]
    assert (track["role"], track["mixed"]) == ("agent", False)


async def test_what_cannot_be_imported_is_told_and_the_others_go_on(installation: Whole, tmp_path: Path) -> None:
    six = tmp_path / "six.wav"
    with av.open(str(six), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 6 * 8000), np.int16), format="s16", layout="5.1")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    text, raw, empty = tmp_path / "notes.wav", tmp_path / "audio.raw", tmp_path / "empty.wav"
    text.write_text("The customer called about the car.\n" * 200)
    raw.write_bytes(np.random.default_rng(7).integers(-9000, 9000, 40_000, np.int16).tobytes())
    empty.touch()
    whole_m4a = changed(SAMPLE, tmp_path / "whole.m4a", seconds=5, codec="aac")
    headless = tmp_path / "headless.m4a"
    headless.write_bytes(whole_m4a.read_bytes()[: whole_m4a.stat().st_size // 2])
    silent = changed(SAMPLE, tmp_path / "long.opus", seconds=1, codec="libopus", rate_hz=48_000)
    _lengthen(silent, tmp_path / "long.ogg", 3700)
    good = changed(SAMPLE, tmp_path / "good.wav", seconds=4)
    missing = tmp_path / "missing.wav"
    files = [six, text, raw, empty, headless, tmp_path / "long.ogg", missing, good]
    outcomes = {outcome.file: outcome for outcome in await sent(installation, *files)}
    assert {file.name: outcome.problem for file, outcome in outcomes.items()} == {
        "six.wav": "has 6 channels; a call has one or two parties",
        "notes.wav": "is no recording that can be read",
        "audio.raw": "is no recording that can be read",
        "empty.wav": "is empty",
        "headless.m4a": "is no recording that can be read",
        "long.ogg": "is longer than 1 hour",
        "missing.wav": "No such file or directory",
        "good.wav": None,
    }
    assert outcomes[good].status == "done"


async def test_a_truncated_file_gives_what_it_holds_and_says_so(installation: Whole, tmp_path: Path) -> None:
    whole_file = changed(SAMPLE, tmp_path / "call.flac", seconds=30, codec="flac").read_bytes()
    file = tmp_path / "truncated.flac"
    file.write_bytes(whole_file[: len(whole_file) // 2])
    outcome = await one(installation, file)
    assert (outcome.status, outcome.problem) == ("done", "breaks off before its end; what it holds is here")
    found = await installation.get(f"/api/v1/calls/{outcome.call_id}")
    assert "platinum motors" in words(found, "agent").lower()


async def test_a_cancelled_import_keeps_what_was_transcribed(installation: Whole, tmp_path: Path) -> None:
    file = changed(SAMPLE, tmp_path / "cancelled.wav")
    _lengthen(file, tmp_path / "cancelled-long.wav", 600)
    outcome = await one(installation, tmp_path / "cancelled-long.wav", wait=False)
    await _under_way(installation, outcome)
    async with installation.http.post(f"/api/v1/imports/{outcome.import_id}/cancel") as reply:
        assert reply.status == 200
    assert (await _ended(installation, outcome.import_id))["status"] == "cancelled"
    found = await settled(installation, await _call_of(installation, outcome))
    assert (found["call"]["end_reason"], found["call"]["status"]) == ("cancelled", "ended")
    assert found["segments"]
    assert not found["gaps"]
    assert_once(found)


async def test_the_command(installation: Whole, tmp_path: Path) -> None:
    changed(SAMPLE, tmp_path / "one.wav", seconds=4)
    changed(SAMPLE, tmp_path / "two.mp3", seconds=5, codec="libmp3lame")
    (tmp_path / "readme.txt").write_text("not taken from a directory")
    code, lines, told = await _command(installation, str(tmp_path), "--json")
    assert code == 0, told
    assert {Path(line["file"]).name: line["status"] for line in lines} == {"one.wav": "done", "two.mp3": "done"}
    code, lines, told = await _command(installation, str(tmp_path / "one.wav"), str(tmp_path / "readme.txt"), "--json")
    assert code == 1
    assert [line["status"] for line in lines] == ["done", "failed"] or [x["status"] for x in lines] == [
        "failed",
        "done",
    ]
    assert "readme.txt: is no recording that can be read" in told
    assert "one.wav: is a call already" in told


async def _command(running: Whole, *arguments: str) -> tuple[int | None, list[dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.main",
        "import",
        *arguments,
        env=running.environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, told = await process.communicate()
    return process.returncode, [json.loads(line) for line in out.decode().splitlines()], told.decode()


def _lengthen(source: Path, target: Path, seconds: int) -> None:
    """Write a recording again and again behind itself."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = writing.add_stream_from_template(reading.streams.audio[0])
        packets = [packet for packet in reading.demux(audio=0) if packet.dts is not None]
        assert packets[-1].pts is not None
        assert packets[-1].duration is not None
        length = packets[-1].pts + packets[-1].duration
        turns = int(seconds / (length * stream.time_base)) + 1 if stream.time_base else 1
        contents = [(bytes(packet), packet.pts or 0, packet.duration or 0) for packet in packets]
        for turn in range(turns):
            for content, pts, duration in contents:
                again = av.Packet(content)
                again.pts = again.dts = pts + turn * length
                again.duration, again.time_base, again.stream = duration, stream.time_base, stream
                writing.mux(again)


async def _under_way(running: Whole, outcome: Outcome) -> None:
    """Wait until the first words of an import are stored."""

    async def words_stored() -> bool:
        count = (
            "SELECT count(*) FROM meeting_transcripts t JOIN imports i ON i.call_id = t.call_id WHERE i.id::text = $1"
        )
        return bool(await running.pool.fetchval(count, outcome.import_id))

    await until(words_stored, within_s=60)


async def _call_of(running: Whole, outcome: Outcome) -> str:
    found = await running.get(f"/api/v1/imports/{outcome.import_id}")
    return str(found["call_id"])


async def _ended(running: Whole, import_id: str | None) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = await running.get(f"/api/v1/imports/{import_id}")
        return found if found["ended_at"] else None

    found = await until(ended, within_s=60)
    assert found is not None
    return found


async def _post(running: Whole, body: dict[str, Any]) -> dict[str, Any]:
    async with running.http.post("/api/v1/imports", json=body) as reply:
        assert reply.status in {200, 201}, await reply.text()
        return dict(await reply.json())


async def _put(running: Whole, import_id: str, offset: int, data: bytes, *, status: int) -> dict[str, Any]:
    headers = {"Content-Type": "application/octet-stream"}
    path = f"/api/v1/imports/{import_id}/content?offset={offset}"
    async with running.http.put(path, data=data, headers=headers) as reply:
        assert reply.status == status, await reply.text()
        return dict(await reply.json(content_type=None))
