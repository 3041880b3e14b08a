"""The parallel scan on a real broker: several processes read into one store, and a stopped one is continued."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from bench.backlog import publish, rows
from hubspot_consumer.history import parallel_scan
from hubspot_consumer.history.parallel_scan import Reading, read_in_processes
from hubspot_consumer.history.scan import Scan
from hubspot_consumer.history.store import EventStore
from runtime.clock import SystemClock
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_reader import TopicReader
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.polling import eventually

PARTITIONS, EVENTS, CONTACTS = 3, 6_000, 300


class History:
    """Topics with events, and a store whose scan has begun."""

    def __init__(self, kafka: KafkaConnection, topics: Topics, file: Path) -> None:
        partitions = [TopicPartition(topic, number) for topic in topics.events for number in range(PARTITIONS)]
        self.reading = Reading(kafka, file, partitions, frozenset(), {})
        self.store = EventStore(file)
        self.told: list[tuple[int, int]] = []

    async def begin(self) -> dict[TopicPartition, int]:
        """Let the store say where reading begins, and return where it ends."""
        async with TopicReader(self.reading.kafka.client_options()) as reader:
            scan = Scan(reader, self.reading.partitions, self.store, SystemClock(), contacts=[], mends={})
            await scan.begin(None, {})
            return await scan.ends()

    async def read(self, ends: dict[TopicPartition, int]) -> None:
        await read_in_processes(self.reading, self.store, ends, lambda done, total: self.told.append((done, total)))

    def sequences(self) -> dict[str, list[int]]:
        return {key: [event.sequence for event in events] for key, events in self.store.by_contact()}


@pytest.fixture
async def history(
    kafka: Any, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[History]:
    monkeypatch.setattr(parallel_scan, "WORTH_A_PROCESS", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    servers, topics = kafka.bootstrap_servers, Topics(topic_prefix)
    await create_topics(servers, topics, PARTITIONS)
    await publish(servers, topics, PARTITIONS, rows(EVENTS, CONTACTS), lambda _step: None)
    connection = KafkaConnection(kafka_bootstrap_servers=servers, kafka_topic_prefix=topics.prefix)
    made = History(connection, topics, tmp_path / "run.sqlite")
    yield made
    made.store.close()


def expected() -> dict[str, list[int]]:
    numbers = Counter(row.key or "" for row in rows(EVENTS, CONTACTS))
    return {key: list(range(1, last + 1)) for key, last in sorted(numbers.items())}


async def test_processes_read_every_event_once_and_the_store_has_the_ends(history: History) -> None:
    ends = await history.begin()

    await history.read(ends)

    assert history.sequences() == expected()
    assert history.store.positions() == ends
    assert all(total == EVENTS for _, total in history.told)
    assert not active_children()


async def test_a_reading_that_is_stopped_goes_on_where_its_processes_were(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = await history.begin()
    monkeypatch.setattr(parallel_scan, "TOLD_EVERY_S", 0.001)
    reading = asyncio.create_task(history.read(ends))

    async def some_read() -> bool:
        return history.store.size > 0

    await eventually(some_read, every_s=0.001, saying="processes read")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert not active_children()
    before = history.store.positions()
    assert sum(before.values()) == history.store.size, "what is in the store is what its positions say"
    await history.read(ends)
    assert history.sequences() == expected()
    assert next(total for _, total in reversed(history.told)) == EVENTS - sum(before.values()) or before == ends


async def test_few_events_are_left_to_the_process_itself(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_scan, "WORTH_A_PROCESS", EVENTS + 1)
    ends = await history.begin()

    await history.read(ends)

    assert history.store.size == 0
