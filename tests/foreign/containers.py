"""The same services from containers. Written for machines with Docker; not tried where the rest was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from testcontainers.kafka import KafkaContainer
from testcontainers.postgres import PostgresContainer

from tests.foreign.own_servers import OwnKafka, OwnPostgres

VARIABLE: Final = "NERAVA_TEST_STACK"


@contextmanager
def postgres_container() -> Iterator[OwnPostgres]:
    server = PostgresContainer("postgres:18", username="postgres", password="postgres", dbname="postgres")
    with server.with_command("-c wal_level=logical") as container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"
        yield OwnPostgres(f"postgresql://postgres:postgres@{address}/postgres", VARIABLE)


@contextmanager
def kafka_container() -> Iterator[OwnKafka]:
    with KafkaContainer("confluentinc/cp-kafka:7.9.0").with_kraft() as container:
        yield OwnKafka(container.get_bootstrap_server(), VARIABLE)
