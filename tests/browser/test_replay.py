"""The replay's page in a browser: a plan first, then its start, how far it is, its end, and those of before."""

import asyncio
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, StorageState, expect

from sandbox.services import Service
from tests.console.axe import serious_findings
from tests.console.browsing import signed_in
from tests.console.still.console import StillConsole
from tests.end_to_end.reprocessing.test_mending import emptied
from tests.end_to_end.reprocessing.test_replay import delivered
from tests.pipeline import OPERATOR_TOKEN, Pipeline

pytestmark = pytest.mark.timeout(240)

SOON_MS = 45_000
EVENTS = 80


async def state(page: Page, *wanted: str) -> None:
    await expect(page.locator("#run")).to_have_attribute("data-state", re.compile("|".join(wanted)), timeout=SOON_MS)


async def click(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def planned(page: Page) -> None:
    """Ask for the plan of a replay of everything."""
    await page.goto("/replay")
    await page.get_by_label("all events on the topics").check()
    await click(page, "Show the plan")
    await state(page, "done")


async def test_a_replay_is_planned_started_followed_and_told_by_clicking_alone(
    own_pipeline: Pipeline, own_page: Page
) -> None:
    pipeline, page = own_pipeline, own_page
    # A portal that holds nothing, and no worker that fills it.
    producer = pipeline.producer()
    await asyncio.gather(emptied(pipeline), producer.launch_and_wait())
    await pipeline.commit(EVENTS)
    await pipeline.until_published()
    await producer.stop()
    contacts = (await pipeline.ledger()).contacts

    await page.get_by_role("link", name="Replay").click()
    await expect(page.locator("[data-picture=chosen]")).to_have_text(str(EVENTS))
    await page.get_by_label("nova_redeemed").check()
    await expect(page.locator("[data-picture=chosen]")).not_to_have_text(str(EVENTS))
    await page.get_by_text("The same as a table").click()
    assert await serious_findings(page) == []
    await planned(page)
    await expect(page.locator("[data-picture=chosen]")).to_have_text(str(EVENTS))

    await expect(page.locator("[data-plan=events_read]")).to_have_text(str(EVENTS))
    await expect(page.locator("[data-plan=events]")).to_have_text(str(EVENTS - 1))
    await expect(page.locator("[data-plan=contacts]")).to_have_text(str(contacts))
    await expect(page.locator("[data-plan=takes]")).to_contain_text("at 30 % of the quota")
    assert await serious_findings(page) == []
    assert not (await pipeline.simulator.accepted()).contacts

    await click(page, "Start the replay")
    await state(page, "done")
    await expect(page.locator("[data-report=contacts_written]")).to_have_text(str(contacts))
    assert await serious_findings(page) == []
    assert len((await pipeline.simulator.accepted()).contacts) == contacts

    await page.get_by_role("link", name="All replays").click()
    await expect(page.locator("[data-run]")).to_have_count(2)
    await expect(page.get_by_role("row").nth(1)).to_contain_text("replay of all")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("operator token")


@pytest.mark.chaos
async def test_a_replay_that_is_stopped_goes_on_where_it_was(
    own_pipeline: Pipeline, own_console: Service, chromium: Browser
) -> None:
    pipeline, console = own_pipeline, own_console
    worker = await delivered(pipeline)
    await worker.stop()
    await emptied(pipeline)
    async with signed_in(chromium, console, OPERATOR_TOKEN) as page:
        await planned(page)
        await pipeline.simulator.add_fault({"answer": {"kind": "status", "status": 503, "style": "html"}})
        await click(page, "Start the replay")
        await expect(page.get_by_role("heading", name="Writing contacts")).to_be_visible(timeout=SOON_MS)
        # While HubSpot does not answer, nothing is written, and nobody can tell how long the rest takes.
        await expect(page.locator("[data-pace=rate]")).to_contain_text("0 contacts/s", timeout=SOON_MS)
        await expect(page.locator("[data-pace=left]")).to_contain_text("—")
        running = page.url

        # A second one is not begun beside it.
        await planned(page)
        await click(page, "Start the replay")
        await expect(page.get_by_role("alert")).to_contain_text("is still running")
        assert page.url.partition("?")[0] == running
    # The console goes, and the run does not; the next console knows of it.
    await console.kill()
    await console.launch_and_wait()
    async with signed_in(chromium, console, OPERATOR_TOKEN) as page:
        await page.goto(running)
        await state(page, "running")
        await click(page, "Stop")
        await state(page, "stopped")
        await expect(page.locator("#run")).to_contain_text("again to continue")

        await pipeline.simulator.remove_faults()
        await click(page, "Continue it")
        await state(page, "done")

    findings, _ = await pipeline.findings()
    assert not findings


async def test_yesterday_is_that_of_who_looks_and_of_utc_without_scripts(
    still: StillConsole, chromium: Browser, still_session: StorageState
) -> None:
    async def since(*, scripts: bool) -> tuple[str, str]:
        context = await chromium.new_context(
            base_url=still.url, storage_state=still_session, timezone_id="Asia/Tokyo", java_script_enabled=scripts
        )
        page = await context.new_page()
        await page.goto("/replay")
        link = page.get_by_role("link", name="yesterday")
        address, words = await link.get_attribute("href") or "", await link.inner_text()
        await context.close()
        return parse_qs(urlsplit(address).query)["since"][0][10:], words

    assert await since(scripts=True) == ("T15:00:00.000Z", "yesterday")
    assert await since(scripts=False) == ("T00:00:00.000Z", "yesterday (UTC)")


async def test_a_time_that_is_none_is_refused_in_words(page: Page) -> None:
    await page.goto("/replay")
    await page.get_by_label("Since", exact=True).fill("<b>yesterday</b>")
    await click(page, "Show the plan")

    await expect(page.locator("main")).to_contain_text("give a start")

    await page.goto("/replay")
    await page.get_by_label("Since", exact=True).fill("25 h")
    await click(page, "Show the plan")
    await state(page, "failed")
    await expect(page.locator("#run")).to_contain_text("--since: '25 h' is not a time")


async def test_a_reader_sees_the_runs_and_is_offered_none_and_they_fit_a_telephone(
    readers_page: Page, page: Page
) -> None:
    await planned(page)
    run = page.url.partition("?")[0].rpartition("/")[2]
    await readers_page.goto("/replay")

    await expect(readers_page.locator("main").get_by_role("button")).to_have_count(0)
    await readers_page.locator(f'[data-run="{run}"] a').click()
    events = await page.locator("[data-plan=events]").inner_text()
    await expect(readers_page.locator("[data-plan=events]")).to_have_text(events)
    await expect(readers_page.locator("main").get_by_role("button")).to_have_count(0)

    await page.set_viewport_size({"width": 400, "height": 800})
    for path in (page.url, "/replay"):
        await page.goto(path)

        assert await page.evaluate("document.documentElement.scrollWidth") <= 400
        assert await serious_findings(page) == []
