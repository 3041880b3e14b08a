"""The indexer on a real Kafka: it is killed, its file is deleted, its topics are, and the index is what Kafka holds."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from console.contacts import indexer
from console.contacts.extract import Extract
from console.contacts.index import FILE, IndexAway
from console.contacts.indexer import Indexer
from sandbox.processes import Process
from sandbox.stack import create_topics
from schemas.contacts import ContactKey
from schemas.topics import Topics
from tests.console.indexing import Place, indexer_of, places
from tests.kafka import topic_list
from tests.kafka.kafka_records import KafkaRecord, event_record, letter_record, receipt_record
from tests.polling import eventually
from tests.samples import EMAIL

PARTITIONS = 3


class Broker:
    """The topics of one test, written by hand; `places` are the records that are there."""

    def __init__(self, servers: str, topics: Topics, producer: AIOKafkaProducer) -> None:
        self.servers = servers
        self.topics = topics
        self._producer = producer
        self.places: set[Place] = set()

    async def write(self, records: Iterable[KafkaRecord]) -> None:
        sent = []
        for record in records:
            topic = self.topics.of(record.topic.removeprefix(Topics().prefix))
            headers = [(name, value or b"") for name, value in record.headers]
            sent.append(await self._producer.send(topic, record.value, record.key, record.partition, None, headers))
        for written in await asyncio.gather(*sent):
            self.places.add((written.topic, written.partition, written.offset))

    async def delete_records(self, topic: str, partition: int, before: int) -> None:
        async with self._admin() as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})
        self.places = {each for each in self.places if each[:2] != (topic, partition) or each[2] >= before}

    async def delete_topic(self, topic: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([topic])
        self.places = {each for each in self.places if each[0] != topic}

    async def create_topic(self, topic: str) -> None:
        # Kafka takes a moment to let go of the name.
        async def created() -> bool:
            with suppress(Exception):
                await topic_list.make(self.servers, self.topics, topic)
                return True
            return False

        await eventually(created, every_s=0.2, saying=f"{topic} is created")

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(indexer, "AGAIN_S", 0.2)


@pytest.fixture
async def broker(kafka: Any, topic_prefix: str) -> AsyncIterator[Broker]:
    topics = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, topics, PARTITIONS)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        yield Broker(kafka.bootstrap_servers, topics, producer)


@asynccontextmanager
async def following(broker: Broker, folder: Path) -> AsyncIterator[Indexer]:
    follower, index = indexer_of(broker.servers, broker.topics, folder)
    task = asyncio.create_task(follower.follow())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(index.close)


def holding(broker: Broker, folder: Path) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        with suppress(IndexAway):
            return places(folder) == sorted(broker.places)
        return False

    return holds


async def until_it_holds_what_kafka_does(broker: Broker, folder: Path) -> None:
    await eventually(holding(broker, folder), within_s=60, every_s=0.2, saying="the index holds what Kafka does")


def delete_file(folder: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{folder}/{FILE}{suffix}").unlink()


def traffic(events: int, seed: int = 1) -> list[KafkaRecord]:
    chance, made = random.Random(seed), []
    for number in range(1, events + 1):
        record = event_record(
            chance.choice(["nova_earned", "nova_redeemed"]),
            number,
            email=f"c{number % 7}@example.com",
            partition=number % 3,
        )
        made += [record, receipt_record(record)]
        if number % 10 == 0:
            made.append(letter_record(record))
    return made


async def test_it_follows_all_topics_and_tells_how_far_it_is(broker: Broker, tmp_path: Path) -> None:
    await broker.write(traffic(300))

    async with following(broker, tmp_path) as follower:
        await until_it_holds_what_kafka_does(broker, tmp_path)

        async def caught_up() -> bool:
            return follower.state.caught_up

        await eventually(caught_up, saying="it knows that it has caught up")
        assert follower.state.records == len(broker.places) == 300 + 300 + 30
        await broker.write(traffic(5, seed=2))
        await until_it_holds_what_kafka_does(broker, tmp_path)


async def test_an_indexer_that_is_killed_at_any_time_neither_loses_nor_doubles(broker: Broker, tmp_path: Path) -> None:
    folder, chance = tmp_path / "console", random.Random(7)
    process = Process("indexer", tmp_path / "indexer.log")
    command = [sys.executable, "-m", "tests.console.indexing", broker.servers, broker.topics.prefix, str(folder)]
    writing = asyncio.create_task(broker.write(traffic(40_000)))
    held = [0]

    async def some_more() -> bool:
        with suppress(IndexAway):
            held.append(len(places(folder)))
        return held[-1] > max(held[:-1], default=0)

    for _ in range(6):
        process.start(command)
        await eventually(some_more, within_s=60, every_s=chance.uniform(0.001, 0.05), saying="it gets on")
        await process.stop(signal.SIGKILL)
    killed_at = len(places(folder))
    await writing
    process.start(command)
    try:
        await until_it_holds_what_kafka_does(broker, folder)
    finally:
        await process.stop(signal.SIGKILL)

    assert 0 < killed_at < len(broker.places)


async def test_a_file_that_is_deleted_meanwhile_is_made_again_from_kafka(broker: Broker, tmp_path: Path) -> None:
    await broker.write(traffic(100))
    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)

        delete_file(tmp_path)

        await until_it_holds_what_kafka_does(broker, tmp_path)


async def test_a_file_that_is_damaged_meanwhile_is_made_again_from_kafka(broker: Broker, tmp_path: Path) -> None:
    await broker.write(traffic(100))
    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)
    (tmp_path / FILE).write_bytes(b"\x00" * 10_000)

    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)


@pytest.mark.parametrize("records", [3, 400])
async def test_a_topic_that_was_made_anew_is_indexed_anew(broker: Broker, tmp_path: Path, records: int) -> None:
    """Also one that holds more by now than what was read of the one before."""
    await broker.write(traffic(100))
    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)
    await broker.delete_topic(broker.topics.deliveries)
    await broker.create_topic(broker.topics.deliveries)
    record = event_record(email="new@example.com")
    await broker.write(receipt_record(record, minutes=number) for number in range(records))

    async with following(broker, tmp_path) as follower:
        await until_it_holds_what_kafka_does(broker, tmp_path)
        with Extract.of(follower._index, broker.topics) as extract:
            assert len(extract.receipts("new@example.com", 1, 9)) == records
            assert extract.receipts("c1@example.com", 1, 100) == []


async def test_a_topic_that_is_deleted_and_made_anew_meanwhile_is_noticed(broker: Broker, tmp_path: Path) -> None:
    await broker.write(traffic(100))
    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)
        await broker.delete_topic(broker.topics.deliveries)
        await until_it_holds_what_kafka_does(broker, tmp_path)
        await broker.create_topic(broker.topics.deliveries)
        await broker.write([receipt_record(event_record(email="new@example.com"))])
        await until_it_holds_what_kafka_does(broker, tmp_path)


async def test_what_kafka_deletes_goes_from_the_index_too(broker: Broker, tmp_path: Path) -> None:
    await broker.write(traffic(300))
    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)

        await broker.delete_records(broker.topics.deliveries, 0, 250)
        await broker.delete_records(broker.topics.of("nova_earned"), 1, 20)

        await until_it_holds_what_kafka_does(broker, tmp_path)
        await broker.write([event_record(sequence=7, partition=1)])
        await until_it_holds_what_kafka_does(broker, tmp_path)


async def test_what_kafka_has_deleted_before_it_was_read_is_passed_over(broker: Broker, tmp_path: Path) -> None:
    await broker.write(traffic(300))
    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)
    await broker.write(traffic(300, seed=2))
    await broker.delete_records(broker.topics.deliveries, 0, 450)

    async with following(broker, tmp_path):
        await until_it_holds_what_kafka_does(broker, tmp_path)


async def test_without_kafka_it_says_since_when_and_what_it_has_can_be_read(own_kafka: Any, tmp_path: Path) -> None:
    topics, folder = Topics("own."), tmp_path / "console"
    await create_topics(own_kafka.bootstrap_servers, topics, PARTITIONS)
    async with AIOKafkaProducer(bootstrap_servers=own_kafka.bootstrap_servers) as producer:
        broker = Broker(own_kafka.bootstrap_servers, topics, producer)
        await broker.write([event_record()])
    async with following(broker, folder) as follower:
        await until_it_holds_what_kafka_does(broker, folder)
        await own_kafka.kill()

        async def in_trouble() -> bool:
            return follower.state.trouble is not None

        await eventually(in_trouble, saying="it is in trouble")
        trouble = follower.state.trouble
        assert trouble is not None
        assert "Kafka can't be read" in trouble.why
        assert not follower.state.caught_up
        with Extract.of(follower._index, topics) as extract:
            assert extract.knows(ContactKey(EMAIL))
