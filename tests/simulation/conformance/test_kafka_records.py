"""The model of Kafka's topics and of aiokafka's consumers, held against real ones."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import OffsetOutOfRangeError

from runtime.kafka.topics import look, partition_of
from tests.simulation.conformance.kafka_scenarios import waits
from tests.simulation.conformance.kafka_sides import Side, new_name, on_both


async def written(side: Side, partition: TopicPartition, *values: bytes) -> list[int]:
    """Write records, and return their offsets."""
    producer = await side.producer()
    topic, number = partition
    return [(await producer.send_and_wait(topic, value=value, partition=number)).offset for value in values]


async def read(consumer: Any, records: int) -> list[Any]:
    """Return the next records."""
    found: list[Any] = []
    while len(found) < records:
        for some in (await consumer.getmany(timeout_ms=2_000)).values():
            found += some
    return found


@on_both
async def test_offsets_are_dense_in_each_partition(side: Side) -> None:
    topic = await side.topic(2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)

    assert await written(side, first, b"a", b"b") == [0, 1]
    assert await written(side, second, b"c") == [0]
    assert await written(side, first, b"d") == [2]

    consumer = await side.consumer({first: 0})
    assert [(record.offset, record.value) for record in await read(consumer, 3)] == [(0, b"a"), (1, b"b"), (2, b"d")]
    assert await consumer.position(first) == 3
    assert await consumer.beginning_offsets([first, second]) == {first: 0, second: 0}
    assert await consumer.end_offsets([first, second]) == {first: 3, second: 1}


@on_both
async def test_a_key_decides_on_the_partition(side: Side) -> None:
    topic = await side.topic(5)
    producer = await side.producer()
    keys = [f"ada{number}@example.com" for number in range(5)]
    for key in keys:
        await producer.send_and_wait(topic, key=key.encode(), value=b"", headers=[("id", b"1")])

    consumer = await side.consumer({TopicPartition(topic, number): 0 for number in range(5)})
    found = {record.key.decode(): record for record in await read(consumer, 5)}
    assert {key: found[key].partition for key in keys} == {key: partition_of(key, 5) for key in keys}
    assert {tuple(record.headers) for record in found.values()} == {(("id", b"1"),)}


@on_both
async def test_the_end_of_a_transaction_takes_an_offset(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    await side.write_in_transaction(partition, b"a", b"b")
    consumer = await side.consumer({partition: 0})

    assert [record.offset for record in await read(consumer, 2)] == [0, 1]
    # The end of the transaction is written a moment after its commit.
    while await consumer.position(partition) < 3:
        assert await consumer.getmany(timeout_ms=200) == {}
    assert await consumer.end_offsets([partition]) == {partition: 3}
    assert await written(side, partition, b"c") == [3]
    assert [record.offset for record in await read(consumer, 1)] == [3]


@on_both
async def test_a_fetch_waits_for_the_first_record(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    consumer = await side.consumer({partition: 0})
    assert await consumer.getmany(timeout_ms=100) == {}

    fetching = asyncio.create_task(consumer.getmany(timeout_ms=10_000))
    assert await waits(fetching)
    await written(side, partition, b"a")

    assert not await waits(fetching, 2.0)
    assert [record.value for record in fetching.result()[partition]] == [b"a"]


@on_both
async def test_a_seek_makes_what_was_fetched_obsolete(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    await written(side, partition, b"a", b"b", b"c")
    consumer = await side.consumer({partition: 0})
    assert len(await read(consumer, 1)) >= 1

    consumer.seek(partition, 1)

    assert await consumer.position(partition) == 1
    assert [record.offset for record in await read(consumer, 2)] == [1, 2]
    fetching = asyncio.create_task(consumer.getmany(timeout_ms=2_000))
    assert await waits(fetching)
    consumer.seek(partition, 0)
    await written(side, partition, b"d")
    found = [record for some in (await fetching).values() for record in some]
    found += await read(consumer, 4 - len(found))
    assert [record.offset for record in found] == [0, 1, 2, 3]


@on_both
async def test_deleted_records_move_the_beginning_and_are_out_of_range(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    await written(side, partition, b"a", b"b", b"c")

    await side.delete_before(partition, 2)

    strict = await side.consumer({partition: 0}, auto_offset_reset="none")
    assert await strict.beginning_offsets([partition]) == {partition: 2}
    with pytest.raises(OffsetOutOfRangeError) as raised:
        await read(strict, 1)
    assert raised.value.args[0] == {partition: 0}
    lenient = await side.consumer({partition: 0}, auto_offset_reset="earliest")
    assert [record.offset for record in await read(lenient, 1)] == [2]


@on_both
async def test_an_offset_beyond_the_end_is_out_of_range(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    await written(side, partition, b"a")

    consumer = await side.consumer({partition: 2}, auto_offset_reset="none")

    with pytest.raises(OffsetOutOfRangeError) as raised:
        await read(consumer, 1)
    assert raised.value.args[0] == {partition: 2}


@on_both
async def test_all_records_may_be_deleted(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    await written(side, partition, b"a", b"b")

    await side.delete_before(partition, 2)

    consumer = await side.consumer({partition: 2}, auto_offset_reset="none")
    assert await consumer.beginning_offsets([partition]) == {partition: 2}
    assert await consumer.end_offsets([partition]) == {partition: 2}
    assert await consumer.getmany(timeout_ms=100) == {}
    assert await written(side, partition, b"c") == [2]


@on_both
async def test_offsets_are_found_by_time(side: Side) -> None:
    topic = await side.topic(2)
    partition, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    producer = await side.producer()
    for at in (1_000, 2_000, 2_000, 3_000):
        batch = producer.create_batch()
        batch.append(timestamp=at, key=None, value=b"")
        batch.close()
        await (await producer.send_batch(batch, topic, partition=0))
    consumer = await side.consumer({partition: 0})

    for at, offset in ((500, 0), (1_000, 0), (1_001, 1), (2_000, 1), (3_000, 3)):
        found = await consumer.offsets_for_times({partition: at, empty: at})
        assert (found[partition].offset, found[empty]) == (offset, None)
    assert await consumer.offsets_for_times({partition: 3_001}) == {partition: None}


@on_both
async def test_a_topic_may_have_the_brokers_time(side: Side) -> None:
    admin, topic = await side.admin(), new_name()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    producer = await side.producer()
    for _ in range(2):
        batch = producer.create_batch()
        batch.append(timestamp=1_000, key=None, value=b"")
        batch.close()
        await (await producer.send_batch(batch, topic, partition=0))
        await asyncio.sleep(0.02)

    first, second = await read(await side.consumer({TopicPartition(topic, 0): 0}), 2)

    assert 1_000_000 < first.timestamp < second.timestamp < first.timestamp + 10_000


@on_both
async def test_a_topic_is_created_once(side: Side) -> None:
    admin, name = await side.admin(), new_name()

    first = await admin.create_topics([NewTopic(name, 3, 1)])
    again = await admin.create_topics([NewTopic(name, 5, 1)])

    assert [(topic, code) for topic, code, *_ in first.topic_errors] == [(name, 0)]
    assert [(topic, code) for topic, code, *_ in again.topic_errors] == [(name, 36)]
    found = await look(admin, [name])
    assert sorted(one["partition"] for one in found[name]) == [0, 1, 2]


@on_both
async def test_to_look_for_a_missing_topic_creates_none(side: Side) -> None:
    admin, topic, missing = await side.admin(), await side.topic(), new_name()

    for _ in range(2):
        assert set(await look(admin, [topic, missing])) == {topic}

    consumer = await side.consumer({TopicPartition(topic, 0): 0})
    assert {topic, missing} & await consumer.topics() == {topic}


@on_both
async def test_a_consumer_returns_nothing_while_there_is_no_broker(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    await written(side, partition, b"a", b"b")
    consumer = await side.consumer({partition: 0})
    assert len(await read(consumer, 2)) == 2
    loop = asyncio.get_running_loop()

    await side.pause()
    begun_at = loop.time()
    assert await consumer.getmany(timeout_ms=300) == {}
    assert 0.25 <= loop.time() - begun_at < 1.0
    await side.resume()

    await written(side, partition, b"c")
    assert [record.value for record in await read(consumer, 1)] == [b"c"]
