"""A lane: the pending events of one contact, which calls take from it as contact updates."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from typing import Final

from hubspot_consumer.hubspot.requests import REMEMBERED_IDS
from hubspot_consumer.mapping import MappingFailed
from hubspot_consumer.ordering.pending import Pending
from schemas.contacts import ContactKey
from schemas.envelope import Envelope

# The wait limit for a missing event: it is late (in another topic) or never comes (its record never got to Kafka).
HOLE_LIMIT_S: Final = 60.0
# The limit for a contact that was looked up just now. Its earlier events were read with the co-partitioned topics, or
# the contact was deleted in HubSpot.
HOLE_LIMIT_AFTER_LOOK_UP_S: Final = 10.0
# After a rejection, a lane's limit of events per update doubles with each success; from this value on it is dropped.
LARGEST_PART: Final = 64


class LaneState(Enum):
    """The state of a lane, named after its wait. docs/architecture.md has a diagram of the transitions."""

    # No event is pending.
    EMPTY = auto()
    # The contact waits for a look-up in HubSpot.
    UNKNOWN = auto()
    # The contact waits to be created.
    NEW = auto()
    # The contact can be written.
    READY = auto()
    # A call for the contact has not ended.
    IN_FLIGHT = auto()
    # The next attempt waits for its time.
    BACKING_OFF = auto()
    # An earlier event, which another writer applied, may be unread.
    EARLIER_UNREAD = auto()
    # The next event is missing.
    HOLE = auto()
    # A reprocessing run holds the contact.
    HELD = auto()


@dataclass(eq=False)
class Lane:
    """The pending events of one contact, by sequence. `applied` is the last sequence in the remote contact, or None.

    `applied` is None while the remote contact is not known. Every event up to `done` was read and finished by this
    worker. Where another writer applied more than `done`, an event before the first pending one may be unread, and its
    timeline entry not sent, until the co-partitioned topics were read as far. `may_be_new` is false once the contact
    may exist in HubSpot, so that it is looked up instead of created. `gave_up` is true once a hole was given up.
    `copies` finish other records of pending events. `ids` are those of the last applied events, by sequence, as this
    worker or HubSpot remembers them. `unsure` are the sequences that HubSpot counts as applied beyond its newest id: a
    person changed its sequence, or a worker of an earlier version wrote it. `reused` are pending events whose sequence
    another event has, as after a restore of the database: they become dead letters. `set_aside` are pending events of
    a written update that are dead letters already, because HubSpot rejected their timeline entries. Only `Lanes` sets
    `state`.
    """

    key: ContactKey
    state: LaneState = LaneState.EMPTY
    applied: int | None = None
    done: int = 0
    contact_id: str | None = None
    may_be_new: bool = True
    gave_up: bool = False
    pending: dict[int, Pending] = field(default_factory=dict)
    copies: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    unsure: range = range(0)
    reused: list[Pending] = field(default_factory=list)
    set_aside: list[Pending] = field(default_factory=list)
    attempts: int = 0
    left_out: int = 0
    most_events: int | None = None
    not_before: float = 0.0
    hole_since: float | None = None
    hole_limit_s: float = HOLE_LIMIT_S

    @property
    def due_at(self) -> float:
        """When a lane is due that waits for a time: to be tried again, or to give up a hole."""
        if self.state is LaneState.HOLE and self.hole_since is not None:
            return max(self.not_before, self.hole_since + self.hole_limit_s)
        return self.not_before

    def add(self, event: Pending) -> None:
        """Add an event to the pending ones; a copy of one is finished with it.

        Of two events with one sequence, the one that Kafka stored first has it, unless the other is in a call.
        """
        if self._is_reused(event):
            self.reused.append(event)
        elif (other := self.pending.get(event.sequence)) is None:
            self.pending[event.sequence] = event
        else:
            self._add_beside(event, other)

    def _add_beside(self, event: Pending, other: Pending) -> None:
        """Add an event whose sequence is that of *other*, a pending one."""
        if event.envelope is None:
            first = other
        elif other.envelope is None:
            first = event
        elif other.id == event.id or self.state is LaneState.IN_FLIGHT:
            first = other
        else:
            first = min(other, event, key=lambda each: each.record.order)
        self.pending[event.sequence] = first
        later = event if first is other else other
        if later.envelope is None or later.id == first.id:
            self.copies.setdefault(event.sequence, []).append(later.finish)
        else:
            self.reused.append(later)

    @property
    def begins(self) -> bool:
        """Whether the contact's first event is pending and readable."""
        first = self.pending.get(1)
        return first is not None and first.envelope is not None

    @property
    def done_before_next(self) -> bool:
        """Whether every applied event before the first pending one was read and finished by this worker."""
        return self.done >= self._applied_before_next

    def pass_over_unread(self) -> None:
        """Assume that no event before the first pending one is unread."""
        self.done = max(self.done, self._applied_before_next)

    @property
    def _applied_before_next(self) -> int:
        """The last applied sequence before the first pending event; 0 if there is none."""
        return min(min(self.pending) - 1, self.applied or 0)

    def learn(self, contact_id: str | None, sequence: int, ids: Mapping[int, int] | None = None) -> None:
        """Store the id, the last applied sequence and the event ids of the remote contact."""
        self.applied, self.contact_id = sequence, contact_id
        self.unsure = range(max(ids) + 1, sequence + 1) if ids else range(0)
        self._remember({**(ids or {}), **self.ids})
        self._add_again()
        self.left_out = 0
        self.hole_since = None
        self.hole_limit_s = HOLE_LIMIT_AFTER_LOOK_UP_S

    def unlearn(self) -> None:
        """Drop what is stored of the remote contact, which may exist: the next step is a look-up."""
        self.applied, self.hole_since, self.may_be_new = None, None, False

    def applied_by(self, update: "ContactUpdate") -> None:
        """Record that HubSpot has applied *update*."""
        # HubSpot has applied more than a repeated update, and `applied` may have been reset by `unlearn` meanwhile.
        if not update.repeated:
            self.applied = max(self.applied or 0, update.events[-1].sequence)
            self._remember(self.ids | update.ids)

    def finished(self, update: "ContactUpdate") -> None:
        """Finish the events of *update* and remove them from the pending ones."""
        self.attempts = 0
        if update.reused:
            update.events[0].finish()
            return
        self.set_aside = [event for event in self.set_aside if event not in update.events]
        for event in update.events:
            self.pending.pop(event.sequence, None)
            self._finish(event)
        self.done = max(self.done, update.events[-1].sequence)
        self.applied_by(update)
        self.hole_limit_s = HOLE_LIMIT_S
        if self.most_events is not None:
            self.most_events = self.most_events * 2 if self.most_events < LARGEST_PART else None

    def _add_again(self) -> None:
        """Decide anew which of several events has a sequence, by the ids that are known by now."""
        if not self.reused and not any(map(self._is_reused, self.pending.values())):
            return
        events, self.pending = [*self.reused, *self._with_copies()], {}
        self.reused = []
        for event in sorted(events, key=lambda each: each.record.order):
            self.add(event)

    def _with_copies(self) -> Iterator[Pending]:
        """Yield the pending events, each of which finishes its copies too."""
        for event in self.pending.values():
            copies = self.copies.pop(event.sequence, ())
            yield replace(event, finish=partial(_call_all, event.finish, *copies)) if copies else event

    def _is_reused(self, event: Pending) -> bool:
        """Return whether another event is known to have the sequence of *event*."""
        known = self.ids.get(event.sequence)
        return known is not None and event.envelope is not None and known != event.id

    def _remember(self, ids: Mapping[int, int]) -> None:
        self.ids = dict(sorted(ids.items())[-REMEMBERED_IDS:])

    def _finish(self, event: Pending) -> None:
        """Finish an event, and the copies of it that were read meanwhile."""
        _call_all(event.finish, *self.copies.pop(event.sequence, ()))

    def pass_over_dead_letters(self) -> None:
        """Finish the dead letters at the front of the lane, as if they were applied."""
        while self.applied is not None and self.pending:
            first = min(self.pending)
            if first > self.applied + 1 or self.pending[first].envelope is not None:
                return
            if self.done_before_next:
                self.done = max(self.done, first)
            self._finish(self.pending.pop(first))
            self.applied = max(self.applied, first)

    def coalesce(self) -> "ContactUpdate":
        """Return the consecutive events that one call may write, as one contact update; one that is reused, if any."""
        if self.reused and self.applied is not None:
            return ContactUpdate(self, [self.reused.pop(0)], repeated=True, reused=True)
        # A dead letter may have arrived since the lane became ready.
        self.pass_over_dead_letters()
        applied = self.applied or 0
        sequence = min(self.pending)
        # HubSpot has the values of a late event, or newer ones. Its timeline entry is sent again, under the same uuid.
        late = sequence <= applied
        update = ContactUpdate(
            self, [], written=late, repeated=late, creates=self.applied is None, set_aside=[*self.set_aside]
        )
        while (event := self.pending.get(sequence)) is not None and event.envelope is not None:
            if len(update.events) == self.most_events or (late and sequence > applied):
                break
            update.events.append(event)
            sequence += 1
        return update


@dataclass(eq=False)
class ContactUpdate:
    """Consecutive events of one contact, which are written as one update.

    `written`: the remote contact has their values or newer ones, so that only their timeline entries remain to be sent.
    `repeated`: this was so before the events were taken, so that their timeline entries may exist too.
    `creates`: the events are written only if the contact does not exist.
    `reused`: another event has the sequence of the only event, which becomes a dead letter.
    `set_aside`: the events that have become dead letters.
    """

    lane: Lane
    events: list[Pending]
    written: bool = False
    repeated: bool = False
    creates: bool = False
    reused: bool = False
    set_aside: list[Pending] = field(default_factory=list)

    @property
    def ids(self) -> dict[int, int]:
        """The ids of the events by sequence."""
        return {event.sequence: event.id for event in self.events}

    @property
    def unverified(self) -> int:
        """How many events count as repeats of applied ones, although nobody knows the ids of those."""
        if not self.repeated or self.reused:
            return 0
        return sum(event.sequence not in self.lane.ids for event in self.events)

    @property
    def doubtful(self) -> bool:
        """Whether events count as applied although HubSpot may never have had them."""
        return self.repeated and any(event.sequence in self.lane.unsure for event in self.events)

    @property
    def mapping_failed(self) -> MappingFailed | None:
        """The error of the first event that can't be mapped; None when all can."""
        for event in self.events:
            try:
                _ = event.mapped
            except MappingFailed as failed:
                return failed
        return None

    @property
    def envelopes(self) -> list[Envelope]:
        return [event.envelope for event in self.events if event.envelope is not None]


def _call_all(*callbacks: Callable[[], None]) -> None:
    for callback in callbacks:
        callback()
