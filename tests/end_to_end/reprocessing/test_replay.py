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
    await pipeline.allow_many_calls()
    worker = await delivered(pipeline)
    await worker.stop()
    await pipeline.simulator.reset()
    await pipeline.allow_many_calls()
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


@pytest.mark.parametrize("form", ["custom_events", pytest.param("notes", marks=pytest.mark.chaos)])
async def test_a_replay_leaves_the_entries_that_a_portal_refused_meanwhile_and_changes_no_contact(
    pipeline: Pipeline, tmp_path: Path, form: str
) -> None:
    await pipeline.allow_many_calls()
    await pipeline.simulator.change_settings(custom_events=form == "custom_events")
    worker = await delivered(pipeline, events=100)
    assert (await worker.status())["timeline"] == form

    await pipeline.simulator.change_settings(custom_events=False, notes=False)
    left_before = await pipeline.arrived()
    await pipeline.commit(100, seed=2)
    await pipeline.until_finished()
    left_out = (await worker.status())["timeline_left_out"]
    assert (await pipeline.arrived(), left_out) == (left_before, 99), "each event but the poisoned one"
    before = await contacts(pipeline)

    await pipeline.simulator.change_settings(**{form: True})
    for run in ("first", "again"):
        done = await pipeline.run("replay", "--timeline", "--since", "1h", "--yes", "--folder", str(tmp_path / run))
        assert done.code == 0, done.errors
        assert await pipeline.arrived() == left_before + left_out
        findings, _ = await pipeline.findings()
        assert not findings
        assert await contacts(pipeline) == before


async def contacts(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Return the contacts' properties by email, but the time of their last write."""
    held = (await pipeline.simulator.accepted()).contacts
    return {
        email: {name: value for name, value in contact["properties"].items() if name != "lastmodifieddate"}
        for email, contact in held.items()
    }
