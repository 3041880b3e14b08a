"""Which table and columns are the old worker's: guessed where it is clear, asked for where it is not; its old name."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.commands import run
from tests.outbox.old_outbox import OLD, ROWS, add, events, imported, make_table, signed_up


@pytest.fixture
def db(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        make_table(connection)
        yield connection


async def test_a_guess_that_is_not_clear_is_refused_with_the_option_that_tells(
    db: psycopg.Connection[Any], database_url: str
) -> None:
    db.execute("ALTER TABLE old_outbox ADD sent_at timestamp")
    two_columns = await imported(database_url)
    said = await imported(database_url, "--processed-column", "sent_at")
    wrong = await imported(database_url, "--processed-column", "attempts")
    db.execute("ALTER TABLE old_outbox DROP sent_at; CREATE TABLE outbox_copy AS SELECT * FROM old_outbox")
    two_tables = await imported(database_url)
    named = await imported(database_url, "--table", "public.old_outbox")
    db.execute("DROP TABLE outbox_copy; ALTER TABLE old_outbox DROP processed_at")
    no_column = await imported(database_url)

    assert [done.code for done in (two_columns, wrong, two_tables, no_column)] == [2] * 4
    assert (said.code, named.code) == (0, 0)
    assert "processed_at or sent_at? Say --processed-column" in two_columns.errors
    assert "--processed-column: public.old_outbox has no attempts that could be it" in wrong.errors
    assert "public.old_outbox, public.outbox_copy? Say --table" in two_tables.errors
    assert "Say --processed-column, or --all to take every row" in no_column.errors


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("outbox_events", "it belongs to the present outbox"),
        ("public.outbox_parked", "it belongs to the present outbox"),
        ("nowhere", "there is no nowhere"),
    ],
)
async def test_a_table_that_is_not_the_old_workers_is_refused(database_url: str, name: str, said: str) -> None:
    done = await imported(database_url, "--table", name)

    assert done.code == 2
    assert said in done.errors


async def test_without_any_old_table_it_says_what_it_looked_for(database_url: str) -> None:
    done = await imported(database_url, "--all")

    assert done.code == 2
    assert done.errors == "no table has `outbox` in its name, but for our own: say --table\n"


async def test_a_table_with_another_shape_is_read_through_a_view(
    db: psycopg.Connection[Any], database_url: str
) -> None:
    make_table(db, processed="status text DEFAULT 'new'")
    add(db, ROWS)
    db.execute("UPDATE old_outbox SET status = 'done' WHERE id = 1")
    db.execute("CREATE VIEW old_rows AS SELECT *, status = 'done' AS processed FROM old_outbox")

    done = await imported(database_url, "--apply", "--table", "old_rows")

    assert (done.code, "3 imported" in done.output) == (0, True)


async def test_a_new_name_of_the_table_between_two_runs_doubles_nothing(
    db: psycopg.Connection[Any], database_url: str
) -> None:
    add(db, ROWS)
    await imported(database_url, "--apply")
    db.execute("ALTER TABLE old_outbox RENAME TO legacy_outbox")

    again = await imported(database_url, "--apply")

    assert "reading public.legacy_outbox" in again.output
    assert "0 imported" in again.output


async def test_before_the_migration_a_dry_run_works_and_apply_says_what_is_missing(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        make_table(connection)
        add(connection, ROWS)

    dry = await imported(empty_database_url)
    done = await imported(empty_database_url, "--apply")

    assert (dry.code, "4 to import" in dry.output) == (0, True)
    assert done.code == 1
    assert done.errors == "DATABASE_URL: the database has no table outbox_imports: run `python -m producer migrate`\n"


async def test_a_backend_that_writes_to_outbox_events_goes_on_while_the_table_gets_another_name(
    empty_database_url: str,
) -> None:
    environment = {"DATABASE_URL": empty_database_url}
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            OLD.replace("old_outbox", "outbox_events")
            .format(id="bigserial", payload="text", processed="processed_at timestamp")
            .encode()
        )
        write = "INSERT INTO outbox_events (event_type, payload_json) VALUES ('user_signup', %s) RETURNING id"
        connection.execute(write, [json.dumps(signed_up(1))])

        taken = await run("producer", "migrate", environment=environment)
        connection.execute("""
            BEGIN; ALTER TABLE outbox_events RENAME TO outbox_events_old;
            CREATE VIEW outbox_events AS SELECT * FROM outbox_events_old; COMMIT""")
        connection.execute(write, [json.dumps(signed_up(2))])
        still_taken = await run("producer", "migrate", environment=environment)
        connection.execute("DROP VIEW outbox_events")
        migrated = await run("producer", "migrate", environment=environment)
        again = await run("producer", "migrate", environment=environment)
        done = await imported(empty_database_url, "--apply")

        assert (taken.code, still_taken.code, migrated.code, again.code) == (1, 1, 0, 0)
        assert taken.errors.startswith("DATABASE_URL: the database has an outbox_events already, which is not ours")
        assert "docs/moving-over.md" in still_taken.errors
        assert "reading public.outbox_events_old" in done.output
        assert [email for _, email, _ in events(connection)] == ["u1@example.com", "u2@example.com"]
