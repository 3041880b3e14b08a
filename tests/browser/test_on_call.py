"""Ten tasks of a person on call, each done from the overview in at most five clicks and keys."""

import re

import pytest
from playwright.async_api import Page, expect

from sandbox.services import Service
from tests.browser.counted import Counted
from tests.browser.driver import Driver, change_at_hubspot
from tests.browser.test_contact import event, find, until_shown
from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(240)

SOON_MS = 40_000


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
