"""A traced event: one event of a contact with its state, its times and what it did; and a hole between two events."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from console.contacts.extract import IndexedEvent
from console.contacts.outbox import Unpublished
from hubspot_consumer.dead_letters.corrections import mended
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.mapping import MappingFailed, Properties, map_event
from schemas.deliveries import Receipt
from schemas.envelope import Envelope, UnreadableRecord, read_envelope
from schemas.events import FirstRedemptionCompleted, NovaEarned, NovaRedeemed

State = Literal[
    "outbox", "waiting", "unknown", "acked", "delivered", "dead_letter", "redriven", "discarded", "suppressed"
]


@dataclass(frozen=True)
class TracedEvent:
    """An event and its state. `behind` names the earlier sequence of its contact that a waiting event waits for."""

    type: str
    id: str
    sequence: int | None
    state: State
    committed_at: datetime | None
    record: IndexedEvent | None = None
    unpublished: Unpublished | None = None
    receipts: Sequence[Receipt] = ()
    letter: Letter | None = None
    copies: int = 1
    behind: str | None = None

    @property
    def receipt(self) -> Receipt | None:
        """The newest receipt."""
        return self.receipts[-1] if self.receipts else None

    @property
    def published_at(self) -> datetime | None:
        if self.record is not None:
            return self.record.published_at
        return self.receipt.published_at if self.receipt else None

    @property
    def ended_at(self) -> datetime | None:
        """The time at which the event reached its `state`, if that is an end."""
        match self.state:
            case "delivered" | "suppressed":
                return self.receipt.at if self.receipt else None
            case "redriven" | "discarded":
                return self.letter.resolution.at if self.letter and self.letter.resolution else None
            case "dead_letter":
                return self.letter.failed_at if self.letter else self.receipt.at if self.receipt else None
        return None

    @property
    def attempts(self) -> int | None:
        if self.letter is not None and self.state != "delivered":
            return self.letter.attempts
        return self.receipt.attempts if self.receipt else None

    @property
    def contact_id(self) -> str | None:
        """HubSpot's id of the contact, from the newest receipt that has one."""
        return next((each.contact_id for each in reversed(self.receipts) if each.contact_id), None)

    @property
    def why(self) -> tuple[str, str] | None:
        """The reason why the event is, or was, a dead letter, and its detail."""
        if self.letter is not None:
            return self.letter.reason, self.letter.detail
        if self.receipt is not None and self.receipt.reason:
            return self.receipt.reason, self.receipt.detail or ""
        return None

    @property
    def at(self) -> datetime | None:
        """The time at which the timeline shows the event: that of its commit, or else that of its record."""
        return self.committed_at or self.published_at

    @property
    def latency(self) -> timedelta | None:
        """The time from the commit to the delivery; None unless a worker or a redrive delivered the event."""
        if self.state not in ("delivered", "redriven") or self.ended_at is None or self.committed_at is None:
            return None
        # The clocks of two hosts may differ.
        return max(self.ended_at - self.committed_at, timedelta())

    @cached_property
    def envelope(self) -> Envelope | None:
        """The event as it was or will be delivered, with its correction; None if its record can't be read."""
        source = self.record or self.unpublished
        correction = self.letter.mend if self.record is not None and self.letter is not None else None
        if source is not None:
            with suppress(UnreadableRecord):
                return read_envelope(source.key.encode(), mended(source.value, correction))
        return None

    @property
    def amount_cents(self) -> int | None:
        """The Nova that the event is about: negative if it is spent; None if it is about none."""
        match self.envelope:
            case Envelope(payload=NovaEarned(amount_cents=cents) | FirstRedemptionCompleted(amount_cents=cents)):
                return cents
            case Envelope(payload=NovaRedeemed(amount_cents=cents)):
                return -cents
        return None

    @property
    def changed(self) -> Properties:
        """The properties that the event set or will set; a value is empty if its record is no longer available."""
        values = Properties()
        if self.envelope is not None:
            with suppress(MappingFailed):
                values = map_event(self.envelope).contact
        if self.receipt is not None and self.receipt.properties:
            return {name: values.get(name, "") for name in self.receipt.properties}
        return values

    @property
    def value(self) -> bytes:
        return self.record.value if self.record else self.unpublished.value if self.unpublished else b""


@dataclass(frozen=True)
class Hole:
    """Sequences without an event, receipt or dead letter. *before_all*: no earlier sequence of the contact is known."""

    first: int
    last: int
    before_all: bool = False
