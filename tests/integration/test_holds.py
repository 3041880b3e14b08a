"""Holds between a run and real workers, over real Kafka: who is held waits, everybody else goes on."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from hubspot_consumer.hold_records import Held, HoldBegun, HoldRecord, encoded, read_hold_record
from hubspot_consumer.new_topic import create_topic
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

    assert len(await pipeline.simulator.timeline_of(ADA)) == 4
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


async def begin_and_be_killed(pipeline: Pipeline, *keys: ContactKey, for_s: float) -> None:
    """Hold contacts as a run does that is killed then."""
    options: dict[str, Any] = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    await create_topic(options, pipeline.topics.holds, 1, {})
    hold = HoldBegun(run="killed", number=1, command="resync", contacts=keys, quota_share=0.5, for_s=for_s)
    async with AIOKafkaProducer(**options) as producer:
        key, value = encoded(hold)
        await producer.send_and_wait(pipeline.topics.holds, key=key, value=value)


async def test_when_a_run_is_killed_its_contacts_go_on_after_its_time(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await track(pipeline, ADA, "1")
    await until_phone(pipeline, ADA, "1")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await begin_and_be_killed(pipeline, ADA, for_s=8)

    async def obeys() -> bool:
        return bool((await worker.status())["reprocessing"])

    await eventually(obeys, saying="the worker obeys")
    await track(pipeline, ADA, "2")
    await until_held(worker, 1)
    await until_phone(pipeline, ADA, "2")

    assert loop.time() - begun >= 8
    assert (await worker.status())["reprocessing"] is None
    assert (await worker.status())["quota"]["share"] == 1.0


async def test_another_run_is_refused_and_says_which_one_is_active(pipeline: Pipeline) -> None:
    async with started(pipeline):
        second = holding_of(pipeline)
        with pytest.raises(AnotherRun, match="another run is active: replay, last heard at"):
            await second.start()

    async with started(pipeline):
        pass


async def test_of_two_runs_that_start_at_once_one_goes_on(pipeline: Pipeline) -> None:
    both = [holding_of(pipeline) for _ in range(2)]
    came = await asyncio.gather(*(one.start() for one in both), return_exceptions=True)

    assert sorted(type(one).__name__ for one in came) == ["AnotherRun", "NoneType"]
    await asyncio.gather(*(one.stop() for one in both))


async def test_a_run_that_was_killed_is_gone_on_with_at_once_and_holds_nothing_of_before(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    old = holding_of(pipeline, "run-1")
    await old.start()
    entered = await old.hold([ADA]).__aenter__()
    await track(pipeline, ADA, "1")
    await until_held(worker, 1)

    async with started(pipeline, "run-1") as new:
        await until_phone(pipeline, ADA, "1")
        async with new.hold([GRACE]):
            assert entered.time_left_s == 0
            with pytest.raises(TakenOver):
                async with old.hold([ADA]):
                    pass
        await old.stop()
        # Who was taken over ends nothing of who has taken over.
        async with new.hold([GRACE]):
            assert (await worker.status())["reprocessing"]["run"] == "run-1"


async def test_a_rebalance_in_the_middle_of_a_hold_lets_nothing_through_and_loses_nothing(pipeline: Pipeline) -> None:
    first, second = pipeline.consumer(), another_worker(pipeline)
    await asyncio.gather(pipeline.producer().launch_and_wait(), first.launch_and_wait())
    # In all partitions, so that some of them change hands.
    held = [ContactKey(f"c{number}@example.com") for number in range(30)]
    async with started(pipeline) as holding:
        async with holding.hold(held):
            for key in held:
                await track(pipeline, key, "1")
            await until_held(first, len(held))
            await second.launch_and_wait()

            async def both_hold_back() -> bool:
                there = [(await worker.status())["contacts"]["held"] for worker in (first, second)]
                return sum(there) == len(held) and min(there) > 0

            await eventually(both_hold_back, saying="the held contacts wait in both workers")
            await track(pipeline, GRACE, "1")
            await until_phone(pipeline, GRACE, "1")
            assert set((await pipeline.simulator.accepted()).contacts) == {GRACE}
        await pipeline.until_arrived(len(held) + 1)
        async with holding.hold(held) as hold:
            assert hold.time_left_s > 55
            answers = [one for one in await said(pipeline) if isinstance(one, Held) and one.number == hold.number]
            assert len({one.worker for one in answers}) == 2
            await first.stop()
            for key in held:
                await track(pipeline, key, "2")
            await until_held(second, len(held))
            contacts = (await pipeline.simulator.accepted()).contacts
            assert {contacts[key]["properties"]["phone"] for key in held} == {"1"}
        await pipeline.until_arrived(2 * len(held) + 1)


async def test_a_stopped_worker_does_not_answer_and_whoever_takes_over_does(pipeline: Pipeline) -> None:
    first, second = pipeline.consumer(), another_worker(pipeline)
    await asyncio.gather(pipeline.producer().launch_and_wait(), first.launch_and_wait(), second.launch_and_wait())
    keys, told = [ContactKey(f"c{number}@example.com") for number in range(30)], list[str]()
    holding = holding_of(pipeline, waits=told.append)
    await holding.start()
    loop = asyncio.get_running_loop()
    first.send(signal.SIGSTOP)
    begun = loop.time()
    try:
        async with holding.hold(keys):
            # The group takes it for dead after 10 s.
            assert loop.time() - begun > 6
            assert any(one.startswith("no answer from ") for one in told)
            first.send(signal.SIGCONT)
            for key in keys:
                await track(pipeline, key, "1")

            async def all_wait() -> bool:
                return sum([(await one.status())["contacts"]["held"] for one in (first, second)]) == len(keys)

            await eventually(all_wait, within_s=40, saying="all wait")
            assert not (await pipeline.simulator.accepted()).contacts
        await pipeline.until_arrived(len(keys))
    finally:
        first.send(signal.SIGCONT)
        await holding.stop()


async def test_a_dry_run_neither_obeys_nor_answers(pipeline: Pipeline) -> None:
    dry = pipeline.consumer(HUBSPOT_SEND_LIVE="false")
    await asyncio.gather(pipeline.producer().launch_and_wait(), dry.launch_and_wait())
    async with started(pipeline) as holding, holding.hold([ADA]):
        await track(pipeline, ADA, "1")

        async def written() -> bool:
            return "dry_run.upsert" in dry.log.read_text()

        await eventually(written, saying="the dry run goes on")
        assert (await dry.status())["reprocessing"] is None
        assert not [one for one in await said(pipeline) if isinstance(one, Held)]
