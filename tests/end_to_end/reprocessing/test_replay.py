"""Replay beside the worker, and without one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(180)

EVENTS = 400


async def delivered(pipeline: Pipeline, events: int = EVENTS) -> Any:
    """Let a day's events be delivered; return the worker, which goes on."""
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await pipeline.commit(events)
    await pipeline.all_arrive(dead=1)
    await pipeline.until_finished()
    return worker


async def test_a_portal_that_was_emptied_holds_everything_again_after_a_replay(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    worker = await delivered(pipeline)
    await worker.stop()
    await pipeline.simulator.reset()
    assert (await pipeline.run("provision", "--apply")).code == 0

    done = await pipeline.run("replay", "--from-earliest", "--yes", "--json", "--folder", str(tmp_path / "runs"))

    assert (done.code, done.errors) == (0, done.errors)
    findings, _ = await pipeline.findings()
    assert not findings
    told = json.loads(done.output)
    assert told["contacts_written"] == (await pipeline.ledger()).contacts
    assert told["timeline_entries"] == len((await pipeline.ledger()).events) - 1
    assert told["refused"] == []


async def test_a_replay_beside_the_worker_doubles_nothing_and_moves_nobody_backwards(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    await delivered(pipeline)
    day = pipeline.day(EVENTS + 600)
    committing = asyncio.create_task(pipeline.play(day[EVENTS:], per_s=60))

    done = await pipeline.run("replay", "--from-earliest", "--yes", "--folder", str(tmp_path / "runs"))
    await committing
    await pipeline.all_accounted_for(within_s=60)

    assert done.code == 0, done.errors
    findings, _ = await pipeline.findings()
    assert not findings
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0
