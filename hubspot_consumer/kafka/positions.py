"""Positions: the offset at which the Kafka client reads each partition, sought explicitly after each assignment.

A client that begins an assignment by itself may fetch records that Faust then drops: the client's position has moved
on, and the records are never read again. So nothing is fetched between a revocation and the seek of every partition to
the offset that Kafka stores for the group. For each record the offset that it follows is stored: Kafka has no record
between the two.

Every method but `follows`, `restart_of` and `skipped` runs in the event loop of the Kafka client.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from hubspot_consumer.kafka.records import Partition, Record
from runtime.clock import Clock
from runtime.logs import log

SEEK_AGAIN_S: Final = 1.0
# Without this, a caught-up worker would fetch each event by itself, by a request that names all partitions: three
# times the work. An event waits for it only if it comes just after another one, or after the end of an empty fetch.
FETCHES_APART_S: Final = 0.03

Fetched = Mapping[TopicPartition, Sequence[Any]]
Request = Callable[[Any, int, Any], Awaitable[bool]]
Sought = Callable[[Mapping[Partition, int]], None]
# The reason of a gap: records were "lost" between the client and the worker, none comes although there are more
# ("stalled"), Kafka has "deleted" them unread, a partition was truncated or recreated and is "restarted", or Kafka has
# "forgotten" the group's offset.
Gap = Literal["lost", "stalled", "deleted", "restarted", "forgotten"]


class Positions:
    """Seeks after each assignment, and allows fetches until the next revocation. *count* is called with each gap."""

    def __init__(self, clock: Clock, count: Callable[[Gap], None]) -> None:
        self._clock = clock
        self.count: Final = count
        self._may_fetch = asyncio.Event()
        self._seeking: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[Fetched] | None = None
        # The offset after the last fetched record, and the client's position: Kafka stores no record in between.
        self._read: dict[Partition, tuple[int, int]] = {}
        # The offset that a record follows, only for records that do not follow the offset before theirs.
        self._follows: dict[tuple[str, int, int], int] = {}
        self._restarts: dict[Partition, int] = {}

    def revoked(self) -> None:
        """Stop fetching until the next assignment was sought."""
        self._may_fetch.clear()
        for task in (self._seeking, self._fetching):
            if task is not None:
                # A fetch is cancelled only while it waits; once it has records, it returns them.
                task.cancel()

    def assigned(self, consumer: AIOKafkaConsumer, sought: Sought) -> None:
        """Seek every assigned partition of *consumer*, then call *sought* with the offsets, then allow fetches."""
        self._seeking = asyncio.create_task(self._seek(consumer, sought))

    async def fetch(
        self, consumer: AIOKafkaConsumer, fetch: Callable[[], Awaitable[Fetched]], timeout_s: float | None
    ) -> Fetched:
        """Return the result of *fetch*; nothing if the partitions are revoked, or not sought within *timeout_s*."""
        try:
            async with asyncio.timeout(timeout_s):
                # A revocation may come between the end of the wait and this check, after which nothing is awaited.
                while not self._may_fetch.is_set():
                    await self._may_fetch.wait()
        except TimeoutError:
            return {}
        fetching = self._fetching = asyncio.create_task(self._fetch(consumer, fetch))
        try:
            await asyncio.wait([fetching])
        finally:
            fetching.cancel()
        return {} if fetching.cancelled() else fetching.result()

    def spaced(self, request: Request) -> Request:
        """Return *request*, which fetches from a broker, with FETCHES_APART_S after that broker's last answer."""
        due: defaultdict[int, float] = defaultdict(float)

        async def spaced(assignment: Any, broker: int, wanted: Any) -> bool:
            try:
                await self._clock.sleep(max(0.0, due[broker] - self._clock.monotonic()))
            except asyncio.CancelledError:
                # aiokafka's request ends in the same way, and aiokafka awaits it.
                return False
            answered = await request(assignment, broker, wanted)
            due[broker] = self._clock.monotonic() + FETCHES_APART_S
            return answered

        return spaced

    async def seek_back(self, consumer: AIOKafkaConsumer, partition: Partition, offset: int) -> None:
        """Read a partition again from *offset* on, unless it was revoked."""
        if self._may_fetch.is_set() and partition in self._read:
            self._restarts.pop(partition, None)
            self._seek_to(consumer, TopicPartition(*partition), offset)

    def follows(self, record: Record) -> int:
        """Return the offset up to which the client had read before *record*; works once for each record."""
        return self._follows.pop((record.topic, record.partition, record.offset), record.offset)

    def restart_of(self, partition: Partition) -> int | None:
        """Return, once, the start offset of a partition that was truncated or recreated; None for others."""
        return self._restarts.pop(partition, None)

    def skipped(self) -> Iterator[tuple[Partition, int, int]]:
        """Yield the partitions whose position is beyond the end of the last record, with both offsets.

        The offsets in between are of transaction markers, or of records that Kafka has deleted or compacted.
        """
        return ((partition, end, to) for partition, (end, to) in list(self._read.items()) if to > end)

    async def _seek(self, consumer: AIOKafkaConsumer, sought: Sought) -> None:
        while True:
            try:
                starts = await _starts(consumer)
            except KafkaError as error:
                log.warning("reading.not_sought", error=type(error).__name__)
                await self._clock.sleep(SEEK_AGAIN_S)
            else:
                break
        self._read.clear()
        self._follows.clear()
        self._restarts.clear()
        for partition, start in starts.items():
            self._seek_to(consumer, partition, start)
        sought(starts)
        self._may_fetch.set()

    async def _fetch(self, consumer: AIOKafkaConsumer, fetch: Callable[[], Awaitable[Fetched]]) -> Fetched:
        try:
            fetched = await fetch()
        except OffsetOutOfRangeError as error:
            for partition, offset in error.args[0].items():
                await self._begin_anew(consumer, partition, offset)
            return {}
        # `position` does not wait after a seek, so the positions below are those of this fetch.
        for partition, records in fetched.items():
            end, _ = self._read[partition]
            for record in records:
                self._note(record, end)
                end = record.offset + 1
            self._read[partition] = end, end
        for partition, (end, _) in list(self._read.items()):
            self._read[partition] = end, await consumer.position(TopicPartition(*partition))
        return fetched

    def _note(self, record: Any, follows: int) -> None:
        place = record.topic, record.partition, record.offset
        if record.offset != follows:
            self._follows[place] = follows
        elif self._follows:
            # This fetch replaces the result of an earlier one.
            self._follows.pop(place, None)

    async def _begin_anew(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        """Continue a partition at its beginning, because Kafka does not have *offset*."""
        try:
            start = (await consumer.beginning_offsets([partition]))[partition]
        except KafkaError as error:
            # The next fetch fails in the same way, and this is tried again.
            log.warning("reading.not_sought", error=type(error).__name__)
            return
        fields = {"topic": partition.topic, "partition": partition.partition, "offset": offset, "start": start}
        if start > offset:
            log.error("reading.records_deleted", **fields)
            self.count("deleted")
            self._restarts.pop(partition, None)
            end, _ = self._read[partition]
            consumer.seek(partition, start)
            self._read[partition] = end, start
        else:
            log.error("reading.partition_restarted", **fields)
            self.count("restarted")
            for one in [one for one in self._follows if one[:2] == partition]:
                del self._follows[one]
            self._restarts[partition] = start
            self._seek_to(consumer, partition, start)

    def _seek_to(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        consumer.seek(partition, offset)
        self._read[partition] = offset, offset


async def _starts(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Return the group's committed offset in each assigned partition, or the beginning, committed, if it has none."""
    partitions = list(consumer.assignment())
    committed = dict(zip(partitions, await asyncio.gather(*map(consumer.committed, partitions)), strict=True))
    starts = {partition: offset for partition, offset in committed.items() if offset is not None}
    if uncommitted := [partition for partition in partitions if partition not in starts]:
        beginnings = await consumer.beginning_offsets(uncommitted)
        # From now on each of them has an offset, although it may be empty: one without has lost it.
        await consumer.commit(beginnings)
        starts |= beginnings
    return starts
