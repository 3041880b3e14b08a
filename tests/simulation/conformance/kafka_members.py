"""A member of a consumer group as Kafka's protocol has it, on the model and on a real broker."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    MemberIdRequired,
    NotCoordinatorError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from tests.polling import eventually
from tests.simulation.kafka.admin import encoded
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.group_members import Joined

ANSWER_WITHIN_S: Final = 40.0
NOT_YET: Final = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)

Assignments = Mapping[str, Sequence[TopicPartition]]


class Member(Protocol):
    """Has the id and the generation of its last join. Its requests raise KafkaError as Kafka answers."""

    id: str
    generation: int

    async def find_coordinator(self) -> None:
        """Return when Kafka coordinates the group, which takes a moment after its start."""

    async def take_id(self) -> None:
        """Ask Kafka for an id without joining."""

    async def join(self, metadata: bytes = b"") -> Joined:
        """Join, with an id that Kafka gives if there is none yet."""

    async def sync(self, assignments: Assignments | None = None) -> list[TopicPartition]: ...

    async def heartbeat(self) -> None: ...

    async def commit(self, partition: TopicPartition, offset: int) -> None: ...

    async def leave(self) -> None: ...


class ModelMember:
    """Speaks to the model's group coordinator."""

    def __init__(self, cluster: Cluster, group: str, session_s: float, rebalance_s: float) -> None:
        self._cluster: Final = cluster
        self._group: Final = cluster.group(group)
        self._session_s, self._rebalance_s = session_s, rebalance_s
        self.id = ""
        self.generation = -1

    async def find_coordinator(self) -> None:
        await eventually(self._found, saying="the broker does not coordinate the group")

    async def take_id(self) -> None:
        try:
            await self._ask(lambda: self._group.join("", self._session_s, self._rebalance_s))
        except MemberIdRequired as required:
            self.id = required.args[0]

    async def join(self, metadata: bytes = b"") -> Joined:
        if not self.id:
            await self.take_id()
        member = self.id
        joined: Joined = await self._ask(lambda: self._group.join(member, self._session_s, self._rebalance_s, metadata))
        self.generation = joined.generation
        return joined

    async def sync(self, assignments: Assignments | None = None) -> list[TopicPartition]:
        member, generation = self.id, self.generation
        return list(await self._ask(lambda: self._group.sync(member, generation, assignments or {})))

    async def heartbeat(self) -> None:
        member, generation = self.id, self.generation
        await self._ask(lambda: self._group.heartbeat(member, generation))

    async def commit(self, partition: TopicPartition, offset: int) -> None:
        member, generation = self.id, self.generation
        await self._ask(lambda: self._group.commit(member, generation, {partition: offset}))

    async def leave(self) -> None:
        member = self.id
        await self._ask(lambda: self._group.leave(member))

    async def _found(self) -> bool:
        try:
            await self._ask(lambda: self._group.leave("nobody"))
        except KafkaError as error:
            return not isinstance(error, NOT_YET)
        return True

    async def _ask(self, act: Callable[[], Any]) -> Any:
        return await self._cluster.ask(act, within_s=ANSWER_WITHIN_S)


class ServerMember:
    """Speaks Kafka's protocol to a real broker, in the versions that aiokafka's consumer speaks."""

    def __init__(self, client: AIOKafkaClient, group: str, session_s: float, rebalance_s: float) -> None:
        self._client: Final = client
        self._group: Final = group
        self._timeouts: Final = int(1000 * session_s), int(1000 * rebalance_s)
        self.id = ""
        self.generation = -1

    async def find_coordinator(self) -> None:
        await eventually(self._found, saying="the broker does not coordinate the group")

    async def take_id(self) -> None:
        answer = await self._join(b"")
        assert for_code(answer.error_code) is MemberIdRequired
        self.id = answer.member_id

    async def join(self, metadata: bytes = b"") -> Joined:
        if not self.id:
            await self.take_id()
        answer = await self._join(metadata)
        _check(answer.error_code)
        self.generation = answer.generation_id
        members = tuple(member for member, _, _ in answer.members)
        return Joined(answer.member_id, answer.generation_id, answer.leader_id, members)

    async def sync(self, assignments: Assignments | None = None) -> list[TopicPartition]:
        assigned = [(member, encoded(some)) for member, some in (assignments or {}).items()]
        # A request that waits holds up the others of its connection.
        waiting = ConnectionGroup.COORDINATION
        answer = await self._send(SyncGroupRequest(self._group, self.generation, self.id, None, assigned), waiting)
        _check(answer.error_code)
        if not answer.member_assignment:
            return []
        return list(ConsumerProtocolMemberAssignment.decode(answer.member_assignment).partitions())

    async def heartbeat(self) -> None:
        answer = await self._send(HeartbeatRequest(self._group, self.generation, self.id))
        _check(answer.error_code)

    async def commit(self, partition: TopicPartition, offset: int) -> None:
        topics = [(partition.topic, [(partition.partition, offset, "")])]
        answer = await self._send(OffsetCommitRequest(self._group, self.generation, self.id, -1, topics))
        [(_, [(_, error_code)])] = answer.topics
        _check(error_code)

    async def leave(self) -> None:
        _check((await self._send(LeaveGroupRequest(self._group, self.id))).error_code)

    async def _found(self) -> bool:
        if (await self._send(FindCoordinatorRequest(self._group, 0))).error_code:
            return False
        answer = await self._send(LeaveGroupRequest(self._group, "nobody"))
        return for_code(answer.error_code) not in NOT_YET

    async def _join(self, metadata: bytes) -> Any:
        request = JoinGroupRequest(self._group, *self._timeouts, self.id, None, "consumer", [("range", metadata)])
        return await self._send(request, ConnectionGroup.COORDINATION)

    async def _send(self, request: Any, connection: Any = ConnectionGroup.DEFAULT) -> Any:
        return await self._client.send(self._client.get_random_node(), request, group=connection)


def _check(error_code: int) -> None:
    if error_code:
        error: type[KafkaError] = for_code(error_code)
        raise error
