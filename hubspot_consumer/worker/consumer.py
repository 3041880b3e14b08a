"""The record consumer: puts records into lanes, no faster than delivery takes events from them."""

import asyncio
from collections.abc import Callable
from typing import Final

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.receipts import Receipts
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.ordering.pending import Pending
from runtime.clock import Clock
from schemas.contacts import ContactKey
from schemas.envelope import Headers, UnreadableRecord, read_envelope

# With this many contacts ready, which is enough for a few seconds of calls, reading waits. With fewer, the records that
# fill holes or join contact updates may still be unread.
ENOUGH_CONTACTS: Final = 1_000
# The limit for events that were read and are not acked bounds memory, whatever the backlog.
MOST_UNFINISHED: Final = 15_000
ROOM_LOOK_EVERY_S: Final = 0.2
# The limit for dead letters that Kafka has not taken yet.
MOST_WRITING: Final = 500


class RecordConsumer:
    """Puts each record into its lane or the dead letters, and makes reading wait at the limits above."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        lanes: Lanes,
        delivery: Dispatcher,
        offsets: Offsets,
        alignment: PartitionAlignment,
        suppressions: Suppressions,
        dead_letters: DeadLetterWriter,
        clock: Clock,
        telemetry: Telemetry,
        receipts: Receipts,
    ) -> None:
        self._lanes = lanes
        self._delivery = delivery
        self._offsets = offsets
        self._alignment = alignment
        self._suppressions = suppressions
        self._dead_letters = dead_letters
        self._clock = clock
        self._telemetry = telemetry
        self._receipts = receipts
        self._ended = False
        self._waited = False
        self._may_write = asyncio.Semaphore(MOST_WRITING)
        self._writing: set[asyncio.Task[None]] = set()

    async def take(self, record: Record) -> None:
        """Process a record, then wait until there is room for the next one. No content of a record raises an error."""
        while self._ended:
            await self._wait()
        self._telemetry.read_of(record.topic).inc()
        self._alignment.read(record)
        finish = self._offsets.begin(record.topic_partition, record.offset)
        try:
            envelope = read_envelope(record.key, record.value)
        except UnreadableRecord as error:
            await self._set_aside(record, error, finish)
        else:
            key, event = ContactKey(envelope.contact.email), Pending(envelope.sequence, envelope, record, finish)
            if self._suppressions.contains(key):
                # `LaneWriter` skips events that were read before their contact was suppressed.
                self._telemetry.suppressed.inc()
                self._receipts.suppressed(event)
                finish()
            else:
                self._add(key, event)
        while self._full:
            await self._wait()

    def waited(self) -> bool:
        """Return whether reading waited for room since the last call of this method."""
        waited, self._waited = self._waited, False
        return waited

    def end(self) -> None:
        """Process no more records; the next worker of the partitions reads them."""
        self._ended = True

    def forget(self) -> None:
        """Drop unfinished events; the next worker of the partitions reads them again."""
        self._offsets.forget()
        self._lanes.forget()

    async def _set_aside(self, record: Record, error: UnreadableRecord, finish: Callable[[], None]) -> None:
        """Begin to write a dead letter, and return before its end, so that unreadable records do not delay others."""
        sequence = Headers.decode(record.headers).sequence
        if sequence and (key := record.contact_key) is not None:
            # The dead letter fills its sequence in the lane, or its contact's later events would wait for it. The ack
            # waits for both: the lane finishes the event, and the written dead letter releases it.
            release = self._offsets.defer(record.topic_partition, record.offset)
            self._add(key, Pending(sequence, None, record, finish))
            finish = release
        while self._may_write.locked():
            await self._wait()
        await self._may_write.acquire()
        writing = asyncio.create_task(self._write_dead_letter(record, error, finish))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write_dead_letter(self, record: Record, error: UnreadableRecord, finish: Callable[[], None]) -> None:
        try:
            await self._dead_letters.put(record, error.reason, error.detail, attempts=0)
            self._receipts.unreadable(record, error)
            finish()
        except Exception as fault:  # noqa: BLE001 - whatever it is, the worker must end, and acks nothing
            self._delivery.fail(fault)
        finally:
            self._may_write.release()

    def _add(self, key: ContactKey, event: Pending) -> None:
        self._lanes.add(key, event)
        self._delivery.notify()

    async def _wait(self) -> None:
        self._waited = True
        await self._clock.sleep(ROOM_LOOK_EVERY_S)

    @property
    def _full(self) -> bool:
        if self._lanes.can_run >= ENOUGH_CONTACTS:
            return True
        return self._offsets.unfinished >= MOST_UNFINISHED and not self._nothing_but_holes

    @property
    def _nothing_but_holes(self) -> bool:
        # The events that fill the holes are unread, so reading must go on although the limit is reached.
        lanes = self._lanes
        others = lanes.can_run + lanes.unknown + lanes.backing_off + lanes.held + self._delivery.calls_in_flight
        return not others and lanes.holes > 0
