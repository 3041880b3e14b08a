"""Replay while things go wrong: whatever is killed, HubSpot ends as if each event had been applied once, in order."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from sandbox.services import Service, consumer
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(400)

KILLS = 10


def replay_of(pipeline: Pipeline, folder: Path, *options: str) -> Service:
    return pipeline.command("replay", "--from-earliest", "--yes", "--folder", str(folder), *options)


async def ended(replay: Service, *, within_s: float = 120) -> int | None:
    """Return the exit code of a replay that ends by itself."""

    async def gone() -> bool:
        return not replay.running

    await eventually(gone, within_s=within_s, every_s=0.1, saying="the replay ends")
    return replay.exit_code


# Each of its moments is in the property of tests/contract/test_replay.py; this one has the processes.
@pytest.mark.chaos
async def test_a_replay_that_is_killed_ten_times_goes_on_misses_nobody_and_writes_nothing_older(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    chance = Random(7)

    async def window_is_empty() -> bool:
        return not await pipeline.simulator.calls_in_window()

    # Slow enough to be killed in the middle: there are some 450 contacts.
    pipeline.environment["HUBSPOT_RATE_LIMIT"] = "10"
    await pipeline.simulator.change_settings(quota=10)
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    day = pipeline.day(6_000)
    await pipeline.play(day[:5_000])
    await pipeline.all_arrive(dead=1)
    await pipeline.until_finished()
    await pipeline.simulator.reset()
    assert (await pipeline.run("provision", "--apply", HUBSPOT_RATE_LIMIT="100")).code == 0
    # Its calls are nobody's part of the quota.
    await eventually(window_is_empty, within_s=30, every_s=0.2, saying="the calls of provision are forgotten")
    await pipeline.simulator.change_settings(quota=10)
    committing = asyncio.create_task(pipeline.play(day[5_000:], per_s=20))
    replay = replay_of(pipeline, tmp_path / "runs", "--rate-share", "0.5")
    kills = 0
    for _ in range(KILLS):
        replay.launch()
        # Sometimes while it reads, mostly while it writes.
        await asyncio.wait([committing], timeout=chance.uniform(1.0, 4.0))
        kills += replay.running
        await replay.kill()
    for _ in range(KILLS):
        replay.launch()
        # The worker resyncs contacts that came back to HubSpot, and only one run is active at a time.
        if await ended(replay) == 0:
            break
        assert "another run is active: resync" in replay.tail()
    assert replay.exit_code == 0, replay.tail()
    await committing
    await pipeline.all_accounted_for(within_s=150)

    findings, _ = await pipeline.findings()
    # The worker's new entries came before the older ones, which were gone with the portal: HubSpot shows them by time.
    findings.out_of_order = []
    assert not findings
    assert kills == KILLS
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0


@pytest.mark.chaos
async def test_a_replay_beside_a_worker_that_are_both_killed_ends_as_everything_comes_to(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    chance = Random(1)
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    day = pipeline.day(8_000)
    await pipeline.play(day[:4_000])
    await pipeline.all_arrive(dead=1)
    committing = asyncio.create_task(pipeline.play(day[4_000:], per_s=200))
    replay = replay_of(pipeline, tmp_path / "runs")
    replay.launch()
    for victim in chance.sample([worker, worker, replay, replay, replay], 5):
        await asyncio.wait([committing], timeout=chance.uniform(1.0, 3.0))
        await victim.kill()
        victim.launch()
    # A replay that had ended before it was killed is a new one.
    assert await ended(replay) == 0, replay.tail()
    await committing
    await pipeline.all_accounted_for(within_s=150)

    findings, dead = await pipeline.findings()
    audited = await pipeline.run("audit")
    assert not findings
    assert {letter.reason for letter in dead} <= {"invalid_envelope"}
    assert audited.code == 0, audited.output
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0


@pytest.mark.chaos
async def test_after_a_mapping_was_mended_every_contact_shows_the_new_one(pipeline: Pipeline, tmp_path: Path) -> None:
    environment = pipeline.environment
    older = Service(
        "older", ["tests.workers.older_mapping", "worker"], tmp_path, environment, environment["CONSUMER_PORT"]
    )
    newer = consumer(tmp_path, environment)
    day = pipeline.day(3_000)
    try:
        await asyncio.gather(pipeline.producer().launch_and_wait(), older.launch_and_wait())
        await pipeline.play(day[:2_000])
        await pipeline.all_arrive(dead=_poisoned(day[:2_000]))
        await older.stop()
        await newer.launch_and_wait()
        before = await pipeline.run("audit")
        committing = asyncio.create_task(pipeline.play(day[2_000:], per_s=150))
        done = await pipeline.run("replay", "--from-earliest", "--yes", "--folder", str(tmp_path / "runs"))
        await committing
        await pipeline.all_accounted_for(within_s=90)
    finally:
        await older.kill()
        await newer.stop()

    after = await pipeline.run("audit")
    findings, _ = await pipeline.findings()
    assert before.code == 1
    assert done.code == 0, done.errors
    assert after.code == 0, after.output
    assert not findings


def _poisoned(day: Sequence[object]) -> int:
    return sum(bool(getattr(happening, "poisoned", False)) for happening in day)
