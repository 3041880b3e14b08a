"""A topic of one partition that is read to its end and then followed, by everybody who has to know what is in it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NoReturn

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.kafka.topic_reader import Batches, Positions, TopicReader
from runtime.logs import logger

log = logger()

WAIT_MS: Final = 1_000

TakeIn = Callable[[Any], None]
"""Told each of aiokafka's records, in their order."""


class FollowedTopic:
    """Hands its records to *take_in*: all, or with *newest* those that are no older than that.

    A topic that is missing is empty, and is looked for again every *look_again_s* seconds.
    """

    def __init__(  # noqa: PLR0913 - what its users differ in
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
        self._take_in_one = take_in
        self._look_again_s: Final = look_again_s
        self._newest: Final = newest
        self._assigning = asyncio.Lock()

    async def start(self) -> None:
        """Return when all that is in the topic now was taken in. Raises KafkaError; may be called again then."""
        await self._reader.start()
        if await self._is_there():
            await self._reader.read_to(await self._reader.ends([self._partition]), self._take_in)

    async def follow(self) -> NoReturn:
        """Take in what is added, until cancelled; waits out an outage of Kafka."""
        while True:
            try:
                if await self._is_there():
                    break
                await self._clock.sleep(self._look_again_s)
            except (KafkaError, OSError) as error:
                await self._wait_out(error)
        await self._reader.follow(self._take_in, self._wait_out)

    async def caught_up(self) -> None:
        """Return when what is in the topic now was taken in, by the doing of `follow`. Raises KafkaError."""
        if await self._is_there():
            await self._reader.caught_up()

    async def stop(self) -> None:
        await self._reader.stop()

    async def _is_there(self) -> bool:
        async with self._assigning:
            if not self._reader.positions and await self._reader.has(self._partition.topic):
                if self._newest is None:
                    begin = await self._reader.starts([self._partition])
                else:
                    begin = await self._reader.since(self._clock.now() - self._newest, [self._partition])
                self._reader.read_from(begin)
        return bool(self._reader.positions)

    def _take_in(self, batches: Batches, _positions: Positions) -> None:
        for records in batches.values():
            for record in records:
                self._take_in_one(record)

    async def _wait_out(self, error: Exception) -> None:
        log.warning("topic.not_read", topic=self._partition.topic, error=type(error).__name__)
        await self._clock.sleep(self._look_again_s)
