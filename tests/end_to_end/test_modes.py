"""Disabled, dry run and live."""

import asyncio

import pytest

from tests.outbox.outbox import is_empty
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

EVENTS = 300


async def test_a_dry_run_calls_nothing_and_going_live_later_delivers_those_same_events(pipeline: Pipeline) -> None:
    dry, live = pipeline.consumer(HUBSPOT_SEND_LIVE="false"), pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), dry.launch_and_wait())
    await pipeline.commit(EVENTS)

    async def read_to_the_end() -> bool:
        status = await dry.status()
        return await is_empty(pipeline.database_url) and bool(status["lag"]) and not any(status["lag"].values())

    await eventually(read_to_the_end, within_s=60, every_s=0.5, saying="the dry run reads all")
    assert await dry.stop() == 0
    assert (await pipeline.simulator.statistics())["calls"] == {}
    assert "dry_run.upsert" in dry.log.read_text()

    await live.launch_and_wait()
    await pipeline.all_arrive(dead=1)
    findings, _ = await pipeline.findings()
    assert not findings


async def test_a_disabled_consumer_is_healthy_and_reads_nothing(pipeline: Pipeline) -> None:
    disabled = pipeline.consumer(HUBSPOT_ENABLED="false", HUBSPOT_SEND_LIVE="false")
    await disabled.launch_and_wait()

    code, health = await disabled.health()

    assert (code, health) == (200, {"status": "ok", "mode": "disabled", "unwell": {}})
    assert (await disabled.status())["lag"] == {}
    assert await disabled.stop() == 0
    assert (await pipeline.simulator.statistics())["calls"] == {}


@pytest.mark.chaos
async def test_sigterm_ends_both_services_with_0_and_a_restart_goes_on(pipeline: Pipeline) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    committing = asyncio.create_task(pipeline.commit(EVENTS, per_s=100))
    await pipeline.until_arrived(EVENTS // 3)

    assert await producer.stop() == 0
    assert await worker.stop() == 0
    await committing
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.all_arrive(dead=1)

    findings, _ = await pipeline.findings()
    assert not findings
