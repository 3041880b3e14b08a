"""Counts what a person does: each click, each key, and each field that is filled in."""

from dataclasses import dataclass, field

from playwright.async_api import Locator, Page


class OverBudget(AssertionError):
    """The task takes more clicks and keys than it may; the message lists them."""


@dataclass
class Counted:
    """A page on which a task may take *most* clicks and keys: `counted = Counted(page, most=5)`.

    Only what is done through its methods is counted, so a test looks through `page`, and acts through this. A text that
    is typed into one field counts once, whatever its length. An action over the budget is refused, not done.
    """

    page: Page
    most: int = 5
    actions: list[str] = field(default_factory=list)

    async def click(self, target: Locator) -> None:
        self._count(f"click {target}")
        await target.click()

    async def press(self, key: str) -> None:
        """Press a key, or a chord such as `Control+Enter`. Keys one after the other, as in `g o`, are two."""
        self._count(f"press {key}")
        await self.page.keyboard.press(key)

    async def type_into(self, into: Locator, text: str) -> None:
        """Put the text into the field. The click that leads to a field which has not the focus is counted too."""
        if not await into.evaluate("(element) => element === document.activeElement"):
            await self.click(into)
        self._count(f"type {text!r}")
        await into.fill(text)

    def _count(self, action: str) -> None:
        if len(self.actions) >= self.most:
            done = "; ".join(self.actions)
            raise OverBudget(f"the task takes more than {self.most} clicks and keys: after {done}, it needs {action}")
        self.actions.append(action)
