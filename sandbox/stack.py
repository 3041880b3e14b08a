"""The stack: Kafka, PostgreSQL and the HubSpot simulator on one machine, ready for the services."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from producer.migrations import migrate
from runtime.kafka import new_topics
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topics import admin_client
from sandbox.day.progress import Progress, silent
from sandbox.kafka import EmbeddedKafka
from sandbox.postgres import EmbeddedPostgres
from sandbox.processes import free_port
from sandbox.services import READY_WITHIN_S, simulator
from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from sandbox.variants.pgbouncer import PgBouncer
from sandbox.variants.versions import Variant
from schemas.topics import Topics

PARTITIONS: Final = 12
DATABASE: Final = "nerava"


class Stack:
    """The servers that the services need, with their data in *directory*; `environment` has the services' settings."""

    def __init__(self, directory: Path, *, variant: Variant | None = None, progress: Progress = silent) -> None:
        variant = variant or Variant()
        self._directory: Final = directory
        self._progress: Final = progress
        self.kafka: Final = EmbeddedKafka(
            directory / "kafka", auto_create=False, version=variant.kafka, progress=progress
        )
        self.postgres: Final = EmbeddedPostgres(directory / "postgres", version=variant.postgres, progress=progress)
        self._pooler: Final = (
            None
            if variant.pooler == "direct"
            else PgBouncer(directory / "pgbouncer", self.postgres.url, variant.pooler)
        )
        # Before PgBouncer 1.21, a connection through transaction mode can't prepare statements.
        self.prepares: Final = variant.pooler != "transaction"
        self.direct_url: Final = self.postgres.url_of(DATABASE)
        port = free_port()
        self.simulator: Final = Simulator(f"http://127.0.0.1:{port}")
        self._simulator_process: Final = simulator(directory, port)
        producer, consumer = free_port(), free_port()
        self.environment: Final[Mapping[str, str]] = {
            "DATABASE_URL": self._pooler.url_of(DATABASE) if self._pooler else self.direct_url,
            # The relay needs a session of its own.
            **({} if self.prepares else {"RELAY_DATABASE_URL": self.direct_url}),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "HUBSPOT_ENABLED": "true",
            "HUBSPOT_SEND_LIVE": "true",
            "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
            "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
            "HUBSPOT_API_BASE_URL": self.simulator.url,
            # Whoever sets it for the sandbox wants it in the services too: the simulator has read it.
            "HUBSPOT_ID_PROPERTY": os.environ.get("HUBSPOT_ID_PROPERTY", "email"),
            # The token is random, since the intake listens on all network interfaces.
            "PRODUCER_INTAKE_TOKEN": secrets.token_hex(32),
            "PRODUCER_PORT": str(producer),
            "CONSUMER_PORT": str(consumer),
            "CONSOLE_PORT": str(free_port()),
            "CONSOLE_PRODUCERS": f"http://127.0.0.1:{producer}",
            "CONSOLE_CONSUMERS": f"http://127.0.0.1:{consumer}",
            "CONSOLE_OPERATOR_TOKEN": secrets.token_hex(32),
            "CONSOLE_READER_TOKEN": secrets.token_hex(32),
            "CONSOLE_FOLDER": str(directory / "console"),
        }

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(self._start_kafka(), self._start_postgres(), self._start_simulator())
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        await self.simulator.close()
        if self._pooler:
            await self._pooler.stop()
        await asyncio.gather(self._simulator_process.stop(), self.postgres.stop(), self.kafka.stop())

    async def _start_kafka(self) -> None:
        await self.kafka.start()
        self._progress("creating the topics")
        await create_topics(self.kafka.bootstrap_servers, Topics(), PARTITIONS)

    async def _start_postgres(self) -> None:
        await self.postgres.start()
        if not await self.postgres.has_database(DATABASE):
            await self.postgres.create_database(DATABASE)
        await asyncio.to_thread(migrate, self.direct_url)
        if self._pooler:
            await self._pooler.start()

    async def _start_simulator(self) -> None:
        self._simulator_process.launch()
        await self._simulator_process.until(self.simulator.answers, within_s=READY_WITHIN_S)


async def create_topics(bootstrap_servers: str, names: Topics, partitions: int) -> None:
    """Create the missing topics, as `python -m producer topics` does."""
    kafka = KafkaConnection(
        kafka_bootstrap_servers=bootstrap_servers, kafka_topic_prefix=names.prefix, kafka_partitions=partitions
    )
    async with admin_client(kafka.client_options()) as admin:
        found = await new_topics.find(admin, names, names.all)
        if found.missing:
            await new_topics.create(admin, kafka, found)
