"""The scan: the topics' events from a time to their present end into the store, and what comes after that.

It reads with bare aiokafka and no group: nothing of the workers' is touched.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from hubspot_consumer.dead_letters.corrections import Mend, mended
from hubspot_consumer.history.store import Columns, EventStore
from hubspot_consumer.kafka.records import Offsets, Place
from runtime.clock import Clock
from runtime.logs import logger
from schemas.contacts import ContactKey, contact_key
from schemas.envelope import Headers, UnreadableRecord, read_envelope
from schemas.events import MerchantContactUpdated

log = logger()

RECORDS_AT_ONCE: Final = 5_000
# Two connections' worth of fetches: what is read ahead, and never more.
MOST_BYTES: Final = 8 * 1024 * 1024
WAIT_MS: Final = 200
AGAIN_S: Final = 1.0

Progress = Callable[[int, int], None]
"""Told how many records were read, and of how many."""


class Scan:
    """Reads *partitions* into *store*, as they are. With *contacts*, keeps theirs alone.

    *mends* are for what it has to understand of them itself.
    """

    def __init__(  # noqa: PLR0913 - what was asked for
        self,
        options: Mapping[str, Any],
        partitions: Sequence[TopicPartition],
        store: EventStore,
        clock: Clock,
        contacts: Collection[ContactKey] = (),
        *,
        mends: Mapping[Place, Mend] = MappingProxyType({}),
    ) -> None:
        self._consumer = AIOKafkaConsumer(
            **options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=MOST_BYTES,
        )
        self._store = store
        self._clock = clock
        self._keys: Final = frozenset(key.encode() for key in contacts)
        self._mends: Final = mends
        self.partitions: Final = partitions
        self.positions: dict[tuple[str, int], int] = {}
        self._read = asyncio.Condition()

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._consumer.start()
        self._consumer.assign(self.partitions)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def begin(self, since: datetime | None, unfinished: Offsets) -> None:
        """Go to the first record at or after *since*, or to what a group has not finished, if that is before."""
        starts: dict[TopicPartition, int] = await self._consumer.beginning_offsets(self.partitions)
        if since is not None:
            ends = await self.ends()
            at_ms = int(since.timestamp() * 1000)
            found = await self._consumer.offsets_for_times(dict.fromkeys(self.partitions, at_ms))
            for partition in self.partitions:
                first = found[partition].offset if found.get(partition) else ends[partition]
                starts[partition] = max(starts[partition], min(first, unfinished.get(partition, first)))
        self._seek(starts)

    def go_on(self) -> bool:
        """Go to where the store says that reading had come to; return whether it says so."""
        kept = self._store.positions()
        known = {partition: kept[partition] for partition in self.partitions if partition in kept}
        if len(known) == len(self.partitions):
            self._seek(known)
        return len(known) == len(self.partitions)

    async def ends(self) -> dict[TopicPartition, int]:
        """Return where the partitions end now. Raises KafkaError."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self.partitions)
        return ends

    async def read_to(self, ends: Offsets, progress: Progress) -> None:
        """Return when all before *ends* is in the store. Raises KafkaError when Kafka stays away."""
        begun = dict(self.positions)
        total = sum(max(0, end - begun[partition]) for partition, end in ends.items())
        while not self.reached(ends):
            await self._read_some()
            progress(sum(self.positions[partition] - begun[partition] for partition in ends), total)

    async def follow(self) -> NoReturn:
        """Read what is added, until cancelled; waits out an outage of Kafka."""
        while True:
            try:
                await self._read_some()
            except (KafkaError, OSError) as error:
                log.warning("scan.not_read", error=type(error).__name__)
                await self._clock.sleep(AGAIN_S)

    async def caught_up(self) -> None:
        """Return when what the topics hold now is in the store, by the doing of `follow`; waits out an outage."""
        while True:
            try:
                ends = await self.ends()
                break
            except (KafkaError, OSError) as error:
                log.warning("scan.not_read", error=type(error).__name__)
                await self._clock.sleep(AGAIN_S)
        async with self._read:
            await self._read.wait_for(lambda: self.reached(ends))

    def reached(self, ends: Offsets) -> bool:
        return all(self.positions[partition] >= end for partition, end in ends.items())

    def _seek(self, positions: Offsets) -> None:
        self.positions = dict(positions)
        for partition, position in positions.items():
            self._consumer.seek(partition, position)
        self._store.add((), self.positions)

    async def _read_some(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=RECORDS_AT_ONCE)
        events: list[Columns] = []
        for records in batches.values():
            events += [event for record in records if (event := self._event(record)) is not None]
        # By its position and not by the last record: a partition may end in records that nobody sees.
        for partition in batches or self.partitions:
            self.positions[partition] = await self._consumer.position(partition)
        if batches:
            self._store.add(events, {part: self.positions[part] for part in batches})
        async with self._read:
            self._read.notify_all()

    def _event(self, record: Any) -> Columns | None:
        if b'"previous_email"' in (record.value or b""):
            self._note_move(record)
        if (self._keys and record.key not in self._keys) or not record.value:
            return None
        sequence = _sequence(record, self._as_mended(record))
        if sequence is None:
            return None
        key = record.key.decode(errors="replace")
        return key, sequence, record.topic, record.partition, record.offset, record.timestamp, record.value

    def _as_mended(self, record: Any) -> bytes:
        value: bytes = record.value
        return mended(value, self._mends.get((record.topic, record.partition, record.offset)))

    def _note_move(self, record: Any) -> None:
        try:
            envelope = read_envelope(record.key, self._as_mended(record))
        except UnreadableRecord:
            return
        payload = envelope.payload
        if isinstance(payload, MerchantContactUpdated) and payload.previous_email is not None:
            previous, key = contact_key(payload.previous_email), ContactKey(envelope.contact.email)
            if previous != key:
                self._store.note_move(previous, key, record.timestamp)


def _sequence(record: Any, as_mended: bytes) -> int | None:
    for name, value in record.headers:
        if name == "sequence" and value and len(value) < 19 and value.isdigit():
            return int(value)
    try:
        return read_envelope(record.key, as_mended).sequence
    except UnreadableRecord:
        return Headers.decode(record.headers).sequence if record.key else None
