"""The page for a new user, followed word by word in a fresh clone."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sandbox.processes import listening
from tests.commands import OURS
from tests.console.walkthrough import Step, ending, steps
from tests.foreign.compose import ROOT
from tests.polling import eventually
from tests.terminal import Terminal

pytestmark = pytest.mark.timeout(300)

PAGE = "docs/getting-started.md"
# Of whoever runs the tests: by make, in an environment of his own.
THEIRS = (*OURS, "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTEST_")
SHOWS_WITHIN_S = 180.0
# What git runs in a new clone: `make setup` finds that all is there. Who runs the tests has typed it before.
INSTALLED = """#!/bin/sh
ln -s "{environment}" .venv
touch -d 2000-01-01 uv.lock pyproject.toml
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of what is here, what is not committed yet included."""
    origin = tmp_path / "origin"
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(origin))
    for name in git(ROOT, "ls-files", "--modified", "--others", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, origin / name)
    git(origin, "add", "--all")
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    git(origin, *author, "commit", "--quiet", "--allow-empty", "--message", "What is here")
    return origin


@pytest.fixture
async def terminals(tmp_path: Path, environment: dict[str, str]) -> AsyncIterator[defaultdict[str, Terminal]]:
    """The reader's terminals, by name, opened when they are first used."""
    folder = tmp_path / "reader"
    folder.mkdir()
    opened = defaultdict[str, Terminal](lambda: Terminal(folder, environment))
    yield opened
    for terminal in reversed(opened.values()):
        await terminal.close()
    # An environment is half a gigabyte.
    shutil.rmtree(folder)


@pytest.fixture
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of the reader, who may have installed everything before."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(THEIRS)}
    if request.param == "fresh":
        return {**inherited, "PYTHON": sys.executable}
    if not Path(sys.prefix, ".ready").exists():
        pytest.skip("this environment was not made by make setup")
    hook = tmp_path / "template" / "hooks" / "post-checkout"
    hook.parent.mkdir(parents=True)
    hook.write_text(INSTALLED.format(environment=sys.prefix))
    hook.chmod(0o755)
    return {**inherited, "PYTHON": sys.executable, "GIT_TEMPLATE_DIR": str(hook.parents[1])}


@pytest.mark.parametrize("environment", [pytest.param("fresh", marks=pytest.mark.chaos), "installed"], indirect=True)
async def test_who_follows_getting_started_word_by_word_sees_what_it_promises(
    repository: Path, terminals: defaultdict[str, Terminal]
) -> None:
    page = (repository / PAGE).read_text().replace("ADDRESS nerava", f"{repository} nerava")

    for step in steps(page):
        await follow(step, terminals[step.terminal])

    environment = (repository.parent / "reader" / "nerava-lifecycle" / ".sandbox" / "environment").read_text()
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", environment)]
    assert all(map(listening, ports))
    simulator = re.findall(r"HUBSPOT_API_BASE_URL=(\S+)", environment)
    async with httpx.AsyncClient() as browser:
        assert "<title>HubSpot simulator</title>" in (await browser.get(*simulator)).text

    order, promised = ending(page)
    assert order == ["third", "second", "first"]
    for name in order:
        terminals[name].interrupts()
        code = await terminals[name].ended(within_s=40)
        assert name == "first" or (code == 0 and promised in terminals[name].shown), terminals[name].shown
    assert not any(map(listening, ports))


async def follow(step: Step, terminal: Terminal) -> None:
    """Type, and return when what is promised shows; without a promise, when the commands have ended."""
    await terminal.types(step.commands)

    async def kept() -> bool:
        if step.kept(terminal.shown) and (step.promised or terminal.idle):
            return True
        if terminal.idle:
            assert step.again, f"{step.promised} does not show"
            await terminal.types(step.commands)
        return False

    try:
        await eventually(kept, within_s=SHOWS_WITHIN_S, every_s=0.2, saying=f"{step.promised} shows")
    except AssertionError as error:
        error.add_note(f"{step.commands}shows\n{terminal.shown}")
        raise
    assert "said no to: " not in terminal.shown, f"{step.commands}shows\n{terminal.shown}"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout
