"""Lag: how many events the whole group has not acked, per topic, as Kafka tells it."""

from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

READ_TIMEOUT_S: Final = 5.0


class UnequalPartitions(ValueError):
    """The topics have different partition counts: one contact's events would go to different workers."""


class Lag:
    """Reads offsets of the topics' ends and of the group's commits; joins no group."""

    def __init__(self, options: dict[str, Any], group: str, topics: Sequence[str]) -> None:
        self._admin = AIOKafkaAdminClient(**options, request_timeout_ms=int(READ_TIMEOUT_S * 1000))
        self._ends = AIOKafkaConsumer(**options, request_timeout_ms=int(READ_TIMEOUT_S * 1000))
        self._group: Final = group
        self.topics: Final = topics
        self._partitions: list[TopicPartition] = []
        self.by_topic: dict[str, int] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaError when no broker answers."""
        await self._admin.start()
        await self._ends.start()

    async def stop(self) -> None:
        await self._ends.stop()
        await self._admin.close()

    @property
    def partition_count(self) -> int:
        """How many partitions the topics have, all together."""
        return len(self._partitions)

    async def missing_topics(self) -> list[str]:
        """Return the topics that do not exist yet. Raises UnequalPartitions."""
        described = await self._admin.describe_topics(list(self.topics))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
            raise UnequalPartitions(f"the topics need equal partition counts, but {listed}")
        self._partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        return [topic for topic in self.topics if topic not in counts]

    async def read(self) -> dict[str, int]:
        """Return the lag by topic, and keep it in `by_topic`. Raises KafkaError when Kafka does not answer."""
        ends = await self._ends.end_offsets(self._partitions)
        starts = await self._ends.beginning_offsets(self._partitions)
        committed = await self._admin.list_consumer_group_offsets(self._group, partitions=self._partitions)
        lag = dict.fromkeys(self.topics, 0)
        for partition, end in ends.items():
            commit = committed[partition].offset if partition in committed else -1
            lag[partition.topic] += end - (commit if commit >= 0 else starts[partition])
        self.by_topic = lag
        return lag
