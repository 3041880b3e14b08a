"""A real Chromium, of the distribution's, and pages of a console that is signed in."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import Error as PlaywrightError

from sandbox.processes import Process, free_port
from sandbox.services import Service
from tests.console.browsing import signed_in
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN, Pipeline
from tests.polling import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without a sandbox, which containers and root lack; and without asking the makers of the browser anything.
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A browser that is started once: each test has a context of its own in it, and nothing of the others'."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium`")
    folder, port = tmp_path_factory.mktemp("chromium"), free_port()
    browser = Process("chromium", folder / "log")
    profile = [f"--remote-debugging-port={port}", f"--user-data-dir={folder / 'profile'}"]
    browser.start([path, *OPTIONS, *profile, "about:blank"])
    yield f"http://127.0.0.1:{port}"
    asyncio.run(browser.stop())


@pytest.fixture
async def chromium(chromium_address: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:

        async def connected() -> Browser | None:
            try:
                return await playwright.chromium.connect_over_cdp(chromium_address)
            except PlaywrightError:
                return None

        browser = await eventually(connected, every_s=0.2, saying="Chromium answers")
        assert browser is not None
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
