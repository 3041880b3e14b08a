"""Kafka, as far as receipts need it: it can be away, or take its time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from hubspot_consumer.delivery.receipts import ReceiptsTopic
from hubspot_consumer.metrics import Telemetry
from runtime.clock import Clock
from schemas.deliveries import Receipt

MOST_OF_A_BATCH = 100


class Batch:
    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes]] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes) -> object | None:  # noqa: ARG002 - as aiokafka has it
        if len(self.records) == MOST_OF_A_BATCH:
            return None
        self.records.append((key, value))
        return self

    def close(self) -> None: ...


class ReceiptsKafka:
    """Holds what it took. *away*: it refuses. *silent*: it answers when `answer` is set.

    A batch with values of more than *largest* bytes is too large for the topic.
    """

    def __init__(self, *, away: bool = False, largest: int = 1 << 20) -> None:
        self.away = away
        self.largest = largest
        self.silent = self.topic_is_there = False
        self.answer = asyncio.Event()
        self.created = self.refusals = 0
        self.records: list[tuple[bytes, bytes]] = []

    @property
    def receipts(self) -> list[Receipt]:
        return [Receipt.model_validate_json(value) for _, value in self.records]

    def topic(self, clock: Clock, telemetry: Telemetry | None = None) -> ReceiptsTopic:
        return ReceiptsTopic(cast("Any", self), clock, telemetry or Telemetry())

    async def stop(self) -> None: ...

    async def batch(self) -> Batch:
        self._refuse_while_away()
        if not self.topic_is_there:
            self.created += 1
        self.topic_is_there = True
        return Batch()

    async def write_batch(self, batch: Batch) -> None:
        self._refuse_while_away()
        if self.silent:
            await self.answer.wait()
        if sum(len(value) for _, value in batch.records) > self.largest:
            raise MessageSizeTooLargeError
        self.records += batch.records

    def look_again(self) -> None:
        self.topic_is_there = False

    def _refuse_while_away(self) -> None:
        if self.away:
            self.refusals += 1
            raise KafkaConnectionError


class Acks:
    """Which of several receipts' events may be acked, in the order in which that was said."""

    def __init__(self) -> None:
        self.let_go: list[int] = []

    def of(self, number: int) -> Callable[[], None]:
        return lambda: self.let_go.append(number)


def put(topic: ReceiptsTopic, acks: Acks, numbers: Sequence[int]) -> None:
    for number in numbers:
        topic.put(b"ada@example.com", str(number).encode(), acks.of(number))
