"""Lanes: they determine which rows may be sent now without breaking the order of a contact's events."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from producer.relay.row import Row, partition_of

Place = tuple[str, int]
"""A topic and a partition."""


@dataclass(slots=True)
class Lane:
    """A contact's rows in progress: `flying` is the number in flight to `topic`, `waiting` are the rows behind them.

    `topic` is None while an email change is in progress, which no other row may accompany.
    """

    topic: str | None
    flying: int = 0
    # The deque is created on demand: most lanes never need it.
    waiting: deque[Row] | None = None


@dataclass(slots=True)
class _EmailChanges:
    """The rows in progress that change an email: their former keys by position, and those that wait for deletions."""

    former_keys: dict[int, str] = field(default_factory=dict)
    waiting: list[Row] = field(default_factory=list)


class Lanes:
    """Groups rows by place. `ready` contains the rows that may be sent; the sender removes them from there.

    A row is ready together with the contact's row before it if both go to the same topic, hence to the same partition
    in this order. Otherwise it is ready once the row before it is published. Rows must be added in the order of their
    positions.

    An email change belongs to two contact keys, and is alone in the lanes of both. It is ready once the rows before it
    are published and deleted: a relay that takes over would publish undeleted rows of the former key again, behind it.
    """

    def __init__(self, topic_of: Callable[[Row], str], partitions: int) -> None:
        self._topic_of = topic_of
        self._partitions = partitions
        self._lanes: dict[str, Lane] = {}
        self._changes = _EmailChanges()
        self.ready: defaultdict[Place, list[Row]] = defaultdict(list)

    def take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            topic = self._topic_of(row)
            if row.key:
                if (former := row.former_key) is not None:
                    self._take_change(row, row.key, former)
                    continue
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
            former = self._changes.former_keys.pop(row.position, None)
            for key in (row.key,) if former is None else (row.key, former):
                lane = self._lanes[key]
                lane.flying -= 1
                if not lane.flying:
                    self._go_on(key, lane)

    @property
    def wait_for_deletion(self) -> bool:
        """Whether email changes wait until all rows that were published so far are deleted."""
        return bool(self._changes.waiting)

    def before_deletion(self) -> Sequence[Row]:
        """Return the email changes to give to `deleted`, once all rows that were published so far are deleted."""
        changes, self._changes.waiting = self._changes.waiting, []
        return changes

    def deleted(self, changes: Iterable[Row]) -> None:
        """Make email changes ready."""
        for row in changes:
            self.ready[self._topic_of(row), partition_of(row, self._partitions)].append(row)

    def _take_change(self, row: Row, key: str, former: str) -> None:
        self._changes.former_keys[row.position] = former
        for one in (key, former):
            lane = self._lanes.setdefault(one, Lane(None))
            lane.waiting = lane.waiting or deque()
            lane.waiting.append(row)
        self._begin_change(row, key, former)

    def _begin_change(self, row: Row, key: str, former: str) -> None:
        """Let an email change begin, if it is the next row of both keys."""
        lanes = [self._lanes[key], self._lanes[former]]
        if any(lane.flying or lane.waiting is None or lane.waiting[0] is not row for lane in lanes):
            return
        for lane in lanes:
            if lane.waiting:
                lane.waiting.popleft()
            lane.topic, lane.flying = None, 1
        self._changes.waiting.append(row)

    def _go_on(self, key: str, lane: Lane) -> None:
        if not lane.waiting:
            del self._lanes[key]
            return
        row = lane.waiting[0]
        if (former := self._changes.former_keys.get(row.position)) is not None:
            self._begin_change(row, row.key or "", former)
            return
        lane.topic = self._topic_of(row)
        while lane.waiting and self._joins(lane.waiting[0], lane.topic):
            row = lane.waiting.popleft()
            lane.flying += 1
            self.ready[lane.topic, partition_of(row, self._partitions)].append(row)

    def _joins(self, row: Row, topic: str) -> bool:
        return self._topic_of(row) == topic and row.position not in self._changes.former_keys
