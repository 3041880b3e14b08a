"""Holds between a run and real workers, over real Kafka: who is held waits, everybody else goes on."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from hubspot_consumer.hold_records import HoldRecord, read_hold_record
from hubspot_consumer.reprocessing.heard import TakenOver
from hubspot_consumer.reprocessing.holding import AnotherRun, Holding
from runtime.clock import SystemClock
from sandbox.processes import free_port
from sandbox.services import Service
from schemas.contacts import ContactKey
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

ADA, GRACE = ContactKey("ada@example.com"), ContactKey("grace@example.com")
AT = "2026-11-24T03:00:00Z"


def holding_of(pipeline: Pipeline, run: str = "", waits: Callable[[str], object] = lambda _: None) -> Holding:
    return Holding(
        {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]},
        pipeline.topics,
        pipeline.environment["CONSUMER_GROUP"],
        run or f"run-{uuid4().hex[:8]}",
        "replay",
        0.5,
        SystemClock(),
        1,
        waits,
    )


@asynccontextmanager
async def started(pipeline: Pipeline, run: str = "") -> AsyncIterator[Holding]:
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


async def test_a_held_contact_waits_and_others_go_on_and_it_goes_on_from_what_was_written(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await track(pipeline, ADA, "1")
    await until_phone(pipeline, ADA, "1")

    async with started(pipeline, "run-1") as holding:
        assert (await worker.status())["quota"]["share"] == 0.5
        async with holding.hold([ADA]) as hold:
            assert 50 < hold.time_left_s <= 60
            for number in "234":
                await track(pipeline, ADA, number)
            await track(pipeline, GRACE, "1")
            await until_phone(pipeline, GRACE, "1")
            await until_held(worker, 1)
            assert await phone_of(pipeline, ADA) == "1"
            assert (await worker.status())["reprocessing"] == {
                "run": "run-1",
                "command": "replay",
                "quota_share": 0.5,
                "contacts_held": 1,
            }
            # As if the run had brought the contact to its third event.
            hold.written(ADA, 3, None)
        await until_phone(pipeline, ADA, "4")
    await pipeline.until_arrived(5)

    upserts = [entry for entry in (await pipeline.simulator.timeline_of(ADA))]
    assert len(upserts) == 4
    status = await worker.status()
    assert status["reprocessing"] is None
    assert status["quota"]["share"] == 1.0
    assert ADA not in json.dumps(status)
    assert ADA not in worker.log.read_text()


async def test_a_hold_takes_milliseconds(pipeline: Pipeline) -> None:
    await pipeline.consumer().launch_and_wait()
    loop, took = asyncio.get_running_loop(), list[float]()
    async with started(pipeline) as holding:
        for number in range(40):
            begun = loop.time()
            async with holding.hold([ContactKey(f"c{number}@example.com")]):
                took.append(loop.time() - begun)
    took.sort()
    print("hold took", took[0], took[20], took[-1])
    assert took[20] < 0.1


async def test_without_any_worker_a_hold_is_entered_and_one_that_starts_then_obeys_it(pipeline: Pipeline) -> None:
    await pipeline.producer().launch_and_wait()
    await track(pipeline, ADA, "1")
    await track(pipeline, GRACE, "1")
    await pipeline.until_published()
    worker = pipeline.consumer()

    async with started(pipeline) as holding:
        async with holding.hold([ADA]):
            await worker.launch_and_wait()
            await until_phone(pipeline, GRACE, "1")
            await until_held(worker, 1)
            assert await phone_of(pipeline, ADA) is None
        await until_phone(pipeline, ADA, "1")
