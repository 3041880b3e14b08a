"""What the relay reads of the outbox: each row once, in whatever order transactions commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer.relay.outbox import FORGET_EVERY_S, WATERMARK_EVERY_S, Outbox
from tests.clock import OwnedClock

WRITERS = 3
INSERT = "INSERT INTO outbox_events (type) VALUES ('nova_earned') RETURNING position"

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["insert", "commit", "roll back", "insert and commit", "insert and commit"]),
            st.integers(0, WRITERS - 1),
        ),
        st.tuples(st.sampled_from(["read", "delete"]), st.integers(1, 4)),
    ),
    max_size=40,
)


class Scene:
    """Transactions that take positions in one order and commit in another, and a relay that reads meanwhile."""

    def __init__(self, outbox: Outbox, clock: OwnedClock, writers: list[psycopg.AsyncConnection]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._writers = writers
        self._open: list[list[int]] = [[] for _ in writers]
        self._held: list[int] = []
        self.committed: list[int] = []
        self.read: list[int] = []

    async def step(self, what: str, number: int) -> None:
        match what:
            case "insert":
                row = await (await self._writers[number].execute(INSERT)).fetchone()
                assert row is not None
                self._open[number].append(row[0])
            case "commit":
                await self._writers[number].commit()
                self.committed += self._open[number]
                self._open[number] = []
            case "insert and commit":
                await self.step("insert", number)
                await self.step("commit", number)
            case "roll back":
                await self._writers[number].rollback()
                self._open[number] = []
            case "delete":
                deleted, self._held = self._held[:number], self._held[number:]
                await self._outbox.delete(deleted)
            case "read":
                await self._read(number)

    async def finish(self) -> None:
        for writer in range(WRITERS):
            await self.step("commit", writer)
        while await self._read(3):
            pass

    async def _read(self, rows: int) -> int:
        self._clock.advance(WATERMARK_EVERY_S)
        await self._outbox.raise_low_watermark()
        found = [row.position for row in await self._outbox.head(rows, without=self._held)]
        assert found == sorted(found)
        self._held += found
        self.read += found
        return len(found)


@asynccontextmanager
async def scene(database_url: str) -> AsyncIterator[Scene]:
    clock = OwnedClock()
    writers = [await psycopg.AsyncConnection.connect(database_url) for _ in range(WRITERS)]
    try:
        async with await Outbox.connect(lambda: database_url, clock) as outbox:
            assert await outbox.become_active()
            yield Scene(outbox, clock, writers)
    finally:
        await asyncio.gather(*(writer.close() for writer in writers))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_every_committed_row_is_read_once_however_commits_and_deletions_interleave(
    database_url: str, steps: list[tuple[str, int]]
) -> None:
    async def play() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute("TRUNCATE outbox_events")
        async with scene(database_url) as playing:
            for step in [("insert", 0), *steps]:
                await playing.step(*step)
            await playing.finish()
            assert sorted(playing.read) == sorted(playing.committed)

    asyncio.run(play())


async def test_a_row_that_becomes_visible_late_is_read_although_later_ones_were_published(database_url: str) -> None:
    async with scene(database_url) as playing:
        await playing.step("insert", 0)
        for _ in range(3):
            await playing.step("insert and commit", 1)
            await playing.step("read", 4)
            await playing.step("delete", 4)
        await playing.step("commit", 0)
        await playing.step("read", 4)

        assert playing.read == [2, 3, 4, 1]


@pytest.mark.parametrize(
    ("columns", "values", "read"),
    [
        ("type, payload", "'nova_earned', to_jsonb(repeat('x', 800000))", 21),
        ("type, aggregateid, traceparent", "'nova_earned', repeat('k', 60000), repeat('t', 60000)", 140),
    ],
)
async def test_a_batch_holds_no_more_than_its_octets_and_at_least_a_row(
    database_url: str, columns: str, values: str, read: int
) -> None:
    async with scene(database_url) as playing, await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(
            f"INSERT INTO outbox_events ({columns}) SELECT {values} FROM generate_series(1, 200)".encode()
        )
        await connection.commit()

        await playing.step("read", 1_000)

        assert len(playing.read) == read


async def test_published_rows_are_kept_for_as_long_as_asked_and_then_forgotten(database_url: str) -> None:
    clock = OwnedClock()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def kept() -> list[int]:
            found = await connection.execute("SELECT position FROM outbox_published ORDER BY position")
            return [row[0] for row in await found.fetchall()]

        await connection.execute(INSERT)
        await connection.execute(INSERT)
        async with await Outbox.connect(lambda: database_url, clock, timedelta(hours=1)) as outbox:
            assert await outbox.become_active()
            rows = await outbox.head(10)
            await outbox.delete([row.position for row in rows])
            assert await outbox.head(10) == []
            await outbox.forget()
            assert await kept() == [row.position for row in rows]

            await connection.execute("UPDATE outbox_published SET published_at = now() - interval '61 minutes'")
            clock.advance(FORGET_EVERY_S)
            await outbox.forget()
            assert await kept() == []


async def test_without_a_retention_nothing_is_kept(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(INSERT)
        async with await Outbox.connect(lambda: database_url, OwnedClock()) as outbox:
            assert await outbox.become_active()
            await outbox.delete([row.position for row in await outbox.head(10)])

        found = await connection.execute("SELECT (SELECT count(*) FROM outbox_published), count(*) FROM outbox_events")
        assert await found.fetchone() == (0, 0)
