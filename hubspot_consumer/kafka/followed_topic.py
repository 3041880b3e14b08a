"""A topic with one partition, which each of its readers reads to the end and then follows."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NoReturn

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.kafka.topic_reader import Batches, Positions, TopicReader
from runtime.logs import log
from schemas.times import moment_of

WAIT_MS: Final = 1_000

TakeIn = Callable[[Any], bool | None]
"""Called with each of aiokafka's records, in order of offset. Returns False for a record that it can't read."""


class FollowedTopic:
    """Passes all records to *take_in*, or with *newest* only those that are older than the last one by no more than it.

    The last record tells the brokers' time: this host's clock may be wrong.

    A missing topic counts as empty, and `follow` looks for it every *look_again_s* seconds.
    """

    def __init__(  # noqa: PLR0913 - its users differ in each of them
        self,
        options: Mapping[str, Any],
        topic: str,
        clock: Clock,
        take_in: TakeIn,
        *,
        look_again_s: float,
        newest: timedelta | None = None,
    ) -> None:
        self._reader: Final = TopicReader(options, wait_ms=WAIT_MS)
        self._partition: Final = TopicPartition(topic, 0)
        self._clock = clock
        self._take_in_record = take_in
        self._look_again_s: Final = look_again_s
        self._newest: Final = newest
        self._assigning = asyncio.Lock()
        # The number of records that could not be read.
        self.skipped = 0

    async def start(self) -> None:
        """Take in the topic up to its present end. Raises KafkaError, after which it may be called again."""
        await self._reader.start()
        if await self._is_there():
            await self._reader.read_to(await self._reader.ends([self._partition]), self._take_in_batches)

    async def follow(self) -> NoReturn:
        """Take in new records, until cancelled; an outage of Kafka is waited out."""
        while True:
            try:
                if await self._is_there():
                    break
                await self._clock.sleep(self._look_again_s)
            except (KafkaError, OSError) as error:
                await self._wait_out(error)
        await self._reader.follow(self._take_in_batches, self._wait_out)

    async def caught_up(self) -> None:
        """Wait until `follow` has taken in the topic up to its present end. Raises KafkaError."""
        if await self._is_there():
            await self._reader.caught_up()

    async def stop(self) -> None:
        await self._reader.stop()

    async def _is_there(self) -> bool:
        async with self._assigning:
            if not self._reader.positions and await self._reader.has(self._partition.topic):
                self._reader.read_from(await self._begin())
        return bool(self._reader.positions)

    async def _begin(self) -> Mapping[TopicPartition, int]:
        last = await self._reader.last(self._partition) if self._newest is not None else None
        if last is None or self._newest is None:
            return await self._reader.starts([self._partition])
        return await self._reader.since(moment_of(last.timestamp / 1000) - self._newest, [self._partition])

    def _take_in_batches(self, batches: Batches, _positions: Positions) -> None:
        for records in batches.values():
            for record in records:
                if self._take_in_record(record) is False:
                    self._skip(record)

    def _skip(self, record: Any) -> None:
        self.skipped += 1
        if self.skipped == 1:
            log.warning("topic.record_skipped", record=f"{record.topic}-{record.partition}-{record.offset}")

    async def _wait_out(self, error: Exception) -> None:
        log.warning("topic.not_read", topic=self._partition.topic, error=type(error).__name__)
        await self._clock.sleep(self._look_again_s)
