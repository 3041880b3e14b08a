"""The model of aiokafka's part in a group: a membership, and the consumer that has it."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    MemberIdRequired,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from hubspot_consumer.kafka.faust_worker import REBALANCE_TIMEOUT_S
from hubspot_consumer.kafka.group_refusals import SESSION_TIMEOUT_S
from tests.simulation.kafka.client import RETRY_AFTER_S
from tests.simulation.kafka.cluster import CLUSTER
from tests.simulation.kafka.consumer import Consumer
from tests.simulation.kafka.group_members import Joined
from tests.simulation.kafka.groups import Group

_FORMER_MEMBER: Final = (UnknownMemberIdError, IllegalGenerationError)


class GroupConsumer(Consumer):
    """AIOKafkaConsumer of a group, as far as `Positions` uses it."""

    def __init__(self, group: Group, membership: "Membership", **options: Any) -> None:
        super().__init__(auto_offset_reset="none", **options)
        self._group: Final = group
        self._membership: Final = membership

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the committed offset; like aiokafka it asks until Kafka answers."""
        found = await self._membership.until_answered(lambda: self._group.offsets_of([partition]))
        return found[partition] if found[partition] >= 0 else None

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._membership.commit(offsets)

    async def fetch(self, partitions: Collection[TopicPartition], wait_s: float) -> Mapping[Any, Any]:
        """Return the next records of *partitions*. Raises OffsetOutOfRangeError."""
        return await self.getmany(*partitions, timeout_ms=int(1000 * wait_s)) if partitions else {}


class Membership:
    """What a member of a group is to Kafka: its id and generation."""

    def __init__(self, group: Group) -> None:
        self._cluster: Final = CLUSTER.get()
        self._group: Final = group
        self.id = ""
        self.generation = -1
        self._assigned: frozenset[TopicPartition] = frozenset()
        self.must_join: Final = asyncio.Event()
        self.must_join.set()

    async def until_answered(self, act: Callable[[], Any], *, within_s: float = 40.0) -> Any:
        """Return Kafka's answer, however long it is away. Raises what *act* raises."""
        while True:
            try:
                return await self._cluster.ask(act, within_s=within_s)
            except KafkaError as error:
                if not error.retriable or isinstance(error, RebalanceInProgressError):
                    raise
            await asyncio.sleep(RETRY_AFTER_S)

    async def join(self) -> Joined:
        """Raises KafkaError."""
        try:
            joined = await self._join()
        except MemberIdRequired as required:
            self.id = required.args[0]
            return await self.join()
        except _FORMER_MEMBER:
            self.forget()
            raise
        self.id, self.generation = joined.member, joined.generation
        return joined

    async def _join(self) -> Joined:
        # The metadata of Faust's members contains their present assignment.
        member, metadata = self.id, self._assigned

        def join() -> Any:
            return self._group.join(member, SESSION_TIMEOUT_S, REBALANCE_TIMEOUT_S, metadata)

        # aiokafka waits for the rebalance's timeout and a request's.
        joined: Joined = await self._cluster.ask(join, within_s=REBALANCE_TIMEOUT_S + 40)
        return joined

    async def sync(self, joined: Joined, assignments: Mapping[str, Any]) -> Collection[TopicPartition]:
        """Raises KafkaError."""
        try:
            assigned: Collection[TopicPartition] = await self._cluster.ask(
                lambda: self._group.sync(joined.member, joined.generation, assignments), within_s=40.0
            )
        except _FORMER_MEMBER:
            self.forget()
            raise
        self._assigned = frozenset(assigned)
        return assigned

    async def heartbeat(self) -> bool:
        """Return whether Kafka has answered that this is a member. A failure to answer is no fault yet."""
        member, generation = self.id, self.generation
        try:
            await self._cluster.ask(lambda: self._group.heartbeat(member, generation), within_s=40.0)
        except RebalanceInProgressError:
            self.must_join.set()
        except _FORMER_MEMBER:
            self.forget()
            return False
        except KafkaError:
            return False
        return True

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises CommitFailedError where another member may have the partitions."""
        member, generation, offsets = self.id, self.generation, dict(offsets)
        try:
            await self.until_answered(lambda: self._group.commit(member, generation, offsets))
        except (*_FORMER_MEMBER, RebalanceInProgressError) as error:
            if isinstance(error, _FORMER_MEMBER):
                self.forget()
            self.must_join.set()
            raise CommitFailedError from error

    async def leave(self) -> None:
        member = self.id
        if member:
            with suppress(KafkaError):
                await self._cluster.ask(lambda: self._group.leave(member), within_s=40.0)

    def forget(self) -> None:
        """Begin anew: the group has another generation, or has removed this member."""
        self.id, self.generation = "", -1
        self.must_join.set()
