"""Seeds of the simulation, in processes of their own: sets of texts must have the same order in each."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from random import Random

import pytest

from tests.simulation.faults import KINDS, Fault, schedule
from tests.simulation.simulation import Plan

# CI runs more, for a minute, and `make simulate` as many as it is told.
SEEDS = int(os.environ.get("NERAVA_TEST_SEEDS", "10"))


async def run(*options: str) -> str:
    """Return what the command prints; fail with it if a property does not hold."""
    command = [sys.executable, "-m", "tests.simulation", *options]
    done = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed, _ = await done.communicate()
    assert done.returncode == 0, printed.decode()
    return printed.decode()


@pytest.mark.timeout(600)
async def test_whatever_goes_wrong_all_properties_hold_in_each_seed_and_most_kinds_of_faults_happen() -> None:
    printed = await run("--seeds", str(SEEDS), "--jobs", "1")

    happened = {kind: int(times) for kind, times in re.findall(r"^(\w+) +\d+ +(\d+)$", printed, re.MULTILINE)}
    assert happened.keys() == set(KINDS)
    assert sum(times > 0 for times in happened.values()) > len(KINDS) / 2, happened
    assert sum(happened.values()) > 3 * SEEDS, happened


async def test_a_seed_comes_to_the_same_byte_for_byte_when_it_is_run_again() -> None:
    once, again, another = await asyncio.gather(
        *(run("--seed", seed, "--quiet") for seed in ("7", "7", "8")),
    )

    assert once == again
    assert "digest" in once
    assert once.splitlines()[-1] != another.splitlines()[-1]


async def test_a_contact_that_is_suppressed_while_workers_wait_for_hubspot_is_not_written_when_it_answers() -> None:
    waits = Fault(0.0, "hubspot_refuses_connections", 0, 20.0, 0)
    suppressed = [Fault(7.0 + number, "contact_is_suppressed", number, 1.0, number) for number in range(8)]

    await run("--plan", replace(Plan.of(0), faults=[waits, *suppressed]).as_json(), "--quiet")


async def test_a_worker_that_stops_waits_for_calls_that_take_some_seconds() -> None:
    # Answers take two seconds more. With four, as long as a stop waits, a call of the last moment would not end.
    late = Fault(0.0, "hubspot_answers_late", 0, 30.0, 6)
    stops = [Fault(8.0 + 3 * number, "worker_stopped", number, 1.0, 1) for number in range(4)]

    printed = await run("--plan", replace(Plan.of(0), faults=[late, *stops]).as_json())

    assert printed.count("calls_ended=True") >= len(stops)
    assert "calls_ended=False" not in printed


def test_a_schedule_that_was_printed_can_be_read_again() -> None:
    plan = Plan.of(3)

    assert Plan.read(plan.as_json()) == plan


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_has_five_faults_of_three_kinds_at_least_in_the_order_of_time(seed: int) -> None:
    faults = schedule(Random(seed), faults=5, within_s=20.0)

    assert len(faults) == 5
    assert len({fault.kind for fault in faults}) >= 3
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert 0 <= faults[0].at_s <= faults[-1].at_s <= 20.0
