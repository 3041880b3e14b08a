"""The reader of dead letters and resolutions: at each reading, it reads what has come to the topics since the last."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from hubspot_consumer.dead_letters.assembly import Assembly, Change
from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.kafka.topic_reader import Batches, Progress, TopicReader
from runtime.kafka.topics import look
from schemas.topics import Topics

# Limit of one fetch response in bytes; a single dead letter may be that large.
MOST_BYTES: Final = 8 * 1024 * 1024
# How long Kafka may wait for a record before it answers a fetch. The next reading would have to wait for that answer.
KAFKA_WAITS_MS: Final = 10


class TopicMadeAnew(Exception):
    """A topic was deleted and created again: what was read of it is no longer there."""


class DeadLetterReader:
    """Reads both topics into `assembly`, without a group, and keeps its connections until it is stopped."""

    def __init__(self, options: Mapping[str, Any], topics: Topics) -> None:
        self.assembly: Final = Assembly(topics)
        self._topics: Final = topics
        self._admin: Final = AIOKafkaAdminClient(**options)
        self._reader: Final = TopicReader(options, fetch_max_bytes=MOST_BYTES, fetch_max_wait_ms=KAFKA_WAITS_MS)
        self._positions: dict[TopicPartition, int] = {}
        # Offset and timestamp of each partition's last record, which is read again to see that the topic is the same.
        self._last: dict[TopicPartition, tuple[int, int]] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._admin.start()
        await self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()
        await self._admin.close()

    async def catch_up(self, progress: Progress | None = None) -> list[Change]:
        """Read the topics to their present end. Raises KafkaError, TopicsMissing and TopicMadeAnew."""
        names = (self._topics.dead_letters, self._topics.resolutions)
        found = await look(self._admin, names)
        if self._topics.dead_letters not in found:
            raise TopicsMissing(f"no dead letters' topic {names[0]}: run `python -m producer topics`")
        there = [[TopicPartition(name, one["partition"]) for one in found.get(name, ())] for name in names]
        if not self._positions.keys() <= {each for partitions in there for each in partitions}:
            raise TopicMadeAnew
        # Resolutions are read after the dead letters, so that those resolved meanwhile are not listed as open.
        for partition, first in (await self._read(there[0], self.assembly.set_aside, progress)).items():
            self.assembly.forget(partition.partition, first)
        await self._read(there[1], self.assembly.resolve)
        return await asyncio.to_thread(self.assembly.changes)

    async def _read(
        self,
        partitions: Sequence[TopicPartition],
        take_in: Callable[[Any], None],
        progress: Progress | None = None,
    ) -> Mapping[TopicPartition, int]:
        """Read *partitions* to their ends, and return their first offsets."""
        if not partitions:
            return {}
        starts, ends = await self._reader.starts(partitions), await self._reader.ends(partitions)
        at = {one: max(starts[one], self._positions.get(one, 0)) for one in partitions}
        if any(position > ends[one] for one, position in at.items()):
            raise TopicMadeAnew
        behind = [one for one in partitions if at[one] < ends[one]]
        total, done = sum(ends[one] - at[one] for one in behind), 0
        self._reader.read_from({one: max(starts[one], self._last.get(one, (at[one], 0))[0]) for one in behind})
        try:
            while any(self._reader.positions[one] < ends[one] for one in behind):
                batches, positions = await self._reader.fetch()
                new = self._new(batches)
                await asyncio.to_thread(_each, take_in, new)
                self._reader.positions |= positions
                done += sum(map(len, new.values()))
                if progress is not None:
                    progress(min(done, total), total)
            self._positions |= at | self._reader.positions
        finally:
            # aiokafka would go on fetching what nobody asks for.
            self._reader.assign([])
        return starts

    def _new(self, batches: Batches) -> Batches:
        """Return the records of *batches* that were not read before. Raises TopicMadeAnew."""
        new = dict[TopicPartition, Sequence[Any]]()
        for partition, records in batches.items():
            last, first = self._last.get(partition), records[0]
            again = last is not None and first.offset <= last[0]
            if again and (first.offset, first.timestamp) != last:
                raise TopicMadeAnew
            self._last[partition] = (records[-1].offset, records[-1].timestamp)
            new[partition] = records[1:] if again else records
        return new


def _each(take_in: Callable[[Any], None], batches: Batches) -> None:
    for records in batches.values():
        for record in records:
            take_in(record)
