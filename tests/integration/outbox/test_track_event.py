"""`track_event` belongs to the caller's transaction (invariant 7), whatever SQLAlchemy object the caller holds."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from producer import InvalidEvent, track_event, track_events
from schemas.events import WalletPassInstalled
from tests.foreign.spans import Spans, traceparent_of
from tests.outbox.outbox import rows

SIGNED_UP = {
    "user_id": "usr_1",
    "email": "Ada@Example.com",
    "auth_provider": "apple",
    "created_at": "2026-11-24T03:00:00Z",
}


@pytest.mark.parametrize("kind", [Session, Connection])
def test_the_event_is_there_after_the_callers_commit_and_not_before(engine: Engine, kind: type) -> None:
    with Session(engine) if kind is Session else engine.connect() as db:
        event_id = track_event(db, "driver_signed_up", SIGNED_UP)

        assert rows(engine) == []
        db.commit()

    (row,) = rows(engine)
    assert isinstance(event_id, UUID)
    assert (row.id, row.aggregateid, row.type, row.sequence) == (event_id, "ada@example.com", "driver_signed_up", 1)


def test_a_scoped_session_is_taken_for_the_session_that_it_stands_for(engine: Engine) -> None:
    db = scoped_session(sessionmaker(engine))

    one = track_event(db, "driver_signed_up", SIGNED_UP)
    several = track_events(db, [("driver_signed_up", SIGNED_UP)])
    assert rows(engine) == []
    db.commit()
    db.remove()

    assert [row.id for row in rows(engine)] == [one, *several]


async def test_an_async_scoped_session_is_taken_too(engine: Engine, database_url: str) -> None:
    async_engine = create_async_engine(make_url(database_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    db = async_scoped_session(async_sessionmaker(async_engine), scopefunc=asyncio.current_task)

    one = await track_event(db, "driver_signed_up", SIGNED_UP)
    several = await track_events(db, [("driver_signed_up", SIGNED_UP)])
    await db.commit()
    await db.remove()

    assert [row.id for row in rows(engine)] == [one, *several]


@pytest.mark.parametrize("kind", [AsyncSession, AsyncConnection])
async def test_an_asynchronous_caller_awaits_it(engine: Engine, database_url: str, kind: type) -> None:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    async_engine = create_async_engine(url, poolclass=NullPool)
    async with AsyncSession(async_engine) if kind is AsyncSession else async_engine.connect() as db:
        event_id = await track_event(db, "driver_signed_up", SIGNED_UP)
        await db.commit()

    assert [row.id for row in rows(engine)] == [event_id]


async def test_an_asynchronous_callers_event_comes_from_the_span_around_its_call(
    engine: Engine, database_url: str
) -> None:
    async_engine = create_async_engine(make_url(database_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    async with AsyncSession(async_engine) as db:
        with Spans().tracer.start_as_current_span("a signup") as span:
            tracking = track_event(db, "driver_signed_up", SIGNED_UP)
        await tracking
        await db.commit()

    assert [row.traceparent for row in rows(engine)] == [traceparent_of(span.get_span_context())]


def test_a_rollback_leaves_no_row_and_the_sequence_has_no_hole(engine: Engine) -> None:
    with Session(engine) as db:
        track_event(db, "driver_signed_up", SIGNED_UP)
        db.rollback()
        assert rows(engine) == []

        track_event(db, "driver_signed_up", SIGNED_UP)
        db.commit()

    assert [row.sequence for row in rows(engine)] == [1]


def test_a_bad_payload_is_refused_before_the_database_is_touched_and_the_transaction_goes_on(engine: Engine) -> None:
    with Session(engine) as db:
        db.execute(text("CREATE TABLE business (id int)"))
        db.execute(text("INSERT INTO business VALUES (1)"))
        with pytest.raises(InvalidEvent, match=r"^driver_signed_up\.auth_provider: Field required$"):
            track_event(db, "driver_signed_up", _without("auth_provider"))
        with pytest.raises(InvalidEvent, match=r"^coffee_drunk: no such event"):
            track_event(db, "coffee_drunk", {})
        db.commit()

        assert db.execute(text("SELECT count(*) FROM business")).scalar() == 1
    assert rows(engine) == []


def test_a_bad_payload_does_not_even_open_a_connection() -> None:
    nobody = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing", poolclass=NullPool)

    with Session(nobody) as db, pytest.raises(InvalidEvent):
        track_event(db, "driver_signed_up", {})


def test_a_model_is_as_good_as_its_fields(engine: Engine) -> None:
    at = datetime(2026, 11, 24, 3, tzinfo=UTC)
    with Session(engine) as db:
        track_event(db, "driver_signed_up", SIGNED_UP)
        track_event(
            db,
            "wallet_pass_installed",
            WalletPassInstalled(user_id="usr_1", pass_type="apple", installed_at=at),
            occurred_at=at,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        db.commit()

    assert [row.aggregateid for row in rows(engine)] == ["ada@example.com"] * 2
    assert rows(engine)[1].payload["occurred_at"] == "2026-11-24T03:00:00.000000Z"


def test_a_backend_that_imports_it_gets_pydantic_and_sqlalchemy_and_no_more() -> None:
    program = (
        "import sys, producer;"
        "print([name for name in ('aiokafka', 'alembic', 'fastapi', 'psycopg', 'structlog', 'typer', 'greenlet',"
        " 'opentelemetry', 'pydantic_settings') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def _without(field: str) -> dict[str, Any]:
    return {name: value for name, value in SIGNED_UP.items() if name != field}
