"""`python -m tests.simulation.mutants.trial FIRST SEEDS FAILURES [FEATURE ...]`: run seeds until so many have failed.

Of the seeds, those are run that have one of the features, or all of one that is several: `A+B`.
A line of JSON for each failing seed says what does not hold.
This process imports the code that PYTHONPATH has first.
"""

import json
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Final

from tests.simulation.__main__ import prepare
from tests.simulation.simulation import Plan, Simulation

# A seed takes about a second, and more where the code does something again and again.
SEED_WITHIN_S: Final = 120


def main(first: int, seeds: int, failures: int, *features: str) -> None:
    prepare()
    signal.signal(signal.SIGALRM, _give_up)
    failed = ran = 0
    for seed in range(first, first + seeds):
        plan = Plan.of(seed)
        if features and not any(plan.features.issuperset(each.split("+")) for each in features):
            continue
        ran += 1
        if violations := _violations(plan):
            failed += 1
            _tell({"seed": seed, "ran": ran, "violations": violations})
            if failed == failures:
                break
    _tell({"ran": ran})


def _tell(line: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class _Trial(Simulation):
    """A simulation that ends at the first violation."""

    def violate(self, what: str) -> None:
        super().violate(what)
        self.loop.end()


def _violations(plan: Plan) -> list[str]:
    simulation = _Trial(plan)
    signal.alarm(SEED_WITHIN_S)
    try:
        return simulation.run().violations
    except Exception as error:  # noqa: BLE001 - what a mutant raises is found, whatever it is
        return [f"raised {error!r}"]
    finally:
        signal.alarm(0)


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no end within {SEED_WITHIN_S} s")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
