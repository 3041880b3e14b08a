"""The record of the contract, read by a bare client: key, headers, value bytes, partition, schema."""

import json
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from jsonschema import Draft202012Validator

from schemas import publication
from schemas.envelope import UnreadableRecord, read_envelope
from schemas.events import EVENT_TYPES
from tests.pipeline import Pipeline
from tests.polling import eventually

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def rows(pipeline: Pipeline) -> dict[str, Any]:
    """The rows of a day as they stood in the outbox, by id; the relay starts afterwards."""
    await pipeline.commit(300)
    async with await pipeline.connect() as connection:
        await connection.execute("UPDATE outbox_events SET traceparent = %s WHERE position %% 3 = 0", [TRACE])
        found = await connection.execute(
            "SELECT id::text, aggregateid, type, sequence, payload::text, traceparent FROM outbox_events"
        )
        return {row[0]: row for row in await found.fetchall()}


async def test_each_topic_holds_exactly_the_record_of_the_contract(
    pipeline: Pipeline, rows: dict[str, psycopg.rows.TupleRow]
) -> None:
    await pipeline.producer().launch_and_wait()
    topics = [pipeline.topics.of(event_type) for event_type in EVENT_TYPES]
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaConsumer(*topics, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        records: list[Any] = []

        async def all_read() -> bool:
            for found in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(found)
            return len(records) >= len(rows)

        await eventually(all_read, saying="every row is a record")

    schemas = publication.published()
    published = {event_type: Draft202012Validator(schemas[event_type]) for event_type in EVENT_TYPES}
    assert len(records) == len(rows)
    assert {record.topic for record in records} == set(topics)
    for record in records:
        event_id = dict(record.headers)["id"].decode()
        _, key, event_type, sequence, value, trace = rows[event_id]
        headers = [("id", event_id), ("type", event_type), ("sequence", str(sequence))]
        headers += [("traceparent", trace)] if trace else []
        assert record.topic == pipeline.topics.of(event_type)
        assert record.key == key.encode()
        assert record.value == value.encode()
        assert record.headers == tuple((name, text.encode()) for name, text in headers)
        assert published[event_type].is_valid(json.loads(value)) == readable(record)


def readable(record: Any) -> bool:
    """Return what the consumer says of it: one event of the day is broken."""
    try:
        read_envelope(record.key, record.value)
    except UnreadableRecord:
        return False
    return True


async def test_the_partition_is_the_one_that_kafkas_clients_choose_for_the_key(
    pipeline: Pipeline, rows: dict[str, psycopg.rows.TupleRow]
) -> None:
    await pipeline.producer().launch_and_wait()
    servers, topic = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.topics.of("nova_earned")
    ours = {row[1] for row in rows.values() if row[2] == "nova_earned"}
    # A topic of its own, with as many partitions: dead letters.
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        theirs = {
            key: (await producer.send_and_wait(pipeline.topics.dead_letters, b"", key=key.encode())).partition
            for key in ours
        }
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        found: dict[str, int] = {}

        async def all_found() -> bool:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.update({record.key.decode(): record.partition for record in records})
            return found.keys() >= ours

        await eventually(all_found, saying="every contact has a record")

    assert found == theirs
    assert len(set(found.values())) > 1
