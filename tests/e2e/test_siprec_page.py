"""A recorded call on the page: its parties by name, and who is the agent put right by a person."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browsing import chromium, come_in
from tests.conftest import free_port, require_tool, until
from tests.recordings import read
from tests.siprec import RecordingClient, Someone, body_of, metadata
from tests.whole import ROOT, Whole, whole

SAMPLE = ROOT / "infra" / "sample" / "call.flac"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    require_tool("chromium")
    settings = {"sip_port": str(free_port()), "sip_trunks": "127.0.0.0/8", "rtp_ports": "28000-28999"}
    async with whole(tmp_path_factory.mktemp("siprec") / "data", **settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def test_the_sides_of_a_live_recording_are_swapped(installation: Whole, browser: Browser) -> None:
    samples, _ = read(SAMPLE, 8000)
    # Two extensions, and the agent named first: taken for the customer.
    people = [
        Someone("p1", "sip:2001@pbx.example.com", "Michelle", ("1",)),
        Someone("p2", "sip:2002@pbx.example.com", "Jack", ("2",)),
    ]
    async with RecordingClient.to(int(installation.environment["SIP_PORT"])) as client:
        await client.request("INVITE", *body_of(client.offers.sdp(), metadata(people, session="cs-page")))
        find = "SELECT id FROM calls WHERE external_id = 'cs-page'"
        call_id = await until(lambda: installation.pool.fetchval(find))
        page = await come_in(browser, installation, "supervisor", f"/calls/{call_id}")
        parties = page.get_by_test_id("party")
        await expect(parties).to_have_count(2)
        await expect(parties.first).to_contain_text("Michelle")
        await expect(parties.first).to_have_attribute("data-role", "customer")
        await expect(page.get_by_test_id("guessed")).to_have_count(2)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.say(samples[: 8000 * 24, 1], samples[: 8000 * 24, 0]))
            first = page.locator('[data-testid="segment"][data-final="true"]').first
            await expect(first).to_have_attribute("data-role", "customer")
            await page.get_by_test_id("swap-parties").click()
            await expect(parties.first).to_have_attribute("data-role", "agent")
            await expect(parties.first).to_have_attribute("data-source", "person")
            await expect(first).to_have_attribute("data-role", "agent")
        await client.request("BYE")
    snapshot = await installation.settled("cs-page", within_s=120)

    assert {leg["name"]: leg["role"] for leg in snapshot["legs"]} == {"Michelle": "agent", "Jack": "customer"}
    tracks = {track["id"]: track["role"] for track in snapshot["tracks"]}
    assert all(segment["role"] == tracks[segment["track_id"]] for segment in snapshot["segments"])
    assert {segment["role"] for segment in snapshot["segments"]} == {"agent", "customer"}
    await installation.pool.execute(
        """
        INSERT INTO gaps (id, tenant_id, call_id, track_id, start_ms, end_ms, cause)
        SELECT gen_random_uuid(), tenant_id, call_id, id, start_ms, start_ms + 250, 'connection-lost'
        FROM tracks, unnest(ARRAY[2000, 4500]) AS start_ms WHERE call_id = $1
        """,
        call_id,
    )
    await page.reload()
    await expect(page.get_by_test_id("party").first).to_have_attribute("data-role", "agent")
    await expect(page.get_by_test_id("guessed")).to_have_count(0)

    # What both sides lack is told once.
    stutter = page.get_by_test_id("gap").filter(has_text="short break")
    await expect(stutter).to_have_text("00:020.5 s missing in 2 places: a short break in the audio · both sides")
    await expect(page.get_by_label("Parts without sound")).to_have_text("Short break0.5 s at 00:02")
    await expect(page.locator('[data-testid="recording-hole"][data-lane="both"]')).to_have_count(2)

    # Michelle was taken for the customer: she is on the left, and the left lane is the agent's now.
    lanes = page.get_by_test_id("recording-lane")
    await expect(lanes).to_have_text(["Agent", "Customer"])
    # Once more, now that the call is over: the insights follow.
    before = await insights(installation, call_id)
    await page.get_by_test_id("swap-parties").click()
    await expect(lanes).to_have_text(["Customer", "Agent"])
    await until(lambda: _other_insights(installation, call_id, before), within_s=30)

    await page.set_viewport_size({"width": 400, "height": 800})
    header = page.locator("header", has=page.get_by_role("heading", level=1))
    assert (await header.inner_text()).count("2001") == 1
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 400


async def insights(installation: Whole, call_id: object) -> str:
    find = "SELECT string_agg(body::text, ' ' ORDER BY kind, key) FROM insights WHERE call_id = $1"
    return str(await installation.pool.fetchval(find, call_id))


async def _other_insights(installation: Whole, call_id: object, before: str) -> bool:
    return await insights(installation, call_id) != before
