"""Alignment: sibling partitions are read side by side in time, however long the backlog is.

A contact's events are in seven topics, in partitions of the same number. Read each at its own pace, these drift apart
like any random walk: over a million events by more than a worker may hold in memory, which then holds nothing but
events that wait for others, unread. So when there is a crowd, a partition that is ahead of its siblings is held back.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from hubspot_consumer.lag import Lag
from hubspot_consumer.records import Record

# With fewer events unfinished there is room for drift, and nobody is held back.
CROWD: Final = 5_000


class _Read(NamedTuple):
    offset: int
    timestamp: datetime


class Alignment:
    """How far each partition of this worker was read, in offsets and in time. *lag* knows where they end."""

    def __init__(self, lag: Lag) -> None:
        self._lag = lag
        self._topics: defaultdict[int, list[str]] = defaultdict(list)
        self._read: dict[tuple[str, int], _Read] = {}

    def assigned(self, held: Iterable[tuple[str, int]]) -> None:
        """Take the partitions that are held from now on, by topic and number; they are read from what was acked."""
        self._read.clear()
        self._topics.clear()
        for topic, number in held:
            self._topics[number].append(topic)

    def read(self, record: Record) -> None:
        self._read[record.topic, record.partition] = _Read(record.offset, record.timestamp)

    def ahead(self) -> set[tuple[str, int]]:
        """Return the partitions that were read further in time than a sibling with more to read."""
        ahead: set[tuple[str, int]] = set()
        for number, topics in self._topics.items():
            if (behind := self._behind(topics, number)) is not None:
                ahead |= {(topic, number) for topic in topics if self._time_of(topic, number) > behind}
        return ahead

    def siblings_passed(self, record: Record) -> bool:
        """Return whether what was committed to Kafka before *record*, of its contact, has been read."""
        behind = self._behind(self._topics[record.partition], record.partition)
        return behind is None or behind >= record.timestamp.timestamp()

    def _behind(self, topics: Collection[str], number: int) -> float | None:
        """Return how far the last of the siblings with more to read is, in time; None when all are at their ends."""
        return min((self._time_of(topic, number) for topic in topics if not self._at_end(topic, number)), default=None)

    def _time_of(self, topic: str, number: int) -> float:
        read = self._read.get((topic, number))
        return read.timestamp.timestamp() if read else 0.0

    def _at_end(self, topic: str, number: int) -> bool:
        read = self._read.get((topic, number))
        if read is None:
            return self._lag.of(topic, number) == 0
        end = self._lag.end_of(topic, number)
        return end is not None and read.offset + 1 >= end
