"""What axe-core finds wrong with a page, for people who can't see it or use no mouse."""

from collections.abc import Collection, Sequence

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

SERIOUS = ("serious", "critical")
ANY = ("minor", "moderate", *SERIOUS)


async def findings(page: Page, impacts: Collection[str] = ANY, rules: Sequence[str] = ()) -> list[str]:
    """Return what is wrong to one of these degrees, by these *rules* or all, each with the element that it is about."""
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = await Axe().run(page, options={"resultTypes": ["violations"], "reporter": "no-passes", **only})
    return [
        f"{violation['id']}: {node['html']}"
        for violation in found.response["violations"]
        if violation["impact"] in impacts
        for node in violation["nodes"]
    ]


async def colour_findings(page: Page) -> list[str]:
    """Return what is hard to read: all that depends on the colours."""
    return await findings(page, rules=["color-contrast", "link-in-text-block"])


async def serious_findings(page: Page) -> list[str]:
    """Return what is serious or worse."""
    return await findings(page, SERIOUS)
