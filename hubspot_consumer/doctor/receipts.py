"""Comparison of acked events with their receipts: one without a receipt may never have been delivered."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from aiokafka import TopicPartition

from runtime.kafka.topic_reader import TopicReader
from schemas.envelope import Headers
from schemas.texts import read_json
from schemas.times import moment_of

# Only the newest receipts are compared: reading this many takes a second.
MOST_RECEIPTS: Final = 50_000
# Tolerated clock difference between the workers and the brokers.
CLOCKS_AGREE: Final = timedelta(seconds=60)
# Limit for offsets without a receipt to look at: per partition, and the number after which no further partition is
# read. A topic that keeps its records for ever can have very many of them.
MOST_LOOKED_AT: Final = 5_000


@dataclass(frozen=True)
class ReceiptsComparison:
    """The number of compared acked events, the time from which they are compared (None: all), those without a receipt,
    and the number of records in the place of receipts that nobody can read.
    """

    compared: int
    since: datetime | None
    missing: Sequence[str]
    unreadable: int = 0


@dataclass
class _Receipts:
    """The places and the event ids in receipts, and the number of records that are none."""

    places: set[tuple[str, int, int]] = field(default_factory=set)
    event_ids: set[str] = field(default_factory=set)
    unreadable: int = 0

    def add(self, value: bytes | None) -> None:
        """Add a record's value. A receipt of another version needs no more than its place."""
        receipt: Any = None
        with suppress(ValueError):
            receipt = read_json(value or b"")
        match receipt:
            case {"topic": str(topic), "partition": int(partition), "offset": int(offset)}:
                self.places.add((topic, partition, offset))
            case _:
                self.unreadable += 1
                return
        if isinstance(event_id := receipt.get("event_id"), str) and event_id:
            self.event_ids.add(event_id)


async def compare(
    reader: TopicReader, committed: Mapping[TopicPartition, int], deliveries: Sequence[TopicPartition]
) -> ReceiptsComparison:
    """Compare the events below the offsets *committed* with the newest receipts. Raises KafkaError."""
    receipts, since = await _read(reader, deliveries)
    starts = await reader.starts(list(committed))
    if since is not None:
        # A receipt is younger than its record, so the receipts of all records from this time on were read.
        starts = await reader.since(since + CLOCKS_AGREE, list(committed))
    compared, suspects, looked_at = 0, list[str](), 0
    for partition, end in committed.items():
        offsets = range(starts[partition], end)
        compared += len(offsets)
        if looked_at >= MOST_LOOKED_AT:
            continue
        without = [*islice((at for at in offsets if (*partition, at) not in receipts.places), MOST_LOOKED_AT)]
        if without:
            suspects += await _records(reader, partition, without, receipts.event_ids)
            looked_at += len(without)
    return ReceiptsComparison(compared, since, suspects, receipts.unreadable)


async def _read(reader: TopicReader, partitions: Sequence[TopicPartition]) -> tuple[_Receipts, datetime | None]:
    """Return the newest receipts, and the time from which these are complete."""
    starts, ends = await reader.starts(partitions), await reader.ends(partitions)
    receipts, whole, since = _Receipts(), True, list[datetime]()
    for partition in partitions:
        start = max(starts[partition], ends[partition] - MOST_RECEIPTS)
        # Receipts before the first one that is read are unknown, so events of that time can't be judged.
        whole = whole and start == 0
        async for record in _from(reader, partition, start, ends[partition]):
            if record.offset == start:
                since.append(moment_of(record.timestamp / 1000))
            receipts.add(record.value)
    return receipts, None if whole else max(since, default=datetime.now(UTC))


async def _records(
    reader: TopicReader, partition: TopicPartition, offsets: Sequence[int], event_ids: set[str]
) -> list[str]:
    """Return the places among *offsets* at which Kafka has a record whose event left no receipt for another record
    either.
    """
    wanted, found = set(offsets), list[str]()
    async for one in _from(reader, partition, offsets[0], offsets[-1] + 1):
        if one.offset in wanted and Headers.decode(one.headers).id not in event_ids:
            found.append(f"{partition.topic}-{partition.partition}-{one.offset}")
    return found


def _from(reader: TopicReader, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
    reader.read_from({partition: start})
    return reader.records_to({partition: end})
