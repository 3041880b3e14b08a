"""The writer of a topic with one partition, which it creates before the first record if it is missing."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from runtime.kafka.connection import KafkaConnection
from runtime.kafka.new_topics import make_sure_of

# Our producer's limit, or the topic's.
TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)

Headers = Sequence[tuple[str, bytes]]


class TopicWriter:
    """Writes *topic*. Before the first record it connects, and creates the topic if it is missing.

    *options* are options of aiokafka's producer. All methods that write raise KafkaError and TopicsNotReady.
    """

    def __init__(self, kafka: KafkaConnection, topic: str, **options: Any) -> None:
        self._kafka: Final = kafka
        self.topic: Final = topic
        self._options: Final = {"enable_idempotence": True} | options
        self._producer: AIOKafkaProducer | None = None
        self._there = False
        self._starting: Final = asyncio.Lock()

    async def start(self) -> None:
        """Return when the topic is ready for writes. The method may be called again, also after an error."""
        await self._started()

    async def write(self, key: bytes, value: bytes | None) -> None:
        """Return when Kafka has acknowledged the record."""
        await (await self.send(key, value))

    async def send(self, key: bytes, value: bytes | None, headers: Headers = ()) -> Awaitable[object]:
        """Return an awaitable that ends when Kafka has acknowledged the record."""
        producer = await self._started()
        sent: Awaitable[object] = await producer.send(self.topic, value, key, 0, headers=headers)
        return sent

    async def batch(self) -> BatchBuilder:
        """Return an empty batch for `write_batch`."""
        return (await self._started()).create_batch()

    async def write_batch(self, batch: BatchBuilder) -> None:
        """Return when Kafka has acknowledged all records of the batch."""
        producer = await self._started()
        await (await producer.send_batch(batch, self.topic, partition=0))

    def look_again(self) -> None:
        """Check before the next record whether the topic exists: it may have been deleted."""
        self._there = False

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if not self._there:
                await make_sure_of(self._kafka, self.topic)
                self._there = True
            if self._producer is None:
                self._producer = await connected_producer(self._kafka.client_options(), **self._options)
            return self._producer


async def connected_producer(kafka: Mapping[str, Any], **options: Any) -> AIOKafkaProducer:
    """Return a connected producer whose records all copies acknowledge. Raises KafkaError, and leaves nothing open."""
    producer = AIOKafkaProducer(**kafka, acks="all", **options)
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer
