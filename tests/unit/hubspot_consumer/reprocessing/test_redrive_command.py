"""`redrive --json`: what it tells of thousands."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hubspot_consumer.cli.progress import Display
from hubspot_consumer.cli.redrive import MOST_LISTED, Output
from hubspot_consumer.reprocessing.redrive import Legible

MANY = 3 * MOST_LISTED


def test_it_counts_all_and_names_some_those_still_dead_first(capsys: pytest.CaptureFixture[str]) -> None:
    letters: list[Any] = [SimpleNamespace(id=f"0-{number}", reason="too_large") for number in range(MANY)]
    error = SimpleNamespace(reason="invalid_envelope", detail="of ada@example.com")
    legible = Legible(unreadable=[(letter, cast("Any", error)) for letter in letters])
    told = [{"id": letter.id, "state": "redriven"} for letter in letters]
    told[-1] = {"id": "0-7", "state": "dead"}
    redriving: Any = SimpleNamespace(redriven=MANY - 1, still_dead=1, resolved=told)
    output = Output(as_json=True)

    output.plan(letters, legible, Display())
    output.resolved(cast("Any", SimpleNamespace(id="r")), redriving)

    report = json.loads(capsys.readouterr().out)
    assert (report["redriven"], report["still_dead"], report["letters_total"]) == (MANY - 1, 1, MANY)
    assert (len(report["letters"]), report["letters"][0]["state"]) == (MOST_LISTED, "dead")
    assert (len(report["plan"]["unreadable"]), report["plan"]["unreadable_total"]) == (MOST_LISTED, MANY)
    assert "ada@" not in json.dumps(report)
