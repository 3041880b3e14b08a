"""The model of aiokafka's admin client, as far as the product uses it."""

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from tests.simulation.kafka.client import Client

# Kafka's own codes of errors.
_LOADS: Final = 14
_TOPIC_EXISTS: Final = 36
_UNKNOWN_TOPIC: Final = 3


class Admin(Client):
    """AIOKafkaAdminClient."""

    async def close(self) -> None: ...

    async def _send_request(self, request: Any) -> Any:
        names = request._topics
        topics = self._cluster.broker.topics

        def described() -> dict[str, Any]:
            return {"topics": [_described(name, topics.get(name)) for name in names]}

        found = await self._ask(described)
        return SimpleNamespace(to_object=lambda: found)

    async def list_consumer_group_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        offsets = await self._ask(lambda: self._cluster.group(group).offsets_of(partitions))
        return {one: OffsetAndMetadata(offset, "") for one, offset in offsets.items()}

    async def describe_consumer_groups(self, names: Sequence[str]) -> list[Any]:
        return [await self._ask(lambda name=name: self._group(name)) for name in names]

    async def create_topics(self, new: Sequence[Any]) -> Any:
        def create() -> list[tuple[str, int, None]]:
            there = set(self._cluster.broker.topics)
            for one in new:
                if one.name not in there:
                    self._cluster.broker.create(one.name, one.num_partitions)
                if one.topic_configs.get("message.timestamp.type") == "LogAppendTime":
                    self._cluster.broker.stamped.add(one.name)
            return [(one.name, _TOPIC_EXISTS if one.name in there else 0, None) for one in new]

        return SimpleNamespace(topic_errors=await self._ask(create))

    async def describe_configs(self, _asked: object) -> Any:
        raise KafkaError("this cluster describes no settings")

    def _group(self, name: str) -> Any:
        group = self._cluster.group(name)
        if group.loads:
            return SimpleNamespace(groups=[(_LOADS, name, "", "", "", [])])
        if not group.exists:
            return SimpleNamespace(groups=[(0, name, "Dead", "", "", [])])
        stable = group.state == "Stable"
        members = [
            (one, one, "/127.0.0.1", b"", encoded(group.assignments.get(one, ())) if stable else b"")
            for one in group.members
        ]
        return SimpleNamespace(groups=[(0, name, group.state, "consumer", "", members)])


def _described(name: str, partitions: int | None) -> dict[str, Any]:
    if partitions is None:
        return {"topic": name, "error_code": _UNKNOWN_TOPIC, "partitions": []}
    parts = [{"partition": number, "leader": 0, "replicas": [0], "isr": [0]} for number in range(partitions)]
    return {"topic": name, "error_code": 0, "partitions": parts}


def encoded(assignment: Collection[TopicPartition]) -> bytes:
    """Return an assignment as Kafka's consumers encode it."""
    topics: dict[str, list[int]] = {}
    for topic, number in assignment:
        topics.setdefault(topic, []).append(number)
    encoded: bytes = ConsumerProtocolMemberAssignment(0, list(topics.items()), b"").encode()
    return encoded
