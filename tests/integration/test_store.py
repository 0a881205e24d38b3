"""The store on a real PostgreSQL: every statement fits the schema, and every write may be repeated."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import infra.store
from infra.bus.codec import TrackWork
from infra.model import DEFAULT_TENANT, Call, Hole, Leg, Track, segment_id
from infra.store.calls import CallFilter, CallStore, Position
from infra.store.insights import InsightStore, insight_to_json
from infra.store.transcripts import NotOwnerError, Progress, TranscriptStore, segment_to_json
from infra.store.users import API_TOKEN_USER_ID, User, UserStore, digest
from tests.parts import BEGAN, GATEWAY, final, new_call, track_work

FIRST_WORDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def statements() -> Iterator[tuple[str, str]]:
    """Every statement of the store by its name; those with an underscore are parts of others."""
    for module in iter_modules(infra.store.__path__):
        for name, value in vars(import_module(f"infra.store.{module.name}")).items():
            if name.isupper() and name[0] != "_" and isinstance(value, str) and value.split()[0] in FIRST_WORDS:
                yield f"{module.name}.{name}", value


STATEMENTS = dict(statements())


async def stored(pool: asyncpg.Pool, work: TrackWork) -> TrackWork:
    """Store a track and all that it belongs to."""
    await CallStore(pool).add_track(work.call, work.leg, work.track, work.speaker, work.gateway_id)
    return work


async def new_tenant(pool: asyncpg.Pool) -> UUID:
    tenant_id = uuid4()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'another')", tenant_id)
    return tenant_id


async def row(pool: asyncpg.Pool, table: str, key: UUID) -> dict[str, Any]:
    found = await pool.fetchrow(f"SELECT * FROM {table} WHERE id = $1", key)
    assert found is not None
    return dict(found)


async def count(pool: asyncpg.Pool, table: str) -> int:
    return int(await pool.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture
async def work(pool: asyncpg.Pool) -> TrackWork:
    """A track that is stored."""
    return await stored(pool, track_work())


async def test_every_statement_fits_the_schema(pool: asyncpg.Pool) -> None:
    assert len(STATEMENTS) > 30
    misfits = {}
    async with pool.acquire() as connection:
        for name, sql in STATEMENTS.items():
            try:
                await connection.prepare(sql)
            except asyncpg.PostgresError as error:
                misfits[name] = str(error)
    assert misfits == {}


class TestCalls:
    async def test_a_call_its_legs_and_tracks_are_stored_in_any_order_and_any_number_of_times(
        self, pool: asyncpg.Pool
    ) -> None:
        calls, work = CallStore(pool), track_work()
        for _ in range(2):
            await calls.add_track(work.call, work.leg, work.track, work.speaker, GATEWAY)
            await calls.add_leg(work.call, work.leg, GATEWAY)
            await calls.open(work.call, GATEWAY)
            await calls.add(work.call, GATEWAY)
        assert [await count(pool, table) for table in ("calls", "legs", "tracks")] == [1, 1, 1]
        call = await row(pool, "calls", work.call.id)
        assert (call["status"], call["gateway_id"], call["started_at"]) == ("live", GATEWAY, BEGAN)
        origin = await calls.origin(work.call.id)
        assert origin is not None
        assert (origin["started_at"], origin["door"], origin["external_id"]) == (BEGAN, "twilio", work.call.external_id)
        assert (await calls.tenant(work.call.id), await calls.tenant(uuid4())) == (DEFAULT_TENANT, None)
        assert await calls.find(DEFAULT_TENANT, work.call.external_id) == work.call.id
        assert [leg["role"] for leg in await calls.legs(work.call.id)] == ["customer"]
        await calls.rename_leg(work.leg.id, "Clara")
        assert [leg["name"] for leg in await calls.legs(work.call.id)] == ["Clara"]
        ((speaker, closed),) = [(track["speaker"], track["closed"]) for track in await calls.tracks(work.call.id)]
        assert (speaker, closed) == ("SPEAKER_00", False)

    async def test_writers_at_once_do_not_get_in_each_others_way(self, pool: asyncpg.Pool) -> None:
        calls, call = CallStore(pool), new_call()
        works = [track_work(call, speaker=f"SPEAKER_{number:02d}") for number in range(6)]
        await asyncio.gather(
            *(calls.add_track(call, work.leg, work.track, work.speaker, GATEWAY) for work in works for _ in range(3)),
            *(calls.open(call, GATEWAY) for _ in range(3)),
            *(calls.add_leg(call, work.leg, GATEWAY) for work in works),
        )
        assert [await count(pool, table) for table in ("calls", "legs", "tracks")] == [1, 6, 6]
        for again in (new_call() for _ in range(20)):
            await asyncio.gather(*(calls.add(again, GATEWAY) for _ in range(6)))

    async def test_the_first_end_counts(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        calls, end = CallStore(pool), BEGAN + timedelta(seconds=90)
        assert [row["id"] for row in await calls.live()] == [work.call.id]
        assert await calls.end(work.call.id, "hung up", end, 90_000)
        assert not await calls.end(work.call.id, "gateway lost", end + timedelta(hours=1), 1)
        await calls.close_leg(work.leg.id, end, "hung up")
        await calls.close_leg(work.leg.id, end, "again")
        await calls.close_track(work.track.id, "ended")
        await calls.close_track(work.track.id, "again")
        call = await row(pool, "calls", work.call.id)
        assert (call["status"], call["end_reason"], call["duration_ms"]) == ("ended", "hung up", 90_000)
        assert (await row(pool, "legs", work.leg.id))["left_reason"] == "hung up"
        assert (await row(pool, "tracks", work.track.id))["close_reason"] == "ended"
        assert await calls.live() == []

    async def test_a_call_that_comes_back_is_live_again_and_keeps_its_beginning(
        self, pool: asyncpg.Pool, work: TrackWork
    ) -> None:
        calls = CallStore(pool)
        await calls.end(work.call.id, "gateway lost", BEGAN, 5000)
        await calls.settle(work.call.id)
        await calls.open(replace(work.call, started_at=BEGAN + timedelta(hours=1)), "gateway-2")
        call = await row(pool, "calls", work.call.id)
        assert (call["status"], call["gateway_id"], call["started_at"]) == ("live", "gateway-2", BEGAN)
        assert (call["end_reason"], call["ended_at"], call["duration_ms"], call["settled_at"]) == (None,) * 4

    async def test_a_call_that_went_to_another_gateway_is_not_ended_for_its_first(
        self, pool: asyncpg.Pool, work: TrackWork
    ) -> None:
        calls = CallStore(pool)
        await calls.open(work.call, "gateway-2")
        assert not await calls.end(work.call.id, "gateway lost", BEGAN, 1, gateway_id=GATEWAY)
        assert await calls.end(work.call.id, "gateway lost", BEGAN, 1, gateway_id="gateway-2")

    async def test_the_last_moment_is_that_of_whatever_came_last(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        calls, transcripts = CallStore(pool), TranscriptStore(pool)
        assert await calls.last_ms(work.call.id) == 0
        await transcripts.commit(work.call, final(work, 0), next_seq=0, resume_chunk=5, resume_ms=900)
        assert await calls.last_ms(work.call.id) == 1000
        await transcripts.advance(work.track.id, next_seq=1, resume_chunk=20, resume_ms=4000)
        assert await calls.last_ms(work.call.id) == 4000
        await transcripts.add_gap(work.call, work.track.id, Hole(5000, 6500, "missing"))
        assert await calls.last_ms(work.call.id) == 6500

    async def test_another_tenant_sees_nothing_of_it(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        calls, other = CallStore(pool), await new_tenant(pool)
        assert await calls.get(DEFAULT_TENANT, work.call.id) is not None
        assert await calls.get(other, work.call.id) is None
        assert await calls.find(other, work.call.external_id) is None
        assert await calls.page(other, CallFilter(), after=None, limit=10) == []

    async def test_a_summary_brings_what_is_known_of_the_call(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        insights, call_id = InsightStore(pool), work.call.id
        for kind, body in {
            "summary": {"text": "All is well."},
            "intent": {"label": "praise"},
            "sentiment": {"label": "positive"},
            "complaint": {"is_complaint": False},
        }.items():
            await insights.put(DEFAULT_TENANT, call_id, kind=kind, key=kind, body=body, evidence=(), source="builtin")
        for key, status in {"one": "open", "two": "done", "three": "open"}.items():
            body = {"text": key, "status": status}
            await insights.put(
                DEFAULT_TENANT, call_id, kind="action_item", key=key, body=body, evidence=(), source="builtin"
            )
        await TranscriptStore(pool).commit(work.call, final(work, 0), next_seq=0, resume_chunk=1, resume_ms=1)
        found = await CallStore(pool).get(DEFAULT_TENANT, call_id)
        assert found is not None
        assert (found["summary"], found["intent"], found["sentiment"], found["complaint"]) == (
            "All is well.",
            {"label": "praise"},
            {"label": "positive"},
            {"is_complaint": False},
        )
        assert (found["segment_count"], found["open_action_items"]) == (1, 2)


async def pages(calls: CallStore, tenant_id: UUID, size: int, chosen: CallFilter | None = None) -> list[UUID]:
    """All calls of a tenant, page by page."""
    found: list[UUID] = []
    after = None
    while page := await calls.page(tenant_id, chosen or CallFilter(), after=after, limit=size):
        assert len(page) <= size
        found += [row["id"] for row in page]
        last = page[-1]
        after = Position(last["status"] == "live", last["started_at"], last["id"])
    return found


class TestListing:
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=20), st.integers(1, 7))
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_pages_show_each_call_once_live_ones_first_then_the_newest(
        self, pool: asyncpg.Pool, told: list[tuple[bool, int]], size: int
    ) -> None:
        calls, tenant_id = CallStore(pool), await new_tenant(pool)
        made = []
        for live, minute in told:
            call = new_call(tenant_id=tenant_id, started_at=BEGAN + timedelta(minutes=minute))
            await calls.open(call, GATEWAY)
            if not live:
                await calls.end(call.id, "hung up", BEGAN, 1)
            made.append((live, call.started_at, call.id))
        expected = [call_id for _, _, call_id in sorted(made, reverse=True)]
        assert await pages(calls, tenant_id, size) == expected
        assert (
            await pages(calls, tenant_id, size, CallFilter(status="live")) == expected[: sum(live for live, _ in told)]
        )

    async def test_calls_that_come_while_pages_are_turned_move_nothing(self, pool: asyncpg.Pool) -> None:
        calls, there = CallStore(pool), [new_call(started_at=BEGAN + timedelta(minutes=minute)) for minute in range(6)]
        for call in there:
            await calls.open(call, GATEWAY)
            await calls.end(call.id, "hung up", BEGAN, 1)
        first = await calls.page(DEFAULT_TENANT, CallFilter(), after=None, limit=3)
        await calls.open(new_call(started_at=BEGAN + timedelta(hours=1)), GATEWAY)
        after = Position(False, first[-1]["started_at"], first[-1]["id"])
        second = await calls.page(DEFAULT_TENANT, CallFilter(), after=after, limit=10)
        assert [row["id"] for row in (*first, *second)] == [call.id for call in reversed(there)]

    async def test_calls_are_found_by_what_is_known_of_them(self, pool: asyncpg.Pool) -> None:
        calls, transcripts, insights = CallStore(pool), TranscriptStore(pool), InsightStore(pool)
        by = {
            "number": new_call(from_number="+4930901820"),
            "callee": new_call(to_number="+4989555"),
            "title": new_call(title="Broken kettle"),
            "sid": new_call(external_id="CAfe-special"),
        }
        for call in by.values():
            await calls.open(call, GATEWAY)
        spoken, summed_up = await stored(pool, track_work()), await stored(pool, track_work())
        await transcripts.commit(
            spoken.call, final(spoken, 0, text="My parcel never came."), next_seq=0, resume_chunk=1, resume_ms=1
        )
        await insights.put(
            DEFAULT_TENANT,
            summed_up.call.id,
            kind="summary",
            key="summary",
            body={"text": "A refund was promised."},
            evidence=(),
            source="builtin",
        )

        async def search(text: str) -> set[UUID]:
            return set(await pages(calls, DEFAULT_TENANT, 50, CallFilter(text=text)))

        assert await search("30901") == {by["number"].id}
        assert await search("89555") == {by["callee"].id}
        assert await search("KETTLE") == {by["title"].id}
        assert await search("fe-spec") == {by["sid"].id}
        assert await search("parcel NEVER") == {spoken.call.id}
        assert await search("refund") == {summed_up.call.id}
        assert await search("nothing of the kind") == set()

    @pytest.mark.parametrize("wild", ["%", "_", "\\", "100%", "a_b", "\\%", "'; DROP TABLE calls; --"])
    async def test_what_looks_like_a_pattern_is_taken_by_the_letter(self, pool: asyncpg.Pool, wild: str) -> None:
        calls = CallStore(pool)
        plain, odd = new_call(title="1000 and a-b"), new_call(title=f"before {wild} after")
        for call in (plain, odd):
            await calls.open(call, GATEWAY)
        assert await pages(calls, DEFAULT_TENANT, 9, CallFilter(text=wild)) == [odd.id]
        assert await pages(calls, DEFAULT_TENANT, 9, CallFilter(text=f"e {wild} a")) == [odd.id]

    async def test_filters_narrow_the_list(self, pool: asyncpg.Pool) -> None:
        calls, made = CallStore(pool), [new_call(started_at=BEGAN + timedelta(hours=hour)) for hour in range(4)]
        for call in made:
            await calls.open(call, GATEWAY)
        await calls.end(made[0].id, "hung up", BEGAN, 1)

        async def ids(**chosen: Any) -> list[UUID]:
            return await pages(calls, DEFAULT_TENANT, 2, CallFilter(**chosen))

        assert await ids(status="ended") == [made[0].id]
        assert await ids(external_id=made[2].external_id) == [made[2].id]
        begin, end = made[1].started_at, made[3].started_at
        assert await ids(started_from=begin, started_to=end) == [made[2].id, made[1].id]


class TestTranscripts:
    async def test_a_final_is_read_as_it_was_stored(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        transcripts, segment = TranscriptStore(pool), final(work, 0)
        await transcripts.commit(work.call, segment, next_seq=0, resume_chunk=5, resume_ms=1000)
        assert await transcripts.of_call(work.call.id) == [segment]
        assert segment_to_json((await transcripts.of_track(work.track.id))[0]) == segment_to_json(segment)
        assert await transcripts.progress(work.track.id) == Progress(1, 5, 1000)
        found = await row(pool, "meeting_transcripts", segment.id)
        assert (found["cleaned_text"], found["original_text"], found["chunk_index"], found["is_final"]) == (
            "Good morning.",
            "good morning.",
            0,
            True,
        )
        assert (found["start_time"], found["end_time"]) == (BEGAN, BEGAN + timedelta(seconds=1))
        assert found["tenant_id"] == DEFAULT_TENANT
        assert found["duration_seconds"] == 1.0

    async def test_a_track_that_nobody_knows_begins_at_the_beginning(self, pool: asyncpg.Pool) -> None:
        assert await TranscriptStore(pool).progress(uuid4()) == Progress()

    async def test_of_two_owners_the_second_is_told_and_stores_nothing(
        self, pool: asyncpg.Pool, work: TrackWork
    ) -> None:
        transcripts = TranscriptStore(pool)
        await transcripts.commit(work.call, final(work, 0, text="first"), next_seq=0, resume_chunk=5, resume_ms=1000)
        for seq, next_seq in ((0, 0), (1, 0), (3, 2), (0, 1)):
            with pytest.raises(NotOwnerError):
                await transcripts.commit(
                    work.call, final(work, seq, text="second"), next_seq=next_seq, resume_chunk=9, resume_ms=9000
                )
        assert [segment.text for segment in await transcripts.of_call(work.call.id)] == ["first"]
        assert await transcripts.progress(work.track.id) == Progress(1, 5, 1000)

    async def test_owners_that_commit_at_once_store_each_segment_once(
        self, pool: asyncpg.Pool, work: TrackWork
    ) -> None:
        transcripts = TranscriptStore(pool)

        async def owner(name: str) -> list[int]:
            mine = []
            for seq in range(15):
                try:
                    await transcripts.commit(
                        work.call, final(work, seq, text=name), next_seq=seq, resume_chunk=seq, resume_ms=seq
                    )
                except NotOwnerError:
                    continue
                mine.append(seq)
            return mine

        shares = await asyncio.gather(*(owner(name) for name in "abc"))
        assert sorted(seq for share in shares for seq in share) == list(range(15))
        segments = await transcripts.of_track(work.track.id)
        assert [segment.seq for segment in segments] == list(range(15))
        assert [segment.text for segment in segments] == [
            next(name for name, share in zip("abc", shares, strict=True) if seq in share) for seq in range(15)
        ]

    async def test_segments_without_words_leave_a_number_out(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        transcripts = TranscriptStore(pool)
        await transcripts.commit(work.call, final(work, 2), next_seq=0, resume_chunk=30, resume_ms=5000)
        assert (await transcripts.progress(work.track.id)).next_seq == 3
        with pytest.raises(NotOwnerError):
            await transcripts.commit(work.call, final(work, 1), next_seq=0, resume_chunk=30, resume_ms=5000)
        await transcripts.commit(work.call, final(work, 3), next_seq=3, resume_chunk=40, resume_ms=8000)
        assert [segment.seq for segment in await transcripts.of_track(work.track.id, from_seq=3)] == [3]

    async def test_wordless_audio_is_passed_over_by_its_owner_only(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        transcripts, track_id = TranscriptStore(pool), work.track.id
        await transcripts.advance(track_id, next_seq=0, resume_chunk=25, resume_ms=5000)
        await transcripts.advance(track_id, next_seq=0, resume_chunk=25, resume_ms=5000)
        assert await transcripts.progress(track_id) == Progress(0, 25, 5000)
        for next_seq, resume_chunk in ((1, 50), (0, 24)):
            with pytest.raises(NotOwnerError):
                await transcripts.advance(track_id, next_seq=next_seq, resume_chunk=resume_chunk, resume_ms=9000)
        assert await transcripts.progress(track_id) == Progress(0, 25, 5000)
        await CallStore(pool).close_track(track_id, "ended")
        assert (await transcripts.progress(track_id)).closed

    async def test_a_gap_is_stored_once(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        transcripts = TranscriptStore(pool)
        hole = Hole(1000, 2000, "missing")
        added = [await transcripts.add_gap(work.call, work.track.id, hole) for _ in range(3)]
        assert added == [True, False, False]
        assert await transcripts.add_gap(work.call, work.track.id, replace(hole, cause="spool-full"))
        assert await transcripts.add_gap(work.call, work.track.id, replace(hole, start_ms=500))
        gaps = [(gap["start_ms"], gap["end_ms"], gap["cause"]) for gap in await transcripts.gaps(work.call.id)]
        assert sorted(gaps) == [(500, 2000, "missing"), (1000, 2000, "missing"), (1000, 2000, "spool-full")]

    async def test_pages_of_a_transcript_show_each_segment_once_in_the_order_of_speech(
        self, pool: asyncpg.Pool
    ) -> None:
        transcripts, call, rng = TranscriptStore(pool), new_call(), random.Random(7)
        works = [await stored(pool, track_work(call, speaker=f"SPEAKER_{number:02d}")) for number in range(2)]
        made = []
        for work in works:
            for seq in range(20):
                segment = final(work, seq, start_ms=rng.randrange(5) * 1000)
                await transcripts.commit(call, segment, next_seq=seq, resume_chunk=seq, resume_ms=seq)
                made.append(segment)
        expected = [segment.id for segment in sorted(made, key=lambda segment: (segment.start_ms, segment.id))]
        for size in (1, 7, 40, 100):
            found: list[UUID] = []
            after = None
            while page := await transcripts.page(call.id, after=after, limit=size):
                found += [segment.id for segment in page]
                after = (page[-1].start_ms, page[-1].id)
            assert found == expected

    async def test_the_insights_of_a_call_stand_beside_its_segments(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        transcripts, call_id = TranscriptStore(pool), work.call.id

        async def noted() -> list[Any]:
            rows = await pool.fetch("SELECT llm_summary FROM meeting_transcripts ORDER BY seq")
            return [row["llm_summary"] for row in rows]

        await transcripts.commit(work.call, final(work, 0), next_seq=0, resume_chunk=1, resume_ms=1)
        await transcripts.note_summary(call_id, {"summary": "so far"}, everywhere=False)
        await transcripts.commit(work.call, final(work, 1), next_seq=1, resume_chunk=2, resume_ms=2)
        assert await noted() == [{"summary": "so far"}, None]
        await transcripts.note_summary(call_id, {"summary": "later"}, everywhere=False)
        assert await noted() == [{"summary": "so far"}, {"summary": "later"}]
        await transcripts.note_summary(call_id, {"summary": "in the end"}, everywhere=True)
        assert await noted() == [{"summary": "in the end"}] * 2


class TestInsights:
    async def put(self, pool: asyncpg.Pool, call: Call, body: dict[str, Any], **changes: Any) -> Any:
        told = {"kind": "action_item", "key": "callback", "evidence": (), "source": "builtin"} | changes
        return await InsightStore(pool).put(DEFAULT_TENANT, call.id, body=body, **told)

    async def test_a_finding_keeps_its_id_and_counts_its_changes(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        evidence = (segment_id(work.track.id, 0), segment_id(work.track.id, 3))
        first = await self.put(pool, work.call, {"text": "call back"}, evidence=evidence)
        assert (first.revision, first.body, first.evidence) == (1, {"text": "call back"}, evidence)
        assert await self.put(pool, work.call, {"text": "call back"}, evidence=evidence) is None
        second = await self.put(pool, work.call, {"text": "call back tomorrow"}, evidence=evidence)
        third = await self.put(pool, work.call, {"text": "call back tomorrow"}, evidence=evidence[:1])
        fourth = await self.put(pool, work.call, {"text": "call back tomorrow"}, evidence=evidence[:1], source="llm:x")
        assert [insight.revision for insight in (second, third, fourth)] == [2, 3, 4]
        assert {insight.id for insight in (first, second, third, fourth)} == {first.id}
        store = InsightStore(pool)
        assert await store.of_call(work.call.id) == [fourth]
        assert await store.keys_of_call(work.call.id) == {("action_item", "callback"): fourth}
        assert insight_to_json(fourth)["evidence"] == [evidence[0]]

    async def test_two_who_find_the_same_at_once_store_it_once(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        for key in map(str, range(20)):
            found = await asyncio.gather(*(self.put(pool, work.call, {"text": "x"}, key=key) for _ in range(6)))
            assert sum(insight is not None for insight in found) == 1

    async def test_the_order_of_a_bodys_fields_is_no_change(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        assert await self.put(pool, work.call, {"a": 1, "b": {"c": None, "d": [1, 2]}})
        assert await self.put(pool, work.call, {"b": {"d": [1, 2], "c": None}, "a": 1}) is None
        assert await self.put(pool, work.call, {"b": {"d": [2, 1], "c": None}, "a": 1})

    async def test_what_a_person_wrote_survives_every_later_analysis(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        store = InsightStore(pool)
        found = await self.put(pool, work.call, {"text": "call back", "status": "open", "assignee": None})
        edited = await store.edit(DEFAULT_TENANT, found.id, "action_item", {"status": "done", "assignee": "Kim"})
        assert edited is not None
        assert (edited.revision, edited.body) == (2, {"text": "call back", "status": "done", "assignee": "Kim"})
        again = await store.edit(DEFAULT_TENANT, found.id, "action_item", {"assignee": "Robin"})
        assert again is not None
        assert await self.put(pool, work.call, {"text": "call back", "status": "open", "assignee": None}) is None
        later = await self.put(pool, work.call, {"text": "call back today", "status": "open", "priority": "high"})
        assert later.body == {"text": "call back today", "status": "done", "assignee": "Robin", "priority": "high"}
        assert later.revision == 4
        (edited_now,) = await pool.fetch("SELECT edits FROM insights")
        assert edited_now["edits"] == {"status": "done", "assignee": "Robin"}

    async def test_only_what_is_there_and_ones_own_is_edited(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        store, other = InsightStore(pool), await new_tenant(pool)
        found = await self.put(pool, work.call, {"status": "open"})
        assert await store.edit(other, found.id, "action_item", {"status": "done"}) is None
        assert await store.edit(DEFAULT_TENANT, found.id, "summary", {"status": "done"}) is None
        assert await store.edit(DEFAULT_TENANT, uuid4(), "action_item", {"status": "done"}) is None
        assert await store.of_call(work.call.id) == [found]

    async def test_analyses_at_once_leave_one_row(self, pool: asyncpg.Pool, work: TrackWork) -> None:
        results = await asyncio.gather(*(self.put(pool, work.call, {"n": number % 2}) for number in range(12)))
        revisions = sorted(insight.revision for insight in results if insight)
        assert revisions == list(range(1, len(revisions) + 1))
        assert await count(pool, "insights") == 1


class TestUsers:
    @pytest.fixture
    async def user(self, pool: asyncpg.Pool) -> User:
        return await UserStore(pool).add(DEFAULT_TENANT, "Kim", "agent")

    async def test_a_name_is_one_user_whose_role_may_change(self, pool: asyncpg.Pool, user: User) -> None:
        users = UserStore(pool)
        promoted = await users.add(DEFAULT_TENANT, "Kim", "supervisor")
        elsewhere = await users.add(await new_tenant(pool), "Kim", "admin")
        assert (promoted.id, promoted.role) == (user.id, "supervisor")
        assert elsewhere.id != user.id
        assert [found["name"] for found in await users.all(DEFAULT_TENANT)] == ["Kim"]

    async def test_a_secret_opens_until_it_is_revoked_and_only_as_what_it_is(
        self, pool: asyncpg.Pool, user: User
    ) -> None:
        users = UserStore(pool)
        token, session = await users.issue(user, "token"), await users.issue(user, "session")
        assert await users.find(token, "token") == await users.find(session, "session") == user
        assert await users.find(token, "session") is None
        assert await users.find("guess", "token") is None
        assert await users.still_valid({digest(token), digest(session), digest("x")}) == {
            digest(token),
            digest(session),
        }
        await users.revoke(token)
        await users.revoke(token)
        assert await users.find(token, "token") is None
        assert await users.find(session, "session") == user
        assert await users.still_valid({digest(token), digest(session)}) == {digest(session)}

    async def test_no_secret_is_kept(self, pool: asyncpg.Pool, user: User) -> None:
        secret = await UserStore(pool).issue(user, "token")
        (kept,) = await pool.fetch("SELECT * FROM credentials")
        assert secret.encode() not in b" ".join(str(value).encode() for value in kept.values())
        assert kept["digest"] == digest(secret)
        assert len(secret) >= 40

    async def test_a_secret_of_one_use_is_used_once_however_many_try(self, pool: asyncpg.Pool, user: User) -> None:
        users = UserStore(pool)
        link = await users.issue(user, "login", life=timedelta(minutes=5))
        assert await users.use_once(link, "session") is None
        tries = await asyncio.gather(*(users.use_once(link, "login") for _ in range(8)))
        assert [found for found in tries if found] == [user]
        assert await users.find(link, "login") is None

    async def test_a_secret_runs_out(self, pool: asyncpg.Pool, user: User) -> None:
        users = UserStore(pool)
        lives = {hours: await users.issue(user, "session", life=timedelta(hours=hours)) for hours in (-1, -30, 1)}
        token = await users.issue(user, "token")
        found = {hours: await users.find(secret, "session") for hours, secret in lives.items()}
        assert found == {-1: None, -30: None, 1: user}
        assert await users.use_once(lives[-1], "session") is None
        assert await users.still_valid({digest(secret) for secret in lives.values()}) == {digest(lives[1])}
        await users.forget_expired()
        left = {row["digest"] for row in await pool.fetch("SELECT digest FROM credentials")}
        assert left == {digest(lives[-1]), digest(lives[1]), digest(token)}

    async def test_what_people_did_is_written_down(self, pool: asyncpg.Pool, user: User) -> None:
        users = UserStore(pool)
        await users.audit(user, "call.read", "call-1")
        automation = User(API_TOKEN_USER_ID, DEFAULT_TENANT, "automation", "admin")
        await users.audit(automation, "export", "call-2", {"format": "csv"})
        rows = await pool.fetch("SELECT user_id, act, object_id, detail FROM audit_log ORDER BY id")
        assert [tuple(row) for row in rows] == [
            (user.id, "call.read", "call-1", {}),
            (None, "export", "call-2", {"format": "csv"}),
        ]


async def test_a_call_goes_with_all_that_hangs_on_it(pool: asyncpg.Pool, work: TrackWork) -> None:
    transcripts = TranscriptStore(pool)
    await transcripts.commit(work.call, final(work, 0), next_seq=0, resume_chunk=1, resume_ms=1)
    await transcripts.add_gap(work.call, work.track.id, Hole(0, 1, "missing"))
    await InsightStore(pool).put(
        DEFAULT_TENANT, work.call.id, kind="summary", key="summary", body={}, evidence=(), source="builtin"
    )
    await pool.execute("DELETE FROM calls WHERE id = $1", work.call.id)
    for table in ("legs", "tracks", "meeting_transcripts", "gaps", "insights"):
        assert await count(pool, table) == 0


async def test_a_track_of_a_call_that_was_never_stored_brings_its_call_along(pool: asyncpg.Pool) -> None:
    call = new_call()
    leg = Leg(uuid4(), call.id, "agent", "Kim")
    await CallStore(pool).add_track(call, leg, Track(uuid4(), leg.id, call.id, "outbound"), "SPEAKER_01", GATEWAY)
    assert [await count(pool, table) for table in ("calls", "legs", "tracks")] == [1, 1, 1]
