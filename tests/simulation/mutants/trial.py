"""`python -m tests.simulation.mutants.trial FIRST SEEDS FAILURES`: run seeds until so many have failed.

A line of JSON for each failing seed says what does not hold. This process imports the code that PYTHONPATH has first.
"""

import gc
import json
import signal
import sys
from types import FrameType
from typing import Final

from tests.simulation.__main__ import prepare
from tests.simulation.simulation import Plan, Simulation

# A seed takes about a second, and more where the code does something again and again.
SEED_WITHIN_S: Final = 120


def main(first: int, seeds: int, failures: int) -> None:
    prepare()
    signal.signal(signal.SIGALRM, _give_up)
    failed = 0
    for seed in range(first, first + seeds):
        if violations := _violations(seed):
            failed += 1
            print(json.dumps({"seed": seed, "violations": violations}), flush=True)
            if failed == failures:
                break
        if seed % 10 == 0:
            gc.collect()


def _violations(seed: int) -> list[str]:
    simulation = Simulation(Plan.of(seed))
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
    main(*map(int, sys.argv[1:]))
