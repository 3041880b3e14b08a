"""Shrinking: the shortest schedule of a failing seed that still fails."""

from dataclasses import replace

from tests.simulation.simulation import Plan, Result, Simulation

# A shorter schedule is another one: its chance is drawn otherwise. So each is tried with some seeds.
SEEDS: int = 3


def shortest(failed: Result) -> Result:
    """Return the result of the shortest plan that was found to fail, with fewer faults first, then fewer events."""
    best = failed
    while (shorter := _without_a_fault(best)) is not None:
        best = shorter
    while best.plan.events > 1 and (shorter := _fails(replace(best.plan, events=best.plan.events // 2))) is not None:
        best = shorter
    return best


def _without_a_fault(failed: Result) -> Result | None:
    faults = failed.plan.faults
    for left_out in range(len(faults)):
        plan = replace(failed.plan, faults=[*faults[:left_out], *faults[left_out + 1 :]])
        if (shorter := _fails(plan)) is not None:
            return shorter
    return None


def _fails(plan: Plan) -> Result | None:
    for number in range(SEEDS):
        result = Simulation(replace(plan, seed=plan.seed + 1_000_003 * number)).run()
        if result.violations:
            return result
    return None
