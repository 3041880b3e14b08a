"""What the database or Kafka refuses: the producer stays, health says what it is and what mends it, and it goes on."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from producer.migrations import migrate
from producer.relay import watch as relay_watch
from producer.relay.outbox import Outbox
from producer.relay.relay import Relay
from producer.relay.sender import Sender
from producer.relay.watch import Watch
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.health import Health
from runtime.kafka.topics import admin_client
from sandbox.postgres import EmbeddedPostgres
from sandbox.services import Service
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.outbox.intake import TOKEN
from tests.outbox.outbox import is_empty
from tests.outbox.relays import relay_of
from tests.polling import eventually
from tests.samples import PAYLOADS

TRACK = "SELECT track_lifecycle_event('wallet_pass_installed', jsonb_build_object('email', %s::text))"
RELAYS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


@pytest.fixture
async def service(tmp_path: Path, database_url: str, kafka: Any, topic_prefix: str) -> AsyncIterator[Service]:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    service = relay_of(tmp_path, database_url, kafka, topic_prefix, PRODUCER_INTAKE_TOKEN=TOKEN)
    yield service
    await service.kill()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection of the administrator, which no setting of the database changes any more."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def until_unwell(service: Service, part: str, *words: str) -> None:
    async def told() -> bool:
        code, body = await service.health()
        return code == 503 and all(word in body["unwell"].get(part, "") for word in words)

    await eventually(told, saying=f"{part} is unwell: {words}")


async def until_all_is_well(service: Service, database_url: str) -> None:
    await eventually(lambda: is_empty(database_url), saying="the rows are published")
    await eventually(service.healthy, saying="health is well")
    assert service.running


async def sent_to(service: Service, key: str) -> tuple[int, str]:
    async with httpx.AsyncClient(base_url=service.url) as http:
        answer = await http.post(
            "/v1/events/driver_signed_up",
            json=PAYLOADS["driver_signed_up"],
            headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key},
        )
    return answer.status_code, answer.json().get("detail", "")


async def records(kafka: Any, topic: str, partitions: int) -> list[int]:
    """Return the number of records of each partition."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers) as consumer:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        ends = await consumer.end_offsets(places)
    return [ends[place] for place in places]


async def test_a_read_only_database_is_waited_for_and_nothing_is_published_that_can_not_be_deleted(
    service: Service, database: psycopg.AsyncConnection[Any], database_url: str, kafka: Any, topic_prefix: str
) -> None:
    name = database.info.dbname
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    service.launch()
    await until_unwell(service, "database", "DATABASE_URL: cannot execute DELETE in a read-only transaction", "primary")
    await database.execute(TRACK, ["ada@example.com"])

    async def tried_again() -> bool:
        return (await database.execute(RELAYS, [name])).rowcount > 0

    for _ in range(3):
        await eventually(tried_again, saying="another connection is tried")
    status, detail = await sent_to(service, "during")
    assert (status, "read-only" in detail) == (503, True)
    assert await records(kafka, Topics(topic_prefix).of("wallet_pass_installed"), 3) == [0, 0, 0]

    await database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
    await until_all_is_well(service, database_url)

    async def taken() -> bool:
        return (await sent_to(service, "during"))[0] == 202

    await eventually(taken, saying="the intake takes events again")
    assert sum(await records(kafka, Topics(topic_prefix).of("wallet_pass_installed"), 3)) == 1


async def test_a_hot_standby_is_waited_for_until_it_is_promoted(tmp_path: Path, kafka: Any, topic_prefix: str) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        url = await server.create_database("shop")
        await asyncio.to_thread(migrate, url)
        await server.stop()
        (tmp_path / "postgres" / "data" / "standby.signal").touch()
        await server.start()
        service = relay_of(tmp_path, url, kafka, topic_prefix, PRODUCER_INTAKE_TOKEN=TOKEN)
        service.launch()
        try:
            await until_unwell(service, "database", "DATABASE_URL: cannot execute LISTEN during recovery", "primary")
            assert (await sent_to(service, "key"))[0] == 503
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                await connection.execute("SELECT pg_promote()")

            await until_all_is_well(service, url)
            assert (await sent_to(service, "key"))[0] == 202
        finally:
            await service.kill()


@pytest.mark.parametrize(
    ("breaking", "words", "mending"),
    [
        (
            "REVOKE DELETE ON outbox_events FROM {}",
            "permission denied for table outbox_events",
            "GRANT DELETE ON {} TO {}",
        ),
        ("ALTER TABLE outbox_events RENAME TO gone", "python -m producer migrate", "ALTER TABLE gone RENAME TO {}"),
        (
            "ALTER TABLE outbox_events ENABLE ROW LEVEL SECURITY",
            "row-level security may hide rows of outbox_events",
            "CREATE POLICY relay ON {} TO {} USING (true)",
        ),
    ],
)
async def test_a_missing_right_a_missing_table_and_hidden_rows_are_told_and_waited_for(
    tmp_path: Path,
    database: psycopg.AsyncConnection[Any],
    database_url: str,
    kafka: Any,
    topic_prefix: str,
    breaking: str,
    words: str,
    mending: str,
) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    role = f"relay_{uuid4().hex[:8]}"
    rights = f"GRANT SELECT, DELETE ON outbox_events TO {role}; GRANT SELECT, DELETE ON outbox_published TO {role}"
    await database.execute(f"CREATE ROLE {role} LOGIN; {rights}".encode())
    service = relay_of(
        tmp_path, database_url.replace("//postgres@", f"//{role}@"), kafka, topic_prefix, PRODUCER_INTAKE_TOKEN=TOKEN
    )
    try:
        await service.launch_and_wait()
        await database.execute(TRACK, ["ada@example.com"])
        await until_all_is_well(service, database_url)
        await database.execute(TRACK, ["grace@example.com"])
        await database.execute(breaking.format(role).encode())
        if "REVOKE" in breaking:
            await database.execute(TRACK, ["grace@example.com"])

        await until_unwell(service, "database", "DATABASE_URL: ", words)
        assert service.running

        await database.execute(mending.format("outbox_events", role).encode())
        await until_all_is_well(service, database_url)
    finally:
        await service.kill()
        await database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_the_server_does_not_end_the_connections_of_a_relay_that_has_nothing_to_do(
    service: Service, database: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    await database.execute(f"ALTER DATABASE {database.info.dbname} SET idle_session_timeout = '300ms'".encode())
    await service.launch_and_wait()

    async def idle_for_long() -> bool:
        query = (
            "SELECT FROM pg_stat_activity WHERE application_name = 'nerava-relay-deletes'"
            " AND datname = current_database() AND clock_timestamp() - state_change > interval '600 milliseconds'"
        )
        return (await database.execute(query)).rowcount == 1

    await eventually(idle_for_long, within_s=15, saying="the connection that deletes has been idle")
    await database.execute(TRACK, ["ada@example.com"])
    await until_all_is_well(service, database_url)
    assert "idle" not in service.log.read_text()


async def test_what_kafka_takes_no_record_for_is_unwell_however_often_the_watch_finds_kafka_well(
    monkeypatch: pytest.MonkeyPatch,
    database: psycopg.AsyncConnection[Any],
    database_url: str,
    kafka: Any,
    topic_prefix: str,
) -> None:
    topics = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, topics, 1)
    # A compacted topic takes no record without a key.
    await clean_up(kafka, topics.of("wallet_pass_installed"), "compact")
    monkeypatch.setattr(relay_watch, "LOOK_EVERY_S", 0.05)
    options, clock, telemetry, health = (
        {"bootstrap_servers": kafka.bootstrap_servers},
        SystemClock(),
        Telemetry(),
        Health(),
    )

    def connect() -> Any:
        return Outbox.connect(lambda: database_url, clock)

    relay = Relay(
        connect, Sender(options, topics, clock, telemetry), health=health, telemetry=telemetry, jitter=random.Random(1)
    )
    watch = Watch(connect, options, topics, clock=clock, health=health, telemetry=telemetry)
    running = [asyncio.create_task(work) for work in (relay.run(asyncio.Event()), watch.run())]
    try:

        async def faults() -> float:
            return sum(sample.value for metric in telemetry.faults.collect() for sample in metric.samples[:1])

        async def refused() -> bool:
            # Kafka still took the one before, if it had not heard of the change yet.
            if await is_empty(database_url):
                await database.execute(
                    "INSERT INTO outbox_events (type, payload) VALUES ('wallet_pass_installed', '{}')"
                )
            return await faults() > 0

        await eventually(refused, saying="Kafka refuses the record")
        seen: list[set[str]] = []

        async def refused_again() -> bool:
            seen.append(set(health.unwell))
            return await faults() >= 3

        await eventually(refused_again, every_s=0.02, saying="Kafka refuses it again")
        assert all("publishing" in parts for parts in seen[1:]), seen

        await clean_up(kafka, topics.of("wallet_pass_installed"), "delete")

        async def well() -> bool:
            return not health.unwell

        await eventually(well, saying="it is well again")
        assert await is_empty(database_url)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def clean_up(kafka: Any, topic: str, policy: str) -> None:
    async with admin_client({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        changed = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"cleanup.policy": policy})
        await admin.alter_configs([changed])


async def test_partitions_that_are_added_to_all_topics_get_rows_without_a_restart(
    service: Service, database: psycopg.AsyncConnection[Any], database_url: str, kafka: Any, topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    await service.launch_and_wait()
    await database.execute(TRACK, ["ada@example.com"])
    await until_all_is_well(service, database_url)

    async with admin_client({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        await admin.create_partitions({topic: NewPartitions(9) for topic in topics.published})

    async def in_new_ones() -> bool:
        for number in range(20):
            await database.execute(TRACK, [f"contact{number}@example.com"])
        await eventually(lambda: is_empty(database_url), saying="the rows are published")
        return any((await records(kafka, topics.of("wallet_pass_installed"), 9))[3:])

    await eventually(in_new_ones, saying="the new partitions have rows")
    await until_all_is_well(service, database_url)
    assert "the topics have 9 partitions, and had 3" in service.log.read_text()
