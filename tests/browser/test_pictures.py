"""The pictures of the documents: the pages look as there. `NERAVA_PICTURES=write` makes them anew."""

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, StorageState

from tests.console.still.clock import NOW
from tests.console.still.console import StillConsole

pytestmark = pytest.mark.timeout(180)

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SHOWN = ("overview", "contact", "dead-letters", "dead-letter", "replay-plan", "control")
SIZES = {1280: 900, 400: 860}
SCHEMES = ("light", "dark")
MOST_BYTES = 2_000_000
# Other fonts and another version of Chromium differ by less, another page by more.
CELLS, MOST_APART = (40, 30), 0.02
WRITES = os.environ.get("NERAVA_PICTURES") == "write"


def address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@pytest_asyncio.fixture(loop_scope="session")
async def desk(chromium: Browser) -> AsyncIterator[Page]:
    """A page that is nobody's, on which pictures are compared."""
    page = await chromium.new_page()
    await page.add_script_tag(path=Path(__file__).with_name("pictures.js"))
    yield page
    await page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
async def test_the_pages_look_as_in_the_documents(
    still: StillConsole, chromium: Browser, still_session: StorageState, desk: Page, width: int, scheme: str
) -> None:
    context = await chromium.new_context(
        base_url=still.url,
        storage_state=still_session,
        viewport={"width": width, "height": SIZES[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="UTC",
    )
    page = await context.new_page()
    await (await context.new_cdp_session(page)).send("Emulation.setScrollbarsHidden", {"hidden": True})
    await page.clock.set_fixed_time(NOW)
    other = {}
    for name in SHOWN:
        await still.show(page, name)
        # The focus, and what moves, are no part of a page.
        png = await page.screenshot(animations="disabled", caret="hide")
        kept = FOLDER / f"{name}-{width}-{scheme}.png"
        if WRITES:
            kept.write_bytes(base64.b64decode(await desk.evaluate("(url) => shrunk(url)", address(png))))
        found = await desk.evaluate(
            "([urls, cells]) => compare(urls, cells)", [[address(png), address(kept.read_bytes())], CELLS]
        )
        if found["sizes"][0] != found["sizes"][1] or found["apart"] > MOST_APART:
            other[name] = found
    await context.close()

    assert other == {}, "NERAVA_PICTURES=write .venv/bin/pytest -n 0 tests/browser/test_pictures.py makes them anew"


async def test_pictures_of_different_pages_and_colours_are_told_apart(desk: Page) -> None:
    kept = {name: address((FOLDER / f"{name}-1280-light.png").read_bytes()) for name in ("overview", "control")}
    kept["dark"] = address((FOLDER / "overview-1280-dark.png").read_bytes())
    for other in ("control", "dark"):
        found = await desk.evaluate("([urls, cells]) => compare(urls, cells)", [[kept["overview"], kept[other]], CELLS])
        assert found["apart"] > MOST_APART


async def test_the_pictures_are_those_that_are_compared_and_small() -> None:
    kept = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}

    assert kept.keys() == {f"{name}-{width}-{scheme}.png" for name in SHOWN for width in SIZES for scheme in SCHEMES}
    assert sum(kept.values()) < MOST_BYTES
