"""The documents as a site, in a browser: diagrams are drawn, the search finds, and nothing is asked of another host."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.foreign.mermaid import diagrams, flowchart
from tests.foreign.site import build

ROOT = Path(__file__).parents[2]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site") / "built"
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@asynccontextmanager
async def reading(chromium: Browser, site: str) -> AsyncIterator[Page]:
    """Yield a page for the site. Whatever goes wrong in it fails the test, and so does a request to another host."""
    context = await chromium.new_context(base_url=site, viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: faults.append(asked.url) if urlsplit(asked.url).netloc not in site else None)
    page.on("requestfailed", lambda asked: faults.append(f"{asked.url} failed"))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    yield page
    await context.close()
    assert faults == []


async def test_the_diagram_of_the_architecture_is_drawn_with_all_that_it_names(chromium: Browser, site: str) -> None:
    [source] = diagrams(ROOT / "docs" / "architecture.md")
    drawn = flowchart(source)
    async with reading(chromium, site) as page:
        await page.goto("/docs/architecture/")
        # The theme draws it where no script can look.
        diagram = page.locator("div.mermaid")
        await expect(diagram).to_have_count(1)
        box = await diagram.bounding_box()
        assert box is not None
        assert box["height"] > 100
        # So the same Mermaid draws the same source once more.
        text = await page.evaluate("async source => (await mermaid.render('again', source)).svg", source)

    for label in (*drawn.nodes.values(), *drawn.groups.values()):
        assert label in re.sub(r"<[^>]*>", "", text).replace("&#39;", "'"), label


async def test_the_search_finds_a_page(chromium: Browser, site: str) -> None:
    async with reading(chromium, site) as page:
        await page.goto("/")
        await page.get_by_role("textbox", name="Search").fill("dead letters")
        await expect(page.locator(".md-search-result__item").first).to_contain_text("dead letter", ignore_case=True)


@pytest.mark.parametrize("width", [1280, 400])
async def test_the_readme_has_its_pictures_and_fits(chromium: Browser, site: str, width: int) -> None:
    async with reading(chromium, site) as page:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.goto("/")
        sizes = await page.evaluate("Array.from(document.querySelectorAll('article img'), image => image.naturalWidth)")
        assert len(sizes) >= 3
        assert all(sizes)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
