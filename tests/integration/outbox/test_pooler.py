"""What looks into the outbox, and the intake, leave a pooled connection as it was: the backend uses it next."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from pydantic import SecretStr

from console.contacts.history import LATEST
from console.contacts.outbox import ContactsOutbox
from console.overview.backlog import ask_outbox
from hubspot_consumer.doctor.environment import DoctorSettings, Environment
from hubspot_consumer.doctor.examination import examine
from hubspot_consumer.doctor.outbox import OutboxChecks
from schemas.contacts import ContactKey
from tests.commands import run
from tests.foreign.pgbouncer import pooled
from tests.outbox.intake import calling
from tests.outbox.old_outbox import add, events, imported, make_table, signed_up
from tests.samples import EMAIL, PAYLOADS

Look = Callable[[str], Awaitable[object]]

TRACK = "SELECT track_lifecycle_event('driver_signed_up', %s::jsonb)"
# The pooler itself sets these for each client.
LEFT_BEHIND: LiteralString = """
SELECT name || ' = ' || setting FROM pg_settings WHERE source = 'session' AND setting <> reset_val
    AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
UNION ALL SELECT 'prepared: ' || statement FROM pg_prepared_statements
UNION ALL SELECT 'listens to ' || channel FROM pg_listening_channels() AS channel
UNION ALL SELECT 'locks ' || objid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'
"""


async def doctor(url: str) -> None:
    settings = DoctorSettings(kafka_bootstrap_servers="127.0.0.1:1", database_url=SecretStr(url))
    findings = await examine([OutboxChecks(Environment(settings)).checks()])
    assert {finding.name: finding.level for finding in findings} == {
        "database": "ok",
        "postgres_version": "ok",
        "outbox": "ok",
        "parked": "ok",
        "relay": "fail",
        "replication_slot": "ok",
    }


async def contact_page(url: str) -> None:
    outbox = ContactsOutbox(lambda: url)
    await outbox.contact_of("usr_1")
    await outbox.of(ContactKey(EMAIL), LATEST, 50)
    await outbox.parked("usr_1", 50)


async def overview(url: str) -> None:
    await ask_outbox(url)


LOOKS = pytest.mark.parametrize("look", [doctor, contact_page, overview])


@pytest.fixture
def pooler_url(tmp_path: Path, database_url: str) -> Iterator[str]:
    with pooled(tmp_path / "pgbouncer", database_url) as url:
        yield url


async def backend_writes(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, prepare_threshold=None) as backend:
        await backend.execute(TRACK, [json.dumps(PAYLOADS["driver_signed_up"])])


async def left_behind(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    return [row[0] for row in await (await connection.execute(LEFT_BEHIND, prepare=False)).fetchall()]


async def left_behind_in(url: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await left_behind(connection)


@LOOKS
async def test_the_backend_writes_through_the_pooler_after_somebody_looked(
    look: Look, pooler_url: str, none_of_ours: None
) -> None:
    for _ in range(7):
        await look(pooler_url)

    await backend_writes(pooler_url)

    assert await left_behind_in(pooler_url) == []


class Shared(psycopg.AsyncConnection[Any]):
    """A connection that goes on after a client has closed it, as a pooler's does."""

    async def close(self) -> None:
        pass

    async def end(self) -> None:
        await super().close()


@pytest.fixture
async def shared(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shared]:
    """The one connection that all clients get."""
    connection = await Shared.connect(database_url, autocommit=True)

    async def connect(*_: object, **__: object) -> Shared:
        return connection

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    yield connection
    await connection.end()


@LOOKS
async def test_who_looks_leaves_a_shared_connection_as_it_was(
    look: Look, database_url: str, shared: Shared, none_of_ours: None
) -> None:
    for _ in range(7):
        await look(database_url)

    assert await left_behind(shared) == []
    await shared.execute(TRACK, [json.dumps(PAYLOADS["driver_signed_up"])])


async def test_the_intake_takes_events_through_the_pooler_and_leaves_nothing_behind(pooler_url: str) -> None:
    async with calling(pooler_url) as caller:
        answers = [
            await asyncio.gather(*(caller.post(key=f"key-{start}-{number}") for number in range(8)))
            for start in range(5)
        ]
        await caller.intake.forget()

    assert {answer.status_code for several in answers for answer in several} == {202}
    assert await left_behind_in(pooler_url) == []


async def test_the_intake_leaves_its_connections_as_they_were(database_url: str) -> None:
    async with calling(database_url) as caller:
        for number in range(12):
            assert (await caller.post(key=f"key-{number}")).status_code == 202
        async with caller.intake._pool.connection() as connection:
            assert await left_behind(connection) == []


async def test_the_intake_waits_neither_long_for_a_lock_nor_for_a_statement(database_url: str) -> None:
    async with calling(database_url) as caller, caller.intake._limited() as connection:
        limits = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        assert await (await connection.execute(limits)).fetchone() == ("5s", "3s")


async def test_the_import_goes_through_the_pooler_and_leaves_nothing_behind(pooler_url: str, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        make_table(db)
        add(db, [(number, "driver_signed_up", signed_up(number)) for number in range(1, 21)])

        done = await imported(pooler_url, "--apply")

        assert done.code == 0, done.errors
        assert len(events(db)) == 20
    assert await left_behind_in(pooler_url) == []


@pytest.fixture
def empty_pooler_url(tmp_path: Path, empty_database_url: str) -> Iterator[str]:
    with pooled(tmp_path / "pgbouncer", empty_database_url) as url:
        yield url


async def test_migrate_goes_through_the_pooler_and_leaves_nothing_behind(empty_pooler_url: str) -> None:
    done = await run("producer", "migrate", environment={"DATABASE_URL": empty_pooler_url})

    assert done.code == 0, done.errors
    await backend_writes(empty_pooler_url)
    assert await left_behind_in(empty_pooler_url) == []
