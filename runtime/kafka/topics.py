"""Topics on Kafka: lookups that create no topic, and the partition of a key.

A broker with Kafka's default settings creates a topic, with one partition and without our settings, whenever a client
requests its metadata by name without the flag that forbids it.
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
_NOT_ALLOWED: Final = 29
# Size of the LRU cache of keys' hashes. Hashing costs several times the rest of a row's processing in the relay.
REMEMBERED: Final = 65_536

Partitions = Sequence[Mapping[str, Any]]
"""The partitions of one topic, as aiokafka describes them: number, leader, replicas."""


class UnequalPartitions(CannotGoOn):
    """The event topics are not co-partitioned: one contact's events would go to different workers."""


@asynccontextmanager
async def admin_client(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect an admin client for the context. Raises KafkaError."""
    admin = AIOKafkaAdminClient(**options, **more)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def look(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, Partitions]:
    """Return those of *names* that exist, with their partitions, without creating any. Raises KafkaError.

    A topic that the user has no right to describe counts as one that does not exist.
    """
    # Its `describe_topics` has no flag that forbids the creation of topics.
    answer = await admin._send_request(_ask_without_creating(list(names)))  # noqa: SLF001 - there is no public way
    found: dict[str, Partitions] = {}
    for topic in answer.to_object()["topics"]:
        if not (code := topic["error_code"]):
            found[topic["topic"]] = topic["partitions"]
        elif code not in (_UNKNOWN_TOPIC, _NOT_ALLOWED):
            raise for_code(code)(f"topic {topic['topic']}")
    return found


async def partitions_of(options: Mapping[str, Any], names: Collection[str]) -> list[TopicPartition]:
    """Return the partitions of those of *names* that exist, without creating any. Raises KafkaError."""
    # A consumer returns a topic's partitions only after subscribing to it, and it keeps the subscription of a missing
    # one.
    async with admin_client(options) as admin:
        found = await look(admin, names)
    return [TopicPartition(topic, part["partition"]) for topic, parts in found.items() for part in parts]


def never_create_topics() -> None:
    """Make every aiokafka client of this process request metadata without creating topics, from now on.

    Producers, consumers and Faust request the metadata of their topics again and again, long after `look`: a topic that
    is deleted meanwhile must stay deleted. They have no option for that, so the two names through which they create the
    request are replaced.
    """
    aiokafka.client.MetadataRequest = _ask_without_creating
    aiokafka.admin.client.MetadataRequest = _ask_without_creating


def _ask_without_creating(names: list[str] | None = None) -> MetadataRequest:
    return MetadataRequest(names, allow_auto_topic_creation=False)


def equal_partitions(counts: Mapping[str, int]) -> int | None:
    """Return the event topics' common number of partitions, None if there are none. Raises UnequalPartitions."""
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UnequalPartitions(f"the event topics need equal partition counts, but {listed}")
    return next(iter(counts.values()), None)


def partition_of(key: str, partitions: int) -> int:
    """Return the partition that Kafka's own clients choose for a key. Debezium's records depend on it too."""
    return _positive_hash(key) % partitions


@lru_cache(REMEMBERED)
def _positive_hash(key: str) -> int:
    return int(murmur2(key.encode())) & 0x7FFFFFFF
