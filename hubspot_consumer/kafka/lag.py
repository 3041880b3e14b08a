"""Lag: how many events the whole group has not acked, per topic, by Kafka's offsets."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from hubspot_consumer.kafka.group import unread_records
from hubspot_consumer.kafka.group_refusals import why_refused
from runtime.endings import CannotGoOn
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import UnequalPartitions, equal_partitions, look, partition_of
from schemas.contacts import ContactKey

READ_TIMEOUT_S: Final = 5.0
# With more unfinished records a search for those of one contact would take longer than their delivery is waited for.
MOST_SEARCHED: Final = 5_000


class Lag:
    """Reads the end offsets of the topics and the committed offsets of the group, without joining it."""

    def __init__(self, options: dict[str, Any], group: str, topics: Sequence[str]) -> None:
        self._admin = AIOKafkaAdminClient(**options, request_timeout_ms=int(READ_TIMEOUT_S * 1000))
        self._options: Final = options
        self._reader = TopicReader(options, request_timeout_ms=int(READ_TIMEOUT_S * 1000))
        self._group: Final = group
        self.topics: Final = topics
        # The partitions whose numbers all topics have, as of the last `require_topics`.
        self.partitions: Sequence[TopicPartition] = []
        self._by_partition: Mapping[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self.by_topic: dict[str, int] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaError when no broker answers."""
        await self._admin.start()
        await self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()
        await self._admin.close()

    async def require_topics(self) -> None:
        """Check that all topics exist, and count their partitions. Raises TopicsMissing, UnequalPartitions, KafkaError.

        With unequal counts, `partitions` has those numbers that all topics have.
        """
        found = await look(self._admin, self.topics)
        if missing := [topic for topic in self.topics if topic not in found]:
            raise TopicsMissing(f"no such topic: {', '.join(missing)}: run `python -m producer topics`")
        counts = {topic: len(found[topic]) for topic in self.topics}
        numbers = range(min(counts.values()))
        self.partitions = [TopicPartition(topic, number) for topic in self.topics for number in numbers]
        equal_partitions(counts)

    async def fault_of_topics(self) -> str | None:
        """Count the partitions; return what is wrong with the topics, or None. Raises KafkaError."""
        try:
            await self.require_topics()
        except TopicsMissing as error:
            return str(error)
        except UnequalPartitions as error:
            return f"{error}: add partitions to those with fewer. The added ones are read when the counts are equal"
        return None

    async def forgotten(self, receipts: str | None) -> Sequence[TopicPartition]:
        """Return the partitions with records whose offset of the group Kafka has lost. Raises KafkaError.

        *receipts* is the topic of the group's receipts, None if it leaves none.
        """
        found = await look(self._admin, [receipts]) if receipts else {}
        of_receipts = [TopicPartition(topic, one["partition"]) for topic in found for one in found[topic]]
        return (await unread_records(self._admin, self._reader, self._group, self.partitions, of_receipts)).forgotten

    async def why_not_joined(self, error: Exception) -> str:
        """Return why a worker is no member of the group, as the *error* of its coordinator says."""
        return await why_refused(self._admin, self._group, error)

    async def unfinished(self, partitions: Collection[TopicPartition] | None = None) -> Mapping[TopicPartition, int]:
        """Return the offset of the first event that the group has not acked, by partition. Raises KafkaError.

        It covers all partitions, or only *partitions*.
        """
        asked = self.partitions if partitions is None else list(partitions)
        return await first_unfinished(self._admin, self._reader, self._group, asked)

    def number_of(self, key: ContactKey) -> int:
        """Return the partition number of a contact's events, which is the same in all topics."""
        return partition_of(key, len(self.partitions) // len(self.topics))

    async def partitions_of(self, keys: Collection[ContactKey]) -> list[TopicPartition]:
        """Return the partitions that may have events of these contacts. Raises KafkaError.

        These are all partitions if the first records of one show that partitions were added after they were stored.
        """
        if await self._were_added():
            return list(self.partitions)
        numbers = {self.number_of(key) for key in keys}
        return [partition for partition in self.partitions if partition.partition in numbers]

    async def _were_added(self) -> bool:
        """Return whether the first batch of a partition has a record whose key has another partition by now."""
        # Kafka returns a whole batch, however few bytes are asked for.
        async with TopicReader(self._options, max_partition_fetch_bytes=1) as reader:
            starts, ends = await reader.starts(self.partitions), await reader.ends(self.partitions)
            unread = {partition: start for partition, start in starts.items() if start < ends[partition]}
            while unread:
                reader.read_from(unread)
                batches, positions = await reader.fetch()
                for partition, records in batches.items():
                    keys = {ContactKey((record.key or b"").decode(errors="replace")) for record in records}
                    if any(self.number_of(key) != partition.partition for key in keys):
                        return True
                unread = {one: start for one, start in unread.items() if positions.get(one, start) <= start}
        return False

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return the present end offsets of all partitions. Raises KafkaError."""
        return await self._reader.ends(self.partitions)

    async def ends_of(self, number: int) -> Mapping[TopicPartition, int]:
        """Return the present end offsets of the partitions with that number. Raises KafkaError."""
        return await self._reader.ends([partition for partition in self.partitions if partition.partition == number])

    async def ends_of_contact(
        self, key: ContactKey, ends: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int] | None:
        """Return the offsets after a contact's last events before *ends* in the partitions where any is unfinished.

        Returns None where too much is unfinished to search it. Raises KafkaError, and TimeoutError.
        """
        unfinished = await self.unfinished(ends)
        starts = {partition: start for partition, start in unfinished.items() if start < ends[partition]}
        if sum(ends[partition] - start for partition, start in starts.items()) > MOST_SEARCHED:
            return None
        found: dict[TopicPartition, int] = {}
        if starts:
            async with asyncio.timeout(READ_TIMEOUT_S), TopicReader(self._options) as reader:
                reader.read_from(starts)
                async for record in reader.records_to({partition: ends[partition] for partition in starts}):
                    if record.key == key.encode():
                        found[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return found

    async def finished(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Return whether the group has acked everything before *ends*. Raises KafkaError."""
        unfinished = await self.unfinished(ends) if ends else {}
        return all(end <= unfinished[partition] for partition, end in ends.items())

    async def read(self) -> dict[str, int]:
        """Return the lag by topic, and store it in `by_topic`. Raises KafkaError when Kafka does not answer."""
        ends = self._ends = await self.ends()
        unfinished = await self.unfinished()
        lags = self._by_partition = {partition: end - unfinished[partition] for partition, end in ends.items()}
        self.by_topic = {topic: sum(lag for one, lag in lags.items() if one.topic == topic) for topic in self.topics}
        return self.by_topic

    @property
    def written(self) -> int:
        """The sum of all end offsets as of the last `read`: roughly, how many records were ever written."""
        return sum(self._ends.values())

    def end_of(self, topic: str, number: int) -> int | None:
        """Return the end offset of a partition as of the last `read`, None before the first."""
        return self._ends.get(TopicPartition(topic, number))

    def of(self, topic: str, number: int) -> int | None:
        """Return the lag of a partition as of the last `read`, None before the first."""
        return self._by_partition.get(TopicPartition(topic, number))


async def first_unfinished(
    admin: AIOKafkaAdminClient, reader: TopicReader, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return the offset of the first event that the group has not acked, by partition. Raises KafkaError."""
    starts = await reader.starts(partitions)
    committed = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    # Records that Kafka has deleted can't be read any more, and are no lag.
    return {
        partition: max(start, committed[partition].offset if partition in committed else -1)
        for partition, start in starts.items()
    }


class TopicsMissing(CannotGoOn):
    """The topics whose events are to be reprocessed do not exist."""
