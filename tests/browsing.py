"""Chromium in front of an installation, as somebody who has come in by a login link sees it."""

import contextlib
from collections.abc import AsyncIterator

from playwright.async_api import Browser, Page, async_playwright, expect

from infra.model import DEFAULT_TENANT, UserRole
from infra.store.users import UserStore
from tests.conftest import require_tool
from tests.whole import Whole

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
PATIENCE_MS = 60_000
"""How long is waited for what has to come; a busy machine needs seconds for a first page."""


@contextlib.asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """A browser whose microphone and speaker are not real; `flags` come on top."""
    program = require_tool("chromium")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=[*FLAGS, *flags])
        yield started
        await started.close()


async def come_in(
    browser: Browser, installation: Whole, role: UserRole, path: str = "/", *, name: str = "somebody", script: str = ""
) -> Page:
    """Open a window of its own, log in and go to `path`; `script` runs before each page's own."""
    users = UserStore(installation.pool)
    secret = await users.issue(await users.add(DEFAULT_TENANT, name, role), "login")
    page = await (await browser.new_context(viewport={"width": 1440, "height": 900})).new_page()
    page.set_default_timeout(PATIENCE_MS)
    if script:
        await page.add_init_script(script)
    await page.goto(f"{installation.url}/login?token={secret}")
    await expect(page).to_have_url(f"{installation.url}/")
    if path != "/":
        await page.goto(f"{installation.url}{path}")
    return page
