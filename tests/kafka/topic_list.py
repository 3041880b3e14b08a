"""The topics of a broker: listed, created, deleted, and asked about as clients do by whose asking they are created."""

from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from runtime.kafka.connection import KafkaConnection
from runtime.kafka.new_topics import make_sure_of
from runtime.kafka.topics import look
from schemas.topics import Topics


async def topics_of(bootstrap_servers: str, prefix: str) -> dict[str, int]:
    """Return the topics under *prefix*, with their partition counts."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        return {name: len(partitions) for name, partitions in (await look(admin, names)).items()}
    finally:
        await admin.close()


def connection(bootstrap_servers: str, topics: Topics) -> KafkaConnection:
    return KafkaConnection.model_validate(
        {"kafka_bootstrap_servers": bootstrap_servers, "kafka_topic_prefix": topics.prefix}
    )


async def make(bootstrap_servers: str, topics: Topics, name: str) -> None:
    """Create one of *topics* as whoever writes it first does."""
    await make_sure_of(connection(bootstrap_servers, topics), name)


async def create(bootstrap_servers: str, counts: Mapping[str, int]) -> None:
    """Create topics with these partition counts, and the broker's own configuration."""
    await _asked(bootstrap_servers, "create_topics", [NewTopic(name, count, 1) for name, count in counts.items()])


async def add_partitions(bootstrap_servers: str, count: int, *names: str) -> None:
    """Raise the number of partitions of these topics to *count*."""
    await _asked(bootstrap_servers, "create_partitions", {name: NewPartitions(count) for name in names})


async def delete(bootstrap_servers: str, *names: str) -> None:
    await _asked(bootstrap_servers, "delete_topics", list(names))


async def ask_about(bootstrap_servers: str, *names: str) -> None:
    """Ask as a client does that says nothing of creating: with Kafka's default settings that creates them."""
    await _asked(bootstrap_servers, "describe_topics", list(names))


async def _asked(bootstrap_servers: str, what: str, given: Any) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await getattr(admin, what)(given)
    finally:
        await admin.close()
