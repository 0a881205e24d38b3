"""A recording client and a whole installation: what both parties say is written down under their names and roles."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from media_gateway.audio import Samples
from tests.conftest import free_port, until
from tests.recordings import read
from tests.siprec import RecordingClient, Someone, body_of, metadata
from tests.whole import ROOT, Whole, whole

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
SECONDS = 20
pytestmark = [
    pytest.mark.slow,
    pytest.mark.models,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    settings = {
        "sip_port": str(free_port()),
        "sip_trunks": "127.0.0.0/8",
        "rtp_ports": "27000-27999",
        "siprec_agents": "*@agents.example.com",
    }
    async with whole(tmp_path_factory.mktemp("siprec") / "data", **settings) as running:
        yield running


def party(role: str) -> Samples:
    """Return what a party of the sample call says, 8 kHz; the customer is on the left."""
    samples, _ = read(SAMPLE, 8000)
    return samples[: 8000 * SECONDS, 1 if role == "agent" else 0]


def words(snapshot: dict[str, Any], role: str) -> str:
    return " ".join(segment["text"] for segment in snapshot["segments"] if segment["role"] == role).lower()


async def recorded(server: Whole, call_id: str, people: list[Someone], *audio: Samples) -> dict[str, Any]:
    """Record a call and return its snapshot once all is known of it."""
    port = int(server.environment["SIP_PORT"])
    async with RecordingClient.to(port, streams=len(audio), call_id=call_id) as client:
        about = metadata(people, session=f"cs-{call_id}")
        assert (await client.request("INVITE", *body_of(client.offers.sdp(), about))).status == 200
        await client.say(*audio)
        renamed = Someone(people[0].id, people[0].aor, "Jack Smith", people[0].sends)
        assert (await client.request("UPDATE", *body_of(None, metadata([renamed], partial=True)))).status == 200
        assert (await client.request("BYE")).status == 200
    return await server.settled(f"cs-{call_id}", within_s=150)


async def test_both_parties_words_come_out_under_their_names_and_roles(server: Whole) -> None:
    # The agent's number is as public as the customer's, and named first: the setting says who works here.
    people = [
        Someone("p1", "sip:+15550100@sbc.example.com", "Jack", ("2",)),
        Someone("p2", "sip:+15550199@agents.example.com", "Michelle", ("1",)),
    ]
    snapshot = await recorded(server, "rs-1", people, party("agent"), party("customer"))

    call = snapshot["call"]
    assert (call["door"], call["from_number"], call["to_number"]) == ("siprec", "+15550100", "+15550199")
    assert (call["end_reason"], call["queue"], call["agent"]) == ("completed", None, None)
    assert {(leg["role"], leg["name"]) for leg in snapshot["legs"]} == {
        ("customer", "Jack Smith"),
        ("agent", "Michelle"),
    }
    assert {(track["label"], track["role"], track["mixed"]) for track in snapshot["tracks"]} == {
        ("1", "agent", False),
        ("2", "customer", False),
    }
    assert "help you" in words(snapshot, "agent")
    assert "calling" in words(snapshot, "customer")
    assert "help you" not in words(snapshot, "customer")
    assert snapshot["gaps"] == []
    rows = await server.pool.fetch(
        "SELECT role, original_text FROM meeting_transcripts WHERE call_id::text = $1", call["id"]
    )
    assert {row["role"] for row in rows} == {"agent", "customer"}
    assert any(insight["kind"] == "intent" for insight in snapshot["insights"])

    async def saved() -> bool:
        return (await server.get(f"/api/v1/calls/{call['id']}"))["recording"]["state"] == "saved"

    await until(saved, within_s=60)


async def test_both_parties_on_one_stream_are_a_mixed_track(server: Whole) -> None:
    both = (party("agent") // 2 + party("customer") // 2).astype("int16")
    people = [
        Someone("p1", "sip:+15550100@sbc.example.com", "Jack", ("1",)),
        Someone("p2", "sip:2002@agents.example.com", "Michelle", ("1",)),
    ]
    snapshot = await recorded(server, "rs-2", people, both)

    assert [(track["mixed"], track["role"]) for track in snapshot["tracks"]] == [(True, "unknown")]
    assert "help you" in " ".join(segment["text"] for segment in snapshot["segments"]).lower()


async def test_two_calls_are_recorded_at_once(server: Whole) -> None:
    def people(number: int) -> list[Someone]:
        return [
            Someone("p1", f"sip:+1555010{number}@sbc.example.com", "Jack", ("1",)),
            Someone("p2", f"sip:200{number}@agents.example.com", "Michelle", ("2",)),
        ]

    async with asyncio.TaskGroup() as tasks:
        runs = [
            tasks.create_task(recorded(server, f"rs-3{number}", people(number), party("customer"), party("agent")))
            for number in (0, 1)
        ]
    for run in runs:
        assert "help you" in words(run.result(), "agent")
        assert "calling" in words(run.result(), "customer")
    assert len({run.result()["call"]["id"] for run in runs}) == 2
