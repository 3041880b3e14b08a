"""The page on containers, followed word by word."""

from tests.console.walkthrough import Step, steps
from tests.containers.composed import Composed
from tests.foreign.compose import ROOT, read_yaml
from tests.polling import eventually
from upkeep.containers.command import PROJECT

PAGE = (ROOT / "docs" / "containers.md").read_text()
VOLUMES = read_yaml("docker-compose.yml")["volumes"]
LOOKS_AGAIN_FOR_S = 60


async def test_who_follows_the_page_word_by_word_sees_what_it_promises_and_nothing_is_left_at_its_end(
    composed: Composed,
) -> None:
    for step in steps(PAGE):
        await follow(step, composed)
        if step.commands == "make down\n":
            assert composed.left() == [f"{PROJECT}_{volume}" for volume in sorted(VOLUMES)]

    assert composed.left() == []


async def follow(step: Step, composed: Composed) -> None:
    shown = ""

    async def kept() -> bool:
        nonlocal shown
        shown = composed.runs("bash", "-e", "-c", step.commands)
        return step.kept(shown)

    if step.again:
        await eventually(kept, within_s=LOOKS_AGAIN_FOR_S, every_s=1, saying=f"{step.promised} shows")
    else:
        assert await kept(), f"{step.commands} shows {shown}"
