"""Topics on Kafka: which are there, asked without creating any, and which partition a key goes to.

A broker with Kafka's default settings creates a topic, with one partition and none of our configuration, whenever a
client asks about it by its name and does not say that it must not.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final

import aiokafka.admin.client
import aiokafka.client
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.partitioner import murmur2
from aiokafka.protocol.metadata import MetadataRequest

from runtime.endings import CannotGoOn

_UNKNOWN_TOPIC: Final = 3
# Contacts whose hash is remembered: it costs several times what the rest of a row's way through the relay does.
REMEMBERED: Final = 65_536

Partitions = Sequence[Mapping[str, Any]]
"""Of one topic, as aiokafka describes them: number, leader, replicas."""


class UnequalPartitions(CannotGoOn):
    """The event topics have different partition counts: one contact's events would go to different workers."""


@asynccontextmanager
async def admin_client(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect, meanwhile. Raises KafkaError."""
    admin = AIOKafkaAdminClient(**options, **more)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def look(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, Partitions]:
    """Return those of *names* that exist, with their partitions. Creates none. Raises KafkaError."""
    # Its `describe_topics` can't say that nothing is to be created.
    answer = await admin._send_request(_ask_without_creating(list(names)))  # noqa: SLF001 - there is no public way
    found: dict[str, Partitions] = {}
    for topic in answer.to_object()["topics"]:
        if not (code := topic["error_code"]):
            found[topic["topic"]] = topic["partitions"]
        elif code != _UNKNOWN_TOPIC:
            raise for_code(code)(f"topic {topic['topic']}")
    return found


async def partitions_of(options: Mapping[str, Any], names: Collection[str]) -> list[TopicPartition]:
    """Return the partitions of those of *names* that exist. Creates none. Raises KafkaError."""
    # A consumer tells a topic's partitions once it has subscribed to it, and to a missing one it subscribes for ever.
    async with admin_client(options) as admin:
        found = await look(admin, names)
    return [TopicPartition(topic, part["partition"]) for topic, parts in found.items() for part in parts]


def never_create_topics() -> None:
    """Let no aiokafka client of this process create a topic by asking about it, from now on.

    Producers, consumers and Faust ask about their topics again and again, long after `look` has seen them: a topic that
    is deleted meanwhile must stay deleted. They have no option for it, so the two names that they ask by are replaced.
    """
    aiokafka.client.MetadataRequest = _ask_without_creating
    aiokafka.admin.client.MetadataRequest = _ask_without_creating


def _ask_without_creating(names: list[str] | None = None) -> MetadataRequest:
    return MetadataRequest(names, allow_auto_topic_creation=False)


def equal_partitions(counts: Mapping[str, int]) -> int | None:
    """Return how many partitions each of the event topics has, None where there is none. Raises UnequalPartitions."""
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UnequalPartitions(f"the event topics need equal partition counts, but {listed}")
    return next(iter(counts.values()), None)


def partition_of(key: str, partitions: int) -> int:
    """Return the partition where Kafka's own clients put a key: it is a part of the contract with Debezium."""
    return _positive_hash(key) % partitions


@lru_cache(REMEMBERED)
def _positive_hash(key: str) -> int:
    hashed: int = murmur2(key.encode())
    return hashed & 0x7FFFFFFF
