"""The relay: one active, woken by NOTIFY, through outages of Kafka and of the database."""

import asyncio
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from producer.migrations import migrate
from producer.relay.outbox import Outbox
from producer.relay.relay import Relay
from producer.relay.row import Row
from producer.relay.sender import NotActive, Sender
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.health import Health
from sandbox.day.dead_letters import read_dead_letters
from sandbox.postgres import EmbeddedPostgres
from sandbox.processes import free_port
from sandbox.services import Service
from sandbox.stack import create_topics
from schemas.outbox import ASLEEP_LOCK
from schemas.topics import Topics
from tests.outbox.outbox import is_empty
from tests.outbox.relays import relay_of
from tests.pipeline import Pipeline
from tests.polling import eventually

# Far longer than a test: what is published within it was published because of a NOTIFY.
NO_POLLING_S = 3_600.0


async def rows_left(database_url: str) -> int:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute("SELECT count(*) FROM outbox_events")).fetchone()
        assert row is not None
        count: int = row[0]
        return count


async def test_a_sleeping_relay_is_woken_by_the_commit(database_url: str, kafka: Any, topic_prefix: str) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    telemetry, stop, health = Telemetry(), asyncio.Event(), Health()
    options = {"bootstrap_servers": kafka.bootstrap_servers}
    relay = Relay(
        lambda: Outbox.connect(lambda: database_url, SystemClock()),
        Sender(options, Topics(topic_prefix), SystemClock(), telemetry),
        health=health,
        telemetry=telemetry,
        jitter=random.Random(1),
        slow_poll_s=NO_POLLING_S,
    )
    running = asyncio.create_task(relay.run(stop))
    try:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            for number in range(5):
                await eventually(lambda: _asleep(database_url), saying="the relay sleeps")
                await connection.execute(
                    "SELECT track_lifecycle_event('wallet_pass_installed', jsonb_build_object('email', %s::text))",
                    [f"contact{number}@example.com"],
                )
                await connection.commit()
                await eventually(lambda: is_empty(database_url), within_s=10, saying="the row is published")
    finally:
        running.cancel()
        await asyncio.wait({running})


async def _asleep(database_url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (
            await connection.execute(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND classid::bigint << 32 | objid::bigint = %s)",
                [ASLEEP_LOCK],
            )
        ).fetchone()
        return row == (True,)


async def test_a_standby_takes_over_when_the_active_relay_is_killed(pipeline: Pipeline) -> None:
    first, second = pipeline.producer(), pipeline.producer(PRODUCER_PORT=str(free_port()))
    await first.launch_and_wait()
    await eventually(lambda: _role(first, "active"), saying="the first relay is active")
    await second.launch_and_wait()
    assert (await second.health())[1]["relay"] == "standby"

    await first.kill()
    await eventually(lambda: _role(second, "active"), saying="the second relay is active")
    await pipeline.commit(100)

    await eventually(lambda: is_empty(pipeline.database_url), saying="the second relay publishes")


async def _role(service: Service, role: str) -> bool:
    return (await service.health())[1].get("relay") == role


async def test_a_relay_that_may_not_publish_any_more_sends_nothing_that_it_still_holds(
    kafka: Any, topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, topics, 1)
    row = Row(1, "id", "ada@example.com", "nova_earned", 1, "{}", None)
    place, may_publish = (topics.of("nova_earned"), 0), True
    sender = Sender({"bootstrap_servers": kafka.bootstrap_servers}, topics, SystemClock(), Telemetry())
    await sender.open(lambda: may_publish)
    try:
        assert await sender.send(place, [row]) == 1
        may_publish = False
        with pytest.raises(NotActive):
            await sender.send(place, [row])
    finally:
        await sender.close()

    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers) as consumer:
        [(_, end)] = (await consumer.end_offsets([TopicPartition(*place)])).items()
    assert end == 1


async def test_while_kafka_is_away_rows_wait_and_health_says_so(
    tmp_path: Path, database_url: str, own_kafka: Any
) -> None:
    await create_topics(own_kafka.bootstrap_servers, Topics(), 3)
    service = relay_of(tmp_path, database_url, own_kafka, Topics().prefix)
    try:
        await service.launch_and_wait()
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await _track(connection, 1, 200)
            await eventually(lambda: is_empty(database_url), saying="the first rows are published")
            await own_kafka.kill()
            await _track(connection, 201, 200)

            async def unwell() -> bool:
                code, body = await service.health()
                return code == 503 and "kafka" in body["unwell"]

            await eventually(unwell, saying="health names Kafka")
            assert await rows_left(database_url) == 200
        await own_kafka.start()

        await eventually(lambda: is_empty(database_url), within_s=60, saying="the other rows are published")
        await eventually(service.healthy, saying="health is well again")
        assert await _sequences(own_kafka, Topics(), 400) == list(range(1, 401))
        assert await service.stop() == 0
        # aiokafka would say the same dozens of times a second.
        assert len(service.log.read_text().splitlines()) < 100
    finally:
        await service.kill()


async def _track(connection: psycopg.AsyncConnection[Any], first: int, number: int) -> None:
    for sequence in range(first, first + number):
        event_type = ("wallet_pass_installed", "driver_signed_up")[sequence % 2]
        await connection.execute(
            'SELECT track_lifecycle_event(%s, \'{"email": "ada@example.com"}\'::jsonb)', [event_type]
        )


async def _sequences(kafka: Any, topics: Topics, number: int) -> list[int]:
    """Return the sequences in the order of Kafka's own timestamps, each where it first appears."""
    found: dict[int, tuple[int, int]] = {}
    async with AIOKafkaConsumer(
        *topics.events, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:

        async def all_read() -> bool:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    sequence = int(dict(record.headers)["sequence"])
                    found.setdefault(sequence, (record.timestamp, sequence))
            return len(found) >= number

        await eventually(all_read, saying="every event is a record")
    return sorted(found, key=lambda sequence: found[sequence])


async def test_while_the_database_is_away_the_relay_waits_and_goes_on_afterwards(
    tmp_path: Path, kafka: Any, topic_prefix: str
) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    async with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        await asyncio.to_thread(migrate, postgres.url)
        service = relay_of(tmp_path, postgres.url, kafka, topic_prefix)
        try:
            await service.launch_and_wait()
            await postgres.kill()

            async def unwell() -> bool:
                code, body = await service.health()
                return code == 503 and "database" in body["unwell"]

            await eventually(unwell, saying="health names the database")
            await postgres.start()
            async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
                await _track(connection, 1, 10)
            await eventually(lambda: is_empty(postgres.url), saying="rows are published again")
            await eventually(service.healthy, saying="health is well again")
        finally:
            await service.kill()


async def test_without_topics_health_says_what_to_run_and_the_rows_wait(
    tmp_path: Path, database_url: str, kafka: Any, topic_prefix: str
) -> None:
    service = relay_of(tmp_path, database_url, kafka, topic_prefix)
    service.launch()
    try:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await _track(connection, 1, 10)

        async def unwell() -> bool:
            return "python -m producer topics" in (await service.health())[1].get("unwell", {}).get("topics", "")

        await eventually(unwell, saying="health says what to run")
        assert await rows_left(database_url) == 10

        await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
        await eventually(lambda: is_empty(database_url), saying="the rows are published")
    finally:
        await service.kill()


async def test_a_row_too_large_for_its_topic_becomes_a_dead_letter_and_the_others_go_on(
    tmp_path: Path, database_url: str, kafka: Any, topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await _create_small_topic(kafka, topics.of("driver_signed_up"))
    await create_topics(kafka.bootstrap_servers, topics, 3)
    service = relay_of(tmp_path, database_url, kafka, topic_prefix)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await _track(connection, 1, 20)
        # Sequence 7 is a signup, written by hand.
        await connection.execute(
            "UPDATE outbox_events SET payload = payload || jsonb_build_object('note', repeat('x', 5000))"
            " WHERE sequence = 7"
        )
    try:
        await service.launch_and_wait()
        await eventually(lambda: is_empty(database_url), saying="every row is published")
        await eventually(service.healthy, saying="health is well")
    finally:
        await service.kill()

    [letter] = await read_dead_letters(kafka.bootstrap_servers, topics.dead_letters)
    assert (letter.reason, letter.type) == ("too_large", "driver_signed_up")
    assert await _sequences(kafka, topics, 19) == [*range(1, 7), *range(8, 21)]


async def _create_small_topic(kafka: Any, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 3, 1, topic_configs={"max.message.bytes": "3000"})])
    finally:
        await admin.close()
