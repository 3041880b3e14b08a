"""The demo that is kept: its poisoned contact is found, explained, mended and redriven by clicking alone."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

SOON_MS = 60_000
ADDRESS = re.compile(r"console: (http://\S+), where")
TOKEN = re.compile(r"^\s+([0-9a-f]{64})$", re.MULTILINE)
TO_LOOK_AT = re.compile(r"^  \d\. (http\S+)$", re.MULTILINE)


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[str]:
    """What `make demo ARGS="--events 200 --keep"` has printed when it waits for Ctrl-C."""
    printed = tmp_path / "printed"
    with printed.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox", "demo", "--events", "200", "--keep"),
            stdout=output,
            stderr=output,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
            start_new_session=True,
        )

    async def kept() -> bool:
        assert process.returncode is None, printed.read_text()
        return len(TO_LOOK_AT.findall(printed.read_text())) == 3

    try:
        await eventually(kept, within_s=120, every_s=0.2, saying="the demo is kept")
        yield printed.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 60)


async def clicked(page: Page, button: str) -> None:
    await page.get_by_role("button", name=button).click()


async def test_the_poisoned_contact_is_found_explained_mended_and_redriven_by_clicking_alone(
    demo: str, chromium: Browser
) -> None:
    [address], [token] = ADDRESS.findall(demo), TOKEN.findall(demo)
    context = await chromium.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    # The only thing that is typed is what signs in.
    await page.goto("/")
    await page.get_by_label("Token").fill(token)
    await clicked(page, "Sign in")
    # Whatever it says to look at is there.
    for link in TO_LOOK_AT.findall(demo):
        answer = await page.goto(link)
        assert answer is not None
        assert answer.ok, link
    await page.goto("/")

    # Found: the overview leads to the dead letters, and the one that is there to its contact.
    await page.get_by_role("link", name="See them").click()
    row = page.locator("tbody tr").filter(has_text="invalid_envelope")
    contact = await row.get_by_role("link", name="@example.com").inner_text()
    await row.get_by_role("link", name="@example.com").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(contact)
    poisoned = page.locator("li.event[data-state=dead_letter]")
    await expect(poisoned).to_have_count(1, timeout=SOON_MS)
    await expect(poisoned).to_contain_text("Field required")

    # Explained: what is wrong with it, and what to do.
    await poisoned.get_by_role("link", name="Dead letter").click()
    await expect(page.locator("#why")).to_contain_text("Field required")

    # Mended: what is suggested is in the form already.
    await page.get_by_role("button", name="Save the correction", exact=True).click()
    await expect(page.locator("#run")).to_have_attribute("data-state", "done", timeout=SOON_MS)

    # Redriven: first what it would do, then for real.
    await clicked(page, "Redrive it: dry run")
    await expect(page.locator("#run")).to_have_attribute("data-state", "done", timeout=SOON_MS)
    await clicked(page, "Redrive 1")
    await expect(page.locator("[data-report=redriven]")).to_have_text("1", timeout=SOON_MS)

    # And the contact is whole, at HubSpot too.
    await page.get_by_role("link", name="Dead letters", exact=True).click()
    await expect(page.get_by_text("No dead letter is open")).to_be_visible()
    await page.goto(f"/contacts?q={contact}")
    await expect(page.locator("li.event[data-state=redriven]")).to_have_count(1, timeout=SOON_MS)
    await expect(page.locator("#verdict")).to_contain_text("matches its events", timeout=SOON_MS)
    await context.close()
