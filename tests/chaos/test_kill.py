"""`kill -9` of the relay and of the worker, in the middle of what they do."""

import asyncio

import pytest

from tests.pipeline import Pipeline, moments

pytestmark = pytest.mark.timeout(300)

EVENTS = 2_000
FEWER = 800
# Slow enough that there is a middle.
COMMITS_PER_S = 200


@pytest.mark.chaos
async def test_a_worker_killed_twice_in_the_middle_applies_every_event_once_in_effect(pipeline: Pipeline) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await pipeline.simulator.change_settings(latency_ms=50)
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    committing = asyncio.create_task(pipeline.commit(EVENTS, per_s=COMMITS_PER_S))

    for moment in moments(11, 2, EVENTS):
        await pipeline.until_arrived(moment)
        await worker.kill()
        await worker.launch_and_wait()
    await committing
    await pipeline.all_arrive(dead=1)

    findings, dead = await pipeline.findings()
    assert not findings
    assert {letter.reason for letter in dead} == {"invalid_envelope"}
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0


@pytest.mark.parametrize(("events", "kills"), [(FEWER, 3), pytest.param(EVENTS, 4, marks=pytest.mark.chaos)])
async def test_a_relay_killed_again_and_again_publishes_every_event_and_leaves_none_behind(
    pipeline: Pipeline, events: int, kills: int
) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    committing = asyncio.create_task(pipeline.commit(events, per_s=COMMITS_PER_S))

    for moment in moments(12, kills, events):
        await pipeline.until_arrived(moment)
        await producer.kill()
        await producer.launch_and_wait()
    await committing
    await pipeline.all_arrive(dead=1)

    findings, dead = await pipeline.findings()
    assert not findings
    assert {letter.reason for letter in dead} == {"invalid_envelope"}
