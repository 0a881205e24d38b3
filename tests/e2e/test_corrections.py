"""What people tell the recogniser on the page: who speaks, and which words to expect."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from infra.bus.streams import EventStreams, open_redis
from infra.model import DEFAULT_TENANT, Event
from infra.store.speakers import Assignment, SpeakersChange, SpeakerStore, change_key, change_to_json
from tests.browsing import chromium, come_in
from tests.conftest import require_tool
from tests.e2e.test_page import SAMPLE
from tests.recordings import cut
from tests.whole import Whole, whole

AGENT, CUSTOMER = "SPEAKER_00", "SPEAKER_01"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    require_tool("chromium")
    async with whole(tmp_path_factory.mktemp("corrections") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def tell(installation: Whole, call_id: UUID, change: SpeakersChange) -> None:
    """Tell the screens, as a recogniser does that has told the voices apart."""
    redis = open_redis(installation.redis.url)
    event = Event("speakers", call_id, change_to_json(change), key=change_key(change))
    await EventStreams(redis).publish(DEFAULT_TENANT, event)
    await redis.aclose()


async def test_voices_are_told_apart_and_somebody_puts_them_right(
    installation: Whole, browser: Browser, tmp_path: Path
) -> None:
    sid = await installation.place(cut(SAMPLE, tmp_path / "short.wav", 0, 7, channel=1), speed=4)
    snapshot = await installation.settled(sid)
    segment = snapshot["segments"][0]
    call_id, track_id = UUID(snapshot["call"]["id"]), UUID(segment["track_id"])
    await installation.pool.execute("UPDATE tracks SET mixed = true WHERE id = $1", track_id)
    page = await come_in(browser, installation, "agent", f"/calls/{call_id}")
    lines = page.locator(f'[data-testid="segment"][data-segment-id="{segment["segment_id"]}"]')
    await expect(lines).to_have_count(1)
    await expect(page.get_by_test_id("speakers")).to_have_count(0)

    store = SpeakerStore(installation.pool)
    count = len(segment["words"])
    labels = (AGENT,) * (count - 2) + (CUSTOMER,) * 2
    said = Assignment(UUID(segment["segment_id"]), AGENT, labels)
    await tell(installation, call_id, await store.assign(track_id, [said], {AGENT: "agent", CUSTOMER: "customer"}))
    await expect(lines).to_have_count(2)
    await expect(lines.nth(0)).to_have_attribute("data-role", "agent")
    await expect(lines.nth(1)).to_have_attribute("data-role", "customer")
    shown = [await lines.nth(at).locator("p[lang]").inner_text() for at in (0, 1)]
    assert " ".join(shown).split() == segment["text"].split()
    await expect(page.get_by_test_id("guessed")).to_have_count(2)

    await page.get_by_test_id("swap-sides").click()
    await expect(lines.nth(0)).to_have_attribute("data-role", "customer")
    await expect(page.get_by_test_id("guessed")).to_have_count(0)
    await page.locator(f'[data-testid="speaker"][data-speaker="{CUSTOMER}"]').click()
    await page.get_by_role("menuitemradio", name="Supervisor").click()
    await expect(lines.nth(1)).to_have_attribute("data-role", "supervisor")

    await page.reload()
    await expect(lines.nth(0)).to_have_attribute("data-role", "customer")
    await expect(lines.nth(1)).to_have_attribute("data-role", "supervisor")
    told = {one.speaker: (one.role, one.source) for one in await store.of_track(track_id)}
    assert told == {AGENT: ("customer", "person"), CUSTOMER: ("supervisor", "person")}
    await page.context.close()


async def test_phrases_are_added_together_and_come_back_when_removed_by_mistake(
    installation: Whole, browser: Browser
) -> None:
    page = await come_in(browser, installation, "supervisor", "/vocabulary")
    rows = page.get_by_test_id("phrase-row")
    await page.get_by_test_id("phrase-text").fill("Platinum Motors\n\n  Dr.  Weiß \nplatinum motors")
    await page.get_by_test_id("phrase-add").click()
    await expect(rows).to_have_count(2)
    await expect(rows.filter(has_text="Dr. Weiß")).to_contain_text("Every call")

    await rows.filter(has_text="Platinum Motors").get_by_test_id("phrase-remove").click()
    await expect(rows).to_have_count(1)
    await page.get_by_test_id("phrase-undo").click()
    await expect(rows).to_have_count(2)

    await page.get_by_test_id("phrase-text").fill("fine\n---")
    await expect(page.get_by_test_id("phrase-form")).to_contain_text("neither letters nor digits")
    await expect(page.get_by_test_id("phrase-add")).to_be_disabled()
    await page.context.close()

    reader = await come_in(browser, installation, "agent", "/vocabulary")
    await expect(reader.get_by_test_id("phrase-row")).to_have_count(2)
    await expect(reader.get_by_test_id("phrase-form")).to_have_count(0)
    await expect(reader.get_by_test_id("phrase-remove")).to_have_count(0)
    await reader.context.close()
