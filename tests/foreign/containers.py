"""The same services from containers. Written for machines with Docker; not tried where the rest was."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from testcontainers.kafka import KafkaContainer
from testcontainers.postgres import PostgresContainer


@dataclass(frozen=True)
class Broker:
    bootstrap_servers: str


@dataclass(frozen=True)
class Server:
    address: str

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres:postgres@{self.address}/{database}"

    async def create_database(self, name: str, *, template: str = "template1") -> str:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return self.url_of(name)

    async def drop_database(self, name: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def postgres_container() -> Iterator[Server]:
    server = PostgresContainer("postgres:18", username="postgres", password="postgres", dbname="postgres")
    with server.with_command("-c wal_level=logical") as container:
        yield Server(f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}")


@contextmanager
def kafka_container() -> Iterator[Broker]:
    with KafkaContainer("confluentinc/cp-kafka:7.9.0").with_kraft() as container:
        yield Broker(container.get_bootstrap_server())
