"""What scenarios of Kafka's groups are made of."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, RebalanceInProgressError

from tests.simulation.conformance.kafka_members import Member
from tests.simulation.conformance.kafka_sides import Side, new_name
from tests.simulation.kafka.group_members import Joined

Assignments = Mapping[str, Sequence[TopicPartition]]


async def formed(
    side: Side, members: int = 1, *, group: str = "", session_s: float = 10.0, rebalance_s: float = 10.0
) -> list[Member]:
    """Return the members of a stable group, its leader first."""
    name = group or new_name()
    made = [await side.member(name, session_s=session_s, rebalance_s=rebalance_s) for _ in range(members)]
    joined = await asyncio.gather(*(member.join() for member in made))
    await synchronized(made)
    [leader] = {one.leader for one in joined}
    return sorted(made, key=lambda member: member.id != leader)


async def synchronized(members: Sequence[Member], assignments: Assignments | None = None) -> list[list[TopicPartition]]:
    """Let all members synchronize; each brings *assignments*, of which Kafka takes the leader's."""
    return await asyncio.gather(*(member.sync(assignments) for member in members))


async def joined_again(first: Member, *others: Member) -> list[Joined]:
    """Let all members join again. *first* begins the rebalance: it is the leader, or new."""
    joining = asyncio.create_task(first.join())
    await waits(joining, 0.05)
    return await asyncio.gather(joining, *(member.join() for member in others))


async def heartbeats_until(
    error: type[KafkaError], member: Member, *, also: type[KafkaError] = RebalanceInProgressError
) -> None:
    """Return when Kafka answers heartbeats with *error*. Until then they succeed, or it answers with *also*."""
    while True:
        try:
            await member.heartbeat()
        except error:
            return
        except also:
            pass
        await asyncio.sleep(0.05)


async def waits(task: "asyncio.Future[Any]", seconds: float = 0.15) -> bool:
    """Return whether *task* has not ended within *seconds*."""
    _, pending = await asyncio.wait([task], timeout=seconds)
    return bool(pending)
