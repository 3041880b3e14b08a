"""SIGTERM in the middle of the work: both services end in time, and hardly anything is done twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sandbox.day.repeats import to_deliver_again, to_publish_again
from sandbox.services import Service
from tests.pipeline import Pipeline, moments, running_pipeline

pytestmark = pytest.mark.timeout(300)

EVENTS = 3_000
COMMITS_PER_S = 300
A_SECONDS_WORK = COMMITS_PER_S
LATENCY_MS = 300
# What a platform gives a service, before it kills it.
EXIT_WITHIN_S = 10.0


@pytest.mark.chaos
async def test_sigterm_under_load_is_obeyed_in_time_and_the_next_start_repeats_less_than_a_seconds_work(
    pipeline: Pipeline,
) -> None:
    relay, worker = pipeline.producer(), pipeline.consumer()
    await pipeline.simulator.change_settings(latency_ms=LATENCY_MS)
    await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
    # A dead letter's contact waits for its place after a start, which is another story.
    day = [happening for happening in pipeline.day(EVENTS) if not happening.poisoned]
    committing = asyncio.create_task(pipeline.play(day, per_s=COMMITS_PER_S))

    for moment in moments(21, 3, EVENTS):
        await pipeline.until_arrived(moment)
        await asyncio.gather(stops_in_time(relay), stops_in_time(worker))
        assert await published_again(pipeline) < A_SECONDS_WORK
        assert await delivered_again(pipeline) < A_SECONDS_WORK
        await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
    await committing
    await pipeline.all_arrive(dead=0)

    findings, dead = await pipeline.findings()
    assert not findings
    assert not dead


@pytest.mark.chaos
@pytest.mark.parametrize("silent", ["Kafka", "PostgreSQL", "HubSpot"])
async def test_sigterm_is_obeyed_in_time_while_one_of_the_others_does_not_answer_and_nothing_is_lost(
    silent: str, own_kafka: Any, postgres: Any, database_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    async with running_pipeline(tmp_path, own_kafka, database_url, topic_prefix) as pipeline:
        relay, worker = pipeline.producer(), pipeline.consumer()
        await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
        committing = asyncio.create_task(pipeline.commit(900, per_s=COMMITS_PER_S))
        await pipeline.until_arrived(Random(1).randrange(100, 300))

        async with made_silent(silent, pipeline, own_kafka, postgres):
            await asyncio.gather(stops_in_time(relay), stops_in_time(worker))
        await committing
        await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
        await pipeline.all_arrive(dead=1)

        findings, _ = await pipeline.findings()
        assert not findings


@asynccontextmanager
async def made_silent(which: str, pipeline: Pipeline, kafka: Any, postgres: Any) -> AsyncIterator[None]:
    """Let it take what it is sent, and answer nothing, meanwhile."""
    if which == "HubSpot":
        await pipeline.simulator.add_fault({"answer": {"kind": "slow", "seconds": 30}})
        yield
        await pipeline.simulator.remove_faults()
        return
    server = {"Kafka": kafka, "PostgreSQL": postgres}[which]
    await server.pause()
    try:
        yield
    finally:
        await server.resume()


async def stops_in_time(service: Service) -> None:
    began = time.monotonic()
    code = await service.stop(within_s=60)
    took_s = time.monotonic() - began
    assert (code, took_s < EXIT_WITHIN_S) == (0, True), f"{service.name}: {code} after {took_s:.1f} s\n{service.tail()}"


async def published_again(pipeline: Pipeline) -> int:
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    return len(await to_publish_again(servers, pipeline.topics, pipeline.database_url))


async def delivered_again(pipeline: Pipeline) -> int:
    servers, group = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.environment["CONSUMER_GROUP"]
    return len(await to_deliver_again(servers, pipeline.topics, group, await pipeline.simulator.accepted()))
