"""The model of Kafka's group coordinator, of the classic protocol with eager rebalances.

A rebalance begins when a member joins, leaves or is silent. It waits until all members have joined again, at most for
their rebalance timeout, and removes those that have not. The leader then assigns, and all members synchronize.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError

from tests.simulation.loop import SimulatedLoop

# Kafka's `group.initial.rebalance.delay.ms`, 3 s by default: the wait for further members of an empty group.
FIRST_REBALANCE_AFTER_S: Final = 3.0

State = Literal["empty", "joining", "syncing", "stable"]
Assignment = Sequence[TopicPartition]


class Joined(NamedTuple):
    """The answer to a request to join. `members` are those of the group for its leader, and nobody for others."""

    member: str
    generation: int
    leader: str
    members: Sequence[str]


@dataclass(eq=False, slots=True)
class _Member:
    id: str
    session_s: float
    rebalance_s: float
    silent_at: float
    joining: "asyncio.Future[Joined] | None" = None
    syncing: "asyncio.Future[Assignment] | None" = None


@dataclass(eq=False)
class Group:
    """A consumer group: its members, and its offsets."""

    loop: SimulatedLoop
    name: str
    state: State = "empty"
    generation: int = 0
    members: dict[str, _Member] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    # Called with the offsets of each commit.
    committed: Callable[[Mapping[TopicPartition, int]], None] = lambda _: None
    _count: int = 0
    _leader: str = ""
    _of_generation: frozenset[str] = frozenset()
    # The number of the present wait for members, so that a former wait's timer ends nothing.
    _wait: int = 0

    def join(self, member_id: str, session_s: float, rebalance_s: float) -> "asyncio.Future[Joined]":
        """Return a future of the next generation; a member without an id gets one. Raises UnknownMemberIdError."""
        if not member_id:
            self._count += 1
            member_id = f"{self.name}-{self._count}"
            self.members[member_id] = _Member(member_id, session_s, rebalance_s, 0.0)
        member = self._of(member_id)
        self._heard_of(member)
        if member.joining is not None and not member.joining.done():
            member.joining.cancel()
        member.joining = self.loop.create_future()
        answer = member.joining
        if self.state in ("stable", "syncing") and member_id in self._of_generation and member_id != self._leader:
            # A follower that joins again without need gets the present generation once more.
            answer.set_result(Joined(member_id, self.generation, self._leader, ()))
            return answer
        if self.state != "joining":
            self._begin_to_join(first=self.state == "empty")
        elif self._all_joined and self.generation:
            self._end_join()
        return answer

    def sync(
        self, member_id: str, generation: int, assignments: Mapping[str, Assignment]
    ) -> "asyncio.Future[Assignment]":
        """Return a future of the member's assignment; the leader brings *assignments*."""
        member = self._of(member_id, generation)
        if self.state == "joining":
            raise RebalanceInProgressError
        self._heard_of(member)
        member.syncing = answer = self.loop.create_future()
        if self.state == "syncing" and member_id == self._leader:
            self.assignments = {name: tuple(assignments.get(name, ())) for name in self.members}
            self.state = "stable"
        if self.state == "stable":
            for each in self.members.values():
                if each.syncing is not None and not each.syncing.done():
                    each.syncing.set_result(self.assignments.get(each.id, ()))
        return answer

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Raises RebalanceInProgressError when the member has to join again, and the errors of a former member."""
        member = self._of(member_id, generation)
        self._heard_of(member)
        if self.state == "joining":
            raise RebalanceInProgressError

    def leave(self, member_id: str) -> None:
        self._of(member_id)
        self._remove(member_id)

    def commit(self, member_id: str, generation: int, offsets: Mapping[TopicPartition, int]) -> None:
        """Store *offsets*. Kafka still takes them while it waits for members to join, and not while these synchronize."""
        member = self._of(member_id, generation)
        if self.state == "syncing":
            raise RebalanceInProgressError
        self._heard_of(member)
        self.committed(offsets)
        self.offsets.update(offsets)

    def restart(self) -> None:
        """Begin all sessions anew, as another broker does that takes the group over; requests under way are lost."""
        for member in self.members.values():
            self._heard_of(member)

    def _of(self, member_id: str, generation: int | None = None) -> _Member:
        if (member := self.members.get(member_id)) is None:
            raise UnknownMemberIdError
        if generation is not None and generation != self.generation:
            raise IllegalGenerationError
        return member

    def _heard_of(self, member: _Member) -> None:
        member.silent_at = self.loop.time() + member.session_s
        self.loop.in_world(member.session_s + 0.001, self._look_for_silence, member.id)

    def _look_for_silence(self, member_id: str) -> None:
        member = self.members.get(member_id)
        if member is None or member.silent_at > self.loop.time():
            return
        if member.joining is not None and not member.joining.done() and self.state == "joining":
            # Kafka does not remove a member whose request to join it has not answered.
            return
        self._remove(member_id)

    def _remove(self, member_id: str) -> None:
        member = self.members.pop(member_id)
        for waiting in (member.joining, member.syncing):
            if waiting is not None and not waiting.done():
                waiting.set_exception(UnknownMemberIdError())
        self.assignments.pop(member_id, None)
        if not self.members:
            self.state = "empty"
        elif self.state == "joining":
            if self._all_joined:
                self._end_join()
        else:
            self._begin_to_join(first=False)

    @property
    def _all_joined(self) -> bool:
        return all(member.joining is not None and not member.joining.done() for member in self.members.values())

    def _begin_to_join(self, *, first: bool) -> None:
        self.state = "joining"
        self._wait += 1
        for member in self.members.values():
            if member.syncing is not None and not member.syncing.done():
                member.syncing.set_exception(RebalanceInProgressError())
        if first:
            self.loop.in_world(FIRST_REBALANCE_AFTER_S, self._end_wait, self._wait)
        elif self._all_joined:
            self._end_join()
        else:
            longest_s = max(member.rebalance_s for member in self.members.values())
            self.loop.in_world(longest_s, self._end_wait, self._wait)

    def _end_wait(self, wait: int) -> None:
        if wait == self._wait and self.state == "joining":
            self._end_join()

    def _end_join(self) -> None:
        late = [name for name, one in self.members.items() if one.joining is None or one.joining.done()]
        for name in late:
            del self.members[name]
        self._wait += 1
        self.generation += 1
        self.assignments = {}
        self._of_generation = frozenset(self.members)
        if not self.members:
            self.state = "empty"
            return
        self.state = "syncing"
        self._leader = next(iter(self.members))
        for member in self.members.values():
            self._heard_of(member)
            if member.joining is not None:
                names = tuple(self.members) if member.id == self._leader else ()
                member.joining.set_result(Joined(member.id, self.generation, self._leader, names))
