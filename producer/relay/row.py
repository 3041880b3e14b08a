"""A row of `outbox_events`, and the partition where its record goes."""

from typing import NamedTuple

from runtime.kafka import topics as kafka_topics
from runtime.tracing import trace_id_of
from schemas.contacts import contact_hash, contact_key


class Row(NamedTuple):
    """A row as text. What was inserted by hand may lack a key, a sequence or a payload."""

    position: int
    id: str
    key: str | None
    type: str
    sequence: int | None
    payload: str | None
    traceparent: str | None

    @property
    def told(self) -> dict[str, str]:
        """What log lines say of it: which event, whose, and of which trace, as far as it tells."""
        told = {"event_id": self.id, "contact": self._contact, "trace_id": trace_id_of(self.traceparent) or ""}
        return {name: value for name, value in told.items() if value}

    @property
    def _contact(self) -> str:
        try:
            return contact_hash(contact_key(self.key or ""))
        except ValueError:
            return ""


def partition_of(row: Row, partitions: int) -> int:
    """Return where Kafka's own clients would put the row's key; a row without one is spread by its id."""
    return kafka_topics.partition_of(row.key or row.id, partitions)
