"""Hostile records on an event topic of a real Kafka: each ends once, and the worker stays well."""

from typing import Final

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.hostile.inputs import inputs_of
from tests.hostile.records import send
from tests.kafka.deliveries import read_receipts
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

RECORDS: Final = inputs_of("event record")


async def places_of(pipeline: Pipeline) -> dict[str, int | None]:
    """Send all records to one partition; return the offset of each, or None where Kafka refused it."""
    places = dict[str, int | None]()
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaProducer(bootstrap_servers=servers, max_request_size=1 << 30) as producer:
        for hostile in RECORDS:
            try:
                places[hostile.name] = await send(hostile, producer, pipeline.topics)
            except KafkaError:
                places[hostile.name] = None
    return places


async def test_each_record_ends_once_and_the_worker_stays_well(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await worker.launch_and_wait()

    offsets = await places_of(pipeline)
    await pipeline.until_finished(within_s=200)

    topic = pipeline.topics.of("nova_earned")
    receipts = [each for each in await read_receipts(pipeline) if each.topic == topic]
    ended = {each.offset: f"dead letter {each.reason}" if each.reason else each.outcome for each in receipts}
    assert len(receipts) == len(ended)
    assert {name: "refused by Kafka" if at is None else ended.get(at) for name, at in offsets.items()} == {
        one.name: one.outcome for one in RECORDS
    }
    assert await worker.healthy()
