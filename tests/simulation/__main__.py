"""`python -m tests.simulation`: run seeds, each a schedule of crashes and other faults, on virtual time.

Without options it runs 100 seeds. A failing seed is printed with its violations and the shortest schedule that still
fails; `--seed N` and `--plan JSON` run one again, with the log of all processes and a digest of what it came to.
"""

import argparse
import gc
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Final

import structlog

from tests.simulation.faults import KINDS
from tests.simulation.shrinking import shortest
from tests.simulation.simulation import Plan, Result, Simulation

# Seeds that a process takes at a time.
TOGETHER: Final = 10


def main() -> int:
    """Run the seeds that the options ask for; return 1 if a property does not hold in one of them."""
    options = _options()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts depends on it, and so does a schedule.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    if options.seed is not None or options.plan:
        return _tell(Plan.read(options.plan) if options.plan else Plan.of(options.seed), quiet=options.quiet)
    prepare()
    began, results, failed = time.monotonic(), [], 0
    for result in _results(range(options.first, options.first + options.seeds), options.jobs):
        results.append(result)
        if result.violations:
            failed += 1
            _print_failure(result, shrink=failed == 1 and not options.stop)
            if options.stop:
                break
        took_s = time.monotonic() - began
        if options.within_s and took_s > options.within_s:
            break
        if sys.stderr.isatty():
            print(
                f"\r{len(results):,} of {options.seeds:,} seeds, {failed} failed, {took_s:.0f} s",
                end="",
                file=sys.stderr,
            )
    _print_table(results, time.monotonic() - began, options.jobs)
    return int(failed > 0)


def run(seed: int) -> Result:
    """Return what came of a seed."""
    return Simulation(Plan.of(seed)).run()


def prepare(level: int = logging.CRITICAL) -> None:
    """Let simulations of this process log from *level* on."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    logging.disable(logging.CRITICAL)
    # The garbage collector looks at what simulations make alone, and not at all modules.
    gc.collect()
    gc.freeze()
    # What killed processes leave behind can't be closed.
    sys.unraisablehook = lambda _: None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes side by side (one for each core)")
    parser.add_argument("--within-s", type=float, default=0.0, help="begin no more seeds after so many seconds")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--seed", type=int, help="run this one, with its log")
    parser.add_argument("--plan", help="run this schedule, as it was printed, with its log")
    parser.add_argument("--quiet", action="store_true", help="run that without its log")
    return parser.parse_args()


def _results(seeds: Sequence[int], jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(run, seeds)
        return
    parts = [seeds[at : at + TOGETHER] for at in range(0, len(seeds), TOGETHER)]
    with ProcessPoolExecutor(jobs, initializer=prepare) as pool:
        # A few parts more than processes wait, so that a stop need not wait for all.
        running = [pool.submit(_list, part) for part in islice(parts, 2 * jobs)]
        left = iter(parts[2 * jobs :])
        try:
            while running:
                yield from running.pop(0).result()
                running += [pool.submit(_list, part) for part in islice(left, 1)]
        finally:
            for future in running:
                future.cancel()


def _list(seeds: Sequence[int]) -> list[Result]:
    return list(map(run, seeds))


def _tell(plan: Plan, *, quiet: bool) -> int:
    prepare(logging.CRITICAL if quiet else logging.INFO)
    print(_told(plan))
    simulation = Simulation(plan)
    result = simulation.run()
    print("\n".join(result.violations) or "all properties hold")
    print(f"{result.steps:,} steps, {result.lasted_s:.0f} s, digest {simulation.digest}")
    return int(bool(result.violations))


def _print_failure(result: Result, *, shrink: bool) -> None:
    print(f"\nseed {result.plan.seed}:", *result.violations, sep="\n  ")
    if shrink:
        print("the shortest schedule that fails:")
        result = shortest(result)
        print("", *result.violations, sep="\n  ")
        print(f"python -m tests.simulation --plan '{result.plan.as_json()}'")
    print(_told(result.plan), flush=True)


def _told(plan: Plan) -> str:
    begin = f"seed {plan.seed}: {plan.workers} workers, {plan.events} events"
    return "\n".join([begin, f"  {plan.variant}", *(f"  {fault}" for fault in plan.faults)])


def _print_table(results: Sequence[Result], took_s: float, jobs: int) -> None:
    counts, seeds = Counter[str](), Counter[str]()
    for result in results:
        counts.update(result.counts)
        seeds.update(result.counts.keys())
    failed = sum(bool(result.violations) for result in results)
    lasted_s = sum(result.lasted_s for result in results)
    print(f"\n{'fault':34} {'seeds':>7} {'times':>7}")
    for kind in KINDS:
        print(f"{kind:34} {seeds[kind]:7,} {counts[kind]:7,}")
    exercised = sum((result.exercised for result in results), Counter[str]())
    for what, number in exercised.items():
        print(f"{what:42} {number:12,}")
    print(
        f"{len(results):,} seeds, {failed} failed: {lasted_s / 3600:,.1f} hours in {took_s:.0f} s"
        f" with {jobs} processes, {len(results) / max(took_s, 0.001) * 60:,.0f} seeds a minute"
    )


if __name__ == "__main__":
    sys.exit(main())
