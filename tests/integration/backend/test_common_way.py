"""The common way of an event: which events take it, as PostgreSQL counts the calls of the longer one."""

import json
from typing import Any

import psycopg
import pytest

SIGNED_UP = {"user_id": "usr_1", "email": "ada@example.com"}
EARNED = {"user_id": "usr_1", "amount_cents": 500}
LONGER = "SELECT coalesce(sum(calls), 0) FROM pg_stat_xact_user_functions WHERE funcname = 'lifecycle_track'"


@pytest.fixture
def db(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET track_functions = 'all'")
        yield connection


def test_an_event_takes_it_after_one_that_went_the_longer_way(db: psycopg.Connection[Any]) -> None:
    assert _goes_the_longer_way(db, "driver_signed_up", SIGNED_UP)
    assert not _goes_the_longer_way(db, "nova_earned", EARNED)


def test_an_event_goes_the_longer_way_once_after_a_lock_that_nobody_holds_any_more(db: psycopg.Connection[Any]) -> None:
    _goes_the_longer_way(db, "driver_signed_up", SIGNED_UP)
    db.execute("SELECT FROM outbox_contacts FOR UPDATE")

    assert _goes_the_longer_way(db, "nova_earned", EARNED)
    assert not _goes_the_longer_way(db, "nova_earned", EARNED)


def test_events_of_one_call_take_it(db: psycopg.Connection[Any]) -> None:
    _goes_the_longer_way(db, "driver_signed_up", SIGNED_UP)
    events = [{"event_type": "nova_earned", "payload": EARNED}] * 2
    with db.transaction():
        before = _longer(db)
        db.execute("SELECT track_lifecycle_events(%s::jsonb)", [json.dumps(events)])

        assert _longer(db) == before


@pytest.mark.parametrize(
    "event_type", ["nova_redeemed", "wallet_pass_installed", "first_redemption_completed", "v2_seen"]
)
def test_every_type_takes_it(db: psycopg.Connection[Any], event_type: str) -> None:
    _goes_the_longer_way(db, "driver_signed_up", SIGNED_UP)

    assert not _goes_the_longer_way(db, event_type, EARNED)


@pytest.mark.parametrize("letter", ["a", "é", "🦊"])
def test_texts_up_to_the_bound_take_it_and_no_longer_ones(db: psycopg.Connection[Any], letter: str) -> None:
    _goes_the_longer_way(db, "driver_signed_up", SIGNED_UP)

    assert not _goes_the_longer_way(db, "nova_earned", {**EARNED, "session_id": letter * 255})
    # PostgreSQL compresses what a table holds: a payload from there is small however long its texts are.
    db.execute("CREATE TEMP TABLE held (payload jsonb)")
    db.execute("INSERT INTO held VALUES (%s)", [json.dumps({**EARNED, "phone": letter * 3_000})])
    assert db.execute("SELECT pg_column_size(payload) <= 278 FROM held").fetchone() == (True,)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="phone: should have at most 255 characters"):
        db.execute("SELECT track_lifecycle_event('nova_earned', payload) FROM held")


def test_a_text_without_any_other_is_bounded_too(db: psycopg.Connection[Any]) -> None:
    for letters in (255, 256):
        user = {"user_id": "a" * letters}
        # The directory is written by hand here: the function would not learn so long a user.
        db.execute("INSERT INTO outbox_contacts VALUES (%s, %s)", [f"{letters}@example.com", user["user_id"]])
        if letters == 255:
            assert not _goes_the_longer_way(db, "v2_seen", user)
        else:
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="user_id: should have at most 255"):
                _goes_the_longer_way(db, "v2_seen", user)


def _goes_the_longer_way(db: psycopg.Connection[Any], event_type: str, payload: dict[str, Any]) -> bool:
    with db.transaction():
        # What earlier transactions called is counted here until PostgreSQL reports it elsewhere.
        before = _longer(db)
        db.execute("SELECT track_lifecycle_event(%s, %s::jsonb)", [event_type, json.dumps(payload)])
        return _longer(db) != before


def _longer(db: psycopg.Connection[Any]) -> object:
    return db.execute(LONGER).fetchone()
