"""The programs that publish the outbox to Kafka: our relay and Debezium, each in its production process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import psycopg
from sqlalchemy import make_url

from producer.settings import Compression
from sandbox.connect import EmbeddedConnect
from sandbox.services import Service
from sandbox.variants.product import THIS, Version
from schemas.topics import Topics

STRING: Final = "org.apache.kafka.connect.storage.StringConverter"
PUBLICATION: Final = "CREATE PUBLICATION bench FOR TABLE outbox_events WITH (publish = 'insert')"


class Publisher(Protocol):
    """A program that publishes the outbox. Each run has a new instance, with its own topics."""

    name: str
    settings: str

    async def prepare(self) -> None:
        """Create what the program needs before the first row is committed."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    @property
    def pid(self) -> int: ...


class OurRelay:
    name = "relay"
    settings = "defaults"

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        topics: Topics,
        *,
        compression: Compression = "none",
        version: Version = THIS,
    ) -> None:
        own = {"KAFKA_TOPIC_PREFIX": topics.prefix, "KAFKA_COMPRESSION": compression}
        self._service = Service("relay", ["producer", "relay"], directory, {**environment, **own}, version=version)

    async def prepare(self) -> None:
        pass

    async def start(self) -> None:
        self._service.launch()

    async def stop(self) -> None:
        await self._service.stop()

    @property
    def pid(self) -> int:
        return self._service.pid


class Debezium:
    """Debezium's outbox event router in its fastest configuration: no payload expansion, no other transform."""

    name = "Debezium"

    def __init__(
        self, directory: Path, environment: Mapping[str, str], topics: Topics, *, poll_interval_ms: int = 5
    ) -> None:
        self.settings = f"3.6.1 on Connect 4.3.1, poll.interval.ms={poll_interval_ms}, linger.ms=0, SerialGC, 512 MB"
        self._poll_interval_ms: Final = poll_interval_ms
        self._database_url: Final = environment["DATABASE_URL"]
        self._topics: Final = topics
        self._slot: Final = "bench_" + "".join(letter for letter in topics.prefix if letter.isalnum())
        self._connect: Final = EmbeddedConnect(directory / self._slot, environment["KAFKA_BOOTSTRAP_SERVERS"])

    async def prepare(self) -> None:
        """Create the replication slot, so that PostgreSQL keeps the WAL of later commits for it."""
        async with await psycopg.AsyncConnection.connect(self._database_url, autocommit=True) as connection:
            found = await connection.execute("SELECT FROM pg_publication WHERE pubname = 'bench'")
            if not found.rowcount:
                await connection.execute(PUBLICATION)
            await connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self._slot])

    async def start(self) -> None:
        await self._connect.start()
        await self._connect.run("bench", self._config())

    async def stop(self) -> None:
        await self._connect.stop()
        async with await psycopg.AsyncConnection.connect(self._database_url, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", [self._slot]
            )
            await connection.execute("SELECT pg_drop_replication_slot(%s)", [self._slot])

    @property
    def pid(self) -> int:
        return self._connect.pid

    def _config(self) -> dict[str, str]:
        url = make_url(self._database_url)
        return {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "topic.prefix": "bench",
            "database.hostname": url.host or "",
            "database.port": str(url.port),
            "database.dbname": url.database or "",
            "database.user": url.username or "",
            "database.password": "none",
            "plugin.name": "pgoutput",
            "slot.name": self._slot,
            "publication.name": "bench",
            "publication.autocreate.mode": "disabled",
            "table.include.list": "public.outbox_events",
            "snapshot.mode": "no_data",
            "poll.interval.ms": str(self._poll_interval_ms),
            "producer.override.linger.ms": "0",
            "key.converter": STRING,
            "value.converter": STRING,
            "header.converter": STRING,
            "extended.headers.enabled": "false",
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.by.field": "type",
            "transforms.outbox.route.topic.replacement": self._topics.prefix + "${routedByValue}",
            "transforms.outbox.table.fields.additional.placement": "type:header:type,sequence:header:sequence,"
            "traceparent:header:traceparent",
        }
