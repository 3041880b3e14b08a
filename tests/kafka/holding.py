"""Runs that hold contacts of a pipeline, and what comes of it."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from hubspot_consumer.holds.records import HoldBegun, HoldRecord, encoded, read_hold_record
from hubspot_consumer.holds.run import RunHolds
from runtime.clock import SystemClock
from sandbox.processes import free_port
from sandbox.services import Service
from schemas.contacts import ContactKey
from tests.kafka import topic_list
from tests.pipeline import Pipeline
from tests.polling import eventually

ADA, GRACE = ContactKey("ada@example.com"), ContactKey("grace@example.com")
AT = "2026-11-24T03:00:00Z"


def holding_of(pipeline: Pipeline, run: str = "", waits: Callable[[str], object] = lambda _: None) -> RunHolds:
    return RunHolds(
        topic_list.connection(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.topics),
        pipeline.environment["CONSUMER_GROUP"],
        run or f"run-{uuid4().hex[:8]}",
        "replay",
        0.5,
        SystemClock(),
        waits,
    )


@asynccontextmanager
async def started(pipeline: Pipeline, run: str = "") -> AsyncIterator[RunHolds]:
    holding = holding_of(pipeline, run)
    await holding.start()
    try:
        yield holding
    finally:
        await holding.stop()


def another_worker(pipeline: Pipeline) -> Service:
    return pipeline.consumer(CONSUMER_PORT=str(free_port()))


async def track(pipeline: Pipeline, key: ContactKey, phone: str) -> None:
    payload = {"merchant_id": "mer_1", "email": key, "phone": phone, "updated_at": AT}
    async with await pipeline.connect() as connection:
        await connection.execute(
            "SELECT track_lifecycle_event('merchant_contact_updated', %s::jsonb)", (json.dumps(payload),)
        )


async def until_phone(pipeline: Pipeline, key: ContactKey, phone: str, within_s: float = 30) -> None:
    async def there() -> bool:
        held = (await pipeline.simulator.accepted()).contacts.get(key)
        return held is not None and held["properties"].get("phone") == phone

    await eventually(there, within_s=within_s, every_s=0.1, saying=f"the phone is {phone}")


async def phone_of(pipeline: Pipeline, key: ContactKey) -> str | None:
    held = (await pipeline.simulator.accepted()).contacts.get(key)
    phone: str | None = held["properties"].get("phone") if held else None
    return phone


async def until_held(worker: Service, contacts: int) -> None:
    async def held() -> bool:
        return bool((await worker.status())["contacts"]["held"] == contacts)

    await eventually(held, within_s=30, saying=f"{contacts} contacts wait in the worker")


async def said(pipeline: Pipeline) -> list[HoldRecord]:
    """Return all that was said on the topic of holds."""
    consumer = AIOKafkaConsumer(bootstrap_servers=pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"])
    await consumer.start()
    try:
        partition = TopicPartition(pipeline.topics.holds, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        records: list[Any] = []
        while await consumer.position(partition) < end:
            records += [one for batch in (await consumer.getmany(timeout_ms=500)).values() for one in batch]
    finally:
        await consumer.stop()
    return [one for one in (read_hold_record(record.value) for record in records) if one is not None]


async def begin_and_be_killed(pipeline: Pipeline, *keys: ContactKey, for_s: float) -> None:
    """Hold contacts as a run does that is killed then."""
    options: dict[str, Any] = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    await topic_list.make(options["bootstrap_servers"], pipeline.topics, pipeline.topics.holds)
    hold = HoldBegun(run="killed", number=1, command="resync", contacts=keys, quota_share=0.5, for_s=for_s)
    async with AIOKafkaProducer(**options) as producer:
        key, value = encoded(hold)
        await producer.send_and_wait(pipeline.topics.holds, key=key, value=value)
