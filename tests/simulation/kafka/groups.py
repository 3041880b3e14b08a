"""The model of Kafka's group coordinator, of the classic protocol with eager rebalances.

A rebalance begins when a member joins, leaves or is silent. It waits until all members have joined again, at most for
their rebalance timeout, and removes those that have not. The leader then assigns, and all members synchronize.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupLoadInProgressError,
    IllegalGenerationError,
    MemberIdRequired,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from tests.simulation.kafka.group_members import Assignment, GroupMember, Joined, State, StoredGroup
from tests.simulation.loop import SimulatedLoop

# Kafka's `group.initial.rebalance.delay.ms`, 3 s by default: the wait for further members of an empty group.
FIRST_REBALANCE_AFTER_S: Final = 3.0


@dataclass(eq=False)
class Group:
    """A consumer group: its members, and its offsets."""

    loop: SimulatedLoop
    name: str
    first_rebalance_after_s: float = FIRST_REBALANCE_AFTER_S
    state: State = "Empty"
    generation: int = 0
    members: dict[str, GroupMember] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    assignments: Mapping[str, Assignment] = field(default_factory=dict)
    # Called with the offsets of each commit.
    committed: Callable[[Mapping[TopicPartition, int]], None] = lambda _: None
    leader: str = ""
    _count: int = 0
    _of_generation: frozenset[str] = frozenset()
    # Members that were given an id, and have not joined with it: a rebalance waits for them too.
    _expected: dict[str, float] = field(default_factory=dict)
    # The number of the present wait for members, so that a former wait's timer ends nothing.
    _wait: int = 0
    # Whether that wait is the one of an empty group, and whether another member has joined during it.
    _first: bool = False
    _another: bool = False
    _stored: StoredGroup | None = None
    _away: bool = False
    # While the coordinator loads the group, it answers heartbeats of anybody, and nothing else.
    _loaded_at: float = 0.0

    @property
    def exists(self) -> bool:
        """Whether Kafka knows the group: it has, or had, members or offsets."""
        return bool(self.generation or self.members or self._expected or self.offsets)

    def join(
        self, member_id: str, session_s: float, rebalance_s: float, metadata: object = None
    ) -> "asyncio.Future[Joined]":
        """Return a future of the next generation. Raises UnknownMemberIdError; MemberIdRequired brings a new id."""
        self._must_be_loaded()
        if not member_id:
            self._count += 1
            member_id = f"{self.name}-{self._count}"
            self._expected[member_id] = session_s
            self.loop.in_world(session_s, self._expect_no_more, member_id)
            raise MemberIdRequired(member_id)
        if self._expected.pop(member_id, None) is not None:
            self.members[member_id] = GroupMember(member_id, session_s, rebalance_s, metadata)
            self.leader = self.leader or member_id
            self._another = True
        member = self._of(member_id)
        changed, member.metadata = metadata != member.metadata, metadata
        if member.joining is not None and member.awaits_join:
            member.joining.cancel()
        member.joining = answer = self.loop.create_future()
        if not changed and self._needs_no_rebalance_for(member_id):
            answer.set_result(self._joined(member_id))
        elif self.state == "PreparingRebalance":
            self._end_join_when_all_are_there()
        else:
            self._begin_to_join()
        return answer

    def sync(
        self, member_id: str, generation: int, assignments: Mapping[str, Assignment]
    ) -> "asyncio.Future[Assignment]":
        """Return a future of the member's assignment; the leader brings *assignments*."""
        self._must_be_loaded()
        member = self._of(member_id, generation)
        if self.state == "PreparingRebalance":
            raise RebalanceInProgressError
        member.syncing = answer = self.loop.create_future()
        member.synchronized = True
        if self.state == "CompletingRebalance" and member_id == self.leader:
            self.assignments = {name: tuple(assignments.get(name, ())) for name in self.members}
            self.state = "Stable"
            self._store()
        if self.state == "Stable":
            for each in self.members.values():
                if each.syncing is not None and each.awaits_sync:
                    self._heard_of(each)
                    each.syncing.set_result(self.assignments.get(each.id, ()))
        return answer

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Raises RebalanceInProgressError when the member has to join again, and the errors of a former member."""
        if self.loads:
            return
        member = self._of(member_id, generation)
        self._heard_of(member)
        if self.state == "PreparingRebalance":
            raise RebalanceInProgressError

    def leave(self, member_id: str) -> None:
        self._must_be_loaded()
        if member_id in self._expected:
            self._expect_no_more(member_id)
        else:
            self._of(member_id)
            self._remove(member_id)

    def commit(self, member_id: str, generation: int, offsets: Mapping[TopicPartition, int]) -> None:
        """Store *offsets*. Kafka takes them while it waits for members to join, and not while these synchronize."""
        self._must_be_loaded()
        # Whoever is no member may commit while there is none.
        if generation >= 0 or self.state != "Empty":
            member = self._of(member_id, generation)
            if self.state == "CompletingRebalance":
                raise RebalanceInProgressError
            self._heard_of(member)
        self.committed(offsets)
        self.offsets.update(offsets)

    def offsets_of(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the committed offsets, -1 where there is none."""
        self._must_be_loaded()
        return {partition: self.offsets.get(partition, -1) for partition in partitions}

    def fail(self) -> None:
        """Do nothing by itself until `restart`: the broker that has the group is gone."""
        self._away = True
        self._wait += 1

    def restart(self, loads_for_s: float) -> None:
        """Go on with what is written, as another broker does that takes the group over, or the same one."""
        self._away = False
        self._loaded_at = self.loop.time() + loads_for_s
        for member in self.members.values():
            for waiting in (member.joining, member.syncing):
                if waiting is not None and not waiting.done():
                    waiting.set_exception(NotCoordinatorForGroupError())
        self._wait += 1
        self._expected.clear()
        stored = self._stored or StoredGroup(0, "", (), {})
        self.generation, self.leader, _, self.assignments = stored
        self.members = {one[0]: GroupMember(*one, synchronized=True) for one in stored.members}
        self._of_generation = frozenset(self.members)
        self.state = "Stable" if self.members else "Empty"
        for member in self.members.values():
            self._heard_of(member, loads_for_s)

    @property
    def loads(self) -> bool:
        return self.loop.time() < self._loaded_at

    def _must_be_loaded(self) -> None:
        if self.loads:
            raise GroupLoadInProgressError

    def _store(self) -> None:
        members = tuple((one.id, one.session_s, one.rebalance_s, one.metadata) for one in self.members.values())
        self._stored = StoredGroup(self.generation, self.leader, members, self.assignments)

    def _of(self, member_id: str, generation: int | None = None) -> GroupMember:
        if (member := self.members.get(member_id)) is None:
            raise UnknownMemberIdError
        if generation is not None and generation != self.generation:
            raise IllegalGenerationError
        return member

    def _joined(self, member_id: str) -> Joined:
        names = tuple(self.members) if member_id == self.leader else ()
        return Joined(member_id, self.generation, self.leader, names)

    def _needs_no_rebalance_for(self, member_id: str) -> bool:
        """Return whether a member that joins again gets the present generation: its answer may have been lost."""
        if member_id not in self._of_generation:
            return False
        return self.state == "CompletingRebalance" or (self.state == "Stable" and member_id != self.leader)

    def _heard_of(self, member: GroupMember, after_s: float = 0.0) -> None:
        silent_after_s = after_s + member.session_s
        member.silent_at = self.loop.time() + silent_after_s
        self.loop.in_world(silent_after_s + 0.001, self._look_for_silence, member)

    def _look_for_silence(self, member: GroupMember) -> None:
        if self._away or self.members.get(member.id) is not member or member.silent_at > self.loop.time():
            return
        # A member that waits for an answer can't send heartbeats; its session begins anew with the answer.
        if not (member.awaits_join or member.awaits_sync):
            self._remove(member.id)

    def _expect_no_more(self, member_id: str) -> None:
        if self._expected.pop(member_id, None) is not None and self.state == "PreparingRebalance":
            self._end_join_when_all_are_there()

    def _remove(self, *member_ids: str) -> None:
        for member_id in member_ids:
            member = self.members.pop(member_id)
            for waiting in (member.joining, member.syncing):
                if waiting is not None and not waiting.done():
                    waiting.set_exception(UnknownMemberIdError())
        if self.state == "PreparingRebalance":
            self._end_join_when_all_are_there()
        else:
            self._begin_to_join()

    def _begin_to_join(self) -> None:
        for member in self.members.values():
            if member.syncing is not None and member.awaits_sync:
                self._heard_of(member)
                member.syncing.set_exception(RebalanceInProgressError())
        self._first, self._another = self.state == "Empty", False
        self.state = "PreparingRebalance"
        self._wait += 1
        longest_s = self._longest_s
        if self._first:
            wait_s = self.first_rebalance_after_s
            self.loop.in_world(wait_s, self._end_first_wait, self._wait, max(0.0, longest_s - wait_s))
        elif not self._end_join_when_all_are_there():
            self.loop.in_world(longest_s, self._end_wait, self._wait)

    @property
    def _longest_s(self) -> float:
        return max((member.rebalance_s for member in self.members.values()), default=0.0)

    def _end_first_wait(self, wait: int, left_s: float) -> None:
        """End the wait of an empty group, or prolong it as long as others join."""
        if wait == self._wait and self._another and left_s > 0:
            self._another = False
            wait_s = min(self.first_rebalance_after_s, left_s)
            self.loop.in_world(wait_s, self._end_first_wait, wait, left_s - wait_s)
        else:
            self._end_wait(wait)

    def _end_wait(self, wait: int) -> None:
        if wait == self._wait and self.state == "PreparingRebalance":
            self._end_join()

    def _end_join_when_all_are_there(self) -> bool:
        if (
            self._away
            or self._first
            or self._expected
            or not all(member.awaits_join for member in self.members.values())
        ):
            return False
        self._end_join()
        return True

    def _end_join(self) -> None:
        self.members = {name: one for name, one in self.members.items() if one.awaits_join}
        if self.leader not in self.members:
            self.leader = next(iter(self.members), "")
        self._wait += 1
        self.generation += 1
        self.assignments = {}
        self._of_generation = frozenset(self.members)
        if not self.members:
            self.state = "Empty"
            self._store()
            return
        self.state = "CompletingRebalance"
        self.loop.in_world(self._longest_s, self._remove_unsynchronized, self.generation)
        for member in self.members.values():
            self._heard_of(member)
            member.synchronized = False
            if member.joining is not None:
                member.joining.set_result(self._joined(member.id))

    def _remove_unsynchronized(self, generation: int) -> None:
        late = [name for name, member in self.members.items() if not member.synchronized]
        if late and generation == self.generation and self.state in ("CompletingRebalance", "Stable"):
            self._remove(*late)
