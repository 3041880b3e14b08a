"""Alignment: co-partitioned topics are read at the same point in time, however long the backlog is.

A contact's events are in seven topics, in partitions of the same number. If each is read at its own pace, they drift
apart like a random walk: over a million events by more than fits into a worker's memory, which would then contain only
events that wait for unread ones. So with many unfinished events, partitions that are ahead of the others are paused.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from aiokafka import TopicPartition

from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import Partition, Record

# With fewer unfinished events there is room for drift, and no partition is paused.
CROWD: Final = 5_000
# Tolerated clock difference between the hosts that produced the events.
CLOCKS_AGREE_S: Final = 1.0


class PartitionAlignment:
    """How far each assigned partition was read, in offsets and in time. *read_ends* returns the end offsets of all."""

    def __init__(self, offsets: Offsets, read_ends: Callable[[], Awaitable[Mapping[TopicPartition, int]]]) -> None:
        self._offsets = offsets
        self._read_ends: Final = read_ends
        self._topics: defaultdict[int, list[str]] = defaultdict(list)
        self._read_to: dict[Partition, datetime] = {}
        # The end offsets of the last look, and the next offsets to read from just before it.
        self._ends: Mapping[TopicPartition, int] = {}
        self._read_before: Mapping[Partition, int] = {}
        self._wanted = False

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """Set the assigned partitions, by topic and number; what was read of the former ones is dropped."""
        self._read_to.clear()
        self._topics.clear()
        self._read_before = {}
        for topic, number in partitions:
            self._topics[number].append(topic)

    def read(self, record: Record) -> None:
        """Record up to which time a partition was read."""
        self._read_to[record.topic_partition] = record.timestamp

    def ahead(self) -> set[Partition]:
        """Return the partitions that were read further in time than a co-partitioned one with unread records."""
        self._wanted = True
        ahead: set[Partition] = set()
        for number, topics in self._topics.items():
            unread = [self._time_of(topic, number) for topic in topics if not self._at_end(topic, number)]
            if unread:
                ahead |= {(topic, number) for topic in topics if self._time_of(topic, number) > min(unread)}
        return ahead

    def earlier_were_read(self, record: Record) -> bool:
        """Return whether every record that Kafka stored before *record* was read, in all co-partitioned topics.

        This is so if each other partition was read beyond the record's time by more than CLOCKS_AGREE_S, or up to its
        end as of a look after *record* was read. If the last look is older, return False and request the next look.
        """
        partition, time = record.topic_partition, record.timestamp.timestamp() + CLOCKS_AGREE_S
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
        """Read the end offsets, if they were needed since the last look. Raises KafkaError."""
        if not self._wanted:
            return
        self._wanted = False
        read_before = self._offsets.read_before()
        self._ends = await self._read_ends()
        self._read_before = read_before

    def _time_of(self, topic: str, number: int) -> float:
        read_to = self._read_to.get((topic, number))
        return read_to.timestamp() if read_to else 0.0

    def _at_end(self, topic: str, number: int) -> bool:
        """Return whether a partition was read to its end as of the last look, transaction markers included."""
        following, end = self._offsets.next_of((topic, number)), self._ends.get(TopicPartition(topic, number))
        return following is not None and end is not None and following >= end
