"""The catalogue of dead letters: each event that was set aside, listed once, with its resolution."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Final, Self

from aiokafka import TopicPartition

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.dead_letter import (
    Letter,
    LetterFilter,
    SetAside,
    places_of,
)
from hubspot_consumer.dead_letters.reader import MOST_BYTES, DeadLetterReader
from hubspot_consumer.kafka.lag import TopicsMissing
from hubspot_consumer.kafka.records import Place
from runtime.kafka.topic_reader import Progress, TopicReader
from runtime.kafka.topics import partitions_of
from schemas.topics import Topics

OPEN: Final = LetterFilter()
# Distance in records from which a seek is faster: it takes as long as reading some hundred unneeded records.
FAR: Final = 500


class DeadLetterCatalogue:
    """All dead letters at the time of reading, oldest first, without their values, which are read again when needed.

    A million dead letters take about a gigabyte of memory.
    """

    def __init__(self, options: Mapping[str, Any], topics: Topics, letters: Sequence[Letter]) -> None:
        self._options: Final = options
        self._topics: Final = topics
        self.letters: Final = letters

    @classmethod
    async def read(cls, options: Mapping[str, Any], topics: Topics, progress: Progress | None = None) -> Self:
        """Read the topic to its present end, and then the resolutions. Raises KafkaError and TopicsMissing."""
        reader = DeadLetterReader(options, topics)
        try:
            await reader.start()
            await reader.catch_up(progress)
        finally:
            await reader.stop()
        return cls(options, topics, await asyncio.to_thread(lambda: reader.assembly.letters))

    def open(self, which: LetterFilter = OPEN) -> list[Letter]:
        """Return the dead letters that *which* selects: by default, the open ones."""
        return [letter for letter in self.letters if which.takes(letter)]

    def of_id(self, letter_id: str) -> Letter | None:
        """Return the dead letter with that id among its records' ids, or None."""
        return self._by_id.get(letter_id)

    @cached_property
    def _by_id(self) -> Mapping[str, Letter]:
        return {letter_id: letter for letter in self.letters for letter_id in letter.ids}

    def not_in_effect(self) -> frozenset[Place]:
        """Return the records of open and discarded dead letters, whose events did not take effect in HubSpot.

        An event of which only the timeline entry was refused is in effect.
        """
        return places_of(letter for letter in self.letters if not letter.in_effect)

    def reused(self) -> frozenset[Place]:
        """Return all records of the dead letters, open or not, whose sequence another event had."""
        return self._places_of(letter for letter in self.letters if letter.is_reused)

    def places(self) -> frozenset[Place]:
        """Return all records of all dead letters, in whatever state."""
        return self._places_of(self.letters)

    def mends(self) -> Mapping[Place, Correction]:
        """Return corrections by record: the records of the events themselves, and those of their dead letters."""
        return {
            place: letter.mend
            for letter in self.letters
            if letter.mend is not None
            for place in self._all_places(letter)
        }

    def _places_of(self, letters: Iterable[Letter]) -> frozenset[Place]:
        return frozenset(place for letter in letters for place in self._all_places(letter))

    def _all_places(self, letter: Letter) -> Iterator[Place]:
        yield from letter.places
        yield from ((self._topics.dead_letters, one.partition, one.offset) for one in letter.records)

    def records(self, set_aside: Iterable[SetAside]) -> AsyncIterator[tuple[SetAside, Any]]:
        """Return the records of *set_aside*, as `records_of` yields them."""
        return records_of(self._options, self._topics, set_aside)

    async def values(self, letters: Iterable[Letter]) -> AsyncIterator[tuple[Letter, bytes | None]]:
        """Yield the value of each of *letters*, in one pass; None for a record without one. Raises KafkaError."""
        asked = {letter.holder.id: letter for letter in letters}
        async for set_aside, record in self.records(letter.holder for letter in asked.values()):
            yield asked[set_aside.id], record.value


async def records_of(
    options: Mapping[str, Any], topics: Topics, set_aside: Iterable[SetAside]
) -> AsyncIterator[tuple[SetAside, Any]]:
    """Yield aiokafka's record of each of *set_aside*, in one pass, in the order of each partition.

    Records that Kafka has deleted meanwhile are skipped. Raises KafkaError and TopicsMissing.
    """
    asked = {(one.partition, one.offset): one for one in set_aside}
    async for record in _records_at(options, topics.dead_letters, asked):
        yield asked[record.partition, record.offset], record


async def _records_at(options: Mapping[str, Any], topic: str, places: Iterable[tuple[int, int]]) -> AsyncIterator[Any]:
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
    async with TopicReader(options, fetch_max_bytes=MOST_BYTES) as reader:
        yield reader, partitions


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
