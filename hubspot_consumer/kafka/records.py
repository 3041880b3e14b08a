"""A record as it was read from Kafka, before it is parsed as an envelope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runtime.tracing import trace_id_of
from schemas.contacts import ContactKey, contact_hash, contact_key
from schemas.envelope import Headers
from schemas.texts import printable

# The limit, in characters, for ids from headers: a hand-made header may contain anything.
LONGEST_ID: Final = 64

# A topic and the number of its partition; aiokafka's TopicPartition is one too.
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def topic_partition(self) -> Partition:
        return self.topic, self.partition

    @property
    def order(self) -> tuple[datetime, str, int, int]:
        """What to sort records by: when Kafka stored them, and their place."""
        return self.timestamp, self.topic, self.partition, self.offset

    @property
    def contact_key(self) -> ContactKey | None:
        """The contact key that the record's key contains; None if it contains none."""
        try:
            return contact_key((self.key or b"").decode())
        except ValueError:
            return None

    @property
    def traceparent(self) -> str | None:
        # As in `Headers`, the last of several counts. Most records have none, and the others are not decoded.
        found = [value for name, value in self.headers if name == "traceparent"]
        return (found[-1] or b"").decode(errors="replace") or None if found else None

    @property
    def place(self) -> str:
        """The record's place, as topic-partition-offset."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields for log lines: place, event id, contact hash and trace id, without those that are missing."""
        headers = Headers.decode(self.headers)
        fields = {
            "event_id": printable(headers.id[:LONGEST_ID]),
            "contact": contact_hash(self.contact_key) if self.contact_key else "",
            "record": self.place,
            "trace_id": trace_id_of(headers.traceparent) or "",
        }
        return {name: value for name, value in fields.items() if value}


Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


Offsets = Mapping[tuple[str, int], int]
"""An offset by topic and partition."""
