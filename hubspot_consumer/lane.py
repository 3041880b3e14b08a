"""A lane: what is pending of one contact, and the fold of consecutive events that a call takes from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hubspot_consumer.records import Record
from schemas.contacts import ContactKey
from schemas.envelope import Envelope

# A hole is an event that is late (another topic) or will never come (a record lost before us).
HOLE_LIMIT_S: Final = 60.0


@dataclass(frozen=True)
class Pending:
    """An event that was read and is not finished. Without an envelope it is a dead letter that keeps its place."""

    sequence: int
    envelope: Envelope | None
    record: Record
    finish: Callable[[], None]


@dataclass(eq=False)
class Lane:
    """What is pending of one contact. `applied` is None until it is known what HubSpot holds.

    `may_be_new` says that nothing is known against creating it. `looked_up_at` is when HubSpot told what it holds:
    until the siblings were read as far, events that were applied may be unread, and their timeline entries not sent.
    """

    key: ContactKey
    applied: int | None = None
    contact_id: str | None = None
    may_be_new: bool = True
    pending: dict[int, Pending] = field(default_factory=dict)
    attempts: int = 0
    left_out: int = 0
    most_events: int | None = None
    in_flight: bool = False
    not_before: float = 0.0
    hole_since: float | None = None
    hole_limit_s: float = HOLE_LIMIT_S
    looked_up_at: float | None = None


@dataclass(eq=False)
class Fold:
    """Consecutive events of one contact, to be applied as one.

    `written` says that the contact holds them or something newer already, so that only the timeline is left;
    `repeated` that this was so before they were taken, so that the timeline may hold them too.
    `creates` says that they are to be written only if there is no such contact.
    """

    lane: Lane
    events: list[Pending]
    written: bool = False
    repeated: bool = False
    creates: bool = False

    @property
    def envelopes(self) -> list[Envelope]:
        return [event.envelope for event in self.events if event.envelope is not None]
