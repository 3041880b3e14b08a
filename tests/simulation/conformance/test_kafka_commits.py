"""The model of Kafka's group coordinator, held against a real one: offsets, heartbeats and descriptions."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError

from tests.simulation.conformance.kafka_scenarios import formed, joined_again, synchronized, waits
from tests.simulation.conformance.kafka_sides import Side, new_name, on_both


async def committed(side: Side, group: str, partition: TopicPartition) -> int:
    """Return the committed offset, -1 without one."""
    admin = await side.admin()
    found = await admin.list_consumer_group_offsets(group, partitions=[partition])
    return int(found[partition].offset)


@on_both
async def test_offsets_are_kept_when_the_group_is_empty(side: Side) -> None:
    group, partition = new_name(), TopicPartition(await side.topic(), 0)
    [member] = await formed(side, group=group)
    assert await committed(side, group, partition) == -1

    await member.commit(partition, 7)
    await member.commit(partition, 5)
    await member.leave()

    assert await committed(side, group, partition) == 5
    with pytest.raises(UnknownMemberIdError):
        await member.commit(partition, 8)


@on_both
async def test_an_unknown_group_has_no_offsets_and_is_dead(side: Side) -> None:
    group, partition = new_name(), TopicPartition(await side.topic(), 0)
    # The broker's first group makes it create the topic of offsets.
    await side.member(group)

    assert await committed(side, group, partition) == -1
    assert await described(side, group) == ("Dead", {})


@on_both
async def test_groups_are_described_in_all_states(side: Side) -> None:
    group, parts = new_name(), [TopicPartition("events", number) for number in range(2)]
    first, second = await side.member(group), await side.member(group)

    joining = asyncio.gather(first.join(), second.join())
    assert await waits(joining)
    state, members = await described(side, group)
    assert (state, set(members.values())) == ("PreparingRebalance", {b""})

    await joining
    assert await described(side, group) == ("CompletingRebalance", dict.fromkeys((first.id, second.id), b""))

    await synchronized([first, second], {first.id: parts[:1], second.id: parts[1:]})
    state, members = await described(side, group)
    assert (state, set(members)) == ("Stable", {first.id, second.id})
    assert all(members.values())

    await first.leave()
    await second.leave()
    assert await described(side, group) == ("Empty", {})


async def described(side: Side, group: str) -> tuple[str, dict[str, bytes]]:
    """Return the group's state, and what it has assigned to each member."""
    admin = await side.admin()
    [answer] = await admin.describe_consumer_groups([group])
    [(error, name, state, _, _, members, *_)] = answer.groups
    assert (error, name) == (0, group)
    return state, {member[0]: member[4] for member in members}


@on_both
async def test_heartbeats_are_answered_by_membership_and_generation(side: Side) -> None:
    leader, follower = await formed(side, 2)
    await leader.heartbeat()

    follower.generation = 0
    with pytest.raises(IllegalGenerationError):
        await follower.heartbeat()
    follower.id = "nobody"
    with pytest.raises(UnknownMemberIdError):
        await follower.heartbeat()


@on_both
async def test_a_member_of_a_former_generation_can_not_commit(side: Side) -> None:
    group, partition = new_name(), TopicPartition(await side.topic(), 0)
    leader, follower = await formed(side, 2, group=group)
    former = follower.generation
    await joined_again(leader, follower)
    await synchronized([leader, follower])
    await follower.commit(partition, 1)

    follower.generation = former
    with pytest.raises(IllegalGenerationError):
        await follower.commit(partition, 2)
    with pytest.raises(IllegalGenerationError):
        await follower.sync()

    assert await committed(side, group, partition) == 1


@on_both
async def test_commits_are_taken_while_members_join_and_refused_while_they_synchronize(side: Side) -> None:
    group, partition = new_name(), TopicPartition(await side.topic(), 0)
    leader, follower = await formed(side, 2, group=group)
    joining = asyncio.create_task(leader.join())
    assert await waits(joining)

    await follower.commit(partition, 1)
    await asyncio.gather(joining, follower.join())
    await follower.heartbeat()
    with pytest.raises(RebalanceInProgressError):
        await follower.commit(partition, 2)
    assert await committed(side, group, partition) == 1

    await synchronized([leader, follower])
    await follower.commit(partition, 3)
    assert await committed(side, group, partition) == 3


@on_both
async def test_whoever_is_no_member_can_commit_while_there_is_none(side: Side) -> None:
    group, partition = new_name(), TopicPartition(await side.topic(), 0)
    stranger = await side.member(group)

    await stranger.commit(partition, 1)
    await formed(side, group=group)
    with pytest.raises(UnknownMemberIdError):
        await stranger.commit(partition, 2)

    assert await committed(side, group, partition) == 1


@on_both
async def test_commits_prolong_a_session(side: Side) -> None:
    partition = TopicPartition(await side.topic(), 0)
    [member] = await formed(side, session_s=0.8)

    for offset in range(4):
        await asyncio.sleep(0.3)
        await member.commit(partition, offset)

    await member.heartbeat()
