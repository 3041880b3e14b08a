"""The topics that the index is made of, as they are on Kafka now: their partitions, and where these begin and end."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
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
# What is read ahead; one record may have as much.
MOST_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class KafkaSnapshot:
    """What was there at one moment. `acked` is the first record of each partition that the group has not acked.

    It lacks partitions of which the group has acked nothing, and is None where nobody could say.
    """

    beginnings: Mapping[Partition, int] = field(default_factory=dict)
    ends: Mapping[Partition, int] = field(default_factory=dict)
    missing: Collection[str] = ()
    acked: Mapping[Partition, int] | None = None


class FollowedTopics:
    """Two clients of Kafka, in no group: one reads, the other looks."""

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
        """Return what is there now. Raises KafkaError."""
        found = await look(self._admin, self._names)
        missing = [name for name in self._names if name not in found]
        partitions = [TopicPartition(topic, part["partition"]) for topic, parts in found.items() for part in parts]
        if not partitions:
            return KafkaSnapshot(missing=missing)
        async with asyncio.timeout(2 * _ANSWER_WITHIN_MS / 1000):
            beginnings = await self.reader.starts(partitions)
            ends = await self.reader.ends(partitions)
        return KafkaSnapshot(_plain(beginnings), _plain(ends), missing, await self._acked(partitions))

    async def _acked(self, partitions: Sequence[TopicPartition]) -> dict[Partition, int] | None:
        of_events = [partition for partition in partitions if partition.topic in self._events]
        try:
            committed = await self._admin.list_consumer_group_offsets(self._group, partitions=of_events)
        except KafkaError:
            # It is for words alone, and the group may have no coordinator yet.
            return None
        return {(each.topic, each.partition): told.offset for each, told in committed.items() if told.offset >= 0}


def _plain(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {(each.topic, each.partition): offset for each, offset in offsets.items()}
