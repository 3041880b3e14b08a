"""Receipts: a record of the outcome of each event, written when the event is finished, for later questions about it.

An event is acked after its receipt is in Kafka or was given up. So even when a worker is killed, an event that is not
read again has a receipt, unless that was given up. Nothing else waits for receipts: they are written in the background,
and their memory is bounded.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NoReturn

from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.outcomes import Rejected
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import LONGEST_ID, Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lane import Lane
from hubspot_consumer.ordering.pending import Pending
from runtime.clock import Clock, set_within
from runtime.kafka.new_topics import TopicsNotReady
from runtime.kafka.topic_writer import TOO_LARGE, TopicWriter
from runtime.logs import log
from schemas.deliveries import ReceiptOutcome, receipt_value
from schemas.envelope import Headers, UnreadableRecord
from schemas.texts import LONGEST_KEPT, printable

# After this rejection the contact has the event's values, and only the timeline entry is missing.
_TOOK_EFFECT: Final = "timeline_entry_rejected"
# The limit is above `MOST_UNFINISHED` of `worker/consumer.py`, so no receipt is dropped while all of Kafka is away.
MOST_WAITING: Final = 20_000
# Acks wait no longer than this, and go on without receipts while only these can't be written.
ACK_WITHIN_S: Final = 5.0
RETRY_S: Final = 1.0
# Commits come every half second, so acks lose nothing by this, and many receipts share a request to Kafka.
GATHER_S: Final = 0.05
# So many receipts fill a request, and wait for no more.
ENOUGH_TOGETHER: Final = 500
LATE_RECEIPTS_EVERY_S: Final = 0.5
MOST_BYTES_OF_A_BATCH: Final = 256 * 1024


@dataclass(eq=False, slots=True)
class _Waiting:
    """A receipt that Kafka has not taken, and the callback that releases its event's ack, or None once called."""

    key: bytes
    value: bytes
    since: float
    release: Callable[[], None] | None

    def release_ack(self) -> None:
        if self.release is not None:
            self.release()
            self.release = None


class ReceiptsTopic:
    """Sends receipts in batches, in the order in which they were `put`.

    Receipts that Kafka does not take are sent again; one that is too large for the topic is dropped, so that it does
    not hold up the others. Beyond `MOST_WAITING`, new receipts are dropped. Dropped receipts are counted, and an error
    is logged once per outage.
    """

    def __init__(self, writer: TopicWriter, clock: Clock, telemetry: Telemetry) -> None:
        self._writer = writer
        self._clock = clock
        self._telemetry = telemetry
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        # These flags let an outage be logged once.
        self._failing = False
        self._dropping = False
        self._most_together = MOST_WAITING
        self.written = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many receipts Kafka has not taken yet."""
        return len(self._waiting)

    def put(self, key: bytes, value: bytes, release: Callable[[], None]) -> None:
        """Queue a receipt; *release* is called once, when it is in Kafka, dropped, or older than ACK_WITHIN_S."""
        if len(self._waiting) >= MOST_WAITING:
            self._note_dropped()
            release()
            return
        self._waiting.append(_Waiting(key, value, self._clock.monotonic(), release))
        self._emptied.clear()
        self._arrived.set()

    async def write(self) -> NoReturn:
        """Send the queued receipts, until cancelled; an outage of Kafka is waited out."""
        while True:
            await self._arrived.wait()
            if len(self._waiting) < ENOUGH_TOGETHER:
                await self._clock.sleep(GATHER_S)
            together = await self._send()
            if together is None:
                await self._clock.sleep(RETRY_S)
                continue
            if together:
                for _ in range(together):
                    self._waiting.popleft().release_ack()
                self.written += together
                self._telemetry.receipts.labels("written").inc(together)
                self._dropping = False
            if not self._waiting:
                self._arrived.clear()
                self._emptied.set()

    async def release_late(self) -> NoReturn:
        """Release the acks that were deferred for longer than ACK_WITHIN_S, until cancelled; runs beside `write`."""
        while True:
            late = self._clock.monotonic() - ACK_WITHIN_S
            for receipt in self._waiting:
                if receipt.since > late:
                    break
                receipt.release_ack()
            await self._clock.sleep(LATE_RECEIPTS_EVERY_S)

    async def flush(self, seconds: float) -> None:
        """Return when no receipt waits, or after *seconds*."""
        await set_within(self._emptied, max(0.0, seconds))

    async def stop(self) -> None:
        await self._writer.stop()

    async def _send(self) -> int | None:
        """Send a batch of the oldest receipts; return how many Kafka took, or None after an error."""
        together = 0
        try:
            batch = await self._writer.batch()
            together = self._fill(batch)
            await self._writer.write_batch(batch)
        except TOO_LARGE:
            # The topic takes less at once than Kafka's default: fewer receipts are sent next, and in the end one alone.
            self._most_together = together // 2
            if not self._most_together:
                self._note_dropped()
                self._waiting.popleft().release_ack()
                self._most_together = 1
            return 0
        except (KafkaError, OSError, TimeoutError, TopicsNotReady) as error:
            if not self._failing:
                log.warning("receipts.not_written", topic=self._writer.topic, error=type(error).__name__)
            self._failing = True
            self._writer.look_again()
            return None
        if self._failing:
            log.info("receipts.written_again", topic=self._writer.topic)
        self._failing = False
        self._most_together = min(MOST_WAITING, 2 * self._most_together)
        return together

    def _note_dropped(self) -> None:
        if not self._dropping:
            log.error("receipts.dropped", topic=self._writer.topic, waiting=len(self._waiting))
        self._dropping = True
        self.dropped += 1
        self._telemetry.receipts.labels("dropped").inc()

    def _fill(self, batch: BatchBuilder) -> int:
        """Fill a batch with the oldest receipts, and return how many it has."""
        together = 0
        for receipt in islice(self._waiting, self._most_together):
            if batch.append(timestamp=None, key=receipt.key, value=receipt.value) is None:
                break
            together += 1
        batch.close()
        return together


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
            detail=rejection.detail[:LONGEST_KEPT],
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
            event_id=printable(headers.id[:LONGEST_ID]) or None,
            type=printable(headers.type[:LONGEST_ID]) or record.topic.rpartition(".")[2],
            sequence=headers.sequence,
            outcome="dead_lettered",
            attempts=0,
            reason=error.reason,
            detail=error.detail[:LONGEST_KEPT],
        )

    def _ended(self, event: Pending, outcome: ReceiptOutcome, attempts: int, **fields: Any) -> None:
        if (envelope := event.envelope) is not None:
            fields |= {"event_id": envelope.id, "type": envelope.type, "sequence": envelope.sequence}
            self._write(event.record, envelope.contact.email, outcome=outcome, attempts=attempts, **fields)

    def _write(self, record: Record, key: str, **fields: Any) -> None:
        if self._topic is None:
            return
        value = receipt_value(
            at=self._clock.now(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            published_at=record.timestamp,
            **fields,
        )
        release = self._offsets.defer(record.topic_partition, record.offset)
        self._topic.put(key.encode(), value, release)

    def _set_by(self, event: Pending) -> tuple[str, ...]:
        return _in_order(tuple(self._unwritable.without(event.mapped.contact)))


@lru_cache(maxsize=256)
def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    # The events of a type set the same few properties.
    return tuple(sorted(names))
