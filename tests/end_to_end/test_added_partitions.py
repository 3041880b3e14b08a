"""Partitions are added to the topics while relay and workers run, as an operator adds them: topic after topic."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from runtime.kafka.topics import partition_of
from tests.kafka.topic_list import add_partitions
from tests.pipeline import PARTITIONS, Pipeline
from tests.polling import eventually

MORE = 9


@pytest.mark.chaos
async def test_all_events_arrive_after_partitions_are_added_under_a_running_pipeline(
    pipeline: Pipeline, kafka: Any
) -> None:
    relay, worker = pipeline.producer(), pipeline.consumer()
    second, late = (pipeline.program("hubspot_consumer") for _ in range(2))
    await asyncio.gather(*(service.launch_and_wait() for service in (relay, worker, second)))
    day, (first, *others) = pipeline.day(900), pipeline.topics.events
    await pipeline.play(day[:300])
    await pipeline.all_arrive(dead=1)

    await add_partitions(kafka.bootstrap_servers, MORE, first)

    late.launch()

    async def told() -> bool:
        unwell = [(await one.health())[1].get("unwell", {}) for one in (worker, late)]
        return all(f"{first} has {MORE}, {others[0]} has 6" in one.get("topics", "") for one in unwell)

    await eventually(told, saying="a worker that runs and one that starts say that the counts differ")
    assert "worker.assigned" not in late.log.read_text()
    await add_partitions(kafka.bootstrap_servers, MORE, *others)

    async def shared() -> bool:
        shares = [(await one.status())["quota"]["share"] for one in (worker, second, late)]
        assigned = [one.log.read_text() for one in (worker, second, late)]
        return round(sum(shares), 3) == 1 and all('"of": 63' in log for log in assigned)

    await eventually(shared, saying="the workers share all partitions, and the quota by them")
    await pipeline.play(day[300:])
    await pipeline.all_arrive(dead=1)
    assert [(await one.health())[1]["unwell"] for one in (relay, worker, second, late)] == [{}] * 4
    assert "lane.hole_released" not in worker.log.read_text() + second.log.read_text()
    findings, dead = await pipeline.findings()
    assert (bool(findings), len(dead)) == (False, 1)
    # Runs for one contact find its events in both partitions.
    for key, sequence in await contacts_that_moved(pipeline):
        done = await pipeline.run("resync", key, "--dry-run")
        assert [int(line.split()[0]) for line in done.output.splitlines()[:sequence]] == [*range(1, sequence + 1)]


async def contacts_that_moved(pipeline: Pipeline) -> list[tuple[str, int]]:
    """Return two contacts with another partition than before, and the sequence of the last event of each."""
    sequences = Counter[str]()
    for event in (await pipeline.ledger()).events.values():
        sequences[event.contact_key] = max(sequences[event.contact_key], event.sequence)
    moved = [key for key in sorted(sequences) if partition_of(key, PARTITIONS) != partition_of(key, MORE)]
    return [(key, sequences[key]) for key in moved[:2]]
