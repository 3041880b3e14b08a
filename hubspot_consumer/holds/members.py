"""The members of the workers' group, as Kafka describes them: the workers that have to answer a hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

REQUEST_WITHIN_MS: Final = 5_000


@dataclass(frozen=True)
class Member:
    """A worker, and the numbers of its assigned partitions; there are none during a rebalance."""

    name: str
    numbers: frozenset[int]


class Members:
    """Requests the members from Kafka, without joining the group."""

    def __init__(self, options: Mapping[str, Any], group: str) -> None:
        self._admin: Final = AIOKafkaAdminClient(**options, request_timeout_ms=REQUEST_WITHIN_MS)
        self._group: Final = group

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._admin.start()

    async def stop(self) -> None:
        await self._admin.close()

    async def now(self) -> Sequence[Member]:
        """Return the present members of the group. Raises KafkaError."""
        [answer] = await self._admin.describe_consumer_groups([self._group])
        [(code, _, _, _, _, members, *_)] = answer.groups
        if code:
            raise for_code(code)(self._group)
        return [Member(f"{client} at {host.lstrip('/')}", _numbers(given)) for _, client, host, _, given, *_ in members]


def _numbers(assignment: bytes) -> frozenset[int]:
    if not assignment:
        return frozenset()
    return frozenset(one.partition for one in ConsumerProtocolMemberAssignment.decode(assignment).partitions())
