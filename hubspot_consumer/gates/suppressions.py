"""Suppressions: contacts that must never be written again, because they asked to be forgotten.

HubSpot's own list of deleted contacts does not hold for calls like ours: whoever we upsert is there again. So the list
is ours: a compacted topic of hashes, from which no email can be read, that every worker follows.
"""

import hashlib
import re
from typing import Any, Final

from hubspot_consumer.kafka.followed_topic import FollowedTopic
from runtime.clock import Clock
from runtime.kafka.admission import ask_admission
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter
from schemas.contacts import ContactKey

LOOK_AGAIN_S: Final = 5.0
_A_HASH: Final = re.compile("[0-9a-f]{64}")


class Suppressions:
    """Follows the topic; `holds` answers from memory. Without a topic nobody is suppressed."""

    def __init__(self, options: dict[str, Any], topic: str, clock: Clock) -> None:
        self._topic: Final = FollowedTopic(options, topic, clock, self._take_in, look_again_s=LOOK_AGAIN_S)
        self._hashes: set[str] = set()

    def contains(self, key: ContactKey) -> bool:
        return bool(self._hashes) and hash_of(key) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    async def start(self) -> None:
        """Return when all that is in the topic now is known. Raises KafkaError."""
        await self._topic.start()

    async def follow(self) -> None:
        """Take in what is added, until cancelled."""
        await self._topic.follow()

    async def stop(self) -> None:
        await self._topic.stop()

    def _take_in(self, record: Any) -> None:
        name = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._hashes.discard(name)
        elif _A_HASH.fullmatch(name):
            # Whatever else is on the topic is nobody's name.
            self._hashes.add(name)


async def set_suppressed(kafka: KafkaConnection, key: ContactKey, *, suppressed: bool) -> None:
    """Put *key* on the list, or take it off. Raises KafkaRefused, KafkaAway, KafkaError, and TopicsNotReady."""
    await ask_admission(kafka.client_options())
    async with TopicWriter(kafka, kafka.topics.suppressions) as writer:
        await writer.write(hash_of(key).encode(), b"{}" if suppressed else None)


def hash_of(key: ContactKey) -> str:
    """Return the name of a contact on the list."""
    return hashlib.sha256(key.encode()).hexdigest()
