"""Reading: from records to lanes, at the pace that delivery keeps."""

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Final

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.receipts import NO_RECEIPTS, Receipts
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lane import Pending
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from schemas.contacts import ContactKey, contact_key
from schemas.envelope import Headers, UnreadableRecord, read_envelope

# Contacts that can be written at once: enough for the calls of a few seconds. With fewer, what fills a hole or joins a
# fold is further on.
ENOUGH_CONTACTS: Final = 1_000
# Events read and not finished: what a worker holds in memory at the most, whatever the backlog.
MOST_UNFINISHED: Final = 15_000
ROOM_LOOK_EVERY_S: Final = 0.2
# Dead letters on their way to Kafka.
MOST_WRITING: Final = 500


class RecordConsumer:
    """Takes each record to its lane or to the dead letters, and holds the reader back when enough is unfinished."""

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
        receipts: Receipts = NO_RECEIPTS,
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
        """Return when there is room for the next record. Never raises for what a record holds."""
        while self._ended:
            await self._wait()
        self._telemetry.read.labels(record.topic).inc()
        self._alignment.read(record)
        finish = self._offsets.begin(record.topic, record.partition, record.offset)
        try:
            envelope = read_envelope(record.key, record.value)
        except UnreadableRecord as error:
            await self._set_aside(record, error, finish)
        else:
            key, event = ContactKey(envelope.contact.email), Pending(envelope.sequence, envelope, record, finish)
            if self._suppressions.contains(key):
                # Before it can wait for anything; those that were read before the contact was, `calls` passes over.
                self._telemetry.suppressed.inc()
                self._receipts.suppressed(event)
                finish()
            else:
                self._add(key, event)
        while self._full:
            await self._wait()

    def waited(self) -> bool:
        """Return whether reading waited for room since this was asked last."""
        waited, self._waited = self._waited, False
        return waited

    def end(self) -> None:
        """Take nothing more: what comes now is left to whoever reads next."""
        self._ended = True

    def forget(self) -> None:
        """Drop what is not finished: whoever holds the partitions next reads it again."""
        self._offsets.forget()
        self._lanes.forget()

    async def _set_aside(self, record: Record, error: UnreadableRecord, finish: Callable[[], None]) -> None:
        """Write a dead letter, and return meanwhile: a thousand unreadable records hold up nobody else's."""
        sequence = Headers.decode(record.headers).sequence
        key = _lane_of(record)
        if sequence and key is not None:
            # It keeps its place in the lane, or its contact's later events would wait for it.
            finish = _at_the_second_call(finish)
            self._add(key, Pending(sequence, None, record, finish))
        while self._may_write.locked():
            await self._wait()
        await self._may_write.acquire()
        writing = asyncio.create_task(self._write_dead_letter(record, error))
        self._writing.add(writing)
        writing.add_done_callback(partial(self._written, finish))

    async def _write_dead_letter(self, record: Record, error: UnreadableRecord) -> None:
        await self._dead_letters.put(record, error.reason, error.detail, attempts=0)
        self._receipts.unreadable(record, error)

    def _written(self, finish: Callable[[], None], writing: asyncio.Task[None]) -> None:
        self._writing.discard(writing)
        self._may_write.release()
        if writing.cancelled():
            return
        if (fault := writing.exception()) is not None:
            self._delivery.fail(fault)
        else:
            finish()

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
        # Whatever they wait for has not been read: to wait for them would be for ever.
        lanes = self._lanes
        others = lanes.can_run + lanes.unknown + lanes.backing_off + lanes.held + self._delivery.calls_in_flight
        return not others and lanes.holes > 0


def _at_the_second_call(finish: Callable[[], None]) -> Callable[[], None]:
    calls = itertools.count(1)

    def called() -> None:
        if next(calls) == 2:
            finish()

    return called


def _lane_of(record: Record) -> ContactKey | None:
    try:
        return contact_key((record.key or b"").decode())
    except ValueError:
        return None
