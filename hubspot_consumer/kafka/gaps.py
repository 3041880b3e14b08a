"""Gaps: records that are to be read and do not come, and what is done about it: their partition is read again.

Where Kafka holds nothing between two records there is no gap: `positions` knows what the client has read.
"""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Gap, Positions
from hubspot_consumer.kafka.records import Partition, Record
from runtime.health import Health
from runtime.logs import logger

log = logger()

PART: Final = "reading"
# The lag is read every five seconds: a partition is unwell within a minute, and never because this process stood still.
LOOKS: Final = 6


class Reader(Protocol):
    """The worker: it holds partitions, fetches nothing of some of them for now, and can fetch one again."""

    @property
    def assigned(self) -> Collection[Partition]: ...
    @property
    def paused(self) -> Collection[Partition]: ...
    async def seek_back(self, partition: Partition) -> None: ...


class Gaps:
    """Says which record is next, and notices a partition with more to read of which nothing comes.

    *waited* says whether reading waited for room since it was asked last, *count* counts gaps.
    """

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        offsets: Offsets,
        positions: Positions,
        lag: Lag,
        health: Health,
        waited: Callable[[], bool],
        count: Callable[[Gap], None],
    ) -> None:
        self._offsets = offsets
        self._positions = positions
        self._lag = lag
        self._health = health
        self._waited = waited
        self._count = count
        # The offset to be read next, and for how many looks it has been that one.
        self._looks: dict[Partition, tuple[int | None, int]] = {}

    async def is_next(self, record: Record, reader: Reader) -> bool:
        """Return whether a record is the one to be read next. Where it comes too early its partition is read again."""
        partition, follows = (record.topic, record.partition), self._positions.follows(record)
        expected = self._offsets.next_of(partition)
        if expected is not None and record.offset < expected:
            if (start := self._positions.restart_of(partition)) is None:
                return False
            self._offsets.restart(partition, start)
            expected = start
        if expected is None:
            # The record belongs to an assignment that has ended: whoever holds the partition next reads it again.
            return False
        if follows <= expected:
            return True
        if self._offsets.reread(partition, record.offset):
            await self._again(partition, expected, "lost", reader)
        return False

    async def look(self, reader: Reader) -> None:
        """Take how things stand, after the lag was read."""
        if self._waited():
            # Nothing is fetched for want of room. What was counted before still counts.
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
            # A partition that is not sought yet has nowhere to go back to.
            if expected is not None and looked % LOOKS == 0:
                await self._again(partition, expected, "stalled", reader)

    def cannot_tell(self) -> None:
        """Begin anew: while Kafka does not answer, nobody knows what there is to read."""
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
        self._count(why)
        await reader.seek_back(partition)
