"""Ten tasks of a person on call, each done from the overview in at most five clicks and keys."""

import csv
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser, Locator, Page, expect

from sandbox.processes import free_port
from sandbox.services import Service
from schemas.envelope import Headers
from tests.browser.counted import Counted
from tests.browser.driver import Driver, change_at_hubspot
from tests.browser.test_contact import event, find, until_shown
from tests.console.browsing import signed_in
from tests.console.fake_workers import FakeWorker
from tests.end_to_end.reprocessing.test_mending import ADA, BOB, driver, held, set_aside
from tests.pipeline import OPERATOR_TOKEN, Pipeline
from tests.samples import envelope, value

pytestmark = pytest.mark.timeout(240)

SOON_MS = 45_000
ONE_MS = timedelta(milliseconds=1)
OUTAGE = {"answer": {"kind": "status", "status": 503, "style": "html"}}


def to(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def ended(page: Page, state: str = "done") -> None:
    await expect(page.locator(f"#run[data-state={state}]")).to_be_visible(timeout=SOON_MS)


async def test_what_happened_to_a_contact(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page, somebody: str
) -> None:
    ada = Driver(somebody)
    await pipeline.track(ada.signed_up(), ada.poisoned())
    await find(page, ada.email)
    await until_shown(page, 2, "dead_letter")
    await page.goto("/")
    counted = Counted(page)

    await counted.type_into(page.get_by_label("Email or external id"), ada.email)
    await counted.press("Enter")
    await expect(event(page, 1)).to_contain_text("Signed up")
    await expect(event(page, 2).get_by_text("invalid_envelope")).to_be_visible()

    await counted.click(event(page, 1).locator("summary").first)
    await expect(event(page, 1).get_by_text("committed")).to_be_visible()


async def test_is_hubspot_right_for_a_contact_and_if_not_mend_it(
    pipeline: Pipeline, services: tuple[Service, Service], page: Page, somebody: str
) -> None:
    ada = Driver(somebody)
    await pipeline.track(ada.signed_up(), ada.earned())
    await find(page, ada.email)
    await until_shown(page, 2, "delivered")
    await change_at_hubspot(pipeline, ada.email, nerava_nova_balance_cents="7")
    await page.goto("/")
    counted = Counted(page)

    await counted.type_into(page.get_by_label("Email or external id"), ada.email)
    await counted.press("Enter")
    await expect(page.locator("#verdict")).to_have_text(re.compile(r"1 of \d+ properties differ"), timeout=SOON_MS)
    await expect(page.get_by_role("row", name="nerava_nova_balance_cents 500 7 differs")).to_be_visible()

    await counted.click(page.get_by_role("button", name="Resync: dry run"))
    await counted.click(page.get_by_role("button", name="Resync the contact"))
    await expect(page.get_by_role("heading", name="Resync", exact=True)).to_be_visible()
    await expect(page.locator("#ended")).to_contain_text("Done", timeout=SOON_MS)

    await find(page, ada.email)
    await expect(page.locator("#verdict")).to_have_text("matches its events", timeout=SOON_MS)


async def test_of_the_worst_cause_of_dead_letters_one_is_mended_and_all_are_redriven(
    own_pipeline: Pipeline, own_page: Page
) -> None:
    await set_aside(own_pipeline, driver(ADA) + driver(BOB), 2)
    page, counted = own_page, Counted(own_page)

    await counted.click(to(page, "Dead letters"))
    worst = page.locator("[data-group]").first
    await expect(worst.locator("[data-figure=contacts]")).to_have_text("2 contacts")
    await expect(worst).to_contain_text(
        "What to do: the detail names the field. In the payload: mend it, then redrive."
    )
    await counted.click(worst.get_by_role("link", name=re.compile(r"^[0-9]+-[0-9]+$")))
    await expect(page.locator("[data-difference=earned_at]")).to_contain_text("added")
    await counted.click(button(page, "Save the correction"))
    await ended(page)
    await counted.click(button(page, "Redrive all invalid_envelope: dry run"))
    await ended(page)
    await counted.click(button(page, "Redrive 2"))
    await ended(page, "failed")

    await expect(page.locator("[data-report=redriven]")).to_have_text("1")
    await expect(page.locator("[data-report=still_dead]")).to_have_text("1")
    balances = [(await held(own_pipeline, email)).get("nerava_nova_balance_cents") for email in (ADA, BOB)]
    assert sorted(balances, key=str) == ["500", None]


async def test_the_rewards_of_yesterday_are_replayed(own_pipeline: Pipeline, own_page: Page) -> None:
    page, counted, midnight = own_page, Counted(own_page), datetime.now(UTC).replace(hour=0, minute=0, second=0)
    rewards = {1: midnight - timedelta(days=1, hours=1), 2: midnight - timedelta(hours=1), 3: midnight}
    kafka = own_pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for sequence, at in rewards.items():
            await producer.send_and_wait(
                own_pipeline.topics.of("nova_earned"),
                value(envelope(sequence=sequence)),
                key=b"ada@example.com",
                headers=Headers(str(sequence), "nova_earned", sequence).encode(),
                timestamp_ms=int(at.timestamp() * 1000),
            )

    await counted.click(to(page, "Replay"))
    await counted.click(page.get_by_role("link", name="yesterday"))
    await expect(page.locator("[data-picture=chosen]")).to_have_text("1")
    await counted.click(page.get_by_label("nova_earned"))
    await counted.click(button(page, "Show the plan"))
    await ended(page)
    await expect(page.locator("[data-plan=events]")).to_have_text("1")
    await counted.click(button(page, "Start the replay"))
    await ended(page)

    await expect(page.locator("[data-report=contacts_written]")).to_have_text("1")
    await expect(page.locator("[data-picture=chosen]")).to_have_text("1")


async def test_the_dead_letters_are_exported(own_pipeline: Pipeline, own_page: Page, tmp_path: Path) -> None:
    ids = await set_aside(own_pipeline, driver(ADA) + driver(BOB), 2)
    page, counted, file = own_page, Counted(own_page), tmp_path / "dead-letters.csv"

    await counted.click(to(page, "Dead letters"))
    async with page.expect_download() as download:
        await counted.click(page.get_by_role("link", name="Export all 2 as CSV"))
    await (await download.value).save_as(file)

    assert sorted(line["id"] for line in csv.DictReader(file.read_text().splitlines())) == ids
    assert "ada@example.com" not in file.read_text()


async def test_why_is_nothing_sent(pipeline: Pipeline, services: tuple[Service, Service], page: Page) -> None:
    counted = Counted(page)
    await pipeline.simulator.add_fault(OUTAGE)
    await pipeline.commit(200, per_s=50)

    verdict = page.locator("#verdict")
    await expect(verdict).to_contain_text("Nothing is sent: halted, hubspot_unavailable", timeout=SOON_MS)
    await expect(verdict).to_contain_text("Check https://status.hubspot.com; sending resumes by itself.")
    await counted.click(page.locator("#step-hubspot").get_by_role("link"))
    await expect(page.locator("#workers")).to_contain_text("hubspot_unavailable")


async def test_who_paused_and_resume(pipeline: Pipeline, services: tuple[Service, Service], page: Page) -> None:
    counted = Counted(page)
    await pipeline.run("pause", "--note", "the portal is being cleaned up", "--by", "ada")

    verdict = page.locator("#verdict")
    await expect(verdict).to_contain_text("Nothing is sent: paused", timeout=SOON_MS)
    await expect(verdict).to_contain_text("the portal is being cleaned up (ada)")
    await counted.click(verdict.get_by_role("link", name="See who paused, and resume"))
    await expect(page.locator("[data-sending=paused]")).to_contain_text("by ada: the portal is being cleaned up")
    await counted.click(page.get_by_role("button", name="Resume"))
    await expect(page.locator("[data-sending=on]")).to_be_visible()


async def test_when_did_it_begin(pipeline: Pipeline, services: tuple[Service, Service], page: Page) -> None:
    counted = Counted(page)
    note = f"since a while {uuid4().hex[:8]}"
    before = datetime.now(UTC)
    await pipeline.run("pause", "--note", note)
    after = datetime.now(UTC)
    happened = page.locator("[data-mark=pause]").filter(has_text=note)

    await counted.click(page.get_by_role("link", name="24 h"))
    await expect(happened).to_contain_text("still going on", timeout=SOON_MS)
    began = await happened.get_by_role("time").get_attribute("datetime")
    assert began is not None
    assert before - ONE_MS <= datetime.fromisoformat(began) <= after

    await pipeline.run("resume")
    await expect(happened).not_to_contain_text("still going on", timeout=SOON_MS)


async def test_will_we_keep_up_tonight(pipeline: Pipeline, services: tuple[Service, Service], page: Page) -> None:
    Counted(page)
    answer, daily = (page.locator(f"[data-answer={name}]") for name in ("keep-up", "daily"))
    await expect(answer).to_contain_text("Yes. What arrives is delivered at once.", timeout=SOON_MS)
    await expect(daily).to_contain_text("The calls of the day last: about", timeout=SOON_MS)

    await pipeline.run("pause", "--note", "an import runs")
    await pipeline.commit(2_000)

    await expect(answer).to_contain_text("Not while nothing is sent.", timeout=SOON_MS)
    await expect(answer).to_contain_text("events wait")
    await pipeline.run("resume")
    await expect(answer).to_contain_text("Yes. What arrives is delivered at once.", timeout=60_000)


async def test_which_worker_is_slow(pipeline: Pipeline, chromium: Browser, tmp_path: Path) -> None:
    async with FakeWorker().running() as fast, FakeWorker(latency_s=7.0).running() as slow:
        own = {"CONSOLE_PORT": str(free_port()), "CONSOLE_FOLDER": str(tmp_path), "CONSOLE_CONSUMERS": f"{fast},{slow}"}
        console = pipeline.console(**own)
        await console.launch_and_wait()
        async with signed_in(chromium, console, OPERATOR_TOKEN) as page:
            counted = Counted(page)
            row = page.locator(f'[data-worker="{slow}"]')
            await expect(row).to_contain_text("from commit to HubSpot, the others 250 ms", timeout=SOON_MS)
            await counted.click(page.locator(f'[data-problem="slow:worker {slow}"]').get_by_role("link"))
            await expect(row).to_be_in_viewport()
            await expect(page.locator("#workers tbody tr").first).to_have_attribute("data-worker", slow)
        await console.stop()
