"""Who speaks on a mixed track: stored, told, corrected by people, and heard in a real call through the door."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
from redis.asyncio import Redis

from dashboard import state
from infra.bus import keys
from infra.bus.codec import TrackWork
from infra.bus.streams import START, EventStreams
from infra.bus.voices import Voices
from infra.embedded import Services
from infra.model import Call, Role, Track, TranscriptSegment, Word
from infra.store.calls import CallStore
from infra.store.speakers import Assignment, SpeakersChange, SpeakerStore, change_key, change_to_json
from infra.store.transcripts import TranscriptStore
from tests.conftest import until
from tests.integration.dashboard_world import World, plain, world_on
from tests.parts import final, track_work
from tests.whole import MODELS, ROOT, whole
from workers.asr.overload import Ladder, Overload, Step
from workers.asr.speakers import Heard, Labels
from workers.asr.speakers import service as speaker_service
from workers.asr.speakers.service import SpeakerService, TrackSpeakers

ASKS = "Thank you for calling Contoso. How can I help you today?"
WANTS = "I'm calling about my order. I want to return it."


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    async with world_on(services) as running:
        yield running


def worded(text: str, start_ms: int) -> tuple[Word, ...]:
    return tuple(Word(word, start_ms + 100 * at, start_ms + 100 * at + 80, 0.9) for at, word in enumerate(text.split()))


async def mixed_track(world: World, call: Call) -> Track:
    track = replace(await world.track(call, "unknown"), mixed=True)
    await world.pool.execute("UPDATE tracks SET mixed = true WHERE id = $1", track.id)
    return track


async def told(world: World, call: Call, change: SpeakersChange) -> None:
    await world.tell(call, "speakers", change_to_json(change), change_key(change))


async def patch(
    world: World, call_id: object, speaker: str, body: dict[str, Any], status: int = 200, role: str = "agent"
) -> Any:
    headers = await world.headers(role)  # type: ignore[arg-type]
    path = f"{world.url}/api/v1/calls/{call_id}/speakers/{speaker}"
    async with world.http.patch(path, headers=headers, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def a_call_of_two(world: World) -> tuple[Call, Track, list[TranscriptSegment]]:
    """Three finals: the agent, the customer, and one in which both speak."""
    call = await world.call()
    track = await mixed_track(world, call)
    texts = [ASKS, WANTS, "Which order? The last one."]
    said = [await world.say(call, track, seq, text, words=worded(text, seq * 2000)) for seq, text in enumerate(texts)]
    opened = {"track_id": track.id, "leg_id": track.leg_id, "role": "unknown", "label": "inbound"}
    await world.tell(call, "track.opened", {**opened, "speaker": "SPEAKER_00", "mixed": True})
    for segment in said:
        await world.tell_segment(call, segment)
    both = ("SPEAKER_00", "SPEAKER_00", "SPEAKER_01", "SPEAKER_01", "SPEAKER_01")
    change = await SpeakerStore(world.pool).assign(
        track.id,
        [
            Assignment(said[0].id, "SPEAKER_00"),
            Assignment(said[1].id, "SPEAKER_01"),
            Assignment(said[2].id, "SPEAKER_01", both),
        ],
        {"SPEAKER_00": "agent", "SPEAKER_01": "customer"},
    )
    await told(world, call, change)
    return call, track, said


async def test_what_is_stored_is_what_is_told(world: World) -> None:
    call, track, said = await a_call_of_two(world)
    snapshot = await world.get(f"/api/v1/calls/{call.id}")
    assert [(one["speaker"], one["role"]) for one in snapshot["segments"]] == [
        ("SPEAKER_00", "agent"),
        ("SPEAKER_01", "customer"),
        ("SPEAKER_01", "customer"),
    ]
    assert [word["speaker"] for word in snapshot["segments"][2]["words"]] == ["SPEAKER_00"] * 2 + ["SPEAKER_01"] * 3
    assert "speaker" not in snapshot["segments"][0]["words"][0]
    assert snapshot["speakers"] == [
        {"track_id": str(track.id), "speaker": "SPEAKER_00", "role": "agent", "source": "guess"},
        {"track_id": str(track.id), "speaker": "SPEAKER_01", "role": "customer", "source": "guess"},
    ]
    assert snapshot["tracks"][0]["mixed"] is True
    transcript = await world.get(f"/api/v1/calls/{call.id}/transcript")
    assert transcript["items"] == snapshot["segments"]
    assert [segment.id for segment in said] == [UUID(one["segment_id"]) for one in snapshot["segments"]]
    await agrees_with_its_events(world, call)


async def agrees_with_its_events(world: World, call: Call) -> None:
    """All events from the start, with any of them once more, make the state that the snapshot tells."""
    events = (await world.streams.page(keys.events(call.id), after=START)).events
    fresh = state.from_snapshot(await world.get(f"/api/v1/calls/{call.id}"))
    for again in range(len(events)):
        heard = state.apply_all(state.empty(str(call.id)), [*events, events[again]])
        assert heard.segments == fresh.segments
        assert heard.speakers == fresh.speakers
        assert state.apply_all(fresh, events[again:]).segments == fresh.segments


async def test_a_persons_word_stands_against_later_guesses(world: World) -> None:
    call, track, said = await a_call_of_two(world)
    changed = await patch(world, call.id, "SPEAKER_00", {"role": "customer"})
    assert changed == {
        "track_id": str(track.id),
        "speaker": "SPEAKER_00",
        "role": "customer",
        "source": "person",
    }
    event = (await world.streams.page(keys.events(call.id), after=START)).events[-1]
    assert event.type == "speakers"
    assert event.data["speakers"] == [
        {"speaker": "SPEAKER_00", "role": "customer", "source": "person"},
        {"speaker": "SPEAKER_01", "role": "agent", "source": "guess"},
    ]
    assert [one["role"] for one in event.data["segments"]] == ["customer", "agent", "agent"]
    late = await world.say(call, track, 3, ASKS, words=worded(ASKS, 6000))
    await world.tell_segment(call, late)
    change = await SpeakerStore(world.pool).assign(
        track.id, [Assignment(late.id, "SPEAKER_00")], {"SPEAKER_00": "agent", "SPEAKER_01": "customer"}
    )
    await told(world, call, change)
    snapshot = await world.get(f"/api/v1/calls/{call.id}")
    assert [one["role"] for one in snapshot["segments"]] == ["customer", "agent", "agent", "customer"]
    assert [(one["role"], one["source"]) for one in snapshot["speakers"]] == [
        ("customer", "person"),
        ("agent", "guess"),
    ]
    await agrees_with_its_events(world, call)
    rows = await world.pool.fetch("SELECT act, detail FROM audit_log WHERE object_id = $1", str(call.id))
    assert [(row["act"], row["detail"]["speaker"], row["detail"]["role"]) for row in rows] == [
        ("speaker.role", "SPEAKER_00", "customer")
    ]
    assert said[0].id != late.id


async def test_exports_show_who_said_what_as_corrected(world: World) -> None:
    call, _, _ = await a_call_of_two(world)
    await patch(world, call.id, "SPEAKER_00", {"role": "customer"}, role="supervisor")
    async with world.http.get(
        f"{world.url}/api/v1/calls/{call.id}/export?format=txt", headers=await world.headers()
    ) as answer:
        lines = (await answer.text()).splitlines()
    spoken = [line.partition("] ")[2] for line in lines if line.startswith("[")]
    assert spoken == [f"Customer: {ASKS}", f"Agent: {WANTS}", "Customer: Which order?", "Agent: The last one."]


async def test_what_cannot_be_corrected(world: World) -> None:
    call, track, _ = await a_call_of_two(world)
    await patch(world, call.id, "SPEAKER_07", {"role": "agent"}, 404)
    await patch(world, uuid4(), "SPEAKER_00", {"role": "agent"}, 404)
    await patch(world, call.id, "SPEAKER_00", {"role": "boss"}, 400)
    await patch(world, call.id, "S" * 100, {"role": "agent"}, 400)
    await patch(world, call.id, "SPEAKER_00", {"role": "agent", "track_id": str(uuid4())}, 404)
    stranger = await world.headers("admin", await world.new_tenant())
    async with world.http.patch(
        f"{world.url}/api/v1/calls/{call.id}/speakers/SPEAKER_00", headers=stranger, json={"role": "agent"}
    ) as answer:
        assert answer.status == 404
    other = await mixed_track(world, call)
    await SpeakerStore(world.pool).assign(other.id, [], {"SPEAKER_00": "unknown"})
    await patch(world, call.id, "SPEAKER_00", {"role": "agent"}, 409)
    changed = await patch(world, call.id, "SPEAKER_00", {"role": "supervisor", "track_id": str(other.id)})
    assert (changed["track_id"], changed["role"]) == (str(other.id), "supervisor")
    assert (await SpeakerStore(world.pool).of_track(track.id))[0].source == "guess"


async def test_a_party_on_a_track_of_their_own_can_be_cast_anew(world: World) -> None:
    call = await world.call()
    track, other = await world.track(call, "customer"), await world.track(call, "agent", "SPEAKER_01")
    said = await world.say(call, track, 0, ASKS)
    await world.tell_segment(call, said)

    changed = await patch(world, call.id, "SPEAKER_00", {"role": "agent"})

    assert (changed["track_id"], changed["role"]) == (str(track.id), "agent")
    later = await world.say(call, track, 1, WANTS)
    snapshot = await world.get(f"/api/v1/calls/{call.id}")
    assert [one["role"] for one in snapshot["segments"]] == ["agent", "agent"]
    assert {one["id"]: one["role"] for one in snapshot["tracks"]} == {str(track.id): "agent", str(other.id): "agent"}
    assert {one["id"]: one["side"] for one in snapshot["tracks"]} == {str(track.id): "left", str(other.id): "right"}
    assert {one["role"] for one in snapshot["legs"]} == {"agent"}
    assert [(one["speaker"], one["role"], one["source"]) for one in snapshot["speakers"]] == [
        ("SPEAKER_00", "agent", "person")
    ]
    await world.tell_segment(call, replace(later, role="agent"))
    await agrees_with_its_events(world, call)
    events = (await world.streams.page(keys.events(call.id), after=START)).events
    shown = state.apply_all(state.empty(str(call.id)), events)
    assert [leg["role"] for leg in shown.legs.values()] == ["agent"]
    assert [shown.tracks[str(track.id)][name] for name in ("role", "label", "mixed")] == ["agent", "inbound", False]


class Scripted:
    """Gives a segment the speakers that its first sample tells, and remembers who asked."""

    name = "scripted"

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.kept: list[bytes] = []
        self.breaks = False

    def follow(self, kept: bytes = b"") -> "Scripted":
        self.kept.append(kept)
        return self

    def hear(self, heard: Heard) -> Labels:
        if self.breaks:
            raise RuntimeError("out of order")
        self.heard.append(heard.start_ms)
        return {heard.segment_id: (round(float(heard.samples[0]) * 10),) * max(1, len(heard.words))}

    def keep(self) -> bytes:
        return b"voices of %d" % len(self.heard)


class Bench:
    """A service with a scripted diarizer on real PostgreSQL and Redis."""

    def __init__(self, pool: asyncpg.Pool, redis: Redis) -> None:
        self.diarizer = Scripted()
        self.events = EventStreams(redis)
        self.store = SpeakerStore(pool)
        self.transcripts = TranscriptStore(pool)
        self.calls = CallStore(pool)
        self.voices = Voices(redis)
        self.ladder = Ladder()
        self.service = SpeakerService(
            self.diarizer,
            store=self.store,
            transcripts=self.transcripts,
            events=self.events,
            voices=self.voices,
            overload=Overload(self.ladder),
        )

    async def work(self) -> TrackWork:
        plain_work = track_work(role="unknown")
        work = TrackWork(
            plain_work.call, plain_work.leg, replace(plain_work.track, mixed=True), "SPEAKER_00", "gateway-1"
        )
        await self.calls.add_track(work.call, work.leg, work.track, work.speaker, work.gateway_id)
        return work

    async def hear(self, speakers: TrackSpeakers, work: TrackWork, seq: int, person: int, text: str) -> None:
        segment = final(work, seq, text=text)
        await self.transcripts.commit(work.call, segment, next_seq=seq, resume_chunk=0, resume_ms=segment.end_ms)
        speakers.hear(segment, np.full(16_000, person / 10, np.float32), segment.start_ms)

    async def told(self, work: TrackWork) -> list[dict[str, Any]]:
        events = await self.events.read(keys.events(work.call.id), after=START, block_ms=0)
        return [event.data for event in events if event.type == "speakers"]

    async def stored(self, work: TrackWork) -> list[tuple[str, str]]:
        return [(one.speaker, one.role) for one in await self.transcripts.of_track(work.track.id)]


@pytest.fixture
async def bench(pool: asyncpg.Pool, redis: Redis) -> AsyncIterator[Bench]:
    made = Bench(pool, redis)
    yield made
    made.service.close()


async def followed(bench: Bench, work: TrackWork, said: Sequence[tuple[int, str]], *, first: int = 0) -> None:
    speakers = bench.service.follow(work)
    assert speakers is not None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speakers.run())
        for seq, (person, text) in enumerate(said, first):
            await bench.hear(speakers, work, seq, person, text)
        speakers.finish()


async def test_speakers_follow_finals_and_roles_follow_words(bench: Bench) -> None:
    work = await bench.work()
    await followed(bench, work, [(0, ASKS), (1, WANTS), (0, "Of course.")])
    assert await bench.stored(work) == [
        ("SPEAKER_00", "agent"),
        ("SPEAKER_01", "customer"),
        ("SPEAKER_00", "agent"),
    ]
    told = await bench.told(work)
    assert [one["revision"] for one in told] == [1, 2, 3]
    assert [len(one["segments"]) for one in told] == [1, 1, 1]
    assert plain(told[-1])["segments"][0]["role"] == "agent"
    assert await bench.voices.load(work.track.id) == b""  # gone with the track


async def test_one_person_alone_is_never_diarized(bench: Bench) -> None:
    assert bench.service.follow(track_work()) is None


async def test_under_overload_speakers_wait_and_catch_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_service, "LOOK_S", 0.01)
    work = await bench.work()
    speakers = bench.service.follow(work)
    assert speakers is not None
    bench.ladder.step = Step.NO_EXTRAS
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speakers.run())
        for seq in range(3):
            await bench.hear(speakers, work, seq, seq % 2, "Yes.")
        await asyncio.sleep(0.2)
        assert bench.diarizer.heard == []
        bench.ladder.step = Step.IN_TIME
        await until(lambda: len(bench.diarizer.heard) == 3)
        speakers.finish()
    assert [one for one, _ in await bench.stored(work)] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]


async def test_a_track_that_is_over_does_not_wait_for_the_end_of_an_overload(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker_service, "LOOK_S", 0.01)
    monkeypatch.setattr(speaker_service, "AFTER_S", 0.05)
    work = await bench.work()
    speakers = bench.service.follow(work)
    assert speakers is not None
    bench.ladder.step = Step.NO_EXTRAS
    await bench.hear(speakers, work, 0, 0, "Yes.")
    speakers.finish()
    await speakers.run()
    assert len(bench.diarizer.heard) == 1


async def test_what_waits_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_service, "BACKLOG_S", 2.0)
    work = await bench.work()
    speakers = bench.service.follow(work)
    assert speakers is not None
    for seq in range(5):
        await bench.hear(speakers, work, seq, 1, "Yes.")
    speakers.finish()
    await speakers.run()
    assert bench.diarizer.heard == [6000, 8000]  # the newest two seconds


async def test_a_diarizer_that_breaks_takes_no_words_with_it(bench: Bench) -> None:
    work = await bench.work()
    bench.diarizer.breaks = True
    await followed(bench, work, [(0, ASKS), (1, WANTS)])
    assert await bench.stored(work) == [("SPEAKER_00", "unknown")] * 2
    assert await bench.told(work) == []


@pytest.mark.parametrize("trouble", ["nothing to tell", "broke while it grouped"])
async def test_one_segment_that_cannot_be_told_apart_spoils_no_later_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """All segments are told anew each time, as the built-in diarizer tells them."""
    voices: dict[UUID, tuple[int, ...]] = {}

    def hear(heard: Heard) -> Labels:
        troubled = heard.start_ms == 2000
        if troubled and trouble == "nothing to tell":
            return {}
        voices[heard.segment_id] = (0,) * max(1, len(heard.words))
        if troubled:
            raise RuntimeError(trouble)
        if len(voices) > 2:
            voices.update({key: (1,) * len(numbers) for key, numbers in voices.items()})
        return dict(voices)

    monkeypatch.setattr(bench.diarizer, "hear", hear)
    work = await bench.work()
    await followed(bench, work, [(0, "Yes."), (0, "Hm."), (0, "No."), (0, "Good.")])
    named = ["SPEAKER_01"] * 4
    if trouble == "nothing to tell":
        named[1] = "SPEAKER_00"  # as the door said
    assert [one for one, _ in await bench.stored(work)] == named


async def test_what_could_not_be_stored_is_stored_with_the_next_segment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, assign, tries = await bench.work(), bench.store.assign, 0
    voices: dict[UUID, tuple[int, ...]] = {}

    def hear(heard: Heard) -> Labels:
        voices[heard.segment_id] = (1,) * max(1, len(heard.words))
        return dict(voices)

    async def fail_once(track_id: UUID, assignments: Sequence[Assignment], guesses: dict[str, Role]) -> SpeakersChange:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise asyncpg.DeadlockDetectedError
        return await assign(track_id, assignments, guesses)

    monkeypatch.setattr(bench.diarizer, "hear", hear)
    monkeypatch.setattr(bench.store, "assign", fail_once)
    await followed(bench, work, [(0, "Yes."), (0, "No.")])
    assert [one for one, _ in await bench.stored(work)] == ["SPEAKER_01"] * 2


async def test_another_worker_goes_on_with_voices_and_words(bench: Bench) -> None:
    work = await bench.work()
    speakers = bench.service.follow(work)
    assert speakers is not None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(speakers.run())
        await bench.hear(speakers, work, 0, 0, ASKS)
        await until(lambda: bench.voices.load(work.track.id))
        running.cancel()  # the worker is gone
    await followed(bench, work, [(1, "Hello.")], first=1)
    assert bench.diarizer.kept == [b"", b"voices of 1"]
    assert await bench.stored(work) == [("SPEAKER_00", "agent"), ("SPEAKER_01", "customer")]


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(300)
async def test_a_mixed_call_through_the_door_shows_two_speakers_and_a_correction_stands(tmp_path: Path) -> None:
    if not (MODELS / "speakers" / "ge2e").is_dir():
        pytest.skip("needs the diarizer's weights (make setup fetches them)")
    async with whole(tmp_path / "data") as running:
        sid = await running.place(ROOT / "infra" / "sample" / "call.flac", speed=2.0, mixed=True)
        call = await running.settled(sid, within_s=180)
        assert [track["mixed"] for track in call["tracks"]] == [True]
        roles = {one["speaker"]: one["role"] for one in call["speakers"]}
        assert sorted(roles.values()) == ["agent", "customer"]
        said = dict.fromkeys(roles.values(), "")
        for segment in call["segments"]:
            for word in segment["words"]:
                said[roles[word.get("speaker", segment["speaker"])]] += " " + word["w"].lower()
        assert "how can i help" in said["agent"]
        assert "how can i help" not in said["customer"]
        assert "two weeks ago" in said["customer"]
        assert "two weeks ago" not in said["agent"]

        agent = next(name for name, role in roles.items() if role == "agent")
        path = f"/api/v1/calls/{call['call']['id']}/speakers/{agent}"
        async with running.http.patch(path, json={"role": "supervisor"}) as answer:
            assert answer.status == 200, await answer.text()
        again = await running.get(f"/api/v1/calls/{call['call']['id']}")
        changed = {one["speaker"]: (one["role"], one["source"]) for one in again["speakers"]}
        assert changed[agent] == ("supervisor", "person")
        assert {one["role"] for one in again["segments"] if one["speaker"] == agent} == {"supervisor"}
