"""Acks in offset order, per partition.

Faust commits past an unfinished event when acks come out of order, which loses it after a crash; so an event is acked
only when every earlier one of its partition is finished.
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


@dataclass
class PartitionOffsets:
    """The events of one partition between the last acked and the last read."""

    _entries: deque[_Entry] = field(default_factory=deque)

    def begin(self, offset: int, ack: Ack) -> Callable[[], None]:
        """Note that *offset* was read, in reading order; return what to call, once or more often, when it is done."""
        entry = _Entry(offset, ack)
        self._entries.append(entry)

        def finish() -> None:
            entry.finished = True
            while self._entries and self._entries[0].finished:
                self._entries.popleft().ack()

        return finish

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

    def forget(self) -> None:
        """Drop every partition: what was not acked comes again to whoever is assigned it."""
        # An entry forgotten here may still be finished by a call in flight; its ack must not reach the new assignment.
        for partition in self._partitions.values():
            partition._entries.clear()  # noqa: SLF001 - same module, same idea
        self._partitions.clear()

    @property
    def unfinished(self) -> int:
        """How many events were read and are not acked."""
        return sum(map(len, self._partitions.values()))
