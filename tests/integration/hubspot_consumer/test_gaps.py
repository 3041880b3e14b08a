"""Every record is read once and in order, or it is told why not: whatever is lost, deleted, cut off or skipped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.errors import GroupAuthorizationFailedError

from hubspot_consumer.kafka.faust_driver import Consumer
from hubspot_consumer.kafka.gaps import LOOKS
from hubspot_consumer.settings import Settings
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.kafka import transactions
from tests.polling import eventually
from tests.workers.member import Member

pytestmark = pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")

PARTITIONS = 2


class Group:
    """A consumer group of one member, and one partition that the test writes to."""

    def __init__(self, kafka: Any, prefix: str) -> None:
        self.servers: str = kafka.bootstrap_servers
        self.topics = Topics(prefix)
        self.name = f"group-{uuid4().hex[:8]}"
        self.partition = TopicPartition(self.topics.of("nova_earned"), 1)

    @asynccontextmanager
    async def member(self) -> AsyncIterator[Member]:
        member = Member(Settings())
        await member.start()
        try:
            yield member
        finally:
            await member.stop()

    async def write(self, records: int, *, transaction: bool | None = None) -> None:
        """Write records; within a transaction that is committed or aborted unless None."""
        if transaction is not None:
            await transactions.write(self.servers, self.partition, [b"{}"] * records, aborted=not transaction)
            return
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            for _ in range(records):
                await producer.send_and_wait(self.partition.topic, b"{}", partition=self.partition.partition)

    async def commit(self, offset: int) -> None:
        group = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=Settings().group, enable_auto_commit=False)
        await group.start()
        group.assign([self.partition])
        await group.commit({self.partition: offset})
        await group.stop()

    async def delete_before(self, offset: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.delete_records({self.partition: RecordsToDelete(offset)})
        await admin.close()

    async def until_committed(self, member: Member, offset: int) -> None:
        async def committed() -> bool:
            return bool(dict(await member.lag.unfinished())[self.partition] == offset)

        await eventually(committed, within_s=20, every_s=0.1, saying=f"{offset} is committed")

    def read(self, member: Member) -> list[int]:
        """Return the offsets that a member was handed of the partition, in order."""
        return [offset for topic, number, offset in member.taken if (topic, number) == self.partition]


@pytest.fixture
async def group(kafka: Any, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Group:
    group = Group(kafka, topic_prefix)
    await create_topics(kafka.bootstrap_servers, group.topics, PARTITIONS)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", group.servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("CONSUMER_GROUP", group.name)
    monkeypatch.setenv("HUBSPOT_ENABLED", "true")
    return group


def throw_away(monkeypatch: pytest.MonkeyPatch, group: Group, thrown: set[int]) -> None:
    """Let Faust throw away records of these offsets, each once, after the Kafka client has gone on."""
    fetch = Consumer.getmany

    def is_thrown(record: Any) -> bool:
        if (record.topic, record.partition) != group.partition or record.offset not in thrown:
            return False
        thrown.remove(record.offset)
        return True

    async def getmany(self: Consumer, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - as Faust has it
        async for partition, fetched in fetch(self, timeout):
            message: Any = fetched
            message.value = [record for record in message.value if not is_thrown(record)]
            yield partition, message

    monkeypatch.setattr(Consumer, "getmany", getmany)


@pytest.mark.parametrize("thrown", [{0}, {0, 1, 2}, {3}, {2, 5}])
async def test_a_record_that_was_thrown_away_is_read_again_in_its_place_and_never_committed_past(
    group: Group, monkeypatch: pytest.MonkeyPatch, thrown: set[int]
) -> None:
    throw_away(monkeypatch, group, set(thrown))
    async with group.member() as member:
        await group.write(8)
        await group.until_committed(member, 8)

        assert group.read(member) == list(range(8))
        assert set(member.gaps) == {"lost"}
        assert 1 <= member.gaps["lost"] <= len(thrown)


async def test_a_partition_of_which_nothing_comes_is_unwell_and_read_again(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    throw_away(monkeypatch, group, {0, 1, 2})
    async with group.member() as member:

        async def fetched() -> bool:
            return any(place == group.partition and end == 3 for place, (end, _) in member.positions._read.items())

        await group.write(3)
        await eventually(fetched, within_s=20, saying="the records are fetched, and thrown away")
        for _ in range(LOOKS):
            assert member.health.unwell == {}
            await member.look()
        await member.look()

        assert f"nothing is read of {group.partition.topic}-1" in member.health.unwell["reading"]
        await group.until_committed(member, 3)
        await member.look()
        assert (member.health.unwell, group.read(member), member.gaps) == ({}, [0, 1, 2], {"stalled": 1})


async def test_markers_of_transactions_are_no_gap_and_are_committed_past(group: Group) -> None:
    async with group.member() as member:
        await group.write(2, transaction=True)
        await group.write(1, transaction=False)
        await group.write(2)
        await group.write(1, transaction=True)

        # Each transaction ends with a marker, which takes an offset.
        await group.until_committed(member, 9)
        assert group.read(member) == [0, 1, 3, 5, 6, 7]
        assert member.gaps == {}
        assert sum((await member.lag.read()).values()) == 0


async def test_what_kafka_deleted_unread_is_told_and_read_past(group: Group) -> None:
    await group.write(6)
    await group.commit(2)
    await group.delete_before(4)

    async with group.member() as member:
        await group.until_committed(member, 6)

        assert (group.read(member), member.gaps) == ([4, 5], {"deleted": 1})


async def test_a_partition_that_was_cut_off_or_made_anew_is_read_from_its_beginning(group: Group) -> None:
    await group.write(3)
    await group.commit(50)

    async with group.member() as member:
        await group.until_committed(member, 3)
        await group.write(2)
        await group.until_committed(member, 5)

        assert (group.read(member), member.gaps) == ([0, 1, 2, 3, 4], {"restarted": 1})


async def test_a_member_begins_where_its_group_is_and_otherwise_where_the_partition_begins(group: Group) -> None:
    await group.write(5)
    await group.delete_before(1)
    async with group.member() as first:
        await group.until_committed(first, 5)
    await group.write(2)

    async with group.member() as second:
        await group.until_committed(second, 7)

    assert (group.read(first), group.read(second)) == ([1, 2, 3, 4], [5, 6])
    assert first.gaps + second.gaps == {}


async def test_a_member_that_is_refused_once_when_it_joins_again_comes_back(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    join, joining, refused = CoordinatorGroupRebalance.perform_group_join, list[Any](), list[Any]()

    async def refuse_once(self: Any) -> Any:
        if self._coordinator in joining and not refused:
            refused.append(self)
            raise GroupAuthorizationFailedError
        return await join(self)

    monkeypatch.setattr(CoordinatorGroupRebalance, "perform_group_join", refuse_once)
    async with group.member() as first:
        await group.write(1)
        await group.until_committed(first, 1)
        thread: Any = first.worker._app.consumer
        joining.append(thread._thread._consumer._coordinator)

        async with group.member() as second:

            async def both_hold() -> bool:
                await first.look()
                return bool(refused and first.assigned and second.assigned)

            await eventually(both_hold, within_s=60, every_s=1, saying="both are members")
            await group.write(3)

            async def all_read() -> bool:
                return group.read(first) + group.read(second) == [0, 1, 2, 3]

            await eventually(all_read, within_s=20, saying="all is read")


# One of the two partitions stays with the first worker.
@pytest.mark.parametrize("number", range(PARTITIONS))
async def test_the_rest_of_a_fetch_goes_to_the_next_worker_of_its_partition_and_is_no_gap(
    group: Group, number: int
) -> None:
    group.partition = TopicPartition(group.partition.topic, number)
    await group.write(20)
    async with group.member() as first:
        first.may_finish.clear()

        async def taken() -> bool:
            return bool(group.read(first))

        await eventually(taken, within_s=20, saying="the first of twenty records is taken, and waits")
        async with group.member() as second:

            async def both_hold() -> bool:
                return all(
                    member.assigned and all(member.offsets.next_of(one) is not None for one in member.assigned)
                    for member in (first, second)
                )

            await eventually(both_hold, within_s=60, saying="both are members, and their partitions are sought")
            first.may_finish.set()
            await group.write(1)

            async def all_committed() -> bool:
                return not sum((await first.lag.read()).values())

            await eventually(all_committed, within_s=30, every_s=0.2, saying="all is committed")

            read_on = group.read(first)[1:] + group.read(second)
            assert read_on == list(range(21))
            assert first.gaps + second.gaps == {}
