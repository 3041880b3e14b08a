"""What Kafka's group coordinator knows of members, and what it writes of a group."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aiokafka import TopicPartition

# As Kafka names them.
State = Literal["Empty", "PreparingRebalance", "CompletingRebalance", "Stable"]
Assignment = Sequence[TopicPartition]


class Joined(NamedTuple):
    """The answer to a request to join. `members` are those of the group for its leader, and nobody for others."""

    member: str
    generation: int
    leader: str
    members: Sequence[str]


@dataclass(eq=False, slots=True)
class GroupMember:
    """A member as the coordinator knows it. The futures are of its requests that wait for an answer."""

    id: str
    session_s: float
    rebalance_s: float
    metadata: object
    silent_at: float = 0.0
    joining: "asyncio.Future[Joined] | None" = None
    syncing: "asyncio.Future[Assignment] | None" = None
    synchronized: bool = False

    @property
    def awaits_join(self) -> bool:
        return self.joining is not None and not self.joining.done()

    @property
    def awaits_sync(self) -> bool:
        return self.syncing is not None and not self.syncing.done()


class StoredGroup(NamedTuple):
    """What Kafka has written of a group: its last generation that was assigned, or that was empty."""

    generation: int
    leader: str
    members: Sequence[tuple[str, float, float, object]]
    assignments: Mapping[str, Assignment]
