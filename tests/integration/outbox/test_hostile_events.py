"""Hostile events at the SQL function's door: each is tracked, or refused with the name of its field.

A line of the surface `sql` has `type`, `payload`, `occurred_at` and `traceparent` as parts: the function's arguments.
`first` are events that are tracked before, and `damage` is SQL that somebody with the documented rights runs then.
`outcome` is `tracked`, `tracked, then dead letter REASON` (which a worker writes), `parked`, or the SQLSTATE and the
field's name.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from schemas.envelope import UnreadableRecord, read_envelope
from tests.hostile.inputs import Input, inputs_of, text

# The rights that docs/producing.md lists.
GRANTS = """
CREATE ROLE hostile_backend;
GRANT INSERT ON outbox_events TO hostile_backend;
GRANT SELECT, INSERT, UPDATE ON outbox_contacts, outbox_directory TO hostile_backend;
GRANT SELECT, INSERT, DELETE ON outbox_parked TO hostile_backend;
"""
ALONE = b"SELECT track_lifecycle_event(%s, %s::jsonb, coalesce(%s::timestamptz, now()), %s)"
SEVERAL = b"""
SELECT (track_lifecycle_events(jsonb_build_array(jsonb_build_object(
    'event_type', %s::text, 'payload', %s::jsonb, 'occurred_at', %s::text, 'traceparent', %s::text))))[1]
"""


EVENTS = [pytest.param(one, marks=pytest.mark.chaos if one.get("slow") else ()) for one in inputs_of("sql")]


@pytest.fixture(scope="module")
def db(postgres: Any, migrated_template: str) -> Iterator[psycopg.Connection[Any]]:
    name = f"hostile_{uuid4().hex[:8]}"
    url = asyncio.run(postgres.create_database(name, template=migrated_template))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(GRANTS)
        yield connection
        connection.execute("DROP OWNED BY hostile_backend; DROP ROLE hostile_backend")
    asyncio.run(postgres.drop_database(name))


@pytest.mark.parametrize("statement", [ALONE, SEVERAL], ids=["alone", "among several"])
@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_a_hostile_event_is_tracked_or_refused_by_the_name_of_its_field(
    db: psycopg.Connection[Any], event: Input, statement: bytes
) -> None:
    with db.transaction(force_rollback=True):
        db.execute("SET LOCAL ROLE hostile_backend")
        for event_type, payload in event.get("first", []):
            db.execute(ALONE, [event_type, text(payload), None, None])
        db.execute(event.get("damage", "").encode())
        assert _outcome(db, event, statement) == event.outcome


def _outcome(db: psycopg.Connection[Any], event: Input, statement: bytes) -> str:
    try:
        with db.transaction():
            [event_id] = db.execute(statement, _arguments(event)).fetchone() or [None]
    except psycopg.Error as refused:
        said = f"{refused.diag.message_primary} {refused.diag.constraint_name}"
        # PostgreSQL's own word about a time quotes it.
        if len(said) > 200 and refused.sqlstate != "22007":
            return f"a message of {len(said)} characters"
        field = event.outcome.partition(" ")[2]
        return f"{refused.sqlstate} {field if field in said else said}"
    db.execute("RESET ROLE")
    return _became(db, event_id)


def _arguments(event: Input) -> list[str | None]:
    parts = (event.get(name) for name in ("type", "payload", "occurred_at", "traceparent"))
    return [None if part is None else text(part) for part in parts]


def _became(db: psycopg.Connection[Any], event_id: Any) -> str:
    row = db.execute("SELECT aggregateid, payload::text FROM outbox_events WHERE id = %s", [event_id]).fetchone()
    if row is None:
        assert db.execute("SELECT FROM outbox_parked WHERE id = %s", [event_id]).rowcount == 1
        return "parked"
    try:
        read_envelope(row[0].encode(), row[1].encode())
    except UnreadableRecord as unreadable:
        return f"tracked, then dead letter {unreadable.reason}"
    return "tracked"
