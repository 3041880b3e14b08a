"""A password that expires: whoever writes the file of the URL heals the producer, and health says what is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from producer.migrations import migrate
from sandbox.postgres import OPTIONS, EmbeddedPostgres
from sandbox.services import Service
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.integration.relay.test_refusals import sent_to, until_all_is_well, until_unwell
from tests.outbox.intake import TOKEN
from tests.outbox.outbox import is_empty
from tests.outbox.relays import relay_of
from tests.polling import eventually

ADMISSION = """\
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
TRACK = "SELECT track_lifecycle_event('wallet_pass_installed', jsonb_build_object('email', %s::text))"
RELAYS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'"
REFUSED = 'password authentication failed for user "shop"'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server on which the role `shop` needs a password, and has one that nobody knows."""
    admission = tmp_path / "admission"
    admission.write_text(ADMISSION)
    admission.chmod(0o644)
    async with EmbeddedPostgres(tmp_path / "postgres", options={**OPTIONS, "hba_file": str(admission)}) as server:
        url = await server.create_database("shop")
        migrate(url)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as administrator:
            await administrator.execute("CREATE ROLE shop SUPERUSER LOGIN PASSWORD 'before'")
        yield server


@pytest.fixture
async def administrator(server: EmbeddedPostgres) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(server.url_of("shop"), autocommit=True) as connection:
        yield connection


class File:
    """The file of the URL, and whoever renews the password."""

    def __init__(self, path: Path, url: str, administrator: psycopg.AsyncConnection[Any]) -> None:
        self.path = path
        self._url = url
        self._administrator = administrator

    async def expire(self, password: str) -> None:
        await self._administrator.execute(f"ALTER ROLE shop PASSWORD '{password}'".encode())

    def write(self, password: str) -> None:
        self.path.write_text(self._url.replace("//postgres@", f"//shop:{password}@"))


@pytest.fixture
def file(tmp_path: Path, server: EmbeddedPostgres, administrator: psycopg.AsyncConnection[Any]) -> File:
    made = File(tmp_path / "url", server.url_of("shop"), administrator)
    made.write("before")
    return made


@pytest.fixture
async def service(tmp_path: Path, file: File, kafka: Any, topic_prefix: str) -> AsyncIterator[Service]:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    more = {"DATABASE_URL_FILE": str(file.path), "PRODUCER_INTAKE_TOKEN": TOKEN}
    service = relay_of(tmp_path, "", kafka, topic_prefix, **more)
    yield service
    await service.kill()


async def test_a_password_that_is_refused_from_the_start_is_waited_for(
    service: Service, file: File, server: EmbeddedPostgres, administrator: psycopg.AsyncConnection[Any]
) -> None:
    await file.expire("after")
    await administrator.execute(TRACK, ["ada@example.com"])
    service.launch()
    await until_unwell(service, "database", "DATABASE_URL: ", REFUSED)
    assert (await sent_to(service, "key"))[0] == 503

    file.write("after")

    await until_all_is_well(service, server.url_of("shop"))
    assert (await sent_to(service, "key"))[0] == 202


async def test_while_the_connections_from_before_last_health_says_that_new_ones_are_refused(
    service: Service, file: File, server: EmbeddedPostgres, administrator: psycopg.AsyncConnection[Any]
) -> None:
    await service.launch_and_wait()
    await file.expire("after")

    await until_unwell(service, "database_connections", "new connections are refused: DATABASE_URL: ", REFUSED)
    await until_unwell(service, "intake", "new connections are refused: DATABASE_URL: ", REFUSED)
    assert "database" not in (await service.health())[1]["unwell"]
    await administrator.execute(TRACK, ["ada@example.com"])
    await eventually(lambda: is_empty(server.url_of("shop")), saying="the connection from before publishes")

    file.write("after")
    await until_all_is_well(service, server.url_of("shop"))


@pytest.mark.parametrize("content", [None, "", "postgresql+asyncpg://shop:hidden@127.0.0.1/shop"])
async def test_a_relay_that_lost_its_connection_comes_back_with_the_password_that_the_file_has_by_then(
    service: Service, file: File, server: EmbeddedPostgres, administrator: psycopg.AsyncConnection[Any],
    content: str | None,
) -> None:  # fmt: skip
    await service.launch_and_wait()
    await file.expire("after")
    await administrator.execute(RELAYS)
    await administrator.execute(TRACK, ["ada@example.com"])
    await until_unwell(service, "database", "DATABASE_URL: ", REFUSED)

    file.path.unlink() if content is None else file.path.write_text(content)
    await until_unwell(service, "database", "DATABASE_URL: should begin" if content else "DATABASE_URL_FILE: ")

    file.write("after")
    await until_all_is_well(service, server.url_of("shop"))
    assert (await sent_to(service, "key"))[0] == 202
