"""The reader of topics: it reads assigned partitions without a consumer group, to an end or continuously."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

# With more at once, memory is read again that the processor has no longer at hand.
RECORDS_AT_ONCE: Final = 1_000
WAIT_MS: Final = 200

Positions = Mapping[TopicPartition, int]
Batches = Mapping[TopicPartition, Sequence[Any]]
"""aiokafka's records, by partition and in the partition's order."""

TakeIn = Callable[[Batches, Positions], object]
"""A callback with the records that were read, and the positions after them."""

WaitOut = Callable[[Exception], Awaitable[None]]
"""A callback with the exception of a failed read. It returns when the read is to be tried again."""

Progress = Callable[[int, int], object]
"""A callback with the number of records that were read, and their total number."""


def _no_progress(_done: int, _total: int) -> None: ...


class TopicReader:
    """Reads partitions. It measures progress by positions, not by records: a partition may end in invisible control
    records.

    *more* are options of aiokafka's consumer. As a context, the reader is started and stopped. Methods that send a
    request to Kafka raise KafkaError.
    """

    def __init__(self, options: Mapping[str, Any], *, wait_ms: int = WAIT_MS, **more: Any) -> None:
        ours = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
        self._consumer: Final = AIOKafkaConsumer(**options, **(ours | more))
        self._wait_ms: Final = wait_ms
        self._started = False
        self._read = asyncio.Condition()
        self.positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connect to Kafka. The method may be called again after an error."""
        if not self._started:
            await self._consumer.start()
            self._started = True

    async def stop(self) -> None:
        """Close the connections, also while Kafka is away."""
        try:
            await self._consumer.stop()
        except asyncio.CancelledError:
            # aiokafka raises it itself where a fetch waits for its next attempt, and leaves its connections open.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            await self._consumer._client.close()  # noqa: SLF001 - a second `stop` does nothing

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def has(self, topic: str) -> bool:
        """Return whether *topic* exists, without creating it."""
        return topic in await self._consumer.topics()

    def read_from(self, positions: Positions) -> None:
        """Read only these partitions, from these positions on."""
        self.assign(positions)
        self.seek(positions)

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read only these partitions. `seek` must set the position of each partition that is new."""
        if self._consumer.assignment() != set(partitions):
            self._consumer.assign(list(partitions))
        self.positions = {one: at for one, at in self.positions.items() if one in partitions}

    def seek(self, positions: Positions) -> None:
        """Continue at these positions."""
        self.positions |= positions
        for partition, position in positions.items():
            self._consumer.seek(partition, position)

    async def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the partitions' first offsets."""
        self._learn(partitions)
        return dict(await self._consumer.beginning_offsets(partitions))

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the partitions' current end offsets."""
        self._learn(partitions)
        return dict(await self._consumer.end_offsets(partitions))

    async def last(self, partition: TopicPartition) -> Any:
        """Return the last of aiokafka's records in *partition*; None if it has none, or ends in a transaction marker.

        The reader reads nothing afterwards until it is told what.
        """
        start, end = (await self.starts([partition]))[partition], (await self.ends([partition]))[partition]
        if start == end:
            # A fetch would wait for a record.
            return None
        self.read_from({partition: end - 1})
        try:
            batches, _ = await self.fetch()
        finally:
            self.assign([])
        return next(iter(batches.get(partition, ())), None)

    async def since(self, moment: datetime, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset of each partition's first record at or after *moment*, or its end offset without one."""
        [offsets] = await self.since_each([moment], partitions)
        return offsets

    async def since_each(
        self, moments: Sequence[datetime], partitions: Collection[TopicPartition]
    ) -> list[dict[TopicPartition, int]]:
        """Return what `since` returns, for each of *moments*, as of one time."""
        ends = await self.ends(partitions)
        asked = [dict.fromkeys(partitions, int(moment.timestamp() * 1000)) for moment in moments]
        found = await asyncio.gather(*map(self._consumer.offsets_for_times, asked))
        return [{one: at[one].offset if at.get(one) else ends[one] for one in partitions} for at in found]

    def reached(self, ends: Positions) -> bool:
        """Return whether all records before *ends* were processed."""
        return all(self.positions[partition] >= end for partition, end in ends.items())

    async def records_to(self, ends: Positions, progress: Progress = _no_progress) -> AsyncIterator[Any]:
        """Yield aiokafka's records before *ends*, in the order of each partition."""
        async for batches, _ in self._batches_to(ends, progress):
            for partition, records in batches.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record

    async def read_to(self, ends: Positions, take_in: TakeIn, progress: Progress = _no_progress) -> None:
        """Process all records before *ends* with *take_in*."""
        async for batches, positions in self._batches_to(ends, progress):
            take_in(batches, positions)

    async def follow(self, take_in: TakeIn, wait_out: WaitOut) -> NoReturn:
        """Process new records with *take_in* until cancelled. *wait_out* waits for the end of an outage of Kafka."""
        while True:
            try:
                batches, positions = await self.fetch()
                take_in(batches, positions)
                await self._move_to(positions)
            except (KafkaError, OSError) as error:
                await wait_out(error)

    async def caught_up(self) -> None:
        """Return when `follow` has processed all records that the partitions have now."""
        ends = await self.ends(list(self.positions))
        async with self._read:
            await self._read.wait_for(lambda: self.reached(ends))

    async def fetch(self) -> tuple[Batches, Positions]:
        """Return the next records, possibly none, and the positions after them."""
        batches: Batches = await self._consumer.getmany(timeout_ms=self._wait_ms, max_records=RECORDS_AT_ONCE)
        return batches, {one: await self._consumer.position(one) for one in batches or self.positions}

    def _learn(self, partitions: Collection[TopicPartition]) -> None:
        # aiokafka would learn of one new topic after the other, and wait for 100 ms after each.
        for topic in {partition.topic for partition in partitions}:
            self._consumer._client.add_topic(topic)  # noqa: SLF001 - no public way

    async def _batches_to(self, ends: Positions, progress: Progress) -> AsyncIterator[tuple[Batches, Positions]]:
        begun = dict(self.positions)
        total = sum(max(0, end - begun[partition]) for partition, end in ends.items())
        while not self.reached(ends):
            batches, positions = await self.fetch()
            yield batches, positions
            await self._move_to(positions)
            progress(sum(min(end, self.positions[one]) - min(end, begun[one]) for one, end in ends.items()), total)

    async def _move_to(self, positions: Positions) -> None:
        self.positions |= positions
        async with self._read:
            self._read.notify_all()
