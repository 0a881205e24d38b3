"""Twilio's webhooks on a real PostgreSQL: each number its own way, and nothing is heard twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from infra.model import DEFAULT_TENANT
from infra.settings import Settings
from infra.store.callbacks import CallbackStore
from infra.store.calls import CallStore
from infra.store.database import open_pool
from infra.store.queues import DEFAULT_QUEUE, OnTimeout, Queue, QueueStore
from infra.store.twilio import TwilioRecording, TwilioStore
from infra.store.users import UserStore
from infra.tokens import SpentHere, StreamTokens, client_identity, twilio_call_id
from tests.parts import new_call
from tests.unit.test_signature import BASE, FORM, TOKEN, Client, post
from tests.unit.test_twiml import check, tags
from webhooks import twiml
from webhooks.app import OUR_FAULT, add_webhooks
from webhooks.numbers import Numbers
from webhooks.twilio_status import CallStatus

TOKENS = StreamTokens("a secret of the server", SpentHere())
CALL_ID = twilio_call_id(FORM["CallSid"])


@dataclass
class Office:
    """A server with all webhooks."""

    client: Client
    heard: list[CallStatus] = field(default_factory=list)
    trouble: Exception | None = None
    draining: bool = False
    ended: set[UUID] = field(default_factory=set)

    async def hear(self, status: CallStatus) -> None:
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        self.heard.append(status)

    async def ask(self, path: str, status: int = 200, **facts: str) -> str:
        """Post a signed form; return the answer."""
        answer = await post(self.client, path, {**FORM, **facts})
        assert answer.status == status, await answer.text()
        return await answer.text()

    async def verbs(self, path: str = "/twilio/voice", **facts: str) -> ET.Element:
        """Post a signed form; return the TwiML."""
        root = ET.fromstring(await self.ask(path, **facts))
        check(root)
        return root


@asynccontextmanager
async def office_on(pool: asyncpg.Pool, **settings: Any) -> AsyncIterator[Office]:
    """Run the webhooks, as the composition root adds them."""
    chosen = Settings(_env_file=None, twilio_auth_token=TOKEN, **settings)
    app = web.Application()
    office = Office(TestClient(TestServer(app)))
    add_webhooks(
        app,
        settings=chosen,
        tokens=TOKENS,
        calls=CallStore(pool),
        base_url=BASE,
        pool=pool,
        is_put_off=lambda _: office.draining,
        has_ended=lambda call_id: call_id in office.ended,
        on_status=office.hear,
    )
    async with office.client:
        yield office


@pytest.fixture
async def office(pool: asyncpg.Pool) -> AsyncIterator[Office]:
    async with office_on(pool) as running:
        yield running


async def queue(pool: asyncpg.Pool, *numbers: str, **facts: Any) -> Queue:
    stored = Queue(uuid4(), facts.pop("name", f"Q {uuid4()}"), numbers=numbers, **facts)
    await QueueStore(pool).put(stored)
    return stored


async def test_each_number_is_answered_its_own_way(pool: asyncpg.Pool, office: Office) -> None:
    await queue(pool, "+15550199", mode="connect", greeting='Welcome to <Sales> & "friends"</Say><Hangup/>')
    await queue(pool, "+15550188", mode="listen", dial="client:ann,+15550111", consent=True, ring_s=9)
    for number in ("+15550199", "+1 (555) 01-99", "15550199"):
        root = await office.verbs(To=number)
        assert [verb.tag for verb in root] == ["Say", "Connect", "Redirect"]
        assert root[0].text == 'Welcome to <Sales> & "friends"</Say><Hangup/>'
    root = await office.verbs(To="+15550188")
    assert [verb.tag for verb in root] == ["Say", "Start", "Dial"]
    assert [(target.tag, target.text) for target in root[2]] == [("Client", "ann"), ("Number", "+15550111")]
    assert root[2].get("timeout") == "9"
    for number in ("+15550177", "", "client:ann"):
        assert tags(ET.tostring(await office.verbs(To=number), "unicode")) == ["Connect", "Redirect"]


async def test_the_token_says_who_carries_the_conversation(pool: asyncpg.Pool, office: Office) -> None:
    await queue(pool, "+15550188", mode="listen", dial="client:ann")
    for number, bridged in (("+15550188", False), ("+15550199", True)):
        for query, returning in (("", False), ("?attempt=2", True)):
            root = await office.verbs(f"/twilio/voice{query}", To=number)
            (parameter,) = root.iter("Parameter")
            grant = await TOKENS.redeem(parameter.get("value") or "")
            assert (grant.bridged, grant.returning, grant.to_number) == (bridged, returning, number)


async def test_a_call_that_an_agent_ended_is_not_brought_back(pool: asyncpg.Pool, office: Office) -> None:
    calls, call = CallStore(pool), replace(new_call(), id=CALL_ID)
    back = "/twilio/voice?attempt=2"
    await calls.open(call, "gateway-1")
    assert [verb.tag for verb in await office.verbs(back)] == ["Say", "Connect", "Redirect"]
    office.ended.add(CALL_ID)  # known here before it is stored
    assert [verb.tag for verb in await office.verbs(back)] == ["Hangup"]
    office.ended.clear()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(office.verbs(back))
        await asyncio.sleep(0.1)
        await calls.end(CALL_ID, "agent hung up", call.started_at, 1000)  # stored while Twilio asks
    assert [verb.tag for verb in asked.result()] == ["Hangup"]
    for ours in OUR_FAULT:
        await calls.open(call, "gateway-1")
        await calls.end(CALL_ID, ours, call.started_at, 1000)
        assert [verb.tag for verb in await office.verbs(back)] == ["Say", "Connect", "Redirect"]


async def test_a_queue_without_targets_rings_its_agents(pool: asyncpg.Pool, office: Office) -> None:
    users = UserStore(pool)
    boss = await users.add(DEFAULT_TENANT, "Amy", "supervisor")
    agents = [await users.add(DEFAULT_TENANT, f"agent {n:02}", "agent") for n in range(12)]
    await queue(pool, "+15550188", mode="listen", agents=(agents[3].id, boss.id))
    await queue(pool, "+15550177", mode="listen")
    root = await office.verbs(To="+15550188")
    assert [target.text for target in root.iter("Client")] == [client_identity(u.id) for u in (agents[3], boss)]
    root = await office.verbs(To="+15550177")
    assert [target.text for target in root.iter("Client")] == [client_identity(u.id) for u in agents[:10]]


async def test_with_nobody_to_ring_the_caller_is_answered_here(pool: asyncpg.Pool, office: Office) -> None:
    await queue(pool, "+15550188", mode="listen", agents=(uuid4(),))
    assert [verb.tag for verb in await office.verbs(To="+15550188")] == ["Connect", "Redirect"]


async def test_the_settings_are_what_the_default_queue_starts_from(pool: asyncpg.Pool) -> None:
    async with office_on(pool, twilio_mode="listen", twilio_dial="+15550111") as office:
        await queue(pool, "+15550188", mode="connect")
        await queue(pool, "+15550177", dial="client:ann")
        for number, target in (("+15550199", "+15550111"), ("+15550177", "ann")):
            (dial,) = (await office.verbs(To=number)).iter("Dial")
            assert [found.text for found in dial] == [target]
        assert (await office.verbs(To="+15550188"))[0].tag == "Connect"
        default = Queue(DEFAULT_QUEUE.id, "Default", is_default=True, mode="connect")
        await QueueStore(pool).put(default)  # what its row says counts
        assert (await office.verbs())[0].tag == "Connect"


async def test_while_the_database_is_away_calls_are_answered_as_before(
    migrated_database: str, pool: asyncpg.Pool
) -> None:
    lost = await open_pool(migrated_database)
    await queue(pool, "+15550188", mode="listen", dial="client:ann")
    async with office_on(lost) as office:
        assert [verb.tag for verb in await office.verbs(To="+15550188")] == ["Start", "Dial"]
        lost.terminate()
        assert [verb.tag for verb in await office.verbs(To="+15550188")] == ["Start", "Dial"]
        assert [verb.tag for verb in await office.verbs(To="+15550177")] == ["Connect", "Redirect"]
        assert [verb.tag for verb in await office.verbs("/twilio/voice?attempt=2")] == ["Say", "Connect", "Redirect"]
        await office.ask("/twilio/status", 204, CallStatus="completed")
        await office.ask("/twilio/status", 204, CallStatus="completed")
        assert [status.state for status in office.heard] == ["completed"]
        await office.ask("/twilio/recording", 503, RecordingSid="RE1", RecordingStatus="completed")
        assert twiml.NOT_NOTED in await office.ask("/twilio/dial?step=message")


async def test_a_database_that_hangs_is_not_waited_for(pool: asyncpg.Pool) -> None:
    numbers = Numbers(QueueStore(pool), timeout_s=0.1)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE queues")
        async with asyncio.timeout(5):
            assert (await numbers.route("+15550199")).queue == DEFAULT_QUEUE


async def test_what_was_heard_is_not_heard_again_after_a_restart(pool: asyncpg.Pool) -> None:
    heard = []
    for _ in range(2):
        async with office_on(pool) as office:
            for number, state in enumerate(("initiated", "ringing", "in-progress", "completed")):
                for _ in range(2):
                    await office.ask("/twilio/status", 204, CallStatus=state, SequenceNumber=str(number))
            for stream in ("MZ1", "MZ2"):
                await office.ask("/twilio/status", 204, StreamSid=stream, StreamEvent="stream-stopped")
            await office.ask(
                "/twilio/status", 204, CallSid="CA2", ParentCallSid=FORM["CallSid"], CallStatus="completed"
            )
            heard += office.heard
    assert [status.state for status in heard] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
        "stream-stopped",
        "stream-stopped",
        "completed",
    ]
    assert [status.has_ended for status in heard] == [False, False, False, True, False, False, False]


async def test_of_servers_that_hear_the_same_at_once_one_acts(pool: asyncpg.Pool) -> None:
    async with office_on(pool) as one, office_on(pool) as other:
        answers = await asyncio.gather(
            *(post(office.client, "/twilio/status", {**FORM, "CallStatus": "completed"}) for office in [one, other] * 5)
        )
        assert len(one.heard + other.heard) == 1
        assert {answer.status for answer in answers} <= {204, 503}  # 503: another is about it
        for office in (one, other):
            await office.ask("/twilio/status", 204, CallStatus="completed")
        assert len(one.heard + other.heard) == 1


@pytest.mark.parametrize("trouble", [TimeoutError(), RuntimeError("odd")])
async def test_what_could_not_be_carried_out_may_be_told_again(
    pool: asyncpg.Pool, office: Office, trouble: Exception
) -> None:
    office.trouble = trouble
    answer = await post(office.client, "/twilio/status", {**FORM, "CallStatus": "completed"})
    assert answer.status in {500, 503}
    office.trouble = None
    await office.ask("/twilio/status", 204, CallStatus="completed")
    assert len(office.heard) == 1


async def test_a_claim_that_came_to_nothing_is_taken_over_and_old_ones_are_forgotten(pool: asyncpg.Pool) -> None:
    patient, hasty = TwilioStore(pool), TwilioStore(pool, claim_s=0)
    key = (DEFAULT_TENANT, "CA1", "completed")
    assert [await patient.claim(*key), await patient.claim(*key), await hasty.claim(*key)] == ["ours", "theirs", "ours"]
    await patient.finish(*key)
    await patient.release(*key)  # too late
    assert await hasty.claim(*key) == "done"
    await pool.execute("UPDATE twilio_notices SET claimed_at = now() - interval '8 days'")
    await patient.claim(DEFAULT_TENANT, "CA2", "completed")
    await patient.forget_old()
    assert [row["call_sid"] for row in await pool.fetch("SELECT call_sid FROM twilio_notices")] == ["CA2"]


RECORDED = {
    "RecordingSid": "RE1",
    "RecordingUrl": "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1",
    "RecordingStatus": "completed",
    "RecordingDuration": "12",
    "RecordingChannels": "2",
    "RecordingSource": "RecordVerb",
}


async def test_a_recording_at_twilio_is_stored_once(pool: asyncpg.Pool, office: Office) -> None:
    begun = {"RecordingSid": "RE1", "RecordingStatus": "in-progress"}
    for facts in (begun, RECORDED, RECORDED, begun, {**RECORDED, "RecordingDuration": "99"}):
        await office.ask("/twilio/recording", 204, **facts)
    await office.ask("/twilio/recording", 204, RecordingSid="RE2", RecordingStatus="absent", ErrorCode="31000")
    whole = TwilioRecording("RE1", CALL_ID, FORM["CallSid"], "completed", RECORDED["RecordingUrl"], 12, 2, "RecordVerb")
    assert await TwilioStore(pool).recordings(CALL_ID) == [
        whole,
        TwilioRecording("RE2", CALL_ID, FORM["CallSid"], "absent", error_code="31000"),
    ]
    assert not await TwilioStore(pool).put_recording(whole)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"RecordingSid": ""}, 400),
        ({"RecordingSid": "../x"}, 400),
        ({"CallSid": ""}, 400),
        ({"RecordingStatus": "on fire"}, 204),
    ],
)
async def test_an_odd_recording_is_not_stored(
    pool: asyncpg.Pool, office: Office, facts: dict[str, str], status: int
) -> None:
    await office.ask("/twilio/recording", status, **{**RECORDED, **facts})
    assert await pool.fetchval("SELECT count(*) FROM twilio_recordings") == 0


async def test_what_is_odd_about_a_recording_is_left_out(pool: asyncpg.Pool, office: Office) -> None:
    odd = {"RecordingUrl": "javascript:x", "RecordingDuration": "-1", "RecordingChannels": "9" * 30}
    await office.ask("/twilio/recording", 204, **{**RECORDED, **odd, "RecordingSource": "a\u0007"})
    (found,) = await TwilioStore(pool).recordings(CALL_ID)
    assert (found.url, found.duration_s, found.channels, found.source) == (None, None, None, None)


@pytest.mark.parametrize("status", ["completed", "answered", "canceled", "", "odd"])
async def test_after_a_conversation_the_call_ends(office: Office, status: str) -> None:
    assert [verb.tag for verb in await office.verbs("/twilio/dial", DialCallStatus=status)] == ["Hangup"]


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed"])
@pytest.mark.parametrize(
    ("on_timeout", "caller", "verbs"),
    [
        ("voicemail", "+15550100", ["Say", "Record", "Say", "Hangup"]),
        ("callback", "+15550100", ["Gather", "Say", "Hangup"]),
        ("callback", "anonymous", ["Say", "Record", "Say", "Hangup"]),  # where to call back?
        ("callback", "+266696687", ["Say", "Record", "Say", "Hangup"]),
        ("hangup", "+15550100", ["Say", "Hangup"]),
    ],
)
async def test_when_nobody_answers_the_queue_says_what_follows(
    pool: asyncpg.Pool, office: Office, status: str, on_timeout: OnTimeout, caller: str, verbs: list[str]
) -> None:
    await queue(pool, FORM["To"], mode="listen", dial="client:ann", on_timeout=on_timeout)
    root = await office.verbs("/twilio/dial", DialCallStatus=status, From=caller)
    assert [verb.tag for verb in root] == verbs


async def test_a_call_overflows_once(pool: asyncpg.Pool, office: Office) -> None:
    others = await queue(pool, dial="client:bob", mode="listen", on_timeout="hangup")
    await queue(pool, FORM["To"], mode="listen", dial="client:ann", overflow_to=others.id, on_timeout="voicemail")
    root = await office.verbs("/twilio/dial", DialCallStatus="no-answer")
    assert [verb.tag for verb in root] == ["Dial"]  # no second stream
    assert [target.text for target in root[0]] == ["bob"]
    path = (root[0].get("action") or "").removeprefix(BASE)
    root = await office.verbs(path, DialCallStatus="no-answer")
    assert [verb.tag for verb in root] == ["Say", "Record", "Say", "Hangup"]  # the first queue's word
    assert [verb.tag for verb in await office.verbs(path, DialCallStatus="completed")] == ["Hangup"]


@pytest.mark.parametrize(("step", "kind"), [("callback", "callback"), ("message", "voicemail")])
async def test_a_wish_is_noted_once(pool: asyncpg.Pool, office: Office, step: str, kind: str) -> None:
    sales = await queue(pool, FORM["To"], mode="listen", name="Sales")
    for _ in range(2):
        root = await office.verbs(f"/twilio/dial?step={step}", Digits="1", From="+1 555-0100", **RECORDED)
        assert root[0].text in {twiml.THANKS, twiml.CALLBACK_NOTED}
        assert [verb.tag for verb in root] == ["Say", "Hangup"]
    (row,) = await CallbackStore(pool).page(DEFAULT_TENANT)
    assert (row["call_id"], row["kind"], row["number"], row["queue"]) == (CALL_ID, kind, "+15550100", sales.name)


@pytest.mark.parametrize("digits", ["2", "", "hangup"])
async def test_who_wants_no_call_back_gets_none(pool: asyncpg.Pool, office: Office, digits: str) -> None:
    root = await office.verbs("/twilio/dial?step=callback", Digits=digits)
    assert [verb.tag for verb in root] == ["Say", "Hangup"]
    assert await CallbackStore(pool).page(DEFAULT_TENANT) == []


async def test_while_we_shut_down_only_new_calls_wait(pool: asyncpg.Pool, office: Office) -> None:
    office.draining = True
    await queue(pool, FORM["To"], mode="listen", dial="client:ann")
    assert [verb.tag for verb in await office.verbs()] == ["Say", "Pause", "Redirect"]
    root = await office.verbs("/twilio/dial", DialCallStatus="no-answer")
    assert [verb.tag for verb in root] == ["Say", "Record", "Say", "Hangup"]
    await office.ask("/twilio/status", 204, CallStatus="completed")
    assert len(office.heard) == 1


async def test_without_a_database_all_numbers_are_the_default_queues() -> None:
    chosen = Settings(_env_file=None, twilio_auth_token=TOKEN, twilio_mode="listen", twilio_dial="client:ann")
    found = await Numbers(mode=chosen.twilio_mode, dial=chosen.twilio_dial).route("+15550199")
    assert (found.mode, found.targets, found.queue) == ("listen", ("client:ann",), DEFAULT_QUEUE)
