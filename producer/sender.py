"""The sender: rows to Kafka, each contact's in order, and word of exactly those that Kafka acknowledged."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from producer.telemetry import Telemetry
from producer.topics import TopicsNotReady, UnequalPartitions, find
from producer.waves import Row, Wave, waves
from runtime.clock import Clock
from schemas.dead_letters import DeadLetter
from schemas.envelope import Headers
from schemas.events import EVENTS
from schemas.topics import Topics

# Well below the megabyte that a broker takes.
LARGEST_BATCH: Final = 512 * 1024
# Also the time after which a batch that nobody acknowledged is given up, and published again.
REQUEST_TIMEOUT_S: Final = 15.0
CLOSE_WITHIN_S: Final = 2.0

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
FAULTS: Final = (KafkaError, OSError, TopicsNotReady, UnequalPartitions)


@dataclass(frozen=True)
class Sent:
    """The positions that Kafka acknowledged, and what kept it from acknowledging the others, if anything did."""

    positions: Sequence[int]
    fault: Exception | None


class Sender:
    """Publishes with an idempotent producer, which it makes anew after a fault: its sequence numbers are void then."""

    def __init__(self, kafka: dict[str, Any], topics: Topics, clock: Clock, telemetry: Telemetry) -> None:
        self._kafka: Final = kafka
        self._topics: Final = topics
        self._clock: Final = clock
        self._telemetry: Final = telemetry
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0
        # What Kafka found too large: rows to try one by one, then to dead-letter, then to leave where they are.
        self._alone: set[int] = set()
        self._too_large: set[int] = set()
        self.unpublishable: set[int] = set()

    async def send(self, rows: Iterable[Row]) -> Sent:
        """Publish *rows*, which are in the order of their positions. What is not acknowledged may be published again.

        A row of an unknown type, or too large for its topic, becomes a dead letter, and counts as published.
        """
        acked: list[int] = []
        try:
            producer = await self._connected()
            for wave in waves(rows, self._topic_of, self._partitions):
                await self._send_wave(producer, wave, acked)
        except FAULTS as fault:
            self._telemetry.faults.labels(type(fault).__name__).inc()
            await self.close()
            return Sent(acked, fault)
        return Sent(acked, None)

    async def close(self) -> None:
        """Let go of the connection; a later `send` makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            # It would wait for batches that we have given up.
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), CLOSE_WITHIN_S)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        self._partitions = await self._partition_count()
        producer = AIOKafkaProducer(
            **self._kafka,
            acks="all",
            enable_idempotence=True,
            max_batch_size=LARGEST_BATCH,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer

    async def _partition_count(self) -> int:
        admin = AIOKafkaAdminClient(**self._kafka, request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
        try:
            await admin.start()
            found = await find(admin, self._topics)
        finally:
            await admin.close()
        if found.complaint or not found.partitions:
            raise TopicsNotReady(found.complaint)
        return found.partitions

    async def _send_wave(self, producer: AIOKafkaProducer, wave: Wave, acked: list[int]) -> None:
        sent = [
            self._send_in_order(producer, topic, partition, rows, acked) for (topic, partition), rows in wave.items()
        ]
        # All of them, faults or not: what Kafka acknowledged is not to be published again.
        for outcome in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _send_in_order(
        self, producer: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Row], acked: list[int]
    ) -> None:
        while rows:
            batch = producer.create_batch()
            count = self._fill(batch, rows)
            sending, rows = rows[:count], rows[count:]
            try:
                await (await producer.send_batch(batch, topic, partition=partition))
            except TOO_LARGE:
                self._found_too_large(sending, topic)
                raise
            for row in sending:
                acked.append(row.position)
                self._count(row)

    def _fill(self, batch: Any, rows: Sequence[Row]) -> int:
        count = 0
        for row in rows:
            alone = row.position in self._alone
            if alone and count:
                break
            key = row.key.encode() if row.key is not None else None
            value = row.payload.encode() if row.payload is not None else None
            if batch.append(timestamp=None, key=key, value=value, headers=self._headers(row)) is None:
                break
            count += 1
            if alone:
                break
        batch.close()
        return count

    def _found_too_large(self, rows: Sequence[Row], topic: str) -> None:
        positions = {row.position for row in rows}
        if len(rows) > 1:
            self._alone |= positions
        elif topic == self._topics.dead_letters:
            self.unpublishable |= positions
        else:
            self._too_large |= positions

    def _topic_of(self, row: Row) -> str:
        return self._topics.dead_letters if self._refused(row) else self._topics.of(row.type)

    def _refused(self, row: Row) -> DeadLetter | None:
        if row.type not in EVENTS:
            detail = f"no topic takes a row of this type; there are {', '.join(EVENTS)}"
            return self._dead_letter(row, "unknown_event_type", detail)
        if row.position in self._too_large:
            return self._dead_letter(row, "too_large", "the record is larger than its topic takes (max.message.bytes)")
        return None

    def _dead_letter(self, row: Row, reason: str, detail: str) -> DeadLetter:
        return DeadLetter(reason, detail, self._topics.of(row.type), -1, -1, 0, self._clock.now())

    def _headers(self, row: Row) -> list[tuple[str, bytes]]:
        headers = Headers(row.id, row.type, row.sequence, row.traceparent).encode()
        refused = self._refused(row)
        return refused.headers(headers) if refused else headers

    def _count(self, row: Row) -> None:
        if refused := self._refused(row):
            self._telemetry.dead_letters.labels(refused.reason).inc()
        else:
            self._telemetry.published.labels(row.type).inc()
        self._alone.discard(row.position)
        self._too_large.discard(row.position)
