"""The assembly: makes dead letters of the records of both topics, without repeating work for those that stay."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Final, NamedTuple

from hubspot_consumer.dead_letters.dead_letter import Letter, SetAside, letter_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import AN_ID, Resolutions
from runtime.logs import log
from schemas.topics import Topics


class Change(NamedTuple):
    """A dead letter before and after a reading. None: there was none, or Kafka has deleted its records."""

    before: Letter | None
    after: Letter | None


class Assembly:
    """All dead letters by event. Records may come in any order of the partitions, and again.

    `changes` applies them: until then, the dead letters are those of the call before.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics: Final = topics
        self._resolutions: Final = Resolutions()
        self._skipped = False
        self._letters: Final[dict[tuple[Any, ...], Letter]] = {}
        # The event of each record, by partition and offset.
        self._events: Final = defaultdict[int, dict[int, tuple[Any, ...]]](dict)
        self._new: Final = defaultdict[tuple[Any, ...], list[SetAside]](list)
        self._touched: Final = set[tuple[Any, ...]]()

    @property
    def letters(self) -> list[Letter]:
        """The dead letters, oldest first."""
        return sorted(self._letters.values(), key=Letter.begun)

    def of_id(self, letter_id: str) -> Letter | None:
        """Return the dead letter with that id among its records' ids, or None."""
        event = self._event_of(letter_id)
        return self._letters.get(event) if event is not None else None

    def set_aside(self, record: Any) -> None:
        """Take in one of aiokafka's records of the dead letters' topic."""
        events = self._events[record.partition]
        if record.offset not in events:
            one = read_set_aside(record, self._topics)
            events[one.offset] = one.event
            self._new[one.event].append(one)
            self._touched.add(one.event)

    def resolve(self, record: Any) -> None:
        """Take in one of aiokafka's records of the resolutions' topic."""
        if not self._resolutions.take_in(record):
            if not self._skipped:
                log.warning("topic.record_skipped", record=f"{record.topic}-{record.partition}-{record.offset}")
            self._skipped = True
        event = self._event_of((record.key or b"").decode(errors="replace"))
        if event is not None:
            self._touched.add(event)

    def forget(self, partition: int, before: int) -> None:
        """Drop the records before that offset, which Kafka has deleted."""
        events = self._events[partition]
        for offset in list(takewhile(before.__gt__, events)):
            self._touched.add(events.pop(offset))

    def changes(self) -> list[Change]:
        """Apply what was taken in, and return the dead letters that it changes."""
        changes = list(self._applied())
        self._touched.clear()
        self._new.clear()
        return changes

    def _applied(self) -> Iterator[Change]:
        for event in self._touched:
            before = self._letters.get(event)
            there = list(self._there((*(before.records if before else ()), *self._new.get(event, ()))))
            after = letter_of(there, self._resolutions) if there else None
            # A page may ask for the dead letter meanwhile, so it is replaced in one step.
            if after is not None:
                self._letters[event] = after
            else:
                self._letters.pop(event, None)
            if after != before:
                yield Change(before, after)

    def _there(self, records: Iterable[SetAside]) -> Iterator[SetAside]:
        return (one for one in records if one.offset in self._events[one.partition])

    def _event_of(self, letter_id: str) -> tuple[Any, ...] | None:
        if not AN_ID.fullmatch(letter_id):
            return None
        partition, offset = map(int, letter_id.split("-"))
        return self._events.get(partition, {}).get(offset)
