"""The sender: it sends batches of rows to Kafka, and returns which rows Kafka acknowledged."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.produce import ProduceRequest
from opentelemetry.trace import SpanKind

from producer.relay.lanes import Place
from producer.relay.row import Row
from producer.telemetry import Telemetry
from runtime.clock import Clock
from runtime.kafka.new_topics import TopicsNotReady, find
from runtime.kafka.topic_writer import TOO_LARGE, connected_producer
from runtime.kafka.topics import UnequalPartitions, admin_client
from runtime.logs import log
from runtime.tracing import linked_span
from schemas.dead_letters import DeadLetter
from schemas.envelope import Headers
from schemas.events import EVENTS
from schemas.topics import Topics

# The limit is well below the megabyte that a broker accepts.
LARGEST_BATCH: Final = 512 * 1024
REQUEST_TIMEOUT_S: Final = 15.0
CLOSE_WITHIN_S: Final = 2.0


class NotActive(KafkaError):  # type: ignore[misc] # aiokafka is Any to mypy
    """The relay can't be sure that it is still the active one, so it publishes nothing."""

    retriable = False


class PartitionsChanged(KafkaError):  # type: ignore[misc] # aiokafka is Any to mypy
    """The topics have another number of partitions than when the sender was opened: it has to be opened again."""

    retriable = False


FAULTS: Final = (KafkaError, OSError, TopicsNotReady, UnequalPartitions)
# What mends a refusal of Kafka, by its error.
MENDS: Final[dict[type[Exception], str]] = {
    NotActive: "the database is slow to answer, so another relay may be active",
    InvalidTimestampError: (
        "this host's clock differs too much from Kafka's (message.timestamp.after.max.ms of the topic, an hour): set it"
    ),
    TopicAuthorizationFailedError: "grant the relay's user the right to write to the topics",
    ClusterAuthorizationFailedError: "grant the relay's user IdempotentWrite",
}


class Sender:
    """Publishes with an idempotent producer. A fault makes its sequence numbers invalid, so a new one replaces it."""

    def __init__(
        self, kafka: dict[str, Any], topics: Topics, clock: Clock, telemetry: Telemetry, compression: str = "none"
    ) -> None:
        self._kafka: Final = kafka
        self._compression: Final = None if compression == "none" else compression
        self._topics: Final = topics
        self._clock: Final = clock
        self._telemetry: Final = telemetry
        self._topic_by_type: Final = {event_type: topics.of(event_type) for event_type in EVENTS}
        self._producer: AIOKafkaProducer | None = None
        # The number of each topic's partitions when the sender was opened, and now.
        self._opened_with = self._there_are = 0
        # Positions of rows that Kafka found too large: rows to send one by one, rows to dead-letter, and rows to leave
        # in the outbox.
        self._alone: set[int] = set()
        self._too_large: set[int] = set()
        self.unpublishable: set[int] = set()

    async def open(self, may_publish: Callable[[], bool]) -> int:
        """Connect, and return the number of partitions of each topic. Raises one of FAULTS.

        From now on no record is sent while *may_publish* returns False, not even one that is in the producer's buffer
        already.
        """
        self._opened_with = self._there_are = await self._partition_count()
        self._producer = await connected_producer(
            self._kafka,
            enable_idempotence=True,
            compression_type=self._compression,
            max_batch_size=LARGEST_BATCH,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )
        _guard(self._producer, may_publish)
        return self._opened_with

    def has_to_heed(self, partitions: int) -> None:
        """Send nothing more if the topics have another number of *partitions* than when the sender was opened.

        Rows under way finish before, so each contact's order is kept.
        """
        self._there_are = partitions

    async def close(self) -> None:
        """Close the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            # Without a limit, `stop` would wait for batches that are given up.
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), CLOSE_WITHIN_S)

    async def send(self, place: Place, rows: Sequence[Row]) -> int:
        """Publish as many of the first *rows* as fit one batch. Return their number once Kafka has acknowledged them.

        A row of an unknown type, or too large for its topic, becomes a dead letter. Raises one of FAULTS.
        """
        if self._producer is None:
            raise NotActive
        if self._there_are != self._opened_with:
            raise PartitionsChanged(f"the topics have {self._there_are} partitions, and had {self._opened_with}")
        topic, partition = place
        batch = self._producer.create_batch()
        count = self._fill(batch, rows, refused=topic == self._topics.dead_letters)
        sent = rows[:count]
        try:
            with _span(place, sent):
                written = await (await self._producer.send_batch(batch, topic, partition=partition))
        except TOO_LARGE:
            self._found_too_large(sent, topic)
            raise
        self._count(sent, place, written.offset)
        return count

    def topic_of(self, row: Row) -> str:
        if row.position in self._too_large:
            return self._topics.dead_letters
        return self._topic_by_type.get(row.type, self._topics.dead_letters)

    async def _partition_count(self) -> int:
        async with admin_client(self._kafka, request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)) as admin:
            found = await find(admin, self._topics, self._topics.published)
        if found.complaint or not found.partitions:
            raise TopicsNotReady(found.complaint)
        return found.partitions

    def _fill(self, batch: Any, rows: Sequence[Row], *, refused: bool) -> int:
        count = 0
        for row in rows:
            alone = row.position in self._alone
            if alone and count:
                break
            key = row.key.encode() if row.key is not None else None
            value = row.payload.encode() if row.payload is not None else None
            headers = Headers(row.id, row.type, row.sequence, row.traceparent).encode()
            if refused:
                headers = self._refused(row).headers(headers)
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
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
            log.error("dead_letter.too_large", **rows[0].log_fields, position=rows[0].position)
        else:
            self._too_large |= positions

    def _refused(self, row: Row) -> DeadLetter:
        if row.position in self._too_large:
            reason, detail = "too_large", "the record is larger than its topic takes (max.message.bytes)"
        else:
            reason, detail = "unknown_event_type", f"no topic takes a row of this type; there are {', '.join(EVENTS)}"
        return DeadLetter(reason, detail, self._topics.of(row.type), -1, -1, 0, self._clock.now())

    def _count(self, rows: Sequence[Row], place: Place, first_offset: int) -> None:
        topic, partition = place
        if topic == self._topics.dead_letters:
            for offset, row in enumerate(rows, first_offset):
                dead_letter = self._refused(row)
                self._telemetry.dead_letters.labels(dead_letter.reason).inc()
                fields = {**row.log_fields, "record": f"{topic}-{partition}-{offset}"}
                log.warning("dead_letter.written", **fields, reason=dead_letter.reason, detail=dead_letter.detail)
        else:
            self._telemetry.published.labels(rows[0].type).inc(len(rows))
            if log.is_enabled_for(logging.DEBUG):
                for offset, row in enumerate(rows, first_offset):
                    log.debug("event.published", **row.log_fields, record=f"{topic}-{partition}-{offset}")
        if self._alone or self._too_large:
            positions = {row.position for row in rows}
            self._alone -= positions
            self._too_large -= positions


def why_not_published(fault: Exception) -> str:
    """Return one of FAULTS in words, with what mends it."""
    # aiokafka's own words begin with the name of the error, most of them.
    kind, said = type(fault).__name__, str(fault)
    words = [said if kind in said else f"{kind}: {said}", MENDS.get(type(fault))]
    return ": ".join(word for word in words if word)


def _span(place: Place, rows: Sequence[Row]) -> AbstractContextManager[object]:
    topic, partition = place
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.batch.message_count": len(rows),
    }
    return linked_span(f"send {topic}", SpanKind.PRODUCER, attributes, (row.traceparent for row in rows))


def _guard(producer: AIOKafkaProducer, may_publish: Callable[[], bool]) -> None:
    """Check *may_publish* before each produce request: a batch may have waited in the producer while the process was
    stopped.
    """
    send = producer.client.send

    async def guarded(node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest) and not may_publish():
            raise NotActive
        return await send(node, request, **options)

    producer.client.send = guarded
