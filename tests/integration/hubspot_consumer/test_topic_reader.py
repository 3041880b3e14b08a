"""The reader of topics on a real broker: it ends where a topic ends, whatever the topic ends in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from structlog.testing import capture_logs

from hubspot_consumer.kafka.followed_topic import FollowedTopic
from runtime.clock import SystemClock
from runtime.kafka.topic_reader import Batches, Positions, TopicReader
from tests.kafka import topic_list, transactions
from tests.polling import eventually

WITHIN_S = 20


class Topic:
    """A topic of one partition, and what is taken in of it."""

    def __init__(self, servers: str, name: str) -> None:
        self.options = {"bootstrap_servers": servers}
        self.name = name
        self.partition = TopicPartition(name, 0)
        self.taken: list[bytes] = []

    async def write(self, *values: bytes, aborted: bool = False) -> None:
        """Write them in a transaction, whose end is a record that no consumer is told of."""
        await transactions.write(self.options["bootstrap_servers"], self.partition, values, aborted=aborted)

    def take_in(self, batches: Batches, _positions: Positions) -> None:
        self.taken += [record.value for records in batches.values() for record in records]

    @asynccontextmanager
    async def reader(self, **options: Any) -> AsyncIterator[TopicReader]:
        reader = TopicReader(self.options, **options)
        try:
            await reader.start()
            yield reader
        finally:
            await reader.stop()


@pytest.fixture
async def topic(kafka: Any, topic_prefix: str) -> Topic:
    name = f"{topic_prefix}read"
    await topic_list.create(kafka.bootstrap_servers, {name: 1})
    return Topic(kafka.bootstrap_servers, name)


async def test_a_topic_that_ends_in_the_marker_of_a_transaction_is_read_to_its_end(topic: Topic) -> None:
    await topic.write(b"1", b"2")
    told: list[tuple[int, int]] = []

    async with topic.reader() as reader, asyncio.timeout(WITHIN_S):
        ends = await reader.ends([topic.partition])
        reader.read_from(await reader.starts([topic.partition]))
        await reader.read_to(ends, topic.take_in, lambda done, total: told.append((done, total)))

    assert (topic.taken, reader.positions, told[-1]) == ([b"1", b"2"], {topic.partition: 3}, (3, 3))


async def test_a_topic_that_holds_nothing_but_what_was_taken_back_is_read_to_its_end(topic: Topic) -> None:
    await topic.write(b"1", aborted=True)

    async with topic.reader(isolation_level="read_committed") as reader, asyncio.timeout(WITHIN_S):
        reader.read_from(await reader.starts([topic.partition]))
        found = [one.value async for one in reader.records_to(await reader.ends([topic.partition]))]

    assert found == []


async def test_what_is_added_after_the_end_was_asked_for_is_no_part_of_what_is_read_to_it(topic: Topic) -> None:
    await topic.write(b"1")

    async with topic.reader() as reader, asyncio.timeout(WITHIN_S):
        ends = await reader.ends([topic.partition])
        await topic.write(b"2")
        reader.read_from(await reader.starts([topic.partition]))
        found = [one.value async for one in reader.records_to(ends)]

    assert found == [b"1"]


async def test_whoever_follows_is_caught_up_when_all_that_is_there_was_taken_in(topic: Topic) -> None:
    async def wait_out(error: Exception) -> None:
        raise error

    async with topic.reader() as reader, asyncio.timeout(WITHIN_S):
        reader.read_from(await reader.starts([topic.partition]))
        following = asyncio.create_task(reader.follow(topic.take_in, wait_out))
        for number in range(3):
            await topic.write(str(number).encode())
            await reader.caught_up()

            assert topic.taken[-1] == str(number).encode()
        following.cancel()
        await asyncio.wait([following])


@asynccontextmanager
async def followed(topic: Topic, newest: timedelta | None = None) -> AsyncIterator[FollowedTopic]:
    def take_in(record: Any) -> bool:
        topic.taken.append(record.value)
        return b"odd" not in record.value

    one = FollowedTopic(topic.options, topic.name, SystemClock(), take_in, look_again_s=0.1, newest=newest)
    try:
        yield one
    finally:
        await one.stop()


@pytest.mark.parametrize(("newest", "taken"), [(None, [b"old", b"new"]), (timedelta(minutes=5), [b"new"])])
async def test_a_followed_topic_is_read_from_its_beginning_or_from_a_time_on(
    topic: Topic, newest: timedelta | None, taken: list[bytes]
) -> None:
    hour_ago_ms = int((SystemClock().now() - timedelta(hours=1)).timestamp() * 1000)
    async with AIOKafkaProducer(**topic.options) as producer:
        await producer.send_and_wait(topic.name, b"old", partition=0, timestamp_ms=hour_ago_ms)
        await producer.send_and_wait(topic.name, b"new", partition=0)

    async with followed(topic, newest) as one:
        await one.start()

    assert topic.taken == taken


async def test_what_is_new_is_told_by_the_last_record_and_not_by_this_hosts_clock(topic: Topic) -> None:
    long_ago_ms = int((SystemClock().now() - timedelta(days=1)).timestamp() * 1000)
    async with AIOKafkaProducer(**topic.options) as producer:
        for value, ago_s in ((b"old", 400), (b"newer", 200), (b"newest", 0)):
            at_ms = long_ago_ms - 1000 * ago_s
            await producer.send_and_wait(topic.name, value, partition=0, timestamp_ms=at_ms)

    async with followed(topic, timedelta(minutes=5)) as one:
        await one.start()

    assert topic.taken == [b"newer", b"newest"]


async def test_a_record_that_can_not_be_read_is_logged_once_and_passed_by(topic: Topic) -> None:
    async with AIOKafkaProducer(**topic.options) as producer:
        for value in (b"even", b"odd 1", b"odd 2", b"even"):
            await producer.send_and_wait(topic.name, value, partition=0)

    async with followed(topic) as one:
        with capture_logs() as lines:
            await one.start()

        assert (len(topic.taken), one.skipped) == (4, 2)
    assert [(line["event"], line["record"]) for line in lines] == [("topic.record_skipped", f"{topic.name}-0-1")]


async def test_a_followed_topic_that_is_missing_is_empty_and_followed_as_soon_as_it_is_there(
    kafka: Any, topic_prefix: str
) -> None:
    topic = Topic(kafka.bootstrap_servers, f"{topic_prefix}later")
    async with followed(topic) as one:
        await one.start()
        await one.caught_up()
        following = asyncio.create_task(one.follow())
        await topic_list.create(kafka.bootstrap_servers, {topic.name: 1})
        await topic.write(b"1")

        async def taken_in() -> bool:
            return topic.taken == [b"1"]

        await eventually(taken_in, saying="the record is taken in")
        following.cancel()
        await asyncio.wait([following])
