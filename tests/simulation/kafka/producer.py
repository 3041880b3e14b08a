"""The model of aiokafka's producer, as far as the product uses it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.protocol.produce import ProduceRequest

from runtime.kafka.topics import partition_of
from tests.simulation.kafka.broker import NewRecord
from tests.simulation.kafka.client import RETRY_AFTER_S, Client
from tests.simulation.loop import CURRENT


class Batch:
    """aiokafka's BatchBuilder: records that are sent together."""

    def __init__(self, now_ms: int, most_octets: int) -> None:
        self._now_ms: Final = now_ms
        self._room = most_octets
        self.records: Final[list[NewRecord]] = []

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> object | None:
        octets = 70 + len(key or b"") + len(value or b"") + sum(len(name) + len(one) for name, one in headers)
        if self.records and octets > self._room:
            return None
        self._room -= octets
        self.records.append(NewRecord(timestamp or self._now_ms, key, value, headers))
        return self

    def close(self) -> None: ...


class _Sending:
    """A batch that waits for its acknowledgement."""

    def __init__(self, records: Sequence[NewRecord], until: float, done: "asyncio.Future[Any]") -> None:
        self.records: Final = records
        self.until: Final = until
        self.done: Final = done


class Producer(Client):
    """AIOKafkaProducer: one batch of each partition is under way, and is sent again until it is acknowledged."""

    def __init__(
        self,
        *,
        enable_idempotence: bool = False,
        max_batch_size: int = 16_384,
        max_request_size: int = 1_048_576,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._id = next(self._cluster.producer_ids) if enable_idempotence else None
        self._octets: Final = max_batch_size
        self._largest: Final = max_request_size
        self._waiting: dict[TopicPartition, deque[_Sending]] = {}
        self._numbers: dict[TopicPartition, int] = {}
        self._senders: Final[dict[TopicPartition, asyncio.Task[None]]] = {}
        self.client = SimpleNamespace(send=self._request)

    async def stop(self) -> None:
        # Whoever gives the wait up leaves the batches to be sent all the same.
        if self._senders:
            await asyncio.wait(self._senders.values())

    def create_batch(self) -> Batch:
        return Batch(self._now_ms(), self._octets)

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> "asyncio.Future[Any]":
        if len(value or b"") > self._largest:
            raise MessageSizeTooLargeError
        if partition is None:
            partition = partition_of((key or b"").decode(), self._cluster.broker.topics.get(topic, 1))
        return self._put(TopicPartition(topic, partition), [NewRecord(self._now_ms(), key, value, headers or ())])

    async def send_and_wait(self, topic: str, **record: Any) -> Any:
        return await (await self.send(topic, **record))

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        return self._put(TopicPartition(topic, partition), batch.records)

    def _put(self, partition: TopicPartition, records: Sequence[NewRecord]) -> "asyncio.Future[Any]":
        loop = self._cluster.loop
        sending = _Sending(records, loop.time() + self._within_s, loop.create_future())
        self._waiting.setdefault(partition, deque()).append(sending)
        if (sender := self._senders.get(partition)) is None or sender.done():
            self._senders[partition] = asyncio.create_task(self._send_all(partition))
        return sending.done

    async def _send_all(self, partition: TopicPartition) -> None:
        waiting = self._waiting[partition]
        while waiting:
            sending = waiting.popleft()
            try:
                first = await self._sent(partition, sending)
            except KafkaError as error:
                if not sending.done.done():
                    sending.done.set_exception(error)
            else:
                if not sending.done.done():
                    sending.done.set_result(SimpleNamespace(offset=first))

    async def _sent(self, partition: TopicPartition, sending: _Sending) -> int:
        """Return the offset of the first record. Raises KafkaError; then the records may be stored all the same.

        An idempotent producer never gives up a batch, since the numbers of the next ones depend on it.
        """
        loop = self._cluster.loop
        number = self._numbers[partition] = self._numbers.get(partition, 0) + 1
        batch = (self._id, number) if self._id is not None else None

        def append() -> int:
            return self._cluster.broker.append(partition, sending.records, batch)

        while True:
            try:
                # The product replaces `client.send`, so that a batch that waited is not sent too late.
                first: int = await self.client.send(0, _Produce(append))
            except KafkaError as error:
                if not error.retriable or (self._id is None and loop.time() >= sending.until):
                    raise
            else:
                return first
            await asyncio.sleep(RETRY_AFTER_S)

    async def _request(self, _node: int, request: "_Produce") -> int:
        self._cluster.produces(CURRENT.get())
        first: int = await self._ask(request.act)
        return first


class _Produce(ProduceRequest):  # type: ignore[misc] # aiokafka is Any to mypy
    """A produce request, as the product recognizes it, and what it does."""

    def __init__(self, act: Any) -> None:
        self.act: Final = act
