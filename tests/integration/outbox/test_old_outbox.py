"""`python -m producer import-outbox`: the old worker's rows become events, in order, each once, whatever is killed."""

import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from producer.old_outbox.imports import Import
from producer.old_outbox.table import find_table
from tests.outbox.old_outbox import AT, ROWS, add, earned, events, imported, make_table, one, signed_up


@pytest.fixture
def db(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        make_table(connection)
        yield connection


async def test_a_dry_run_prints_its_guess_and_writes_nothing(db: psycopg.Connection[Any], database_url: str) -> None:
    add(db, ROWS)

    done = await imported(database_url)

    assert done.code == 0
    assert done.output.splitlines() == [
        "reading public.old_outbox:",
        "  id        id (bigint)",
        "  type      event_type (character varying)",
        "  payload   payload_json (text)",
        "  created   created_at (timestamp without time zone, taken as UTC)",
        "  processed processed_at (timestamp without time zone)",
        "4 to import",
        "nothing was written: --apply imports",
    ]
    assert events(db) == []
    assert one(db, "SELECT count(*) FROM outbox_imports") == 0


async def test_rows_become_events_in_order_once_and_what_has_no_email_yet_is_parked(
    db: psycopg.Connection[Any], database_url: str
) -> None:
    add(db, ROWS)
    db.execute("INSERT INTO old_outbox VALUES (9, 'nova_earned', '{}', now(), now())")

    first = await imported(database_url, "--apply")
    second = await imported(database_url, "--apply")

    assert (first.code, second.code) == (0, 0)
    assert first.output.splitlines()[-2:] == [
        "4 imported",
        "  of which 1 are parked until their user's email is known",
    ]
    assert second.output.splitlines()[-1] == "0 imported"
    key = "u1@example.com"
    assert events(db) == [("nova_earned", key, 10), ("driver_signed_up", key, 0), ("nova_earned", key, 20)]
    assert one(db, "SELECT DISTINCT payload ->> 'occurred_at' FROM outbox_events") == "2026-10-01T12:00:00.000000Z"
    assert one(db, "SELECT count(*) FROM outbox_parked") == 1
    assert one(db, "SELECT count(*) FROM old_outbox WHERE processed_at IS NULL") == 4


async def test_a_row_that_is_refused_is_named_stops_nobody_and_is_tried_again_by_the_next_run(
    db: psycopg.Connection[Any], database_url: str
) -> None:
    add(
        db,
        [*ROWS, (5, "coffee_drunk", {}), (6, "user_signup", signed_up(3, "nobody")), (7, "user_signup", signed_up(3))],
    )

    dry = await imported(database_url)
    first = await imported(database_url, "--apply")
    db.execute(
        "UPDATE old_outbox SET event_type = 'nova_earned', payload_json = %s WHERE id = 5", [json.dumps(earned(3))]
    )
    second = await imported(database_url, "--apply")

    assert (dry.code, first.code, second.code) == (1, 1, 1)
    refused = first.output.splitlines()[-5:]
    assert refused[0] == "2 refused:"
    assert refused[1:3] == ["  1 times coffee_drunk: no such event", "      id 5"]
    assert refused[3].startswith("  1 times driver_signed_up.email: ")
    assert refused[4] == "      id 6"
    assert [line for line in dry.output.splitlines() if "times" in line or "id " in line][-4:] == refused[1:]
    assert "1 imported" in second.output
    assert "1 refused:" in second.output
    assert len(events(db)) == 5
    assert one(db, "SELECT string_agg(row_id, ',') FROM outbox_imports WHERE fault IS NOT NULL") == "6"


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz"])
async def test_a_row_whose_time_python_does_not_know_stops_nobody_and_may_have_one_in_its_payload(
    db: psycopg.Connection[Any], database_url: str, kind: str
) -> None:
    db.execute(f"ALTER TABLE old_outbox ALTER created_at TYPE {kind}".encode())
    without = {name: value for name, value in signed_up(3).items() if name != "created_at"}
    rows = [(1, "user_signup", signed_up(1)), (2, "user_signup", without), (3, "user_signup", signed_up(3))]
    add(db, [*rows, (4, "nova_earned", earned(1) | {"earned_at": "9999-12-31T23:59:59-08:00"})])
    db.execute("UPDATE old_outbox SET created_at = 'infinity' WHERE id = 1")
    db.execute("UPDATE old_outbox SET created_at = '0044-03-15 BC' WHERE id = 2")

    dry, done = await imported(database_url), await imported(database_url, "--apply")

    assert (dry.code, done.code) == (1, 1)
    assert {contact for _, contact, _ in events(db)} == {"u1@example.com", "u3@example.com"}
    refused = dict(row for row in db.execute("SELECT row_id, fault FROM outbox_imports WHERE fault IS NOT NULL"))
    assert refused == {
        "2": "driver_signed_up.created_at: Field required",
        "4": "nova_earned.earned_at: Value error, should be within the years 1 to 9999 in UTC",
    }


async def test_what_only_the_database_refuses_takes_no_other_row_with_it(
    db: psycopg.Connection[Any], database_url: str
) -> None:
    db.execute("ALTER TABLE outbox_events ADD CONSTRAINT no_30 CHECK (payload #>> '{payload,amount_cents}' <> '30')")
    add(db, [(1, "user_signup", signed_up(2)), (2, "nova_earned", earned(2, 30)), (3, "nova_earned", earned(2, 40))])

    done = await imported(database_url, "--apply")

    assert done.code == 1
    assert [amount for _, _, amount in events(db)] == [0, 40]
    assert [row[0] for row in db.execute("SELECT sequence FROM outbox_events ORDER BY position")] == [1, 2]
    assert "no_30" in done.output


@pytest.mark.parametrize("payload", ["text", "json", "jsonb"])
@pytest.mark.parametrize(
    ("key", "value"), [("int", "7"), ("uuid", "0199aaaa-0000-7000-8000-000000000000"), ("text", "a'b")]
)
async def test_ids_and_payloads_may_have_any_type_and_be_marked_as_processed(
    db: psycopg.Connection[Any], database_url: str, payload: str, key: str, value: str
) -> None:
    processed = "processed boolean DEFAULT false" if payload == "text" else "processed_at timestamptz"
    make_table(db, key=key, payload=payload, processed=processed)
    db.execute(
        "INSERT INTO old_outbox (id, event_type, payload_json) VALUES (%s, 'user_signup', %s)",
        [value, json.dumps(signed_up(1))],
    )

    done = await imported(database_url, "--apply", "--mark-processed")

    assert done.code == 0
    assert len(events(db)) == 1
    assert one(db, "SELECT row_id FROM outbox_imports") == value
    column = processed.split(maxsplit=1)[0]
    assert one(db, f"SELECT count(*) FROM old_outbox WHERE {column} IS NOT NULL AND {column}::text <> 'false'") == 1


async def test_marking_leaves_a_refused_row_unprocessed(db: psycopg.Connection[Any], database_url: str) -> None:
    add(db, [(1, "user_signup", signed_up(1)), (2, "coffee_drunk", {})])

    await imported(database_url, "--apply", "--mark-processed")

    assert [row[0] for row in db.execute("SELECT id FROM old_outbox WHERE processed_at IS NULL")] == [2]


async def test_all_takes_what_was_processed_too(db: psycopg.Connection[Any], database_url: str) -> None:
    add(db, ROWS)
    db.execute("UPDATE old_outbox SET processed_at = now() WHERE id < 4")

    done = await imported(database_url, "--apply", "--all")

    assert done.code == 0
    assert len(events(db)) == 3


# Few times and few ids, so that many rows share one; batches and pages smaller than what there is.
SOME_ROWS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=25)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=SOME_ROWS, later=SOME_ROWS, order=st.randoms())
def test_events_are_in_the_order_of_time_then_id_whatever_the_rows(
    db: psycopg.Connection[Any],
    database_url: str,
    rows: list[tuple[int, bool]],
    later: list[tuple[int, bool]],
    order: random.Random,
) -> None:
    db.execute("TRUNCATE old_outbox, outbox_events, outbox_contacts, outbox_directory, outbox_imports")
    waiting: list[tuple[int, int]] = []
    expected: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("producer.old_outbox.imports.BATCH", 3)
        patch.setattr("producer.old_outbox.imports.PAGE", 7)
        for first, some in ((1, rows), (101, later)):
            numbered = list(enumerate(some, first))
            order.shuffle(numbered)
            for number, (second, processed) in numbered:
                db.execute(
                    "INSERT INTO old_outbox VALUES (%s, 'merchant_contact_updated', %s,"
                    " timestamp '2026-10-01' + interval '1 second' * %s, %s)",
                    [
                        number,
                        json.dumps({"merchant_id": number, "email": "ada@example.com"}),
                        second,
                        AT if processed else None,
                    ],
                )
            waiting = sorted((second, number) for number, (second, processed) in numbered if not processed)
            expected += [number for _, number in waiting]
            import_in_process(database_url)

    merchants = db.execute("SELECT (payload #>> '{payload,merchant_id}')::int FROM outbox_events ORDER BY position")
    assert [row[0] for row in merchants] == expected


def import_in_process(database_url: str) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        with connection.begin():
            old = find_table(connection, None, {})
        for _ in Import(connection, old).track(mark=False):
            pass
