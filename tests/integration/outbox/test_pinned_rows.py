"""Deleted rows that a long transaction keeps from vacuum: whoever waits at an empty outbox does not pass them again and
again, and misses no row for that.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from producer.relay import statements
from producer.relay.backlog import REST, Backlog
from producer.relay.outbox import WATERMARK_EVERY_S, Outbox
from producer.relay.reading_point import BEFORE_ALL
from producer.relay.session import execute
from runtime.clock import SystemClock
from tests.clock import OwnedClock

DEAD = 40_000
INSERT = "INSERT INTO outbox_events (position, type) VALUES (%s, 'nova_earned')"


@asynccontextmanager
async def relays_outbox(database_url: str, clock: Any) -> AsyncIterator[Outbox]:
    async with await Outbox.connect(lambda: database_url, clock) as outbox:
        assert await outbox.become_active()
        yield outbox


async def becomes_empty(outbox: Outbox, clock: OwnedClock) -> None:
    """Do what a relay does at an empty outbox."""
    for _ in range(3):
        clock.advance(WATERMARK_EVERY_S)
        await outbox.raise_low_watermark()
        assert await outbox.head(1) == []
    outbox.rewind()


@pytest.fixture
async def pinned_url(database_url: str) -> AsyncIterator[str]:
    """A database in which deleted rows can't be removed."""
    async with (
        await psycopg.AsyncConnection.connect(database_url) as long,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        await long.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await long.execute("SELECT count(*) FROM outbox_events")
        await connection.execute(
            "INSERT INTO outbox_events (type, aggregateid)"
            " SELECT 'nova_earned', repeat('k', 200) FROM generate_series(1, %s)",
            [DEAD],
        )
        await connection.execute("DELETE FROM outbox_events")
        yield database_url


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list that gets how many pages each question of an outbox touches."""
    pages: list[int] = []

    async def counted(connection: Any, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if statement in (statements.HEAD, statements.WRITERS, statements.BACKLOG):
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
            [[plan]] = await execute(connection, explain, parameters)
            told = plan if isinstance(plan, list) else json.loads(plan)
            pages.append(told[0]["Plan"]["Shared Hit Blocks"] + told[0]["Plan"]["Shared Read Blocks"])
        return await execute(connection, statement, parameters)

    monkeypatch.setattr("producer.relay.outbox.execute", counted)
    return pages


async def test_an_idle_relay_does_not_pass_deleted_rows_again(pinned_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = OwnedClock()
    async with relays_outbox(pinned_url, clock) as outbox:
        pages = counting(monkeypatch)
        await becomes_empty(outbox, clock)
        assert max(pages) > 1_000
        pages.clear()

        await becomes_empty(outbox, clock)

        assert len(pages) == 6
        assert max(pages) < 50


async def test_a_look_at_the_backlog_rarely_passes_deleted_rows(
    pinned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = Backlog(SystemClock(), lambda _: None)
    async with await Outbox.connect(lambda: pinned_url, SystemClock()) as outbox:
        pages = counting(monkeypatch)
        assert await backlog.look(outbox) == (0, 0)
        assert max(pages) > 1_000
        pages.clear()

        assert await backlog.look(outbox) == (0, 0)

    assert len(pages) == 2
    assert max(pages) < 50


async def test_a_row_inserted_by_hand_where_none_should_be_is_found_by_a_look_at_the_backlog(database_url: str) -> None:
    clock = OwnedClock()
    async with (
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
        relays_outbox(database_url, clock) as outbox,
        await Outbox.connect(lambda: database_url, clock) as watched,
    ):
        for number in range(5):
            await connection.execute(INSERT, [10 + number])
            await connection.execute("SELECT nextval(pg_get_serial_sequence('outbox_events', 'position'))")
        await connection.execute("DELETE FROM outbox_events")
        backlog = Backlog(clock, outbox._point.heed)
        await becomes_empty(outbox, clock)
        await backlog.look(watched)
        await connection.execute(INSERT, [3])
        await connection.execute(INSERT, [-7])
        assert await outbox.head(10) == []

        clock.advance(REST)
        assert (await backlog.look(watched))[0] == 2

        assert [row.position for row in await outbox.head(10)] == [-7, 3]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE outbox_events ALTER COLUMN position RESTART",
        "SELECT setval(pg_get_serial_sequence('outbox_events', 'position'), 2)",
        "ALTER TABLE outbox_events ALTER COLUMN position SET CACHE 50",
    ],
)
async def test_rows_are_read_whatever_somebody_does_to_the_sequence(change: str, database_url: str) -> None:
    insert, clock = "INSERT INTO outbox_events (type) VALUES ('nova_earned') RETURNING position", OwnedClock()
    async with (
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as another,
        relays_outbox(database_url, clock) as outbox,
    ):
        for _ in range(9):
            await connection.execute(insert)
        await connection.execute("DELETE FROM outbox_events")
        await becomes_empty(outbox, clock)

        await connection.execute(change.encode())
        for writer in (connection, another, connection):
            inserted = await (await writer.execute(insert)).fetchone()
            await becomes_known(outbox, clock)
            assert [row.position for row in await outbox.head(10)] == [inserted and inserted[0]]
            await connection.execute("DELETE FROM outbox_events")


async def becomes_known(outbox: Outbox, clock: OwnedClock) -> None:
    clock.advance(WATERMARK_EVERY_S)
    await outbox.raise_low_watermark()
    outbox.rewind()


async def test_a_role_that_may_not_read_the_sequence_reads_every_row_from_the_first(database_url: str) -> None:
    role = "reads_no_sequence"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN".encode())
        await connection.execute(f"GRANT SELECT, DELETE ON outbox_events, outbox_published TO {role}".encode())
        clock = OwnedClock()
        try:
            async with relays_outbox(database_url.replace("postgres@", f"{role}@"), clock) as outbox:
                await becomes_empty(outbox, clock)
                assert not (await outbox.writers()).exact
                assert outbox._point.after == BEFORE_ALL
        finally:
            await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
