"""A new topic of one partition, for those that a command creates when it first needs them."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from runtime.endings import CannotGoOn

LEADER_WITHIN_S: Final = 30.0
POLL_S: Final = 0.1
_EXISTS: Final = 36


class TopicNotCreated(CannotGoOn):
    """Kafka did not create a topic, or did not name its leader in time."""


async def create_topic(options: Mapping[str, Any], topic: str, replicas: int, config: Mapping[str, str]) -> None:
    """Create *topic* where it is missing; return when it can be used. Raises KafkaError, and TopicNotCreated."""
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        answer = await _asked(admin, NewTopic(topic, 1, replicas, topic_configs=dict(config)))
        for name, code, *message in answer.topic_errors:
            if code not in (0, _EXISTS):
                raise TopicNotCreated(f"{name}: {(message[0] if message else None) or for_code(code).__name__}")
        await _until_it_has_a_leader(admin, topic)
    except TimeoutError:
        raise TopicNotCreated(f"{topic}: no leader yet; try again") from None
    finally:
        await admin.close()


async def _asked(admin: AIOKafkaAdminClient, topic: NewTopic) -> Any:
    try:
        return await admin.create_topics([topic])
    except AttributeError:
        # aiokafka asks the controller for its number, also while nobody is elected.
        raise TopicNotCreated(f"{topic.name}: Kafka has no controller just now; try again") from None


async def _until_it_has_a_leader(admin: AIOKafkaAdminClient, topic: str) -> None:
    # Kafka answers before a new topic can be used.
    async with asyncio.timeout(LEADER_WITHIN_S):
        while True:
            [described] = await admin.describe_topics([topic])
            if not described["error_code"] and all(part["leader"] >= 0 for part in described["partitions"]):
                return
            await asyncio.sleep(POLL_S)
