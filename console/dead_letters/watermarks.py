"""The reach of topics: where their partitions begin and end now, which tells whether anything was added or deleted."""

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from runtime.kafka.topics import look

Reach = Mapping[tuple[str, int], tuple[int, int]]
"""The first record of each partition, and where the next one goes."""


async def reach_of(options: Mapping[str, Any], names: Collection[str]) -> Reach:
    """Return it; a topic that is missing has none. Raises KafkaError."""
    partitions = await _partitions(options, names)
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    try:
        await consumer.start()
        beginnings, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return {(each.topic, each.partition): (beginnings[each], ends[each]) for each in partitions}


async def _partitions(options: Mapping[str, Any], names: Collection[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(**options)
    try:
        await admin.start()
        found = await look(admin, names)
    finally:
        await admin.close()
    return [TopicPartition(topic, part["partition"]) for topic, parts in found.items() for part in parts]
