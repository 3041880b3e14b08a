"""Shrinking: only what a failure needs is left of its schedule."""

from dataclasses import replace

import pytest

from tests.simulation import shrinking
from tests.simulation.simulation import Plan, Result


class NeedsTwoFaultsAndFiftyEvents:
    """Fails with the second and the fourth fault of the plan, and with fifty events at least."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def run(self) -> Result:
        needed = set(Plan.of(1).faults[1::2])
        fails = needed <= set(self.plan.faults) and self.plan.events >= 50
        return Result(self.plan, violations=["lost"] if fails else [])


def test_the_shortest_schedule_has_only_the_faults_and_about_the_events_that_the_failure_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shrinking, "Simulation", NeedsTwoFaultsAndFiftyEvents)
    plan = replace(Plan.of(1), events=300)

    shortest = shrinking.shortest(NeedsTwoFaultsAndFiftyEvents(plan).run())

    assert shortest.violations == ["lost"]
    assert list(shortest.plan.faults) == list(plan.faults[1::2])
    assert 50 <= shortest.plan.events < 100
