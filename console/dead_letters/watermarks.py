"""The reach of topics: where their partitions begin and end now, which tells whether anything was added or deleted."""

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer

from runtime.kafka.topics import partitions_of

Reach = Mapping[tuple[str, int], tuple[int, int]]
"""The first record of each partition, and where the next one goes."""


async def reach_of(options: Mapping[str, Any], names: Collection[str]) -> Reach:
    """Return it; a topic that is missing has none. Raises KafkaError."""
    partitions = await partitions_of(options, names)
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    try:
        await consumer.start()
        beginnings, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return {(each.topic, each.partition): (beginnings[each], ends[each]) for each in partitions}
