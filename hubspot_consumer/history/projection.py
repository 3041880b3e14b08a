"""The projection: the result of applying a selection of a contact's events again with the current mapping.

The selection and the projector are picklable, because several processes compute the plan.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

from hubspot_consumer.dead_letters.corrections import Correction, mended
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.requests import last_event_ids
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, SEQUENCE
from hubspot_consumer.kafka.records import Offsets, Place, Record
from hubspot_consumer.mapping import MappingFailed, Properties, map_contact, map_event
from hubspot_consumer.ordering.lane import ContactUpdate, Lane
from hubspot_consumer.ordering.pending import Pending
from schemas.contacts import ContactKey
from schemas.envelope import Envelope, UnreadableRecord, read_envelope

_sequence = attrgetter("sequence")
_Found = tuple[Stored, Envelope, bool, bool]
"""An event, its envelope, and whether it is selected and a dead letter."""


@dataclass(frozen=True)
class Selection:
    """The criteria of a run. Empty collections and None select everything.

    Times are those of Kafka's records; `until` is inclusive. `before` are the end offsets of the topics at the run's
    start: workers deliver what comes later. `places` selects exactly these records, for a redrive. `set_aside` are the
    records of dead letters, which take effect where they are selected, unless `dead_letters` is False. `reused` are the
    records of dead letters whose sequence another event had, redriven or not. `mends` are corrections by record.
    """

    since: datetime | None = None
    until: datetime | None = None
    topics: frozenset[str] = frozenset()
    contacts: frozenset[ContactKey] = frozenset()
    places: frozenset[Place] | None = None
    dead_letters: bool = True
    before: Offsets = field(default_factory=dict, compare=False)
    set_aside: frozenset[Place] = field(default=frozenset(), compare=False)
    reused: frozenset[Place] = field(default=frozenset(), compare=False)
    mends: Mapping[Place, Correction] = field(default_factory=dict, compare=False)

    def selects(self, event: Stored) -> bool:
        """Return whether the properties and the timeline entry of this event are to be written."""
        if self.places is not None:
            return event.place in self.places
        if is_at_or_after(event, self.before):
            return False
        if self.topics and event.topic not in self.topics:
            return False
        if self.since is not None and event.at_ms < self.since.timestamp() * 1000:
            return False
        return self.until is None or event.at_ms <= self.until.timestamp() * 1000


@dataclass
class Projection:
    """The state of one contact.

    `properties` are the properties that selected events set, each with its newest value from any event. `sequence` is
    that of the newest event, and `sequences` has one for each history, 0 without events. `events` are the selected
    events in order, and `dead` those of them that are dead letters. `unreadable` counts selected events that can't be
    read. `unmapped` are selected events that the mapping fails for, each with the reason; they are in no other field.
    `reused` have the sequence of an earlier event, and no worker set them aside for that: it took them for repeats.
    """

    key: ContactKey
    properties: Properties = field(default_factory=dict)
    sequence: int = 0
    sequences: list[int] = field(default_factory=list)
    events: list[tuple[Stored, Envelope]] = field(default_factory=list)
    dead: list[tuple[Stored, Envelope]] = field(default_factory=list)
    unreadable: int = 0
    unmapped: list[tuple[Envelope, str]] = field(default_factory=list)
    reused: list[Stored] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        return bool(self.events)

    def update(self, contact_id: str) -> ContactUpdate:
        """Return the contact update of the selected events: its upsert is done, its entries may exist."""
        pending = [Pending(envelope.sequence, envelope, event.record(), _nothing) for event, envelope in self.events]
        return ContactUpdate(Lane(self.key, contact_id=contact_id), pending, written=True, repeated=True)


class Projector:
    """Projects contacts by a *selection*; *unfinished* are the offsets of the workers' group when the run began.

    Events that the group had not finished are always projected, even if they are not selected: the run writes the
    newest sequence to the contact, so workers skip all events before it.
    """

    def __init__(self, selection: Selection, unfinished: Offsets) -> None:
        self.selection: Final = selection
        self._unfinished: Final = unfinished

    def project(
        self, key: ContactKey, *histories: Sequence[Stored], without: Collection[Place] = (), counting: bool = False
    ) -> Projection:
        """Return the projection of a contact's events, which are in the order of their sequence headers.

        A contact that had other keys before has several *histories*; the last one belongs to its own key. A dead letter
        is applied if it is selected and not in *without*. Of several events with one sequence, only the first one
        has it; the others are applied if they were set aside for that, and redriven. Nothing is selected of a contact
        whose newest event can't be mapped. For *counting*, only the mapping of the contact is tried, and no ids of
        events are made.
        """
        projection, newest, names, ends_unmapped = Projection(key), Properties(), set[str](), False
        ids = dict[int, int]()
        for history in histories:
            highest, ids = 0, dict[int, int]()
            for event, envelope, selected, dead in self._envelopes(projection, history, without):
                try:
                    properties = map_contact(envelope) if counting else map_event(envelope).contact
                except MappingFailed as failed:
                    projection.unmapped += [(envelope, str(failed))] if selected else []
                    ends_unmapped = True
                    continue
                ends_unmapped = False
                newest |= properties
                projection.sequence = highest = max(highest, envelope.sequence)
                ids.setdefault(envelope.sequence, envelope.id.int)
                if highest > envelope.sequence:
                    # A redriven event follows events of higher sequences, which were stored before it.
                    newest[SEQUENCE] = str(highest)
                if selected:
                    projection.events.append((event, envelope))
                    if dead:
                        projection.dead.append((event, envelope))
                if selected or is_at_or_after(event, self._unfinished):
                    names |= properties.keys()
            projection.sequences.append(highest)
        if names and not counting:
            newest[LAST_EVENT_ID] = last_event_ids(key, ids)
            names.add(LAST_EVENT_ID)
        projection.properties = {name: value for name, value in newest.items() if name in names}
        if ends_unmapped:
            # HubSpot may have the contact as it was after that event: to write the events before it moves it backwards.
            projection.events, projection.dead = [], []
        return projection

    def _envelopes(self, projection: Projection, events: Sequence[Stored], without: Collection[Place]) -> list[_Found]:
        found: list[_Found] = []
        selects, set_aside = self.selection.selects, self.selection.set_aside
        # The relay may have sent an event twice, and one of the two copies may be a dead letter.
        for event, *others in self._events(projection, events):
            selected = selects(event) or (bool(others) and any(map(selects, others)))
            dead = bool(set_aside) and any(copy.place in set_aside for copy in (event, *others))
            if dead and not (selected and self.selection.dead_letters and event.place not in without):
                continue
            if (envelope := self._read(event)) is None:
                projection.unreadable += selected
            else:
                found.append((event, envelope, selected, dead))
        return self._in_order(found)

    def _in_order(self, found: list[_Found]) -> list[_Found]:
        """Return events by sequence; those whose sequence another event has follow the events stored before them."""
        reused = self.selection.reused
        first = [each for each in found if each[0].place not in reused] if reused else ()

        def place(each: _Found) -> tuple[int, int, int]:
            event, envelope, *_ = each
            if not reused or event.place not in reused:
                # The sequence in a header may differ from that in the envelope, which counts.
                return envelope.sequence, 0, event.at_ms
            before = (other.sequence for stored, other, *_ in first if stored.at_ms <= event.at_ms)
            return max(before, default=envelope.sequence), 1, event.at_ms

        return sorted(found, key=place)

    def _events(self, projection: Projection, events: Sequence[Stored]) -> Iterator[list[Stored]]:
        """Yield the copies of each event, without events that only repeat the sequence of another one."""
        for _, group in groupby(events, key=_sequence):
            copies = list(group)
            if len(copies) == 1:
                yield copies
            else:
                yield from self._of_one_sequence(projection, copies)

    def _of_one_sequence(self, projection: Projection, copies: Sequence[Stored]) -> Iterator[list[Stored]]:
        reused, events = self.selection.reused, defaultdict[UUID | None, list[Stored]](list)
        # The first event has the sequence: the one that no worker set aside for it, or else that Kafka stored first.
        for copy in sorted(copies, key=lambda each: (each.place in reused, each.at_ms, each.place)):
            envelope = self._read(copy)
            events[envelope.id if envelope is not None else None].append(copy)
        if (unreadable := events.pop(None, None)) is not None:
            yield unreadable
        first, *others = [*events.values()] or [[]]
        yield from [first] if first else []
        for same in others:
            if reused.isdisjoint(copy.place for copy in same):
                projection.reused.append(same[0])
            else:
                yield same

    def _read(self, event: Stored) -> Envelope | None:
        try:
            return read_envelope(event.key.encode(), mended(event.value, self.selection.mends.get(event.place)))
        except UnreadableRecord:
            return None


def is_at_or_after(event: Stored | Record, offsets: Offsets) -> bool:
    """Return whether an event is at the offset of its partition or after it; False if *offsets* lacks the partition."""
    first = offsets.get((event.topic, event.partition))
    return first is not None and event.offset >= first


def _nothing() -> None:
    """Do nothing: an event that takes effect again needs no ack."""
