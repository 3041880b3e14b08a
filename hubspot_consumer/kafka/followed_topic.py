"""A topic of one partition that is read to its end and then followed, by everybody who has to know what is in it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.logs import logger

log = logger()

WAIT_MS: Final = 1_000

TakeIn = Callable[[Any], None]
"""Told each of aiokafka's records, in their order."""


class FollowedTopic:
    """Hands its records to *take_in*: all, or with *newest* those that are no older than that.

    A topic that is missing is empty, and is looked for again every *look_again_s* seconds.
    """

    def __init__(  # noqa: PLR0913 - what its two users differ in
        self,
        options: Mapping[str, Any],
        topic: str,
        clock: Clock,
        take_in: TakeIn,
        *,
        look_again_s: float,
        newest: timedelta | None = None,
    ) -> None:
        self._consumer: Final = AIOKafkaConsumer(**options, auto_offset_reset="earliest", enable_auto_commit=False)
        self._partition: Final = TopicPartition(topic, 0)
        self._clock = clock
        self._take_in = take_in
        self._look_again_s: Final = look_again_s
        self._newest: Final = newest
        self._started = False
        self._assigned = False
        self._assigning = asyncio.Lock()
        self._position = 0
        self._read = asyncio.Condition()

    async def start(self) -> None:
        """Return when all that is in the topic now was taken in. Raises KafkaError; may be called again then."""
        if not self._started:
            await self._consumer.start()
            self._started = True
        if await self._is_there():
            end = await self._end()
            while self._position < end:
                await self._read_some()

    async def follow(self) -> NoReturn:
        """Take in what is added, until cancelled; waits out an outage of Kafka."""
        while True:
            try:
                if await self._is_there():
                    await self._read_some()
                    continue
            except (KafkaError, OSError) as error:
                log.warning("topic.not_read", topic=self._partition.topic, error=type(error).__name__)
            await self._clock.sleep(self._look_again_s)

    async def caught_up(self) -> None:
        """Return when what is in the topic now was taken in, by the doing of `follow`. Raises KafkaError."""
        if not await self._is_there():
            return
        end = await self._end()
        async with self._read:
            await self._read.wait_for(lambda: self._position >= end)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def _is_there(self) -> bool:
        if self._assigned:
            return True
        async with self._assigning:
            if not self._assigned and self._partition.topic in await self._consumer.topics():
                self._consumer.assign([self._partition])
                if self._newest is not None:
                    await self._seek(self._newest)
                self._position = await self._consumer.position(self._partition)
                self._assigned = True
        return self._assigned

    async def _seek(self, newest: timedelta) -> None:
        since_ms = int((self._clock.now() - newest).timestamp() * 1000)
        found = (await self._consumer.offsets_for_times({self._partition: since_ms}))[self._partition]
        self._consumer.seek(self._partition, found.offset if found is not None else await self._end())

    async def _end(self) -> int:
        end: int = (await self._consumer.end_offsets([self._partition]))[self._partition]
        return end

    async def _read_some(self) -> None:
        for records in (await self._consumer.getmany(timeout_ms=WAIT_MS)).values():
            for record in records:
                self._take_in(record)
        # By its position and not by the last record: a topic may end in records that nobody sees.
        self._position = await self._consumer.position(self._partition)
        async with self._read:
            self._read.notify_all()
