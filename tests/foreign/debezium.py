"""Debezium for one test: its connector as `debezium-config` prints it, a role of few rights, and a slot to clean up."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from aiokafka import AIOKafkaConsumer

from producer.debezium import Connector
from sandbox.connect import EmbeddedConnect
from schemas.topics import Topics
from tests.commands import run
from tests.outbox.outbox_rows import HandMade
from tests.polling import eventually

ROLE = "debezium"
PASSWORD = "an elephant"

# PostgreSQL refuses while it has not seen that the reader's connection is closed.
DROP_SLOT = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND slot_name = "

INSERT = (
    "INSERT INTO outbox_events (aggregateid, type, sequence, payload, traceparent) VALUES (%s, %s, %s, %s::jsonb, %s)"
)


class Debezium:
    """One connector, which brings the outbox of a database to *topics* by a slot of its own."""

    def __init__(self, connect: EmbeddedConnect, database_url: str, topics: Topics) -> None:
        self.connect = connect
        self.name = self.slot = f"debezium_{uuid4().hex[:8]}"
        self.connector = Connector(self.name, self.slot, user=ROLE)
        self._database_url = database_url
        self._topics = topics

    async def set_up(self) -> None:
        await self.execute(self.connector.setup_sql(self._database_url))

    async def start(self, **changes: str) -> None:
        """Return when the connector runs, with *changes* to its configuration."""
        await self.connect.run(self.name, self.connector.config(self._database_url, self._topics) | changes)
        await eventually(self.is_reading, within_s=60, saying="the slot is read")

    async def stop(self) -> None:
        await self.connect.remove(self.name)

        async def let_go() -> bool:
            return not await self.is_reading()

        await eventually(let_go, saying="nobody reads the slot")

    async def is_reading(self) -> bool:
        return bool(await self.of_slot("active"))

    async def of_slot(self, column: str) -> Any:
        """Return what PostgreSQL says of the slot, None where there is none."""
        rows = await self.execute(f"SELECT {column} FROM pg_replication_slots WHERE slot_name = '{self.slot}'")
        return rows[0][0] if rows else None

    async def execute(self, statements: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self._database_url, autocommit=True) as connection:
            done = await connection.execute(statements.encode())
            return await done.fetchall() if done.description else []

    async def drop_slot(self) -> None:
        async def dropped() -> bool:
            await self.execute(f"{DROP_SLOT}'{self.slot}'")
            return await self.of_slot("slot_name") is None

        await eventually(dropped, saying="the slot is dropped")


@asynccontextmanager
async def debezium_of(connect: EmbeddedConnect, database_url: str, topics: Topics) -> AsyncIterator[Debezium]:
    """A connector that is set up and not started; afterwards, no slot keeps the database from being dropped."""
    debezium = Debezium(connect, database_url, topics)
    await debezium.set_up()
    try:
        yield debezium
    finally:
        await connect.remove(debezium.name)
        await debezium.drop_slot()


async def findings_of(database_url: str) -> dict[str, dict[str, str]]:
    """Return what the doctor finds in the database, by name."""
    environment = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = await run("hubspot_consumer", "doctor", "--offline", "--json", environment=environment)
    return {finding["name"]: finding for finding in json.loads(done.output)["findings"]}


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
