"""What axe-core finds wrong with a page, for people who can't see it or use no mouse."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

SERIOUS = ("serious", "critical")


async def serious_findings(page: Page) -> list[str]:
    """Return what is serious or worse, each with the element that it is about."""
    found = await Axe().run(page)
    return [
        f"{violation['id']}: {node['html']}"
        for violation in found.response["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
