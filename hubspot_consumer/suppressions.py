"""Suppressions: contacts that must never be written again, because they asked to be forgotten.

HubSpot's own list of deleted contacts does not hold for calls like ours: whoever we upsert is there again. So the list
is ours: a compacted topic of hashes, from which no email can be read, that every worker follows.
"""

import asyncio
import hashlib
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from runtime.clock import Clock
from schemas.contacts import ContactKey

log = structlog.get_logger()

LOOK_AGAIN_S: Final = 5.0
# Compaction keeps the newest record of each key, for ever.
_CONFIG: Final = {"cleanup.policy": "compact"}
_EXISTS: Final = 36


class TopicNotCreated(RuntimeError):
    """Kafka did not create the topic of the suppressions."""


class Suppressions:
    """Follows the topic; `holds` answers from memory. Without a topic nobody is suppressed."""

    def __init__(self, options: dict[str, Any], topic: str, clock: Clock) -> None:
        self._consumer: Final = AIOKafkaConsumer(**options, auto_offset_reset="earliest", enable_auto_commit=False)
        self._partition: Final = TopicPartition(topic, 0)
        self._clock = clock
        self._hashes: set[str] = set()
        self._started = False
        self._assigned = False

    def holds(self, key: ContactKey) -> bool:
        return bool(self._hashes) and hash_of(key) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    async def start(self) -> None:
        """Return when all that is in the topic now is known. Raises KafkaError."""
        if not self._started:
            await self._consumer.start()
            self._started = True
        if self._assigned or await self._assign():
            end = (await self._consumer.end_offsets([self._partition]))[self._partition]
            while await self._consumer.position(self._partition) < end:
                await self._read()

    async def follow(self) -> None:
        """Take in what is added, until cancelled."""
        while True:
            try:
                if self._assigned or await self._assign():
                    await self._read()
                    continue
            except (KafkaError, OSError) as error:
                log.warning("suppressions.not_read", error=type(error).__name__)
            await self._clock.sleep(LOOK_AGAIN_S)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def _assign(self) -> bool:
        if self._partition.topic in await self._consumer.topics():
            self._consumer.assign([self._partition])
            self._assigned = True
        return self._assigned

    async def _read(self) -> None:
        for records in (await self._consumer.getmany(timeout_ms=1_000)).values():
            for record in records:
                name = (record.key or b"").decode(errors="replace")
                if record.value is None:
                    self._hashes.discard(name)
                else:
                    self._hashes.add(name)


async def set_suppressed(
    options: dict[str, Any], topic: str, key: ContactKey, *, suppressed: bool, replicas: int
) -> None:
    """Put *key* on the list, or take it off. Raises KafkaError, and TopicNotCreated."""
    await _create(options, topic, replicas)
    async with AIOKafkaProducer(**options, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, key=hash_of(key).encode(), value=b"{}" if suppressed else None, partition=0)


async def _create(options: dict[str, Any], topic: str, replicas: int) -> None:
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, replicas, topic_configs=dict(_CONFIG))])
        for name, code, *message in answer.topic_errors:
            if code not in (0, _EXISTS):
                raise TopicNotCreated(f"{name}: {(message[0] if message else None) or for_code(code).__name__}")
            await _until_it_has_a_leader(admin, name)
    finally:
        await admin.close()


async def _until_it_has_a_leader(admin: AIOKafkaAdminClient, topic: str) -> None:
    # Kafka answers before a new topic can be used.
    async with asyncio.timeout(30):
        while True:
            [described] = await admin.describe_topics([topic])
            if not described["error_code"] and all(part["leader"] >= 0 for part in described["partitions"]):
                return
            await asyncio.sleep(0.1)


def hash_of(key: ContactKey) -> str:
    """Return the name of a contact on the list."""
    return hashlib.sha256(key.encode()).hexdigest()
