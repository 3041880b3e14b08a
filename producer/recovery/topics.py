"""Topics, read from their first record to their end: the outbox's, and the list of suppressed contacts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiokafka import TopicPartition

from runtime.endings import CannotGoOn
from runtime.kafka.topic_reader import Batches, Positions, Progress, TopicReader
from runtime.kafka.topics import partitions_of
from schemas.times import moment_of
from schemas.topics import Topics

NOTHING_FOR_S: Final = 60.0


@dataclass
class Reading:
    """How many records of how many partitions were read.

    `cut_off` has the partitions whose first records retention has deleted, and `since` the time from which all records
    of these are there, None if they are empty.
    """

    partitions: int
    cut_off: list[TopicPartition]
    records: int = 0
    since: datetime | None = None


async def read_topics(
    options: Mapping[str, Any], topics: Sequence[str], take: Callable[[Any], object], progress: Progress
) -> Reading:
    """Pass every record that the topics have now, one of aiokafka's, to *take*.

    Raises KafkaError, and CannotGoOn if a topic is missing or was not read to its end.
    """
    partitions = await partitions_of(options, topics)
    if missing := set(topics).difference(one.topic for one in partitions):
        raise CannotGoOn(
            f"there is no topic {', '.join(sorted(missing))}: check KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPIC_PREFIX. If"
            " the topics were deleted, nothing is left to recover from"
        )
    async with TopicReader(options) as reader:
        starts = await reader.starts(partitions)
        reader.read_from(starts)
        reading = Reading(len(partitions), sorted(one for one, start in starts.items() if start))
        await _read_all(reader, reading, take, progress)
    return reading


async def read_suppressions(options: Mapping[str, Any], topics: Topics) -> set[str] | None:
    """Return the record keys of the suppressed contacts; None without the topic. Raises as `read_topics` does."""
    suppressions = set[str]()

    def take(record: Any) -> None:
        name = (record.key or b"").decode(errors="replace")
        (suppressions.discard if record.value is None else suppressions.add)(name)

    if not await partitions_of(options, [topics.suppressions]):
        return None
    await read_topics(options, [topics.suppressions], take, lambda _done, _total: None)
    return suppressions


async def _read_all(reader: TopicReader, reading: Reading, take: Callable[[Any], object], progress: Progress) -> None:
    ends = await reader.ends(list(reader.positions))
    loop, furthest, first_times = asyncio.get_running_loop(), -1, dict[TopicPartition, int]()

    def take_in(batches: Batches, _positions: Positions) -> None:
        for partition, records in batches.items():
            for record in records:
                first_times.setdefault(partition, record.timestamp)
                take(record)
            reading.records += len(records)

    def told(done: int, total: int) -> None:
        nonlocal furthest
        if done > furthest:
            furthest = done
            limit.reschedule(loop.time() + NOTHING_FOR_S)
        progress(done, total)

    try:
        async with asyncio.timeout(NOTHING_FOR_S) as limit:
            await reader.read_to(ends, take_in, told)
    except TimeoutError:
        behind = ", ".join(f"{one.topic}-{one.partition}" for one in ends if reader.positions[one] < ends[one])
        raise CannotGoOn(
            f"Kafka gave no record for {NOTHING_FOR_S:g} s. These were not read to their ends: {behind}. Nothing was"
            " written; check their leaders, and run the command again"
        ) from None
    if times := [first_times[one] for one in reading.cut_off if one in first_times]:
        reading.since = moment_of(max(times) / 1000)
