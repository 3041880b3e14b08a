"""The low and high watermarks of topics: a change shows that records were added or deleted."""

from collections.abc import Collection, Mapping
from typing import Any

from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import partitions_of

Reach = Mapping[tuple[str, int], tuple[int, int]]
"""The low watermark (first offset) and the high watermark (next offset) of each partition."""


async def reach_of(options: Mapping[str, Any], names: Collection[str]) -> Reach:
    """Return the watermarks of the topics *names*; a missing topic has no entries. Raises KafkaError."""
    partitions = await partitions_of(options, names)
    reader = TopicReader(options)
    try:
        await reader.start()
        beginnings, ends = await reader.starts(partitions), await reader.ends(partitions)
    finally:
        await reader.stop()
    return {(each.topic, each.partition): (beginnings[each], ends[each]) for each in partitions}
