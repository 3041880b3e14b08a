"""The model of Faust and aiokafka's group consumer: a member of the workers' group, in the place of `FaustWorker`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from hubspot_consumer.kafka.faust_worker import COMMIT_INTERVAL_S, HEARTBEAT_S
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.group_refusals import SESSION_TIMEOUT_S
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Positions
from hubspot_consumer.kafka.records import Partition, Record
from runtime.kafka.connection import KafkaConnection
from schemas.times import moment_of
from tests.simulation.kafka.broker import StoredRecord
from tests.simulation.kafka.client import RETRY_AFTER_S
from tests.simulation.kafka.cluster import CLUSTER
from tests.simulation.kafka.membership import GroupConsumer, Membership

# Faust's own limits: how long it waits for records, and how many of them wait for the agent.
FETCH_WITHIN_S: Final = 1.0
MOST_BUFFERED: Final = 500
# Where the event loop has much to do, records wait in Faust's buffer.
SHARE_READ_LATE: Final = 0.02
LATE_S: Final = 0.5
# Faust may drop what it fetched just after an assignment, as it takes it for a former one's.
SHARE_LOST_AT_AN_ASSIGNMENT: Final = 0.1


class SimulatedMember:
    """Reads the topics as `FaustWorker` does, whose docstring is the contract."""

    def __init__(
        self,
        kafka: KafkaConnection,
        group: str,
        *,
        lease: Lease,
        offsets: Offsets,
        positions: Positions,
        gaps: Gaps,
        take: Callable[[Record], Awaitable[None]],
        revoked: Callable[[], Awaitable[object]],
        dropped: Callable[[], None],
        assigned: Callable[[Collection[Partition]], Awaitable[None]],
    ) -> None:
        self._cluster: Final = CLUSTER.get()
        self._topics: Final = tuple(kafka.topics.events)
        self._membership: Final = Membership(self._cluster.group(group))
        self._consumer: Final = GroupConsumer(self._cluster.group(group), self._membership)
        self._lease, self._offsets, self._positions, self._gaps = lease, offsets, positions, gaps
        self._take, self._revoked, self._dropped, self._assigned = take, revoked, dropped, assigned
        self.paused: set[TopicPartition] = set()
        # Whether nothing was fetched yet since the assignment.
        self._fresh = False
        self._buffer: deque[StoredRecord] = deque()
        self._filled = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._heartbeats: asyncio.Task[Any] | None = None
        self._partitions = 0

    async def start(self) -> None:
        works = (self._coordinate(), self._fetch(), self._read(), self._commit_now_and_then())
        self._tasks = [asyncio.create_task(work) for work in works]

    async def ended(self) -> BaseException | None:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).exception()

    async def stop(self) -> None:
        if self._tasks:
            await self._commit()
        for task in [*self._tasks, *([self._heartbeats] if self._heartbeats else [])]:
            task.cancel()
        await self._membership.leave()

    @property
    def assigned(self) -> Collection[Partition]:
        return [(one.topic, one.partition) for one in self._consumer.assignment()]

    async def heed_errors(self) -> None:
        """There are no errors of the coordinator that end a membership here."""

    async def look_for_partitions(self) -> None:
        """The leader lets the group assign anew when partitions were added."""
        if self._partitions and self._partitions != self._equal_partitions():
            self._membership.must_join.set()

    async def seek_back(self, partition: Partition) -> None:
        if (offset := self._offsets.next_of(partition)) is not None:
            await self._positions.seek_back(self._consumer, partition, offset)

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused = {TopicPartition(*one) for one in partitions}

    def _equal_partitions(self) -> int:
        return min(self._cluster.broker.topics.get(topic, 0) for topic in self._topics)

    async def _coordinate(self) -> None:
        while True:
            await self._membership.must_join.wait()
            await self._prepare()
            await self._stop_heartbeats()
            while not await self._joined():  # noqa: ASYNC110 - Kafka does not say when it may answer again
                await asyncio.sleep(RETRY_AFTER_S)

    async def _prepare(self) -> None:
        """Give the partitions back, with heartbeats meanwhile."""
        self._positions.revoked()
        chance = self._cluster.chance
        if early := chance.random() < 0.5:
            self._buffer.clear()
        await self._revoked()
        # A commit that is under way ends first, as in production.
        await self._commit()
        await self._commit()
        self._dropped()
        if not early and chance.random() < 0.5:
            self._buffer.clear()

    async def _joined(self) -> bool:
        """Return whether this is a member with an assignment, which was handled."""
        # What comes from now on demands another rebalance.
        self._membership.must_join.clear()
        try:
            joined = await self._membership.join()
            assignments = self._assign(joined.members) if joined.members else {}
            assigned = await self._membership.sync(joined, assignments)
        except KafkaError:
            return False
        self._consumer.assign(assigned)
        self._lease.renew(self._lease.now())
        self.paused, self._fresh = set(), True
        await self._assigned(self.assigned)
        self._positions.assigned(self._consumer, self._sought)
        self._heartbeats = asyncio.create_task(self._beat())
        return True

    def _sought(self, starts: Mapping[Partition, int]) -> None:
        # Between the two event loops of production, this is a message.
        self._cluster.loop.call_soon(self._offsets.assigned, starts)

    def _assign(self, members: Collection[str]) -> Mapping[str, list[TopicPartition]]:
        self._partitions = self._equal_partitions()
        given: dict[str, list[TopicPartition]] = {member: [] for member in members}
        names = sorted(members)
        self._cluster.chance.shuffle(names)
        for number in range(self._partitions):
            given[names[number % len(names)]] += [TopicPartition(topic, number) for topic in self._topics]
        return given

    async def _beat(self) -> None:
        last = self._lease.now()
        while self._membership.id:
            await asyncio.sleep(HEARTBEAT_S)
            asked_at = self._lease.now()
            if await self._membership.heartbeat():
                self._lease.renew(asked_at)
                last = asked_at
            elif self._lease.now() - last > SESSION_TIMEOUT_S:
                await asyncio.sleep(RETRY_AFTER_S)

    async def _stop_heartbeats(self) -> None:
        if self._heartbeats is not None:
            self._heartbeats.cancel()
            await asyncio.wait([self._heartbeats])
            self._heartbeats = None

    async def _fetch(self) -> None:
        while True:
            if len(self._buffer) >= MOST_BUFFERED:
                await asyncio.sleep(0.05)
                continue
            active = self._consumer.assignment() - self.paused

            async def fetch(active: set[TopicPartition] = active) -> Any:
                return await self._consumer.fetch(active, FETCH_WITHIN_S)

            fetched = await self._positions.fetch(self._consumer, fetch, FETCH_WITHIN_S)
            if fetched:
                lost = self._fresh and self._cluster.chance.random() < SHARE_LOST_AT_AN_ASSIGNMENT
                self._fresh = False
                for records in fetched.values():
                    self._buffer.extend(records[1:] if lost else records)
                self._filled.set()
            elif not active:
                await asyncio.sleep(0.1)

    async def _read(self) -> None:
        while True:
            while not self._buffer:
                self._filled.clear()
                await self._filled.wait()
            record = _record(self._buffer.popleft())
            if await self._gaps.is_next(record, self):
                await self._take(record)
            if self._cluster.chance.random() < SHARE_READ_LATE:
                await asyncio.sleep(self._cluster.chance.random() * LATE_S)

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        if self._committing is not None and not self._committing.done():
            await asyncio.wait([self._committing])
            return
        self._committing = asyncio.create_task(self._commit_all())
        await asyncio.wait([self._committing])

    async def _commit_all(self) -> None:
        for partition, end, to in self._positions.skipped():
            self._offsets.pass_over(partition, end, to)
        assigned = self._consumer.assignment()
        offsets = {TopicPartition(*one): at for one, at in self._offsets.committable().items()}
        offsets = {one: at for one, at in offsets.items() if one in assigned}
        if not offsets:
            return
        try:
            await self._membership.commit(offsets)
        except CommitFailedError:
            return
        self._offsets.committed(offsets)


def _record(stored: StoredRecord) -> Record:
    return Record(
        stored.topic,
        stored.partition,
        stored.offset,
        moment_of(stored.timestamp / 1000),
        stored.key,
        stored.value,
        stored.headers,
    )
