"""Receipts: a record of the outcome of each event, written when the event is finished, for later questions about it.

An event is acked after its receipt is in Kafka or was given up. So even when a worker is killed, an event that is not
read again has a receipt, unless that was given up. Nothing else waits for receipts.
"""

from collections.abc import Collection
from typing import Any, Final

from hubspot_consumer.delivery.receipts_topic import ReceiptsTopic
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.outcomes import Rejected
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import LONGEST_ID, Record
from hubspot_consumer.ordering.lane import Lane, Pending
from runtime.clock import Clock
from schemas.deliveries import Receipt, ReceiptOutcome
from schemas.envelope import Headers, UnreadableRecord

# The details of HubSpot and pydantic are shorter; the limit keeps any other one within the size of a record.
LONGEST_DETAIL: Final = 2_000
# After this rejection the contact has the event's values, and only the timeline entry is missing.
_TOOK_EFFECT: Final = "timeline_entry_rejected"


class Receipts:
    """Passes each receipt to *topic*, and defers its event's ack until the topic releases it.

    In a dry run, and where receipts are turned off, *topic* is None and no receipt is written.
    """

    def __init__(
        self, topic: ReceiptsTopic | None, offsets: Offsets, unwritable: UnwritableProperties, clock: Clock
    ) -> None:
        self._topic = topic
        self._offsets = offsets
        self._unwritable = unwritable
        self._clock = clock

    def delivered(self, event: Pending, lane: Lane) -> None:
        """Write that an event is in HubSpot; called before the event is finished, so that its ack is deferred."""
        properties = self._set_by(event)
        self._ended(event, "delivered", lane.attempts + 1, contact_id=lane.contact_id, properties=properties)

    def rejected(self, event: Pending, lane: Lane, rejection: Rejected) -> None:
        """Write that HubSpot rejected an event for good, which is now a dead letter."""
        self._ended(
            event,
            "dead_lettered",
            lane.attempts + 1,
            contact_id=lane.contact_id,
            properties=self._set_by(event) if rejection.reason == _TOOK_EFFECT else (),
            reason=rejection.reason,
            detail=rejection.detail[:LONGEST_DETAIL],
        )

    def suppressed(self, event: Pending, attempts: int = 0) -> None:
        """Write that an event was not sent because its contact is suppressed."""
        self._ended(event, "suppressed", attempts)

    def unreadable(self, record: Record, error: UnreadableRecord) -> None:
        """Write that a record has no valid envelope and is now a dead letter."""
        headers = Headers.decode(record.headers)
        self._write(
            record,
            record.contact_key or "",
            event_id=headers.id[:LONGEST_ID] or None,
            type=headers.type[:LONGEST_ID] or record.topic.rpartition(".")[2],
            sequence=headers.sequence,
            outcome="dead_lettered",
            attempts=0,
            reason=error.reason,
            detail=error.detail[:LONGEST_DETAIL],
        )

    def _ended(self, event: Pending, outcome: ReceiptOutcome, attempts: int, **fields: Any) -> None:
        if (envelope := event.envelope) is not None:
            fields |= {"event_id": str(envelope.id), "type": envelope.type, "sequence": envelope.sequence}
            self._write(event.record, envelope.contact.email, outcome=outcome, attempts=attempts, **fields)

    def _write(self, record: Record, key: str, **fields: Any) -> None:
        if self._topic is None:
            return
        # `model_construct` skips validation: the values were checked on reading, and thousands come per second.
        receipt = Receipt.model_construct(
            at=self._clock.now(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            published_at=record.timestamp,
            **fields,
        )
        let_go = self._offsets.defer(record.topic_partition, record.offset)
        self._topic.put(key.encode(), receipt.model_dump_json().encode(), let_go)

    def _set_by(self, event: Pending) -> Collection[str]:
        return tuple(sorted(event.mapped.contact.keys() - self._unwritable.names))
