"""A real Chromium, of the distribution's, and pages of a console that is signed in.

The tests of this folder share one pipeline, console and browser, which all live in one event loop. Each test has
contacts of its own, and says which services it needs: whatever another test left running or stopped is started or
stopped.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, StorageState, async_playwright
from playwright.async_api import Error as PlaywrightError

from sandbox.processes import Process, free_port
from sandbox.services import READY_WITHIN_S, Service
from tests.console.browsing import signed_in
from tests.console.still.console import StillConsole, still_console
from tests.foreign.own_servers import new_prefix
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN, Pipeline, running_pipeline
from tests.polling import eventually

FOLDER = Path(__file__).parent
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass(frozen=True)
class Shared:
    """The pipeline of all tests, with one service of each kind; the tests start and stop the first two."""

    pipeline: Pipeline
    producer: Service
    worker: Service
    console: Service


@pytest.fixture(scope="package")
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


@pytest_asyncio.fixture(scope="package", loop_scope="session")
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


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shared(
    chromium_address: str, tmp_path_factory: pytest.TempPathFactory, kafka: Any, postgres: Any, migrated_template: str
) -> AsyncIterator[Shared]:
    name, prefix = f"browser_{uuid4().hex[:8]}", new_prefix()
    database_url = await postgres.create_database(name, template=migrated_template)
    async with running_pipeline(tmp_path_factory.mktemp("shared"), kafka, database_url, prefix) as pipeline:
        shared = Shared(pipeline, pipeline.producer(), pipeline.consumer(), pipeline.console())
        # Most tests need all of them, so all begin at once.
        for service in (shared.console, shared.worker, shared.producer):
            service.launch()
        yield shared
    await postgres.drop_database(name)


@pytest_asyncio.fixture(loop_scope="session")
async def pipeline(shared: Shared) -> AsyncIterator[Pipeline]:
    """The shared pipeline. Nothing of it is wrong when the next test begins."""
    yield shared.pipeline
    await shared.pipeline.simulator.remove_faults()


@pytest_asyncio.fixture(loop_scope="session")
async def services(shared: Shared) -> tuple[Service, Service]:
    """The producer and the worker, running."""
    pair = shared.producer, shared.worker
    await asyncio.gather(*map(running, pair))
    return pair


async def running(service: Service) -> None:
    """Return when the service is healthy, which it is on its own unless a test has ended it."""
    if not service.running:
        service.launch()
    await service.until(service.healthy, within_s=READY_WITHIN_S)


@pytest_asyncio.fixture(loop_scope="session")
async def asleep(shared: Shared) -> tuple[Service, Service]:
    """The producer and the worker, which the test may start, and does not find running."""
    pair = shared.producer, shared.worker
    await asyncio.gather(*(service.stop() for service in pair))
    return pair


@pytest_asyncio.fixture(loop_scope="session")
async def own_pipeline(tmp_path: Path, kafka: Any, database_url: str, topic_prefix: str) -> AsyncIterator[Pipeline]:
    """A pipeline of the test's own, for what is true only while nobody else uses it."""
    async with running_pipeline(tmp_path, kafka, database_url, topic_prefix) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def own_console(own_pipeline: Pipeline) -> Service:
    """The console of that pipeline, running."""
    service = own_pipeline.console()
    await service.launch_and_wait()
    return service


@pytest_asyncio.fixture(loop_scope="session")
async def own_page(chromium: Browser, own_console: Service) -> AsyncIterator[Page]:
    """A page of that console that an operator has signed in on."""
    async with signed_in(chromium, own_console, OPERATOR_TOKEN) as page:
        yield page


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def sessions(chromium: Browser, shared: Shared) -> Mapping[str, StorageState]:
    """What a browser keeps of having signed in on the shared console, by token."""
    await running(shared.console)
    found = {}
    for token in (OPERATOR_TOKEN, READER_TOKEN):
        async with signed_in(chromium, shared.console, token) as page:
            found[token] = await page.context.storage_state()
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def page(shared: Shared, chromium: Browser, sessions: Mapping[str, StorageState]) -> AsyncIterator[Page]:
    """A page that an operator has signed in on."""
    async with signed_in(chromium, shared.console, OPERATOR_TOKEN, sessions[OPERATOR_TOKEN]) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def readers_page(shared: Shared, chromium: Browser, sessions: Mapping[str, StorageState]) -> AsyncIterator[Page]:
    """A page of somebody who may look, and not act."""
    async with signed_in(chromium, shared.console, READER_TOKEN, sessions[READER_TOKEN]) as page:
        yield page


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def still(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StillConsole]:
    """A console whose pages are the same each time: it needs no other service, and nobody acts in it."""
    async with still_console(tmp_path_factory.mktemp("still")) as console:
        yield console


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def still_session(chromium: Browser, still: StillConsole) -> StorageState:
    """What a browser keeps of an operator's having signed in there."""
    async with signed_in(chromium, still, OPERATOR_TOKEN) as page:
        return await page.context.storage_state()


@pytest_asyncio.fixture(loop_scope="session")
async def still_page(still: StillConsole, chromium: Browser, still_session: StorageState) -> AsyncIterator[Page]:
    """A page of that console that an operator has signed in on."""
    async with signed_in(chromium, still, OPERATOR_TOKEN, still_session) as page:
        yield page


@pytest.fixture
def somebody() -> str:
    """The name of somebody whom no other test knows."""
    return f"somebody{uuid4().hex[:8]}"
