"""A row of `outbox_events`, and the partition where its record goes."""

from functools import lru_cache
from typing import Final, NamedTuple

from aiokafka.partitioner import murmur2

from runtime.tracing import trace_id_of
from schemas.contacts import contact_hash, contact_key

# Contacts whose hash is remembered: it costs several times what the rest of a row's way through the relay does.
REMEMBERED: Final = 65_536


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
    return _positive_hash(row.key or row.id) % partitions


@lru_cache(REMEMBERED)
def _positive_hash(key: str) -> int:
    hashed: int = murmur2(key.encode())
    return hashed & 0x7FFFFFFF
