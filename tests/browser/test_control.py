"""The Control page in a browser: nothing goes out while sending is paused, all of it when it is resumed; the doctor."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from sandbox.day.ledger import Ledger
from sandbox.services import Service
from tests.console.actions import noted
from tests.console.axe import serious_findings
from tests.console.browsing import narrow_and_dark
from tests.pipeline import OPERATOR_TOKEN, Pipeline

pytestmark = pytest.mark.timeout(240)

SOON_MS = 20_000
POLLED_EVERY_MS = 5_000
# A probe and a look-up would have come by then.
A_WHILE_S = 5


async def test_what_is_paused_by_a_click_goes_out_when_it_is_resumed_by_another(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page
) -> None:
    _, worker = services
    noted_before = len(await noted(pipeline))
    await page.get_by_role("link", name="Control").click()
    await expect(page.locator("[data-sending=on]")).to_be_visible()
    row = page.locator(f'[data-worker="{worker.url}"]')
    await expect(row).to_contain_text("live")
    assert await serious_findings(page) == []

    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.locator("[data-sending=on]"), "without a reason nothing is paused").to_be_visible()
    await page.get_by_label("Reason, for people on call").fill("an import runs")
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.locator("[data-sending=paused]")).to_contain_text("by operator token: an import runs")
    await expect(row).to_contain_text("paused", timeout=SOON_MS)
    await expect(page.locator("#banner")).to_contain_text("Paused: nothing is sent to HubSpot.", timeout=SOON_MS)
    assert await serious_findings(page) == []
    before, calls = await pipeline.ledger(), (await pipeline.simulator.statistics())["calls"]
    held = await pipeline.arrived()
    await pipeline.commit(100)
    await pipeline.until_published()
    await asyncio.sleep(A_WHILE_S)
    assert (await pipeline.simulator.statistics())["calls"] == calls
    assert await pipeline.arrived() == held

    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("[data-sending=on]")).to_be_visible()
    await expect(row).to_contain_text("yes", timeout=SOON_MS)
    await pipeline.until_finished()
    committed = [event for event in (await pipeline.ledger()).events.values() if event.id not in before.events]
    dead = {letter.id for letter in await pipeline.dead_letters()} & {event.id for event in committed}
    assert (len(committed), len(dead)) == (100, 1)
    assert not Ledger(committed).compare(await pipeline.simulator.accepted(), list(dead))
    since = [(one["action"], one["state"]) for one in (await noted(pipeline))[noted_before:]]
    assert since == [(name, state) for name in ("pause", "resume") for state in ("begun", "done")]


async def test_settings_are_shown_without_secrets_and_the_doctor_is_asked_by_a_click(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page
) -> None:
    await page.goto("/control")
    await expect(page.locator("[data-setting=HUBSPOT_SEND_LIVE]")).to_contain_text("true")
    await expect(page.locator("[data-setting=DATABASE_URL]")).to_contain_text("set")
    shown = await page.content()
    for name in ("DATABASE_URL", "HUBSPOT_PRIVATE_APP_TOKEN"):
        assert pipeline.environment[name] not in shown

    await page.get_by_role("button", name="Ask the doctor").click()
    await expect(page.locator("#ended")).to_be_visible(timeout=60_000)
    await expect(page.locator("[data-finding=token]")).to_be_visible()
    assert await serious_findings(page) == []
    await page.get_by_role("link", name="Back to control").click()
    await expect(page.locator("[data-finding=sending]")).to_contain_text("not halted")


@pytest.mark.chaos
async def test_a_dry_run_is_marked_and_a_reader_can_do_nothing(
    pipeline: Pipeline, asleep: tuple[Service, Service], readers_page: Page
) -> None:
    worker = pipeline.consumer(HUBSPOT_SEND_LIVE="false")
    await worker.launch_and_wait()

    await readers_page.goto("/control")

    await expect(readers_page.locator(f'[data-worker="{worker.url}"]')).to_contain_text("dry run", timeout=SOON_MS)
    await expect(readers_page.locator("main").get_by_role("button")).to_have_count(0)
    await worker.stop()


async def test_control_fits_a_telephone_and_a_dark_room(services: tuple[Service, Service], page: Page) -> None:
    async with narrow_and_dark(page) as narrow:
        await narrow.goto("/control")

        assert await narrow.evaluate("document.documentElement.scrollWidth") <= 400
        assert await serious_findings(narrow) == []
        assert OPERATOR_TOKEN not in await narrow.content()


async def test_polling_leaves_the_focus_where_it_is_and_says_only_what_is_new(page: Page) -> None:
    await page.clock.install()
    await page.goto("/control")
    said, workers = page.locator("#said"), page.locator("#workers")
    await workers.focus()

    for _ in range(2):
        async with page.expect_response("**/control/live") as polled:
            await page.clock.run_for(POLLED_EVERY_MS)
        await (await polled.value).finished()
    await expect(workers).to_be_focused()
    await expect(said).to_be_empty()

    await page.route("**/control/live", lambda route: route.fulfill(body="<p data-says>Sending is <b>paused</b></p>"))
    await page.clock.run_for(POLLED_EVERY_MS)
    await expect(said).to_have_text("Sending is paused", timeout=SOON_MS)
