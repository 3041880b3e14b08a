"""An outbox as PostgreSQL 13 to 16 had it until migration 0006: it cuts the letter v off both ends of an email."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import command
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from producer import migrations
from producer.relay.statements import KEEP


@contextmanager
def damaging_outbox(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection to an outbox of before in an empty database, whatever the server's version."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    with psycopg.connect(url, autocommit=True) as db:
        [source] = db.execute("SELECT pg_get_functiondef('lifecycle_contact_key'::regproc)").fetchone() or [""]
        db.execute(source.replace(r"\v", "v").encode())
        yield db


def sign_up(db: psycopg.Connection[Any], user: str, email: str) -> None:
    payload = {"user_id": user, "email": email}
    db.execute("SELECT track_lifecycle_event('driver_signed_up', %s::jsonb)", [json.dumps(payload)])


def park(db: psycopg.Connection[Any], user: str, email: str) -> None:
    """Park an event that names its email, as only a row by hand does."""
    row = "INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at)"
    payload = json.dumps({"user_id": user, "email": email})
    db.execute(f"{row} VALUES (%s, gen_random_uuid(), 'nova_earned', %s, now())".encode(), [user, payload])


def publish(db: psycopg.Connection[Any], *, keep: bool) -> None:
    """Do with all rows what a relay does with those that Kafka has."""
    statement = KEEP if keep else "DELETE FROM outbox_events WHERE position = ANY(%s)"
    db.execute(statement, [[row[0] for row in db.execute("SELECT position FROM outbox_events").fetchall()]])
