"""Receipts: what the worker says of each event once it has ended, for whoever asks later what became of it.

An event is acked after its receipt is on Kafka, or given up: so whatever is killed, an event that is not read again
has left one. Nothing else waits for receipts.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final, Protocol

from hubspot_consumer.delivery.receipts_topic import ReceiptsTopic
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.outcomes import Rejected
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import LONGEST_ID, Record
from hubspot_consumer.ordering.lane import Lane, Pending
from runtime.clock import Clock
from schemas.contacts import ContactKey, contact_key
from schemas.deliveries import Receipt, ReceiptOutcome
from schemas.envelope import Envelope, Headers, UnreadableRecord

# HubSpot's answers and pydantic's faults are shorter; whatever is not must still fit a record.
LONGEST_DETAIL: Final = 2_000
# The contact holds the event: only the entry on its timeline is missing.
_TOOK_EFFECT: Final = "timeline_entry_rejected"


class Receipts(Protocol):
    def delivered(self, event: Pending, lane: Lane) -> None:
        """Say that HubSpot holds an event, before its lane says that it is finished."""

    def rejected(self, event: Pending, lane: Lane, rejection: Rejected) -> None:
        """Say that HubSpot will never take an event, which is a dead letter now."""

    def suppressed(self, event: Pending, attempts: int = 0) -> None:
        """Say that an event's contact must not be written."""

    def unreadable(self, record: Record, error: UnreadableRecord) -> None:
        """Say that a record is no envelope, and a dead letter now."""


class NoReceipts:
    """Says nothing: a dry run delivers nothing."""

    def delivered(self, event: Pending, lane: Lane) -> None: ...

    def rejected(self, event: Pending, lane: Lane, rejection: Rejected) -> None: ...

    def suppressed(self, event: Pending, attempts: int = 0) -> None: ...

    def unreadable(self, record: Record, error: UnreadableRecord) -> None: ...


NO_RECEIPTS: Final = NoReceipts()


class ReceiptsOnKafka:
    """Hands each receipt to its topic, and has its event's ack withheld until the topic lets go of it."""

    def __init__(self, topic: ReceiptsTopic, offsets: Offsets, unwritable: UnwritableProperties, clock: Clock) -> None:
        self._topic = topic
        self._offsets = offsets
        self._unwritable = unwritable
        self._clock = clock

    def delivered(self, event: Pending, lane: Lane) -> None:
        if event.envelope is None:
            return
        receipt = _of(event.envelope, event.record, "delivered", self._clock.now(), lane.attempts + 1)
        self._put(receipt, lane.key, contact_id=lane.contact_id, properties=self._set_by(event))

    def rejected(self, event: Pending, lane: Lane, rejection: Rejected) -> None:
        if event.envelope is None:
            return
        receipt = _of(event.envelope, event.record, "dead_lettered", self._clock.now(), lane.attempts + 1)
        properties = self._set_by(event) if rejection.reason == _TOOK_EFFECT else ()
        why = {"reason": rejection.reason, "detail": rejection.detail[:LONGEST_DETAIL]}
        self._put(receipt, lane.key, contact_id=lane.contact_id, properties=properties, **why)

    def suppressed(self, event: Pending, attempts: int = 0) -> None:
        if event.envelope is None:
            return
        receipt = _of(event.envelope, event.record, "suppressed", self._clock.now(), attempts)
        self._put(receipt, ContactKey(event.envelope.contact.email))

    def unreadable(self, record: Record, error: UnreadableRecord) -> None:
        headers = Headers.decode(record.headers)
        receipt = Receipt(
            event_id=headers.id[:LONGEST_ID] or None,
            type=headers.type[:LONGEST_ID] or record.topic.rpartition(".")[2],
            sequence=headers.sequence,
            outcome="dead_lettered",
            at=self._clock.now(),
            attempts=0,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            published_at=record.timestamp,
        )
        self._put(receipt, _key_of(record), reason=error.reason, detail=error.detail[:LONGEST_DETAIL])

    def _put(self, receipt: Receipt, key: str, **more: object) -> None:
        let_go = self._offsets.defer(receipt.topic, receipt.partition, receipt.offset)
        self._topic.put(key.encode(), receipt.model_copy(update=more).model_dump_json().encode(), let_go)

    def _set_by(self, event: Pending) -> Collection[str]:
        return tuple(sorted(event.mapped.contact.keys() - self._unwritable.names))


def _of(envelope: Envelope, record: Record, outcome: ReceiptOutcome, at: datetime, attempts: int) -> Receipt:
    # Of what was checked when it was read: thousands a second.
    return Receipt.model_construct(
        event_id=str(envelope.id),
        type=envelope.type,
        sequence=envelope.sequence,
        outcome=outcome,
        at=at,
        attempts=attempts,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        published_at=record.timestamp,
    )


def _key_of(record: Record) -> str:
    try:
        return contact_key((record.key or b"").decode())
    except ValueError:
        return ""
