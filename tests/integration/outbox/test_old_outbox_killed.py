"""An import that is killed, or has company, imports every row once and in order."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox.processes import Process
from tests.outbox.old_outbox import add, earned, events, imported, make_table, one, signed_up
from tests.polling import eventually

USERS = 7


@pytest.fixture
def db(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        make_table(connection)
        yield connection


def day(rows: int) -> list[tuple[int, str, dict[str, Any]]]:
    """Return signups of some users, and so many rewards, whose amounts count."""
    signups = [(number, "user_signup", signed_up(number)) for number in range(USERS)]
    return signups + [(USERS + n, "nova_earned", earned(n % USERS, n)) for n in range(1, rows + 1)]


def amounts(db: psycopg.Connection[Any]) -> list[int]:
    return [amount for event_type, _, amount in events(db) if event_type == "nova_earned"]


def start(database_url: str, directory: Path) -> Process:
    importing = Process("import-outbox", directory / "log")
    command = [sys.executable, "-m", "producer", "import-outbox", "--apply"]
    importing.start(command, environment={**os.environ, "DATABASE_URL": database_url})
    return importing


@contextmanager
def held_up(db: psycopg.Connection[Any]) -> Iterator[None]:
    """Hold an import up between the event of a row and the word that the row is done."""
    db.execute("""
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END';
        CREATE TRIGGER wait BEFORE INSERT ON outbox_imports FOR EACH ROW WHEN (NEW.row_id = '150')
            EXECUTE FUNCTION wait();
        SELECT pg_advisory_lock(7)""")
    yield
    db.execute("SELECT pg_advisory_unlock(7)")


async def until_waiting(db: psycopg.Connection[Any], imports: int) -> None:
    async def waiting() -> bool:
        return bool(one(db, "SELECT count(*) FROM pg_locks WHERE NOT granted") >= imports)

    await eventually(waiting, saying=f"{imports} wait for a lock")


async def test_killed_after_an_event_and_before_its_row_is_done_it_imports_the_row_once(
    db: psycopg.Connection[Any], database_url: str, tmp_path: Path
) -> None:
    add(db, day(300))
    with held_up(db):
        importing = start(database_url, tmp_path)
        await until_waiting(db, 1)
        importing.send(signal.SIGKILL)
        await importing.stop()
    done = await imported(database_url, "--apply")

    assert done.code == 0
    assert amounts(db) == list(range(1, 301))


async def test_two_imports_at_once_double_nothing(db: psycopg.Connection[Any], database_url: str) -> None:
    add(db, day(300))
    with held_up(db):
        first = asyncio.create_task(imported(database_url, "--apply"))
        await until_waiting(db, 1)
        second = asyncio.create_task(imported(database_url, "--apply"))
        await until_waiting(db, 2)
    both = await asyncio.gather(first, second)

    assert [done.code for done in both] == [0, 0]
    assert amounts(db) == list(range(1, 301))


@pytest.mark.chaos
async def test_killed_again_and_again_it_imports_every_row_once_and_in_order(
    db: psycopg.Connection[Any], database_url: str, tmp_path: Path
) -> None:
    rows, kills, chance = 3_000, 4, random.Random(5)
    add(db, day(rows))
    # Slow enough that there is a middle.
    db.execute("""
        CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(0.0002); RETURN NEW; END';
        CREATE TRIGGER slowly BEFORE INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION slowly()""")

    killed = 0
    for moment in sorted(chance.randrange(100, rows - 500) for _ in range(kills)):
        importing = start(database_url, tmp_path)

        async def so_far(moment: int = moment) -> bool:
            return bool(one(db, "SELECT count(*) FROM outbox_imports") >= moment)

        await eventually(so_far, every_s=0.005, within_s=60, saying=f"{moment} rows are imported")
        killed += importing.running
        importing.send(signal.SIGKILL)
        await importing.stop()
    done = await imported(database_url, "--apply")

    assert killed == kills
    assert done.code == 0
    assert amounts(db) == list(range(1, rows + 1))
    assert one(db, "SELECT count(*) FROM outbox_imports") == rows + USERS
    sequences = db.execute("SELECT array_agg(sequence ORDER BY position) FROM outbox_events GROUP BY aggregateid")
    for (found,) in sequences:
        assert found == list(range(1, len(found) + 1))
