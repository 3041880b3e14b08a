"""The indexer: one task that copies the topics' records into the index. It joins no consumer group."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final, NoReturn

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from console.contacts.index import Index, IndexAway, Reached
from console.contacts.index_rows import Rows, rows_of
from console.sqlite_files import is_damage
from hubspot_consumer.kafka.records import Partition
from runtime.clock import Clock
from runtime.kafka.topic_reader import Batches, Positions, TopicReader
from runtime.kafka.topics import look
from runtime.logs import log
from schemas.topics import Topics

LOOK_EVERY_S: Final = 2.0
AGAIN_S: Final = 1.0
_ANSWER_WITHIN_MS: Final = 5_000
# The most bytes of one fetch; a single record may be as large.
MOST_BYTES: Final = 8 * 1024 * 1024
# Rows of one transaction while there is a backlog. The more rows, the fewer times a page of the file is written.
MOST_ROWS: Final = 25_000
TROUBLES: Final = (KafkaError, OSError, TimeoutError, sqlite3.Error, IndexAway)


@dataclass(frozen=True)
class KafkaSnapshot:
    """The topics at one moment. `acked` is the offset of the first unacked record by partition.

    `acked` lacks partitions without a committed offset, and is None if Kafka did not return the offsets.
    """

    beginnings: Mapping[Partition, int] = field(default_factory=dict)
    ends: Mapping[Partition, int] = field(default_factory=dict)
    acked: Mapping[Partition, int] | None = None


class FollowedTopics:
    """Two Kafka clients outside any group: one reads records, the other requests metadata."""

    def __init__(self, options: Mapping[str, Any], topics: Topics, group: str) -> None:
        self.reader: Final = TopicReader(
            options, auto_offset_reset="none", fetch_max_bytes=MOST_BYTES, request_timeout_ms=_ANSWER_WITHIN_MS
        )
        self._admin: Final = AIOKafkaAdminClient(**options, request_timeout_ms=_ANSWER_WITHIN_MS)
        self._group: Final = group
        self._events: Final = topics.events
        self._names: Final = (*topics.events, topics.deliveries, topics.dead_letters, topics.resolutions)

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._admin.start()
        await self.reader.start()

    async def stop(self) -> None:
        await self.reader.stop()
        await self._admin.close()

    async def look(self) -> KafkaSnapshot:
        """Return a snapshot of the topics. Raises KafkaError and TimeoutError."""
        found = await look(self._admin, self._names)
        partitions = [TopicPartition(topic, part["partition"]) for topic, parts in found.items() for part in parts]
        if not partitions:
            return KafkaSnapshot()
        async with asyncio.timeout(2 * _ANSWER_WITHIN_MS / 1000):
            beginnings = await self.reader.starts(partitions)
            ends = await self.reader.ends(partitions)
        return KafkaSnapshot(beginnings, ends, await self._acked(partitions))

    async def _acked(self, partitions: Sequence[TopicPartition]) -> dict[Partition, int] | None:
        of_events = [partition for partition in partitions if partition.topic in self._events]
        try:
            committed = await self._admin.list_consumer_group_offsets(self._group, partitions=of_events)
        except KafkaError:
            # The offsets are only displayed, and the group may have no coordinator yet.
            return None
        return {each: found.offset for each, found in committed.items() if found.offset >= 0}


@dataclass(frozen=True)
class Trouble:
    """The reason why the index can't follow the topics, and the time since when."""

    why: str
    since: datetime


@dataclass(frozen=True)
class IndexState:
    """The progress of the index. `behind` counts the records that it lacked at the last look; None before the first.

    `acked` is the group's committed offset by partition; None if it is unknown.
    """

    behind: int | None = None
    records: int = 0
    trouble: Trouble | None = None
    acked: Mapping[Partition, int] | None = None

    @property
    def caught_up(self) -> bool:
        return self.behind == 0 and self.trouble is None


class Indexer:
    """Keeps *index* up to date with the topics. `state` is its progress."""

    def __init__(self, options: Mapping[str, Any], topics: Topics, group: str, index: Index, clock: Clock) -> None:
        self._options: Final = options
        self._topics: Final = topics
        self._group: Final = group
        self._index: Final = index
        self._clock = clock
        self._trouble: Trouble | None = None
        self._snapshot: KafkaSnapshot | None = None
        self._next_look = 0.0
        self._reached: dict[Partition, Reached] = {}
        # The rows that are read and not stored yet, and the range that they extend each partition's to.
        self._rows, self._ahead = Rows(), dict[Partition, Reached]()
        # Partitions whose next record read must be the last one indexed; otherwise the topic was recreated.
        self._unproven: set[Partition] = set()
        self._beyond: set[str] = set()

    @property
    def state(self) -> IndexState:
        records = sum(reached.next - reached.first for reached in self._reached.values())
        if self._snapshot is None:
            return IndexState(None, records, self._trouble)
        behind = self._behind({partition: reached.next for partition, reached in self._reached.items()})
        # During trouble, the committed offsets of the last look may be out of date.
        return IndexState(behind, records, self._trouble, None if self._trouble else self._snapshot.acked)

    async def follow(self) -> NoReturn:
        """Follow the topics until cancelled. It retries during outages of Kafka, and rebuilds a damaged file."""
        while True:
            topics = FollowedTopics(self._options, self._topics, self._group)
            try:
                await self._open()
                await topics.start()
                while self._index.is_there:
                    await self._follow_some(topics)
            except TROUBLES as error:
                await self._wait_out(error)
            finally:
                await topics.stop()

    async def _open(self) -> None:
        self._drop()
        await asyncio.to_thread(self._index.open)
        self._reached = await asyncio.to_thread(self._index.reached)
        self._unproven = {partition for partition, reached in self._reached.items() if reached.next > reached.first}
        self._next_look = 0.0

    async def _follow_some(self, topics: FollowedTopics) -> None:
        if self._clock.monotonic() >= self._next_look:
            await self._look_around(topics)
            self._next_look = self._clock.monotonic() + LOOK_EVERY_S
            self._trouble = None
        if not topics.reader.positions:
            await self._clock.sleep(LOOK_EVERY_S)
            return
        try:
            batches, positions = await topics.reader.fetch()
        except OffsetOutOfRangeError:
            # Kafka has deleted the next record, or the topic was recreated.
            topics.reader.positions.clear()
            self._next_look = 0.0
            await self._clock.sleep(AGAIN_S)
            return
        topics.reader.positions |= positions
        if batches:
            await self._take_in(batches, positions)
        if not batches or len(self._rows) >= MOST_ROWS or not self._behind(topics.reader.positions):
            await self._store()

    async def _look_around(self, topics: FollowedTopics) -> None:
        """Compare the topics with the index, and position the reader where the index ends."""
        await self._store()
        snapshot = await topics.look()
        known, existing = {topic for topic, _ in self._reached}, {topic for topic, _ in snapshot.ends}
        await self._forget_topics(known - existing, "deleted")
        beyond = {
            topic for (topic, number), end in snapshot.ends.items() if self._reached_of((topic, number)).next > end
        }
        # The topic must be beyond its end at two looks in a row: a new leader may report an end that is out of date.
        await self._forget_topics(beyond & self._beyond, "made anew")
        self._beyond = beyond - self._beyond
        await self._forget_deleted_records(snapshot)
        self._snapshot = snapshot
        self._assign(topics, snapshot)

    async def _forget_topics(self, names: set[str], why: str) -> None:
        for topic in sorted(names):
            log.warning("index.topic_forgotten", topic=topic, why=why)
            await asyncio.to_thread(self._index.forget_topic, topic)
            self._reached = {each: reached for each, reached in self._reached.items() if each[0] != topic}
            self._unproven = {each for each in self._unproven if each[0] != topic}

    async def _forget_deleted_records(self, snapshot: KafkaSnapshot) -> None:
        moved = {each: first for each, first in snapshot.beginnings.items() if first > self._reached_of(each).first}
        if not moved:
            return
        await asyncio.to_thread(self._index.forget, moved)
        for partition, first in moved.items():
            reached = self._reached_of(partition)
            self._reached[partition] = Reached(first, max(first, reached.next), reached.last_ms)
            if reached.next <= first:
                self._unproven.discard(partition)

    def _assign(self, topics: FollowedTopics, snapshot: KafkaSnapshot) -> None:
        wanted = {each: self._reached_of(each).next - (each in self._unproven) for each in snapshot.ends}
        topics.reader.assign(wanted)
        positions = topics.reader.positions
        topics.reader.seek({each: position for each, position in wanted.items() if positions.get(each) != position})

    async def _take_in(self, batches: Batches, positions: Positions) -> None:
        others = {each.topic for each, records in batches.items() if self._is_another(each, records)}
        if others:
            self._drop()
            await self._forget_topics(others, "another of the same name")
            self._next_look = 0.0
            return
        for each, records in batches.items():
            # Records that were read ahead may have been deleted since: the range never begins before `first`.
            first = self._reached_of(each).first
            self._ahead[each] = Reached(first, max(first, positions[each]), records[-1].timestamp)
        self._rows.extend(await asyncio.to_thread(rows_of, chain.from_iterable(batches.values()), self._topics))

    async def _store(self) -> None:
        """Write the rows that were read into the index."""
        if self._ahead:
            await asyncio.to_thread(self._index.add, self._rows, self._ahead)
            self._unproven -= self._ahead.keys()
            self._reached |= self._ahead
            self._drop()

    def _drop(self) -> None:
        self._rows, self._ahead = Rows(), dict[Partition, Reached]()

    def _is_another(self, partition: Partition, records: Sequence[Any]) -> bool:
        """Return whether a topic was recreated: the timestamp of its last indexed record differs."""
        if partition not in self._unproven or not records:
            return False
        known, first = self._reached[partition], records[0]
        return bool(first.offset == known.next - 1 and first.timestamp != known.last_ms)

    async def _wait_out(self, error: Exception) -> None:
        if self._trouble is None:
            self._trouble = Trouble(_words(error), self._clock.now())
            log.warning("index.not_followed", error=type(error).__name__)
        if isinstance(error, sqlite3.Error) and is_damage(error):
            log.warning("index.damaged")
            await asyncio.to_thread(self._index.delete)
        await self._clock.sleep(AGAIN_S)

    def _behind(self, positions: Mapping[Partition, int]) -> int:
        """Return how many records of the last look come after these positions."""
        ends = self._snapshot.ends if self._snapshot is not None else {}
        return sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())

    def _reached_of(self, partition: Partition) -> Reached:
        return self._reached.get(partition, Reached())


def _words(error: Exception) -> str:
    if isinstance(error, KafkaError | TimeoutError | ConnectionError):
        return f"Kafka can't be read ({type(error).__name__})"
    return f"its file can't be used ({type(error).__name__}: {error})"
