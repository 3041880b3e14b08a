"""Lanes: which rows may go out now without putting a contact's events out of order."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from producer.relay.row import Row, partition_of

Place = tuple[str, int]
"""A topic and a partition."""


class Lane:
    """A contact's rows on their way: `flying` of them to one topic, and behind them those that wait."""

    __slots__ = ("flying", "topic", "waiting")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.flying = 0
        # Most lanes never need it.
        self.waiting: deque[Row] | None = None


class Lanes:
    """Sorts rows by place. `ready` holds those that may go out; whoever sends them takes them from there.

    A row goes with its contact's row before it when both go to the same topic, hence behind it in the same partition;
    otherwise when that one is published. Rows have to come in the order of their positions.
    """

    def __init__(self, topic_of: Callable[[Row], str], partitions: int) -> None:
        self._topic_of = topic_of
        self._partitions = partitions
        self._lanes: dict[str, Lane] = {}
        self.ready: defaultdict[Place, list[Row]] = defaultdict(list)

    @property
    def contacts(self) -> int:
        """How many contacts have rows in here."""
        return len(self._lanes)

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
        """Let go what waited for *rows*, each of which was taken from `ready`."""
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
