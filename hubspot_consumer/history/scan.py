"""The scan: it reads the topics' events from a time to the present end into the store, and then follows the topics.

It uses a bare aiokafka consumer without a group, so the workers' offsets and assignments are not touched.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hubspot_consumer.dead_letters.corrections import Correction, mended
from hubspot_consumer.history.store import Columns, EventStore
from hubspot_consumer.kafka.records import Offsets, Place
from runtime.clock import Clock
from runtime.kafka.topic_reader import Batches, Positions, Progress, TopicReader
from runtime.logs import log
from schemas.contacts import ContactKey, contact_key
from schemas.envelope import UnreadableRecord, read_envelope, sequence_in
from schemas.events import MerchantContactUpdated

# Limit of one fetch response in bytes, which bounds what is read ahead.
MOST_BYTES: Final = 8 * 1024 * 1024
AGAIN_S: Final = 1.0


class Scan:
    """Reads the events of *partitions* into *store*, unchanged; if there are *contacts*, only their events.

    It assigns and seeks *reader*, which must be started, and which another scan may have used before. Email changes
    are stored for all contacts, also those of further partitions from the offsets in *changes_from*. *mends* are the
    corrections by record: the scan applies them to read a sequence or an email change, not to the stored value.
    """

    def __init__(  # noqa: PLR0913 - the source, the store and the filters of the scan
        self,
        reader: TopicReader,
        partitions: Sequence[TopicPartition],
        store: EventStore,
        clock: Clock,
        *,
        contacts: Collection[ContactKey],
        mends: Mapping[Place, Correction],
        changes_from: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        self._reader: Final = reader
        self._store = store
        self._clock = clock
        self._keys: Final = frozenset(key.encode() for key in contacts)
        self._mends: Final = mends
        self._partitions: Final = partitions
        self._changes_from: Final = changes_from or {}

    async def begin(self, since: datetime | None, unfinished: Offsets) -> None:
        """Seek to the first record at or after *since*, or to the offset in *unfinished* if that is earlier."""
        starts = await self._reader.starts(self._partitions)
        if since is not None:
            for partition, first in (await self._reader.since(since, self._partitions)).items():
                starts[partition] = max(starts[partition], min(first, unfinished.get(partition, first)))
        self._go_to({**starts, **self._changes_from})

    def go_on(self) -> bool:
        """Seek to the positions in the store; return False, without a seek, if it lacks one of a partition."""
        kept = self._store.positions()
        if not kept.keys() >= {*self._partitions, *self._changes_from}:
            return False
        self._go_to({partition: kept[partition] for partition in (*self._partitions, *self._changes_from)})
        return True

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the present end offsets of the partitions. Raises KafkaError."""
        return await self._reader.ends([*self._partitions, *self._changes_from])

    async def read_to(self, ends: Offsets, progress: Progress) -> None:
        """Return when all records before *ends* are in the store. Raises KafkaError when Kafka does not answer."""
        await self._reader.read_to(ends, self._take_in, progress)

    async def follow(self) -> NoReturn:
        """Read new records until cancelled. Waits out an outage of Kafka."""
        await self._reader.follow(self._take_in, self._wait_out)

    async def caught_up(self) -> None:
        """Return when `follow`, which must be running, has stored what the topics hold now. Waits out an outage."""
        while True:
            try:
                return await self._reader.caught_up()
            except (KafkaError, OSError) as error:
                await self._wait_out(error)

    def _go_to(self, positions: Mapping[TopicPartition, int]) -> None:
        self._reader.read_from(positions)
        self._store.add((), positions)

    def _take_in(self, batches: Batches, positions: Positions) -> None:
        events: list[Columns] = []
        for records in batches.values():
            events += [event for record in records if (event := self._event(record)) is not None]
        if batches:
            self._store.add(events, positions)

    async def _wait_out(self, error: Exception) -> None:
        log.warning("scan.not_read", error=type(error).__name__)
        await self._clock.sleep(AGAIN_S)

    def _event(self, record: Any) -> Columns | None:
        if not record.key or not record.value:
            return None
        corrected = mended(record.value, self._mends.get((record.topic, record.partition, record.offset)))
        if b'"previous_email"' in corrected:
            self._note_move(record, corrected)
        if self._keys and record.key not in self._keys:
            return None
        sequence = _sequence(record, corrected)
        if sequence is None:
            return None
        key = record.key.decode(errors="replace")
        return key, sequence, record.topic, record.partition, record.offset, record.timestamp, record.value

    def _note_move(self, record: Any, corrected: bytes) -> None:
        try:
            envelope = read_envelope(record.key, corrected)
        except UnreadableRecord:
            return
        payload = envelope.payload
        if isinstance(payload, MerchantContactUpdated) and payload.previous_email is not None:
            previous, key = contact_key(payload.previous_email), ContactKey(envelope.contact.email)
            if previous != key:
                self._store.note_move(previous, key, record.timestamp)


def _sequence(record: Any, corrected: bytes) -> int | None:
    """Return the envelope's sequence, or that of the header where the envelope can't be read; None if neither has one.

    Nearly all envelopes are as the outbox writes them, and need no parsing: the header's sequence is the only one.
    """
    sequence, at = sequence_in(record.headers), corrected.find(b'"sequence"')
    only = at >= 0 and at == corrected.rfind(b'"sequence"')
    if sequence is not None and only and corrected.startswith(b'"sequence": %d,' % sequence, at):
        return sequence
    try:
        return read_envelope(record.key, corrected).sequence
    except UnreadableRecord:
        return sequence
