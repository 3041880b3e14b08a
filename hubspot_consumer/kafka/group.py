"""The workers' consumer group, as Kafka describes it: its members, and the offsets that it has committed."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from runtime.kafka.topic_reader import TopicReader


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
