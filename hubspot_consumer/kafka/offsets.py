"""Offsets: what was read, what is finished, and up to where a partition may be committed.

A partition begins at the offset that Kafka holds for the group, and is read without a gap. It is committed up to the
first record that is not finished, or whose acknowledgement somebody defers.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hubspot_consumer.kafka.records import Partition


@dataclass
class _Entry:
    offset: int
    finished: bool = False
    deferrals: int = 0


@dataclass
class PartitionOffsets:
    """The records of one partition from the first that is not acknowledged to the last that was read."""

    # The offset of the record to be read next.
    next: int
    # Every record before this offset is acknowledged.
    acked: int
    committed: int
    # The last record that came too early since the partition was sought back to the next one.
    too_early: int | None = None
    _entries: deque[_Entry] = field(default_factory=deque)
    _by_offset: dict[int, _Entry] = field(default_factory=dict)

    def begin(self, offset: int) -> Callable[[], None]:
        """Note that *offset* was read, in reading order; return what to call, once or more often, when it is done."""
        entry = _Entry(offset)
        self._entries.append(entry)
        self._by_offset[offset] = entry
        self.next = offset + 1
        self.too_early = None

        def finish() -> None:
            entry.finished = True
            self._acknowledge()

        return finish

    def defer(self, offset: int) -> Callable[[], None]:
        """Defer the acknowledgement of *offset*, finished or not, until what is returned is called, once."""
        entry = self._by_offset.get(offset)
        if entry is None:
            return _nothing
        entry.deferrals += 1

        def let_go() -> None:
            entry.deferrals -= 1
            self._acknowledge()

        return let_go

    def pass_over(self, to: int) -> None:
        """Read on at *to*: Kafka holds nothing before it."""
        self.next = to
        self._acknowledge()

    def _acknowledge(self) -> None:
        while self._entries and self._entries[0].finished and not self._entries[0].deferrals:
            entry = self._entries.popleft()
            del self._by_offset[entry.offset]
            self.acked = entry.offset + 1
        if not self._entries:
            self.acked = self.next

    def __len__(self) -> int:
        return len(self._entries)


class Offsets:
    """The partitions that this worker holds, from when they were sought until they are revoked."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, PartitionOffsets] = {}
        # How many events were finished, ever: it rises as long as anything goes on.
        self.finished = 0

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        """Hold these partitions, each from the offset that is read first."""
        self._partitions = {partition: PartitionOffsets(start, start, start) for partition, start in starts.items()}

    def restart(self, partition: Partition, start: int) -> None:
        """Read a partition anew from *start* on: Kafka does not hold any more what was read."""
        self._partitions[partition] = PartitionOffsets(start, start, start)

    def next_of(self, partition: Partition) -> int | None:
        """Return the offset of the record to be read next, None of a partition that is not held."""
        held = self._partitions.get(partition)
        return held.next if held is not None else None

    def next_of_all(self) -> Mapping[Partition, int]:
        """Return the offset of the record to be read next, of each partition that is held."""
        return {partition: held.next for partition, held in self._partitions.items()}

    def reread(self, partition: Partition, too_early: int) -> bool:
        """Return whether to seek a partition back to its next record because the record *too_early* came instead.

        Once: those behind it were under way already. Again when they come anew, and the next is still missing.
        """
        held = self._partitions.get(partition)
        if held is None:
            return False
        again = held.too_early is None or too_early <= held.too_early
        held.too_early = too_early
        return again

    def pass_over(self, partition: Partition, end: int, to: int) -> None:
        """Read on at *to* where everything before *end* was read, because Kafka holds nothing between the two."""
        held = self._partitions.get(partition)
        if held is not None and held.next == end:
            held.pass_over(to)

    def begin(self, topic: str, partition: int, offset: int) -> Callable[[], None]:
        """Note that a record was read; return what to call when it is done. One that is not held is nobody's."""
        held = self._partitions.get((topic, partition))
        finish = held.begin(offset) if held is not None else _nothing

        def counted() -> None:
            self.finished += 1
            finish()

        return counted

    def defer(self, topic: str, partition: int, offset: int) -> Callable[[], None]:
        """Defer a record's acknowledgement until what is returned is called, once. One that is not held is nobody's."""
        held = self._partitions.get((topic, partition))
        return held.defer(offset) if held is not None else _nothing

    def committable(self) -> Mapping[Partition, int]:
        """Return what to commit, of each partition of which there is more to commit than was committed."""
        held = self._partitions.items()
        return {partition: offsets.acked for partition, offsets in held if offsets.acked > offsets.committed}

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Say what Kafka holds now for the group."""
        for partition, offset in offsets.items():
            if (held := self._partitions.get(partition)) is not None:
                held.committed = offset

    def forget(self) -> None:
        """Drop every partition: whoever is assigned it reads again what was not committed."""
        self._partitions = {}

    @property
    def unfinished(self) -> int:
        """How many events were read and are not acknowledged."""
        return sum(map(len, self._partitions.values()))


def _nothing() -> None:
    """There is nothing to let go, and nothing to finish."""
