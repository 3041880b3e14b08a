"""Alignment: sibling partitions are read side by side in time, however long the backlog is.

A contact's events are in seven topics, in partitions of the same number. Read each at its own pace, these drift apart
like any random walk: over a million events by more than a worker may hold in memory, which then holds nothing but
events that wait for others, unread. So when there is a crowd, a partition that is ahead of its siblings is held back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Protocol

from aiokafka import TopicPartition

from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import Partition, Record

# With fewer events unfinished there is room for drift, and nobody is held back.
CROWD: Final = 5_000
# The clocks of whoever gives the events to Kafka.
CLOCKS_AGREE_S: Final = 1.0


class Ends(Protocol):
    """Where Kafka's partitions end."""

    async def ends(self) -> Mapping[TopicPartition, int]: ...


class PartitionAlignment:
    """How far each partition of this worker was read, in offsets and in time. *kafka* knows where they end."""

    def __init__(self, offsets: Offsets, kafka: Ends) -> None:
        self._offsets = offsets
        self._kafka = kafka
        self._topics: defaultdict[int, list[str]] = defaultdict(list)
        self._read_to: dict[Partition, datetime] = {}
        # Where the partitions ended when that was asked last, and up to where they were read before it was asked.
        self._ends: Mapping[TopicPartition, int] = {}
        self._read_before: Mapping[Partition, int] = {}
        self._wanted = False

    def assigned(self, held: Iterable[Partition]) -> None:
        """Take the partitions that are held from now on, by topic and number; they are read from what was acked."""
        self._read_to.clear()
        self._topics.clear()
        self._read_before = {}
        for topic, number in held:
            self._topics[number].append(topic)

    def read(self, record: Record) -> None:
        self._read_to[record.topic, record.partition] = record.timestamp

    def ahead(self) -> set[Partition]:
        """Return the partitions that were read further in time than a sibling with more to read."""
        self._wanted = True
        ahead: set[Partition] = set()
        for number, topics in self._topics.items():
            unread = [self._time_of(topic, number) for topic in topics if not self._at_end(topic, number)]
            if unread:
                ahead |= {(topic, number) for topic in topics if self._time_of(topic, number) > min(unread)}
        return ahead

    def earlier_were_read(self, record: Record) -> bool:
        """Return whether whatever Kafka held before *record* was read, in all siblings.

        It was where a sibling was read further in time, by more than clocks may differ, or to where it ended after
        *record* was read. Ask again where the ends are older than that: `look` gets them.
        """
        partition, time = (record.topic, record.partition), record.timestamp.timestamp() + CLOCKS_AGREE_S
        not_passed = [
            topic
            for topic in self._topics[record.partition]
            if topic != record.topic and self._time_of(topic, record.partition) <= time
        ]
        if not_passed and record.offset >= self._read_before.get(partition, 0):
            self._wanted = True
            return False
        return all(self._at_end(topic, record.partition) for topic in not_passed)

    async def look(self) -> None:
        """Ask where the partitions end, if that was wanted since the last look. Raises KafkaError."""
        if not self._wanted:
            return
        self._wanted = False
        read_before = self._offsets.next_of_all()
        self._ends = await self._kafka.ends()
        self._read_before = read_before

    def _time_of(self, topic: str, number: int) -> float:
        read_to = self._read_to.get((topic, number))
        return read_to.timestamp() if read_to else 0.0

    def _at_end(self, topic: str, number: int) -> bool:
        """Return whether a partition was read to where it ended at the last look. Markers of transactions are read."""
        following, end = self._offsets.next_of((topic, number)), self._ends.get(TopicPartition(topic, number))
        return following is not None and end is not None and following >= end
