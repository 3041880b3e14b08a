"""The page of a run that has ended: what it says of what was done, and of what was not."""

import json
import re
from pathlib import Path

import pytest

from console.runs.run import ASKED, CODE, ERR, LOCK, OUT
from tests.kafka.dead_letters import AT
from tests.unit.console.test_console_dead_letters import Operator

FORM = {"share": 30, "contact": "ada@example.com"}


@pytest.fixture
async def operator(tmp_path: Path) -> Operator:
    made = Operator(tmp_path)
    await made.sign_in()
    return made


def left(folder: Path, kind: str, code: int, output: object = "", errors: str = "") -> str:
    """Leave what a run that has ended left; return its id."""
    run = folder / "runs" / f"20261124T030000-000000-{kind}"
    run.mkdir(parents=True)
    asked = {"kind": kind, "arguments": [kind], "who": "ada", "began": AT.isoformat(), "form": FORM}
    (run / ASKED).write_text(json.dumps(asked))
    (run / OUT).write_text(json.dumps(output) if output else "")
    (run / ERR).write_text(errors)
    (run / CODE).write_text(str(code))
    (run / LOCK).touch()
    return run.name


@pytest.mark.parametrize("kind", ["replay", "redrive", "resync", "mend", "discard"])
async def test_of_what_failed_half_way_it_is_not_said_that_nothing_was_done(
    operator: Operator, tmp_path: Path, kind: str
) -> None:
    page = (await operator.see(f"/runs/{left(tmp_path, kind, 1)}")).text

    assert "what it wrote before stays written" in page
    assert "Not done" not in page


async def test_a_plan_that_failed_is_not_done(operator: Operator, tmp_path: Path) -> None:
    assert "Not done" in (await operator.see(f"/runs/{left(tmp_path, 'replay_plan', 2)}")).text


async def test_what_goes_on_is_told_in_words(operator: Operator, tmp_path: Path) -> None:
    run = left(tmp_path, "replay", 1, errors='{"resumed": "2026-11-24T03:00:00+00:00"}\n')

    page = (await operator.see(f"/runs/{run}")).text
    assert re.search(r"Continues the run that began at <time [^>]*>2026-11-24 03:00:00 UTC</time>\.", page)


async def test_of_thousands_of_dead_letters_the_page_says_how_many_it_shows(operator: Operator, tmp_path: Path) -> None:
    letters = [{"id": "0-1", "state": "dead", "reason": "too_large", "detail": "x"}, {"id": "0-2", "state": "redriven"}]
    plan = {"dead_letters": 9000, "contacts": 1, "reasons": {}, "unreadable_total": 5000, "unreadable": letters[:1]}
    report = {"plan": plan, "redriven": 8999, "still_dead": 1, "letters_total": 9000, "letters": letters}

    page = (await operator.see(f"/runs/{left(tmp_path, 'redrive', 1, report)}")).text

    assert "This list has 2 of 9,000, those that are still dead first." in page
    assert "5,000 of them can't be read" in page
