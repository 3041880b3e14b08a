"""Real Debezium in the relay's place: the same records to the byte, the same deliveries, and its traps."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from sandbox.connect import EmbeddedConnect
from sandbox.services import producer
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.foreign.debezium import Debezium, debezium_of, insert, published
from tests.outbox.outbox_rows import TRACE, HandMade, by_chance, corners
from tests.pipeline import PARTITIONS, Pipeline
from tests.samples import PAYLOADS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GENERATED = 1_000


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
        await insert(pipeline.database_url, [HandMade(None, "nova_earned", None, "{}", None)])
        await pipeline.all_arrive(dead=2)
        await pipeline.until_set_aside(2)

        findings, dead = await pipeline.findings()

    assert not findings
    # Those that the relay's records lead to: a payload that is none, and a row without a key.
    assert sorted(letter.reason for letter in dead) == ["invalid_envelope", "missing_key"]
