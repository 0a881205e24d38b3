"""What a person sees: a real Chromium in front of a whole installation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browsing import chromium, come_in
from tests.conftest import require_tool
from tests.recordings import cut
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
    async with whole(tmp_path_factory.mktemp("page") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def greeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's greeting alone: what the microphone hears."""
    return cut(SAMPLE, tmp_path_factory.mktemp("greeting") / "greeting.wav", 0, 8, channel=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(greeting: Path) -> AsyncIterator[Browser]:
    async with chromium(f"--use-file-for-fake-audio-capture={greeting}%noloop") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, installation: Whole) -> AsyncIterator[Page]:
    """A page that has come in by a login link; anything its console calls an error fails the test."""
    opened = await come_in(browser, installation, "supervisor")
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    await opened.reload()
    yield opened
    await opened.context.close()
    assert not errors


async def test_a_call_arrives_on_the_page_while_it_is_spoken(installation: Whole, page: Page, tmp_path: Path) -> None:
    recording = cut(SAMPLE, tmp_path / "call.wav", 0, 20)
    async with installation.placing(recording) as sid:
        row = page.get_by_test_id("call-row").first
        await expect(row.get_by_test_id("live-badge")).to_be_visible()
        await row.click()
        finals = page.locator('[data-testid="segment"][data-final="true"]')
        await expect(finals.first).to_contain_text("Thank you for calling")
        await expect(page.get_by_test_id("live-badge")).to_be_visible()
        await expect(finals.first).to_have_attribute("data-role", "agent")
        await expect(page.locator('[data-testid="segment"][data-role="customer"]').first).to_be_visible()
    snapshot = await installation.settled(sid)
    await expect(finals).to_have_count(len(snapshot["segments"]))
    for segment in snapshot["segments"]:
        await expect(page.get_by_test_id("transcript")).to_contain_text(segment["text"])
    await expect(page.get_by_test_id("summary")).to_contain_text("Platinum Motors")
    await expect(page.get_by_test_id("live-badge")).to_have_count(0)


async def test_a_banner_moves_no_line_of_a_live_call(installation: Whole, page: Page, tmp_path: Path) -> None:
    async with installation.placing(cut(SAMPLE, tmp_path / "call.wav", 0, 33)) as sid:
        row = page.get_by_test_id("call-row").first
        await expect(row.get_by_test_id("live-badge")).to_be_visible()
        await row.click()
        transcript = page.get_by_test_id("transcript")
        await expect(page.locator('[data-testid="segment"]').first).to_be_visible()
        before = await transcript.bounding_box()
        await installation.kill("insights")
        await expect(page.get_by_test_id("degraded-banner")).to_be_visible()
        if await page.get_by_test_id("live-badge").count():
            assert await transcript.bounding_box() == before
        await installation.start("insights")
    await installation.settled(sid)


async def test_the_page_keeps_its_place_when_the_server_goes_and_comes(
    installation: Whole, page: Page, tmp_path: Path
) -> None:
    sid = await installation.place(cut(SAMPLE, tmp_path / "first.wav", 0, 7), speed=4)
    snapshot = await installation.settled(sid)
    await page.goto(f"{installation.url}/calls/{snapshot['call']['id']}")
    finals = page.locator('[data-testid="segment"][data-final="true"]')
    await expect(finals).to_have_count(len(snapshot["segments"]))
    await page.evaluate("window.neverReloaded = true")
    await expect(page.get_by_test_id("connection-state")).to_contain_text("Connected")

    await installation.kill("serve")
    await expect(page.get_by_test_id("connection-state")).not_to_contain_text("Connected")
    missed = await installation.retold(snapshot)
    await installation.start("serve")
    await installation.ready()

    await expect(page.get_by_test_id("connection-state")).to_contain_text("Connected")
    await expect(page.get_by_test_id("transcript")).to_contain_text(missed)
    await expect(finals).to_have_count(len(snapshot["segments"]) + 1)
    assert await page.evaluate("window.neverReloaded") is True


async def test_my_microphone_becomes_words(installation: Whole, page: Page) -> None:
    await page.get_by_test_id("mic-button").first.click()
    await expect(page.get_by_test_id("recording-indicator").first).to_be_visible()
    finals = page.locator('[data-testid="segment"][data-final="true"]')
    await expect(finals.first).to_contain_text("Thank you for calling")
    call_id = page.url.rsplit("/", 1)[1]
    await page.get_by_test_id("recording-indicator").get_by_role("button", name="Stop").click()
    await expect(page.get_by_test_id("recording-indicator")).to_have_count(0)
    snapshot = await installation.settled_id(call_id)
    assert snapshot["call"]["door"] == "browser"
    assert [segment["text"] for segment in snapshot["segments"]]


async def test_who_reads_at_the_end_stays_there_when_the_call_ends(
    installation: Whole, page: Page, tmp_path: Path
) -> None:
    await page.set_viewport_size({"width": 1440, "height": 480})
    async with installation.placing(cut(SAMPLE, tmp_path / "call.wav", 43.5, 59)) as sid:
        row = page.get_by_test_id("call-row").first
        await expect(row.get_by_test_id("live-badge")).to_be_visible()
        await row.click()
    snapshot = await installation.settled(sid)
    await expect(page.get_by_test_id("recording-player")).to_be_visible()
    lines = page.locator('[data-testid="segment"][data-final="true"]')
    await expect(lines.last).to_be_in_viewport(ratio=1)
    await expect(lines.first).not_to_be_in_viewport()

    # One that has ended is read from its start, also where it is a little longer than its place.
    shown, whole_px = await page.get_by_test_id("transcript").evaluate("v => [v.clientHeight, v.scrollHeight]")
    await page.set_viewport_size({"width": 1440, "height": 480 - shown + whole_px - 30})
    await page.reload()
    await expect(lines).to_have_count(len(snapshot["segments"]))
    await page.wait_for_timeout(300)  # lines are placed by a guess of their height, then measured
    await expect(page.get_by_test_id("transcript")).to_have_js_property("scrollTop", 0)


async def test_what_was_said_never_becomes_markup(installation: Whole, page: Page, tmp_path: Path) -> None:
    sid = await installation.place(cut(SAMPLE, tmp_path / "short.wav", 0, 7), speed=4)
    snapshot = await installation.settled(sid)
    hostile = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
    await installation.pool.execute(
        "UPDATE meeting_transcripts SET cleaned_text = $2, words = '[]' WHERE id = $1",
        snapshot["segments"][0]["segment_id"],
        hostile,
    )
    await page.goto(f"{installation.url}/calls/{snapshot['call']['id']}")
    await expect(page.get_by_test_id("transcript")).to_contain_text(hostile)
    assert await page.evaluate("window.pwned") is None


async def test_what_was_heard_badly_is_marked_and_explained(installation: Whole, page: Page, tmp_path: Path) -> None:
    sid = await installation.place(cut(SAMPLE, tmp_path / "short.wav", 0, 7), speed=4)
    snapshot = await installation.settled(sid)
    segment = snapshot["segments"][0]
    first, *others = segment["words"]
    await installation.pool.execute(
        "UPDATE meeting_transcripts SET words = $2, confidence = 0.41 WHERE id = $1",
        segment["segment_id"],
        [{**first, "p": 0.23}, *({**word, "p": 0.9} for word in others)],
    )
    await page.goto(f"{installation.url}/calls/{snapshot['call']['id']}")
    line = page.locator(f'[data-segment-id="{segment["segment_id"]}"]')
    await expect(line.get_by_test_id("unsure")).to_have_count(1)
    await expect(line.get_by_test_id("unsure")).to_contain_text(first["w"].strip(" ,.!?"))
    await line.get_by_test_id("unsure").hover()
    await expect(page.get_by_role("tooltip")).to_have_text("Heard with 23 % confidence")

    # By the keyboard: one Tab stop for all lines, and the figures behind it.
    detail = line.get_by_test_id("segment-detail")
    await expect(detail).to_contain_text("41 % sure")
    assert await page.get_by_test_id("transcript").locator('[data-stop="detail"][tabindex="0"]').count() == 1
    await detail.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("detail")).to_contain_text("23 %")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("detail")).to_have_count(0)
    await expect(detail).to_be_focused()
