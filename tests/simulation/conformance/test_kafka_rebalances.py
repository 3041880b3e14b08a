"""The model of Kafka's group coordinator, held against a real one: how rebalances begin and end."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import RebalanceInProgressError, UnknownMemberIdError

from tests.simulation.conformance.kafka_scenarios import formed, heartbeats_until, joined_again, synchronized, waits
from tests.simulation.conformance.kafka_sides import FIRST_REBALANCE_AFTER_S, Side, new_name, on_both


@on_both
async def test_an_empty_group_waits_for_further_members(side: Side) -> None:
    group = new_name()
    first, second = await side.member(group), await side.member(group)
    begun_at = asyncio.get_running_loop().time()
    joining = asyncio.create_task(first.join())
    await asyncio.sleep(FIRST_REBALANCE_AFTER_S / 2)

    both = await asyncio.gather(joining, second.join())

    assert [one.generation for one in both] == [1, 1]
    # Members that join meanwhile prolong the wait.
    assert asyncio.get_running_loop().time() - begun_at >= 2 * FIRST_REBALANCE_AFTER_S
    assert {one.leader for one in both} == {first.id}
    assert [sorted(one.members) for one in both] == [sorted([first.id, second.id]), []]


@on_both
async def test_a_group_that_is_empty_again_waits_once_more(side: Side) -> None:
    group = new_name()
    [former] = await formed(side, group=group)
    await former.leave()
    first, second = await side.member(group), await side.member(group)
    begun_at = asyncio.get_running_loop().time()
    joining = asyncio.create_task(first.join())
    await asyncio.sleep(FIRST_REBALANCE_AFTER_S / 2)

    both = await asyncio.gather(joining, second.join())

    # That it became empty was a generation too.
    assert [one.generation for one in both] == [3, 3]
    assert asyncio.get_running_loop().time() - begun_at >= 2 * FIRST_REBALANCE_AFTER_S


@on_both
async def test_members_get_what_the_leader_assigns(side: Side) -> None:
    leader, follower = await formed(side, 2)
    parts = [TopicPartition("events", number) for number in range(4)]
    joined, _ = await joined_again(leader, follower)

    assert sorted(joined.members) == sorted([leader.id, follower.id])
    given = {leader.id: parts[:3], follower.id: parts[3:]}
    assert await synchronized([leader, follower], given) == [parts[:3], parts[3:]]
    assert await follower.sync() == parts[3:]


@on_both
async def test_a_follower_waits_for_the_leaders_assignment(side: Side) -> None:
    leader, follower = await formed(side, 2)
    await joined_again(leader, follower)

    syncing = asyncio.create_task(follower.sync())

    assert await waits(syncing)
    await leader.sync({follower.id: [TopicPartition("events", 1)]})
    assert await syncing == [TopicPartition("events", 1)]


@on_both
async def test_a_new_member_makes_the_others_join_again(side: Side) -> None:
    group = new_name()
    [first] = await formed(side, group=group)
    second = await side.member(group)

    joining = asyncio.create_task(second.join())
    assert await waits(joining)
    with pytest.raises(RebalanceInProgressError):
        await first.heartbeat()
    with pytest.raises(RebalanceInProgressError):
        await first.sync()
    both = await asyncio.gather(first.join(), joining)

    assert [one.generation for one in both] == [2, 2]
    assert {one.leader for one in both} == {first.id}


@on_both
async def test_a_member_that_leaves_makes_the_others_join_again(side: Side) -> None:
    members = await formed(side, 3)
    leader, *others = members

    await leader.leave()

    for member in others:
        with pytest.raises(RebalanceInProgressError):
            await member.heartbeat()
    joined = await asyncio.gather(*(member.join() for member in others))
    assert {one.generation for one in joined} == {2}
    assert {one.leader for one in joined} <= {member.id for member in others}
    with pytest.raises(UnknownMemberIdError):
        await leader.leave()


@on_both
async def test_a_member_that_is_silent_for_its_session_is_removed(side: Side) -> None:
    group = new_name()
    [silent] = await formed(side, group=group, session_s=0.8)
    other = await side.member(group)
    await joined_again(other, silent)
    await synchronized([silent, other])

    for _ in range(3):
        await asyncio.sleep(0.3)
        await silent.heartbeat()
    heard_at = asyncio.get_running_loop().time()
    await heartbeats_until(RebalanceInProgressError, other)

    assert asyncio.get_running_loop().time() - heard_at >= 0.7
    with pytest.raises(UnknownMemberIdError):
        await silent.heartbeat()
    with pytest.raises(UnknownMemberIdError):
        await silent.join()
    joined = await other.join()
    assert list(joined.members) == [other.id]


@on_both
async def test_a_member_that_waits_for_others_to_join_is_not_silent(side: Side) -> None:
    group = new_name()
    [slow] = await formed(side, group=group)
    patient = await side.member(group, session_s=0.3)
    await joined_again(patient, slow)
    await synchronized([patient, slow])
    joining = asyncio.create_task(patient.join(b"other"))

    assert await waits(joining, 0.7)
    both = await asyncio.gather(slow.join(), joining)
    assert sorted(both[0].members) == sorted([slow.id, patient.id])


@on_both
async def test_a_member_that_waits_for_the_assignment_is_not_silent(side: Side) -> None:
    group = new_name()
    [leader] = await formed(side, group=group)
    patient = await side.member(group, session_s=0.3)
    await joined_again(patient, leader)
    syncing = asyncio.create_task(patient.sync())

    assert await waits(syncing, 0.7)
    await leader.sync({patient.id: [TopicPartition("events", 1)]})
    assert await syncing == [TopicPartition("events", 1)]
    await patient.heartbeat()


@on_both
async def test_a_member_that_does_not_join_again_in_time_is_removed(side: Side) -> None:
    group = new_name()
    late, other = await formed(side, 2, group=group, rebalance_s=0.6)
    new = await side.member(group, rebalance_s=0.4)
    begun_at = asyncio.get_running_loop().time()

    joining = asyncio.create_task(joined_again(new, other))
    assert await waits(joining)
    # Its heartbeats do not help.
    await heartbeats_until(UnknownMemberIdError, late)
    joined = await joining

    assert 0.6 <= asyncio.get_running_loop().time() - begun_at < 5
    assert sorted(member for one in joined for member in one.members) == sorted([other.id, new.id])
    with pytest.raises(UnknownMemberIdError):
        await late.heartbeat()
    with pytest.raises(UnknownMemberIdError):
        await late.join()


@on_both
async def test_a_member_that_does_not_synchronize_in_time_is_removed(side: Side) -> None:
    leader, late = await formed(side, 2, rebalance_s=0.6)
    await joined_again(leader, late)
    await leader.sync()

    await heartbeats_until(UnknownMemberIdError, late)

    with pytest.raises(RebalanceInProgressError):
        await leader.heartbeat()


@on_both
async def test_a_follower_that_joins_again_without_need_gets_the_present_generation(side: Side) -> None:
    leader, follower = await formed(side, 2)

    joined = await follower.join()

    assert (joined.generation, joined.leader, list(joined.members)) == (1, leader.id, [])
    await leader.heartbeat()
    await follower.sync()
    await follower.heartbeat()


@on_both
async def test_a_follower_that_joins_again_with_other_metadata_begins_a_rebalance(side: Side) -> None:
    leader, follower = await formed(side, 2)

    joining = asyncio.create_task(follower.join(b"other"))

    assert await waits(joining)
    both = await asyncio.gather(leader.join(), joining)
    assert [one.generation for one in both] == [2, 2]


@on_both
async def test_the_leader_that_joins_again_begins_a_rebalance(side: Side) -> None:
    leader, follower = await formed(side, 2)

    joining = asyncio.create_task(leader.join())

    assert await waits(joining)
    with pytest.raises(RebalanceInProgressError):
        await follower.heartbeat()
    both = await asyncio.gather(follower.join(), joining)
    assert [one.generation for one in both] == [2, 2]


@on_both
async def test_a_leader_that_joins_again_before_it_assigned_gets_the_present_generation(side: Side) -> None:
    leader, follower = await formed(side, 2)
    await joined_again(leader, follower)

    again = await leader.join()

    assert (again.generation, sorted(again.members)) == (2, sorted([leader.id, follower.id]))
    await synchronized([leader, follower])


@on_both
async def test_a_member_that_joins_before_the_leader_assigned_begins_another_rebalance(side: Side) -> None:
    group = new_name()
    leader, follower = await formed(side, 2, group=group)
    await joined_again(leader, follower)
    syncing = asyncio.create_task(follower.sync())
    assert await waits(syncing)
    new = await side.member(group)

    joining = asyncio.create_task(new.join())

    with pytest.raises(RebalanceInProgressError):
        await syncing
    joined = await asyncio.gather(leader.join(), follower.join(), joining)
    assert {one.generation for one in joined} == {3}


@on_both
async def test_a_rebalance_waits_for_a_member_that_has_got_an_id_until_its_session_ends(side: Side) -> None:
    group = new_name()
    [first] = await formed(side, group=group)
    dead, second = await side.member(group, session_s=0.6), await side.member(group)
    begun_at = asyncio.get_running_loop().time()
    await dead.take_id()
    await first.heartbeat()

    both = await joined_again(second, first)

    assert asyncio.get_running_loop().time() - begun_at >= 0.6
    assert {one.generation for one in both} == {2}
    assert sorted(member for one in both for member in one.members) == sorted([first.id, second.id])
    with pytest.raises(UnknownMemberIdError):
        await dead.join()
