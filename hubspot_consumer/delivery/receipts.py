"""Receipts: a record of the outcome of each event, written when the event is finished, for later questions about it.

An event is acked after its receipt is in Kafka or was given up. So even when a worker is killed, an event that is not
read again has a receipt, unless that was given up. Nothing else waits for receipts.
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

# The details of HubSpot and pydantic are shorter; the limit keeps any other one within the size of a record.
LONGEST_DETAIL: Final = 2_000
# After this rejection the contact has the event's values, and only the timeline entry is missing.
_TOOK_EFFECT: Final = "timeline_entry_rejected"


class Receipts(Protocol):
    def delivered(self, event: Pending, lane: Lane) -> None:
        """Write that an event is in HubSpot; called before the event is finished, so that its ack is deferred."""

    def rejected(self, event: Pending, lane: Lane, rejection: Rejected) -> None:
        """Write that HubSpot rejected an event for good, which is now a dead letter."""

    def suppressed(self, event: Pending, attempts: int = 0) -> None:
        """Write that an event was not sent because its contact is suppressed."""

    def unreadable(self, record: Record, error: UnreadableRecord) -> None:
        """Write that a record has no valid envelope and is now a dead letter."""


class NoReceipts:
    """Writes no receipts: for a dry run, and where receipts are turned off."""

    def delivered(self, event: Pending, lane: Lane) -> None: ...

    def rejected(self, event: Pending, lane: Lane, rejection: Rejected) -> None: ...

    def suppressed(self, event: Pending, attempts: int = 0) -> None: ...

    def unreadable(self, record: Record, error: UnreadableRecord) -> None: ...


NO_RECEIPTS: Final = NoReceipts()


class ReceiptsOnKafka:
    """Passes each receipt to its topic, and defers its event's ack until the topic releases it."""

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
    # `model_construct` skips validation: the values were checked on reading, and thousands come per second.
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
