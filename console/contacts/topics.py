"""The topics that the index is built from: their partitions, low and high watermarks, and committed offsets."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hubspot_consumer.kafka.records import Partition
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import look
from schemas.topics import Topics

_ANSWER_WITHIN_MS: Final = 5_000
# The most bytes of one fetch; a single record may be as large.
MOST_BYTES: Final = 8 * 1024 * 1024


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
        return KafkaSnapshot(_plain(beginnings), _plain(ends), await self._acked(partitions))

    async def _acked(self, partitions: Sequence[TopicPartition]) -> dict[Partition, int] | None:
        of_events = [partition for partition in partitions if partition.topic in self._events]
        try:
            committed = await self._admin.list_consumer_group_offsets(self._group, partitions=of_events)
        except KafkaError:
            # The offsets are only displayed, and the group may have no coordinator yet.
            return None
        return _plain({each: found.offset for each, found in committed.items() if found.offset >= 0})


def _plain(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {(each.topic, each.partition): offset for each, offset in offsets.items()}
