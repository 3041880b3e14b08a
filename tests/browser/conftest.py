"""A real Chromium, of the distribution's, and pages of a console that is signed in."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from sandbox.services import Service
from tests.browsing import signed_in
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN, Pipeline

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without a sandbox, which containers and root lack; and without asking the makers of the browser anything.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        await browser.close()


@pytest.fixture
async def console(pipeline: Pipeline) -> Service:
    """The console of the test's pipeline, running. The services that it looks at are the test's to start."""
    service = pipeline.console()
    await service.launch_and_wait()
    return service


@pytest.fixture
async def page(chromium: Browser, console: Service) -> AsyncIterator[Page]:
    """A page that an operator has signed in on."""
    async with signed_in(chromium, console, OPERATOR_TOKEN) as page:
        yield page


@pytest.fixture
async def readers_page(chromium: Browser, console: Service) -> AsyncIterator[Page]:
    """A page of somebody who may look, and not act."""
    async with signed_in(chromium, console, READER_TOKEN) as page:
        yield page
