"""Servers of one's own in place of the embedded ones: NERAVA_TEST_DATABASE_URL and NERAVA_TEST_KAFKA lead to them.

Nobody kills, stops or pauses them: a test that would is skipped. Others may use them too: databases, topics and groups
have names of their own, and are deleted afterwards.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from runtime.kafka.topics import admin_client

DATABASE_URL = "NERAVA_TEST_DATABASE_URL"
KAFKA = "NERAVA_TEST_KAFKA"
_PREFIXES: list[str] = []


class OwnServer:
    """A server that *variable* of the environment leads to. A test that asks for more than an address is skipped."""

    def __init__(self, variable: str) -> None:
        self._variable = variable

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        pytest.skip(f"{self._variable} is set, and the test needs a server of its own (`{name}`)")


class OwnPostgres(OwnServer):
    """A PostgreSQL server to which the URL of a superuser leads."""

    def __init__(self, url: str, variable: str = DATABASE_URL) -> None:
        super().__init__(variable)
        self.url = url

    def url_of(self, database: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    async def create_database(self, name: str, *, template: str = "template1") -> str:
        await self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return self.url_of(name)

    async def drop_database(self, name: str) -> None:
        await self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    async def _execute(self, statement: sql.Composed) -> None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(statement)


class OwnKafka(OwnServer):
    """A Kafka that clients reach without a password."""

    def __init__(self, bootstrap_servers: str, variable: str = KAFKA) -> None:
        super().__init__(variable)
        self.bootstrap_servers = bootstrap_servers


def new_prefix() -> str:
    """Return a prefix of topics that no other test uses."""
    _PREFIXES.append(f"t{uuid4().hex[:8]}.")
    return _PREFIXES[-1]


def named_postgres() -> OwnPostgres | None:
    """Return the server that the environment leads to, if it does."""
    url = os.environ.get(DATABASE_URL)
    return OwnPostgres(url) if url else None


@contextmanager
def named_kafka() -> Iterator[OwnKafka | None]:
    """Yield the broker that the environment leads to, if it does; delete what the tests have made afterwards."""
    servers = os.environ.get(KAFKA)
    if not servers:
        yield None
        return
    yield OwnKafka(servers)
    asyncio.run(_delete_topics(servers))


def skip_without_embedded(variable: str) -> None:
    """Skip a test whose server is killed or has settings of its own, where *variable* asks for other servers."""
    if os.environ.get(variable):
        pytest.skip(f"{variable} is set, and the test needs a server of its own, to kill or to set up")


async def _delete_topics(servers: str) -> None:
    async with admin_client({"bootstrap_servers": servers}) as admin:
        # Others run their tests on the same servers, perhaps now.
        await admin.delete_topics([topic for topic in await admin.list_topics() if topic.startswith(tuple(_PREFIXES))])
