"""A portal that takes no custom events: each event leaves a note, and one alone, whatever becomes of the answers."""

import asyncio

import pytest

from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

LOST = {"answer": {"kind": "status", "status": 502}, "apply": "after", "when": {"rate": 0.05}}


@pytest.mark.chaos
async def test_with_answers_lost_every_event_leaves_one_note_in_order(pipeline: Pipeline) -> None:
    await pipeline.simulator.change_settings(custom_events=False, quota=190)
    await pipeline.simulator.add_fault(LOST)
    producer, worker = pipeline.producer(), pipeline.consumer(HUBSPOT_RATE_LIMIT="190")
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    assert (await worker.status())["timeline"] == "notes"

    await pipeline.commit(2_000, per_s=200)
    await pipeline.all_arrive(dead=1)

    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]
    statistics = await pipeline.simulator.statistics()
    assert (statistics["notes"], statistics["occurrences"]) == (1_999, 0)
    assert statistics["rate_limited_by_quota"] == 0


async def test_a_portal_that_loses_its_tier_meanwhile_gets_notes_from_then_on(pipeline: Pipeline) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.commit(100, seed=1)
    await pipeline.all_arrive(dead=1)
    assert (await worker.status())["timeline"] == "custom_events"

    await pipeline.simulator.change_settings(custom_events=False)
    await pipeline.commit(100, seed=2)
    await pipeline.all_arrive(dead=2)

    await eventually(worker.healthy, saying="nothing is halted")
    assert (await worker.status())["timeline"] == "notes"
    findings, _ = await pipeline.findings()
    assert not findings
