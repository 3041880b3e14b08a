"""The readers of the dead letters' topic: of all its records, or of some of them, without a group."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import TopicPartition

from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.kafka.topic_reader import Progress, TopicReader
from runtime.kafka.topics import partitions_of

# Limit of one fetch response in bytes; a single dead letter may be that large.
MOST_BYTES: Final = 8 * 1024 * 1024
# Distance in records from which a seek is faster: it takes as long as reading some hundred unneeded records.
FAR: Final = 500


async def all_records(options: Mapping[str, Any], topic: str, progress: Progress) -> AsyncIterator[Any]:
    """Yield aiokafka's present records, in the order of each partition. Raises KafkaError and TopicsMissing."""
    async with _opened(options, topic) as (reader, partitions):
        reader.read_from(await reader.starts(partitions))
        async for record in reader.records_to(await reader.ends(partitions), progress):
            yield record


async def records_at(options: Mapping[str, Any], topic: str, places: Iterable[tuple[int, int]]) -> AsyncIterator[Any]:
    """Yield the records at these partitions and offsets, without deleted ones. Raises KafkaError and TopicsMissing."""
    offsets = defaultdict[int, list[int]](list)
    for number, offset in places:
        offsets[number].append(offset)
    async with _opened(options, topic) as (reader, partitions):
        ends = await reader.ends(partitions)
        for partition in partitions:
            wanted = sorted(set(offsets[partition.partition]), reverse=True)
            async for record in _of_partition(reader, partition, wanted, ends[partition]):
                yield record


@asynccontextmanager
async def _opened(
    options: Mapping[str, Any], topic: str
) -> AsyncIterator[tuple[TopicReader, Sequence[TopicPartition]]]:
    partitions = await partitions_of(options, [topic])
    if not partitions:
        raise TopicsMissing(f"no dead letters' topic {topic}: run `python -m producer topics`")
    reader = TopicReader(options, fetch_max_bytes=MOST_BYTES)
    try:
        await reader.start()
        yield reader, partitions
    finally:
        await reader.stop()


async def _of_partition(
    reader: TopicReader, partition: TopicPartition, wanted: list[int], end: int
) -> AsyncIterator[Any]:
    """Yield the records at the offsets *wanted*, which are in descending order."""
    position = -FAR
    while wanted and position < end:
        if wanted[-1] - position >= FAR:
            reader.read_from({partition: wanted[-1]})
        batches, positions = await reader.fetch()
        for record in batches.get(partition, ()):
            if wanted and record.offset == wanted[-1]:
                wanted.pop()
                yield record
        position = positions[partition]
        while wanted and wanted[-1] < position:
            wanted.pop()
