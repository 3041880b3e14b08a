"""Three workers of a group that never committed, started while events are committed: nothing is left unread."""

import asyncio
import os

import pytest

from tests.kafka.deliveries import acked_without_receipt
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(300)

WORKERS = 3
EVENTS = 600
COMMITS_PER_S = 150
# NERAVA_TEST_STARTS=100 starts them as often.
STARTS = int(os.environ.get("NERAVA_TEST_STARTS", "3"))


@pytest.mark.chaos
@pytest.mark.parametrize("start", range(STARTS))
async def test_three_workers_of_a_new_group_started_under_traffic_leave_no_event_unread(
    pipeline: Pipeline, start: int
) -> None:
    workers = [pipeline.program("hubspot_consumer") for _ in range(WORKERS)]
    producer = pipeline.producer()
    await producer.launch_and_wait()
    committing = asyncio.create_task(pipeline.commit(EVENTS, seed=start + 1, per_s=COMMITS_PER_S))

    for worker in workers:
        worker.launch()
    await committing
    await pipeline.all_accounted_for(within_s=120)
    await pipeline.until_finished()

    findings, dead = await pipeline.findings()
    assert not findings
    assert {letter.reason for letter in dead} == {"invalid_envelope"}
    assert await acked_without_receipt(pipeline) == []
    for worker in workers:
        await eventually(worker.healthy, saying="the worker is well")
