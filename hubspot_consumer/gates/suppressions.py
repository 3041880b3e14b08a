"""Suppressions: contacts that must never be written again, because the person requested erasure.

HubSpot does not check its list of deleted contacts for API calls: an upsert creates a deleted contact again. So this
project has its own list: a compacted topic of email hashes, which every worker follows.
"""

import re
from typing import Any, Final

from hubspot_consumer.kafka.followed_topic import FollowedTopic
from runtime.clock import Clock
from runtime.kafka.admission import ask_admission
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter
from schemas.contacts import ContactKey, suppression_of

LOOK_AGAIN_S: Final = 5.0
_A_HASH: Final = re.compile("[0-9a-f]{64}")


class Suppressions(FollowedTopic):
    """The suppressed contacts: a followed topic, kept in memory. Without the topic no contact is suppressed."""

    def __init__(self, options: dict[str, Any], topic: str, clock: Clock) -> None:
        super().__init__(options, topic, clock, self._take_in, look_again_s=LOOK_AGAIN_S)
        self._hashes: set[str] = set()

    def contains(self, key: ContactKey) -> bool:
        return bool(self._hashes) and suppression_of(key) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def _take_in(self, record: Any) -> bool:
        name = (record.key or b"").decode(errors="replace")
        if not _A_HASH.fullmatch(name):
            return False
        if record.value is None:
            self._hashes.discard(name)
        else:
            self._hashes.add(name)
        return True


async def set_suppressed(kafka: KafkaConnection, key: ContactKey, *, suppressed: bool) -> None:
    """Add *key* to the list, or remove it. Raises KafkaRefused, KafkaAway, KafkaError and TopicsNotReady."""
    await ask_admission(kafka.client_options())
    async with TopicWriter(kafka, kafka.topics.suppressions) as writer:
        await writer.write(suppression_of(key).encode(), b"{}" if suppressed else None)
