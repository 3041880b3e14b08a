"""Faust's assignor: a worker holds the same partition numbers of all seven topics, however many workers there are."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.assignment import unequal_topics
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.kafka import topic_list
from tests.polling import eventually
from tests.workers.member import Member

PARTITIONS = 12


pytestmark = pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")


async def its_topics(kafka: Any, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Create topics, and set the environment of members that read them."""
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap_servers, topics, PARTITIONS)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("CONSUMER_GROUP", f"group-{uuid4().hex[:8]}")
    monkeypatch.setenv("HUBSPOT_ENABLED", "true")
    return topics


async def all_held(members: Sequence[Member], topics: Topics, partitions: int) -> None:
    """Return when each of so many partitions of every topic is held once."""

    async def are_held() -> bool:
        return all(member.rebalances for member in members) and Counter(
            one for member in members for one in member.assigned
        ) == Counter((topic, number) for topic in topics.events for number in range(partitions))

    await eventually(are_held, within_s=60, saying="every partition is held once")


@pytest.mark.parametrize("workers", [1, 2, 3, *(pytest.param(number, marks=pytest.mark.chaos) for number in (5, 7))])
async def test_any_number_of_workers_hold_equal_numbers_of_every_topic_and_all_of_them_once(
    kafka: Any, topic_prefix: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = await its_topics(kafka, topic_prefix, monkeypatch)
    members: list[Member] = []
    try:
        for _ in range(workers):
            members.append(Member(Settings()))
            await members[-1].start()
        await all_held(members, topics, PARTITIONS)
        for member in members:
            assert unequal_topics(member.assigned, topics.events) is None
            # A worker keeps what it has, up to its part rounded up: a late one may be left with nothing.
            assert len(member.assigned) <= len(topics.events) * math.ceil(PARTITIONS / workers)
            assert member.lease.valid
    finally:
        for member in members:
            await member.stop()


async def test_partitions_that_only_some_topics_have_are_assigned_when_all_have_them(
    kafka: Any, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = await its_topics(kafka, topic_prefix, monkeypatch)
    members = [Member(Settings()), Member(Settings())]
    try:
        for member in members:
            await member.start()
        await all_held(members, topics, PARTITIONS)
        for added_to in (topics.events[:3], topics.events[3:]):
            before = [member.rebalances for member in members]
            await topic_list.add_partitions(kafka.bootstrap_servers, PARTITIONS + 4, *added_to)

            async def assigned_anew(before: Sequence[int] = before) -> bool:
                for member in members:
                    await member.worker.look_for_partitions()
                return all(member.rebalances > times for member, times in zip(members, before, strict=True))

            await eventually(assigned_anew, within_s=60, every_s=0.5, saying="the group has assigned anew")
            partitions = PARTITIONS if added_to == topics.events[:3] else PARTITIONS + 4
            await all_held(members, topics, partitions)
            assert [unequal_topics(member.assigned, topics.events) for member in members] == [None, None]
    finally:
        for member in members:
            await member.stop()
