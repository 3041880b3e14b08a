"""Gaps: where records that Kafka stores do not come, their partition is read again.

Offsets without a record, between two records, are no gap: `positions` has the offset that each record follows.
"""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Gap, Positions
from hubspot_consumer.kafka.records import Partition, Record
from runtime.health import Health
from runtime.logs import log

PART: Final = "reading"
# The lag is read every 5 s, so a stalled partition is unwell within a minute; a pause of this process adds no looks.
LOOKS: Final = 6


class Reader(Protocol):
    """The worker, as far as it reads."""

    @property
    def assigned(self) -> Collection[Partition]:
        """The assigned partitions."""

    @property
    def paused(self) -> Collection[Partition]:
        """The partitions from which nothing is fetched."""

    async def seek_back(self, partition: Partition) -> None:
        """Fetch a partition again, from the next record to be read."""


class Gaps:
    """Checks whether each record is the next of its partition, and finds stalled partitions.

    *waited* returns whether reading waited for room since its last call.
    """

    def __init__(
        self, *, offsets: Offsets, positions: Positions, lag: Lag, health: Health, waited: Callable[[], bool]
    ) -> None:
        self._offsets = offsets
        self._positions = positions
        self._lag = lag
        self._health = health
        self._waited = waited
        # By partition: the offset to be read next, and for how many looks it has stayed the same.
        self._looks: dict[Partition, tuple[int | None, int]] = {}

    async def is_next(self, record: Record, reader: Reader) -> bool:
        """Return whether a record is the next of its partition; if it comes too early, read the partition again."""
        partition, follows = record.topic_partition, self._positions.follows(record)
        expected = self._offsets.next_of(partition)
        if expected is not None and record.offset < expected:
            if (start := self._positions.restart_of(partition)) is None:
                return False
            self._offsets.restart(partition, start)
            expected = start
        if expected is None:
            # The record belongs to an assignment that has ended: the partition's next worker reads it again.
            return False
        if follows <= expected:
            return True
        if self._offsets.reread(partition, record.offset):
            await self._again(partition, expected, "lost", reader)
        return False

    async def look(self, reader: Reader) -> None:
        """Check all partitions that are not paused; called each time after the lag was read."""
        if self._waited():
            # Without room nothing is read, so this look does not count; the earlier ones still do.
            return
        read = set(reader.assigned) - set(reader.paused)
        looks = self._looks = {partition: self._look(partition) for partition in read}
        stalled = sorted(partition for partition, (_, looks) in looks.items() if looks >= LOOKS)
        if not stalled:
            self._health.well(PART)
            return
        named = ", ".join(f"{topic}-{number}" for topic, number in stalled[:3])
        more = f" and {len(stalled) - 3} more" if len(stalled) > 3 else ""
        self._health.ill(PART, f"nothing is read of {named}{more}, although there is more: see the log, or restart")
        for partition in stalled:
            expected, looked = looks[partition]
            # A partition without a next offset was not sought yet, and can't be read again.
            if expected is not None and looked % LOOKS == 0:
                await self._again(partition, expected, "stalled", reader)

    def cannot_tell(self) -> None:
        """Reset the counts of looks: without an answer of Kafka, the ends of the partitions are not known."""
        self._looks = {}

    def _look(self, partition: Partition) -> tuple[int | None, int]:
        expected, end = self._offsets.next_of(partition), self._lag.end_of(*partition)
        before, looks = self._looks.get(partition, (expected, 0))
        if end is None or (expected is not None and expected >= end) or expected != before:
            return expected, 0
        return expected, looks + 1

    async def _again(self, partition: Partition, expected: int, why: Gap, reader: Reader) -> None:
        topic, number = partition
        log.error("reading.gap", topic=topic, partition=number, missing=expected, why=why)
        self._positions.count(why)
        await reader.seek_back(partition)
