"""The reader of the dead letters' topic: it reads all records or some of them, without a group."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from aiokafka import TopicPartition

from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.kafka.topic_reader import Progress, TopicReader
from runtime.kafka.topics import partitions_of

# Limit of one fetch response in bytes; a single dead letter may be that large.
MOST_BYTES: Final = 8 * 1024 * 1024
# Distance in records from which a seek is faster: it takes as long as reading some hundred unneeded records.
FAR: Final = 500


class DeadLetterReader:
    """Yields aiokafka's records. Only one iteration may run at a time."""

    def __init__(self, reader: TopicReader, partitions: Sequence[TopicPartition]) -> None:
        self._reader = reader
        self._partitions: Final = partitions

    @classmethod
    @asynccontextmanager
    async def opened(cls, options: Mapping[str, Any], name: str) -> AsyncIterator[Self]:
        """Return a reader that is connected during the context. Raises KafkaError and TopicsMissing."""
        partitions = await partitions_of(options, [name])
        if not partitions:
            raise TopicsMissing(f"no dead letters' topic {name}: run `python -m producer topics`")
        reader = TopicReader(options, fetch_max_bytes=MOST_BYTES)
        try:
            await reader.start()
            yield cls(reader, partitions)
        finally:
            await reader.stop()

    async def records(self, progress: Progress) -> AsyncIterator[Any]:
        """Yield all present records, in the order of each partition. Raises KafkaError."""
        self._reader.read_from(await self._reader.starts(self._partitions))
        async for record in self._reader.records_to(await self._reader.ends(self._partitions), progress):
            yield record

    async def records_at(self, places: Iterable[tuple[int, int]]) -> AsyncIterator[Any]:
        """Yield the records at these partitions and offsets; deleted ones are skipped. Raises KafkaError."""
        offsets = defaultdict[int, list[int]](list)
        for number, offset in places:
            offsets[number].append(offset)
        ends = await self._reader.ends(self._partitions)
        for partition in self._partitions:
            wanted = sorted(set(offsets[partition.partition]), reverse=True)
            async for record in self._of_partition(partition, wanted, ends[partition]):
                yield record

    async def _of_partition(self, partition: TopicPartition, wanted: list[int], end: int) -> AsyncIterator[Any]:
        """Yield the records at the offsets *wanted*, which are in descending order."""
        position = -FAR
        while wanted and position < end:
            if wanted[-1] - position >= FAR:
                self._reader.read_from({partition: wanted[-1]})
            batches, positions = await self._reader.fetch()
            for record in batches.get(partition, ()):
                if wanted and record.offset == wanted[-1]:
                    wanted.pop()
                    yield record
            position = positions[partition]
            while wanted and wanted[-1] < position:
                wanted.pop()
