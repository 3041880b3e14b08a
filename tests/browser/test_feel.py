"""How the console feels: keys, colours, times, paper, narrow screens, and what axe-core finds."""

import re

import pytest
from playwright.async_api import Browser, Page, StorageState, expect

from tests.console.axe import colour_findings, findings
from tests.console.still.console import StillConsole

pytestmark = pytest.mark.timeout(120)

NARROW, WIDE = 400, 1280
LIGHT, DARK = "rgb(246, 247, 249)", "rgb(15, 20, 25)"
THEME_OF_AN_EMPTY_PAGE = """
new MutationObserver((_, observer) => {
  if (!document.body) return;
  window.themeOfAnEmptyPage = document.documentElement.dataset.theme;
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
GROUND = "getComputedStyle(document.documentElement).backgroundColor"


async def test_no_page_has_a_finding_of_axe_in_the_light_or_the_dark_and_none_scrolls_sideways(
    still: StillConsole, still_page: Page
) -> None:
    wrong = []
    for name, path in still.pages.items():
        await still_page.set_viewport_size({"width": WIDE, "height": 900})
        await still_page.emulate_media(color_scheme="light")
        await still_page.goto(path)
        found = {"wide and light": await findings(still_page)}
        await still_page.emulate_media(color_scheme="dark")
        found["wide and dark"] = await colour_findings(still_page)
        await still_page.set_viewport_size({"width": NARROW, "height": 900})
        found["narrow and dark"] = await findings(still_page)
        await still_page.emulate_media(color_scheme="light")
        found["narrow and light"] = await colour_findings(still_page)
        if (scrolls := await still_page.evaluate("document.documentElement.scrollWidth")) > NARROW:
            found["narrow"] = [f"it scrolls to {scrolls} px"]
        wrong += [f"{name}, {how}: {each}" for how, of_it in found.items() for each in of_it]

    assert wrong == []


async def test_the_page_that_signs_people_in_has_no_finding_either(still: StillConsole, chromium: Browser) -> None:
    context = await chromium.new_context(base_url=still.url, viewport={"width": NARROW, "height": 800})
    page = await context.new_page()
    await page.goto("/control")

    await expect(page.get_by_label("Token")).to_be_focused()
    assert await findings(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW
    await context.close()


@pytest.mark.parametrize(
    ("key", "path"),
    [("o", "/"), ("c", "/contacts"), ("d", "/dead-letters"), ("r", "/replay"), ("p", "/control")],
)
async def test_g_and_the_key_of_a_page_go_there(still_page: Page, key: str, path: str) -> None:
    await still_page.goto("/control" if path == "/" else "/")

    await still_page.keyboard.press("g")
    await still_page.keyboard.press(key)

    await expect(still_page).to_have_url(re.compile(f":[0-9]+{path}$"))


async def test_a_slash_searches_and_what_is_typed_is_no_key(still_page: Page) -> None:
    search = still_page.get_by_label("Email or external id")

    await still_page.keyboard.press("/")
    await expect(search).to_be_focused()
    await still_page.keyboard.type("g/?odd")

    await expect(search).to_have_value("g/?odd")
    await expect(still_page.locator("#keys")).to_be_hidden()


async def test_a_question_mark_lists_the_keys_and_they_can_be_switched_off(still_page: Page) -> None:
    window, on = still_page.get_by_role("dialog", name="Keys"), still_page.get_by_label("use these keys")
    await still_page.keyboard.press("?")
    await expect(window).to_be_visible()
    await expect(window).to_contain_text("go to dead letters")
    assert await findings(still_page) == []
    await still_page.keyboard.press("g")
    await still_page.keyboard.press("d")
    await expect(window, "keys count in the window, or they could not be tried").to_be_visible()

    await on.uncheck()
    await still_page.keyboard.press("Escape")
    await expect(window).to_be_hidden()
    await still_page.reload()
    await still_page.keyboard.press("?")

    await expect(window).to_be_hidden()
    await still_page.get_by_role("button", name="Keys").click()
    await expect(window).to_be_visible()
    await on.check()


async def test_j_and_k_move_along_the_rows_and_enter_opens_one(still_page: Page) -> None:
    await still_page.goto("/dead-letters")
    rows = still_page.locator("[data-letter]")
    await rows.first.wait_for()

    for key, number in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        await still_page.keyboard.press(key)
        await expect(rows.nth(number).locator(":focus")).to_have_count(1)
    await still_page.keyboard.press("Enter")

    await expect(still_page).not_to_have_url(re.compile("/dead-letters$"))


async def test_chosen_colours_are_kept_and_known_before_anything_is_painted(still_page: Page) -> None:
    await still_page.emulate_media(color_scheme="dark")
    assert await still_page.evaluate(GROUND) == DARK
    await still_page.get_by_role("button", name="Colours: as the system").click()
    await expect(still_page.get_by_role("button", name="Colours: light")).to_be_visible()
    assert await still_page.evaluate(GROUND) == LIGHT

    await still_page.add_init_script(THEME_OF_AN_EMPTY_PAGE)
    await still_page.goto("/control")
    assert await still_page.evaluate("themeOfAnEmptyPage") == "light"
    assert await still_page.evaluate(GROUND) == LIGHT

    await still_page.reload()
    await still_page.emulate_media(color_scheme="light")
    await still_page.get_by_role("button", name="Colours: light").click()
    await expect(still_page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert await still_page.evaluate(GROUND) == DARK
    await still_page.get_by_role("button", name="Colours: dark").click()
    assert await still_page.evaluate(GROUND) == LIGHT


async def test_times_are_in_the_viewers_zone_with_utc_as_the_title_also_after_a_poll(
    still: StillConsole, chromium: Browser, still_session: StorageState
) -> None:
    context = await chromium.new_context(base_url=still.url, storage_state=still_session, timezone_id="Asia/Kolkata")
    page = await context.new_page()
    await page.goto("/")
    time = page.locator("#as-of time")

    await expect(time).to_have_text(re.compile(r"^2026-11-24 17:30:0\d GMT\+5:30$"))
    await expect(time).to_have_attribute("title", re.compile(r"^2026-11-24 12:00:0\d\.000 UTC$"))
    async with page.expect_response("**/overview/live"):
        pass
    await expect(time).to_have_text(re.compile(r"^2026-11-24 17:30:0\d GMT\+5:30$"))
    await context.close()


async def test_without_scripts_times_are_in_utc_and_nothing_is_offered_that_needs_them(
    still: StillConsole, chromium: Browser, still_session: StorageState
) -> None:
    context = await chromium.new_context(
        base_url=still.url, storage_state=still_session, java_script_enabled=False, timezone_id="Asia/Kolkata"
    )
    page = await context.new_page()
    await page.goto("/control")

    await expect(page.locator("time").first).to_have_text(re.compile(" UTC$"))
    await expect(page.locator(".scripted")).to_have_count(2)
    for each in await page.locator(".scripted").all():
        await expect(each).to_be_hidden()
    await context.close()


async def test_on_paper_a_page_is_light_shows_what_is_folded_up_and_has_nothing_to_press(still_page: Page) -> None:
    await still_page.emulate_media(color_scheme="dark", media="print")
    await still_page.goto("/control")

    assert await still_page.evaluate(GROUND) == "rgb(255, 255, 255)"
    await expect(still_page.locator("nav")).to_be_hidden()
    for button in await still_page.get_by_role("button").all():
        await expect(button).to_be_hidden()
    await expect(still_page.locator("[data-setting=HUBSPOT_SEND_LIVE]").first).to_be_visible()
