"""Acknowledged events beside their receipts: one that has none was acknowledged, and may never have been delivered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.envelope import Headers
from schemas.times import moment_of

# The newest are compared: reading these takes a second.
MOST_RECEIPTS: Final = 50_000
# Tolerated clock difference between the workers and the brokers.
CLOCKS_AGREE: Final = timedelta(seconds=60)
RECORDS_AT_ONCE: Final = 5_000
WAIT_MS: Final = 200
# A topic that keeps its records for ever has more offsets without a record than anybody wants to look at.
MOST_LOOKED_AT: Final = 5_000


@dataclass(frozen=True)
class ReceiptsComparison:
    """How many acknowledged events were compared, from which time on (None: all), and which have no receipt."""

    compared: int
    since: datetime | None
    missing: Sequence[str]


@dataclass
class _Receipts:
    places: set[tuple[str, int, int]]
    event_ids: set[str]
    since: datetime | None


async def compare(
    consumer: AIOKafkaConsumer, committed: Mapping[TopicPartition, int], deliveries: Sequence[TopicPartition]
) -> ReceiptsComparison:
    """Compare what was committed before this was called with the newest receipts. Raises KafkaError."""
    receipts = await _read(consumer, deliveries)
    starts: dict[TopicPartition, int] = await consumer.beginning_offsets(list(committed))
    if receipts.since is not None:
        # A record's receipt is younger than the record: those of all records from here on were read.
        at_ms = int((receipts.since + CLOCKS_AGREE).timestamp() * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(committed, at_ms))
        starts = {one: found[one].offset if found.get(one) else committed[one] for one in committed}
    compared, suspects, looked_at = 0, list[str](), 0
    for partition, end in committed.items():
        offsets = range(starts[partition], end)
        compared += len(offsets)
        without = [number for number in offsets if (*partition, number) not in receipts.places]
        if without and looked_at < MOST_LOOKED_AT:
            suspects += await _records(consumer, partition, without[:MOST_LOOKED_AT], receipts.event_ids)
            looked_at += len(without)
    return ReceiptsComparison(compared, receipts.since, suspects)


async def _read(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> _Receipts:
    starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    places, event_ids, whole, since = set[tuple[str, int, int]](), set[str](), True, list[datetime]()
    for partition in partitions:
        start = max(starts[partition], ends[partition] - MOST_RECEIPTS)
        # Receipts that were there before the first that is read: events of that time can't be judged.
        whole = whole and start == 0
        async for record in _from(consumer, partition, start, ends[partition]):
            if record.offset == start:
                since.append(moment_of(record.timestamp / 1000))
            receipt: Mapping[str, Any] = json.loads(record.value)
            places.add((receipt["topic"], receipt["partition"], receipt["offset"]))
            if receipt.get("event_id"):
                event_ids.add(receipt["event_id"])
    return _Receipts(places, event_ids, None if whole else max(since, default=datetime.now(UTC)))


async def _records(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offsets: Sequence[int], event_ids: set[str]
) -> list[str]:
    """Return the places of those offsets at which Kafka holds a record of an event that left no receipt elsewhere."""
    wanted, found = set(offsets), list[str]()
    async for one in _from(consumer, partition, offsets[0], offsets[-1] + 1):
        if one.offset in wanted and Headers.decode(one.headers).id not in event_ids:
            found.append(f"{partition.topic}-{partition.partition}-{one.offset}")
    return found


async def _from(consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int) -> Any:
    consumer.assign([partition])
    consumer.seek(partition, start)
    while await consumer.position(partition) < end:
        found = await consumer.getmany(partition, timeout_ms=WAIT_MS, max_records=RECORDS_AT_ONCE)
        for record in found.get(partition, ()):
            if record.offset < end:
                yield record
