"""A lane: what is pending of one contact, and the fold of consecutive events that a call takes from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Final

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.mapping import MappedEvent, MappingFailed, map_event
from schemas.contacts import ContactKey
from schemas.envelope import Envelope

# A missing event is late (it is in another topic), or never comes (its record was lost before Kafka).
HOLE_LIMIT_S: Final = 60.0
# The limit for a contact that was looked up just now. Its earlier events were read with the co-partitioned topics, or
# the contact was deleted in HubSpot.
HOLE_LIMIT_AFTER_LOOK_UP_S: Final = 10.0
# A fold that grows beyond this after a rejection is as good as unlimited.
LARGEST_PART: Final = 64


class LaneState(Enum):
    """What a lane waits for. docs/architecture.md draws the ways between the states."""

    # There is nothing to wait for.
    EMPTY = auto()
    # HubSpot is to be asked what it holds of the contact.
    UNKNOWN = auto()
    # The contact is to be created.
    NEW = auto()
    # The contact can be written.
    READY = auto()
    # A call about the contact is under way.
    IN_FLIGHT = auto()
    # The next attempt has its time.
    BACKING_OFF = auto()
    # An earlier event, which somebody else applied, may be unread.
    EARLIER_UNREAD = auto()
    # The next event is missing.
    HOLE = auto()
    # A reprocessing run holds the contact.
    HELD = auto()


@dataclass(frozen=True)
class Pending:
    """An event that was read and is not finished. Without an envelope it is a dead letter that keeps its place."""

    sequence: int
    envelope: Envelope | None
    record: Record
    finish: Callable[[], None]

    @property
    def log_fields(self) -> dict[str, str]:
        """What log lines say of it."""
        # A hand-made record may have no header that names its event.
        return self.record.log_fields | ({"event_id": str(self.envelope.id)} if self.envelope else {})

    @cached_property
    def mapped(self) -> MappedEvent:
        """What it comes to; a dead letter comes to nothing. Raises MappingFailed."""
        return map_event(self.envelope) if self.envelope is not None else MappedEvent({}, {})


@dataclass(eq=False)
class Lane:
    """What is pending of one contact. `applied` is None until it is known what HubSpot holds.

    Every event up to `done` was read here, and is finished. Where somebody else applied more than that, an event before
    the one at hand may be unread, and its timeline entry not sent, until the co-partitioned topics were read as far.
    `may_be_new` says that nothing is known against creating the contact. `state` is set by `Lanes` alone.
    """

    key: ContactKey
    state: LaneState = LaneState.EMPTY
    applied: int | None = None
    done: int = 0
    contact_id: str | None = None
    may_be_new: bool = True
    pending: dict[int, Pending] = field(default_factory=dict)
    attempts: int = 0
    left_out: int = 0
    most_events: int | None = None
    not_before: float = 0.0
    hole_since: float | None = None
    hole_limit_s: float = HOLE_LIMIT_S
    unread_since: float | None = None

    @property
    def begins(self) -> bool:
        """Whether the contact's first event is here."""
        first = self.pending.get(1)
        return first is not None and first.envelope is not None

    @property
    def done_before_next(self) -> bool:
        """Whether every event before the first that is here was read and is finished, as far as it was applied."""
        return self.done >= min(min(self.pending) - 1, self.applied or 0)

    def pass_over_unread(self) -> None:
        """Take it that no event before the first that is here is unread."""
        self.done = max(self.done, min(min(self.pending) - 1, self.applied or 0))
        self.unread_since = None

    def learn(self, contact_id: str | None, sequence: int) -> None:
        """Take what HubSpot holds of the contact."""
        self.applied, self.contact_id = sequence, contact_id
        self.left_out = 0
        self.hole_since = None
        self.hole_limit_s = HOLE_LIMIT_AFTER_LOOK_UP_S

    def unlearn(self) -> None:
        """Take it that nobody knows any more what HubSpot holds of the contact, but that it may be there."""
        self.applied, self.hole_since, self.may_be_new = None, None, False

    def applied_by(self, update: "ContactUpdate") -> None:
        """Take it that HubSpot holds the contact as it is after *fold*."""
        # Of one that was late it holds more, and it may not be known any more how much.
        if not update.repeated:
            self.applied = max(self.applied or 0, update.events[-1].sequence)

    def finished(self, update: "ContactUpdate") -> None:
        """Take it that nothing is left to do of the events of *fold*."""
        for event in update.events:
            self.pending.pop(event.sequence, None)
            event.finish()
        self.done = max(self.done, update.events[-1].sequence)
        self.applied_by(update)
        self.attempts = 0
        self.hole_limit_s = HOLE_LIMIT_S
        if self.most_events is not None:
            self.most_events = self.most_events * 2 if self.most_events < LARGEST_PART else None

    def pass_over_dead_letters(self) -> None:
        while self.applied is not None and self.pending:
            first = min(self.pending)
            if first > self.applied + 1 or self.pending[first].envelope is not None:
                return
            if self.done_before_next:
                self.done = max(self.done, first)
            self.pending.pop(first).finish()
            self.applied = max(self.applied, first)

    def coalesce(self) -> "ContactUpdate":
        """Return the consecutive events that a call may take."""
        # One may have come since the lane was ready.
        self.pass_over_dead_letters()
        applied = self.applied or 0
        sequence = min(self.pending)
        # Late or repeated: what it would set is there, newer. Its timeline entry is sent again, under the same uuid.
        late = sequence <= applied
        update = ContactUpdate(self, [], written=late, repeated=late, creates=self.applied is None)
        while (event := self.pending.get(sequence)) is not None and event.envelope is not None:
            if len(update.events) == self.most_events or (late and sequence > applied):
                break
            update.events.append(event)
            sequence += 1
        return update


@dataclass(eq=False)
class ContactUpdate:
    """Consecutive events of one contact, to be applied as one.

    `written` says that the contact holds them or something newer already, so that only the timeline is left;
    `repeated` that this was so before they were taken, so that the timeline may hold them too.
    `creates` says that they are to be written only if there is no such contact.
    `set_aside` are those that are dead letters by now.
    """

    lane: Lane
    events: list[Pending]
    written: bool = False
    repeated: bool = False
    creates: bool = False
    set_aside: list[Pending] = field(default_factory=list)

    @property
    def mapping_failed(self) -> MappingFailed | None:
        """Why one of the events can't be mapped, if that is so."""
        for event in self.events:
            try:
                _ = event.mapped
            except MappingFailed as failed:
                return failed
        return None

    @property
    def envelopes(self) -> list[Envelope]:
        return [event.envelope for event in self.events if event.envelope is not None]
