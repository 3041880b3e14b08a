"""Lanes: they determine which rows may be sent now without breaking the order of a contact's events."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from producer.relay.row import Row, partition_of

Place = tuple[str, int]
"""A topic and a partition."""


@dataclass(slots=True)
class Lane:
    """A contact's rows in progress: `flying` is the number in flight to `topic`, `waiting` are the rows behind them."""

    topic: str
    flying: int = 0
    # The deque is created on demand: most lanes never need it.
    waiting: deque[Row] | None = None


class Lanes:
    """Groups rows by place. `ready` contains the rows that may be sent; the sender removes them from there.

    A row is ready together with the contact's row before it if both go to the same topic, hence to the same partition
    in this order. Otherwise it is ready once the row before it is published. Rows must be added in the order of their
    positions.
    """

    def __init__(self, topic_of: Callable[[Row], str], partitions: int) -> None:
        self._topic_of = topic_of
        self._partitions = partitions
        self._lanes: dict[str, Lane] = {}
        self.ready: defaultdict[Place, list[Row]] = defaultdict(list)

    def take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            topic = self._topic_of(row)
            if row.key:
                lane = self._lanes.get(row.key)
                if lane is None:
                    lane = self._lanes[row.key] = Lane(topic)
                elif lane.waiting:
                    lane.waiting.append(row)
                    continue
                elif lane.topic != topic:
                    lane.waiting = deque((row,))
                    continue
                lane.flying += 1
            self.ready[topic, partition_of(row, self._partitions)].append(row)

    def published(self, rows: Iterable[Row]) -> None:
        """Make the rows ready that waited for *rows*, each of which was taken from `ready`."""
        for row in rows:
            if not row.key:
                continue
            lane = self._lanes[row.key]
            lane.flying -= 1
            if not lane.flying:
                self._go_on(row.key, lane)

    def _go_on(self, key: str, lane: Lane) -> None:
        if not lane.waiting:
            del self._lanes[key]
            return
        lane.topic = self._topic_of(lane.waiting[0])
        while lane.waiting and self._topic_of(lane.waiting[0]) == lane.topic:
            row = lane.waiting.popleft()
            lane.flying += 1
            self.ready[lane.topic, partition_of(row, self._partitions)].append(row)
