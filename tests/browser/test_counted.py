"""The counter of clicks and keys itself."""

import pytest
from playwright.async_api import Browser, expect

from tests.browser.counted import Counted, OverBudget


async def test_a_task_over_its_budget_is_refused_with_the_list_of_its_clicks_and_keys(chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.set_content("<label>Name <input></label> <button>Find</button>")
    counted = Counted(page, most=3)

    await counted.type_into(page.get_by_label("Name"), "ada@example.com")
    await counted.press("Enter")

    assert len(counted.actions) == 3, "the click into the field, the text and the key"
    await expect(page.get_by_label("Name")).to_have_value("ada@example.com")
    with pytest.raises(OverBudget, match=r"more than 3 .* type 'ada@example.com'; press Enter, it needs click"):
        await counted.click(page.get_by_role("button"))
    await page.close()
