"""`python -m producer migrate`: once, again, at the same time, and as SQL for somebody else to run."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.commands import run


async def _tables(database_url: str) -> set[str]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in await rows.fetchall()}


CONTRACT = {"outbox_events", "outbox_contacts", "outbox_parked"}


async def test_it_creates_the_tables_of_the_contract_and_may_run_again(empty_database_url: str) -> None:
    environment = {"DATABASE_URL": empty_database_url}

    first = await run("producer", "migrate", environment=environment)
    second = await run("producer", "migrate", environment=environment)

    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert await _tables(empty_database_url) >= CONTRACT


async def test_two_that_start_at_once_both_succeed(empty_database_url: str) -> None:
    environment = {"DATABASE_URL": empty_database_url}

    both = await asyncio.gather(*(run("producer", "migrate", environment=environment) for _ in range(2)))

    assert [done.code for done in both] == [0, 0], both
    assert await _tables(empty_database_url) >= CONTRACT


async def test_a_dry_run_prints_sql_that_does_the_same(empty_database_url: str) -> None:
    printed = await run("producer", "migrate", "--dry-run", environment={})
    async with await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as connection:
        await connection.execute(printed.output.encode())

        tracked = await connection.execute(
            "SELECT track_lifecycle_event('driver_signed_up', '{\"email\": \"ada@example.com\"}'::jsonb) IS NOT NULL"
        )

        assert await tracked.fetchone() == (True,)
    assert (await run("producer", "migrate", environment={"DATABASE_URL": empty_database_url})).code == 0


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_another_encoding_is_refused_in_plain_words(any_postgres: Any, encoding: str) -> None:
    name = f"encoded_{uuid4().hex[:8]}"
    async with await psycopg.AsyncConnection.connect(any_postgres.url, autocommit=True) as connection:
        made = f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        await connection.execute(made.encode())

    refused = await run("producer", "migrate", environment={"DATABASE_URL": any_postgres.url_of(name)})
    await any_postgres.drop_database(name)

    assert refused.code == 1
    assert f"needs a database with the encoding UTF8, and this one has {encoding}" in refused.errors
