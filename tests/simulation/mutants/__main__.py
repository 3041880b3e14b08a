"""`python -m tests.simulation.mutants [NAME ...]`: show that the simulation finds each mutant.

For each mutant, seeds are run until a few have failed. The table says after how many seeds the first failed, how many
of those that were run have failed, and what did not hold. Seeds without the features that a mutant needs are not run.
A mutant that no schedule shows has to be found by the tests that it names. It fails if a mutant is not found.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulation.mutants.mutant import ROOT, Mutant, mutants

_TIME: Final = re.compile(r"^[\d.]+ s: ")
LONGEST_VIOLATION: Final = 70


@dataclass(frozen=True)
class Finding:
    """What seeds have shown of a mutant: the *first* failed as the how manyth of all, None if none did."""

    mutant: Mutant
    first: int | None
    failed: int
    run: int
    how: str

    def __str__(self) -> str:
        after = "never" if self.first is None else "test" if self.mutant.hidden else f"{self.first:,}"
        return f"{self.mutant.name:38} {after:>6} {self.failed:>4} of {self.run:<6,} {self.how}"


def main() -> int:
    """Try the mutants that the arguments name; return 1 if one is not found."""
    known = mutants()
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the mutants (all)")
    parser.add_argument("--seeds", type=int, default=1_000, help="the most seeds for each (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many seeds have failed (3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants side by side (one for each core)")
    options = parser.parse_args()
    if unknown := set(options.names) - known.keys():
        parser.error(f"no mutant {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.names or known]
    print(f"{'mutant':38} {'after':>6} {'failed':>14}   how", flush=True)
    missed = []
    with ThreadPoolExecutor(options.jobs) as pool:
        tries = [pool.submit(_try, one, options.first, options.seeds, options.failures) for one in chosen]
        for finding in (future.result() for future in tries):
            print(finding, flush=True)
            if finding.first is None:
                missed.append(finding.mutant)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} found")
    for mutant in missed:
        print(f"not found: {mutant.name}: {mutant.breaks}")
    for mutant in chosen:
        if mutant.hidden:
            print(f"no schedule shows {mutant.name}: {mutant.hidden}")
    return int(bool(missed))


def _try(mutant: Mutant, first: int, seeds: int, failures: int) -> Finding:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        mutant.write(Path(folder))
        # The order of sets of texts depends on the hash seed, and so does a schedule.
        environment = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}
        if mutant.hidden:
            return _tested(mutant, folder, os.environ | environment)
        trial = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.simulation.mutants.trial",
                *map(str, (first, seeds, failures)),
                *mutant.features,
            ],
            env=os.environ | environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    *failed, end = [json.loads(line) for line in trial.stdout.splitlines()]
    if not failed:
        return Finding(mutant, None, 0, end["ran"], "")
    how = _TIME.sub("", failed[0]["violations"][0])[:LONGEST_VIOLATION]
    return Finding(mutant, failed[0]["seed"] - first + 1, len(failed), end["ran"], how)


def _tested(mutant: Mutant, folder: str, environment: Mapping[str, str]) -> Finding:
    """Return whether the tests that *mutant* names find it."""
    options = ["-q", "-p", "no:cacheprovider", "-o", f"pythonpath={folder} {ROOT} {ROOT / 'scripts'}"]
    command = [sys.executable, "-m", "pytest", *options, mutant.found_by]
    found = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 1
    return Finding(mutant, 0 if found else None, int(found), 0, mutant.found_by)


if __name__ == "__main__":
    sys.exit(main())
