"""Real Debezium in the relay's place: the same records to the byte, the same deliveries, and its traps."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer
from psycopg.types.json import Jsonb

from sandbox.connect import ConnectorFailed, EmbeddedConnect
from sandbox.services import producer
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.debezium import PASSWORD, ROLE, Debezium, debezium_of, findings_of
from tests.outbox_rows import TRACE, HandMade, by_chance, corners
from tests.pipeline import Pipeline
from tests.polling import eventually
from tests.samples import PAYLOADS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 6
GENERATED = 1_000

INSERT = (
    "INSERT INTO outbox_events (aggregateid, type, sequence, payload, traceparent) VALUES (%s, %s, %s, %s::jsonb, %s)"
)


EXPANDED = {
    "transforms": "outbox",
    "transforms.outbox.table.field.event.payload": "payload",
    "transforms.outbox.table.expand.json.payload": "true",
    "transforms.outbox.table.fields.additional.placement": "type:header:type",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
}


@pytest.fixture(scope="module")
def connect(kafka: Any, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedConnect]:
    """Kafka Connect. Fails with the coordinates and what to do where its jars are neither cached nor to be had."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '{PASSWORD}'".encode())
        environment = {"DATABASE_PASSWORD": PASSWORD}
        worker = EmbeddedConnect(
            tmp_path_factory.mktemp("connect"), kafka.bootstrap_servers, environment=environment, progress=print
        )
        asyncio.run(worker.start())
        yield worker
        asyncio.run(worker.stop())
        connection.execute(f"DROP ROLE {ROLE}".encode())


@pytest.fixture
async def debezium(
    connect: EmbeddedConnect, kafka: Any, database_url: str, topic_prefix: str
) -> AsyncIterator[Debezium]:
    """A connector onto topics under the test's prefix."""
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), PARTITIONS)
    async with debezium_of(connect, database_url, Topics(topic_prefix)) as made:
        yield made


@dataclass(frozen=True)
class Published:
    """A record, without what tells its topic's prefix and its moment."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def id(self) -> str:
        return (dict(self.headers)["id"] or b"").decode()


async def published(kafka: Any, prefix: str, number: int) -> list[Published]:
    """Return the records under *prefix* when there are so many."""
    found: list[Published] = []
    async with AIOKafkaConsumer(
        *Topics(prefix).all, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:

        async def all_read() -> bool:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(
                    Published(one.topic.removeprefix(prefix), one.partition, one.key, one.value, one.headers)
                    for one in records
                )
            return len(found) >= number

        await eventually(all_read, within_s=60, saying=f"{number} records are under {prefix}")
    return found


async def insert(database_url: str, rows: Sequence[HandMade]) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection, connection.cursor() as cursor:
        await cursor.executemany(INSERT, rows)


async def track_each(database_url: str) -> None:
    """Track each of the seven events, with and without a trace."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        for event_type, payload in PAYLOADS.items():
            for trace in (None, TRACE):
                named = Jsonb({"email": "ada@example.com"} | payload)
                await connection.execute("SELECT track_lifecycle_event(%s, %s, now(), %s)", [event_type, named, trace])


async def test_relay_and_debezium_publish_the_same_bytes_to_the_same_partitions(
    tmp_path: Any, debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    rows = corners() + by_chance(GENERATED, seed=20)
    total = 2 * len(PAYLOADS) + len(rows)
    # Half of them before the connector is there: those it reads from the table, the others from the log.
    await insert(database_url, rows[::2])
    await debezium.start()
    await insert(database_url, rows[1::2])
    await track_each(database_url)
    theirs = await published(kafka, topic_prefix, total)

    # The relay deletes what it publishes, and Debezium does not hear of it.
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": f"relay.{topic_prefix}",
        "PRODUCER_PORT": "0",
    }
    await create_topics(kafka.bootstrap_servers, Topics(environment["KAFKA_TOPIC_PREFIX"]), PARTITIONS)
    relay = producer(tmp_path, environment)
    relay.launch()
    try:
        ours = await published(kafka, environment["KAFKA_TOPIC_PREFIX"], total)
    finally:
        await relay.kill()

    assert len(ours) == len(theirs) == total
    by_id = {record.id: record for record in theirs}
    assert [by_id[record.id] for record in ours] == ours
    assert {record.topic for record in ours} == set(PAYLOADS)
    assert len({record.partition for record in ours}) == PARTITIONS
    traced = [record for record in ours if "traceparent" in dict(record.headers)]
    assert 0 < len(traced) < total
    # What the relay deleted has not left PostgreSQL: the next record is the next row.
    await insert(database_url, [HandMade("ada@example.com", "nova_earned", 1, "{}", None)])
    assert len(await published(kafka, topic_prefix, total + 1)) == total + 1


async def test_a_row_without_key_or_sequence_is_published_with_headers_that_read_the_same(
    debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    await debezium.start()
    await insert(database_url, [HandMade(None, "nova_earned", None, '{"a": 1}', None)])

    [record] = await published(kafka, topic_prefix, 1)

    assert (record.key, record.value) == (None, b'{"a": 1}')
    # The one difference: the relay has no header for a sequence that is null.
    assert record.headers == (("id", record.id.encode()), ("type", b"nova_earned"), ("sequence", None))


async def test_rows_of_unknown_types_become_dead_letters_and_stop_nothing(
    debezium: Debezium, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    types = ("nova_lost", "Nova Lost", "nova_earned\n", "", "nova_earned")
    await debezium.start()
    await insert(database_url, [HandMade("ada@example.com", one, 1, '{"a": null}', None) for one in types])

    records = {dict(record.headers)["type"]: record for record in await published(kafka, topic_prefix, len(types))}

    assert records.pop(b"nova_earned").topic == "nova_earned"
    assert set(records) == {one.encode() for one in types[:-1]}
    for letter in records.values():
        assert (letter.topic, letter.key, letter.value) == ("dead_letters", b"ada@example.com", b'{"a": null}')
        assert dict(letter.headers)["dead_letter.reason"] == b"unknown_event_type"
        assert dict(letter.headers)["dead_letter.detail"]


async def test_the_consumer_can_not_tell_debezium_from_the_relay(pipeline: Pipeline, connect: EmbeddedConnect) -> None:
    async with debezium_of(connect, pipeline.database_url, pipeline.topics) as debezium:
        await debezium.start()
        await pipeline.consumer().launch_and_wait()
        await pipeline.commit(500)
        async with await pipeline.connect() as connection:
            await connection.execute(INSERT, HandMade(None, "nova_earned", None, "{}", None))
        await pipeline.all_arrive(dead=2)
        await pipeline.until_set_aside(2)

        findings, dead = await pipeline.findings()

    assert not findings
    # Those that the relay's records lead to: a payload that is none, and a row without a key.
    assert sorted(letter.reason for letter in dead) == ["invalid_envelope", "missing_key"]


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
