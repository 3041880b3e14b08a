"""The model of a Kafka cluster: topics with partitions, and what clients ask of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber

from schemas.topics import Topics
from tests.simulation.loop import SimulatedLoop

# Largest number of records that one fetch returns of a partition.
MOST_OF_A_PARTITION: Final = 50
# The number of an idempotent producer's batches that Kafka knows again.
REMEMBERED_BATCHES: Final = 5


class StoredRecord(NamedTuple):
    """A record as aiokafka's consumer returns it, as far as it is read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class NewRecord(NamedTuple):
    """A record that a producer sends; its timestamp is the producer's, in milliseconds."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class Log:
    """A partition: `records` are in order of their offsets, with gaps where there are transaction markers."""

    start: int = 0
    end: int = 0
    records: list[StoredRecord] = field(default_factory=list)
    # The numbers of the last batches of each idempotent producer, and the offsets of their first records.
    batches: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)

    def since(self, offset: int, most: int) -> tuple[list[StoredRecord], int]:
        """Return at most *most* records from *offset* on, and the offset after them."""
        records = self.records
        if not records or records[-1].offset < offset:
            return [], self.end
        # The records are dense but for markers, so the first one is near to its offset.
        low = max(0, min(len(records) - 1, len(records) - 1 - (records[-1].offset - offset)))
        while records[low].offset < offset:
            low += 1
        found = records[low : low + most]
        last = low + len(found) == len(records)
        return found, self.end if last else found[-1].offset + 1

    def between(self, start: int, end: int) -> list[StoredRecord]:
        """Return the records from *start* to before *end*."""
        return [record for record in self.records if start <= record.offset < end]


class OutOfRange(Exception):
    """The offset is not in the partition."""


class Broker:
    """The topics, in which the last record is as durable as the first: producers ask for all copies."""

    def __init__(self, loop: SimulatedLoop, chance: Random) -> None:
        self._loop: Final = loop
        self._chance: Final = chance
        self.logs: Final[dict[TopicPartition, Log]] = {}
        self.topics: Final[dict[str, int]] = {}
        # Partitions of which nothing can be fetched for a while, as with a slow connection to one of several brokers.
        self.slow: Final[set[TopicPartition]] = set()
        # Called with the records of each batch that is stored.
        self.appended: Callable[[Sequence[StoredRecord]], None] = lambda _: None
        # The topics whose records get the broker's time, and that time in milliseconds.
        self.stamped: Final[set[str]] = set()
        self.now_ms: Callable[[], int] = lambda: 0
        self._fetching: Final[dict[TopicPartition, list[asyncio.Future[None]]]] = {}

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic, or add partitions to it."""
        for number in range(self.topics.get(topic, 0), partitions):
            self.logs[TopicPartition(topic, number)] = Log()
        self.topics[topic] = max(partitions, self.topics.get(topic, 0))

    def append(
        self, partition: TopicPartition, records: Sequence[NewRecord], batch: tuple[int, int] | None = None
    ) -> int:
        """Append *records*, and return the offset of the first.

        *batch* is an idempotent producer's id and the number of its batch. One of the last batches is not stored again;
        any other but the next one raises OutOfOrderSequenceNumber.
        """
        log = self.logs[partition]
        if batch is not None:
            producer, number = batch
            last = log.batches.setdefault(producer, deque(maxlen=REMEMBERED_BATCHES))
            for stored, first in last:
                if stored == number:
                    return first
            if last and number != last[-1][0] + 1:
                raise OutOfOrderSequenceNumber
            last.append((number, log.end))
        first = log.end
        if partition.topic in self.stamped:
            records = [record._replace(timestamp=self.now_ms()) for record in records]
        stored_now = [
            StoredRecord(partition.topic, partition.partition, offset, *record)
            for offset, record in enumerate(records, first)
        ]
        log.records += stored_now
        log.end += len(records)
        self.appended(stored_now)
        self._wake(partition)
        return first

    def events(self, topics: Topics) -> dict[TopicPartition, list[StoredRecord]]:
        """Return the records of the event topics, by partition."""
        return {one: log.records for one, log in self.logs.items() if one.topic in topics.events}

    def mark(self, partition: TopicPartition) -> None:
        """End a transaction in *partition*: its marker takes an offset, and no reader gets it."""
        self.logs[partition].end += 1
        self._wake(partition)

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before *offset*, as retention does."""
        log = self.logs[partition]
        log.start = max(log.start, min(offset, log.end))
        log.records = [record for record in log.records if record.offset >= log.start]

    def fetch(
        self, positions: Mapping[TopicPartition, int], wait_s: float
    ) -> "asyncio.Future[dict[TopicPartition, tuple[list[StoredRecord], int]]]":
        """Return a future of the next records of each partition that has any, within *wait_s*, and the offset after.

        The future raises OutOfRange, with the partitions and their offsets.
        """
        answer: asyncio.Future[dict[TopicPartition, tuple[list[StoredRecord], int]]] = self._loop.create_future()
        self._fetch(positions, wait_s, answer)
        return answer

    def _fetch(
        self,
        positions: Mapping[TopicPartition, int],
        wait_s: float,
        answer: "asyncio.Future[dict[TopicPartition, tuple[list[StoredRecord], int]]]",
    ) -> None:
        found = {}
        out = {}
        # By the size of records and of fetches, co-partitioned topics are read at different paces.
        most = 1 + int(self._chance.random() ** 2 * MOST_OF_A_PARTITION)
        for partition, position in positions.items():
            if partition in self.slow:
                continue
            log = self.logs.get(partition)
            if log is None or log.start <= position < log.end:
                if log is not None:
                    found[partition] = log.since(position, most)
            elif position != log.end:
                out[partition] = position
        if out:
            answer.set_exception(OutOfRange(out))
        elif found or wait_s <= 0:
            answer.set_result(found)
        else:
            self._wait(positions, answer, self._loop.time() + wait_s)

    def _wait(
        self,
        positions: Mapping[TopicPartition, int],
        answer: "asyncio.Future[dict[TopicPartition, tuple[list[StoredRecord], int]]]",
        until: float,
    ) -> None:
        woken: asyncio.Future[None] = self._loop.create_future()
        for partition in positions:
            self._fetching.setdefault(partition, []).append(woken)

        def again(_: object = None) -> None:
            if not answer.done():
                timer.cancel()
                # What is left of the wait is not asked for again: a fetch returns once there is anything.
                self._fetch(positions, 0.0, answer)

        timer = self._loop.call_at(until, again, context=self._loop.world.context)
        woken.add_done_callback(again, context=self._loop.world.context)

    def _wake(self, partition: TopicPartition) -> None:
        for woken in self._fetching.pop(partition, ()):
            if not woken.done():
                woken.set_result(None)
