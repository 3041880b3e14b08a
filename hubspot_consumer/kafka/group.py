"""The workers' consumer group, as Kafka describes it."""

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code


class Member(NamedTuple):
    """A worker, and the numbers of its assigned partitions; there are none during a rebalance."""

    name: str
    numbers: frozenset[int]


class Group(NamedTuple):
    """The state of the group as Kafka names it, and its present members."""

    state: str
    members: Sequence[Member]


async def describe_group(admin: AIOKafkaAdminClient, group: str) -> Group:
    """Return the present state of a group, without joining it. Raises KafkaError."""
    [answer] = await admin.describe_consumer_groups([group])
    [(code, _, state, _, _, members, *_)] = answer.groups
    if code:
        raise for_code(code)(group)
    found = [Member(f"{client} at {host.lstrip('/')}", _numbers(given)) for _, client, host, _, given, *_ in members]
    return Group(state, found)


def _numbers(assignment: bytes) -> frozenset[int]:
    try:
        return frozenset(one.partition for one in ConsumerProtocolMemberAssignment.decode(assignment).partitions())
    except ValueError:
        # It is empty during a rebalance, and has another form if a program of another kind, as Connect, is the member.
        return frozenset()
