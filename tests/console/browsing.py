"""A browser's page that somebody has signed in on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from playwright.async_api import Browser, Page, StorageState, ViewportSize


class Served(Protocol):
    """A console that answers at an address."""

    @property
    def url(self) -> str: ...


@asynccontextmanager
async def signed_in(
    browser: Browser, console: Served, token: str, session: StorageState | None = None
) -> AsyncIterator[Page]:
    """Yield a page of *console* that *token* has signed in on, or already had, in *session*.

    Whatever goes wrong in the browser fails the test.
    """
    viewport: ViewportSize = {"width": 1280, "height": 900}
    context = await browser.new_context(base_url=console.url, viewport=viewport, storage_state=session)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto("/")
    if session is None:
        await page.get_by_label("Token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Overview").wait_for()
    yield page
    await context.close()
    assert not faults


@asynccontextmanager
async def narrow_and_dark(page: Page) -> AsyncIterator[Page]:
    """Yield another page of whoever has signed in on *page*, as a telephone shows it at night."""
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context(
        base_url=page.url,
        storage_state=await page.context.storage_state(),
        viewport={"width": 400, "height": 800},
        color_scheme="dark",
    )
    yield await context.new_page()
    await context.close()
