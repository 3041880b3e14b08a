"""`python -m producer topics`: creates what is missing, verifies the rest, alters nothing."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownTopicOrPartitionError

from producer.cli import topics as topics_command
from producer.cli.topics import _topics
from producer.settings import KafkaSettings
from runtime.kafka import new_topics, topic_settings
from runtime.kafka.topics import UnequalPartitions
from schemas.topics import Topics
from tests.commands import run
from tests.kafka import topic_list
from tests.polling import eventually


@pytest.fixture
def environment(kafka: Any, topic_prefix: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_PARTITIONS": "3",
    }


async def test_it_creates_every_topic_of_ours_once(environment: dict[str, str], topic_prefix: str) -> None:
    first = await run("producer", "topics", environment=environment)
    second = await run("producer", "topics", environment=environment)

    topics = Topics(topic_prefix)
    assert [line.split() for line in first.output.splitlines()[:-1]] == [["created", name] for name in topics.all]
    assert [line.split() for line in second.output.splitlines()[:-1]] == [["exists", name] for name in topics.all]
    assert await _partitions(environment, topics) == {
        **dict.fromkeys(topics.all, 1),
        **dict.fromkeys(topics.published, 3),
    }
    assert (first.code, second.code) == (0, 0)
    kept = {"cleanup.policy": "delete", "retention.bytes": "-1", "min.insync.replicas": "1"}
    dead = kept | {"retention.ms": "-1", "max.message.bytes": "8388608"}
    assert await _config(environment, topics.dead_letters, dead) == dead
    receipts = kept | {"retention.ms": str(30 * 24 * 3_600_000)}
    assert await _config(environment, topics.deliveries, receipts) == receipts
    event = receipts | {"max.message.bytes": "1048588"}
    assert await _config(environment, topics.events[0], event) == event
    actions = kept | {"retention.ms": "-1"}
    assert await _config(environment, topics.actions, actions) == actions
    compacted = {"cleanup.policy": "compact", "min.insync.replicas": "1"}
    for topic in topics.compacted:
        assert await _config(environment, topic, compacted) == compacted
    holds = {"cleanup.policy": "delete", "retention.ms": "3600000", "message.timestamp.type": "LogAppendTime"}
    assert await _config(environment, topics.holds, holds) == holds


async def test_a_dry_run_says_what_is_missing_and_creates_nothing(
    environment: dict[str, str], topic_prefix: str
) -> None:
    done = await run("producer", "topics", "--dry-run", environment=environment)

    topics = Topics(topic_prefix)
    assert done.code == 0
    assert [line.split() for line in done.output.splitlines()[:-1]] == [["missing", name] for name in topics.all]
    assert await _partitions(environment, topics) == {}


async def test_missing_topics_get_as_many_partitions_as_those_that_exist(
    environment: dict[str, str], topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await _create(environment, {topics.events[0]: 5})

    await run("producer", "topics", environment=environment)

    assert await _partitions(environment, topics) == {
        **dict.fromkeys(topics.all, 1),
        **dict.fromkeys(topics.published, 5),
    }


async def test_unequal_partition_counts_are_refused_by_name(environment: dict[str, str], topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    await _create(environment, {topics.events[0]: 5, topics.events[1]: 6})

    done = await run("producer", "topics", environment=environment)

    assert done.code == 1
    assert f"{topics.events[0]} has 5" in done.errors
    assert f"{topics.events[1]} has 6" in done.errors
    assert "Traceback" not in done.errors


async def test_a_topic_that_would_lose_events_or_their_order_differs_and_is_left_as_it_is(
    environment: dict[str, str], topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await run("producer", "topics", environment=environment)
    wrong = {
        topics.events[0]: {"retention.ms": "604800000", "retention.bytes": "1000000"},
        topics.events[1]: {"cleanup.policy": "compact"},
        topics.events[2]: {"min.insync.replicas": "2"},
        topics.events[3]: {"max.message.bytes": "8388609"},
        topics.dead_letters: {"max.message.bytes": "1000000", "retention.ms": "604800000"},
    }
    await _alter(environment, wrong)

    done = await run("producer", "topics", environment=environment)
    dry = await run("producer", "topics", "--dry-run", environment=environment)

    lines = [line.strip() for line in done.output.splitlines()]
    assert (done.code, dry.code, done.output) == (1, 1, dry.output)
    assert [line.split()[1] for line in lines if line.startswith("differs")] == list(wrong)
    assert "retention.ms is 604800000; should be at least 2592000000 (30 days, for a replay), or -1" in lines
    assert "cleanup.policy is compact; should be delete" in lines
    assert "min.insync.replicas is 2; should be 1" in lines
    assert "max.message.bytes is 8388609; should be at most 8388608 (8 MiB, as a dead letter has)" in lines
    assert "max.message.bytes is 1000000; should be at least 8388608 (8 MiB)" in lines
    [command] = [line for line in lines if line.startswith("->") and line.find(topics.events[0]) > 0]
    assert command.endswith(f"--topic {topics.events[0]} --add-config retention.bytes=-1,retention.ms=2592000000")
    assert {topic: await _config(environment, topic, changed) for topic, changed in wrong.items()} == wrong


async def test_more_than_is_asked_is_as_good(environment: dict[str, str], topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    await run("producer", "topics", environment=environment)
    await _alter(
        environment,
        {
            topics.events[0]: {"retention.ms": "-1"},
            topics.events[1]: {"retention.ms": "2592000001", "max.message.bytes": "2000"},
        }
        | {topics.dead_letters: {"max.message.bytes": "10000000", "retention.ms": "-1"}},
    )

    done = await run("producer", "topics", environment=environment | {"KAFKA_PARTITIONS": "2"})

    assert (done.code, done.errors) == (0, "")
    assert "differs" not in done.output


async def test_fewer_partitions_than_asked_differ_and_none_is_added(
    environment: dict[str, str], topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await run("producer", "topics", environment=environment)

    done = await run("producer", "topics", environment=environment | {"KAFKA_PARTITIONS": "4"})

    assert done.code == 1
    assert done.output.count("partitions is 3; should be 4 (KAFKA_PARTITIONS)") == 8
    assert set((await _partitions(environment, topics)).values()) == {1, 3}


@pytest.mark.parametrize("late", ["refuses", "leaves them out"])
async def test_a_broker_that_has_not_heard_of_the_new_topics_yet_is_asked_again(
    environment: dict[str, str],
    topic_prefix: str,
    late: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    async def of_a_late_broker(*arguments: Any, **options: Any) -> Any:
        asked.append(late)
        if len(asked) > 1:
            return await topic_settings.differences(*arguments, **options)
        if late == "refuses":
            raise UnknownTopicOrPartitionError
        return {}

    monkeypatch.setattr(topics_command, "differences", of_a_late_broker)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    await _topics(KafkaSettings(), dry_run=False)

    said = [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert said == ["created"] * len(Topics(topic_prefix).all)


@pytest.fixture
def overtaken(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], KafkaSettings]:
    """Let somebody else create a topic, after `topics` has looked and before it creates."""
    find = new_topics.find

    def overtaken_at(topic: str, partitions: int) -> KafkaSettings:
        async def found(*asked: Any) -> new_topics.Found:
            found = await find(*asked)
            await _create(environment, {topic: partitions})
            return found

        monkeypatch.setattr(new_topics, "find", found)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return KafkaSettings()

    return overtaken_at


async def test_a_topic_that_somebody_else_creates_at_that_moment_differs_and_is_not_said_to_be_created(
    topic_prefix: str, overtaken: Callable[[str, int], KafkaSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    topics = Topics(topic_prefix)

    with pytest.raises(UnequalPartitions, match=f"{topics.events[0]} has 1"):
        await _topics(overtaken(topics.events[0], 1), dry_run=False)

    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [f"differs  {topics.events[0]}", "partitions is 1; should be 3 (KAFKA_PARTITIONS)"]
    assert "retention.ms is 604800000; should be at least 2592000000 (30 days, for a replay), or -1" in lines
    assert [line.split()[1] for line in lines if line.startswith("created")] == list(topics.all[1:])
    assert not any(line.endswith("partitions each") for line in lines)


async def test_a_topic_of_another_configuration_that_somebody_else_creates_at_that_moment_ends_with_1(
    topic_prefix: str, overtaken: Callable[[str, int], KafkaSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    topics = Topics(topic_prefix)

    with pytest.raises(SystemExit) as ended:
        await _topics(overtaken(topics.dead_letters, 3), dry_run=False)

    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert f"differs  {topics.dead_letters}" in said
    assert f"created  {topics.dead_letters}" not in said


async def test_more_partitions_of_one_topic_that_somebody_else_creates_at_that_moment_are_refused_by_name(
    topic_prefix: str, overtaken: Callable[[str, int], KafkaSettings]
) -> None:
    topic = Topics(topic_prefix).events[0]

    with pytest.raises(UnequalPartitions, match=f"{topic} has 5"):
        await _topics(overtaken(topic, 5), dry_run=False)


async def test_more_copies_than_brokers_are_refused_by_name(environment: dict[str, str], topic_prefix: str) -> None:
    environment |= {"KAFKA_REPLICATION_FACTOR": "3"}

    done = await run("producer", "topics", environment=environment)
    dry = await run("producer", "topics", "--dry-run", environment=environment)

    said = "KAFKA_REPLICATION_FACTOR is 3, more than Kafka has brokers, 1: each copy needs one of its own\n"
    assert (done.code, done.errors) == (dry.code, dry.errors) == (1, said)
    assert await _partitions(environment, Topics(topic_prefix)) == {}


async def test_topics_of_the_consumer_that_others_made_are_verified(
    environment: dict[str, str], topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    others = (*topics.compacted, topics.deliveries, topics.holds, topics.actions)
    await _create(environment, dict.fromkeys(others, 1))

    done = await run("producer", "topics", environment=environment)

    lines = [line.strip() for line in done.output.splitlines()]
    assert done.code == 1
    assert [line.split()[1] for line in lines if line.startswith("differs")] == list(others)
    assert lines.count("cleanup.policy is delete; should be compact") == 3
    assert "retention.ms is 604800000; should be at least 2592000000 (30 days, for a replay), or -1" in lines
    assert "message.timestamp.type is CreateTime; should be LogAppendTime" in lines
    assert "retention.ms is 604800000; should be -1" in lines

    await _alter(environment, {topic: {"cleanup.policy": "compact"} for topic in topics.compacted})
    await _alter(environment, {topic: {"retention.ms": "-1"} for topic in (topics.deliveries, topics.actions)})
    await _alter(environment, {topics.holds: {"message.timestamp.type": "LogAppendTime", "segment.ms": "600000"}})
    again = await run("producer", "topics", environment=environment)

    assert again.code == 0
    assert all(f"exists   {topic}" in again.output for topic in others)


async def _alter(environment: dict[str, str], configs: dict[str, dict[str, str]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    own = {topic: await _own_config(admin, topic) for topic in configs}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, own[topic] | configs[topic]) for topic in configs]
    [answer] = await admin.alter_configs(resources)
    assert [code for code, *_ in answer.resources] == [0] * len(configs)

    async def altered() -> bool:
        return all([(await _own_config(admin, topic)).items() >= configs[topic].items() for topic in configs])

    # The controller answers before the broker has the new settings.
    await eventually(altered, saying="the settings are altered")
    await admin.close()


async def _own_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """Return what was set for the topic itself: what is left out of a change goes back to its default."""
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4] if entry[3] == 1}


async def _config(environment: dict[str, str], topic: str, settings: Iterable[str]) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    own = await _own_config(admin, topic)
    await admin.close()
    return {setting: own[setting] for setting in settings}


async def _create(environment: dict[str, str], counts: dict[str, int]) -> None:
    await topic_list.create(environment["KAFKA_BOOTSTRAP_SERVERS"], counts)


async def _partitions(environment: dict[str, str], topics: Topics) -> dict[str, int]:
    return await topic_list.topics_of(environment["KAFKA_BOOTSTRAP_SERVERS"], topics.prefix)
