"""`python -m producer topics`: creates what is missing, alters nothing, refuses what can't work."""

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.topics import Topics
from tests.commands import run


@pytest.fixture
def environment(kafka: Any, topic_prefix: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_PARTITIONS": "3",
    }


async def test_it_creates_eight_topics_once(environment: dict[str, str], topic_prefix: str) -> None:
    first = await run("producer", "topics", environment=environment)
    second = await run("producer", "topics", environment=environment)

    topics = Topics(topic_prefix)
    assert [line.split() for line in first.output.splitlines()[:-1]] == [["created", name] for name in topics.all]
    assert [line.split() for line in second.output.splitlines()[:-1]] == [["exists", name] for name in topics.all]
    assert await _partitions(environment, topics) == dict.fromkeys(topics.all, 3)
    assert await _retention_ms(environment, topics.dead_letters) == "-1"
    assert await _retention_ms(environment, topics.events[0]) == str(30 * 24 * 3_600_000)


async def test_a_dry_run_says_what_is_missing_and_creates_nothing(
    environment: dict[str, str], topic_prefix: str
) -> None:
    done = await run("producer", "topics", "--dry-run", environment=environment)

    topics = Topics(topic_prefix)
    assert [line.split() for line in done.output.splitlines()[:-1]] == [["missing", name] for name in topics.all]
    assert await _partitions(environment, topics) == {}


async def test_missing_topics_get_as_many_partitions_as_those_that_exist(
    environment: dict[str, str], topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await _create(environment, {topics.events[0]: 5})

    await run("producer", "topics", environment=environment)

    assert await _partitions(environment, topics) == dict.fromkeys(topics.all, 5)


async def test_unequal_partition_counts_are_refused_by_name(environment: dict[str, str], topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    await _create(environment, {topics.events[0]: 5, topics.events[1]: 6})

    done = await run("producer", "topics", environment=environment)

    assert done.code == 1
    assert f"{topics.events[0]} has 5" in done.errors
    assert f"{topics.events[1]} has 6" in done.errors
    assert "Traceback" not in done.errors


async def _create(environment: dict[str, str], counts: dict[str, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    await admin.create_topics([NewTopic(name, count, 1) for name, count in counts.items()])
    await admin.close()


async def _partitions(environment: dict[str, str], topics: Topics) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    described = await admin.describe_topics(list(topics.all))
    await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["partitions"]}


async def _retention_ms(environment: dict[str, str], topic: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    await admin.close()
    entries = answers[0].resources[0][4]
    return str(next(entry[1] for entry in entries if entry[0] == "retention.ms"))
