"""Offsets: what was read and what is finished in each partition, and the offset up to which it may be committed.

A partition begins at the offset that Kafka stores for the group, and is read without a gap. It is committed up to the
first record that is not finished or whose ack is deferred.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from hubspot_consumer.kafka.records import Partition


@dataclass(slots=True)
class _Entry:
    offset: int
    finished: bool = False
    deferrals: int = 0


@dataclass(slots=True)
class _Counts:
    """How many events were finished, and how many records were read and are not acked, in all partitions together."""

    finished: int = 0
    unfinished: int = 0


@dataclass
class PartitionOffsets:
    """The records of one partition, from the first that is not acked to the last that was read."""

    # The offset of the record to be read next.
    next: int
    # Every record before this offset is acked.
    acked: int
    committed: int
    counts: _Counts = field(default_factory=_Counts)
    # Records before this offset may be of the time before the partition was truncated or recreated.
    restarted_at: int = 0
    # The offset of the last record that came too early, None after a record that came in order.
    too_early: int | None = None
    _entries: deque[_Entry] = field(default_factory=deque)
    _by_offset: dict[int, _Entry] = field(default_factory=dict)

    def begin(self, offset: int) -> Callable[[], None]:
        """Record that *offset* was read; return the callback that finishes it, which may be called more than once."""
        entry = _Entry(offset)
        self._entries.append(entry)
        self._by_offset[offset] = entry
        self.counts.unfinished += 1
        self.next = offset + 1
        self.too_early = None
        return partial(self._finish, entry)

    def defer(self, offset: int) -> Callable[[], None]:
        """Defer the ack of *offset*, finished or not; return the callback that releases it, to be called once."""
        entry = self._by_offset.get(offset)
        if entry is None:
            return _nothing
        entry.deferrals += 1
        return partial(self._release, entry)

    def pass_over(self, to: int) -> None:
        """Continue at *to*, because Kafka stores no unread record before it."""
        self.next = to
        self._acknowledge()

    def _finish(self, entry: _Entry) -> None:
        entry.finished = True
        self.counts.finished += 1
        self._acknowledge()

    def _release(self, entry: _Entry) -> None:
        entry.deferrals -= 1
        self._acknowledge()

    def _acknowledge(self) -> None:
        while self._entries and self._entries[0].finished and not self._entries[0].deferrals:
            entry = self._entries.popleft()
            del self._by_offset[entry.offset]
            self.counts.unfinished -= 1
            self.acked = entry.offset + 1
        if not self._entries:
            self.acked = self.next

    def __len__(self) -> int:
        return len(self._entries)


class Offsets:
    """The assigned partitions, from their seek until their revocation. Calls for any other partition have no effect."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, PartitionOffsets] = {}
        self._counts = _Counts()

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        """Replace all partitions by these, each with its start offset."""
        self.forget()
        self._partitions = {
            partition: PartitionOffsets(start, start, start, self._counts) for partition, start in starts.items()
        }

    def restart(self, partition: Partition, start: int) -> None:
        """Restart a partition at *start*, because Kafka has truncated or recreated it."""
        before = self._of(partition)
        restarted_at = max(before.next, before.restarted_at)
        before.counts.unfinished -= len(before)
        before.counts = _Counts()
        self._partitions[partition] = PartitionOffsets(start, start, start, self._counts, restarted_at)

    def next_of(self, partition: Partition) -> int | None:
        """Return the offset of the record to be read next, None for a partition that is not assigned."""
        offsets = self._partitions.get(partition)
        return offsets.next if offsets is not None else None

    def read_before(self) -> Mapping[Partition, int]:
        """Return the offset before which all pending records are, for each assigned partition.

        It is that of the record to be read next, unless the partition was restarted and had higher offsets before.
        """
        return {one: max(offsets.next, offsets.restarted_at) for one, offsets in self._partitions.items()}

    def reread(self, partition: Partition, too_early: int) -> bool:
        """Return whether to seek a partition back to its next record, because the record *too_early* came instead.

        The records behind the first early one were already fetched, and need no second seek. An offset that is no
        higher than the last early one shows that the partition was read again, and the next record is still missing.
        """
        offsets = self._of(partition)
        again = offsets.too_early is None or too_early <= offsets.too_early
        offsets.too_early = too_early
        return again

    def pass_over(self, partition: Partition, end: int, to: int) -> None:
        """Continue at *to* if the next record is at *end*, because Kafka stores no record between the two."""
        offsets = self._of(partition)
        if offsets.next == end:
            offsets.pass_over(to)

    def begin(self, partition: Partition, offset: int) -> Callable[[], None]:
        """Record that a record was read; return its finishing callback."""
        return self._of(partition).begin(offset)

    def defer(self, partition: Partition, offset: int) -> Callable[[], None]:
        """Defer a record's ack; return the callback that releases it."""
        return self._of(partition).defer(offset)

    def committable(self) -> Mapping[Partition, int]:
        """Return the offset to commit for each partition with acks that are not committed."""
        partitions = self._partitions.items()
        return {partition: offsets.acked for partition, offsets in partitions if offsets.acked > offsets.committed}

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Record the offsets that Kafka has stored for the group."""
        for partition, offset in offsets.items():
            self._of(partition).committed = offset

    def forget(self) -> None:
        """Drop every partition; its next worker reads again what was not committed."""
        self._partitions = {}
        # What is finished late, of the dropped partitions, is counted in the former counts.
        self._counts = _Counts(self._counts.finished)

    @property
    def finished(self) -> int:
        """How many events were finished since the start; `Progress` checks that it rises."""
        return self._counts.finished

    @property
    def unfinished(self) -> int:
        """How many records were read and are not acked."""
        return self._counts.unfinished

    def _of(self, partition: Partition) -> PartitionOffsets:
        """Return the offsets of a partition; those of one that is not assigned are new and belong to nobody."""
        offsets = self._partitions.get(partition)
        return offsets if offsets is not None else PartitionOffsets(0, 0, 0)


def _nothing() -> None:
    """Do nothing: the callback of a record that was not begun, or is acked."""
