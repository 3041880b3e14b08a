"""The topic of dead letters, read without a group: all of it, or some of its records."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.kafka.topics import partitions_of

RECORDS_AT_ONCE: Final = 2_000
# What is read ahead; one record may have as much.
MOST_BYTES: Final = 8 * 1024 * 1024
WAIT_MS: Final = 500
# To go there takes as long as to read some hundreds that nobody asked for.
FAR: Final = 500

Progress = Callable[[int, int], object]
"""Told how many records were read, and of how many."""


class DeadLettersTopic:
    """Hands out aiokafka's records. One reader at a time."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions: Final = partitions

    @classmethod
    @asynccontextmanager
    async def opened(cls, options: Mapping[str, Any], name: str) -> AsyncIterator[Self]:
        """Connect, meanwhile. Raises KafkaError, and TopicsMissing."""
        partitions = await partitions_of(options, [name])
        if not partitions:
            raise TopicsMissing(f"no dead letters' topic {name}: run `python -m producer topics`")
        consumer = AIOKafkaConsumer(
            **options, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_bytes=MOST_BYTES
        )
        try:
            await consumer.start()
            yield cls(consumer, partitions)
        finally:
            await consumer.stop()

    async def records(self, progress: Progress) -> AsyncIterator[Any]:
        """Yield all that are there now, in the order of each partition. Raises KafkaError."""
        starts = await self._consumer.beginning_offsets(self._partitions)
        ends = await self._consumer.end_offsets(self._partitions)
        self._consumer.assign(self._partitions)
        for partition, start in starts.items():
            self._consumer.seek(partition, start)
        positions, total = dict(starts), sum(ends.values()) - sum(starts.values())
        while unread := [partition for partition, end in ends.items() if positions[partition] < end]:
            found = await self._consumer.getmany(*unread, timeout_ms=WAIT_MS, max_records=RECORDS_AT_ONCE)
            for partition, records in found.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record
            for partition in unread:
                # By its position and not by the last record: a partition may end in records that nobody sees.
                positions[partition] = min(await self._consumer.position(partition), ends[partition])
            progress(sum(positions.values()) - sum(starts.values()), total)

    async def records_at(self, places: Iterable[tuple[int, int]]) -> AsyncIterator[Any]:
        """Yield the records of these partitions and offsets, as far as they are still there. Raises KafkaError."""
        offsets = defaultdict[int, list[int]](list)
        for number, offset in places:
            offsets[number].append(offset)
        ends = await self._consumer.end_offsets(self._partitions)
        for partition in self._partitions:
            wanted = sorted(set(offsets[partition.partition]), reverse=True)
            async for record in self._of_partition(partition, wanted, ends[partition]):
                yield record

    async def _of_partition(self, partition: TopicPartition, wanted: list[int], end: int) -> AsyncIterator[Any]:
        """*wanted* are offsets, the first of them last."""
        self._consumer.assign([partition])
        position = -FAR
        while wanted and position < end:
            if wanted[-1] - position >= FAR:
                self._consumer.seek(partition, wanted[-1])
            found = await self._consumer.getmany(partition, timeout_ms=WAIT_MS, max_records=RECORDS_AT_ONCE)
            for record in found.get(partition, ()):
                if wanted and record.offset == wanted[-1]:
                    wanted.pop()
                    yield record
            position = await self._consumer.position(partition)
            while wanted and wanted[-1] < position:
                wanted.pop()
