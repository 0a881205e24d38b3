"""The insight worker on real Redis and PostgreSQL, with no model and with one of changing temper."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from infra.bus import keys
from infra.bus.codec import CallWork, TrackWork
from infra.bus.presence import Presence
from infra.bus.streams import START, EventStreams
from infra.bus.work import WorkQueue
from infra.model import Call, Event, EventType, Role
from infra.store.calls import CallStore
from infra.store.insights import InsightStore
from infra.store.speakers import SpeakerStore
from infra.store.transcripts import TranscriptStore, segment_to_json
from tests.conftest import until
from tests.fakes.openai_server import Behaviour, FakeOpenAI, serving
from tests.parts import final, new_call, track_work
from workers.insights.analyst import Analyst
from workers.insights.chat import LlmClient
from workers.insights.llm import LlmAnalyser
from workers.insights.providers.presets import endpoint
from workers.insights.session import Tools
from workers.insights.worker import InsightWorker

SAID = (
    ("agent", "Thank you for calling Northwind Internet, my name is Dana. How can I help you?"),
    ("customer", "Hi, my name is Sam. My internet has been down for three days and this is unacceptable."),
    ("customer", "I want a refund for those days, this is the third time that I call."),
    ("agent", "I am so sorry. I will send a technician tomorrow and I will credit your account."),
    ("customer", "Okay, thank you, that is great."),
)


@dataclass
class Desk:
    """A call in the making, and the worker's side of it."""

    call: Call
    tracks: dict[str, TrackWork]
    redis: Redis
    pool: asyncpg.Pool
    said: int = 0

    @property
    def events(self) -> EventStreams:
        return EventStreams(self.redis)

    async def tell(self, kind: EventType, data: dict[str, Any], key: str = "") -> None:
        await self.events.publish(self.call.tenant_id, Event(kind, self.call.id, data, key=key))

    async def begin(self) -> None:
        calls = CallStore(self.pool)
        await calls.open(self.call, "gateway-1")
        await self.tell("call.started", {"external_id": self.call.external_id})
        for work in self.tracks.values():
            await calls.add_track(self.call, work.leg, work.track, work.speaker, "gateway-1")
            await self.tell("track.opened", {"track_id": work.track.id})
        await WorkQueue(self.redis, "insights", "gateway").announce(CallWork(self.call, "gateway-1"))

    async def say(self, role: str, text: str) -> None:
        work, transcripts = self.tracks[role], TranscriptStore(self.pool)
        seq = (await transcripts.progress(work.track.id)).next_seq
        segment = final(work, seq, text=text, start_ms=self.said * 4000)
        self.said += 1
        await transcripts.commit(self.call, segment, next_seq=seq, resume_chunk=0, resume_ms=segment.end_ms)
        await self.tell("segment.final", segment_to_json(segment), f"final:{segment.id}")

    async def end(self) -> None:
        await self.tell("call.ended", {"reason": "completed", "duration_ms": self.said * 4000})
        for work in self.tracks.values():
            await self.tell("track.closed", {"track_id": work.track.id})

    async def insights(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for insight in await InsightStore(self.pool).of_call(self.call.id):
            found.setdefault(insight.kind, []).append(
                {**insight.body, "source": insight.source, "evidence": insight.evidence, "id": insight.id}
            )
        return found

    async def told(self, kind: str) -> list[Event]:
        page = await self.events.page(keys.events(self.call.id), after=START)
        return [event for event in page.events if event.type == kind]

    async def settled(self) -> None:
        async def is_settled() -> bool:
            state = await CallStore(self.pool).state(self.call.id)
            return state is not None and state["settled_at"] is not None

        await until(is_settled)


@pytest.fixture
async def desk(redis: Redis, pool: asyncpg.Pool) -> Desk:
    call = new_call()
    tracks = {
        "customer": track_work(call),
        "agent": track_work(call, role="agent", speaker="SPEAKER_01"),
    }
    made = Desk(call, tracks, redis, pool)
    await made.begin()
    return made


@asynccontextmanager
async def working(
    desk: Desk, fake: FakeOpenAI | None = None, *, lease_ms: int = 600
) -> AsyncIterator[Callable[[], None]]:
    """Run a worker beside the body; what is yielded ends it as a crash would: its leases are not given back."""
    client = None
    if fake is not None:
        place = endpoint("custom", base_url=fake.base_url, api_key=fake.key, model="fake-model")
        assert place is not None
        client = LlmClient(place, max_tokens=500, attempt_s=2, budget_s=3)

    def new_analyst(call: Call) -> Analyst:
        llm = LlmAnalyser(client, context_turns=50) if client else None
        return Analyst(called_on=call.started_at.date(), llm=llm, interval_s=0.1)

    tools = Tools(
        events=desk.events,
        calls=CallStore(desk.pool),
        transcripts=TranscriptStore(desk.pool),
        insights=InsightStore(desk.pool),
        presence=Presence(desk.redis),
        new_analyst=new_analyst,
    )
    queue = WorkQueue(desk.redis, "insights", f"worker-{id(tools)}", lease_ms=lease_ms)
    worker = InsightWorker(queue, tools, model=lambda: {"provider": "custom" if client else "none", "model": None})
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run())

        def crash() -> None:
            queue.release = _no_goodbye  # type: ignore[method-assign]
            running.cancel()

        yield crash
        running.cancel()
    if client is not None:
        await client.aclose()


async def _no_goodbye(*_: object) -> None:
    pass


async def test_insights_come_during_the_call_and_settle_after_it(desk: Desk) -> None:
    async with working(desk):
        for role, text in SAID[:3]:
            await desk.say(role, text)
        during = await until(lambda: _with(desk, "complaint", is_complaint=True))
        assert during["sentiment"][0]["per_role"]["customer"]["score"] < 0
        for role, text in SAID[3:]:
            await desk.say(role, text)
        await desk.end()
        await desk.settled()
    found = await desk.insights()
    assert set(found) == {"summary", "intent", "sentiment", "complaint", "action_item", "key_topic"}
    assert all(item["owner"] == "agent" for item in found["action_item"])
    segments = {segment.id for segment in await TranscriptStore(desk.pool).of_call(desk.call.id)}
    for insights in found.values():
        for insight in insights:
            assert insight["source"] == "builtin"
            assert insight["evidence"]
            assert segments.issuperset(insight["evidence"])
    notes = await desk.pool.fetch(
        "SELECT DISTINCT llm_summary FROM meeting_transcripts WHERE call_id = $1", desk.call.id
    )
    assert len(notes) == 1
    assert notes[0]["llm_summary"]["summary"]["text"] == found["summary"][0]["text"]
    revisions = [(e.data["insight_id"], e.data["revision"]) for e in await desk.told("insight")]
    assert len(set(revisions)) == len(revisions)
    assert len(await desk.told("call.settled")) == 1


async def test_a_killed_worker_is_followed_by_one_that_goes_on(desk: Desk) -> None:
    async with working(desk) as crash:
        for role, text in SAID[:3]:
            await desk.say(role, text)
        await until(lambda: _with(desk, "complaint", is_complaint=True))
        crash()
    await desk.say(*SAID[3])
    async with working(desk):
        await desk.say(*SAID[4])
        await desk.end()
        await desk.settled()
    found = await desk.insights()
    assert found["action_item"]
    texts = [item["text"] for item in found["action_item"]]
    assert len(set(texts)) == len(texts)
    assert len(found["summary"]) == len(found["intent"]) == len(found["sentiment"]) == len(found["complaint"]) == 1


async def test_who_spoke_is_put_right_after_the_end_and_the_insights_follow(desk: Desk) -> None:
    async with working(desk):
        for role, text in SAID:
            await desk.say(role, text)
        await desk.end()
        await desk.settled()
        before = (await desk.insights())["sentiment"][0]["per_role"]
        assert before["agent"]["score"] == 0

        store, queue = SpeakerStore(desk.pool), WorkQueue(desk.redis, "insights", "dashboard")
        await until(lambda: _is_done(queue))
        swapped: list[tuple[Role, Role]] = [("customer", "agent"), ("agent", "customer")]
        for was, now in swapped:
            work = desk.tracks[was]
            await store.correct(desk.call.tenant_id, desk.call.id, work.speaker, now)
            await queue.announce(CallWork(desk.call, "dashboard", anew=True))

        async def follows() -> bool:
            per_role = (await desk.insights())["sentiment"][0]["per_role"]
            return bool(per_role["agent"]["score"] > 0)  # who thanked at the end

        await until(follows)
        assert len(await desk.told("call.settled")) == 1
        await until(lambda: _is_done(queue))


async def _is_done(queue: WorkQueue) -> bool:
    return await queue.waiting() == 0


async def test_what_a_person_ticked_stays_ticked(desk: Desk) -> None:
    async with working(desk):
        for role, text in SAID[:4]:
            await desk.say(role, text)
        found = await until(lambda: _with(desk, "action_item"))
        ticked = found["action_item"][0]["id"]
        await InsightStore(desk.pool).edit(desk.call.tenant_id, ticked, "action_item", {"status": "done"})
        await desk.say(*SAID[4])
        await desk.say("agent", "And I will email you a confirmation today.")
        await desk.end()
        await desk.settled()
    items = {item["id"]: item["status"] for item in (await desk.insights())["action_item"]}
    assert items[ticked] == "done"


async def test_a_model_is_asked_and_its_answers_replace_the_built_in_ones(desk: Desk) -> None:
    async with serving() as fake, working(desk, fake):
        for role, text in SAID:
            await desk.say(role, text)
        await until(lambda: _with(desk, "summary", source="llm:fake-model"))
        await desk.end()
        await desk.settled()
    found = await desk.insights()
    assert found["summary"][0]["text"] == "The customer asked for help and the agent agreed."
    assert found["intent"][0]["source"] == "llm:fake-model"
    assert "Send the corrected bill" in {item["text"] for item in found["action_item"] if item["status"] == "open"}


@pytest.mark.parametrize(
    "temper",
    [
        Behaviour(status=500),
        Behaviour(status=429, headers={"Retry-After": "60"}),
        Behaviour(drop=True),
        Behaviour(content="I would rather talk about the weather."),
        Behaviour(delay_s=30),
    ],
    ids=["500", "429", "drops", "nonsense", "silent"],
)
async def test_without_its_model_the_built_in_analyser_carries_the_call(desk: Desk, temper: Behaviour) -> None:
    async with serving(FakeOpenAI(always=temper)) as fake, working(desk, fake):
        for role, text in SAID:
            await desk.say(role, text)
        await until(lambda: _with(desk, "complaint", is_complaint=True))

        async def is_shown() -> bool:
            workers = await Presence(desk.redis).workers("insights")
            return any(about["llm"]["state"] == "degraded" and about["llm"]["reason"] for about in workers)

        await until(is_shown)
        await desk.end()
        await desk.settled()
    found = await desk.insights()
    assert {insight["source"] for insights in found.values() for insight in insights} == {"builtin"}
    assert found["summary"][0]["text"]


async def test_a_grave_complaint_raises_one_alert(desk: Desk) -> None:
    async with working(desk):
        await desk.say("customer", "This is unacceptable, I will sue you and I am going to my lawyer.")
        await desk.say("customer", "I have been overcharged and I want to cancel everything right now.")
        await until(lambda: desk.told("alert"))
        await desk.end()
        await desk.settled()
    alerts = await desk.told("alert")
    assert [alert.data["kind"] for alert in alerts] == ["complaint"] * len(alerts)
    assert len({alert.data["severity"] for alert in alerts}) == len(alerts)


async def test_while_words_come_late_nothing_is_analysed_and_then_it_goes_on_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.insights.worker.LOOK_S", 0.02)
    presence = Presence(desk.redis)

    async def paused(*, wanted: bool) -> bool:
        return [about["paused"] for about in await presence.workers("insights")] == [wanted]

    await presence.worker("asr", "asr-1", {"worker": "asr-1", "overload_step": 3})
    monkeypatch.setattr("workers.insights.worker.RENEW_S", 0.05)
    async with working(desk):
        await until(lambda: paused(wanted=True))
        for role, text in SAID:
            await desk.say(role, text)
        await desk.end()
        await asyncio.sleep(1.5)
        assert await desk.insights() == {}
        await presence.worker("asr", "asr-1", {"worker": "asr-1", "overload_step": 2})
        await desk.settled()
        await until(lambda: paused(wanted=False))
    assert set(await desk.insights()) >= {"summary", "complaint"}


async def _with(desk: Desk, kind: str, **members: Any) -> dict[str, Any] | None:
    """The call's insights once there is one of that kind with these members."""
    found = await desk.insights()
    for insight in found.get(kind, []):
        if all(insight.get(name) == value for name, value in members.items()):
            return found
    return None
