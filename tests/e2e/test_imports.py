"""Recordings brought in on the page, in a real Chromium: sent, transcribed, opened as calls."""

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browsing import chromium, come_in
from tests.conftest import require_tool
from tests.e2e.test_page import SAMPLE
from tests.recordings import cut
from tests.whole import Whole, whole

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    require_tool("chromium")
    async with whole(tmp_path_factory.mktemp("imports") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, installation: Whole) -> AsyncIterator[Page]:
    """A supervisor's page on the imports; anything its console calls an error fails the test."""
    opened = await come_in(browser, installation, "supervisor")
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    await opened.get_by_test_id("import-link").click()
    await expect(opened.get_by_role("heading", name="Import recordings")).to_be_visible()
    yield opened
    await opened.context.close()
    assert not errors


async def test_a_recording_is_sent_transcribed_and_opened_as_a_call(page: Page, tmp_path: Path) -> None:
    recording = cut(SAMPLE, tmp_path / "The car.wav", 0, 30)
    await page.get_by_test_id("import-input").set_input_files(recording)
    row = page.locator('[data-testid="import-row"][data-name="The car.wav"]')
    await expect(row).to_have_attribute("data-phase", "running")
    bar = row.get_by_role("progressbar")
    await expect(bar).to_have_accessible_name("Transcribing: The car.wav")
    await expect(row).to_have_attribute("data-phase", "done")
    await expect(row.get_by_test_id("import-detail")).to_have_text("00:30")
    await expect(page.get_by_role("status").filter(has_text="Nothing is being imported.")).to_be_attached()
    await row.get_by_role("link", name="The car.wav").click()
    await expect(page.get_by_role("heading", name="The car")).to_be_visible()
    await expect(page.get_by_text("Platinum Motors").first).to_be_visible()
    await expect(page.get_by_test_id("live-badge")).to_have_count(0)


async def test_several_files_by_drag_and_drop_of_which_one_is_broken(page: Page, tmp_path: Path) -> None:
    good = cut(SAMPLE, tmp_path / "good.wav", 0, 5).read_bytes()
    await page.evaluate(
        """([audio]) => {
            const bytes = Uint8Array.from(atob(audio), (letter) => letter.charCodeAt(0));
            const held = new DataTransfer();
            held.items.add(new File(['no audio at all'], 'notes.wav'));
            held.items.add(new File([bytes], 'good.wav'));
            for (const kind of ['dragenter', 'dragover', 'drop'])
                document.body.dispatchEvent(
                    new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
        }""",
        [b64encode(good).decode()],
    )
    broken = page.locator('[data-testid="import-row"][data-name="notes.wav"]')
    await expect(broken).to_have_attribute("data-phase", "failed")
    await expect(broken).to_contain_text("The file is no recording that can be read.")
    await expect(broken.get_by_role("link")).to_have_count(0)
    await expect(page.locator('[data-name="good.wav"]')).to_have_attribute("data-phase", "done")


async def test_the_same_file_again_leads_to_its_call(page: Page, tmp_path: Path) -> None:
    again = cut(SAMPLE, tmp_path / "again.wav", 0, 5)
    await page.get_by_test_id("import-input").set_input_files(again)
    row = page.locator('[data-name="again.wav"]')
    await expect(row).to_contain_text("Imported before")
    await expect(row.get_by_role("link")).to_be_visible()
    first = await row.get_by_role("link").get_attribute("href")
    await row.get_by_test_id("import-again").click()
    await expect(row).to_contain_text("Imported")
    await expect(row).not_to_contain_text("Imported before")
    await expect(row.get_by_role("link")).not_to_have_attribute("href", first or "")


async def test_a_caller_and_a_time_are_told_before_the_file_is_sent(
    page: Page, installation: Whole, tmp_path: Path
) -> None:
    await page.get_by_test_id("import-number").fill("+15550123")
    await page.get_by_test_id("import-began").fill("2026-03-02T09:15")
    await page.get_by_test_id("import-input").set_input_files(cut(SAMPLE, tmp_path / "told.wav", 3, 8))
    await expect(page.get_by_test_id("import-number")).to_have_value("")
    row = page.locator('[data-name="told.wav"]')
    await expect(row).to_have_attribute("data-phase", "done")
    await row.get_by_role("link").click()
    await expect(page.locator("header", has=page.get_by_role("heading", name="told"))).to_contain_text("+15550123")
    began = await installation.pool.fetchval("SELECT started_at FROM calls WHERE title = 'told'")
    assert abs(began - datetime(2026, 3, 2, 9, 15, tzinfo=UTC)) < timedelta(hours=15)  # the browser's own zone


async def test_cancelling_by_keyboard(page: Page, tmp_path: Path) -> None:
    samples = cut(SAMPLE, tmp_path / "long.wav", 0, 65)
    await page.get_by_test_id("import-input").set_input_files(samples)
    row = page.locator('[data-name="long.wav"]')
    await expect(row).to_have_attribute("data-phase", "running")
    await row.get_by_role("button", name="Cancel long.wav").focus()
    await page.keyboard.press("Enter")
    await expect(row).to_have_attribute("data-phase", "cancelled")


async def test_agents_are_not_offered_to_import(browser: Browser, installation: Whole) -> None:
    page = await come_in(browser, installation, "agent")
    await expect(page.get_by_role("heading", name="Calls", exact=True)).to_be_visible()
    await expect(page.get_by_test_id("import-link")).to_have_count(0)
    await page.goto(f"{installation.url}/import")
    await expect(page.get_by_test_id("import-form")).to_have_count(0)
    await page.context.close()
