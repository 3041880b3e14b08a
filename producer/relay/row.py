"""A row of `outbox_events`, and the partition of its record."""

import json
from typing import Any, NamedTuple

from runtime.kafka import topics as kafka_topics
from runtime.tracing import trace_id_of
from schemas.contacts import contact_hash, contact_key


class Row(NamedTuple):
    """A row as text. One that was inserted by hand may lack a key, a sequence or a payload."""

    position: int
    id: str
    key: str | None
    type: str
    sequence: int | None
    payload: str | None
    traceparent: str | None

    @property
    def size(self) -> int:
        """The number of characters of the row's texts."""
        return len(self.payload or "") + len(self.key or "") + len(self.type) + len(self.traceparent or "")

    @property
    def former_key(self) -> str | None:
        """The contact's key before this event changed its email; None for an event that changes none."""
        if not self.key or self.payload is None or '"previous_email"' not in self.payload:
            return None
        try:
            former = contact_key(_previous_email(json.loads(self.payload)))
        except ValueError:
            return None
        return former if former != self.key else None

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields for log lines about the row: its event, contact and trace id, as far as it has them."""
        fields = {"event_id": self.id, "contact": self._contact, "trace_id": trace_id_of(self.traceparent) or ""}
        return {name: value for name, value in fields.items() if value}

    @property
    def _contact(self) -> str:
        try:
            return contact_hash(contact_key(self.key or ""))
        except ValueError:
            return ""


def _previous_email(envelope: Any) -> str:
    payload = envelope.get("payload") if isinstance(envelope, dict) else None
    previous = payload.get("previous_email") if isinstance(payload, dict) else None
    return previous if isinstance(previous, str) else ""


def partition_of(row: Row, partitions: int) -> int:
    """Return the partition that Kafka's own clients choose for the row's key, or for its id if it has no key."""
    return kafka_topics.partition_of(row.key or row.id, partitions)
