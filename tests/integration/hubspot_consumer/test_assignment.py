"""Faust's assignor: a worker holds the same partition numbers of all seven topics, however many workers there are."""

import math
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.assignment import unequal_topics
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.polling import eventually
from tests.workers.member import Member

PARTITIONS = 12


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
@pytest.mark.parametrize("workers", [1, 2, 3, *(pytest.param(number, marks=pytest.mark.chaos) for number in (5, 7))])
async def test_any_number_of_workers_hold_equal_numbers_of_every_topic_and_all_of_them_once(
    kafka: Any, topic_prefix: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, topics, PARTITIONS)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("CONSUMER_GROUP", f"group-{uuid4().hex[:8]}")
    monkeypatch.setenv("HUBSPOT_ENABLED", "true")
    members: list[Member] = []
    try:
        for _ in range(workers):
            members.append(Member(Settings()))
            await members[-1].start()

        async def all_held() -> bool:
            return all(member.rebalances for member in members) and Counter(
                one for member in members for one in member.assigned
            ) == Counter((topic, number) for topic in topics.events for number in range(PARTITIONS))

        await eventually(all_held, within_s=60, saying="every partition is held once")
        for member in members:
            assert unequal_topics(member.assigned, topics.events) is None
            # A worker keeps what it has, up to its part rounded up: a late one may be left with nothing.
            assert len(member.assigned) <= len(topics.events) * math.ceil(PARTITIONS / workers)
            assert member.lease.valid
    finally:
        for member in members:
            await member.stop()
