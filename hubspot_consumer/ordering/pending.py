"""A pending event: read from Kafka, and waiting in its contact's lane."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.mapping import MappedEvent, map_event
from schemas.envelope import Envelope


@dataclass(slots=True)
class Pending:
    """An event that was read and is not finished. A dead letter has no envelope and only fills its sequence."""

    sequence: int
    envelope: Envelope | None
    record: Record
    finish: Callable[[], None] = field(compare=False)
    _mapped: MappedEvent | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def id(self) -> int:
        """The event's id as a number; 0 for a dead letter."""
        return self.envelope.id.int if self.envelope is not None else 0

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields that identify the event in log lines."""
        # The header with the event id may be missing in a hand-made record.
        return self.record.log_fields | ({"event_id": str(self.envelope.id)} if self.envelope else {})

    @property
    def mapped(self) -> MappedEvent:
        """The HubSpot properties of the event; none for a dead letter. Raises MappingFailed."""
        if self._mapped is None:
            self._mapped = map_event(self.envelope) if self.envelope is not None else MappedEvent({}, {})
        return self._mapped
