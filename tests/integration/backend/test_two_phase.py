"""Two-phase commit: an event is prepared with the caller's rows also while the relay sleeps, and no row is missed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from producer import track_event, track_events
from producer.migrations import migrate
from producer.relay.outbox import WATERMARK_EVERY_S, Outbox
from sandbox.postgres import OPTIONS, EmbeddedPostgres
from tests.clock import OwnedClock
from tests.samples import PAYLOADS

EVENT = ("driver_signed_up", PAYLOADS["driver_signed_up"])
TRACK = "SELECT track_lifecycle_event('driver_signed_up', %s::jsonb)"


@pytest.fixture(scope="module")
def preparing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that lets transactions be prepared."""
    options = {**OPTIONS, "max_prepared_transactions": "10"}
    server = EmbeddedPostgres(tmp_path_factory.mktemp("preparing"), options=options)
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def url(preparing: EmbeddedPostgres) -> str:
    made = await preparing.create_database(f"two_phase_{uuid4().hex[:8]}")
    await asyncio.to_thread(migrate, made)
    return made


@pytest.fixture
def engine(url: str) -> Engine:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)


@pytest.fixture
async def asleep(url: str) -> AsyncIterator[Outbox]:
    """The outbox of a relay that sleeps."""
    async with await Outbox.connect(lambda: url, OwnedClock()) as outbox:
        assert await outbox.become_active()
        assert await outbox.fall_asleep()
        yield outbox


def by_session(engine: Engine) -> None:
    with Session(engine, twophase=True) as db:
        track_event(db, *EVENT)
        db.commit()


def by_scoped_session(engine: Engine) -> None:
    db = scoped_session(sessionmaker(engine, twophase=True))
    track_events(db, [EVENT])
    db.commit()
    db.remove()


def by_connection(engine: Engine) -> None:
    with engine.connect() as db:
        transaction = db.begin_twophase()
        track_event(db, *EVENT)
        transaction.prepare()
        transaction.commit()


def by_session_of_connection(engine: Engine) -> None:
    with engine.connect() as db:
        transaction = db.begin_twophase()
        with Session(db, join_transaction_mode="create_savepoint") as session:
            track_event(session, *EVENT)
            session.commit()
        transaction.prepare()
        transaction.commit()


def by_async_connection(engine: Engine) -> None:
    async def write() -> None:
        async_engine = create_async_engine(engine.url, poolclass=NullPool)
        async with async_engine.connect() as db:

            def begin(connection: Connection) -> Any:
                return connection.begin_twophase()

            transaction = await db.run_sync(begin)
            await track_event(db, *EVENT)
            await db.run_sync(lambda _: transaction.prepare())
            await db.run_sync(lambda _: transaction.commit())

    asyncio.run(write())


@pytest.mark.parametrize(
    "write", [by_session, by_scoped_session, by_connection, by_session_of_connection, by_async_connection]
)
async def test_an_event_is_prepared_while_the_relay_sleeps(
    write: Callable[[Engine], None], engine: Engine, asleep: Outbox
) -> None:
    await asyncio.to_thread(write, engine)

    assert len(await asleep.head(10)) == 1


async def test_other_clients_say_that_nobody_is_to_be_notified(url: str, asleep: Outbox) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute("BEGIN; SET LOCAL nerava.notify = off")
        await db.execute(TRACK, [json.dumps(EVENT[1])])
        await db.execute("PREPARE TRANSACTION 'event'")
        await db.execute("COMMIT PREPARED 'event'")

        # The setting ended with the transaction: the next one notifies.
        await db.execute("BEGIN")
        await db.execute(TRACK, [json.dumps(EVENT[1])])
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="NOTIFY"):
            await db.execute("PREPARE TRANSACTION 'another'")

    assert len(await asleep.head(10)) == 1


async def test_a_row_that_was_prepared_is_read_although_later_ones_were(url: str) -> None:
    clock = OwnedClock()
    async with (
        await Outbox.connect(lambda: url, clock) as outbox,
        await psycopg.AsyncConnection.connect(url) as db,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as another,
    ):
        assert await outbox.become_active()
        await db.tpc_begin(db.xid(1, "late", ""))
        await db.execute(TRACK, [json.dumps(EVENT[1])])
        await outbox.raise_low_watermark()
        await db.tpc_prepare()
        await another.execute(TRACK, [json.dumps({**EVENT[1], "user_id": "usr_2", "email": "bob@example.com"})])
        [later] = await outbox.head(10)
        for _ in range(3):
            clock.advance(WATERMARK_EVERY_S)
            await outbox.raise_low_watermark()
            assert await outbox.head(10, without=[later.position]) == []

        await db.tpc_commit()

        assert [row.position for row in await outbox.head(10, without=[later.position])] == [later.position - 1]
