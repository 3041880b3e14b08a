"""Acks in offset order, per partition.

Faust commits past an unfinished event when acks come out of order, which loses it after a crash; so an event is acked
only when every earlier one of its partition is finished, and when nobody withholds it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Ack = Callable[[], object]


@dataclass
class _Entry:
    offset: int
    ack: Ack
    finished: bool = False
    withheld: int = 0


@dataclass
class PartitionOffsets:
    """The events of one partition between the last acked and the last read."""

    _entries: deque[_Entry] = field(default_factory=deque)
    _by_offset: dict[int, _Entry] = field(default_factory=dict)

    def begin(self, offset: int, ack: Ack) -> Callable[[], None]:
        """Note that *offset* was read, in reading order; return what to call, once or more often, when it is done."""
        entry = _Entry(offset, ack)
        self._entries.append(entry)
        self._by_offset[offset] = entry

        def finish() -> None:
            entry.finished = True
            self._ack()

        return finish

    def withhold(self, offset: int) -> Callable[[], None]:
        """Let *offset* not be acked, finished or not, before what is returned is called, once."""
        entry = self._by_offset.get(offset)
        if entry is None:
            return _nothing
        entry.withheld += 1

        def let_go() -> None:
            entry.withheld -= 1
            self._ack()

        return let_go

    def forget(self) -> None:
        self._entries.clear()
        self._by_offset.clear()

    def _ack(self) -> None:
        while self._entries and self._entries[0].finished and not self._entries[0].withheld:
            entry = self._entries.popleft()
            if self._by_offset.get(entry.offset) is entry:
                del self._by_offset[entry.offset]
            entry.ack()

    def __len__(self) -> int:
        return len(self._entries)


class Offsets:
    """The partitions this worker holds. Topic and partition name one."""

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], PartitionOffsets] = {}
        # How many events were finished, ever: it rises as long as anything goes on.
        self.finished = 0

    def begin(self, topic: str, partition: int, offset: int, ack: Ack) -> Callable[[], None]:
        finish = self._partitions.setdefault((topic, partition), PartitionOffsets()).begin(offset, ack)

        def counted() -> None:
            self.finished += 1
            finish()

        return counted

    def withhold(self, topic: str, partition: int, offset: int) -> Callable[[], None]:
        """Let a record not be acked before what is returned is called, once. One that is not held is nobody's."""
        held = self._partitions.get((topic, partition))
        return held.withhold(offset) if held is not None else _nothing

    def forget(self) -> None:
        """Drop every partition: what was not acked comes again to whoever is assigned it."""
        # An entry forgotten here may still be finished by a call in flight; its ack must not reach the new assignment.
        for partition in self._partitions.values():
            partition.forget()
        self._partitions.clear()

    @property
    def unfinished(self) -> int:
        """How many events were read and are not acked."""
        return sum(map(len, self._partitions.values()))


def _nothing() -> None:
    """There is nothing to let go."""
