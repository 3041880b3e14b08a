"""The model of Kafka's group coordinator, held against a real one: what is left of a group when its broker restarts."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalGenerationError, KafkaError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata

from tests.simulation.conformance.kafka_scenarios import formed, heartbeats_until, joined_again, waits
from tests.simulation.conformance.kafka_sides import Side, new_name, on_both


@on_both
async def test_a_group_goes_back_to_the_last_assigned_generation_when_the_broker_restarts(side: Side) -> None:
    group, partition = new_name(), TopicPartition(await side.topic(), 0)
    leader, follower = await formed(side, 2, group=group)
    await follower.commit(partition, 5)
    await joined_again(leader, follower)
    joining = asyncio.create_task((await side.member(group)).join())
    assert await waits(joining)

    admin, stranger = await side.admin(), await side.member(group)
    stranger.id, stranger.generation = "nobody", 1
    restarting = asyncio.create_task(side.restart())
    await offsets_are_only_stored_ones(admin, group, {partition: OffsetAndMetadata(5, "")}, until=restarting)
    # A coordinator answers the heartbeats of anybody while it loads the group.
    await heartbeats_until(UnknownMemberIdError, stranger, also=KafkaError)

    with pytest.raises(KafkaError):
        await joining
    await leader.find_coordinator()
    with pytest.raises(IllegalGenerationError):
        await leader.heartbeat()
    for member in (leader, follower):
        member.generation = 1
        await member.heartbeat()
        await member.sync()


async def offsets_are_only_stored_ones(
    admin: Any, group: str, stored: dict[TopicPartition, OffsetAndMetadata], until: "asyncio.Task[None]"
) -> None:
    """Ask for the group's offsets until *until* has ended and there is one; all answers are *stored* or errors."""
    answered = False
    while not (answered and until.done()):
        try:
            answer = await admin.list_consumer_group_offsets(group, partitions=list(stored))
        except KafkaError:
            answered = False
        else:
            answered = answer == stored
            assert answered
        await asyncio.sleep(0.002)
    await until
