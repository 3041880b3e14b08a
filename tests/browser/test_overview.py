"""The overview in a browser: it follows live traffic, and shows nothing stale as live, whatever is down."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from sandbox.processes import free_port
from sandbox.services import Service
from tests.console.axe import serious_findings
from tests.console.browsing import narrow_and_dark, signed_in
from tests.pipeline import OPERATOR_TOKEN, Pipeline, running_pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

SOON_MS = 20_000
OUTAGE = {"answer": {"kind": "status", "status": 503, "style": "html"}}
NOT_KNOWN = "—"
SOME_A_SECOND = re.compile(r"^([1-9][\d,.]*|0\.[1-9]) (events|calls)/s$")


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"[data-figure={name}]")


@pytest_asyncio.fixture(loop_scope="session")
async def traffic(pipeline: Pipeline, services: tuple[Service, Service]) -> AsyncIterator[None]:
    playing = asyncio.create_task(pipeline.commit(6_000, per_s=40))
    yield
    playing.cancel()
    await asyncio.wait([playing])


async def test_the_overview_follows_live_traffic_at_each_step(
    pipeline: Pipeline,
    traffic: None,
    page: Page,
) -> None:
    for name in ("published", "written", "delivered", "calls"):
        await expect(figure(page, name)).to_have_text(SOME_A_SECOND, timeout=SOON_MS)
    await expect(figure(page, "latency_p50")).not_to_have_text(NOT_KNOWN, timeout=SOON_MS)
    await expect(figure(page, "quota_used")).to_have_text(re.compile(r"^\d+ of 100 calls used$"), timeout=SOON_MS)
    await expect(page.get_by_role("img", name="Flow, events/s: published")).to_be_visible(timeout=SOON_MS)
    assert await serious_findings(page) == []


async def test_what_is_down_is_named_and_none_of_its_figures_is_shown(
    pipeline: Pipeline, traffic: None, services: tuple[Service, Service], page: Page
) -> None:
    producer, worker = services
    await expect(figure(page, "delivered")).to_have_text(SOME_A_SECOND, timeout=SOON_MS)

    await worker.kill()

    await expect(page.locator(f'[data-problem="away:worker {worker.url}"]')).to_contain_text(
        "can't be reached", timeout=SOON_MS
    )
    for name in ("delivered", "calls", "unfinished", "latency_p50"):
        await expect(figure(page, name)).to_have_text(NOT_KNOWN)
    await expect(figure(page, "quota_used")).to_contain_text("no worker answers")
    await expect(figure(page, "workers")).to_have_text("0 of 1")
    # What others vouch for is still live: the events wait in Kafka.
    await expect(figure(page, "lag")).to_have_text(re.compile("[1-9]"), timeout=SOON_MS)

    await producer.kill()

    await expect(page.locator(f'[data-problem="away:producer {producer.url}"]')).to_contain_text(
        "can't be reached", timeout=SOON_MS
    )
    for name in ("published", "relay_active"):
        await expect(figure(page, name)).to_have_text(NOT_KNOWN)
    await expect(figure(page, "outbox_rows")).to_have_text(re.compile("[1-9]"), timeout=SOON_MS)

    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())

    await expect(page.locator("[data-problem^=away]")).to_have_count(0, timeout=SOON_MS)
    await expect(figure(page, "delivered")).to_have_text(SOME_A_SECOND, timeout=SOON_MS)


async def test_an_outage_of_hubspot_is_said_on_every_page_and_is_gone_when_it_ends(
    pipeline: Pipeline,
    traffic: None,
    page: Page,
) -> None:
    await pipeline.simulator.add_fault(OUTAGE)

    verdict = page.locator("#verdict")
    await expect(verdict).to_contain_text("Nothing is sent: halted, hubspot_unavailable", timeout=SOON_MS)
    await expect(page.locator("#step-hubspot")).to_have_attribute("data-state", "bad")
    await expect(page.locator("#banner")).to_be_hidden()
    assert await serious_findings(page) == []
    await page.goto("/dead-letters")
    await expect(page.locator("#banner")).to_contain_text("hubspot_unavailable")
    await expect(page.locator("#banner")).to_contain_text("next attempt")

    await pipeline.simulator.remove_faults()

    await expect(page.locator("#banner")).not_to_contain_text("hubspot_unavailable", timeout=SOON_MS)
    await page.goto("/")
    await expect(verdict).not_to_contain_text("Nothing is sent", timeout=SOON_MS)
    await expect(page.locator("[data-mark=halt]").first).to_contain_text("hubspot_unavailable")


async def test_without_kafka_the_overview_says_so_and_knows_no_lag(
    tmp_path: Path, own_kafka: Any, database_url: str, chromium: Browser
) -> None:
    async with running_pipeline(tmp_path, own_kafka, database_url, "own.") as pipeline:
        console = pipeline.console()
        await console.launch_and_wait()
        async with signed_in(chromium, console, OPERATOR_TOKEN) as page:
            await expect(figure(page, "lag")).to_have_text("0 events", timeout=SOON_MS)

            await own_kafka.kill()

            await expect(page.locator('[data-problem="away:Kafka"]')).to_be_visible(timeout=SOON_MS)
            await expect(figure(page, "lag")).to_have_text(NOT_KNOWN)
            await expect(figure(page, "written")).to_have_text(NOT_KNOWN)
            await expect(figure(page, "outbox_rows")).to_have_text("0 events")


async def test_a_page_whose_console_is_gone_says_of_when_its_figures_are(page: Page) -> None:
    await page.context.set_offline(offline=True)

    await expect(page.locator("#unanswered")).to_contain_text("The console does not answer", timeout=SOON_MS)
    await expect(page.locator("#live")).to_have_class(re.compile("stale"))


async def test_charts_and_marks_survive_a_restart_of_the_console(
    pipeline: Pipeline, services: tuple[Service, Service], chromium: Browser, tmp_path: Path
) -> None:
    console = pipeline.console(CONSOLE_PORT=str(free_port()), CONSOLE_FOLDER=str(tmp_path / "console"))
    await console.launch_and_wait()
    async with signed_in(chromium, console, OPERATOR_TOKEN) as page:

        async def drawn() -> list[float]:
            samples = await (await page.request.get("/overview/samples?hours=1")).json()
            return samples["at"] if len([lag for lag in samples["lag"] if lag is not None]) >= 2 else []

        before = await eventually(drawn, every_s=0.5, saying="two samples are drawn")
    await console.kill()
    await console.launch_and_wait()
    async with signed_in(chromium, console, OPERATOR_TOKEN) as page:
        await expect(page.get_by_role("img", name="Waiting, events: in the outbox")).to_be_visible(timeout=SOON_MS)
        after = await drawn()

    assert after[: len(before)] == before
    await console.stop()


async def test_charts_show_an_hour_or_a_day_and_what_is_chosen_by_dragging(
    services: tuple[Service, Service], page: Page
) -> None:
    await page.get_by_role("link", name="24 h").click()
    await expect(page.get_by_role("heading", name="The last 24 hours")).to_be_visible()
    assert await serious_findings(page) == []
    await page.get_by_role("link", name="1 h").click()
    await expect(page.get_by_role("heading", name="The last hour")).to_be_visible()
    drawn, zoomed = page.locator(".u-over").first, page.locator(".chart[data-zoomed]")
    await expect(page.get_by_role("img", name="Waiting, events: in the outbox")).to_be_visible(timeout=SOON_MS)

    await drawn.hover(position={"x": 100, "y": 50})
    await page.mouse.down()
    await drawn.hover(position={"x": 200, "y": 50})
    await page.mouse.up()
    await expect(zoomed, "all charts show the span that was chosen in one").to_have_count(4)
    async with page.expect_response("**/overview/samples**"):
        pass
    await expect(zoomed, "new samples leave it as it is").to_have_count(4)
    await drawn.dblclick()
    await expect(zoomed).to_have_count(0)


async def test_cards_of_one_row_have_one_height(services: tuple[Service, Service], page: Page) -> None:
    await expect(figure(page, "quota_used")).to_contain_text("of 100", timeout=SOON_MS)

    rows = await page.evaluate(
        """() => {
          const rows = {};
          for (const card of document.querySelectorAll(".panels > .panel, .picture > .stage")) {
            const box = card.getBoundingClientRect();
            (rows[Math.round(box.top)] ??= []).push(Math.round(box.height));
          }
          return Object.values(rows);
        }"""
    )

    assert sum(map(len, rows)) == 9
    assert all(len(set(heights)) == 1 for heights in rows)
    assert max(map(len, rows)) == 5, "the picture is one row"
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_overview_fits_a_telephone_and_a_dark_room(page: Page) -> None:
    async with narrow_and_dark(page) as narrow:
        await narrow.goto("/")

        assert await narrow.evaluate("document.documentElement.scrollWidth") <= 400
        assert await serious_findings(narrow) == []
