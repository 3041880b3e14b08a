"""The contact page in a browser: what happened to somebody, found by clicking alone."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, StorageState, expect

import console
from console.web.view import moment
from sandbox.services import Service
from tests.browser.driver import Driver, change_at_hubspot
from tests.console.axe import serious_findings
from tests.console.browsing import narrow_and_dark
from tests.console.still.console import StillConsole
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

SOON_MS = 20_000
STATIC = Path(console.__file__).parent / "static"


@pytest.fixture
def ada(somebody: str) -> Driver:
    return Driver(somebody)


async def find(page: Page, words: str) -> None:
    await page.get_by_label("Email or external id").fill(words)
    async with page.expect_response("**/contacts?q=*"):
        await page.get_by_role("button", name="Find").click()
    await page.wait_for_load_state()


def event(page: Page, sequence: int) -> Locator:
    return page.locator(f'[data-sequence="{sequence}"]')


async def until_shown(page: Page, sequence: int, state: str) -> Locator:
    """Look again, as people do, until the page shows the event in that state."""

    async def shown() -> bool:
        await page.reload()
        return await page.locator(f'[data-sequence="{sequence}"][data-state="{state}"]').count() == 1

    await eventually(shown, within_s=60, every_s=0.5, saying=f"event {sequence} is shown as {state}")
    return event(page, sequence)


async def test_what_happened_to_a_contact_is_found_by_its_email_and_by_its_external_id(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page, ada: Driver
) -> None:
    await pipeline.track(ada.signed_up(), ada.poisoned(), ada.earned())

    await find(page, ada.email.upper())
    refused = await until_shown(page, 2, "dead_letter")

    await expect(page.get_by_role("heading", level=1)).to_have_text(ada.email)
    await expect(refused.get_by_text("invalid_envelope")).to_be_visible()
    await expect(refused).to_contain_text("earned_at")
    await expect(refused.get_by_role("link", name=re.compile("Dead letter"))).to_be_visible()
    delivered = await until_shown(page, 3, "delivered")
    await expect(delivered.locator(".line")).to_contain_text("+5.00 Nova")
    await expect(delivered.locator(".latency")).to_have_text(re.compile(r"^\d.* m?s \(from the commit to HubSpot\)$"))
    await delivered.locator("summary.line").click()
    await expect(delivered.get_by_role("link", name=re.compile(r"contact \d+"))).to_be_visible()
    await expect(delivered.get_by_text(re.compile(r"It changed \d+ properties"))).to_be_visible()
    await expect(delivered.get_by_role("row", name="nerava_nova_balance_cents 500")).to_be_visible()
    await delivered.get_by_text("Record", exact=True).click()
    await expect(delivered.locator("pre")).to_contain_text('"amount_cents": 500')
    assert await serious_findings(page) == []

    await find(page, ada.user)
    await expect(page.get_by_role("heading", level=1)).to_have_text(ada.email)


@pytest.mark.chaos
async def test_what_somebody_changed_at_hubspot_is_marked_beside_what_the_events_come_to(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page, ada: Driver
) -> None:
    await pipeline.track(ada.signed_up(), ada.earned())
    await find(page, ada.email)
    await until_shown(page, 2, "delivered")
    verdict = page.locator("#verdict")
    await expect(verdict).to_have_text("matches its events", timeout=SOON_MS)

    await change_at_hubspot(pipeline, ada.email, nerava_nova_balance_cents="7")
    await page.reload()

    await expect(verdict).to_contain_text("1 of", timeout=SOON_MS)
    row = page.get_by_role("row", name=re.compile("nerava_nova_balance_cents 500 7 differs"))
    await expect(row).to_be_visible()
    assert await serious_findings(page) == []

    await page.get_by_role("button", name="Resync: dry run").click()
    await expect(page.locator("#ended")).to_contain_text("Done", timeout=2 * SOON_MS)
    await expect(page.get_by_label("What it printed")).to_contain_text("nothing was written: it was a dry run")
    await page.get_by_role("button", name="Resync the contact").click()
    await expect(page.locator("#ended")).to_contain_text("Done", timeout=2 * SOON_MS)
    await expect(page.get_by_label("What it printed")).to_contain_text("nerava_nova_balance_cents")
    await page.get_by_role("link", name="Back to the contact").click()
    await expect(verdict).to_have_text("matches its events", timeout=SOON_MS)


async def test_what_waits_says_where_and_behind_what(
    pipeline: Pipeline, asleep: tuple[Service, Service], page: Page, ada: Driver
) -> None:
    producer, _ = asleep
    await pipeline.track(ada.signed_up())
    await find(page, ada.email)
    await expect(event(page, 1)).to_contain_text("in the outbox, not published yet", timeout=SOON_MS)

    await producer.launch_and_wait()
    await pipeline.until_published()
    first = await until_shown(page, 1, "waiting")
    await expect(first).to_contain_text("No earlier event of this contact is unfinished.")
    await producer.stop()
    await pipeline.track(ada.earned())

    second = await until_shown(page, 2, "outbox")

    await expect(second).to_contain_text("Behind 1, which is waiting too.")


async def test_an_event_whose_email_nobody_named_yet_is_found_by_its_user(
    pipeline: Pipeline, page: Page, ada: Driver
) -> None:
    await pipeline.track(ada.earned())

    await find(page, ada.user)

    await expect(page.get_by_role("heading", name=re.compile("^Parked"))).to_be_visible(timeout=SOON_MS)
    await expect(page.locator("li.parked")).to_contain_text("Nova earned")
    await expect(page.get_by_text("The first event that carries it releases these")).to_be_visible()
    assert await serious_findings(page) == []


async def test_nothing_found_says_where_it_was_looked_for(page: Page) -> None:
    await find(page, "nobody@example.com")

    await expect(page.locator("#nothing")).to_contain_text("No contact was found for nobody@example.com")
    await expect(page.locator("#nothing")).to_contain_text("the outbox, with the events that wait")
    assert await serious_findings(page) == []


async def test_the_events_of_a_contact_fit_one_screen(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page, ada: Driver
) -> None:
    await pipeline.track(ada.signed_up(), ada.poisoned(), *[ada.earned() for _ in range(21)])
    await find(page, ada.email)
    await until_shown(page, 23, "delivered")
    await expect(page.locator("#verdict")).to_contain_text("matches its events", timeout=SOON_MS)

    lowest = await page.locator(".timeline").evaluate("(list) => list.getBoundingClientRect().bottom + scrollY")

    assert lowest <= 900
    await expect(page.get_by_role("img", name=re.compile("The balance is 5.00 Nova"))).to_be_visible()


async def test_an_address_that_names_an_event_opens_it_and_leads_to_a_filtered_page(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page, ada: Driver
) -> None:
    await pipeline.track(ada.signed_up(), ada.poisoned(), ada.earned())
    await find(page, ada.email)
    await until_shown(page, 2, "dead_letter")
    await event(page, 1).locator("summary").first.click()
    address = await event(page, 1).get_by_role("link", name="to this event").get_attribute("href")

    await page.goto("/")
    await page.goto(f"{address}")
    await expect(event(page, 1).get_by_text("committed")).to_be_visible()
    await expect(event(page, 3).get_by_text("committed")).not_to_be_visible()

    await page.get_by_role("link", name="Dead letters 1").click()
    await expect(page.locator("li.event")).to_have_count(1)
    await expect(page).to_have_url(re.compile("&state=dead_letter$"))


async def test_events_are_under_the_days_of_the_viewers_zone(chromium: Browser) -> None:
    context = await chromium.new_context(timezone_id="America/New_York")
    page = await context.new_page()
    await page.clock.set_fixed_time("2026-11-24T12:00:00Z")
    times = [datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (6, 4, 0)]
    rows = "".join(f"<li class=event><summary>{moment(at, 'clock')}</summary></li>" for at in times)
    await page.set_content(f"<ol class=timeline><li class=day><h3>{moment(times[0], 'day')}</h3></li>{rows}</ol>")

    for name in ("console.js", "contact.js"):
        await page.add_script_tag(path=STATIC / name)
    await page.evaluate("document.dispatchEvent(new Event('DOMContentLoaded'))")

    assert await page.locator("li").all_inner_texts() == ["today", "01:00:00", "yesterday", "23:00:00", "19:00:00"]
    await context.close()


async def test_without_scripts_rows_open_filters_lead_and_days_and_times_are_in_utc(
    still: StillConsole, chromium: Browser, still_session: StorageState
) -> None:
    context = await chromium.new_context(
        base_url=still.url, storage_state=still_session, java_script_enabled=False, timezone_id="Asia/Kolkata"
    )
    page = await context.new_page()
    await page.goto(f"{still.pages['contact']}#event-11")
    await expect(event(page, 11).get_by_text("committed")).to_be_visible()
    await event(page, 12).locator("summary").first.click()
    await expect(event(page, 12).get_by_text("committed")).to_be_visible()
    assert await page.locator(".day").all_inner_texts() == ["2026-11-24 UTC", "2026-11-23 UTC", "2026-11-22 UTC"]
    await expect(event(page, 12).locator("time").first).to_have_text("08:00:00 UTC")

    await page.get_by_role("link", name="Missing 1").click()
    await expect(page.locator("[data-hole]")).to_have_attribute("data-hole", "10-10")
    await expect(page.locator("li.event")).to_have_count(0)
    await context.close()


async def test_keys_lead_along_the_rows_and_open_one(still: StillConsole, still_page: Page) -> None:
    await still_page.goto(still.pages["contact"])

    for key in ("j", "j", "Enter"):
        await still_page.keyboard.press(key)

    await expect(event(still_page, 14).get_by_text("committed")).to_be_visible()


async def test_the_contact_page_fits_a_telephone_and_a_dark_room(pipeline: Pipeline, page: Page, ada: Driver) -> None:
    ada = replace(ada, name=f"{ada.name}.of.a.name.that.is.wider.than.a.telephone")
    await pipeline.track(ada.signed_up(), ada.poisoned())
    async with narrow_and_dark(page) as narrow:
        await narrow.goto(f"/contacts?q={ada.email}")
        await expect(event(narrow, 2)).to_be_visible()

        assert await narrow.evaluate("document.documentElement.scrollWidth") <= 400
        assert await serious_findings(narrow) == []
