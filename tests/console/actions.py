"""What people did at the console, as it was noted on the topic `actions`."""

import json
from typing import Any

from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import partitions_of
from tests.pipeline import Pipeline


async def noted(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return all records of the topic, those of one action in their order."""
    kafka = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    partitions = await partitions_of(kafka, [pipeline.topics.actions])
    async with TopicReader(kafka) as reader:
        ends = await reader.ends(partitions)
        reader.read_from(await reader.starts(partitions))
        return [json.loads(record.value) async for record in reader.records_to(ends)]
