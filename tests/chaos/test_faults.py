"""Every fault, while the pipeline is idle and while it has a backlog: each event once in effect, in order."""

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest

from sandbox.processes import free_port
from tests.chaos.faults import FAULTS, Scene
from tests.pipeline import NOTES, Pipeline

Load = Literal["idle", "backlog", "brief"]

RUNS = [
    # What `make test` runs: the simulation has every fault by the thousand, but only real processes and servers show
    # what their own clients make of their end. `make long` runs each fault with more events, idle and with a backlog.
    *((fault, "brief") for fault in FAULTS if fault.endswith("killed")),
    *(pytest.param(fault, load, marks=pytest.mark.chaos) for fault in FAULTS for load in ("idle", "backlog")),
]
# Events that are there before the workers are, so that topics run apart: only then are there holes to wait for.
BEFORE: dict[Load, int] = {"idle": 0, "backlog": 8_000, "brief": 0}
# Events that are committed while the workers run, and how many a second.
MEANWHILE: dict[Load, tuple[int, float]] = {"idle": (300, 15), "backlog": (3_000, 300), "brief": (200, 25)}
# Calls in ten seconds: fewer than the commits ask for, although folding makes much of each. A call takes 500 custom
# events, and 100 notes.
QUOTA_OF_BACKLOG = 25 if NOTES else 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("fault", "load"), RUNS)
async def test_whatever_goes_wrong_every_event_takes_effect_once_and_in_order(
    pipeline: Pipeline, kafka: Any, postgres: Any, fault: str, load: Load, runs: list[list[str]]
) -> None:
    meanwhile, per_s = MEANWHILE[load]
    events = BEFORE[load] + meanwhile
    day = pipeline.day(events, seed=1)
    chance = Random(f"{fault} {load}")
    relay, workers = pipeline.producer(), [pipeline.consumer(), pipeline.consumer(CONSUMER_PORT=str(free_port()))]
    if load == "backlog":
        await pipeline.simulator.change_settings(quota=QUOTA_OF_BACKLOG)
    await asyncio.gather(pipeline.play(day[: BEFORE[load]]), relay.launch_and_wait())
    await pipeline.until_published()
    await asyncio.gather(*(worker.launch_and_wait() for worker in workers))
    began = time.monotonic()
    committing = asyncio.create_task(pipeline.play(day[BEFORE[load] :], per_s=per_s))
    try:
        await pipeline.until_arrived(chance.randrange(events // 20, events // 2))
        await FAULTS[fault](Scene(pipeline, relay, workers, kafka, postgres, chance))
        await committing
        committed = await pipeline.all_accounted_for(within_s=150)
    finally:
        committing.cancel()

    findings, dead = await pipeline.findings()
    statistics = await pipeline.simulator.statistics()
    runs.append(
        [
            *(fault, load, str(committed), str(len(dead))),
            *(str(len(found)) for found in vars(findings).values()),
            *(str(statistics["rate_limited_by_quota"]), f"{time.monotonic() - began:.0f}"),
        ]
    )
    assert not findings
    assert {letter.reason for letter in dead} == {"invalid_envelope"}
    assert statistics["rate_limited_by_quota"] == 0


def test_every_fault_is_documented() -> None:
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()

    assert [fault for fault in FAULTS if fault.replace("_", " ") not in runbook] == []
