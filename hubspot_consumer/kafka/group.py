"""The workers' consumer group, as Kafka describes it: its members, and the offsets that it has committed."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from runtime.kafka.topic_reader import TopicReader
from runtime.program import program_version

_CLIENT: Final = "hubspot-consumer-"


class Member(NamedTuple):
    """A worker, and the numbers of its assigned partitions; there are none during a rebalance.

    `version` is None for a worker that does not tell it.
    """

    name: str
    numbers: frozenset[int]
    version: str | None = None


class Group(NamedTuple):
    """The state of the group as Kafka names it, and its present members."""

    state: str
    members: Sequence[Member]


def client_id() -> str:
    """Return the client id by which this worker tells Kafka its version: `hubspot-consumer-0.1.0-abc1234`."""
    return _CLIENT + "-".join(re.findall(r"[\w.]+", program_version()))


def told_version(client: str) -> str | None:
    """Return the version that a client id tells, as `/v1/status` has it."""
    if not client.startswith(_CLIENT):
        return None
    version, _, commit = client.removeprefix(_CLIENT).partition("-")
    return f"{version} ({commit})" if commit else version


async def describe_group(admin: AIOKafkaAdminClient, group: str) -> Group:
    """Return the present state of a group, without joining it. Raises KafkaError."""
    [answer] = await admin.describe_consumer_groups([group])
    [(code, _, state, _, _, members, *_)] = answer.groups
    if code:
        raise for_code(code)(group)
    found = [
        Member(f"{client} at {host.lstrip('/')}", _numbers(given), told_version(client))
        for _, client, host, _, given, *_ in members
    ]
    return Group(state, found)


class UnreadRecords(NamedTuple):
    """Partitions that the group does not continue where it was.

    `forgotten` are those with records of which Kafka has lost the offset that the group had. `deleted` are those whose
    records retention deleted unread, with the first offset of these and the first that is left.
    """

    forgotten: Sequence[TopicPartition]
    deleted: Mapping[TopicPartition, tuple[int, int]]


async def unread_records(
    admin: AIOKafkaAdminClient,
    reader: TopicReader,
    group: str,
    partitions: Collection[TopicPartition],
    receipts: Collection[TopicPartition],
) -> UnreadRecords:
    """Return what the group will not read, or read again, by its committed offsets. Raises KafkaError.

    A worker commits an offset in each partition that it is assigned, so one without an offset was never read, or Kafka
    has forgotten it: the group has offsets in the same number of other topics, or there are *receipts*.
    """
    starts, ends = await reader.starts(partitions), await reader.ends([*partitions, *receipts])
    found = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    committed = {one: at.offset for one, at in found.items() if at.offset >= 0}
    read = {one.partition for one in committed}
    if not committed and any(ends[one] for one in receipts):
        read = {one.partition for one in partitions}
    return UnreadRecords(
        [one for one in partitions if one not in committed and ends[one] and one.partition in read],
        {one: (offset, starts[one]) for one, offset in committed.items() if offset < starts[one]},
    )


def _numbers(assignment: bytes) -> frozenset[int]:
    try:
        return frozenset(one.partition for one in ConsumerProtocolMemberAssignment.decode(assignment).partitions())
    except ValueError:
        # It is empty during a rebalance, and has another form if a program of another kind, as Connect, is the member.
        return frozenset()
