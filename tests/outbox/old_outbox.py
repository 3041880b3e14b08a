"""The old worker's table as tests make it, and running the import of what is in it."""

import json
from collections.abc import Iterable
from typing import Any

import psycopg

from tests.commands import Done, run

OLD = """
CREATE TABLE old_outbox (
    id {id} PRIMARY KEY, event_type varchar(50) NOT NULL, payload_json {payload} NOT NULL,
    created_at timestamp NOT NULL DEFAULT now(), {processed}, attempts int NOT NULL DEFAULT 0)
"""
AT = "2026-10-01T12:00:00"


def make_table(
    db: psycopg.Connection[Any], key: str = "bigint", payload: str = "text", processed: str = "processed_at timestamp"
) -> None:
    db.execute("DROP TABLE IF EXISTS old_outbox")
    db.execute(OLD.format(id=key, payload=payload, processed=processed).encode())


def signed_up(user: int, email: str | None = None) -> dict[str, Any]:
    return {"user_id": user, "email": email or f"u{user}@example.com", "auth_provider": "apple", "created_at": AT}


def earned(user: int, cents: int = 500) -> dict[str, Any]:
    return {"user_id": user, "amount_cents": cents, "session_id": 1, "new_balance_cents": cents, "earned_at": AT}


def add(db: psycopg.Connection[Any], rows: Iterable[tuple[int, str, dict[str, Any]]]) -> None:
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO old_outbox (id, event_type, payload_json, created_at)"
            " VALUES (%s, %s, %s, timestamp '2026-10-01' + interval '1 second' * %s)",
            [(number, event_type, json.dumps(payload), number) for number, event_type, payload in rows],
        )


def events(db: psycopg.Connection[Any]) -> list[tuple[str, str, int]]:
    """Return type, contact and amount of what is in the outbox, in its order."""
    rows = db.execute(
        "SELECT type, aggregateid, coalesce((payload #>> '{payload,amount_cents}')::int, 0)"
        " FROM outbox_events ORDER BY position"
    )
    return list(rows.fetchall())


def one(db: psycopg.Connection[Any], query: str) -> Any:
    row = db.execute(query.encode()).fetchone()
    return None if row is None else row[0]


async def imported(database_url: str, *arguments: str) -> Done:
    done = await run("producer", "import-outbox", *arguments, environment={"DATABASE_URL": database_url})
    assert "Traceback" not in done.errors, done.errors
    return done


ROWS: list[tuple[int, str, dict[str, Any]]] = [
    (1, "nova_earned", earned(1, 10)),
    (2, "user_signup", signed_up(1)),
    (3, "nova_earned", earned(1, 20)),
    (4, "nova_earned", earned(2, 30)),
]
