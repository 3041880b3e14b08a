"""Debezium's replication slot, and its traps: what is kept, what is deleted, and what the doctor sees of it."""

from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from sandbox.connect import ConnectorFailed
from sandbox.services import producer
from tests.foreign.debezium import Debezium, findings_of, insert, published
from tests.outbox.outbox_rows import HandMade, by_chance
from tests.polling import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.chaos]

EXPANDED = {
    "transforms": "outbox",
    "transforms.outbox.table.field.event.payload": "payload",
    "transforms.outbox.table.expand.json.payload": "true",
    "transforms.outbox.table.fields.additional.placement": "type:header:type",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
}


async def test_only_rows_that_are_on_kafka_are_cleaned_up(
    debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    at_once = debezium.connector.cleanup_sql().replace("72 hours", "0 hours")

    async def left() -> int:
        await debezium.execute(at_once)
        [[count]] = await debezium.execute("SELECT count(*) FROM outbox_events")
        # It takes the server 15 s to look by itself, and a checkpoint makes it look now.
        await debezium.execute("CHECKPOINT")
        return int(count)

    await debezium.start(**{"heartbeat.interval.ms": "500"})
    await insert(database_url, by_chance(10, seed=1))
    await published(kafka, topic_prefix, 10)
    assert await debezium.execute(debezium.connector.cleanup_sql()) == []
    assert len(await debezium.execute("SELECT 1 FROM outbox_events")) == 10

    async def none_left() -> bool:
        return await left() == 0

    await eventually(none_left, every_s=0.5, saying="what is on Kafka is deleted")

    # It counts as read, and nothing has come through.
    await debezium.connect.pause()
    try:
        await insert(database_url, by_chance(10, seed=2))
        for _ in range(3):
            assert await left() == 10
    finally:
        await debezium.connect.resume()
    await eventually(none_left, every_s=0.5, saying="what is on Kafka by now is deleted")

    await debezium.stop()
    await insert(database_url, by_chance(10, seed=3))
    for _ in range(3):
        assert await left() == 10


async def test_a_slot_that_was_lost_is_made_anew_and_every_row_that_is_left_is_published(
    debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    await debezium.start()
    await insert(database_url, [HandMade("ada@example.com", "nova_earned", 1, "{}", None)])
    await published(kafka, topic_prefix, 1)
    await debezium.stop()
    await debezium.drop_slot()
    await insert(
        database_url, [HandMade("ada@example.com", "nova_earned", number, "{}", None) for number in range(2, 10)]
    )

    await debezium.start()

    records = await published(kafka, topic_prefix, 10)
    assert [dict(record.headers)["sequence"] for record in records] == [b"1", *(b"%d" % n for n in range(1, 10))]


async def test_what_was_committed_while_connect_was_killed_is_published_once_it_is_back(
    debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    await debezium.start()
    await debezium.connect.kill()
    await insert(database_url, by_chance(100, seed=3))
    await debezium.connect.start()
    await debezium.start()

    assert len(await published(kafka, topic_prefix, 100)) == 100


async def test_a_heartbeat_lets_go_of_the_log_while_the_outbox_is_idle(debezium: Debezium, kafka: Any) -> None:
    await debezium.start(**{"heartbeat.interval.ms": "200"})
    await debezium.execute("CREATE TABLE elsewhere AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
    [[written]] = await debezium.execute("SELECT pg_current_wal_lsn()")

    async def let_go() -> bool:
        return bool(await debezium.of_slot(f"confirmed_flush_lsn >= '{written}'"))

    await eventually(let_go, saying="the slot has passed what other tables wrote")
    # What it emits to get there is no record.
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers) as consumer:
        theirs = {topic for topic in await consumer.topics() if debezium.name in topic}
    assert theirs == {f"__debezium-heartbeat.{debezium.name}"}


async def test_the_doctor_sees_a_slot_that_is_read_and_that_its_task_was_killed(
    debezium: Debezium, database_url: str
) -> None:
    await insert(database_url, [HandMade("ada@example.com", "nova_earned", 1, "{}", None)])
    await debezium.execute("UPDATE outbox_events SET created_at = now() - interval '1 hour'")
    await debezium.start()
    read = await findings_of(database_url)

    # What the docs warn of: expanding the payload dies of an integer beyond 64 bits.
    await debezium.stop()
    await debezium.start(**EXPANDED)
    await insert(database_url, [HandMade("ada@example.com", "nova_earned", 2, '{"a": 18446744073709551616}', None)])

    async def killed() -> bool:
        return (await debezium.connect.status(debezium.name)).failed and not await debezium.is_reading()

    await eventually(killed, within_s=60, saying="the task is dead")
    dead = await findings_of(database_url)
    with pytest.raises(ConnectorFailed, match=debezium.name):
        await debezium.connect.run(debezium.name, {"connector.class": "Nobody"})

    assert [read[name]["level"] for name in ("outbox", "relay", "replication_slot")] == ["ok"] * 3
    assert f"the replication slot {debezium.slot} is read instead" in read["relay"]["what"]
    assert [dead[name]["level"] for name in ("outbox", "relay", "replication_slot")] == ["fail"] * 3
    assert f"{debezium.slot} is not read" in dead["replication_slot"]["what"]


async def test_the_doctor_takes_no_slot_for_the_outboxs_that_reads_something_else(
    debezium: Debezium, database_url: str
) -> None:
    await debezium.start()
    await debezium.execute("DROP PUBLICATION lifecycle_outbox; CREATE PUBLICATION lifecycle_outbox")
    found = await findings_of(database_url)

    assert (found["relay"]["level"], found["replication_slot"]["level"]) == ("fail", "ok")


async def test_the_doctor_warns_while_relay_and_debezium_both_publish(
    tmp_path: Any, debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "PRODUCER_PORT": "0",
    }
    await debezium.start()
    relay = producer(tmp_path, environment)
    relay.launch()
    try:

        async def warned() -> bool:
            return (await findings_of(database_url))["relay"]["level"] == "warn"

        await eventually(warned, saying="the doctor warns")
    finally:
        await relay.kill()
