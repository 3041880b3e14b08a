"""The sizes of what an event leaves in Kafka and in PostgreSQL, from which docs/performance.md computes disks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from bench.bed import Bed
from sandbox.day.backend import Backend
from sandbox.day.traffic import Day
from sandbox.services import producer
from schemas.topics import Topics

EVENTS: Final = 10_000
PER_S: Final = 1_000
QUOTA: Final = 5_000
PER_CONTACT: Final = ("outbox_contacts", "outbox_directory")
KEPT: Final = "outbox_published"


async def sizes(bed: Bed) -> list[Mapping[str, Any]]:
    """The bytes of 10,000 events of a day in Kafka and PostgreSQL, by the codec of the relay."""
    return [await _sizes(bed, codec) for codec in ("none", "lz4", "zstd")]


async def _sizes(bed: Bed, codec: str) -> Mapping[str, Any]:
    environment = {
        **await bed.new_simulator(quota=QUOTA),
        **await bed.new_outbox(f"sizes_{codec}"),
        "KAFKA_COMPRESSION": codec,
        "OUTBOX_RETENTION_H": "24",
        "HUBSPOT_RATE_LIMIT": str(QUOTA),
    }
    url, topics = environment["DATABASE_URL"], Topics(environment["KAFKA_TOPIC_PREFIX"])
    bed.say(f"{EVENTS:,} events of a day, KAFKA_COMPRESSION={codec}")
    relay = producer(bed.directory, environment)
    try:
        await relay.launch_and_wait()
        async with bed.running_worker(environment):
            day = Day(EVENTS, 1, datetime.now(UTC)).happenings()
            await Backend(url, PER_S).play(day)
            # One event of the day is a dead letter.
            await bed.until_held(len(day) - 1, within_s=300)
    finally:
        await relay.stop()
    contacts = len({happening.contact for happening in day})
    database = await _bytes_of_tables(url, [*PER_CONTACT, KEPT])
    return {
        "KAFKA_COMPRESSION": codec,
        "events": len(day),
        "contacts": contacts,
        "Kafka, bytes an event": round(_bytes_of_topics(bed, *topics.events) / len(day)),
        "Kafka, bytes a receipt": round(_bytes_of_topics(bed, topics.deliveries) / len(day)),
        "PostgreSQL, bytes a contact": round(sum(database[table] for table in PER_CONTACT) / contacts),
        "PostgreSQL, bytes a published event": round(database[KEPT] / len(day)),
    }


def _bytes_of_topics(bed: Bed, *topics: str) -> int:
    files = (file for topic in topics for file in bed.stack.kafka.data.glob(f"{topic}-*/*.log"))
    return sum(file.stat().st_size for file in files)


async def _bytes_of_tables(url: str, tables: list[str]) -> Mapping[str, int]:
    """Return the bytes of tables with their indexes."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        query = "SELECT name, pg_total_relation_size(name::regclass) FROM unnest(%s::text[]) AS name"
        found = await connection.execute(query, [tables])
        return dict(await found.fetchall())
