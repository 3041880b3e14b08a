"""Receipts: every event that has ended has one, whatever is killed; and they hold up nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.kafka import topic_list
from tests.kafka.deliveries import acked_without_receipt, read_receipts
from tests.pipeline import Pipeline, moments, running_pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(300)

EVENTS = 1_500
COMMITS_PER_S = 200


@pytest.mark.chaos
async def test_a_worker_killed_in_the_middle_has_acked_no_event_without_its_receipt(pipeline: Pipeline) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await pipeline.simulator.change_settings(latency_ms=50)
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    committing = asyncio.create_task(pipeline.commit(EVENTS, per_s=COMMITS_PER_S))

    for moment in moments(21, 3, EVENTS):
        await pipeline.until_arrived(moment)
        await worker.kill()
        assert await acked_without_receipt(pipeline) == []
        await worker.launch_and_wait()
    await committing
    await pipeline.until_finished()

    assert await worker.stop() == 0
    assert await acked_without_receipt(pipeline) == []
    await assert_receipts_tell_what_happened(pipeline)


async def assert_receipts_tell_what_happened(pipeline: Pipeline) -> None:
    receipts = await read_receipts(pipeline)
    findings, dead = await pipeline.findings()
    assert not findings
    [poisoned] = {letter.id for letter in dead}
    assert {receipt.event_id for receipt in receipts} == set((await pipeline.ledger()).events)
    assert {receipt.event_id for receipt in receipts if receipt.outcome == "dead_lettered"} == {poisoned}
    assert {receipt.outcome for receipt in receipts} == {"dead_lettered", "delivered"}
    assert all(receipt.contact_id and receipt.properties for receipt in receipts if receipt.outcome == "delivered")


@pytest.mark.chaos
async def test_kafka_killed_and_started_again_loses_neither_an_event_nor_a_receipt(
    own_kafka: Any, database_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    async with running_pipeline(tmp_path, own_kafka, database_url, topic_prefix) as pipeline:
        producer, worker = pipeline.producer(), pipeline.consumer()
        await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
        committing = asyncio.create_task(pipeline.commit(900, per_s=COMMITS_PER_S))
        await pipeline.until_arrived(300)

        await own_kafka.kill()
        await asyncio.sleep(8)
        await own_kafka.start()
        await committing
        await pipeline.all_arrive(dead=1, within_s=120)
        await pipeline.until_finished(within_s=120)

        assert (await worker.status())["receipts"]["dropped"] == 0
        assert await acked_without_receipt(pipeline) == []
        await assert_receipts_tell_what_happened(pipeline)


async def test_receipts_that_kafka_does_not_take_hold_up_neither_events_nor_their_acks(pipeline: Pipeline) -> None:
    await topic_list.delete(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.topics.deliveries)
    # More copies than there are brokers: the topic can't be created.
    producer, worker = pipeline.producer(), pipeline.consumer(KAFKA_REPLICATION_FACTOR="3")
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())

    await pipeline.commit(200)
    await pipeline.all_arrive(dead=1, within_s=30)
    await pipeline.until_finished(within_s=30)

    assert await read_receipts(pipeline) == []
    status = await worker.status()
    assert (status["receipts"]["written"], status["receipts"]["dropped"]) == (0, 0)
    assert status["receipts"]["waiting"] >= 200
    assert status["unwell"] == {}
    assert await worker.stop() == 0


@pytest.mark.parametrize("environment", [{"DELIVERY_RECEIPTS": "false"}, {"HUBSPOT_SEND_LIVE": "false"}])
async def test_where_they_are_switched_off_and_in_a_dry_run_there_are_none(
    pipeline: Pipeline, environment: dict[str, str]
) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer(**environment)
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.commit(50)
    await pipeline.until_published()

    async def read() -> bool:
        return (await worker.status())["in_flight"]["events"] == 0 and not any((await worker.status())["lag"].values())

    await eventually(read, saying="all is read")

    assert await read_receipts(pipeline) == []
    assert (await worker.status())["receipts"] is None
