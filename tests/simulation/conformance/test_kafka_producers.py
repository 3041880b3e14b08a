"""The model of aiokafka's producers, held against real ones: order, repeated batches, and outages."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, OutOfOrderSequenceNumber, RequestTimedOutError
from aiokafka.protocol.produce import ProduceRequest

from tests.simulation.conformance.kafka_scenarios import waits
from tests.simulation.conformance.kafka_sides import Side, on_both


class Lost(KafkaError):  # type: ignore[misc] # aiokafka is Any to mypy
    """A request that its client does not send."""

    retriable = False


async def send(producer: Any, partition: TopicPartition, *values: bytes) -> "asyncio.Future[Any]":
    """Send one batch, and return the future of what Kafka acknowledges."""
    batch = producer.create_batch()
    for value in values:
        batch.append(timestamp=None, key=None, value=value)
    batch.close()
    topic, number = partition
    sent: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=number)
    return sent


async def stored(side: Side, partition: TopicPartition, at_least: int = 0) -> list[bytes]:
    """Return the values of all records, when there are *at_least* so many."""
    consumer = await side.consumer({partition: 0})
    [end] = (await consumer.end_offsets([partition])).values()
    found: list[bytes] = []
    while await consumer.position(partition) < max(end, at_least):
        for some in (await consumer.getmany(timeout_ms=1_000)).values():
            found += [record.value for record in some]
    return found


@on_both
async def test_records_of_a_producer_are_stored_in_the_order_of_sending(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(enable_idempotence=True)
    values = [b"%d" % number for number in range(100)]

    sent = [await producer.send(partition.topic, value, partition=0) for value in values]
    offsets = [(await one).offset for one in sent]

    assert offsets == list(range(100))
    assert await stored(side, partition) == values


@on_both
async def test_a_batch_of_records_is_acknowledged_with_the_offset_of_its_first(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(enable_idempotence=True)

    first = await (await send(producer, partition, b"a", b"b"))
    second = await (await send(producer, partition, b"c"))

    assert (first.offset, second.offset) == (0, 2)


@on_both
async def test_a_batch_that_an_idempotent_producer_sends_again_is_stored_once(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(enable_idempotence=True)
    requests = _requests_of(producer)
    for value in (b"a", b"b", b"c", b"d", b"e", b"f"):
        await (await send(producer, partition, value))

    for node, request in requests[-5:]:
        await producer.client.send(node, request)

    assert await stored(side, partition) == [b"a", b"b", b"c", b"d", b"e", b"f"]


@on_both
async def test_a_producer_that_is_not_idempotent_stores_a_repeated_batch_twice(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer()
    requests = _requests_of(producer)
    await (await send(producer, partition, b"a"))

    [(node, request)] = list(requests)
    await producer.client.send(node, request)

    assert await stored(side, partition) == [b"a", b"a"]


@on_both
async def test_a_batch_that_was_never_sent_makes_the_numbers_of_the_next_ones_invalid(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(enable_idempotence=True)
    await (await send(producer, partition, b"a"))
    send_on = producer.client.send

    async def lose(*_: object, **__: object) -> None:
        raise Lost

    producer.client.send = lose
    with pytest.raises(Lost):
        await (await send(producer, partition, b"b"))
    producer.client.send = send_on

    for _ in range(2):
        with pytest.raises(OutOfOrderSequenceNumber):
            await (await send(producer, partition, b"c"))
    another = await side.producer(enable_idempotence=True)
    await (await send(another, partition, b"d"))
    assert await stored(side, partition) == [b"a", b"d"]


@on_both
async def test_a_producer_outlasts_an_outage_shorter_than_its_timeout(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(request_timeout_ms=5_000)
    await (await send(producer, partition, b"a"))

    await side.pause()
    sent = await send(producer, partition, b"b")
    assert await waits(sent, 0.5)
    await side.resume()

    assert (await sent).offset == 1
    assert await stored(side, partition) == [b"a", b"b"]


@on_both
async def test_a_producer_gives_a_batch_up_after_a_longer_outage(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(request_timeout_ms=500)
    await (await send(producer, partition, b"a"))

    await side.pause()
    begun_at = asyncio.get_running_loop().time()
    with pytest.raises(RequestTimedOutError):
        await (await send(producer, partition, b"b"))
    assert 0.4 <= asyncio.get_running_loop().time() - begun_at < 1.2
    await side.resume()

    await (await send(producer, partition, b"c"))
    # The request was under way, and takes effect all the same.
    assert sorted(await stored(side, partition, 3)) == [b"a", b"b", b"c"]


@on_both
async def test_an_idempotent_producer_never_gives_up(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(request_timeout_ms=400, enable_idempotence=True)
    await (await send(producer, partition, b"a"))

    await side.pause()
    sent = await send(producer, partition, b"b")
    assert await waits(sent, 1.5)
    await side.resume()

    assert (await sent).offset == 1
    await (await send(producer, partition, b"c"))
    assert await stored(side, partition) == [b"a", b"b", b"c"]


@on_both
async def test_a_producer_that_nobody_waits_for_any_more_still_sends_its_batch(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    producer = await side.producer(enable_idempotence=True)
    send_on = producer.client.send

    async def not_reached(*_: object, **__: object) -> None:
        raise KafkaConnectionError

    producer.client.send = not_reached
    await send(producer, partition, b"a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(producer.stop(), 0.2)
    producer.client.send = send_on

    assert await stored(side, partition, 1) == [b"a"]


def _requests_of(producer: Any) -> list[tuple[int, Any]]:
    """Return a list that gets the produce requests which *producer* sends."""
    requests: list[tuple[int, Any]] = []
    send_on = producer.client.send

    async def noted(node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest):
            requests.append((node, request))
        return await send_on(node, request, **options)

    producer.client.send = noted
    return requests
