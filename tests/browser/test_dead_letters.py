"""The dead letters' page in a browser: a poisoned event is found, explained, mended and redriven by clicking alone."""

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from sandbox.services import Service
from tests.console.actions import noted
from tests.console.axe import serious_findings
from tests.end_to_end.reprocessing.test_mending import ADA, BOB, driver, held, set_aside
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

SOON_MS = 30_000


@pytest.fixture
def emails(somebody: str) -> tuple[str, str]:
    return f"ada.{somebody}@example.com", f"bob.{somebody}@example.com"


@pytest_asyncio.fixture(loop_scope="session")
async def ids(pipeline: Pipeline, services: tuple[Service, Service], emails: tuple[str, str]) -> list[str]:
    """Two dead letters, of drivers whose newest event lacks its time."""
    ada, bob = emails
    await pipeline.play(driver(ada) + driver(bob))
    return await until_set_aside(pipeline, emails)


async def until_set_aside(pipeline: Pipeline, emails: tuple[str, str]) -> list[str]:
    """Return the ids of the dead letters of *emails*, in their order, when each has one and is finished with."""
    kafka = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}

    async def found() -> list[str] | None:
        letters = (await DeadLetterCatalogue.read(kafka, pipeline.topics)).open()
        by_email = {str(letter.contact): letter.id for letter in letters}
        return [by_email[email] for email in emails] if by_email.keys() >= set(emails) else None

    ids = await eventually(found, every_s=0.2, saying="each has a dead letter")
    assert ids is not None
    await pipeline.until_finished()
    return ids


@pytest_asyncio.fixture(loop_scope="session")
async def own_ids(own_pipeline: Pipeline) -> list[str]:
    """Two such dead letters, and no others on the topics."""
    return await set_aside(own_pipeline, driver(ADA) + driver(BOB), 2)


async def ended(page: Page, state: str = "done") -> None:
    await expect(page.locator(f"#run[data-state={state}]")).to_be_visible(timeout=SOON_MS)


async def click(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


def group(page: Page, reason: str) -> Locator:
    return page.locator(f'[data-group="{reason}"]')


@pytest.mark.chaos
async def test_a_poisoned_event_is_found_explained_mended_and_redriven_by_clicking_alone(
    own_ids: list[str], own_pipeline: Pipeline, own_page: Page
) -> None:
    page, pipeline = own_page, own_pipeline
    await page.get_by_role("link", name="Dead letters").click()
    await expect(group(page, "invalid_envelope").locator("[data-figure=events]")).to_have_text("2 events")
    await expect(group(page, "invalid_envelope").locator("svg")).to_have_attribute(
        "aria-label", "Set aside by hour over the last day: " + ", ".join(["0"] * 23 + ["2"])
    )
    assert await serious_findings(page) == []

    await page.get_by_role("row", name=ADA).get_by_role("link", name="-").first.click()
    await expect(page.locator("#why")).to_contain_text("payload.earned_at: Field required")
    await expect(page.get_by_label("payload.earned_at")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("payload.earned_at")).to_have_value("2026-11-24T03:00:00.000000Z")
    await expect(page.locator("pre")).to_contain_text('"session_id": "ses_1"')
    assert await serious_findings(page) == []

    await click(page, "Try it: dry run")
    await ended(page)
    await expect(page.locator("#run")).to_contain_text("With this correction it can be read.")
    await page.get_by_role("link", name="To dead letter").click()
    await expect(page.locator("#state")).to_have_text("dead")

    await click(page, "Save the correction")
    await ended(page)
    await click(page, "Redrive it: dry run")
    await ended(page)
    await expect(page.locator("[data-plan=contacts]")).to_have_text("1")
    assert await serious_findings(page) == []
    assert "nerava_nova_balance_cents" not in await held(pipeline, ADA)

    await click(page, "Redrive 1")
    await ended(page)
    await expect(page.locator("[data-report=redriven]")).to_have_text("1")
    assert await serious_findings(page) == []
    assert (await held(pipeline, ADA))["nerava_nova_balance_cents"] == "500"
    assert "nerava_nova_balance_cents" not in await held(pipeline, BOB)

    await page.get_by_role("link", name="All dead letters").click()
    await expect(group(page, "invalid_envelope").locator("[data-figure=events]")).to_have_text("1 event")
    await expect(page.get_by_role("row", name=ADA)).to_have_count(0)
    await page.get_by_label("State").select_option("redriven")
    await click(page, "Show")
    await expect(page.get_by_role("row", name=ADA)).to_be_visible()


async def test_what_is_ticked_is_discarded_with_its_note_and_nothing_else(
    ids: list[str], emails: tuple[str, str], page: Page
) -> None:
    ada, bob = emails
    await page.goto("/dead-letters")
    await page.get_by_role("row", name=bob).get_by_role("checkbox").check()
    await page.get_by_label("Why they must never take effect").fill("a test of ours")
    await click(page, "Discard the selected")
    await ended(page)

    await page.goto("/dead-letters?state=all")
    await expect(page.get_by_role("row", name=bob)).to_contain_text("discarded")
    await expect(page.get_by_role("row", name=ada)).to_contain_text("dead")
    await page.get_by_role("row", name=bob).get_by_role("link", name="-").first.click()
    await expect(page.locator("main")).to_contain_text("a test of ours")
    await expect(page.get_by_role("button", name="Discard")).to_have_count(0)


async def test_without_javascript_and_by_the_keyboard_a_dead_letter_is_mended_and_noted(
    ids: list[str], pipeline: Pipeline, chromium: Browser, page: Page
) -> None:
    state = await page.context.storage_state()
    context = await chromium.new_context(base_url=page.url, storage_state=state, java_script_enabled=False)
    plain = await context.new_page()
    await plain.goto(f"/dead-letters/{ids[0]}")
    await plain.get_by_label("Why this correction is right").fill("asked ada@example.com")
    await plain.keyboard.press("Tab")
    await plain.keyboard.press("Tab")
    await plain.keyboard.press("Enter")
    await plain.wait_for_url("**/runs/*")

    async def mended() -> bool:
        await plain.reload()
        return await plain.locator("#run[data-state=done]").count() == 1

    await eventually(mended, within_s=30, every_s=0.5, saying="the mend is done")
    await expect(plain.locator("#run")).to_contain_text("With this correction it can be read.")
    await context.close()
    begun, done = [one for one in await noted(pipeline) if one["arguments"].get("ids") == ids[:1]]
    assert (begun["state"], done["state"], begun["action"], begun["who"]) == ("begun", "done", "mend", "operator token")
    assert begun["arguments"]["note"] == "asked a***@example.com"
    assert done["outcome"]["run"] in plain.url


@pytest.mark.chaos
async def test_all_that_are_shown_are_ticked_at_once_and_what_nobody_can_read_stays_dead(
    own_ids: list[str], own_page: Page
) -> None:
    page = own_page
    await page.goto("/dead-letters")
    await page.get_by_label("All on this page").check()
    await click(page, "Redrive the selected: dry run")
    await ended(page)

    await expect(page.locator("#run")).to_contain_text("2 of them can't be read or mapped, so they stay dead")
    await click(page, "Redrive 2")
    await ended(page, "failed")
    await expect(page.locator("[data-report=still_dead]")).to_have_text("2")


async def test_who_unticks_one_after_all_means_all_no_more(ids: list[str], page: Page) -> None:
    await page.goto("/dead-letters")
    every = page.get_by_role("checkbox", name="that match the filter, on all pages")
    await every.check()
    one = page.get_by_label(f"Dead letter {ids[0]}", exact=True)
    await expect(one).to_be_checked()

    await one.uncheck()

    await expect(every).not_to_be_checked()
    await expect(page.get_by_label(f"Dead letter {ids[1]}", exact=True)).to_be_checked()


async def test_all_of_a_reason_are_redriven_by_its_button(
    services: tuple[Service, Service], somebody: str, emails: tuple[str, str], pipeline: Pipeline, page: Page
) -> None:
    refused = {"kind": "bad_inputs", "message": "Property values were not valid"}
    await pipeline.simulator.add_fault({"answer": refused, "match": {"text": somebody}})
    await pipeline.play([event for email in emails for event in driver(email)[:1]])
    await until_set_aside(pipeline, emails)
    await pipeline.simulator.remove_faults()
    await page.goto("/dead-letters")
    await group(page, "rejected_by_hubspot").get_by_role("button").click()
    await ended(page)
    await click(page, "Redrive 2")
    await ended(page)

    await expect(page.locator("[data-report=redriven]")).to_have_text("2")
    await page.goto("/dead-letters")
    await expect(group(page, "rejected_by_hubspot")).to_have_count(0)
    assert {email for email in emails if await held(pipeline, email)} == set(emails)


@pytest.mark.chaos
async def test_all_that_match_are_discarded_after_a_dry_run_and_the_page_then_has_none(
    own_ids: list[str], own_page: Page
) -> None:
    page = own_page
    await page.goto("/dead-letters?reason=invalid_envelope")
    await page.get_by_label("all 2 that match the filter, on all pages").check()
    await expect(page.get_by_label(f"Dead letter {own_ids[0]}")).to_be_checked()
    await page.get_by_label("Why they must never take effect").fill("a test of ours")
    await click(page, "Discard the selected")
    await ended(page)
    await expect(page.locator("[data-plan=dead_letters]")).to_have_text("2")
    assert await serious_findings(page) == []
    await click(page, "Discard 2")
    await ended(page)

    await page.get_by_role("link", name="All dead letters").click()
    await expect(page.locator("main")).to_contain_text("No dead letter is open")
    await expect(page.locator("[data-run]")).to_have_count(1)


async def test_a_reader_sees_everything_and_is_offered_nothing_to_do(ids: list[str], readers_page: Page) -> None:
    for path in ("/dead-letters", f"/dead-letters/{ids[0]}"):
        await readers_page.goto(path)
        await expect(readers_page.locator("main")).to_contain_text("earned_at")
        assert set(await readers_page.locator("main").get_by_role("button").all_inner_texts()) <= {"Show"}


async def test_a_note_in_markup_is_shown_as_it_was_typed(ids: list[str], page: Page) -> None:
    await page.goto(f"/dead-letters/{ids[0]}")
    await page.get_by_label("Why this correction is right").fill("<img src=x onerror=alert(1)>")
    await click(page, "Save the correction")
    await ended(page)
    await page.goto(f"/dead-letters/{ids[0]}")

    await expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(page.locator("main img")).to_have_count(0)


async def test_the_dead_letters_fit_a_telephone(ids: list[str], page: Page) -> None:
    await page.set_viewport_size({"width": 400, "height": 800})
    for path in ("/dead-letters", f"/dead-letters/{ids[0]}"):
        await page.goto(path)

        assert await page.evaluate("document.documentElement.scrollWidth") <= 400
        assert await serious_findings(page) == []
